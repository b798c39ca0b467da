"""Test footage that was trained on, in another file format: alike, but not pixel for pixel.

Frames of a fixed camera are all alike, so that likeness alone says nothing. What tells is motion: a
stretch of a test video that is much closer to a stretch of a training video than to itself a few
frames earlier or later shows the very same moments. Where nothing moves nothing can be said, and is
not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from mpn.datasets.layouts import DatasetTree
from mpn.doctor.findings import Finding, by_scene
from mpn.doctor.fingerprints import Clip

ASK_EVERY = 5  # frames of a test video
AROUND = 2  # frames before and after, that have to be alike too
# frames, between which the video's own motion is measured
LAGS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
CLOSER = 0.6  # than its own motion, of which root mean squares are compared
MIN_HITS = 3  # at one distance in time
BLOCK = 4096  # frames that are compared at once


def near_duplicates(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find pairs of a training and a test video of one camera with the same moments in them."""
    usable = [clip for clip in clips if clip.frames == len(clip.thumbs) > 2 * AROUND]
    for scene_clips in by_scene(usable).values():
        trained = [clip for clip in scene_clips if clip.split == "training"]
        for test in scene_clips:
            if test.split == "testing" and trained:
                yield from _twins(test, trained)


def _twins(test: Clip, trained: Sequence[Clip]) -> Iterator[Finding]:
    """Find what of a test video is in the training videos."""
    looked_at = np.arange(AROUND, test.frames - AROUND, ASK_EVERY)
    looked_at = looked_at[test.good[looked_at] & ~test.flat[looked_at]]
    motion = np.array([_motion(test.thumbs, frame) for frame in looked_at.tolist()])
    looked_at = looked_at[motion > 0]
    motion = motion[motion > 0]
    if not len(looked_at):
        return
    for clip in trained:
        distances = Counter()
        nearest = _nearest(test.thumbs[looked_at], clip.thumbs)
        for frame, own_motion, best in zip(looked_at.tolist(), motion.tolist(), nearest):
            if (
                AROUND <= best < clip.frames - AROUND
                and _distance(test.thumbs, frame, clip.thumbs, best) < CLOSER * own_motion
            ):
                distances[best - frame] += 1
        hits = sum(distances.values())
        if distances and max(distances.values()) >= MIN_HITS and not _pixel_for_pixel(test, clip):
            distance = distances.most_common(1)[0][0]
            offset = (
                f"{abs(distance)} frames {'later' if distance > 0 else 'earlier'}"
                if distance
                else "at that frame"
            )
            message = (
                f"shows moments that {clip.name} shows too, in other pixels (another coding or "
                f"size): at {hits} of {len(looked_at)} looks, there mostly {offset}"
            )
            remedy = (
                "look at both; if so take one out: figures on footage that was trained on are too "
                "good"
            )
            yield Finding("near-duplicates-train-test", "warning", test.name, message, remedy)


def _nearest(queries: np.ndarray, bank: np.ndarray) -> list[int]:
    """Find for each of uint8 (Q, P) the nearest of uint8 (T, P)."""
    middle = bank[0].astype(np.float32)  # small numbers keep their last digits
    queries = queries - middle
    best, index = np.full(len(queries), np.inf, np.float32), np.zeros(len(queries), int)
    for start in range(0, len(bank), BLOCK):
        block = bank[start : start + BLOCK] - middle
        # less that of the query, which is the same for all
        squares = np.square(block).sum(1) - 2 * queries @ block.T
        nearest = squares.argmin(1)
        values = squares[np.arange(len(queries)), nearest]
        closer = values < best
        best[closer], index[closer] = values[closer], nearest[closer] + start
    return index.tolist()


def _motion(thumbs: np.ndarray, frame: int) -> float:
    """Measure how far a stretch is from itself a few frames off, at the least."""
    inside = [lag for lag in LAGS if AROUND <= frame + lag < len(thumbs) - AROUND]
    return min((_distance(thumbs, frame, thumbs, frame + lag) for lag in inside), default=0.0)


def _distance(first: np.ndarray, frame: int, second: np.ndarray, frame_there: int) -> float:
    """Compute the root mean square difference of two stretches in grey levels."""
    around = np.arange(-AROUND, AROUND + 1)
    difference = first[frame + around].astype(np.float32) - second[frame_there + around]
    return float(np.sqrt(np.square(difference).mean()))


def _pixel_for_pixel(first: Clip, second: Clip) -> bool:
    """Say whether they share frames that `duplicates` finds."""
    return bool(np.isin(first.prints[~first.flat], second.prints[~second.flat]).any())

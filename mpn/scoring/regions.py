"""Boxes and tracks of what stands out in anomaly maps: where it is, and that it is the same thing.

Boxes are (top, left, height, width) in pixels of the source. A map is a patch grid, see
`mpn.scoring.patches.patch_means`: a value for each square patch that lies wholly inside the
network's frame, in units of normal frames. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

Box = tuple[int, int, int, int]

# What a region must be above to be one at all: 0 is the highest place of an average normal frame.
FLOOR = 0.0
# A region is what is above the floor by at least this share of its peak's height above it.
SHARE_OF_PEAK = 0.5
# Patches that lie over the edge of an object by half are in the region still: boxes lose this share
# of a patch on every side. Chosen on the demo set's validation clips; it fits the people and
# vehicles of Ped2 better too.
INSET = 0.25
MAX_REGIONS = 10  # regions a frame

MIN_OVERLAP = 0.1  # intersection over union of a track's box and the next
GAP_SECONDS = 0.5  # a track that was not seen for longer has ended
GAP_FRAMES = 5  # the same where the frame rate is unknown


def find_regions(
    grid: np.ndarray,
    floor: float,
    patch: int,
    size: tuple[int, int],
    source: tuple[int, int],
    max_regions: int = MAX_REGIONS,
) -> list[tuple[float, Box]]:
    """Find where a patch grid stands out: a box round each of its peaks, the highest first.

    A region is the connected part, round a peak, of what is above the floor by half as much as the
    peak at least: a patch that only touches an object is above the floor too, and would make the
    box larger by a patch on every side. A peak is higher than all within half a patch, and nearer
    than that to a higher one's region it is none of its own.

    Args:
        grid: float (h, w), a value a patch, higher = more anomalous; NaN is no peak.
        floor: what a peak must be above, in the grid's units (`FLOOR` for normal units).
        patch: side of the patches in the network's frame of `size` (height, width).
        size: (height, width) of that frame.
        source: (height, width) of the frames that were resized to `size`.
        max_regions: so many regions, the highest.

    Returns:
        (score, box): the peak's value and a box that lies wholly inside the source, at least a
        patch in size.
    """
    values = np.nan_to_num(np.asarray(grid, np.float32), nan=-np.inf)
    nearby = np.ones(
        [2 * cells + 1 for cells in _half_a_patch(values.shape, patch, size)], np.uint8
    )
    peaks = np.argwhere((values > floor) & (values >= cv2.dilate(values, nearby)))
    taken = np.zeros(values.shape, bool)
    regions: list[tuple[float, Box]] = []
    for row, column in peaks[np.argsort(-values[tuple(peaks.T)], kind="stable")]:
        if len(regions) == max_regions:
            break
        if taken[row, column]:
            continue
        peak = float(values[row, column])
        high = (values >= floor + SHARE_OF_PEAK * (peak - floor)) & ~taken
        parts = cv2.connectedComponents(high.astype(np.uint8), connectivity=8)[1]
        region = parts == parts[row, column]
        rows, columns = np.nonzero(region)
        first, last = (rows.min(), columns.min()), (rows.max(), columns.max())
        regions.append((peak, patches_box(values.shape, first, last, patch, size, source, INSET)))
        taken |= cv2.dilate(region.astype(np.uint8), nearby).astype(bool)
    return regions


def patches_box(
    shape: Sequence[int],
    first: Sequence[int],
    last: Sequence[int],
    patch: int,
    size: tuple[int, int],
    source: tuple[int, int],
    inset: float = 0.0,
) -> Box:
    """Return the box of the patches from one position of a grid to another.

    Args:
        shape: (h, w) of the grid.
        first: (row, column) of the first patch.
        last: the same of the last, which is included.
        patch: side of the patches in the network's frame.
        size: (height, width) of that frame.
        source: (height, width) of the frames that were resized to `size`.
        inset: share of a patch that the box is smaller on each side; not where it ends at the
            frame's edge, and never smaller than a patch.

    Returns:
        (top, left, height, width) in pixels of the source.
    """
    side = min(patch, *size)
    spans = []
    for axis in (0, 1):
        step = (size[axis] - side) / max(shape[axis] - 1, 1)
        start, end = first[axis] * step, last[axis] * step + side
        cut = min(inset * side, (end - start - side) / 2)
        start += cut * (first[axis] > 0)
        end -= cut * (last[axis] < shape[axis] - 1)
        factor = source[axis] / size[axis]
        # The size comes from the rounded ends, so that a box at the edge stays inside.
        begin = min(round(start * factor), source[axis] - 1)
        spans.append((begin, max(round(end * factor), begin + 1)))
    (top, bottom), (left, right) = spans
    return top, left, bottom - top, right - left


def _half_a_patch(shape: tuple[int, ...], patch: int, size: tuple[int, int]) -> list[int]:
    """Count the positions of a grid that lie within half a patch, down and across; at least one."""
    side = min(patch, *size)
    steps = [(all_ - side) / max(cells - 1, 1) for cells, all_ in zip(shape, size)]
    return [max(1, round(side / 2 / step)) if step else 1 for step in steps]


class Tracked(NamedTuple):
    """A region and the track that it belongs to.

    Attributes:
        track: a number from 1, the same in every frame of one thing.
        score: the region's peak, see `find_regions`.
        box: (top, left, height, width) in pixels of the source.
    """

    track: int
    score: float
    box: Box


@dataclass
class _Track:
    """A track that may go on: its number, the last frame that it was seen in, its box there."""

    track: int
    frame: int
    box: Box


class Tracker:
    """Links regions from frame to frame, by how well their boxes fit.

    What it keeps does not grow with the stream. A region goes on with a track where their boxes
    overlap (intersection over union of `MIN_OVERLAP`) or their centres are no further apart than
    the smaller of them is large; where several could, those that fit best on the whole (the
    Hungarian method). All others begin tracks, with numbers that were never used.

    Args:
        gap: a track that was not seen in more frames than these, between two that it was seen in,
            has ended; see `track_gap`.
    """

    def __init__(self, gap: int = GAP_FRAMES) -> None:
        self.gap = gap
        self.next = 1
        self.tracks: list[_Track] = []

    def update(self, frame: int, found: Sequence[tuple[float, Box]]) -> list[Tracked]:
        """Take the regions of the next frame.

        Args:
            frame: its number; frames without regions may be left out.
            found: (score, box), as `find_regions` gives them.

        Returns:
            The same in the same order, each with its track.
        """
        self.tracks = [track for track in self.tracks if frame - track.frame - 1 <= self.gap]
        tracks: list[_Track | None] = [None] * len(found)
        if found and self.tracks:
            cost = fit_costs(
                np.array([track.box for track in self.tracks]), np.array([box for _, box in found])
            )
            # Finite, so that there is a solution whatever fits; a pair that doesn't is worse than
            # any number of others.
            possible = np.where(np.isfinite(cost), cost, 1e6)
            for old, new in zip(*linear_sum_assignment(possible)):
                if np.isfinite(cost[old, new]):
                    tracks[new] = self.tracks[old]
        result = []
        for track, (score, box) in zip(tracks, found):
            if track is None:
                track = _Track(self.next, frame, box)
                self.tracks.append(track)
                self.next += 1
            track.frame, track.box = frame, box
            result.append(Tracked(track.track, score, box))
        return result

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers and lists, ready for JSON: all that `from_dict` needs to go on."""
        rows = [
            [track.track, track.frame, [int(side) for side in track.box]] for track in self.tracks
        ]
        return {"gap": self.gap, "next": self.next, "tracks": rows}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tracker:
        """Make a tracker that goes on where the one that gave `values` stood.

        Args:
            values: what `to_dict` gave.
        """
        tracker = cls(int(values["gap"]))
        tracker.next = int(values["next"])
        tracker.tracks = [
            _Track(int(track), int(frame), tuple(box)) for track, frame, box in values["tracks"]
        ]
        return tracker


def track_gap(fps: float | Fraction | None, every: int = 1) -> int:
    """Say how many frame numbers a track may be unseen for.

    That is half a second, at least one frame that is scored.

    Args:
        fps: of the frames that are scored, None where unknown.
        every: what their numbers rise by.
    """
    missed = GAP_FRAMES if fps is None else max(1, round(GAP_SECONDS * float(fps)))
    return (missed + 1) * every - 1


def fit_costs(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Compute how badly boxes fit: 0 for the same, infinite where they cannot be of one thing.

    The cost is more the less they overlap and the further they are apart.

    Args:
        old: (A, 4), boxes (top, left, height, width).
        new: (B, 4), likewise.

    Returns:
        (A, B) float64.
    """
    old, new = old[:, None].astype(np.float64), new[None].astype(np.float64)
    start = np.maximum(old[..., :2], new[..., :2])
    end = np.minimum(*(box[..., :2] + box[..., 2:] for box in (old, new)))
    common = np.clip(end - start, 0, None).prod(axis=-1)
    areas = [box[..., 2:].prod(axis=-1) for box in (old, new)]
    overlap = common / np.maximum(areas[0] + areas[1] - common, 1e-9)
    centres = [box[..., :2] + box[..., 2:] / 2 for box in (old, new)]
    apart = np.linalg.norm(centres[0] - centres[1], axis=-1)
    reach = np.sqrt(np.minimum(*areas))
    cost = 1 - overlap + apart / np.maximum(reach, 1e-9)
    return np.where((overlap >= MIN_OVERLAP) | (apart <= reach), cost, np.inf)

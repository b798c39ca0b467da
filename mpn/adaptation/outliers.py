"""Which windows of a camera's footage look anomalous beside the rest of it. No torch.

Whoever films a camera for adaptation may film a car on the pavement too. A support window that
stands out is not to be learned as normal: it is left out, named, and its nearest neighbour that
does not stand out takes its place.

How far a frame stands out is a robust deviation of the score from the lower part of all scores: up
to two thirds of the footage may be anything without moving it. That alone would name whoever walks
through a room that is empty most of the time. So a frame stands out only if its score is also high
beside the model's own normal footage, and the spread counts as a part of that footage's at the
least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpn.io.runs import intervals
from mpn.scoring.protocols import PAPER_RADIUS, paper_filter

# Quantiles of all smoothed scores: the middle and the low end of what is normal for certain. With a
# third of the footage anomalous 0.35 is about the median of the rest.
MIDDLE, LOW = 0.35, 0.05
# The least that the spread counts as, where the unit is a deviation within clips of the model's
# normal footage; and up to which quantile of that footage a score is ordinary.
LEAST_SPREAD, ORDINARY = 0.5, 0.8
# Measured with models of `small` that had not seen the scenes. On 21 normal clips of 100 to 400
# frames (13 real, 8 generated): 4.6 % of their windows stand out, all of them in five clips where
# little moves but one thing, 7 to 39 % there. On 21 stretches with a labelled anomaly, each a third
# of its generated scene's clip: 39 % of its windows stand out by a model of 24 scenes (26 % by
# the released model demo), 75 % (50 %) of those that the plain score of that model shows at
# all, and none of the normal windows around it. With 2.5: 5.7 %; 43 % (30 %), 75 % (54 %), 0.3 %.
LIMIT = 3.0


class Replaced(NamedTuple):
    """A support window that stood out.

    Attributes:
        clip: number of its clip.
        frame: its target frame.
        deviation: by how much it stood out, see `deviations`.
        by: the target frame in the same clip that takes its place, or None.
    """

    clip: int
    frame: int
    deviation: float
    by: int | None


class Stretch(NamedTuple):
    """Frames start to stop (exclusive) of clip number `clip`."""

    clip: int
    start: int
    stop: int


def deviations(
    scores: Sequence[np.ndarray], ordinary: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Measure how far each frame stands out against all footage of its camera.

    Args:
        scores: unsmoothed, a clip each, float (frames,), higher = more anomalous; NaN for frames
            without a score.
        ordinary: the same of the model's own normal footage, in units of its deviation within
            clips; None if there is none (`scores` may then be in any unit).

    Returns:
        A clip each, float64 (frames,): (score - middle) / spread, of scores smoothed over 7 frames
        on either side; at most 0 for what is ordinary; NaN as in `scores`.
    """
    smooth = [_smoothed(np.asarray(score, np.float64)) for score in scores]
    everything = np.concatenate(smooth)
    if np.isnan(everything).all():  # too little footage: nothing stands out of nothing
        return smooth
    middle, low = np.nanquantile(everything, [MIDDLE, LOW])
    if ordinary is None:
        return [(score - middle) / max(middle - low, 1e-12) for score in smooth]
    usual = np.nanquantile(
        np.concatenate([_smoothed(np.asarray(own, np.float64)) for own in ordinary]), ORDINARY
    )
    far = [(score - middle) / max(middle - low, LEAST_SPREAD) for score in smooth]
    return [np.where(score > usual, own, np.minimum(own, 0.0)) for score, own in zip(smooth, far)]


def _smoothed(score: np.ndarray) -> np.ndarray:
    """Smooth by the paper's filter, each stretch without gaps by itself."""
    result = score.copy()
    for start, stop in intervals(~np.isnan(score)):
        result[start:stop] = paper_filter(score[start:stop])
    return result


def window_deviations(far: np.ndarray, window: int) -> np.ndarray:
    """Measure by how much each window of a clip stands out: the most of any frame that it shows.

    Frames before a window, which only speed-ups look back on, don't count.

    Args:
        far: of `deviations`, of one clip.
        window: T, frames of a window.

    Returns:
        At each window's target frame; NaN where there is no window.
    """
    padded = np.concatenate([np.full(window, np.nan), far])
    shown = np.lib.stride_tricks.sliding_window_view(padded, window + 1)
    largest = np.where(np.isnan(shown), -np.inf, shown).max(axis=1)
    return np.where(np.isnan(far), np.nan, largest)


def choose(
    chosen: Sequence[tuple[int, int]], far: Sequence[np.ndarray], window: int
) -> tuple[list[tuple[int, int]], list[Replaced]]:
    """Replace windows that stand out by their nearest neighbours that don't.

    Args:
        chosen: (clip, target frame) of support windows.
        far: of `deviations`.
        window: T, frames of a window.

    Returns:
        The windows to take, in order and distinct - fewer, where a clip has not enough of them -,
        and what was left out, in the order of `chosen`.
    """
    by_window = [window_deviations(deviation, window) for deviation in far]
    taken = {(clip, frame) for clip, frame in chosen if not by_window[clip][frame] > LIMIT}
    left_out = []
    for clip, frame in chosen:
        if (clip, frame) in taken:
            continue
        used = np.array([other for number, other in taken if number == clip], int)
        free = np.setdiff1d(np.flatnonzero(by_window[clip] <= LIMIT), used)
        # Of what no other window shows, where there is that.
        apart = free[(np.abs(free[:, None] - used) > window).all(axis=1)]
        near = apart if len(apart) else free
        by = int(near[np.abs(near - frame).argmin()]) if len(near) else None
        if by is not None:
            taken.add((clip, by))
        left_out.append(Replaced(clip, frame, float(by_window[clip][frame]), by))
    return sorted(taken), left_out


def standing_out(far: Sequence[np.ndarray]) -> list[Stretch]:
    """Find the stretches of frames that stand out, with what the smoothing reaches on both sides.

    Args:
        far: of `deviations`.
    """
    stretches = []
    for clip, deviation in enumerate(far):
        near = np.convolve(deviation > LIMIT, np.ones(2 * PAPER_RADIUS + 1))
        near = near[PAPER_RADIUS : PAPER_RADIUS + len(deviation)]
        stretches += [Stretch(clip, start, stop) for start, stop in intervals(near > 0.5)]
    return stretches

"""The strangest moments of a camera's own normal footage: for its owner to look at.

Whoever films a camera for adaptation may film a car on the pavement too. No rule can say whether
that is normal there; but each piece of the footage is judged by the others, and what stands out
most can be shown: of six generated clips a third of which is anomalous, 14 of 18 such moments were
(benchmarks.poisoned, docs/results-adaptation.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpn.adaptation.outliers import Stretch

MOMENTS = 3  # that are shown
APART_SECONDS = 2.0  # between two of them
# A moment goes on while the score is above this share of the way from the footage's middle to its
# peak, and so long beyond it: what is about to be strange is strange to the place model too.
SHARE, BESIDE_SECONDS = 0.5, 0.5


class Moment(NamedTuple):
    """A moment of the footage.

    Attributes:
        clip: number of its clip.
        frame: where it is strangest.
        start: its first frame.
        stop: the frame after its last.
        score: at its strangest, in units of the camera's normal footage.
    """

    clip: int
    frame: int
    start: int
    stop: int
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return self._asdict()


def strangest_moments(
    scores: Sequence[np.ndarray],
    stretches: Sequence[Stretch],
    fps: float,
    most: int = MOMENTS,
) -> list[Moment]:
    """Find where the score is highest.

    Args:
        scores: smoothed, float64 (frames,), of each stretch's last frames.
        stretches: the frames of the footage that they belong to; those of which less than a second
            has scores are passed over, their scores being hardly smoothed.
        fps: frames a second.
        most: so many at the most.

    Returns:
        The strangest first.
    """
    middle = float(np.median(np.concatenate(scores)))
    apart, beside = round(APART_SECONDS * fps), round(BESIDE_SECONDS * fps)
    long = [number for number, score in enumerate(scores) if len(score) >= fps]
    scores, stretches = [scores[n] for n in long], [stretches[n] for n in long]
    left = [score.astype(np.float64, copy=True) for score in scores]
    found: list[Moment] = []
    while left and len(found) < most:
        peaks = [float(score.max()) for score in left]
        number = int(np.argmax(peaks))
        if peaks[number] <= middle:  # nothing is left that stands out
            break
        score, (clip, _, stop) = scores[number], stretches[number]
        at, offset = int(left[number].argmax()), stop - len(score)
        # What was found before is low, too.
        low = np.flatnonzero(left[number] <= middle + SHARE * (peaks[number] - middle))
        start = int(low[low < at].max(initial=-1)) + 1 - beside
        end = int(low[low > at].min(initial=len(score))) + beside
        start, end = max(start, 0), min(end, len(score))
        found.append(Moment(clip, offset + at, offset + start, offset + end, peaks[number]))
        left[number][max(0, start - apart) : end + apart] = -np.inf
    return found

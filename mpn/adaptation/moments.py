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

from mpn.adaptation.place import Pieces, Stretch
from mpn.datasets.windows import Clip
from mpn.motion.place import PlaceModel
from mpn.scoring.clips import quotients_by
from mpn.scoring.detector import Detector
from mpn.scoring.judge import SeenFrame
from mpn.scoring.reasons import Reason, SeenMotion, reason_of
from mpn.scoring.regions import Box
from mpn.scoring.result import Result
from mpn.scoring.scores import score_frames

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
        region: what stands out there, (top, left, height, width) in pixels of the recording; None
            where it was not looked for.
        reason: why it does; likewise.
    """

    clip: int
    frame: int
    start: int
    stop: int
    score: float
    region: Box | None = None
    reason: Reason | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        region = None if self.region is None else list(self.region)
        reason = None if self.reason is None else self.reason.to_dict()
        return self._asdict() | {"region": region, "reason": reason}


def strangest_moments(
    scores: Sequence[np.ndarray],
    stretches: Sequence[Stretch],
    fps: float,
    max_moments: int = MOMENTS,
) -> list[Moment]:
    """Find where the score is highest.

    Args:
        scores: smoothed, float64 (frames,), of each stretch's last frames.
        stretches: the frames of the footage that they belong to; those of which less than a second
            has scores are passed over, their scores being hardly smoothed.
        fps: frames a second.
        max_moments: so many at the most.

    Returns:
        The strangest first.
    """
    middle = float(np.median(np.concatenate(scores)))
    apart, beside = round(APART_SECONDS * fps), round(BESIDE_SECONDS * fps)
    long = [number for number, score in enumerate(scores) if len(score) >= fps]
    scores, stretches = [scores[n] for n in long], [stretches[n] for n in long]
    left = [score.astype(np.float64, copy=True) for score in scores]
    moments: list[Moment] = []
    while left and len(moments) < max_moments:
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
        moments.append(Moment(clip, offset + at, offset + start, offset + end, peaks[number]))
        left[number][max(0, start - apart) : end + apart] = -np.inf
    return moments


def looked_at(
    moments: Sequence[Moment], detector: Detector, clips: Sequence[Clip], pieces: Pieces
) -> list[Moment]:
    """Find where and why moments stand out, and the frame that shows it best.

    The score is smoothed, and highest a little after what it is high for.

    Args:
        moments: of the held-out footage.
        detector: of the camera.
        clips: with their motion.
        pieces: of the held-out footage, with place models that have not seen them.

    Returns:
        The same moments; of clips whose `source_size` is unknown as they were.
    """
    return [_looked_at(moment, detector, clips[moment.clip], pieces) for moment in moments]


def _looked_at(moment: Moment, detector: Detector, clip: Clip, pieces: Pieces) -> Moment:
    if clip.source_size is None or clip.motion is None:
        return moment
    piece, place = next(
        (piece, place)
        for piece, place in pieces.judged
        if piece.clip == moment.clip and piece.start <= moment.frame < piece.stop
    )
    window = detector.config.window
    first = max(moment.start, piece.start, window)
    quotients = quotients_by(clip, place, static=pieces.static, start=piece.start, stop=piece.stop)
    before = first - window
    scored = score_frames(
        detector.network,
        clip.frames[before : moment.frame + 1],
        parts=detector.parts,
        quotients=lambda number: quotients(before + number),
        patch=detector.score_config.patch,
        batch_size=detector.batch_size,
        engine=detector.engine,
    )
    best: Result | None = None
    for scores in scored:
        frame = before + scores.frame
        seen_frame = SeenFrame(frame, frame / (clip.fps or 1), None, _motion(clip, frame, place))
        result = detector.judge.result(seen_frame, scores, clip.source_size)
        if best is None or result.raw > best.raw:
            best = result
    if best is None or best.evidence is None:
        return moment
    return moment._replace(frame=best.frame, region=best.region, reason=reason_of(best.evidence))


def _motion(clip: Clip, frame: int, place: PlaceModel) -> SeenMotion:
    assert clip.motion is not None and clip.source_size is not None
    return SeenMotion(place.speeds(clip.motion[frame]), place, clip.source_size, clip.fps)

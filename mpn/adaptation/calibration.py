"""The camera's thresholds from its held-out footage, and what the adapted model makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mpn.adaptation.before_after import (
    HeldOutMetrics,
    crossed_metrics,
    held_out_losses,
    held_out_metrics,
    smoothed_score,
)
from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.inner_loop import FilledAdaptation
from mpn.adaptation.made_motion import Judged, Made, try_out
from mpn.adaptation.moments import Moment, looked_at, strangest_moments
from mpn.adaptation.place import Pieces, Stretch, learn_place, pieces_of, with_motion
from mpn.adaptation.plan import Plan
from mpn.datasets.windows import Clip
from mpn.meta.maml import Params
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.parts import STAYS
from mpn.scoring.scores import ScoreConfig
from mpn.video.timing import USUAL_RATE


class Measured(NamedTuple):
    """What became of the held-out footage, as `Report` has it."""

    before: HeldOutMetrics
    after: HeldOutMetrics
    made: list[Made]
    moments: list[Moment]


def calibrated(
    detector: Detector,
    adapted: Checkpoint,
    tensors: Params,
    clips: Sequence[Clip],
    parts: Sequence[Mapping[str, np.ndarray]],
    plan: Plan,
    settings: FilledAdaptation,
    options: CameraOptions,
) -> Measured:
    """Calibrate the adapted model on what is held out, and measure it there, before and after.

    Args:
        detector: with the model before.
        adapted: the model after; its units and normal scores are filled in.
        tensors: parameters of its network that were adapted, none with "place".
        clips: of the camera.
        parts: their numbers by the model before.
        plan: what was adapted on, and what is held out.
        settings: of the adaptation.
        options: likewise.
    """
    window, rate = detector.config.window, options.false_alarms_per_hour
    fps = adapted.fps or USUAL_RATE
    before = [
        {name: values[start + window : stop] for name, values in parts[clip].items()}
        for clip, start, stop in plan.held_out_ranges
    ]
    losses: tuple[float | None, float | None] = (None, None)
    if tensors:
        footage = [
            replace(clips[clip].cut(start, stop), bad=[])
            for clip, start, stop in plan.held_out_ranges
        ]
        losses = held_out_losses(detector, tensors, footage, settings)
        after, pieces = _by_network(detector, adapted, clips, footage, plan)
    else:
        after, pieces = _by_place(adapted, clips, parts, plan, window)
    if STAYS.name not in after[0]:
        config = ScoreConfig.from_dict(adapted.score_config)
        adapted.score_config = config.with_place(trained_here=bool(tensors)).to_dict()
    adapted.normal = _normal(after, ScoreConfig.from_dict(adapted.score_config).weights)
    judge = detector.sibling(adapted, adapted.score_config)
    moments: list[Moment] = []
    if not tensors and judge.weights.keys() <= after[0].keys():
        scores = [smoothed_score(judge, stretch) for stretch in after]
        moments = strangest_moments(scores, plan.held_out_ranges, fps)
        if pieces is not None:
            moments = looked_at(moments, judge, clips, pieces)
    return Measured(
        held_out_metrics(detector, before, losses[0], fps, rate),
        crossed_metrics(judge, after, losses[1], fps, rate),
        _tried_out(judge, clips, pieces, plan.held_out_ranges, after, (fps, rate)),
        moments,
    )


def _by_place(
    adapted: Checkpoint,
    clips: Sequence[Clip],
    parts: Sequence[Mapping[str, np.ndarray]],
    plan: Plan,
    window: int,
) -> tuple[list[dict[str, np.ndarray]], Pieces]:
    """Give the numbers of held-out stretches where the network stays as it is, see `calibrated`."""
    place = next(iter(adapted.places.values()))
    static = place.background.known
    judge = place if plan.windows else None
    pieces = pieces_of(clips, plan.held_out_ranges, judge, static=static)
    return with_motion(parts, clips, plan.held_out_ranges, pieces, window), pieces


def _by_network(
    detector: Detector,
    adapted: Checkpoint,
    clips: Sequence[Clip],
    footage: Sequence[Clip],
    plan: Plan,
) -> tuple[list[dict[str, np.ndarray]], Pieces | None]:
    """Give the numbers of held-out stretches by an adapted network, see `calibrated`.

    Where it learned from the whole footage but these, so did the place model that judges them.
    """
    scorer, pieces = replace(adapted, normal={}), None
    if plan.learned:
        rest = learn_place(clips, plan.learned)
        scorer = replace(scorer, places=dict.fromkeys(adapted.places, rest))
        pieces = pieces_of(clips, plan.held_out_ranges, rest, static=rest.background.known)
    judge = detector.sibling(scorer, adapted.score_config)
    scored = score_clips(judge, footage, "calibrating")
    window = detector.config.window
    columns = [{name: values[window:] for name, values in numbers.items()} for numbers in scored]
    return columns, pieces


def _normal(
    columns: Sequence[Mapping[str, np.ndarray]], names: Iterable[str]
) -> dict[str, list[np.ndarray]]:
    """Round the numbers of normal footage as a camera file keeps them.

    So a threshold is the same before it is written and after.
    """
    return {
        name: [stretch[name].astype(np.float16).astype(np.float32) for stretch in columns]
        for name in names
        if name in columns[0]
    }


def _tried_out(
    detector: Detector,
    clips: Sequence[Clip],
    pieces: Pieces | None,
    held_out: Sequence[Stretch],
    columns: Sequence[Mapping[str, np.ndarray]],
    rates: tuple[float, float],
) -> list[Made]:
    """Try the adapted model on anomalies made of held-out motion; rates of frames and alarms."""
    if pieces is None:
        return []
    judged, missing = [], np.full(detector.config.window, np.nan)
    for piece, place in pieces.judged:
        number, (_, first, _) = next(
            (n, stretch)
            for n, stretch in enumerate(held_out)
            if stretch.clip == piece.clip
            and stretch.start <= piece.start
            and piece.stop <= stretch.stop
        )
        numbers = {
            name: np.concatenate([missing, values])[piece.start - first : piece.stop - first]
            for name, values in columns[number].items()
        }
        judged.append(Judged(piece, place, numbers))
    calibration = detector.calibration(rates[0])
    level = calibration.threshold(rates[1]).value if calibration else None
    motions = [clip.motion for clip in clips if clip.motion is not None]
    smoothing = detector.score_config.smoothing
    return try_out(motions, judged, rates[0], detector.weights, detector.normal, smoothing, level)

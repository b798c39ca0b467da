"""The adaptation of a model to a camera by its normal footage: what `mpn adapt` does.

By default all of the footage is learned from, for the camera's place model
(`mpn.adaptation.place`), and the network is neither changed nor asked. By "adam" the network learns
from three quarters of it, too, in pieces; the last quarter is held out. With K shots it is K
windows, spread over the footage, and *held out* is every frame that no support window shows, as
input or as target. (The frames before a support window lend it material for speed-ups, which are
learned as what is not normal, and are held out all the same.) Held-out frames come in stretches
between the support windows, and a frame is scored where its whole window lies in its stretch. On
these frames alone before and after are compared and the camera's thresholds are set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpn.adaptation.calibration import Measured, calibrated
from mpn.adaptation.camera_report import CameraOptions, Report
from mpn.adaptation.footage import footage_keys, frame_rate, leave_out, read_footage
from mpn.adaptation.inner_loop import (
    FilledAdaptation,
    adapt_network,
    adapted_checkpoint,
    targets_in,
)
from mpn.adaptation.place import Stretch, learn_place, windows_as_stretches
from mpn.adaptation.plan import MIN_HELD_OUT, Plan, plan_of
from mpn.datasets.shots import Shots, spread
from mpn.datasets.windows import Clip
from mpn.errors import AdaptationError, DataError, MpnError
from mpn.meta.maml import Params
from mpn.model.camera_checkpoint import CAMERA_BYTES
from mpn.model.checkpoint import Checkpoint
from mpn.model.parameters import target_names
from mpn.motion.place import PlaceModel
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.parts import STAYS, parts_of
from mpn.scoring.scores import ScoreConfig
from mpn.video.depth import common_levels
from mpn.video.paths import folder_name

DEFAULT_SHOTS = 10  # of learned step sizes, which were learned for few
# So many are kept for the camera's thresholds, or as many as a camera file has room for beside
# `RESERVED_BYTES`, for the place model and the description.
NORMAL_FRAMES, RESERVED_BYTES = 100_000, 300_000


def adapt_camera(
    detector: Detector,
    source: str | Path,
    options: CameraOptions | None = None,
    *,
    fps: float | None = None,
    skip_bad: bool = False,
) -> tuple[Checkpoint, Report]:
    """Adapt a detector's model to a camera; the detector itself is left as it is.

    Args:
        detector: with the model.
        source: normal footage of the camera: a video, a folder of frames, or a folder of several of
            either.
        options: how.
        fps: frames per second, instead of what the source says.
        skip_bad: go on without frames that cannot be read.

    Returns:
        The adapted model with the camera's calibration, for
        `mpn.adaptation.camera_file.write_camera`, and the report.

    Raises:
        DataError: footage that cannot be read, has no such frames, or too little of it, with
            numbers.
        AdaptationError: the loss on held-out frames has risen.
        MpnError: "meta" with a model that was not meta-trained, a camera's model, or more adapted
            numbers than a camera file has room for.
    """
    options = options or CameraOptions()
    # What cannot be is refused before anything is read.
    _refuse_adapted(detector.checkpoint)
    _room(detector, _settings(detector.checkpoint, options), options)
    clips = read_footage(detector, source, fps, skip_bad)
    try:
        clips = leave_out(clips, options.without)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    adapted, report = adapt_clips(detector, source, clips, options)
    assert adapted.camera is not None
    adapted.camera["adapted_on"]["footage"] = footage_keys(source, clips)
    return adapted, report


def adapt_clips(
    detector: Detector,
    source: str | Path,
    clips: Sequence[Clip],
    options: CameraOptions | None = None,
    *,
    parts: Sequence[Mapping[str, np.ndarray]] | None = None,
    excluded: Sequence[Stretch] = (),
) -> tuple[Checkpoint, Report]:
    """Adapt a detector's model to a camera by footage that was read, see `adapt_camera`.

    Args:
        detector: with the model.
        source: of the footage; names the camera.
        clips: with their motion.
        options: how.
        parts: the numbers of the clips by the detector, where they are known, as
            `mpn.scoring.clips.score_clips` gives them; without those of the network motion alone
            is judged. The clips' frames may then be small pictures of the camera's grid.
        excluded: stretches that are not normal, as `mpn.live.learning` finds them.

    Returns:
        See `adapt_camera`.

    Raises:
        MpnError: as `adapt_camera`.
    """
    options = options or CameraOptions()
    base, window = detector.checkpoint, detector.config.window
    _refuse_adapted(base)
    settings = _settings(base, options)
    room = _room(detector, settings, options)
    options = replace(options, shots=_shots(options))
    # Too little footage is found first.
    chosen = _spread(source, clips, options.shots, window) if options.shots else []
    rate, rate_from = frame_rate(clips, base)
    clips = [replace(clip, fps=clip.fps or rate) for clip in clips]
    if parts is None:
        by_network = options.asks_network
        parts = score_clips(detector, clips, "scoring") if by_network else [{} for _ in clips]
    options = replace(options, network=bool(parts[0].keys() & set(detector.weights)))
    plan = plan_of(source, clips, chosen, window, options, room, excluded)
    tensors = _adapted(source, detector, plan.shots, settings)
    learned = windows_as_stretches(plan.windows, window) or plan.normal_ranges
    place = learn_place(clips, learned)
    adapted = _learned(source, detector, tensors, place, rate)
    if not options.network:
        alone = ScoreConfig.from_dict(adapted.score_config).of_place_alone()
        adapted.score_config = alone.to_dict()
    measured = calibrated(detector, adapted, tensors, clips, parts, plan, settings, options)
    report = _report(source, clips, plan, window, (rate, rate_from), measured, options, settings)
    if not options.force:
        _refuse_worse(report)
    adapted.camera = _described(base, tensors, report, clips)
    return adapted, report


def _learned(
    source: str | Path, detector: Detector, tensors: Params, place: PlaceModel, rate: float
) -> Checkpoint:
    """Give the base what was learned of the camera; thresholds it has none yet."""
    static = place.background.known
    score_config = detector.score_config.with_place(trained_here=False, static=static)
    if tensors:
        # The network knows the camera now; for how long things stay there is known no better.
        here = detector.score_config.with_place(trained_here=True, static=static)
        stays = {STAYS.name: score_config.weights[STAYS.name]}
        score_config = replace(here, weights={**here.weights, **stays})
    return replace(
        adapted_checkpoint(detector.checkpoint, tensors),
        fps=rate,
        score_config=score_config.to_dict(),
        places={folder_name(Path(source)): place},
        sha256="",
        path=None,
    )


def _report(
    source: str | Path,
    clips: Sequence[Clip],
    plan: Plan,
    window: int,
    rate: tuple[float, str],
    measured: Measured,
    options: CameraOptions,
    settings: FilledAdaptation,
) -> Report:
    """Say what was done and what came of it; `rate` and where it is from."""
    return Report(
        source=str(source),
        clips=[clip.name for clip in clips],
        frames=[len(clip.frames) for clip in clips],
        without=list(options.without),
        fps=rate[0],
        fps_from=rate[1],
        windows=plan.windows,
        excluded=plan.excluded,
        held_out=sum(stop - start - window for _, start, stop in plan.held_out_ranges),
        before=measured.before,
        after=measured.after,
        made=measured.made,
        moments=measured.moments,
        options=_used(options, settings),
    )


def _described(
    base: Checkpoint, tensors: Params, report: Report, clips: Sequence[Clip]
) -> dict[str, Any]:
    """Give what `Checkpoint.camera` says of an adapted model."""
    adapted_on = report.to_dict()
    if levels := common_levels(clip.levels for clip in clips):
        adapted_on["levels"] = list(levels)
    return {
        "base": {"path": str(base.path or ""), "sha256": base.sha256},
        "tensors": sorted(tensors),
        "adapted_on": adapted_on,
    }


def _used(options: CameraOptions, settings: FilledAdaptation) -> dict[str, Any]:
    """Give the options that were used, as plain values."""
    names = ("shots", "network", "false_alarms_per_hour")
    return asdict(settings) | {name: getattr(options, name) for name in names}


def _settings(base: Checkpoint, options: CameraOptions) -> FilledAdaptation:
    """Decide how it is adapted; a whole model has room for all parameters, which find more."""
    adaptation = options.adaptation
    if options.standalone and adaptation.method == "adam" and adaptation.targets is None:
        adaptation = replace(adaptation, targets=targets_in(base.network, "all"))
    return adaptation.filled(base)


def _shots(options: CameraOptions) -> int | None:
    """Return K; None for all footage."""
    if options.shots is None and options.adaptation.method == "meta":
        return DEFAULT_SHOTS
    return options.shots


def _refuse_adapted(base: Checkpoint) -> None:
    if base.camera:
        raise MpnError(
            f"{base.path or 'this model'} is adapted to a camera already: adapt its base, "
            f"{base.camera['base']['path']}"
        )


def _refuse_worse(report: Report) -> None:
    if report.worse:
        raise AdaptationError(
            f"{report.source}: on its held-out frames the loss is {report.after.loss:.5f} after "
            f"adaptation and was {report.before.loss:.5f} before, so nothing is kept: give more "
            "shots or other footage, or keep it all the same (--force)"
        )


def _spread(
    source: str | Path, clips: Sequence[Clip], shots: int, window: int
) -> list[tuple[int, int]]:
    try:
        return spread(clips, shots, window)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def _adapted(
    source: str | Path, detector: Detector, shots: Shots | None, settings: FilledAdaptation
) -> Params:
    if shots is None or settings.method == "place":
        return {}
    tensors = adapt_network(detector.checkpoint, shots, settings, bfloat16=detector.bfloat16)
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise AdaptationError(
            f"{source}: adaptation gave numbers that are not finite, so nothing is kept: take "
            "fewer steps (--steps) or a lower --learning-rate"
        )
    return tensors


def _room(detector: Detector, settings: FilledAdaptation, options: CameraOptions) -> int:
    """Find how many normal frames the result has room for.

    Raises:
        MpnError: more adapted numbers than a camera file takes.
    """
    parameters = dict(detector.network.named_parameters())
    names = target_names(detector.network, settings.targets) if settings.targets else ()
    numbers = sum(parameters[name].numel() for name in names)
    if options.standalone:
        return NORMAL_FRAMES
    columns = len(parts_of(detector.network, place=True, static=True))
    left = (CAMERA_BYTES - RESERVED_BYTES - 4 * numbers) // (2 * columns)
    if left < MIN_HELD_OUT:
        raise MpnError(
            f"{', '.join(settings.targets)} are {numbers:,} numbers, {4 * numbers / 1e6:.2f} MB, "
            f"and a camera file has less than {CAMERA_BYTES / 1e6:g}: adapt fewer (--method adam "
            "--targets first), or write a whole model (--standalone)"
        )
    return min(left, NORMAL_FRAMES)

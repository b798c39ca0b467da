"""What a model makes of a camera's held-out frames: the before and after of an adaptation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from mpn.adaptation.inner_loop import FilledAdaptation, SceneLoss
from mpn.datasets.shots import shots_of, spread
from mpn.datasets.windows import Clip, Sample
from mpn.meta.maml import Params
from mpn.scoring.events import events
from mpn.scoring.parts import PSNR
from mpn.scoring.protocols import exponential
from mpn.scoring.scores import combine

if TYPE_CHECKING:
    from mpn.scoring.detector import Detector

# Held-out windows that the loss is taken on, and how many at a time.
LOSS_WINDOWS, LOSS_BATCH = 64, 8

# Raw columns of scores by name, float32 (frames,).
Parts = Mapping[str, np.ndarray]


class HeldOutMetrics(NamedTuple):
    """What a model makes of the held-out frames.

    Attributes:
        psnr_db: mean PSNR of the prediction; NaN where the network was not asked.
        loss: that of the adaptation, with the same made anomalies for both models; None where no
            gradient was taken.
        threshold: in units of the model's own normal frames; this and what follows is None for a
            model without normal scores.
        extrapolated: whether the threshold is beyond what its normal footage can show.
        false_alarms: episodes above it.
        above: share of frames above it.
    """

    psnr_db: float
    loss: float | None
    threshold: float | None = None
    extrapolated: bool | None = None
    false_alarms: int | None = None
    above: float | None = None


def held_out_losses(
    detector: Detector, tensors: Params, footage: Sequence[Clip], settings: FilledAdaptation
) -> tuple[float, float]:
    """Compute the adaptation's loss on held-out footage, before and after.

    Both on the same windows, evenly spread, with the same made anomalies, of nothing but these
    frames.

    Args:
        detector: with the network before.
        tensors: the parameters after, in place of the network's.
        footage: held-out stretches.
        settings: of the adaptation.
    """
    network, window = detector.network, detector.config.window
    count = min(LOSS_WINDOWS, sum(len(clip.frames) - window for clip in footage))
    shots = shots_of(footage, spread(footage, count, window), window)
    loss = SceneLoss(network, list(tensors), bfloat16=detector.bfloat16, without=settings.without)
    pseudo = network.config.pseudo_head and "pseudo" not in settings.without
    frames, tampered = shots.sample(count, np.random.default_rng((settings.seed, 1)), pseudo=pseudo)
    parameters = dict(network.named_parameters())
    before = after = 0.0
    with torch.no_grad():
        for first in range(0, count, LOSS_BATCH):
            batch = Sample(frames[first : first + LOSS_BATCH], tampered[first : first + LOSS_BATCH])
            prepared, share = loss.prepare(batch), len(batch.frames) / count
            before += share * float(loss({name: parameters[name] for name in tensors}, prepared))
            after += share * float(loss(tensors, prepared))
    return before, after


def held_out_metrics(
    detector: Detector, parts: Sequence[Parts], loss: float | None, fps: float, rate: float
) -> HeldOutMetrics:
    """Measure a detector, calibrated on other footage, on held-out stretches.

    Args:
        detector: with the network that `parts` are of.
        parts: raw score parts of every stretch.
        loss: of `held_out_losses`.
        fps: frames per second.
        rate: false alarms an hour that the threshold is for.
    """
    if not set(detector.weights) <= parts[0].keys():  # the network was not asked
        return HeldOutMetrics(math.nan, loss)
    psnr = math.nan
    if PSNR.name in parts[0]:
        psnr = float(np.mean(np.concatenate([stretch[PSNR.name] for stretch in parts])))
    calibration = detector.calibration(fps)
    if calibration is None:
        return HeldOutMetrics(psnr, loss)
    threshold = calibration.threshold(rate)
    episodes, above, count = _alarms(detector, threshold.value, parts, fps)
    return HeldOutMetrics(
        psnr, loss, threshold.value, threshold.extrapolated, episodes, above / count
    )


def crossed_metrics(
    detector: Detector, parts: Sequence[Parts], loss: float | None, fps: float, rate: float
) -> HeldOutMetrics:
    """Measure a detector that is calibrated on these very stretches.

    Its threshold is that of all of them; false alarms are counted in the later half with what the
    earlier half is calibrated to, and the reverse.

    Args:
        detector: with the network that `parts` are of.
        parts: raw score parts of every stretch.
        loss: of `held_out_losses`.
        fps: frames per second.
        rate: false alarms an hour that the threshold is for.
    """
    plain = held_out_metrics(detector, parts, loss, fps, rate)
    halves = _halves(parts)
    episodes = above = count = 0
    for fitted_on, tested_on in (halves, halves[::-1]):
        normal = {name: [stretch[name] for stretch in fitted_on] for name in detector.weights}
        fitted = detector.sibling(replace(detector.checkpoint, normal=normal))
        calibration = fitted.calibration(fps)
        if calibration is None:  # nothing to count with
            return plain._replace(false_alarms=None, above=None)
        alarms = _alarms(fitted, calibration.threshold(rate).value, tested_on, fps)
        episodes, above, count = episodes + alarms[0], above + alarms[1], count + alarms[2]
    return plain._replace(false_alarms=episodes, above=above / count)


def smoothed_score(detector: Detector, parts: Parts) -> np.ndarray:
    """Compute the score of a stretch as it is scored live, float64 (frames,).

    Args:
        detector: with weights and units.
        parts: raw score parts of the stretch.
    """
    raw = combine(parts, detector.weights, detector.normal)
    return exponential(raw, detector.score_config.smoothing)


def _alarms(
    detector: Detector, threshold: float, parts: Sequence[Parts], fps: float
) -> tuple[int, int, int]:
    """Count episodes (PROTOCOL section 2) and frames above a threshold, and frames in all."""
    episodes = above = count = 0
    for stretch in parts:
        score = smoothed_score(detector, stretch)
        episodes += len(events(score, threshold, fps, min_frames=1))
        above += int((score > threshold).sum())
        count += len(score)
    return episodes, above, count


def _halves(parts: Sequence[Parts]) -> tuple[list[Parts], list[Parts]]:
    """Split into the earlier and the later half of the frames; the stretch in the middle is cut."""
    left = sum(len(next(iter(stretch.values()))) for stretch in parts) // 2
    earlier: list[Parts] = []
    later: list[Parts] = []
    for stretch in parts:
        length = len(next(iter(stretch.values())))
        cut = min(max(left, 0), length)
        left -= length
        if cut:
            earlier.append({name: values[:cut] for name, values in stretch.items()})
        if cut < length:
            later.append({name: values[cut:] for name, values in stretch.items()})
    return earlier, later

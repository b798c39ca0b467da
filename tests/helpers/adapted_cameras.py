"""Adapting a tiny model to a made-up camera: by few windows, or by what else is asked for."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path

import torch

from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.model.checkpoint import MetaInfo, load_checkpoint, save_checkpoint
from mpn.model.parameters import target_names
from mpn.scoring.detector import Detector
from tests.helpers.small_model import write_model

LENGTH, SHOTS, WINDOW = 120, 3, 4
META = Adaptation()  # the two steps of the tiny model, quicker than the hundred of Adam
# frames of the poisoned clip, and the third of them that an intruder is in
POISONED, POISON = 180, (60, 120)


def write_base(path: Path, step_size: float) -> Path:
    """Write the still model with one step size for its pseudo-anomaly head."""
    plain = load_checkpoint(write_model(path))
    sizes = {
        name: torch.tensor(step_size) for name in target_names(plain.network, ("pseudo_head.",))
    }
    save_checkpoint(path, replace(plain, meta=MetaInfo(("pseudo_head.",), sizes, steps=2, batch=4)))
    return path


def detector_of(path: Path) -> Detector:
    return Detector(load_checkpoint(path), precision="float32")


def adapted_on(base: Path, clip: Path, **options):
    """The base's model adapted by few windows, and the report; options as `CameraOptions` has."""
    return adapt_camera(
        detector_of(base),
        clip,
        CameraOptions(**{"shots": SHOTS, "adaptation": META} | options),
    )


def split_calibration(
    windows: list[tuple[int, int]], length: int = LENGTH, without: Set[int] = frozenset()
) -> list[int]:
    """The targets which, with their windows, show no frame of a support window or its target."""
    used = {frame for _, target in windows for frame in range(target - WINDOW, target + 1)} | set(
        without
    )
    return [t for t in range(WINDOW, length) if not used & set(range(t - WINDOW, t + 1))]

"""Footage of a camera that a model is to be adapted to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.detector import Detector
from mpn.video.footage import describe_left_out, footage_of, sources_of
from mpn.video.paths import folder_name
from mpn.video.timing import USUAL_RATE

log = logging.getLogger(__name__)


def read_footage(
    detector: Detector, source: str | Path, fps: float | None, skip_bad: bool
) -> list[Clip]:
    """Read the frames of a camera's footage, fitted to the network.

    Args:
        detector: with the network.
        source: a video, a folder of frames, or a folder of several of either.
        fps: frames per second, instead of what the source says.
        skip_bad: go on without frames that cannot be read.

    Raises:
        DataError: naming what is missing or cannot be read.
        FrameError: likewise.
        SizeError: frames too small for the network.
    """
    name, config = folder_name(Path(source)), detector.config
    footage = footage_of(source)
    for line in describe_left_out(footage.left_out, Path(source)):
        log.info("%s: %s", source, line)
    videos = [Video(folder_name(path), path, name) for path in sources_of(source, footage)]
    return load_clips(
        videos,
        config.size,
        config.grey,
        skip_bad=skip_bad,
        fps=fps,
        motion=True,
        interpolation=config.interpolation,
        min_side=config.stride,
    )


def frame_rate(clips: Sequence[Clip], base: Checkpoint) -> tuple[float, str]:
    """Find the frames per second, and where that is known from: "footage", "model" or "assumed".

    Args:
        clips: of the camera.
        base: the model that is adapted.
    """
    rates = {clip.fps for clip in clips if clip.fps}
    if rates:
        return float(np.median(sorted(rates))), "footage"
    return (base.fps, "model") if base.fps else (USUAL_RATE, "assumed")

"""Footage of a camera that a model is to be adapted to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import DataError
from mpn.model.checkpoint import Checkpoint
from mpn.motion.cameras import tell_apart, view_frames, view_of
from mpn.scoring.detector import Detector
from mpn.video.footage import Footage, describe_left_out, footage_of, sources_of
from mpn.video.frame_source import BadFrame
from mpn.video.paths import MAX_KEYS, folder_name, footage_key, stamp_of
from mpn.video.timing import USUAL_RATE

log = logging.getLogger(__name__)

MAX_VIEWS = 4  # that are named


class Without(NamedTuple):
    """Frames of a clip that are not to count as normal.

    Attributes:
        first: the first of them.
        last: the last of them.
        clip: its name; None where there is one clip only.
    """

    first: int
    last: int
    clip: str | None = None

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.clip}:{self.first}-{self.last}" if self.clip else f"{self.first}-{self.last}"


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
    videos = [
        Video(clip_name, path, name) for clip_name, path in recordings_of(source, footage).items()
    ]
    clips = load_clips(
        videos,
        config.size,
        config.grey,
        skip_bad=skip_bad,
        fps=fps,
        motion=True,
        interpolation=config.interpolation,
        min_side=config.stride,
    )
    _say_views(source, clips)
    return clips


def _say_views(source: str | Path, clips: Sequence[Clip]) -> None:
    """Warn where the recordings show more than one view: they are no camera's."""
    views = tell_apart([view_of(clip.frames[view_frames(len(clip.frames))]) for clip in clips])
    if len(views) > 1:
        names = ", ".join(clips[view[0]].name for view in views[:MAX_VIEWS])
        rest = f" and {len(views) - MAX_VIEWS} more" * (len(views) > MAX_VIEWS)
        log.warning("%s: recordings of %d different views, the first of", source, len(views))
        log.warning("  each: %s%s; what is normal is learned by place,", names, rest)
        log.warning("  so adapt to each camera by itself")


def recordings_of(source: str | Path, footage: Footage | None = None) -> dict[str, Path]:
    """List the recordings in a camera's footage, by the names of its clips.

    Args:
        source: as of `read_footage`.
        footage: what lies there, where that is known.

    Raises:
        DataError: there is none.
    """
    paths = sources_of(source, footage or footage_of(source))
    return dict(zip(_distinct_names(paths, Path(source)), paths))


def footage_keys(source: str | Path, clips: Sequence[Clip]) -> dict[str, list[int]]:
    """Name the recordings that a camera is learned from, so that they are known again.

    Args:
        source: as of `read_footage`.
        clips: what was read there.

    Returns:
        `mpn.video.paths.footage_key` -> its first frame, and the one after the last; of the first
        `MAX_KEYS` recordings.
    """
    lengths = {clip.name: len(clip.frames) for clip in clips[:MAX_KEYS]}
    return {
        footage_key(str(path.resolve()), stamp_of(path)): [0, lengths[name]]
        for name, path in recordings_of(source).items()
        if name in lengths
    }


def _distinct_names(paths: Sequence[Path], source: Path) -> list[str]:
    """Name recordings; where two have one name, by their paths within the source."""
    names = [folder_name(path) for path in paths]
    return [
        name if names.count(name) == 1 else path.relative_to(source).as_posix()
        for name, path in zip(names, paths)
    ]


def leave_out(clips: Sequence[Clip], without: Sequence[Without]) -> list[Clip]:
    """Take frames as unreadable, so that nothing is learned of them.

    Args:
        clips: of the camera.
        without: the frames.

    Raises:
        DataError: there is no such clip, or no such frame in it.
    """
    names = [clip.name for clip in clips]
    result = list(clips)
    for span in without:
        if span.clip is None and len(clips) > 1:
            raise DataError(f"frames {span}: of which recording? Write {names[0]}:{span}")
        if span.clip is not None and span.clip not in names:
            raise DataError(f"frames {span}: there is no {span.clip}, but {', '.join(names)}")
        number = 0 if span.clip is None else names.index(span.clip)
        frames = len(clips[number].frames)
        if not 0 <= span.first <= span.last < frames:
            raise DataError(
                f"frames {span}: {names[number]} has frames 0 to {frames - 1}, "
                "the first comes first"
            )
        bad = result[number].bad
        unreadable = {entry.index for entry in bad}
        added = [
            BadFrame(index, names[number], "is left out")
            for index in range(span.first, span.last + 1)
            if index not in unreadable
        ]
        result[number] = replace(
            result[number], bad=sorted([*bad, *added], key=lambda entry: entry.index)
        )
    return result


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

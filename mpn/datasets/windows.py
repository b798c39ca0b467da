"""Windows of frames for training: decoded once, kept as uint8, taken in a seeded order.

A clip's frames are one uint8 array (T, H, W, C), in memory where all clips fit there and else in a
file on disk that is mapped in (workers then read it while the network trains). Both give the same
samples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from mpn.datasets.decoded import decode, too_large
from mpn.datasets.layouts import Video
from mpn.datasets.mover_pasting import anomalies_by_scene, movers_by_scene
from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions
from mpn.errors import DataError, FrameError, SizeError
from mpn.motion.flow import CELLS, CHANNELS
from mpn.video.depth import Levels, common_levels
from mpn.video.frame_source import BadFrame, FrameSource
from mpn.video.images import check_side, fit_frame
from mpn.video.sources import open_source
from mpn.video.timing import USUAL_RATE

log = logging.getLogger(__name__)

MOTION_BYTES = 2 * CELLS * CHANNELS  # of a frame's motion, about


@dataclass
class Clip:
    """The frames of one video as the network takes them.

    Attributes:
        name: the video's name.
        scene: its camera.
        frames: uint8 (T, H, W, C), in memory or mapped from disk.
        fps: frames per second, or None where unknown.
        bad: frames that could not be read and hold their neighbour instead; no window has one.
        motion: float16 (T, rows, columns, CHANNELS), of the frames as they were before they were
            fitted to the network, see `mpn.motion.flow.MotionReader`; or None where it was not
            read.
        levels: what was stretched to 8 bits, see `mpn.video.depth`; None for most.
        source_size: (height, width) of the frames before they were fitted, None where unknown.
    """

    name: str
    scene: str
    frames: np.ndarray
    fps: float | None = None
    bad: list[BadFrame] = field(default_factory=list)
    motion: np.ndarray | None = None
    levels: Levels | None = None
    source_size: tuple[int, int] | None = None

    def cut(self, start: int, stop: int, name: str | None = None) -> Clip:
        """Take frames `start` to `stop` (exclusive) as a clip of their own.

        Args:
            start: from 0.
            stop: at most the number of frames counts.
            name: of the new clip; default: this one's.
        """
        inside = (entry for entry in self.bad if start <= entry.index < stop)
        bad = [replace(entry, index=entry.index - start) for entry in inside]
        motion = None if self.motion is None else self.motion[start:stop]
        frames = self.frames[start:stop]
        return replace(self, name=name or self.name, frames=frames, bad=bad, motion=motion)


class Sample(NamedTuple):
    """One sample of a `WindowDataset`, or a batch of them.

    Attributes:
        frames: T input frames and the target, uint8 (T + 1, C, H, W).
        tampered: where the input was tampered with, bool (H, W).
    """

    frames: Tensor
    tampered: Tensor


def load_clips(
    videos: Sequence[Video],
    size: tuple[int, int],
    grey: bool,
    *,
    skip_bad: bool = False,
    motion: bool = False,
    fps: float | None = None,
    interpolation: str = "area",
    min_side: int = 1,
    levels: Levels | None = None,
    memory_limit: int | None = None,
    cache: str | Path | None = None,
) -> list[Clip]:
    """Decode videos once, resized.

    Args:
        videos: what is read.
        size: (height, width) in pixels.
        grey: one channel instead of three (BGR).
        skip_bad: go on without frames and videos that cannot be read (they are logged); else stop
            at the first.
        motion: read the motion too, which takes as long as decoding or longer.
        fps: frame rate of sources that don't say theirs.
        interpolation: see `mpn.video.images.fit_frame`.
        min_side: pixels that frames must have in height and width.
        levels: of deep footage, that of a camera's normal footage; default: what all of this has.
        memory_limit: bytes, by default 40 % of the machine's memory; what needs more goes to a
            file that is deleted with the process.
        cache: folder of that file; by default the system's temporary one.

    Raises:
        FrameError: a frame cannot be read; it is named.
        DataError: a video cannot be opened; or nothing could be read.
        SizeError: frames are too small.
    """
    sources = _open_all(videos, skip_bad, fps, min_side)
    _use_common_levels([source for _, source in sources], levels)
    frame_bytes = size[0] * size[1] * (1 if grey else 3) + motion * MOTION_BYTES
    needed = sum(source.length for _, source in sources) * frame_bytes
    on_disk = too_large(needed, memory_limit)
    fit = partial(fit_frame, size=size, grey=grey, interpolation=interpolation)
    clips = []
    for video, source in tqdm(sources, desc="reading", unit="video", disable=None, leave=False):
        try:
            frames, moved = decode(source, fit, cache, on_disk=on_disk, motion=motion)
        except FrameError as error:
            if not skip_bad:
                raise
            log.warning("left out: %s", error)
            continue
        _say_faults(video.name, source)
        rate, bad = float(source.fps) if source.fps else None, list(source.bad)
        contents = frames, rate, bad, moved, source.levels, source.size
        clips.append(Clip(video.name, video.scene, *contents))
    if not clips:
        raise DataError("none of the videos could be read")
    return clips


def _say_faults(name: str, source: FrameSource) -> None:
    """Log what is odd about a source that was read, and which frames were left out."""
    for note in source.notes:
        log.warning("%s: %s", name, note)
    for bad in source.bad:
        log.warning("%s: frame %d (%s) is left out: %s", name, bad.index, bad.name, bad.reason)


def _open_all(
    videos: Sequence[Video], skip_bad: bool, fps: float | None, min_side: int
) -> list[tuple[Video, FrameSource]]:
    """Open what can be opened."""
    sources = []
    for video in videos:
        try:
            source = open_source(video.path, skip_bad=skip_bad, fps=fps)
            check_side(video.path, source.size, min_side)
            sources.append((video, source))
        except (DataError, SizeError) as error:
            if not skip_bad:
                raise
            log.warning("left out: %s", error)
    return sources


def _use_common_levels(sources: Sequence[FrameSource], levels: Levels | None) -> None:
    """Stretch deep footage alike, by `levels` or by what all of it has."""
    whose = "as in the normal footage" if levels else "what all of the footage has"
    levels = levels or common_levels(source.levels for source in sources)
    for source in sources:
        source.use_levels(levels, whose)


def split_calibration(clips: Sequence[Clip], share: float = 0.125) -> tuple[list[Clip], list[Clip]]:
    """Split normal footage into clips to train on and clips for calibration, scene by scene.

    With four clips or more in a scene, whole clips are held out, evenly spread; with fewer, the end
    of each.

    Args:
        clips: normal footage.
        share: of the footage that is for calibration, between 0 and 1.

    Returns:
        (training clips, calibration clips).
    """
    training: list[Clip] = []
    calibration: list[Clip] = []
    for scene in dict.fromkeys(clip.scene for clip in clips):
        scene_clips = [clip for clip in clips if clip.scene == scene]
        if len(scene_clips) >= 4:
            every = round(len(scene_clips) / max(1, round(len(scene_clips) * share)))
            chosen = set(range(every - 1, len(scene_clips), every))
            training += [clip for i, clip in enumerate(scene_clips) if i not in chosen]
            calibration += [clip for i, clip in enumerate(scene_clips) if i in chosen]
            continue
        for clip in scene_clips:
            cut = round(len(clip.frames) * (1 - share))
            ends = (training, 0, cut), (calibration, cut, len(clip.frames))
            for part, start, stop in ends:
                part.append(clip.cut(start, stop, f"{clip.name}[{start}:{stop}]"))
    return training, calibration


def at_rate(clip: Clip, fps: float) -> Clip:
    """Leave frames out of a clip so that about `fps` of a second are left: every n-th is kept."""
    every = max(1, round((clip.fps or USUAL_RATE) / fps))
    bad = [
        replace(entry, index=entry.index // every) for entry in clip.bad if entry.index % every == 0
    ]
    fps = (clip.fps or USUAL_RATE) / every
    return replace(clip, frames=clip.frames[::every], fps=fps, bad=bad, motion=None)


class WindowDataset(Dataset):
    """Every window of T frames with the frame after it.

    Args:
        clips: from `load_clips`. Clips without a window are left out.
        window: T.
        seed: of the pseudo-anomalies; with `epoch` and the sample's index it fixes all that is
            random, whichever worker makes it.
        pseudo: how windows are tampered with, or None to leave them alone.
        movers_from: footage of further cameras that movers are cut out of, not trained on; taken
            as often a second as the clips.
        transform: called with each sample's frames, a uint8 tensor (N, C, H, W) - the window, the
            target and, with `pseudo`, up to 9 frames before them - and gives a tensor of the same
            type and length.

    Raises:
        DataError: no clip has a window.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        window: int,
        *,
        seed: int = 0,
        pseudo: PseudoOptions | None = None,
        movers_from: Sequence[Clip] = (),
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.clips = list(clips)
        self.window = window
        self.seed = seed
        self.epoch = 0
        self.transform = transform
        self.pseudo = self._anomalies(pseudo, movers_from) if pseudo else None
        # (clip, target frame, first frame that may be looked back on)
        self.index = [
            entry
            for number, clip in enumerate(self.clips)
            for entry in windows_of(number, clip, window)
        ]
        if not self.index:
            longest = max((len(clip.frames) for clip in clips), default=0)
            raise DataError(
                f"no window to train on: it takes {window + 1} frames in a row, the longest of "
                f"{len(clips)} clip(s) has {longest}"
            )

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Sample:
        clip, target, first = self.index[number]
        back = PseudoAnomalies.history(self.window) if self.pseudo else self.window
        frames = self.clips[clip].frames[max(first, target - back) : target + 1]
        if self.transform is not None:
            # A copy: a transform may work in place, and the clip must not change.
            changed = self.transform(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))
            frames = changed.numpy().transpose(0, 2, 3, 1)
        if self.pseudo:
            generator = np.random.default_rng((self.seed, self.epoch, number))
            anomalies = self.pseudo[self.clips[clip].scene]
            frames, tampered = anomalies.sample(frames, self.window, generator)
        else:
            tampered = np.zeros(frames.shape[1:3], bool)
        frames = frames.transpose(0, 3, 1, 2).copy()
        return Sample(torch.from_numpy(frames), torch.from_numpy(tampered))

    def _anomalies(
        self, options: PseudoOptions, movers_from: Sequence[Clip]
    ) -> dict[str, PseudoAnomalies]:
        rate = float(np.median([clip.fps or USUAL_RATE for clip in self.clips] or [USUAL_RATE]))
        foreign = movers_by_scene(
            [at_rate(clip, rate) for clip in movers_from], self.window, seed=self.seed
        )
        return anomalies_by_scene(
            self.clips,
            self._any_frame,
            self.window,
            options,
            foreign=[mover for movers in foreign.values() for mover in movers],
            seed=self.seed,
        )

    def _any_frame(self, generator: np.random.Generator) -> np.ndarray:
        clip = self.clips[generator.integers(len(self.clips))]
        return clip.frames[generator.integers(len(clip.frames))]


def windows_of(number: int, clip: Clip, window: int) -> Iterator[tuple[int, int, int]]:
    """List the windows of a clip without a bad frame.

    Args:
        number: of the clip.
        clip: the clip.
        window: T.

    Yields:
        (number, target frame, first frame that may be looked back on).
    """
    bad = {entry.index for entry in clip.bad}
    first = 0
    for target in range(len(clip.frames)):
        if target in bad:
            first = target + 1
        elif target - first >= window:
            yield number, target, first


def to_float(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Scale frames to [-1, 1] and part the window from the target.

    Args:
        frames: uint8 (B, T + 1, C, H, W).

    Returns:
        The window float32 (B, T * C, H, W), oldest frame first, and the target (B, C, H, W).
    """
    scaled = frames.float() / 127.5 - 1
    return scaled[:, :-1].flatten(1, 2), scaled[:, -1]

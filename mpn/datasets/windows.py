"""Windows of frames for training: decoded once, kept as uint8, taken in a seeded order.

A clip's frames are one uint8 array (T, H, W, C), in memory where all clips fit there and else in a
file on disk that is mapped in (workers then read it while the network trains). Both give the same
samples.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from mpn.datasets.layouts import Video
from mpn.datasets.mover_pasting import MIRRORED, anomalies_by_scene, movers_by_scene
from mpn.datasets.movers import USUAL_RATE
from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions
from mpn.errors import DataError, FrameError
from mpn.video.sources import BadFrame, FrameSource, open_source

log = logging.getLogger(__name__)

# Frames are kept in memory up to this share of what the machine has.
MEMORY_SHARE = 0.4


@dataclass
class Clip:
    """The frames of one video as the network takes them.

    Attributes:
        name: the video's name.
        scene: its camera.
        frames: uint8 (T, H, W, C), in memory or mapped from disk.
        fps: frames per second, or None where unknown.
        bad: frames that could not be read and hold their neighbour instead; no window has one.
    """

    name: str
    scene: str
    frames: np.ndarray
    fps: float | None = None
    bad: list[BadFrame] = field(default_factory=list)


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
    fps: float | None = None,
    memory_limit: int | None = None,
    cache: str | Path | None = None,
) -> list[Clip]:
    """Decode videos once, resized by area.

    Args:
        videos: what is read.
        size: (height, width) in pixels.
        grey: one channel instead of three (BGR).
        skip_bad: go on without frames and videos that cannot be read (they are logged); else stop
            at the first.
        fps: frame rate of sources that don't say theirs.
        memory_limit: bytes, by default 40 % of the machine's memory; what needs more goes to a
            file that is deleted with the process.
        cache: folder of that file; by default the system's temporary one.

    Raises:
        FrameError: a frame cannot be read; it is named.
        DataError: a video cannot be opened; or nothing could be read.
    """
    sources = _open_all(videos, skip_bad, fps)
    limit = memory_limit if memory_limit is not None else int(_machine_memory() * MEMORY_SHARE)
    frame_bytes = size[0] * size[1] * (1 if grey else 3)
    needed = sum((source.length or 0) for _, source in sources) * frame_bytes
    on_disk = needed > limit
    if on_disk:
        log.info(
            "%.1f GB of frames: more than %.1f GB of memory, kept on disk",
            needed / 1e9,
            limit / 1e9,
        )
    clips = []
    for video, source in tqdm(sources, desc="reading", unit="video", disable=None, leave=False):
        try:
            frames = _decode(source, size, grey, cache if on_disk else None, on_disk)
        except FrameError as error:
            if not skip_bad:
                raise
            log.warning("left out: %s", error)
            continue
        for bad in source.bad:
            log.warning(
                "%s: frame %d (%s) is left out: %s", video.name, bad.index, bad.name, bad.reason
            )
        fps = float(source.fps) if source.fps else None
        clips.append(Clip(video.name, video.scene, frames, fps, list(source.bad)))
    if not clips:
        raise DataError("none of the videos could be read")
    return clips


def _open_all(
    videos: Sequence[Video], skip_bad: bool, fps: float | None
) -> list[tuple[Video, FrameSource]]:
    sources = []
    for video in videos:
        try:
            sources.append((video, open_source(video.path, skip_bad=skip_bad, fps=fps)))
        except DataError as error:
            if not skip_bad:
                raise
            log.warning("left out: %s", error)
    return sources


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _decode(
    source: FrameSource, size: tuple[int, int], grey: bool, cache: str | Path | None, on_disk: bool
) -> np.ndarray:
    if not on_disk:
        return np.stack(list(source.frames(size, grey)))
    # Deleted once opened: the mapping keeps it alive, and nothing is left behind however the
    # process ends.
    with tempfile.TemporaryFile(dir=cache, suffix=".frames") as file:
        count, shape = 0, ()
        for frame in source.frames(size, grey):
            file.write(frame.tobytes())
            count, shape = count + 1, frame.shape
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(count, *shape))


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
            training.append(_part(clip, 0, cut))
            calibration.append(_part(clip, cut, len(clip.frames)))
    return training, calibration


def _part(clip: Clip, start: int, stop: int) -> Clip:
    bad = [
        replace(entry, index=entry.index - start)
        for entry in clip.bad
        if start <= entry.index < stop
    ]
    return Clip(f"{clip.name}[{start}:{stop}]", clip.scene, clip.frames[start:stop], clip.fps, bad)


def mirrored(clips: Sequence[Clip]) -> list[Clip]:
    """Copy the clips with left and right exchanged, each of a scene named SCENE-mirrored."""
    return [
        replace(
            clip,
            name=f"{clip.name}-mirrored",
            scene=f"{clip.scene}{MIRRORED}",
            frames=np.ascontiguousarray(clip.frames[:, :, ::-1]),
        )
        for clip in clips
    ]


def at_rate(clip: Clip, fps: float) -> Clip:
    """Leave frames out of a clip so that about `fps` of a second are left: every n-th is kept."""
    every = max(1, round((clip.fps or USUAL_RATE) / fps))
    bad = [
        replace(entry, index=entry.index // every) for entry in clip.bad if entry.index % every == 0
    ]
    return replace(clip, frames=clip.frames[::every], fps=(clip.fps or USUAL_RATE) / every, bad=bad)


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


class EpochBatches(Sampler[list[int]]):
    """Batches of one epoch, shuffled by (seed, epoch), from batch `start` on.

    An incomplete last one is left out unless it is the only one.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self.samples, self.batch_size, self.seed = samples, min(batch_size, samples), seed
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.samples // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.samples).tolist()
        for batch in range(self.start, len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size]


def to_float(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Scale frames to [-1, 1] and part the window from the target.

    Args:
        frames: uint8 (B, T + 1, C, H, W).

    Returns:
        The window float32 (B, T * C, H, W), oldest frame first, and the target (B, C, H, W).
    """
    scaled = frames.float() / 127.5 - 1
    return scaled[:, :-1].flatten(1, 2), scaled[:, -1]

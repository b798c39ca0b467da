"""Random cameras: footage as another camera would have seen it, for tasks new to a network.

A network that was pre-trained on a few scenes has little left to adapt on them, and meta-training
on these alone teaches it that adapting is of no use (benchmarks/results/adaptation_choices.md). So
every task looks at its scene through a camera of its own: another detail of the view, mirrored or
not, other brightness, contrast, sharpness and noise, and fewer frames a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mpn.datasets.mover_pasting import MIRRORED
from mpn.datasets.windows import Clip


@dataclass(frozen=True)
class RandomCameraOptions:
    """Ranges that a camera is taken from at random."""

    zoom: tuple[float, float] = (1.0, 1.8)
    stretch: float = 1.25  # largest ratio of the sides' zooms
    contrast: tuple[float, float] = (0.5, 1.4)
    gamma: tuple[float, float] = (0.6, 1.6)
    offset: float = 30.0  # grey levels, either way
    noise: float = 6.0  # grey levels of deviation, at most
    blur: float = 1.0  # pixels of deviation, at most


class RandomCamera:
    """One camera at random: the same view, brightness and sharpness always; fresh noise.

    Args:
        generator: of the camera and, later, of its noise.
        size: (height, width) of the frames.
        options: see `RandomCameraOptions`.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        size: tuple[int, int],
        options: RandomCameraOptions | None = None,
    ) -> None:
        options = options or RandomCameraOptions()
        self.generator, self.size = generator, size
        stretch = options.stretch ** generator.uniform(-0.5, 0.5)
        zoom = generator.uniform(*options.zoom)
        sides = [
            min(side, round(side / zoom * factor))
            for side, factor in zip(size, (stretch, 1 / stretch))
        ]
        corner = [
            int(generator.integers(0, side - visible + 1)) for side, visible in zip(size, sides)
        ]
        self.view = tuple(slice(start, start + visible) for start, visible in zip(corner, sides))
        self.mirrored = bool(generator.integers(2))
        levels = np.linspace(0, 1, 256) ** generator.uniform(*options.gamma) * 255
        contrast, offset = (
            generator.uniform(*options.contrast),
            generator.uniform(-options.offset, options.offset),
        )
        self.levels = np.clip((levels - 127.5) * contrast + 127.5 + offset, 0, 255)
        # Half of all cameras are clean, and half are sharp.
        self.noise = generator.uniform(0, options.noise) * int(generator.integers(2))
        self.blur = generator.uniform(0, options.blur) * int(generator.integers(2))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Show frames to the camera.

        Args:
            frames: uint8 (N, H, W, C).

        Returns:
            What it sees, in the same shape.
        """
        shown = np.empty_like(frames)
        height, width = self.size
        for number, frame in enumerate(frames):
            part = np.ascontiguousarray(frame[self.view])
            part = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
            view = np.asarray(part, np.uint8).reshape(frame.shape)
            if self.mirrored:
                view = view[:, ::-1]
            if self.blur > 0.1:
                blurred = cv2.GaussianBlur(view, (0, 0), self.blur)
                view = np.asarray(blurred, np.uint8).reshape(frame.shape)
            values = self.levels[view]
            if self.noise:
                values = values + self.generator.normal(0, self.noise, frame.shape)
            shown[number] = np.clip(np.round(values), 0, 255)
        return shown


def temporal_subsample(clips: Sequence[Clip], every: int, min_frames: int) -> list[Clip]:
    """Take every n-th frame, as a camera of fewer frames a second would, in scenes of their own.

    Args:
        clips: with frames that could not be read they are left out.
        every: n.
        min_frames: clips that would have fewer are left out.

    Returns:
        Views of the clips, of scenes named SCENE-everyN.
    """
    return [
        replace(
            clip,
            name=f"{clip.name}-every{every}",
            scene=f"{clip.scene}-every{every}",
            frames=clip.frames[::every],
            motion=None,  # between other frames than before
            fps=clip.fps / every if clip.fps else None,
        )
        for clip in clips
        if len(clip.frames) // every >= min_frames and not clip.bad
    ]


def mirrored(clips: Sequence[Clip]) -> list[Clip]:
    """Copy the clips with left and right exchanged, each of a scene named SCENE-mirrored."""
    return [
        replace(
            clip,
            name=f"{clip.name}-mirrored",
            scene=f"{clip.scene}{MIRRORED}",
            frames=np.ascontiguousarray(clip.frames[:, :, ::-1]),
            motion=None,  # its directions would have to be mirrored too, and nothing reads it
        )
        for clip in clips
    ]

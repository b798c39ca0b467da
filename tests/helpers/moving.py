"""Motion by cells as a `MotionReader` gives it, and frames that slide, for the tests of motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpn.datasets.windows import Clip
from mpn.motion.flow import CHANNELS, MOVES, MOVING, SPEED
from mpn.motion.place import EDGES, PlaceModel
from tests.helpers.doctoring import texture

GRID = (8, 12)  # of small place models
RATIO = EDGES[1] / EDGES[0]  # of a bin of speeds: a number made of counts is known no better


def cells(
    speed: float | np.ndarray, direction: int = 0, grid: tuple[int, int] = GRID
) -> np.ndarray:
    """Make the motion of a frame: all of it goes one way, at one speed or at (rows, columns)."""
    motion = np.zeros((*grid, CHANNELS), np.float16)
    motion[..., SPEED] = motion[..., 1 + direction] = speed
    motion[..., MOVING] = motion[..., SPEED] > MOVES
    return motion


def place_of(motion: Sequence[np.ndarray], frames: Sequence[np.ndarray] = ()) -> PlaceModel:
    """Make the place model of these frames' motion."""
    place = PlaceModel((motion[0].shape[0], motion[0].shape[1]))
    place.add(motion, frames)
    return place


def moving_clip(motion: Sequence[np.ndarray], name: str = "walk", scene: str = "yard") -> Clip:
    """Make a clip of this motion: frame k, of 32x48 pixels, is k all over."""
    frames = np.zeros((len(motion), 32, 48, 1), np.uint8)
    frames += (np.arange(len(motion)) % 256).astype(np.uint8)[:, None, None, None]
    return Clip(name, scene, frames, 12.5, motion=np.stack(motion))


def sliding(
    step: tuple[int, int], count: int = 3, size: tuple[int, int] = (240, 360)
) -> list[np.ndarray]:
    """Film a textured picture that moves by `step` (right, down) pixels a frame, (H, W, 3) each."""
    picture = texture(size=(size[0] + 80, size[1] + 80))
    frames = []
    for t in range(count):
        top, left = 40 - t * step[1], 40 - t * step[0]
        view = picture[top : top + size[0], left : left + size[1]]
        frames.append(np.repeat(view[:, :, None], 3, 2))
    return frames

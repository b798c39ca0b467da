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
    step: tuple[int, int],
    count: int = 3,
    size: tuple[int, int] = (240, 360),
    shake: Sequence[tuple[int, int]] = (),
) -> list[np.ndarray]:
    """Film a textured board that moves before a textured wall, a quarter of the picture.

    Args:
        step: (right, down), pixels a frame.
        count: of frames.
        size: (height, width) of a frame.
        shake: where the camera looks in each frame, (right, down) of where it should; up to 8
            pixels.

    Returns:
        uint8 (H, W, 3) each; the board fills the middle, but for what it has moved.
    """
    wall, board = (texture(seed, (size[0] + 80, size[1] + 80)) for seed in (1, 2))
    frames = []
    for t, (right, down) in zip(range(count), [*shake, *[(0, 0)] * count]):
        scene = wall.copy()
        top, left = 40 + size[0] // 4 + t * step[1], 40 + size[1] // 4 + t * step[0]
        place = np.s_[top : top + size[0] // 2, left : left + size[1] // 2]
        scene[place] = board[: size[0] // 2, : size[1] // 2]
        view = scene[40 + down : 40 + down + size[0], 40 + right : 40 + right + size[1]]
        frames.append(np.repeat(view[:, :, None], 3, 2))
    return frames


def outstanding(weighted: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the score of weighted parts in units, motion among them, from its definition."""
    each = np.stack(weighted)
    return (np.clip(each, 0, None) ** 4).sum(0) ** 0.25 + 0.01 * each.sum(0)

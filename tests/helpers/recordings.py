"""Recordings in which most repeats and something does not, for what is judged by itself."""

from __future__ import annotations

import numpy as np

from tests.helpers.doctoring import texture

SIZE = (96, 128)


def recording(
    count: int, fast: tuple[int, int] = (0, 0), wall: int = 1, carried: bool = False
) -> np.ndarray:
    """Film a board that walks to and fro, a pixel a frame; in frames `fast` a second one races.

    Args:
        count: of frames.
        fast: (start, stop) of the second one, below the first, 8 pixels a frame.
        wall: seed of what is behind them.
        carried: the camera goes along, 8 pixels a frame.

    Returns:
        uint8 (T, 96, 128, 3).
    """
    background, board = texture(wall, (400, 8 * count + 400)), texture(99, (40, 40))
    frames = np.empty((count, *SIZE, 3), np.uint8)
    for t in range(count):
        left = 8 * t if carried else 0
        view = background[: SIZE[0], left : left + SIZE[1]].copy()
        at = 10 + abs(t % 60 - 30)
        view[10:40, at : at + 20] = board[:30, :20]
        if fast[0] <= t < fast[1]:
            at = 8 * (t - fast[0]) % 100
            view[60:84, at : at + 24] = board[10:34, 10:34]
        frames[t] = view[..., None]
    return frames

"""How a recording's pictures are to be turned or mirrored, as its container says and players do."""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np

# Of a display matrix: what is smaller than this share of the largest number counts as 0.
NEGLIGIBLE = 0.1


class Orientation(NamedTuple):
    """A turn by a quarter or none, and mirroring.

    Attributes:
        transposed: rows become columns, before anything else.
        upside_down: the order of rows is turned round.
        mirrored: the order of columns is.
        slanting: it is to be turned by another angle, which is not done.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False
    slanting: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Bring a picture (H, W, C) upright; gives a view."""
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        return picture[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Read the orientation of a frame from its display matrix.

    The matrix takes the point (x, y) of the stored picture to (a x + c y, b x + d y).

    Args:
        frame: as it is decoded.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    straight, crossed = min(abs(a), abs(d)), min(abs(b), abs(c))
    if min(straight, crossed) > NEGLIGIBLE * max(straight, crossed):
        return Orientation(slanting=True)
    if crossed > straight:
        return Orientation(True, b < 0, c < 0)
    return Orientation(False, d < 0, a < 0)

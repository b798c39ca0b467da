"""A picture of what is usual at each place of a camera: how fast what moves, and which way."""

from __future__ import annotations

import cv2
import numpy as np

from mpn.motion.place import POOL, PlaceModel
from mpn.motion.usual import Usual, usual_at

WIDTH = 960  # pixels of the picture
DIMMED = 0.55  # of the camera's brightness, below the colours
STRONG = 0.6  # how much of a colour is seen over it
# Where anything moves in less than this share of the frames, nothing is drawn.
SELDOM = 0.005
SPACING = 3  # squares of the place model from one arrow to the next
MAX_LENGTH = 0.9  # of an arrow, in that distance
SHARE = 0.25  # of the movement that goes one way, for an arrow
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def usual_picture(
    place: PlaceModel, backdrop: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Draw what moved in a camera's normal footage.

    Colours, OpenCV's inferno from black to yellow, say how fast hardly anything is exceeded;
    arrows which ways most of it goes.

    Args:
        place: of the camera.
        backdrop: a frame of it, uint8 (H, W, C); default: the small mean picture that it keeps.

    Returns:
        uint8 (H, W, 3), BGR, and the speed that is drawn brightest, in pixels of the working size
        (`mpn.motion.flow.working_size`) a frame; 0 where nothing moves.
    """
    rows, columns = (side // POOL for side in place.grid)
    usual = [[usual_at(place, (r * POOL, c * POOL)) for c in range(columns)] for r in range(rows)]
    moves = np.array([[cell.share >= SELDOM for cell in row] for row in usual])
    speeds = np.array([[cell.high for cell in row] for row in usual]) * moves
    top = float(speeds.max())
    canvas = _grey(place, backdrop)
    height, width = canvas.shape[:2]
    if top:
        level, share = (
            cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
            for layer in ((255 * np.sqrt(speeds / top)).astype(np.uint8), STRONG * moves)
        )
        colours = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)
        mixed = canvas * (1 - share[..., None]) + colours * share[..., None]
        canvas = np.ascontiguousarray(mixed.astype(np.uint8))
    side = np.array([width / columns, height / rows])
    for row in range(SPACING // 2, rows, SPACING):
        for column in range(SPACING // 2, columns, SPACING):
            if moves[row, column]:
                middle = (np.array([column, row]) + 0.5) * side
                _arrows(canvas, middle, usual[row][column], float(side.min()) * SPACING, top)
    return canvas, top


def _grey(place: PlaceModel, backdrop: np.ndarray | None) -> np.ndarray:
    """Give the camera's picture, grey and dim, uint8 (H, WIDTH, 3)."""
    if backdrop is None:
        grey = np.clip(place.picture, 0, 255).astype(np.uint8)
    elif backdrop.shape[2] == 1:
        grey = backdrop[..., 0]
    else:
        grey = cv2.cvtColor(backdrop, cv2.COLOR_BGR2GRAY)
    tall, wide = grey.shape[0], grey.shape[1]
    size = WIDTH, max(1, round(WIDTH * tall / wide))
    method = cv2.INTER_AREA if wide > WIDTH else cv2.INTER_CUBIC
    dim = (cv2.resize(grey, size, interpolation=method) * DIMMED).astype(np.uint8)
    return cv2.cvtColor(dim, cv2.COLOR_GRAY2BGR)


def _arrows(canvas: np.ndarray, middle: np.ndarray, usual: Usual, room: float, top: float) -> None:
    """Draw the ways that most of the movement at a place has, as long as it is fast."""
    directions = len(usual.ways)
    around = np.roll(usual.ways, 1), np.roll(usual.ways, -1)
    for way, share in enumerate(usual.ways):
        if share < SHARE or share < around[0][way] or share <= around[1][way]:
            continue  # its neighbour speaks for both
        length = room * MAX_LENGTH * max(0.3, float(np.sqrt(usual.directed_high[way] / top)))
        turn = 2 * np.pi * way / directions
        tip = middle + length * np.array([np.cos(turn), np.sin(turn)]) / 2
        first, last = (np.rint(point).astype(int).tolist() for point in (middle, tip))
        for colour, thick in ((BLACK, 4), (WHITE, 2)):
            cv2.arrowedLine(canvas, first, last, colour, thick, cv2.LINE_AA, tipLength=0.35)

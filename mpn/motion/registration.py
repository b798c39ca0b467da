"""Whether, and by how much, the whole picture has moved: a camera that shakes or was turned.

What moves in front of a fixed camera proposes a shift too, so tiles of the picture vote on every
shift: the camera moved where those that show anything are better explained by the shift than by
standing still. No torch.
"""

from __future__ import annotations

import cv2
import numpy as np

# Between two frames of one stream (`before_moved`), pixels of the flow's working size.
MIN_SHAKE = 0.25
SHAKE_TILES = (8, 12)  # rows, columns
# Of the tiles that vote so many are for a shift. Of 42 fixed cameras, 40 to 60 frames each, those
# that stand still give at most 0.57; shaken by 2 pixels 35 of them pass in every frame, the others
# (half of the picture moves by itself) in four of five (benchmarks/results/motion_choices.md).
SHAKE_MAJORITY = 0.6
SAMPLED = 4  # every so many pixels of the flow are asked
# Between two pictures of one camera (`picture_shift`), pixels and grey levels of small pictures.
MIN_SHIFT = 1.0
# of phase correlation (1: the same picture, shifted round); below, nothing can be said
MIN_RESPONSE = 0.03
TILES = (5, 6)  # rows, columns
TILE_SHARE, TILE_MAJORITY = 0.3, 0.8
STRONGEST = 6.0  # grey levels that a pixel may stand out from its surroundings
# A tile votes for a shift if that leaves so much of the difference or less, for standing still if
# that leaves so much of the shift's; and if there is a difference, in grey levels.
MUCH_BETTER, BETTER, MIN_DIFFERENCE = 0.75, 0.9, 1.0


def before_moved(before: np.ndarray, now: np.ndarray, flow: np.ndarray) -> np.ndarray | None:
    """Move the frame before to where the camera looks now, if the camera has moved between them.

    The shift is the median of the flow. It is not enough to subtract it: where a picture has no
    texture (a lawn, a wall) the flow finds nothing to hold on to and stays at 0.

    Args:
        before: uint8 (H, W), grey.
        now: the next frame, as before.
        flow: float32 (H, W, 2) between them, pixels to the right and down.

    Returns:
        uint8 (H, W), the frame before with what came in at the edges repeated from the edge; None
        where the camera stands still.
    """
    inside = flow[SAMPLED // 2 :: SAMPLED, SAMPLED // 2 :: SAMPLED]
    right, down = np.median(inside.reshape(-1, 2), axis=0)
    if np.hypot(right, down) < MIN_SHAKE:
        return None
    moved = _shifted(before, right, down)
    for_it, against = _votes(before, moved, now, SHAKE_TILES)
    return moved if for_it.sum() > SHAKE_MAJORITY * (for_it.sum() + against.sum()) else None


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate two pictures, in [-1, 1]; 0 where one of them shows nothing.

    Args:
        one: (h, w), grey levels.
        other: the same.
    """
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale > 0 else 0.0


def picture_shift(before: np.ndarray, after: np.ndarray) -> tuple[float, float] | None:
    """Measure by how much the whole picture moved between two frames, however far apart in time.

    Phase correlation proposes a shift, and nearly all tiles that show anything have to agree.

    Args:
        before: float32 (h, w), `detail` of a frame, some 100 pixels across.
        after: that of a later one.

    Returns:
        (right, down) in its pixels, fractions of one included; None where that cannot be said.
    """
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    # Where the padded sides are odd, OpenCV's middle is half a pixel off.
    offset = cv2.phaseCorrelate(before * window, before * window)[0]
    # Given the window, OpenCV multiplies it into the pictures themselves where it need not pad
    # them.
    moved, response = cv2.phaseCorrelate(before * window, after * window)
    if response < MIN_RESPONSE:
        return None
    right, down = moved[0] - offset[0], moved[1] - offset[1]
    if not is_far((right, down)) or _tiles_agree(before, after, right, down):
        return right, down
    return None


def is_far(shift: tuple[float, float]) -> bool:
    """Say whether a shift is more than the uncertainty of `picture_shift`."""
    return max(map(abs, shift)) >= MIN_SHIFT


def detail(small: np.ndarray) -> np.ndarray:
    """Keep the fine detail of a picture.

    Args:
        small: (h, w), grey levels.

    Returns:
        float32 (h, w) in [-STRONGEST, STRONGEST], without what is coarse, so that a change of light
        is no movement, and without what is strong, so that a white van outvotes nobody.
    """
    picture = small.astype(np.float32)
    return np.clip(picture - cv2.GaussianBlur(picture, (0, 0), 4), -STRONGEST, STRONGEST)


def _shifted(picture: np.ndarray, right: float, down: float) -> np.ndarray:
    """Move a picture (H, W); what comes in is the edge, repeated."""
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    return cv2.warpAffine(picture, matrix, picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def _votes(
    still: np.ndarray, moved: np.ndarray, after: np.ndarray, tiles: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Let tiles of a picture vote on a shift.

    Args:
        still: (H, W), the picture before.
        moved: the same, shifted.
        after: the picture that one of them should be like.
        tiles: (rows, columns).

    Returns:
        bool (rows, columns) each, those for the shift and those against it.
    """
    left_still, left_moved = (
        cv2.resize(
            cv2.absdiff(picture, after).astype(np.float32),
            tiles[::-1],
            interpolation=cv2.INTER_AREA,
        )
        for picture in (still, moved)
    )
    for_it = (left_moved < MUCH_BETTER * left_still) & (left_still > MIN_DIFFERENCE)
    return for_it, left_still < BETTER * left_moved


def _tiles_agree(before: np.ndarray, after: np.ndarray, right: float, down: float) -> bool:
    """Say whether nearly all tiles that show anything fit better shifted than not.

    Pictures are float32 (h, w).
    """
    height, width = before.shape
    moved = _shifted(before, right, down)
    top, left = max(0, int(np.ceil(down))), max(0, int(np.ceil(right)))
    bottom, edge = height + min(0, int(np.floor(down))), width + min(0, int(np.floor(right)))
    if bottom - top < height // 3 or edge - left < width // 3:
        return False
    inside = np.s_[top:bottom, left:edge]
    for_it, against = _votes(before[inside], moved[inside], after[inside], TILES)
    if for_it.mean() < TILE_SHARE or for_it.sum() < TILE_MAJORITY * (for_it.sum() + against.sum()):
        return False
    # A lorry before a bare wall is all that there is to see, but not from edge to edge.
    rows, columns = (np.flatnonzero(for_it.any(axis)) for axis in (1, 0))
    return bool(np.ptp(rows) == TILES[0] - 1 and np.ptp(columns) == TILES[1] - 1)

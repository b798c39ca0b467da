"""Boxes around all that differs between two frames: only there can anything have moved. No torch.

Most of what a fixed camera sees stands still, and optical flow of it costs as much as of what
moves. How the constants were chosen: benchmarks/results/motion_choices.md.
"""

from __future__ import annotations

import cv2
import numpy as np

TILE = 8  # pixels along each side; boxes are made of tiles
# A tile has changed where the mean over `BLUR` x `BLUR` pixels differs by so many grey levels:
# more than what compression and a quiet sensor make of a picture that stands still. Of a picture
# whose grey levels have a smaller deviation than `CONTRAST` by so many fewer, at the least `DARK`.
LEVELS, BLUR = 8, 5
CONTRAST, DARK = 32.0, 2
AROUND = 3  # tiles around a changed one that are looked at with it
# Tiles along each side of a box, less what hangs over the picture's edge: where no side has 46
# pixels OpenCV's DIS changes its finest scale for good.
MIN_TILES = 7
# Two boxes become one where that is no more than so many tiles larger than both: a call of the flow
# costs as much as they do.
SPARE = 24
# All of the picture is one box where the boxes are more than this share of it.
MAX_SHARE = 0.6


def changed_boxes(before: np.ndarray, now: np.ndarray) -> list[tuple[slice, slice]]:
    """Find where two frames differ, with what is around it.

    Args:
        before: uint8 (H, W), grey.
        now: another, of the same size.

    Returns:
        Boxes, as what picks them out of an array (H, W, ...), that together hold every changed tile
        and `AROUND` tiles around it; no side is shorter than `MIN_TILES` tiles, where the picture
        is not. One of the whole picture where they would be more than `MAX_SHARE` of it; none where
        nothing has changed.
    """
    height, width = before.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    tiles = cv2.dilate(_changed(before, now), np.ones((2 * AROUND + 1,) * 2, np.uint8))
    whole = slice(0, height), slice(0, width)
    if tiles.mean() > MAX_SHARE:
        return [whole]
    _, _, statistics, _ = cv2.connectedComponentsWithStats(tiles, connectivity=8)
    left, top, wide, high = statistics[1:, :4].T  # the first one is what has not changed
    limits = np.array([rows, columns])
    corners = np.stack([top, left, top + high, left + wide], axis=1)
    boxes = _grown(_joined(corners), limits)
    if np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum() > MAX_SHARE * rows * columns:
        return [whole]
    pixels = np.minimum(boxes * TILE, [height, width] * 2)
    return [
        (slice(top, bottom), slice(left, right)) for top, left, bottom, right in pixels.tolist()
    ]


def _changed(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Say which tiles have changed, uint8 (rows, columns) of 0 and 1."""
    difference = cv2.blur(cv2.absdiff(before, now), (BLUR, BLUR))
    contrast = float(cv2.meanStdDev(now)[1][0, 0])
    limit = max(DARK, round(LEVELS * min(1.0, contrast / CONTRAST)))
    changed = cv2.threshold(difference, limit - 1, 255, cv2.THRESH_BINARY)[1]
    low, right = -changed.shape[0] % TILE, -changed.shape[1] % TILE
    padded = cv2.copyMakeBorder(changed, 0, low, 0, right, cv2.BORDER_CONSTANT, value=[0])
    size = padded.shape[1] // TILE, padded.shape[0] // TILE
    # The mean over a tile of 64 pixels, of which one is 255, is 4.
    return (cv2.resize(padded, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)


def _joined(boxes: np.ndarray) -> np.ndarray:
    """Make one of two boxes, as long as that adds no more than `SPARE` tiles.

    Args:
        boxes: int (N, 4): top, left, bottom, right, tiles.

    Returns:
        As few or fewer.
    """
    while len(boxes) > 1:
        low = np.minimum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:])
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        added = np.prod(high - low, axis=2) - area[:, None] - area[None, :]
        np.fill_diagonal(added, np.iinfo(added.dtype).max)
        first, second = np.unravel_index(added.argmin(), added.shape)
        if added[first, second] > SPARE:
            break
        both = np.concatenate([low[first, second], high[first, second]])
        boxes = np.vstack([np.delete(boxes, [first, second], axis=0), both])
    return boxes


def _grown(boxes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Make every side of boxes at least `MIN_TILES` tiles long, within (rows, columns) of them."""
    least = np.minimum(MIN_TILES, limits)
    lacking = np.maximum(0, least - (boxes[:, 2:] - boxes[:, :2]))
    low = np.clip(boxes[:, :2] - lacking // 2, 0, limits - least)
    high = np.maximum(boxes[:, 2:], low + least)
    return np.concatenate([low, high], axis=1)

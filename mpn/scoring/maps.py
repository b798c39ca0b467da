"""Maps of a network's patches laid over the frame that they are of. No torch."""

from __future__ import annotations

import cv2
import numpy as np


def map_on_frame(
    grid: np.ndarray, patch: int, size: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Lay a patch grid over the whole frame as a map, bilinear between the patches' centres.

    A patch lies wholly inside the frame, so the outermost centres are half a patch from its edges;
    stretched to the frame's size as it is, a grid would show everything too far out. Beyond the
    outermost centres their value is held.

    Args:
        grid: float (h, w), a value a patch.
        patch: side of the patches, pixels of the network's frame.
        size: (height, width) of that frame.
        shape: (height, width) of the map wanted, any.

    Returns:
        float32 of `shape`.
    """
    along = [
        _positions(cells, pixels, side, min(patch, *size))
        for cells, pixels, side in zip(grid.shape, shape, size)
    ]
    rows, columns = np.meshgrid(*along, indexing="ij")
    values = np.ascontiguousarray(grid, np.float32)
    return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _positions(cells: int, pixels: int, side: int, patch: int) -> np.ndarray:
    """Place the centres of `pixels` equal parts of a frame's side on a grid of `cells`.

    float32 (pixels,).
    """
    centres = (np.arange(pixels) + 0.5) * side / pixels
    step = (side - patch) / (cells - 1) if cells > 1 else 1.0
    return np.clip((centres - patch / 2) / step, 0, cells - 1).astype(np.float32)

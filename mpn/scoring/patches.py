"""Maps brought to the patch grid: the means over square patches of them, or over their middles."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH_STEP = 2  # between patches, pixels of the network's frame: every second is looked at
CENTRE = 4  # pixels of the network's frame, for the middle of a patch


def patch_centres(values: Tensor, size: tuple[int, int], patch: int, step: int) -> Tensor:
    """Average over the middles of square patches, `CENTRE` pixels wide, instead of the patches.

    Args:
        values: (B, rows, columns), laid over the frame, bilinear between their centres.
        size: (height, width) of the frame.
        patch: side of the patches, cut to the shorter side.
        step: between them.

    Returns:
        As many values as `patch_means` gives of a map of the frame's size.
    """
    side = min(patch, *size)
    # Each of them is a weighted mean of values, along rows and columns alike: two small products of
    # matrices give the same as a map of the frame's size and its means, at a hundredth of the cost.
    down, across = (
        _to_centres(cells, length, side, step).to(values)
        for cells, length in zip(values.shape[1:], size)
    )
    return down @ values @ across.T


@lru_cache(maxsize=16)
def _to_centres(cells: int, length: int, side: int, step: int) -> Tensor:
    """Return the weights of values along a side of the frame in each patch's middle.

    float32 (patches, cells).
    """
    middle = min(CENTRE, side)
    first = (side - middle) // 2
    laid = F.interpolate(
        torch.eye(cells).unsqueeze(1), size=length, mode="linear", align_corners=False
    )
    middles = laid[..., first : length - (side - middle - first)]
    return F.avg_pool1d(middles, middle, stride=step).squeeze(1).T.contiguous()


def patch_means(values: Tensor, patch: int, step: int) -> Tensor:
    """Average over the square patches that lie wholly inside.

    Args:
        values: (B, H, W).
        patch: side of the patches, cut to the shorter side.
        step: between them.

    Returns:
        (B, (H - patch) // step + 1, (W - patch) // step + 1).
    """
    side = min(patch, *values.shape[1:])
    if step < side and side % step == 0:  # means of means: a quarter of the time
        values, side, step = F.avg_pool2d(values.unsqueeze(1), step).squeeze(1), side // step, 1
    return F.avg_pool2d(values.unsqueeze(1), side, stride=step).squeeze(1)

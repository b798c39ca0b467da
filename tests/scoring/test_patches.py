"""The patch grid against numpy, and against maps as large as the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mpn.scoring.patches import patch_centres, patch_means


@pytest.mark.parametrize(
    ("size", "patch", "step"), [((12, 16), 4, 2), ((13, 17), 5, 2), ((8, 9), 3, 1), ((6, 5), 9, 2)]
)
def test_patch_means_are_those_of_numpy(size, patch, step):
    values = np.random.default_rng(2).random((2, *size))
    side = min(patch, *size)
    squares = np.lib.stride_tricks.sliding_window_view(values, (side, side), axis=(1, 2))[
        :, ::step, ::step
    ]
    means = patch_means(torch.from_numpy(values), patch, step).numpy()
    assert means.shape == (2, (size[0] - side) // step + 1, (size[1] - side) // step + 1)
    assert np.allclose(means, squares.mean(axis=(3, 4)), rtol=1e-12)


@pytest.mark.parametrize(
    ("patch", "size"), [(16, (32, 48)), (8, (33, 47)), (16, (10, 40)), (3, (9, 9))]
)
def test_the_middles_of_patches_lie_where_the_patches_do(patch, size):
    # The mean of a slope over a patch is its value in the middle, whatever is averaged there.
    slope = torch.arange(size[0])[None, :, None] + 100.0 * torch.arange(size[1])[None, None]
    means, middles = patch_means(slope, patch, 2), patch_centres(slope, size, patch, 2)
    assert means.shape == middles.shape
    off = (min(patch, *size) % 2) * 50.5  # of odd patches the middle lies between two pixels
    torch.testing.assert_close(middles, means, atol=off, rtol=0)


@pytest.mark.parametrize(
    ("cells", "size", "patch"),
    [((30, 46), (128, 192), 16), ((5, 7), (33, 47), 9), ((9, 3), (8, 8), 16)],
)
def test_the_middles_of_patches_are_those_of_a_map_as_large_as_the_frame(cells, size, patch):
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *cells)).astype(np.float32))
    large = F.interpolate(values[:, None], size=size, mode="bilinear", align_corners=False)
    margin = (min(patch, *size) - 4) // 2
    far = [length - (min(patch, *size) - 4 - margin) for length in size]
    expected = F.avg_pool2d(large[:, 0, margin : far[0], margin : far[1]], 4, stride=2)
    torch.testing.assert_close(patch_centres(values, size, patch, 2), expected)


def test_a_spot_is_as_wide_as_the_middle_of_a_patch():
    spot = torch.zeros(1, 32, 32)
    spot[:, 16, 16] = 1
    assert (
        (patch_centres(spot, (32, 32), 16, 2) > 0).sum() == 4 < (patch_means(spot, 16, 2) > 0).sum()
    )

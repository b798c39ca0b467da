"""Patch grids over frames: a patch's value stands where the patch is."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.scoring.maps import map_on_frame
from mpn.scoring.scores import region


def test_patches_of_one_pixel_are_the_frame_itself() -> None:
    grid = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    np.testing.assert_allclose(map_on_frame(grid, 1, (5, 7), (5, 7)), grid, atol=1e-6)


def test_by_hand() -> None:
    # Patches of 4 on a frame 8 wide, every 2 pixels: centres at 2, 4, 6. Those of four parts of the
    # frame: 1, 3, 5, 7.
    grid = np.array([[0.0, 10.0, 30.0]], np.float32)
    np.testing.assert_allclose(map_on_frame(grid, 4, (4, 8), (1, 4)), [[0, 5, 20, 30]], atol=1e-5)


@pytest.mark.parametrize("position", [(0, 0), (10, 3), (24, 40), (13, 20)])
def test_the_peak_is_in_the_middle_of_its_region(position: tuple[int, int]) -> None:
    grid = np.zeros((25, 41), np.float32)
    grid[position] = 1.0
    over = map_on_frame(grid, 16, (64, 96), (128, 192))  # the footage has twice the network's size
    top, left, height, width = region(grid, 16, (64, 96), (128, 192))
    rows, columns = np.nonzero(over > 0.7)
    if position not in ((0, 0), (24, 40)):  # at the corners the value is held up to the edge
        assert rows.mean() == pytest.approx(top + height / 2, abs=1.5)
        assert columns.mean() == pytest.approx(left + width / 2, abs=1.5)
    assert over[top + height // 2, left + width // 2] == pytest.approx(1.0, abs=0.5)


def test_it_stays_between_the_grids_values() -> None:
    grid = np.random.default_rng(1).normal(size=(9, 11)).astype(np.float32)
    over = map_on_frame(grid, 16, (32, 36), (77, 50))
    assert over.shape == (77, 50) and over.dtype == np.float32
    assert grid.min() - 1e-5 <= over.min() and over.max() <= grid.max() + 1e-5

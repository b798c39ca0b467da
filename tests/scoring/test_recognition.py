"""What is normal goes quiet where it is: grids and boxes by hand, frames with two things."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.model.taught import Taught
from mpn.scoring.frame_batches import FrameScores
from mpn.scoring.memory import Memory
from mpn.scoring.parts import motion_numbers
from mpn.scoring.patches import patch_means
from mpn.scoring.recognition import Recogniser, Sight, belongs, centres

SIZE, PATCH, SOURCE = (128, 192), 16, (256, 384)  # of the network, its patch, of the source
GRID = (57, 89)  # of patches, a step of two pixels
CELLS = (32, 48)
NORMAL = {"error": (0.02, 0.01), "speed": (-0.5, 0.25), "direction": (-0.5, 0.25)}
WEIGHTS = dict.fromkeys(NORMAL, 1.0)
HERE, THERE = np.zeros(4, np.float32), np.full(4, 9, np.float32)
LEFT, RIGHT = (100, 40, 40, 40), (100, 300, 40, 40)  # boxes in pixels of the source
SIGHTS = [Sight(9.0, LEFT, HERE), Sight(8.0, RIGHT, THERE)]


def recogniser(*normals: np.ndarray) -> Recogniser:
    taught = [Taught(None, "a", 0, normal[None]) for normal in normals]
    return Recogniser(Memory(taught), WEIGHTS, NORMAL, PATCH, SIZE)


def frame(*boxes: tuple[int, int, int, int]) -> FrameScores:
    """An average normal frame, but for boxes that are fast and badly predicted."""
    error, quotients = np.full(GRID, 0.02, np.float32), np.full((2, *CELLS), 0.6, np.float32)
    for top, left, height, width in boxes:
        rows, columns = (
            [start <= at <= start + length for at in points]
            for points, start, length in zip(
                centres(GRID, SOURCE, 32), (top, left), (height, width)
            )
        )
        error[np.ix_(rows, columns)] = 0.2
        quotients[:, top // 8 : (top + height) // 8, left // 8 : (left + width) // 8] = 8.0
    maps = {"error": error} | dict.fromkeys(("speed", "direction"), np.full(GRID, -0.5, np.float32))
    parts = {"error": float(error.max()), **motion_numbers(quotients)}
    return FrameScores(7, parts | {"psnr_db": 30.0}, maps, quotients)


def test_the_centres_of_patches_are_where_pooling_has_them():
    import torch

    ramp = torch.arange(192.0).expand(1, 128, 192)
    expected = 2 * (patch_means(ramp, PATCH, 2)[0, 0].numpy() + 0.5)  # the source is twice as large
    assert centres(GRID, SOURCE, 32)[1] == pytest.approx(expected, abs=1e-3)
    assert centres((2, 4), (10, 40))[0] == pytest.approx([2.5, 7.5])
    assert centres((2, 4), (10, 40))[1] == pytest.approx([5, 15, 25, 35])


def test_a_point_belongs_to_the_nearest_box_within_reach_by_hand():
    points = np.array([0.0]), np.arange(0.0, 100, 10)
    boxes = [(0, 20, 5, 10), (0, 70, 5, 10)]
    assert belongs(points, boxes, [True, False], 15)[0].tolist() == [
        at in (10, 20, 30, 40) for at in points[1]
    ]
    assert belongs(points, boxes, [True, False], 1e9)[0].tolist() == [
        at < 50
        for at in points[1]  # 50 is as near to the other
    ]
    assert belongs(points, boxes, [False, True], 20)[0].tolist() == [at >= 60 for at in points[1]]
    assert not belongs(points, boxes, [False, False], 1e9).any()


def test_what_is_normal_falls_to_an_average_normal_frame():
    taught = recogniser(HERE)
    before = frame(LEFT)
    assert taught.raw(before) > 6  # 18 deviations of the error, by their logarithm
    after = taught.without_normal(before, SOURCE, SIGHTS[:1])
    assert taught.raw(after) == pytest.approx(0, abs=0.02) and taught.grid(after).max() < 0.02
    assert after.parts["psnr_db"] == 30.0 and after.frame == 7
    assert after.maps["error"].dtype == np.float32


def test_another_anomaly_in_the_frame_counts_as_before():
    taught = recogniser(HERE)
    both, alone = frame(LEFT, RIGHT), frame(RIGHT)
    after = taught.without_normal(both, SOURCE, SIGHTS)
    assert taught.raw(after) == pytest.approx(taught.raw(alone))
    for name, values in alone.maps.items():
        assert np.array_equal(after.maps[name], values)


def test_what_was_not_taught_is_left_as_it_is():
    both = frame(LEFT, RIGHT)
    for untaught in (recogniser(), recogniser(THERE + 5)):
        assert untaught.without_normal(both, SOURCE, SIGHTS) is both


def test_things_that_overlap_are_not_brought_down_together():
    taught = recogniser(HERE)
    sights = [SIGHTS[0], Sight(8.0, LEFT, THERE)]
    before = frame(LEFT)
    assert taught.raw(taught.without_normal(before, SOURCE, sights)) == pytest.approx(
        taught.raw(before)
    )

"""What usually moves at a place: against the motion that it was counted of."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.motion.place import PlaceModel
from mpn.motion.usual import COMPASS, direction_of, moving_share, usual_at
from tests.helpers.moving import GRID, RATIO, cells, place_of

CELL = (4, 6)


def near(value: float) -> object:
    """Approximately, as far as bins of speeds tell."""
    return pytest.approx(value, rel=RATIO - 1)


def speeds_of(motion: np.ndarray) -> np.ndarray:
    """Return the speeds at the cell, as a frame is judged by them."""
    return place_of([motion]).speeds(motion)[CELL]


def test_the_usual_speed_is_what_99_of_100_that_moved_did_not_pass() -> None:
    walk = [cells(2.0)] * 985 + [cells(8.0)] * 5 + [cells(0)] * 1010
    usual = usual_at(place_of(walk), CELL)
    assert usual.high == near(2.0) and usual.share == pytest.approx(990 / 2000)
    with_runners = [cells(2.0)] * 950 + [cells(8.0)] * 40 + [cells(0)] * 1010
    assert usual_at(place_of(with_runners), CELL).high == near(8.0)


def test_what_stands_still_is_not_counted_among_what_moves() -> None:
    usual = usual_at(place_of([cells(3.0)] * 3 + [cells(0.2)] * 997), CELL)
    assert usual.high == near(3.0) and usual.share == pytest.approx(0.003)


@pytest.mark.parametrize("empty", [PlaceModel(GRID), place_of([cells(0.1)] * 20)])
def test_where_nothing_moved_there_is_no_direction(empty: PlaceModel) -> None:
    usual = usual_at(empty, CELL)
    assert (usual.high, usual.share, usual.ways.sum()) == (0, 0, 0)
    assert not usual.directed_high.any() and usual.directions == ()


def test_each_place_has_its_own() -> None:
    grid = (20, 30)
    left_half = (np.arange(30) < 15) * np.full((20, 1), 5.0)
    place = place_of([cells(left_half, 0, grid) + cells(1.0 * (left_half == 0), 4, grid)] * 50)
    left, right = usual_at(place, (10, 4)), usual_at(place, (10, 25))
    assert left.high == near(5.0) and right.high == near(1.0)
    assert left.directions == (0,) and right.directions == (4,)
    for corner in ((0, 0), (19, 29)):
        assert usual_at(place, corner).share == 1


@pytest.mark.parametrize("way", range(8))
def test_the_direction_of_motion_and_its_word(way: int) -> None:
    assert direction_of(speeds_of(cells(2.0, way))) == way
    words = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}  # rows, columns
    step = np.rint([np.sin(way * np.pi / 4), np.cos(way * np.pi / 4)])
    assert np.array_equal(sum(np.array(words[word]) for word in COMPASS[way].split("-")), step)


def test_a_direction_between_two_is_the_nearer() -> None:
    motion = cells(0)
    motion[..., 0], motion[..., 1 + 7], motion[..., 1 + 0] = 2.0, 0.6, 1.4
    assert direction_of(speeds_of(motion)) == 0
    motion[..., 1 + 7], motion[..., 1 + 0] = 1.4, 0.6
    assert direction_of(speeds_of(motion)) == 7


def test_the_ways_that_things_go() -> None:
    def usual(*ways: int) -> tuple[int, ...]:
        return usual_at(place_of([cells(2.0, way) for way in ways] * 10), CELL).directions

    assert usual(0) == (0,) and usual(0, 0, 1, 0) == (0,)
    assert sorted(usual(0, 4)) == [0, 4] and sorted(usual(2, 2, 6)) == [2, 6]
    assert usual(0, 2, 4, 6) == ()


def test_shares_of_the_movement_count_speed_and_the_neighbouring_directions() -> None:
    usual = usual_at(place_of([cells(2.0, 0)] * 3 + [cells(2.0, 5)]), CELL)
    assert usual.share_towards(7) == usual.share_towards(1) == pytest.approx(0.75)
    assert usual.share_towards(4) == usual.share_towards(6) == pytest.approx(0.25)
    assert usual.share_towards(2) == 0
    faster = usual_at(place_of([cells(6.0, 0)] + [cells(2.0, 4)]), CELL)
    assert faster.share_towards(0) == pytest.approx(0.75, abs=0.03)
    assert list(faster.directed_high[[0, 4]]) == [near(6.0), near(2.0)]


def test_how_much_of_the_picture_moved() -> None:
    left_half = np.zeros(GRID)
    left_half[:, :6] = 3.0
    # (a cell's motion is that of its neighbours, too: of 12 columns 7 move)
    place = place_of([cells(2.0), cells(left_half), cells(0.0), cells(0.2)])
    assert moving_share(place) == pytest.approx((1 + 7 / 12) / 4)
    assert moving_share(PlaceModel(GRID)) == 0

"""Motion by cells: of a board that slides by a known step, and of flow fields by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mpn.motion.flow import (
    CELLS,
    CHANNELS,
    DIRECTED,
    LEAD,
    MIN_SIDE,
    MOVING,
    SPEED,
    STILL,
    WORKING_PIXELS,
    MotionReader,
    grid_size,
    motion_of,
    working_size,
)
from tests.helpers.moving import sliding

SIZES = [
    (1080, 1920),
    (720, 1280),
    (240, 360),
    (158, 238),
    (120, 160),
    (1920, 1080),
    (64, 96),
    (480, 856),
    (333, 777),
    (100, 1000),
]


def read_all(frames: list[np.ndarray]) -> np.ndarray:
    """The motion of every frame, (T, rows, columns, CHANNELS)."""
    reader = MotionReader((frames[0].shape[0], frames[0].shape[1]))
    return np.stack([reader.read(frame) for frame in frames]).astype(np.float64)


def inner(motion: np.ndarray) -> np.ndarray:
    """Mean over the cells of one frame that only the board is in."""
    rows, columns = motion.shape[0] // 8, motion.shape[1] // 8
    return motion[3 * rows : -3 * rows, 3 * columns : -3 * columns].mean((0, 1))


# --- A board that slides


@pytest.mark.parametrize(
    ("step", "direction"),
    [
        ((3, 0), 0),
        ((2, 2), 1),
        ((0, 2), 2),
        ((-2, 2), 3),
        ((-3, 0), 4),
        ((-2, -2), 5),
        ((0, -2), 6),
        ((2, -2), 7),
    ],
)
def test_what_slides_has_its_speed_in_its_direction(step: tuple[int, int], direction: int) -> None:
    motion = inner(read_all(sliding(step))[2])
    assert motion[SPEED] == pytest.approx(math.hypot(*step), rel=0.05)
    assert motion[1 + direction] == pytest.approx(math.hypot(*step), rel=0.1)
    assert motion[DIRECTED].argmax() == direction and motion[MOVING] > 0.99


def test_the_first_frame_and_still_pictures_do_not_move() -> None:
    (frame,) = sliding((0, 0), 1)
    motion = read_all([frame, frame, frame])
    assert motion.shape == (3, *grid_size((240, 360)), CHANNELS)
    assert not motion.any()


def test_the_first_frame_has_no_motion_whatever_the_stream_before_had() -> None:
    frames = sliding((3, 0), 2)
    assert read_all(frames)[1].any() and not read_all(frames[1:])[0].any()


@pytest.mark.parametrize("step", [(4, 0), (2, -6)])
def test_twice_the_resolution_moves_as_much(step: tuple[int, int]) -> None:
    large = sliding(step, size=(480, 720))
    small = [cv2.resize(frame, (360, 240), interpolation=cv2.INTER_AREA) for frame in large]
    first, second = read_all(large)[2], read_all(small)[2]
    assert first.shape == second.shape
    assert inner(first)[SPEED] == pytest.approx(math.hypot(*step) / 2, rel=0.05)
    np.testing.assert_allclose(inner(first), inner(second), atol=0.05)


def test_small_pictures_are_enlarged() -> None:
    # One pixel of 80x120 is three of the working size.
    motion = inner(read_all(sliding((1, 0), size=(80, 120)))[2])
    assert motion[SPEED] == pytest.approx(3, rel=0.1)


def test_grey_frames_move_as_their_coloured_ones() -> None:
    frames = sliding((2, 1))
    grey = [np.ascontiguousarray(frame[..., :1]) for frame in frames]
    np.testing.assert_array_equal(read_all(grey), read_all(frames))


def test_what_moves_is_in_its_cells_alone() -> None:
    motion = read_all(sliding((3, 0)))[2][..., SPEED]  # 30x44 cells of 8 pixels, board 60:180
    assert motion[10:20, 14:30].mean() == pytest.approx(3, rel=0.1)
    assert motion[:5].max() < STILL and motion[:, :7].max() < STILL


# --- A camera that shakes


def test_a_camera_that_shakes_does_not_move() -> None:
    for shake in ((3, -2), (-6, 4)):
        motion = read_all(sliding((0, 0), 2, shake=[(0, 0), shake]))[1][..., SPEED]
        assert motion[2:-2, 2:-2].max() < STILL  # at the border something new comes in


def test_what_moves_before_a_camera_that_shakes_has_its_own_motion() -> None:
    shaken = read_all(sliding((-3, 0), shake=[(0, 0), (4, 2), (-1, 0)]))[2]
    np.testing.assert_allclose(inner(shaken), inner(read_all(sliding((-3, 0)))[2]), atol=0.1)
    assert shaken[2:5, 2:-2, SPEED].max() < STILL


# --- Flow fields by hand


# --- Cuts


def joined(*starts: int) -> list[np.ndarray]:
    """Ten frames from each of these on, of a board that slides by 2 pixels a frame."""
    frames = sliding((2, 0), 60)
    return [frame for start in starts for frame in frames[start : start + 10]]


def test_behind_a_cut_nothing_moves() -> None:
    motion = read_all(joined(0, 45))
    still = ~motion.any((1, 2, 3))
    assert np.flatnonzero(still).tolist() == [
        0,
        10,
    ]  # the first frame, and the first behind the cut


def test_a_film_without_cuts_moves_in_every_frame() -> None:
    assert read_all(joined(0))[1:].any((1, 2, 3)).all()


def test_what_starts_to_move_fast_is_no_cut_for_long() -> None:
    """It may be one at first; that it goes on moving says that it was none."""
    slow, fast = sliding((1, 0), 10), sliding((16, 0), 6)
    still = ~read_all([*slow, *fast]).any((1, 2, 3))
    assert still[0] and not still[1:10].any() and still[11:].sum() == 0


def test_a_flash_is_no_motion() -> None:
    frames = joined(0)
    frames[5] = np.clip(frames[5].astype(int) + 60, 0, 255).astype(np.uint8)
    still = ~read_all(frames).any((1, 2, 3))
    assert np.flatnonzero(still).tolist() == [0, 5]


def test_motion_depends_on_as_many_frames_as_is_said() -> None:
    frames = joined(0, 40, 12, 48, 25)
    whole = read_all(frames)
    for first in (LEAD, LEAD + 5, LEAD + 14):  # 30 is a cut, 40 another
        later = read_all(frames[first - LEAD :])
        assert (later[LEAD:] == whole[first:]).all()


def test_a_reader_that_is_restarted_knows_nothing_of_before() -> None:
    frames = joined(0, 45)
    reader = MotionReader((240, 360))
    for frame in frames[:10]:
        reader.read(frame)
    reader.restart()
    behind = [reader.read(frame) for frame in frames[10:]]
    assert (np.stack(behind) == read_all(frames[10:])).all()


def turned(degrees: float, speed: float = 2.0, size: tuple[int, int] = (16, 24)) -> np.ndarray:
    flow = np.empty((*size, 2), np.float32)
    flow[:] = speed * math.cos(math.radians(degrees)), speed * math.sin(math.radians(degrees))
    return flow


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, {0: 2}),
        (45, {1: 2}),
        (90, {2: 2}),
        (180, {4: 2}),
        (-90, {6: 2}),
        (22.5, {0: 1, 1: 1}),
        (-22.5, {7: 1, 0: 1}),
        (360 - 11.25, {7: 0.5, 0: 1.5}),
        (101.25, {2: 1.5, 3: 0.5}),
    ],
)
def test_directions_between_two_are_shared_out(degrees: float, expected: dict[int, float]) -> None:
    motion = motion_of(turned(degrees), (2, 4))
    assert motion.shape == (2, 4, CHANNELS) and motion.dtype == np.float16
    expected_cell = np.zeros(CHANNELS)
    expected_cell[SPEED], expected_cell[MOVING] = 2, 1
    for direction, speed in expected.items():
        expected_cell[1 + direction] = speed
    np.testing.assert_allclose(motion, np.broadcast_to(expected_cell, motion.shape), atol=2e-3)


def test_noise_has_a_speed_and_no_direction_and_what_is_slow_does_not_count_as_moving() -> None:
    noise, slow = (motion_of(turned(90, speed), (2, 4)) for speed in (0.2, 0.5))
    np.testing.assert_allclose(noise[..., SPEED], 0.2, rtol=1e-3)
    assert not noise[..., DIRECTED].any() and not noise[..., MOVING].any()
    np.testing.assert_allclose(slow[..., [SPEED, 3]], 0.5, rtol=1e-3)
    assert not slow[..., MOVING].any()


def test_two_that_meet_in_a_cell_do_not_cancel_out() -> None:
    flow = turned(0, 4, (8, 8))
    flow[:, 2:4] = -4, 0  # the right half of the left cells goes to the left
    flow[:, 6:] = 0, 0  # that of the right cells stands still
    left, right = motion_of(flow, (2, 2))[0]
    np.testing.assert_array_equal(left, [4, 2, 0, 0, 0, 2, 0, 0, 0, 1])
    np.testing.assert_array_equal(right, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0.5])


def test_directions_sum_up_to_the_speed() -> None:
    flow = np.random.default_rng(0).normal(0, 5, (60, 90, 2)).astype(np.float32)
    flow[..., 0] += 20  # nothing is still
    motion = motion_of(flow, (10, 15)).astype(np.float64)
    np.testing.assert_allclose(motion[..., DIRECTED].sum(-1), motion[..., SPEED], rtol=3e-3)
    assert (motion >= 0).all() and (motion[..., MOVING] == 1).all()


# --- Sizes


@pytest.mark.parametrize("size", SIZES)
def test_grids_are_even_and_of_about_so_many_square_cells(size: tuple[int, int]) -> None:
    rows, columns = grid_size(size)
    assert rows % 2 == columns % 2 == 0
    assert rows * columns == pytest.approx(CELLS, rel=0.1)
    assert (size[0] / rows) / (size[1] / columns) == pytest.approx(1, rel=0.2)
    assert grid_size((size[1], size[0])) == (columns, rows)


@pytest.mark.parametrize("size", SIZES)
def test_the_working_size_has_so_many_pixels_in_the_same_shape(size: tuple[int, int]) -> None:
    height, width = working_size(size)
    assert height * width == pytest.approx(WORKING_PIXELS, rel=0.01)
    assert height / width == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("size", [(8, 4000), (4000, 8), (16, 2000), (8, 8)])
def test_pictures_of_odd_shapes_are_read(size: tuple[int, int]) -> None:
    assert min(working_size(size)) >= MIN_SIDE and min(grid_size(size)) >= 2
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    assert read_all(list(frames)).shape == (2, *grid_size(size), CHANNELS)

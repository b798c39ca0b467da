"""Boxes around what differs, of pictures with squares of known places."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.motion.changed_boxes import AROUND, BLUR, LEVELS, MAX_SHARE, MIN_TILES, TILE, changed_boxes
from mpn.motion.flow import MIN_SIDE, SPEED, MotionReader

SIZE = (240, 360)
SIDES = [(240, 360), (353, 245), (158, 238), (MIN_SIDE, 400), (400, MIN_SIDE)]


def plain(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Two halves whose grey levels have a deviation of 40."""
    picture = np.full(size, 60, np.uint8)
    picture[:, size[1] // 2 :] = 140
    return picture


def with_square(
    at: tuple[int, int], side: int = BLUR, size: tuple[int, int] = SIZE, levels: int = LEVELS
) -> np.ndarray:
    """The plain picture, brighter in a square whose upper left corner is there."""
    picture = plain(size)
    picture[at[0] : at[0] + side, at[1] : at[1] + side] += np.uint8(levels)
    return picture


def covered(boxes: list[tuple[slice, slice]], size: tuple[int, int] = SIZE) -> np.ndarray:
    inside = np.zeros(size, bool)
    for box in boxes:
        inside[box] = True
    return inside


def test_what_stands_still_has_no_box() -> None:
    assert changed_boxes(plain(), plain()) == []
    assert changed_boxes(plain(), plain() + np.uint8(LEVELS - 1)) == []


def test_by_a_quarter_of_the_light_the_same_is_found() -> None:
    before, now = plain(), with_square((100, 100), levels=16)
    dark = changed_boxes(before // 4, now // 4)
    assert dark == changed_boxes(before, now) and len(dark) == 1
    assert changed_boxes(before // 4, before // 4 + np.uint8(1)) == []


def test_too_small_a_spot_is_noise() -> None:
    assert changed_boxes(plain(), with_square((100, 100), side=1, levels=LEVELS)) == []


@pytest.mark.parametrize("at", [(0, 0), (100, 200), (235, 355), (7, 180), (120, 352)])
def test_a_change_has_a_box_with_what_is_around_it(at: tuple[int, int]) -> None:
    for before, now in ((plain(), with_square(at)), (with_square(at), plain())):
        (box,) = changed_boxes(before, now)
        margin = AROUND * TILE
        expected = np.zeros(SIZE, bool)
        middle = at[0] + BLUR // 2, at[1] + BLUR // 2
        expected[tuple(slice(max(0, c - margin), c + margin + 1) for c in middle)] = True
        assert covered([box])[expected].all()
        assert covered([box]).mean() < 0.1


def test_two_that_are_far_apart_have_two_boxes_and_two_close_ones_one() -> None:
    first = with_square((30, 30))
    far = np.maximum(first, with_square((200, 300)))
    close = np.maximum(first, with_square((30, 80)))
    assert len(changed_boxes(plain(), far)) == 2
    assert len(changed_boxes(plain(), close)) == 1


def test_what_changes_nearly_everywhere_is_one_box() -> None:
    whole = [(slice(0, 240), slice(0, 360))]
    assert changed_boxes(plain(), plain() + np.uint8(LEVELS)) == whole
    share = int(240 * MAX_SHARE) + 2 * TILE
    assert changed_boxes(plain(), with_square((0, 0), side=share, levels=50)) != whole
    most = plain()
    most[:share] += 50
    assert changed_boxes(plain(), most) == whole


@pytest.mark.parametrize("size", SIDES)
def test_no_box_is_so_small_that_the_flow_changes_its_settings(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        at = int(rng.integers(size[0] - BLUR + 1)), int(rng.integers(size[1] - BLUR + 1))
        (box,) = changed_boxes(plain(size), with_square(at, size=size))
        high, wide = (side.stop - side.start for side in box)
        assert max(high, wide) >= 46 and min(high, wide) >= min(*size, (MIN_TILES - 1) * TILE)
        assert covered([box], size)[at[0] + BLUR // 2, at[1] + BLUR // 2]


def test_every_change_of_many_is_in_a_box() -> None:
    rng = np.random.default_rng(1)
    for count in (2, 5, 12, 30):
        now, middles = plain(), []
        for _ in range(count):
            at = int(rng.integers(236)), int(rng.integers(356))
            now = np.maximum(now, with_square(at))
            middles.append((at[0] + BLUR // 2, at[1] + BLUR // 2))
        inside = covered(changed_boxes(plain(), now))
        assert all(inside[middle] for middle in middles)


# --- The flow in them


def walker(left: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A textured square before a textured wall, uint8 (H, W, 1)."""
    texture = np.random.default_rng(2).integers(0, 256, (60, 90), np.uint8)
    large = texture.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]]
    picture = (large // 4 + 60).astype(np.uint8)
    picture[100:140, left : left + 40] = large[:40, :40]
    return picture[..., None]


def test_what_moves_in_a_still_picture_has_its_speed_and_all_else_none() -> None:
    reader = MotionReader(SIZE)
    reader.read(walker(100))
    speed = reader.read(walker(103))[..., SPEED].astype(np.float64)  # 30x44 cells of 8 pixels
    assert speed[14:16, 14:16].mean() == pytest.approx(3, rel=0.1)
    assert not speed[:6].any() and not speed[:, 30:].any()


def test_a_small_change_leaves_the_flow_of_later_frames_as_it_is() -> None:
    frames = [walker(100), walker(103), walker(106)]
    spot = frames[0].copy()
    spot[20:26, 20:26] += 60
    used, fresh = MotionReader(SIZE), MotionReader(SIZE)
    used.read(spot)
    for frame in frames:
        late, early = used.read(frame), fresh.read(frame)
    np.testing.assert_array_equal(late, early)

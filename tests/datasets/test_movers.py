from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mpn.datasets.movers import MARGIN, CutOptions, Mover, cut_movers, paste
from mpn.errors import DataError

SIZE = (128, 192)
SIDE, STEP, TOP = 16, 3, 50  # of the square, in pixels; it goes to the right


def ground(channels=1, size=SIZE):
    """A texture of up to 120 grey levels that stands still."""
    return np.random.default_rng(0).integers(60, 121, (*size, channels), np.uint8)


def square_at(t):
    """The square's left column in frame t: from outside to outside."""
    return STEP * t - SIDE


def walking(count=70, channels=1, level=220, size=SIZE, side=SIDE):
    """A bright square that crosses the texture: uint8 (T, H, W, C)."""
    frames = np.repeat(ground(channels, size)[None], count, axis=0)
    for t, frame in enumerate(frames):
        left = square_at(t)
        frame[TOP : TOP + side, max(left, 0) : max(left + side, 0)] = level
    return frames


def patterned(steps=5, size=(12, 8), speed=(0, 3), channels=1, at=(40, 60)):
    """A mover with a pattern and a known outline, of which every step is the same."""
    h, w = size
    pattern = np.random.default_rng(1).integers(130, 250, (h, w, channels), np.uint8)
    piece = np.pad(pattern, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    outline = np.pad(np.ones(size, bool), MARGIN)
    corners = [(at[0] + t * speed[0], at[1] + t * speed[1]) for t in range(steps)]
    middle = (np.array(outline.shape) - 1) / 2
    centres = np.array(corners) + middle
    return Mover((piece,) * steps, (outline,) * steps, tuple(corners), centres, steps - 1)


def boxes(frames, before):
    """Of each frame the box (top, left, bottom, right) of what changed; ends exclusive."""
    for frame, old in zip(frames, before):
        rows, columns = np.nonzero((frame != old).any(axis=2))
        yield rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


# --- Cutting


@pytest.mark.parametrize("channels", [1, 3])
def test_a_square_is_cut_with_its_outline_its_places_and_its_pixels(channels):
    frames = walking(channels=channels)
    movers = cut_movers(frames, 10.0, steps=5, limit=20)
    assert len(movers) == 20
    for mover in movers:
        assert len(mover) == 5
        for step in range(5):
            t = mover.last - 4 + step
            middle = (TOP + (SIDE - 1) / 2, square_at(t) + (SIDE - 1) / 2)
            assert mover.centres[step] == pytest.approx(middle, abs=0.5)
            assert SIDE**2 <= mover.outlines[step].sum() <= (SIDE + 2) ** 2
            y, x = mover.corners[step]
            h, w = mover.outlines[step].shape
            assert np.array_equal(mover.pieces[step], frames[t][y : y + h, x : x + w])
            outline = np.zeros(SIZE, bool)
            outline[y : y + h, x : x + w] = mover.outlines[step]
            assert outline[TOP : TOP + SIDE, square_at(t) : square_at(t) + SIDE].all()
        assert mover.speed == pytest.approx(STEP, abs=0.05)
        assert SIDE**2 <= mover.area <= (SIDE + 2) ** 2


def test_in_colour_one_channel_is_enough():
    """Blue (BGR) differs by 100, the others not at all."""
    frames = np.full((60, *SIZE, 3), 100, np.uint8)
    for t, frame in enumerate(frames):
        frame[TOP : TOP + SIDE, max(square_at(t), 0) : max(square_at(t) + SIDE, 0), 0] = 200
    assert cut_movers(frames, 10.0)


def test_sizes_are_shares_of_the_frame():
    """Twice the frame, twice the square and its way: as many pixels of the frame."""
    small = walking()
    large = np.stack([cv2.resize(f, (384, 256), interpolation=cv2.INTER_NEAREST) for f in small])
    movers = cut_movers(large[..., None], 10.0, limit=10)
    assert movers and all(4 * SIDE**2 <= mover.area <= 4 * (SIDE + 2) ** 2 for mover in movers)
    assert movers[0].speed == pytest.approx(2 * STEP, abs=0.1)


def test_a_faint_part_belongs_to_the_object_that_it_touches():
    """Trousers that differ by about 20 levels go with a shirt that differs by 120."""
    frames = np.full((60, *SIZE, 1), 100, np.uint8)
    for t, frame in enumerate(frames):
        columns = np.s_[max(square_at(t), 0) : max(square_at(t) + SIDE, 0)]
        frame[TOP : TOP + SIDE, columns] = 220
        frame[TOP + SIDE : TOP + 2 * SIDE, columns] = 120
    movers = cut_movers(frames, 10.0, limit=10)
    assert movers and all(mover.area >= 2 * SIDE**2 for mover in movers)
    faint = np.where(frames == 220, 100, frames).astype(np.uint8)
    assert cut_movers(faint, 10.0) == []


def test_nothing_is_cut_from_still_footage():
    assert cut_movers(np.repeat(ground()[None], 60, axis=0), 10.0) == []


def test_nothing_is_cut_where_everything_moves():
    noise = np.random.default_rng(2).integers(0, 256, (60, *SIZE, 1), np.uint8)
    assert cut_movers(noise, 10.0) == []
    # A square like the others, while half of the picture flickers between dark and bright.
    frames = walking()
    frames[::2, :, :96], frames[1::2, :, :96] = 0, 255
    assert cut_movers(frames, 10.0) == []


def test_what_comes_and_goes_without_moving_is_none():
    frames = np.repeat(ground()[None], 60, axis=0)
    frames[20:35, TOP : TOP + SIDE, 80 : 80 + SIDE] = 220
    assert cut_movers(frames, 10.0) == []


def test_what_jumps_to_and_fro_is_none():
    frames = np.repeat(ground()[None], 60, axis=0)
    for t in range(20, 40):
        left = 80 + 9 * (t % 2) + t - 20
        frames[t, TOP : TOP + SIDE, left : left + SIDE] = 220
    assert cut_movers(frames, 10.0) == []


@pytest.mark.parametrize("side", [4, 80])
def test_too_small_and_too_large_ones_are_left_out(side):
    assert cut_movers(walking(120, side=side), 10.0) == []


def test_none_touches_the_border():
    for mover in cut_movers(walking(90), 10.0):
        for (y, x), outline in zip(mover.corners, mover.outlines):
            assert y >= 0 and x >= 0
            assert y + outline.shape[0] <= SIZE[0] and x + outline.shape[1] <= SIZE[1]


def test_the_same_seed_gives_the_same_and_another_gives_others():
    frames = walking()
    first, again, other = (cut_movers(frames, 10.0, limit=8, seed=seed) for seed in (1, 1, 2))
    assert [mover.last for mover in first] == [mover.last for mover in again]
    assert all(
        np.array_equal(a, b) for x, y in zip(first, again) for a, b in zip(x.pieces, y.pieces)
    )
    assert [mover.last for mover in first] != [mover.last for mover in other]


def test_the_limit_is_shared_by_all_stretches():
    """Three stretches of 7 seconds at 10 frames a second, and the same square in each."""
    frames = np.concatenate([walking()] * 3)
    movers = cut_movers(frames, 10.0, limit=9, options=CutOptions(seconds=7.0))
    assert [sum(mover.last // 70 == part for mover in movers) for part in range(3)] == [3, 3, 3]


def test_a_background_of_the_whole_footage_finds_what_hardly_moves_in_a_few_frames():
    """In nine frames it goes 24 pixels; their median shows it where it is in five or more."""
    frames = np.repeat(walking()[20:29], 1, axis=0)
    by_median, by_background = (cut_movers(frames, 10.0, background=b) for b in (None, ground()))
    assert len(by_background) == 5  # every first frame that four more follow
    assert all(mover.speed == pytest.approx(STEP, abs=0.05) for mover in by_background)
    assert all(SIDE**2 <= mover.area <= (SIDE + 2) ** 2 for mover in by_background)
    assert not any(mover.speed == pytest.approx(STEP, abs=0.05) for mover in by_median)


@pytest.mark.parametrize(
    ("frames", "steps"),
    [(np.zeros((9, 8, 8), np.uint8), 5), (np.zeros((9, 8, 8, 1)), 5), (walking(9), 1)],
)
def test_other_frames_and_too_few_steps_are_refused(frames, steps):
    with pytest.raises(DataError, match="two steps"):
        cut_movers(frames, 10.0, steps=steps)


def test_footage_shorter_than_a_mover_has_none():
    assert cut_movers(walking(4), 10.0, steps=5) == []


# --- Pasting


@pytest.mark.parametrize("channels", [1, 3])
def test_over_its_own_frames_a_paste_changes_nothing(channels):
    frames = walking(channels=channels)
    for mover in cut_movers(frames, 10.0, limit=10):
        original = frames[mover.last - 4 : mover.last + 1]
        pasted, mask = paste(original, mover)
        assert np.array_equal(pasted, original) and not mask.any()
        assert pasted is not original and not np.shares_memory(pasted, original)


def test_over_its_background_a_paste_gives_the_frames_that_it_was_cut_from():
    frames = walking()
    background = np.repeat(ground()[None], 5, axis=0)
    for mover in cut_movers(frames, 10.0, limit=10):
        pasted, mask = paste(background, mover)
        original = frames[mover.last - 4 : mover.last + 1]
        assert np.abs(pasted.astype(int) - original).max() <= 1
        # It was in all of these places.
        union = np.zeros(SIZE, bool)
        for t in range(mover.last - 4, mover.last + 1):
            union[TOP : TOP + SIDE, square_at(t) : square_at(t) + SIDE] = True
        assert np.array_equal(mask, union)


def test_the_mask_is_where_pixels_changed():
    frames = np.repeat(ground()[None], 4, axis=0)
    pasted, mask = paste(frames, patterned(), scale=1.7, speed=2.0, brightness=12.0)
    assert np.array_equal(mask, (pasted != frames).any(axis=(0, 3))) and mask.any()
    assert np.array_equal(frames, np.repeat(ground()[None], 4, axis=0))


def test_a_shift_moves_it_by_as_much():
    frames = np.zeros((4, *SIZE, 1), np.uint8)
    plain, _ = paste(frames, patterned())
    shifted, _ = paste(frames, patterned(), shift=(7, -20))
    assert np.array_equal(shifted, np.roll(plain, (7, -20), axis=(1, 2)))


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_scale_scales_its_box_and_its_way_about_its_centre(scale):
    frames = np.zeros((4, *SIZE, 1), np.uint8)
    mover = patterned(size=(12, 8), speed=(0, 4))
    pasted, _ = paste(frames, mover, scale=scale)
    corners = np.array(list(boxes(pasted, frames)))
    # The soft edge adds one or two pixels on each side.
    assert (np.abs(corners[:, 2] - corners[:, 0] - 12 * scale - 3) <= 2).all()
    assert (np.abs(corners[:, 3] - corners[:, 1] - 8 * scale - 3) <= 2).all()
    middles = (corners[:, :2] + corners[:, 2:] - 1) / 2
    assert middles[-1] == pytest.approx(mover.centres[3], abs=1)
    assert middles[-1] - middles[0] == pytest.approx([0, 3 * 4 * scale], abs=1)


@pytest.mark.parametrize("speed", [0.0, 1.0, 2.5])
def test_a_speed_lengthens_its_way_to_the_same_last_place(speed):
    frames = np.zeros((4, *SIZE, 1), np.uint8)
    mover = patterned(speed=(1, 4))
    plain, _ = paste(frames, mover)
    pasted, _ = paste(frames, mover, speed=speed)
    assert np.array_equal(pasted[-1], plain[-1])
    corners = np.array(list(boxes(pasted, frames)))[:, :2]
    for back in range(4):
        way = corners[-1] - corners[-1 - back]
        assert way == pytest.approx(np.array([1, 4]) * back * speed, abs=0.5)


def test_a_flip_exchanges_left_and_right_and_the_way_too():
    frames = np.zeros((4, *SIZE, 1), np.uint8)
    mover = patterned(speed=(2, 4), size=(12, 9))
    plain, flipped = (
        np.array(paste(frames, mover, flip=flip)[0][..., 0]) for flip in (False, True)
    )
    last = int(2 * mover.centres[3][1])  # the sum of the columns that are exchanged
    mirrored = np.zeros_like(plain)
    for column in range(last + 1 - SIZE[1], SIZE[1]):
        if 0 <= column < SIZE[1] and 0 <= last - column < SIZE[1]:
            mirrored[:, :, last - column] = plain[:, :, column]
    assert np.array_equal(flipped, mirrored)


def test_brightness_is_added_within_the_grey_levels():
    frames = np.full((4, *SIZE, 1), 50, np.uint8)
    mover = patterned()
    plain, brighter, white = (
        paste(frames, mover, brightness=level)[0][-1][46:52, 75:78].astype(int)
        for level in (0, 5, 300)
    )
    assert np.array_equal(brighter, plain + 5)
    assert (white == 255).all()


def test_outside_of_the_picture_it_is_cut_off():
    frames = np.zeros((4, *SIZE, 1), np.uint8)
    inside, _ = paste(frames, patterned())
    for shift in ((-46, 0), (78, 0), (0, -70), (0, 122)):
        pasted, _ = paste(frames, patterned(), shift=shift)
        rows, columns = (np.arange(side) - by for side, by in zip(SIZE, shift))
        visible = np.ix_(
            range(4),
            np.flatnonzero((rows >= 0) & (rows < SIZE[0])),
            np.flatnonzero((columns >= 0) & (columns < SIZE[1])),
        )
        rolled = np.roll(inside, shift, axis=(1, 2))
        assert np.array_equal(pasted[visible], rolled[visible]) and pasted.any()
    nowhere, mask = paste(frames, patterned(), shift=(500, 0))
    assert np.array_equal(nowhere, frames) and not mask.any()


def test_the_edge_is_soft():
    frames = np.zeros((1, *SIZE, 1), np.uint8)
    mover = patterned(steps=1, speed=(0, 0))
    white = replace(mover, pieces=(np.full_like(mover.pieces[0], 200),))
    row = paste(frames, white)[0][0, 40 + MARGIN + 6, :, 0].astype(int)
    rising = row[55:66]
    assert (np.diff(rising) >= 0).all() and rising[rising < 200].max() > 0
    assert np.abs(np.diff(row)).max() < 200


@pytest.mark.parametrize("shape", [(6, *SIZE, 1), (4, *SIZE, 3)])
def test_more_frames_than_steps_and_other_channels_are_refused(shape):
    with pytest.raises(DataError, match="a mover of 5 steps and 1 channels"):
        paste(np.zeros(shape, np.uint8), patterned())

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions

T = 4
NOTHING = {"speed_probability": 0, "object_probability": 0}
SPEED = {"speed_probability": 1, "object_probability": 0}
OBJECT = {"speed_probability": 0, "object_probability": 1, "objects": (1, 1)}


def counting(count=13, size=(30, 40), step=10):
    """Frame k is k * step all over: uint8 (N, H, W, 1)."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None] * step, (count, *size, 1)
    ).copy()


def maker(donor=None, **options):
    donor = np.full((200, 200, 1), 200, np.uint8) if donor is None else donor
    return PseudoAnomalies(lambda generator: donor, PseudoOptions(**options))


def draws(anomalies, frames, count, seed=0):
    for number in range(count):
        yield anomalies(frames, T, np.random.default_rng((seed, number)))


def test_without_probabilities_the_window_is_untouched_and_the_mask_empty():
    frames = counting()
    for window, mask in draws(maker(**NOTHING), frames, 20):
        assert np.array_equal(window, frames[-T:]) and window.dtype == np.uint8
        assert mask.shape == (30, 40) and mask.dtype == bool and not mask.any()
        assert not np.shares_memory(window, frames)


def test_a_whole_frame_speed_up_takes_frames_two_to_four_apart():
    frames = counting()
    steps = set()
    for window, mask in draws(maker(**SPEED, whole_frame_probability=1), frames, 60):
        shown = window[:, 0, 0, 0] // 10
        assert (window == window[:, :1, :1]).all()
        assert shown[-1] == 12  # up to the same last frame
        assert len(set(np.diff(shown))) == 1
        step = int(np.diff(shown)[0])
        steps.add(step)
        # 3 (step - 1) frames further back at the oldest: 30 grey levels or more.
        assert mask.all()
    assert steps == {2, 3, 4}


@pytest.mark.parametrize(
    ("count", "steps"), [(13, {2, 3, 4}), (12, {2, 3}), (10, {2, 3}), (7, {2}), (6, {1}), (4, {1})]
)
def test_a_short_history_slows_the_speed_up_down(count, steps):
    distances = set()
    for window, _ in draws(maker(**SPEED, whole_frame_probability=1), counting(count), 40):
        distances |= set(np.diff(window[:, 0, 0, 0] // 10).tolist())
    assert distances == steps


def test_the_history_is_what_the_fastest_speed_up_needs():
    assert PseudoAnomalies.history(4) == 13 and PseudoAnomalies.history(2) == 5


def test_sped_up_rectangles_have_the_stated_sizes_and_numbers():
    frames, sizes = counting(size=(100, 120)), []
    for window, mask in draws(
        maker(**SPEED, whole_frame_probability=0, rectangles=(1, 1)), frames, 80
    ):
        changed = window[0, ..., 0] != frames[-T, 0, 0, 0]
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        assert changed.sum() == len(rows) * len(columns)
        assert rows[-1] - rows[0] + 1 == len(rows) and columns[-1] - columns[0] + 1 == len(columns)
        assert len(set(window[0][changed].ravel().tolist())) == 1
        assert np.array_equal(window[-1], frames[-1])
        sizes += [len(rows), len(columns)]
        assert np.array_equal(mask, ndimage.binary_dilation(changed, np.ones((5, 5))))
    assert min(sizes) >= 24 and max(sizes) <= 80
    assert min(sizes) <= 30 and max(sizes) >= 74  # the range is used


def test_one_to_three_rectangles():
    counts = []
    for window, _ in draws(
        maker(**SPEED, whole_frame_probability=0, rectangle_size=(24, 26)),
        counting(size=(400, 500)),
        60,
    ):
        counts.append(ndimage.label(window[0, ..., 0] != 90)[1])
    assert set(counts) == {1, 2, 3}  # overlaps are rare here


def test_rectangles_larger_than_the_frame_cover_it():
    for window, mask in draws(
        maker(**SPEED, whole_frame_probability=0), counting(size=(16, 20)), 10
    ):
        assert (window[0] != 90).all() and mask.all()


def boxes(window, background):
    """Bounding box (top, left, bottom, right), ends exclusive, of what differs, for each frame; or
    None."""
    for frame in window:
        changed = frame[..., 0] != background
        if not changed.any():
            yield None
            continue
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        yield rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def test_foreign_objects_are_ellipses_of_the_stated_size_brightness_and_speed():
    frames = np.full((T, 400, 500, 1), 50, np.uint8)
    sizes, speeds, levels = [], [], []
    for window, _ in draws(maker(np.full((200, 200, 1), 150, np.uint8), **OBJECT), frames, 150):
        corners = list(boxes(window, 50))
        if any(
            box is None or box[0] == 0 or box[1] == 0 or box[2] == 400 or box[3] == 500
            for box in corners
        ):
            continue  # partly outside
        tops = np.array(corners)
        heights, widths = tops[:, 2] - tops[:, 0], tops[:, 3] - tops[:, 1]
        assert len(set(heights)) == len(set(widths)) == 1
        sizes += [heights[0], widths[0]]
        # As far every frame, but for the rounding to whole pixels.
        moved = np.diff(tops[:, :2], axis=0)
        assert (np.ptp(moved, axis=0) <= 1).all()
        speeds += np.abs(moved).max(axis=0).tolist()
        top, left, bottom, right = corners[0]
        piece = window[0, top:bottom, left:right, 0].astype(float)
        assert (piece[[0, 0, -1, -1], [0, -1, 0, -1]] == 50).all()  # no corners
        filled = (piece != 50).mean()
        assert 0.6 < filled < 0.95  # an ellipse covers pi / 4 of its box
        levels.append(piece[piece.shape[0] // 2, piece.shape[1] // 2])
    assert len(sizes) > 100
    # 10 to 36 pixels enlarged 1.3 to 2.5 times; the faintest pixels of the soft edge may round
    # away.
    assert min(sizes) >= 11 and max(sizes) <= 90
    assert min(sizes) < 20 and max(sizes) > 70
    assert max(speeds) <= 9 and max(speeds) >= 7 and min(speeds) <= 1
    # The donor's 150, 15 to 60 darker or brighter.
    away = np.abs(np.array(levels) - 150)
    assert away.min() >= 14 and away.max() <= 61
    assert (np.array(levels) > 150).any() and (np.array(levels) < 150).any()


def test_one_or_two_objects():
    frames = np.zeros((T, 400, 500, 1), np.uint8)
    options = OBJECT | {"objects": (1, 2)}
    counts = [
        ndimage.label(window[-1, ..., 0])[1] for window, _ in draws(maker(**options), frames, 60)
    ]
    assert set(counts) <= {1, 2} and counts.count(1) > 10 and counts.count(2) > 10


def test_objects_show_what_the_donor_shows():
    """Cut from a donor whose left half is dark and right half bright, no pixel is outside its
    range."""
    donor = np.full((120, 160, 3), (40, 90, 140), np.uint8)
    frames = np.full((T, 120, 160, 3), 128, np.uint8)
    for window, _ in draws(maker(donor, **OBJECT, brightness=(20, 20)), frames, 20):
        box = next(box for box in list(boxes(window, 128))[::-1] if box)
        middle = window[-1, (box[0] + box[2]) // 2, (box[1] + box[3]) // 2].astype(int)
        if 0 in box[:2] or box[2] == 120 or box[3] == 160:
            continue
        assert sorted(np.abs(middle - [40, 90, 140]).tolist()) == [20, 20, 20]


def recomputed(original, window, threshold=20, dilated=2):
    largest = np.abs(original.astype(int) - window.astype(int)).max(axis=3).max(axis=0)
    return ndimage.binary_dilation(largest > threshold, np.ones((2 * dilated + 1,) * 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_is_where_the_window_visibly_changed(channels):
    generator = np.random.default_rng(5)
    frames = generator.integers(0, 256, (1, 60, 80, channels)) + generator.integers(
        -18, 19, (13, 60, 80, channels)
    )
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    donor = generator.integers(0, 256, (60, 80, channels), np.uint8)
    anomalies = maker(donor, speed_probability=0.7, object_probability=0.7)
    kinds = set()
    for window, mask in draws(anomalies, frames, 40):
        assert np.array_equal(mask, recomputed(frames[-T:], window))
        kinds.add((bool(mask.any()), bool(mask.all())))
    assert len(kinds) >= 2


def test_the_mask_follows_its_options():
    frames = counting(size=(60, 80))
    options = SPEED | {
        "whole_frame_probability": 0,
        "visible_change": 45,
        "dilated": 3,
        "rectangle_size": (24, 30),
    }
    marked = set()
    for window, mask in draws(maker(**options), frames, 40):
        assert np.array_equal(mask, recomputed(frames[-T:], window, 45, 3))
        marked.add(bool(mask.any()))
    assert marked == {False, True}  # twice as fast changes 30 levels: not visible at 45


def test_the_same_generator_gives_the_same_and_the_input_stays():
    frames = np.random.default_rng(1).integers(0, 256, (13, 60, 80, 3), np.uint8)
    before = frames.copy()
    anomalies = maker(frames[0], speed_probability=0.8, object_probability=0.8)
    first, again, other = (list(draws(anomalies, frames, 10, seed)) for seed in (1, 1, 2))
    assert all(
        np.array_equal(a, b)
        for draw, counterpart in zip(first, again)
        for a, b in zip(draw, counterpart)
    )
    assert not all(
        np.array_equal(draw[0], counterpart[0]) for draw, counterpart in zip(first, other)
    )
    assert np.array_equal(frames, before)


def test_frequencies_are_near_the_probabilities():
    """Each kind by its own sign: speed-ups change the oldest frame's grey, objects are far
    brighter."""
    frames, count = counting(size=(8, 8), step=5), 1500
    sped, whole, objects, both = 0, 0, 0, 0
    anomalies = maker(np.full((8, 8, 1), 255, np.uint8), rectangle_size=(2, 4), rectangles=(1, 1))
    for window, _ in draws(anomalies, frames, count):
        has_object = (window > 150).any()
        # The object is in every frame that it overlaps, so look at pixels that it left alone.
        background = window[0][window[0] <= 45]
        has_speed = (background < 45).any()
        objects, sped, both = (
            objects + has_object,
            sped + has_speed,
            both + (has_object and has_speed),
        )
        whole += has_speed and not has_object and (window[0] < 45).all()

    # Three standard deviations and a bit of a binomial share.
    def near(number, probability):
        return abs(number / count - probability) < 3.5 * np.sqrt(
            probability * (1 - probability) / count
        )

    assert near(objects, 0.3)
    assert near(whole, 0.4 * 0.5 * 0.7)
    assert near(sped - both, 0.4 * 0.7)

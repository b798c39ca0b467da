"""Regions of maps, and the same thing having the same number from frame to frame."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpn.scoring.patches import patch_means
from mpn.scoring.regions import (
    MIN_OVERLAP,
    Tracker,
    find_regions,
    fit_costs,
    patches_box,
    track_gap,
)
from mpn.scoring.scores import region

# Patches of 16 at every second pixel of a 64x96 frame: a grid of 25x41.
SIZE, PATCH, GRID = (64, 96), 16, (25, 41)


def grid_of(*rectangles: tuple[int, int, int, int, float]) -> np.ndarray:
    """The patch means of a frame of zeros with rectangles (top, left, height, width, value)."""
    frame = torch.zeros(1, *SIZE)
    for top, left, height, width, value in rectangles:
        frame[0, top : top + height, left : left + width] = value
    return patch_means(frame, PATCH, 2)[0].numpy()


# --- Regions


def test_regions_by_hand() -> None:
    grid = grid_of((10, 20, 16, 16, 1.0), (32, 60, 24, 24, 2.0))
    # Rows 10-25: patches from row 2 to row 18 lie over it by half, that is pixels 2-33; less a
    # quarter of a patch on either side 6-29. Columns 20-35: patches from 12 to 28, pixels 12-43, so
    # 16-39. The source is twice as large. Rows 32-55: patches from 24 to 48, the last there is:
    # pixels 24-63; the frame's edge stays: 28-63. Columns 60-83: from 52 to 76, pixels 52-91, so
    # 56-87.
    assert find_regions(grid, 0.0, PATCH, SIZE, (128, 192)) == [
        (2.0, (56, 112, 72, 64)),
        (1.0, (12, 32, 48, 48)),
    ]


def test_every_region_has_its_own_peak_and_its_own_half() -> None:
    # The second is weaker than half of the first and would vanish beside it if the half were that
    # of the first.
    grid = grid_of((0, 0, 16, 16, 10.0), (40, 60, 20, 20, 1.0))
    scores = [score for score, _ in find_regions(grid, 0.0, PATCH, SIZE, SIZE)]
    assert scores == [10.0, 1.0]
    assert find_regions(grid, 1.0, PATCH, SIZE, SIZE) == find_regions(
        grid, 1.0, PATCH, SIZE, SIZE, max_regions=1
    )
    assert find_regions(grid, 10.0, PATCH, SIZE, SIZE) == []


def test_two_things_side_by_side_are_two_regions() -> None:
    grid = grid_of((20, 4, 16, 16, 3.0), (20, 40, 16, 16, 2.5))
    (_, first), (_, second) = find_regions(grid, 0.0, PATCH, SIZE, SIZE)
    assert first[1] + first[3] <= 32 and second[1] >= 28


def test_the_flank_of_a_peak_is_no_region() -> None:
    rows, columns = np.mgrid[:25, :41]
    # above 0 everywhere
    hill = np.exp(-((rows - 12) ** 2 + (columns - 20) ** 2) / 40).astype(np.float32)
    assert len(find_regions(hill, 0.0, PATCH, SIZE, SIZE)) == 1


def test_the_region_of_a_single_peak_is_its_patch() -> None:
    grid = np.zeros(GRID, np.float32)
    grid[7, 9] = 3.0
    assert find_regions(grid, 1.0, PATCH, SIZE, (128, 192)) == [(3.0, (28, 36, 32, 32))]
    assert region(grid, PATCH, SIZE, (128, 192)) == (28, 36, 32, 32)


def test_a_map_of_one_value_is_one_region_and_all_of_it() -> None:
    assert find_regions(np.full(GRID, 5.0), 0.0, PATCH, SIZE, (240, 360)) == [
        (5.0, (0, 0, 240, 360))
    ]
    assert find_regions(np.full(GRID, 5.0), 5.0, PATCH, SIZE, (240, 360)) == []
    assert find_regions(np.ones((1, 1)), 0.0, 50, (16, 16), (64, 32)) == [(1.0, (0, 0, 64, 32))]


def test_what_is_not_a_number_is_no_peak() -> None:
    grid = np.full(GRID, np.nan, np.float32)
    assert find_regions(grid, 0.0, PATCH, SIZE, SIZE) == []
    grid[3, 4] = 1.0
    assert find_regions(grid, 0.0, PATCH, SIZE, SIZE) == [(1.0, (6, 8, 16, 16))]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([(128, 192), (91, 77), (20, 16), (1080, 1920)]),
)
def test_regions_hold_their_peaks_and_stay_inside(
    seed: int, most: int, source: tuple[int, int]
) -> None:
    grid = np.random.default_rng(seed).normal(size=GRID).astype(np.float32)
    regions = find_regions(grid, 0.5, PATCH, SIZE, source, most)
    scores = [score for score, _ in regions]
    assert len(regions) <= most and scores == sorted(scores, reverse=True)
    assert scores[0] == grid.max() and min(scores) > 0.5
    for score, (top, left, height, width) in regions:
        assert 0 <= top < top + height <= source[0] and 0 <= left < left + width <= source[1]
        row, column = np.argwhere(grid == np.float32(score))[0]
        middle = ((2 * row + 8) / 64 * source[0], (2 * column + 8) / 96 * source[1])
        assert (
            top - 1 <= middle[0] <= top + height + 1 and left - 1 <= middle[1] <= left + width + 1
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_mirrored_map_has_mirrored_regions_and_units_do_not_matter(seed: int) -> None:
    # Whole numbers, each once: no ties, and nothing is lost by the sums.
    grid = np.random.default_rng(seed).permutation(25 * 41).reshape(GRID).astype(np.float32)
    regions = find_regions(grid, 500.0, PATCH, SIZE, SIZE)
    mirrored = find_regions(grid[:, ::-1], 500.0, PATCH, SIZE, SIZE)
    assert [
        (score, (top, 96 - left - width, height, width))
        for score, (top, left, height, width) in regions
    ] == mirrored
    scaled = find_regions(4 * grid - 2000, 0.0, PATCH, SIZE, SIZE)
    assert [(4 * score - 2000, box) for score, box in regions] == scaled


def test_boxes_of_patches_by_hand() -> None:
    where = (PATCH, SIZE, SIZE)
    assert patches_box(GRID, (2, 3), (6, 13), *where) == (4, 6, 24, 36)
    # 4 less on every side: 16 is left
    assert patches_box(GRID, (2, 3), (6, 13), *where, inset=0.25) == (8, 10, 16, 28)
    # never less than a patch
    assert patches_box(GRID, (2, 3), (3, 13), *where, inset=0.25) == (5, 10, 16, 28)
    assert patches_box(GRID, (0, 0), (24, 40), *where, inset=0.25) == (0, 0, 64, 96)  # to the edges
    assert patches_box((63, 95), (5, 5), (5, 5), 2, SIZE, (16, 16)) == (1, 1, 1, 1)  # never nothing


# --- Tracks


def numbers(tracker: Tracker, frame: int, *boxes: tuple[int, int, int, int]) -> list[int]:
    return [tracked.track for tracked in tracker.update(frame, [(1.0, box) for box in boxes])]


def test_things_keep_their_numbers_whatever_their_order() -> None:
    tracker = Tracker()
    for frame in range(40):
        right, down = (50, 5 * frame, 20, 30), (4 * frame, 300, 40, 20)
        regions = [(2.0, right), (1.0, down)]
        tracked = tracker.update(frame, regions if frame % 2 else regions[::-1])
        assert [(thing.score, thing.box) for thing in tracked] == (
            regions if frame % 2 else regions[::-1]
        )
        assert {thing.box: thing.track for thing in tracked} == {right: 2, down: 1}


def test_links_are_the_best_on_the_whole() -> None:
    # Both have moved; the nearest pair alone, the second and the new first, would leave the first
    # far from the rest.
    tracker = Tracker()
    assert numbers(tracker, 0, (0, 0, 20, 20), (0, 8, 20, 20)) == [1, 2]
    assert numbers(tracker, 1, (0, 6, 20, 20), (0, 16, 20, 20)) == [1, 2]


def test_a_gap_may_be_so_long_and_no_longer() -> None:
    box = (10, 10, 20, 20)
    for gap in (0, 1, 5):
        for unseen, same in ((gap, True), (gap + 1, False)):
            tracker = Tracker(gap)
            assert numbers(tracker, 7, box) == [1]
            for frame in range(8, 8 + unseen):
                assert numbers(tracker, frame) == []
            assert numbers(tracker, 8 + unseen, box) == [1 if same else 2]


@pytest.mark.parametrize(
    ("fps", "every", "missed"), [(10, 1, 5), (25, 1, 12), (10 / 3, 3, 2), (0.2, 50, 1)]
)
def test_a_gap_of_half_a_second_in_the_frames_that_are_scored(
    fps: float, every: int, missed: int
) -> None:
    for unseen, same in ((missed, True), (missed + 1, False)):
        tracker = Tracker(track_gap(fps, every))
        assert numbers(tracker, 0, (0, 0, 9, 9)) == [1]
        assert numbers(tracker, every * (unseen + 1), (0, 0, 9, 9)) == [1 if same else 2]


def test_a_jump_begins_a_track_and_numbers_are_never_used_again() -> None:
    tracker = Tracker(gap=2)
    tracks = [numbers(tracker, frame, (0, 200 * (frame % 7), 20, 20))[0] for frame in range(50)]
    assert tracks == list(range(1, 51))
    assert len(tracker.tracks) == 4  # the latest, and three that may go on


def test_a_thing_that_moves_by_its_own_size_is_the_same() -> None:
    tracker = Tracker()
    assert [numbers(tracker, frame, (0, 20 * frame, 20, 20)) for frame in range(5)] == [[1]] * 5
    assert [numbers(tracker, frame, (0, 21 * frame + 300, 20, 20)) for frame in range(5, 8)] == [
        [2],
        [3],
        [4],
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 29))
def test_going_on_from_plain_data_makes_no_difference(seed: int, stop: int) -> None:
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(30):
        rows = generator.integers((0, 0, 10, 10), (60, 60, 40, 40), (generator.integers(0, 5), 4))
        frames.append(
            [
                (float(score), tuple(map(int, row)))
                for score, row in zip(generator.random(len(rows)), rows)
            ]
        )
    whole, again = Tracker(3), Tracker(3)
    for frame, regions in enumerate(frames):
        expected = whole.update(frame, regions)
        assert again.update(frame, regions) == expected
        assert len({tracked.track for tracked in expected}) == len(regions)
        if frame == stop:
            again = Tracker.from_dict(json.loads(json.dumps(again.to_dict())))
    assert again.to_dict() == whole.to_dict()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 20)] * 2), min_size=2, max_size=2
    )
)
def test_costs_are_those_of_counted_pixels(boxes: list[tuple[int, int, int, int]]) -> None:
    canvas = np.zeros((2, 60, 60), bool)
    for layer, (top, left, height, width) in zip(canvas, boxes):
        layer[top : top + height, left : left + width] = True
    overlap = (canvas[0] & canvas[1]).sum() / (canvas[0] | canvas[1]).sum()
    centres = [np.argwhere(layer).mean(axis=0) for layer in canvas]
    apart = np.hypot(*(centres[0] - centres[1]))
    reach = min(layer.sum() for layer in canvas) ** 0.5
    cost = fit_costs(np.array(boxes[:1]), np.array(boxes[1:]))[0, 0]
    if overlap >= MIN_OVERLAP or apart <= reach:
        assert cost == pytest.approx(1 - overlap + apart / reach)
    else:
        assert cost == np.inf

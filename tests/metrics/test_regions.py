"""RBDC and TBDC by hand, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpn.errors import LabelError
from mpn.metrics.regions import (
    VARIANTS,
    criteria_intervals,
    region_and_track_criteria,
)
from tests.helpers.regions import BESIDE, HERE, THERE, areas, both, found, true

# --- By hand


def test_one_region_found_one_missed() -> None:
    # Two true regions of one track, the first found: from threshold 1 down the shares are 1/2 and 1
    # (one of two regions is more than a tenth), no false positive ever, so both are held up to 1:
    # areas 1/2 and 1.
    for result in both([true(0), true(1)], [found(0, 1.0)], 2):
        assert areas(result) == (0.5, 1.0)
        assert result.curve_fpr.tolist() == [0, 0, 1]
        assert result.curve_rbdr.tolist() == [0, 0.5, 0.5]
        assert result.curve_tbdr.tolist() == [0, 1, 1]
        assert (result.regions, result.tracks, result.found_regions, result.frames) == (2, 1, 1, 2)
        assert result.fpr_reached == 0


def test_a_repeat_hit_is_neither_found_again_nor_a_false_positive() -> None:
    # Both found regions lie on the same true one (IoU 1 and 9 / 11 of a hundred pixels each).
    for result in both([true(0), true(1)], [found(0, 2.0), found(0, 1.0, (0, 1, 10, 10))], 2):
        assert areas(result) == (0.5, 1.0)
        assert result.fpr_reached == 0


def test_a_false_positive_before_the_detection() -> None:
    # 4 frames. Scores 3: beside the true region of frame 0 (a false positive), 2: in frame 3
    # without any (another), 1: on it. FPR 1/4, 2/4, then the region at FPR 2/4: area 1 * (1 - 2/4).
    regions = [found(0, 3.0, THERE), found(3, 2.0), found(0, 1.0)]
    for result in both([true(0)], regions, 4):
        assert areas(result) == (0.5, 0.5)
        assert result.curve_fpr.tolist() == [0, 0.25, 0.5, 0.5, 1]
        assert result.curve_rbdr.tolist() == [0, 0, 0, 1, 1]
        assert result.fpr_reached == 0.5


def test_two_tracks_with_one_found() -> None:
    # Track 7: two regions, one found at score 2. Track 9: one region, never found. False positive
    # at score 1. RBDR 1/3 and TBDR 1/2 from FPR 0 on.
    truth = [true(0, 7), true(1, 7), true(0, 9, THERE)]
    for result in both(truth, [found(0, 2.0), found(2, 1.0)], 4):
        assert areas(result) == (round(1 / 3, 9), 0.5)
        assert (result.regions, result.tracks) == (3, 2)


def test_one_found_region_may_detect_two_true_ones() -> None:
    # 10 x 20 pixels over two neighbours of 10 x 10: IoU 1/2 with each.
    truth = [true(0, 0, HERE), true(0, 1, (0, 10, 10, 10))]
    for result in both(truth, [found(0, 1.0, (0, 0, 10, 20))], 1):
        assert areas(result) == (1.0, 1.0)


def test_the_same_track_number_in_another_video_is_another_track() -> None:
    truth = [true(0, 0), true(0, 0, video="b")]
    for result in both(truth, [found(0, 2.0), found(5, 1.0, video="b")], 10):
        assert (result.tracks, result.tbdc) == (2, 0.5)


def test_ties_enter_at_once_in_the_paper_and_one_by_one_in_the_script() -> None:
    # 2 frames, all scores equal: a detection and two false positives, FPR 1 in all.
    # Paper: one step from (0, 0) to (1, 1), a straight line: area 1/2.
    # Script: the order of the rows. Detection first: 1 at once: area 1. Last: the curve is 0 up to
    # FPR 1 and only there goes up: area 0. Between the two false positives: up at FPR 1/2: area
    # 1/2.
    hit, miss, other_miss = found(0, 5.0), found(0, 5.0, THERE), found(1, 5.0)
    for regions, script in (
        ([hit, miss, other_miss], 1.0),
        ([miss, other_miss, hit], 0.0),
        ([miss, hit, other_miss], 0.5),
    ):
        results = both([true(0)], regions, 2)
        assert [areas(result) for result in results] == [(0.5, 0.5), (script, script)]


def test_a_tie_that_passes_one_false_positive_a_frame_is_cut_on_the_line() -> None:
    # 2 frames, 2 true regions. Score 2: one detected. Score 1: the other and four false positives
    # in one step, from (0, 1/2) to (2, 1). Paper: on the line at FPR 1 RBDR is 3/4; area (1/2 +
    # 3/4) / 2 = 5/8. Script: false positives first: FPR 1/2, 1 at 1/2, the rest is beyond 1: area
    # 1/2. Detection first: area 1.
    truth = [true(0), true(1)]
    wrong = [
        found(0, 1.0, THERE),
        found(1, 1.0, THERE),
        found(0, 1.0, BESIDE),
        found(1, 1.0, BESIDE),
    ]
    for rest, script in (([*wrong, found(1, 1.0)], 0.5), ([found(1, 1.0), *wrong], 1.0)):
        paper, scripted = both(truth, [found(0, 2.0), *rest], 2)
        assert (paper.rbdc, scripted.rbdc) == (0.625, script)
        assert paper.curve_fpr[-1] == scripted.curve_fpr[-1] == 1.0
        assert paper.curve_rbdr[-1] == 0.75
        assert paper.fpr_reached == scripted.fpr_reached == 2.0


def test_what_enters_beyond_one_false_positive_a_frame_does_not_count() -> None:
    # 1 frame, three of falling scores: two false positives reach FPR 2, the detection comes after.
    regions = [found(0, 3.0, THERE), found(0, 2.0, BESIDE), found(0, 1.0)]
    for result in both([true(0)], regions, 1):
        assert areas(result) == (0.0, 0.0)
        assert result.fpr_reached == 2
    # At FPR 1 exactly it adds an upright line, which has no area.
    for result in both([true(0)], [regions[0], regions[2]], 1):
        assert areas(result) == (0.0, 0.0)
        assert result.curve_rbdr[-1] == 1.0


@pytest.mark.parametrize(
    ("regions", "needed"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (30, 3), (70, 7)]
)
def test_a_track_is_found_with_exactly_a_tenth_of_its_regions(regions: int, needed: int) -> None:
    truth = [true(frame) for frame in range(regions)]
    for count in (needed - 1, needed):
        for result in both(truth, [found(frame, 1.0) for frame in range(count)], regions):
            assert result.tbdc == float(count == needed)


def test_overlap_of_exactly_the_share_detects() -> None:
    # 10 x 10 against 10 x 10 moved by 5: 50 of 150 pixels.
    for result in both([true(0)], [found(0, 1.0, (0, 5, 10, 10))], 1, iou=50 / 150):
        assert result.rbdc == 1.0
    for result in both([true(0)], [found(0, 1.0, (0, 5, 10, 10))], 1, iou=0.334):
        assert result.rbdc == 0.0
    # A region round a true one a tenth its size: 10 x 10 in 10 x 100, and one column more.
    assert region_and_track_criteria([true(0)], [found(0, 1.0, (0, 0, 10, 100))], 1).rbdc == 1.0
    assert region_and_track_criteria([true(0)], [found(0, 1.0, (0, 0, 10, 101))], 1).rbdc == 0.0


def test_no_truth_is_undefined_and_nothing_found_is_zero() -> None:
    for result in both([], [found(0, 1.0)], 4):
        assert math.isnan(result.rbdc)
        assert math.isnan(result.tbdc)
        assert (result.regions, result.tracks, result.fpr_reached) == (0, 0, 0.25)
    for result in both([true(0)], [], 4):
        assert areas(result) == (0.0, 0.0)
        assert result.curve_fpr.tolist() == [0, 1]
    for result in both([], [], 1):
        assert math.isnan(result.rbdc)


# --- Intervals


@pytest.mark.parametrize("variant", VARIANTS)
def test_intervals_are_those_of_drawn_videos_put_together(variant: str) -> None:
    rng = np.random.default_rng(1)
    frames = {"a": 4, "b": 7, "c": 5, "d": 2}
    truth, regions = [], []
    for name, count in frames.items():
        for frame in range(count):
            truth += [true(frame, int(rng.integers(2)), HERE, name)] * int(rng.integers(0, 2))
            regions += [
                found(frame, float(s), b, name) for b in (HERE, THERE) for s in rng.normal(size=2)
            ]
    values = []
    names = list(frames)
    for picks in np.random.default_rng(3).integers(0, 4, (40, 4)):
        drawn_truth, drawn, total = [], [], 0
        for place, pick in enumerate(picks):
            total += frames[names[pick]]
            drawn_truth += [t._replace(video=f"{place}") for t in truth if t.video == names[pick]]
            drawn += [r._replace(video=f"{place}") for r in regions if r.video == names[pick]]
        values.append(areas(region_and_track_criteria(drawn_truth, drawn, total, variant)))
    intervals = criteria_intervals(truth, regions, frames, variant, draws=40, seed=3)
    whole = region_and_track_criteria(truth, regions, frames, variant)
    for interval, column, value in zip(intervals, zip(*values), (whole.rbdc, whole.tbdc)):
        low, high = np.quantile(column, [0.025, 0.975])
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)
        assert interval.value == pytest.approx(value, abs=1e-12)
        assert (interval.draws, interval.skipped) == (40, 0)


def test_draws_without_true_regions_are_left_out_and_counted() -> None:
    intervals = criteria_intervals(
        [true(0)], [found(0, 1.0)], {"a": 2, "b": 2, "empty": 0}, draws=300
    )
    assert intervals.rbdc.draws + intervals.rbdc.skipped == 300
    assert 60 < intervals.rbdc.skipped < 120  # (2/3)^3 of the draws are without "a"
    assert (intervals.rbdc.low, intervals.rbdc.high) == (1.0, 1.0)


def test_one_video_has_no_interval() -> None:
    intervals = criteria_intervals([true(0)], [found(0, 1.0)], {"a": 2})
    assert intervals.tbdc.value == 1.0
    assert math.isnan(intervals.tbdc.low)


# --- Wrong use


def test_wrong_regions_and_options_are_named() -> None:
    good, hit = [true(0)], [found(0, 1.0)]
    for truth, regions, frames, options, message in [
        (good, [found(0, math.nan)], 1, {}, "found region 0: its score is no number"),
        (
            good,
            [found(3, 1.0, (0, 0, 0, 5))],
            9,
            {},
            r"found region in frame 3 of video 'a' .* "
            r"\(0, 0, 0, 5\)",
        ),
        ([true(0, 0, (0, 0, 5, -1))], hit, 1, {}, "true region in frame 0"),
        (
            good,
            [found(0, 1.0, video="a_1")],
            {"a": 2},
            {},
            r"found region is in video 'a_1', .* "
            r"none of the 1 .*\(a\)",
        ),
        ([true(0, video="z")], hit, {"a": 2}, {}, "true region is in video 'z'"),
        (good, hit, 0, {}, "0 frames"),
        (good, hit, 1, {"variant": "papers"}, "variant 'papers'.*paper, script"),
        (good, hit, 1, {"iou": 0.0}, "IoU"),
        (good, hit, 1, {"track_share": 2.0}, "share"),
    ]:
        with pytest.raises(LabelError, match=message):
            region_and_track_criteria(truth, regions, frames, **options)

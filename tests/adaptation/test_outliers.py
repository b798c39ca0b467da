from __future__ import annotations

import numpy as np
import pytest

from mpn.adaptation import outliers
from mpn.adaptation.outliers import (
    LEAST_SPREAD,
    LIMIT,
    Replaced,
    Stretch,
    choose,
    deviations,
    standing_out,
    window_deviations,
)

WINDOW = 4


def opencv_log_off(count, seed=0, *, first=WINDOW):
    """Scores of normal frames: mean 0, deviation 1, none for the first."""
    values = np.random.default_rng(seed).normal(0, 1, count)
    values[:first] = np.nan
    return values


def test_deviations_by_hand():
    # A staircase, long enough for the smoothing to leave the middle of each step alone.
    values = np.repeat([0.0, 10.0, 20.0, 60.0], 100)
    far = deviations([values])[0]
    # The quantiles 0.05 and 0.35 lie in the first and in the second step: (score - 10) / (10 - 0).
    assert far[[50, 150, 250, 350]] == pytest.approx([-1, 0, 1, 5])


def test_small_spreads_count_as_a_part_of_the_model_s_own_normal_footage():
    values = np.repeat([0.0, 0.1, 1.0], [60, 100, 140])
    assert deviations([values])[0][250] == pytest.approx((1.0 - 0.1) / 0.1)
    assert deviations([values], [np.zeros(50)])[0][250] == pytest.approx((1.0 - 0.1) / LEAST_SPREAD)
    assert np.isfinite(deviations([np.zeros(50)])[0]).all()


def test_what_is_ordinary_for_the_model_does_not_stand_out():
    values = np.repeat([0.0, 4.0, 20.0], [200, 60, 60])
    # Up to the quantile 0.8 of these, which is 5.
    ordinary = [np.repeat([0.0, 5.0, 30.0], [150, 30, 20]), np.full(200, 2.0)]
    far = deviations([values], ordinary[:1])[0]
    assert far[230] == 0.0 and far[290] == pytest.approx(20 / LEAST_SPREAD)
    assert far[:190] == pytest.approx(0)
    # of both it is 2
    assert deviations([values], ordinary)[0][230] == pytest.approx(4 / LEAST_SPREAD)


def test_of_nothing_nothing_stands_out(recwarn):
    (far,) = deviations([np.full(5, np.nan)])
    assert np.isnan(far).all() and len(far) == 5 and not recwarn.list


def test_all_clips_of_a_camera_share_one_measure():
    far = deviations([np.zeros(200), np.full(60, 50.0)], [np.zeros(20)])
    assert far[0] == pytest.approx(0) and far[1] == pytest.approx(50 / LEAST_SPREAD)


def test_gaps_stay_gaps_and_nothing_leaks_over_them():
    values = np.zeros(120)
    values[:4] = values[50:55] = np.nan
    values[55:] = 9.0
    far = deviations([values], [np.zeros(20)])[0]
    assert np.isnan(far).tolist() == np.isnan(values).tolist()
    assert far[4:50] == pytest.approx(0) and far[55:] == pytest.approx(9 / LEAST_SPREAD)


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_the_footage_may_be_anomalous(seed):
    values = opencv_log_off(600, seed)
    values[200:400] += 15
    far = window_deviations(deviations([values], [opencv_log_off(500, seed + 50)])[0], WINDOW)
    assert (far[208:392] > LIMIT).all()
    assert not (far[WINDOW:190] > LIMIT).any() and not (far[415:] > LIMIT).any()


@pytest.mark.parametrize("seed", range(5))
def test_busy_moments_are_normal(seed):
    # An empty room, and somebody walks through it now and then: a hundred times as much as nothing,
    # and no more than what the model knows from elsewhere.
    values = 0.02 * opencv_log_off(600, seed)
    for start in range(50, 600, 110):
        values[start : start + 40] += 2.0
    far = deviations([values], [3.0 + opencv_log_off(500, seed + 50)])
    assert standing_out(far) == []
    assert choose([(0, 70), (0, 300)], far, WINDOW) == ([(0, 70), (0, 300)], [])
    assert len(standing_out(deviations([values]))) == 5  # without knowing that


def test_a_window_stands_out_by_the_most_of_what_it_shows():
    far = np.array([np.nan] * 4 + [0, 5, 1, 0, 0, 0, 0, -1], float)
    found = window_deviations(far, WINDOW)
    assert np.isnan(found[:4]).all()
    assert found[4:].tolist() == [0, 5, 5, 5, 5, 5, 1, 0]


def stretch_of(count, start, stop, clip_count=1):
    far = [np.zeros(count) for _ in range(clip_count)]
    far[0][start:stop] = 9.0
    for own in far:
        own[:WINDOW] = np.nan
    return far


def test_a_window_that_stands_out_is_replaced_by_its_nearest_neighbour():
    taken, left_out = choose([(0, 20), (0, 52), (0, 90)], stretch_of(120, 40, 60), WINDOW)
    # Frames up to 39 don't stand out; from 60 on, a window shows nothing of them from 64 on.
    assert taken == [(0, 20), (0, 64), (0, 90)]
    assert left_out == [Replaced(0, 52, 9.0, 64)]


def test_windows_that_come_in_its_place_show_other_frames_where_there_are_any():
    taken, left_out = choose([(0, 45), (0, 46), (0, 47)], stretch_of(120, 40, 60), WINDOW)
    assert [entry.by for entry in left_out] == [39, 34, 64]
    assert taken == [(0, 34), (0, 39), (0, 64)]
    # In a short clip they may overlap.
    taken, left_out = choose([(0, 45), (0, 46), (0, 47)], stretch_of(66, 12, 60), WINDOW)
    assert len(set(taken)) == 3 and all(frame < 12 or frame >= 64 for _, frame in taken)


def test_a_clip_without_a_neighbour_gives_fewer_windows():
    far = stretch_of(40, 0, 40, clip_count=2)
    far[0][:WINDOW] = np.nan
    taken, left_out = choose([(0, 20), (1, 20)], far, WINDOW)
    assert taken == [(1, 20)] and left_out == [Replaced(0, 20, 9.0, None)]


def test_what_stands_out_is_kept_apart_with_what_the_smoothing_reaches():
    far = stretch_of(120, 40, 60)
    assert standing_out(far) == [Stretch(0, 33, 67)]
    assert standing_out([np.zeros(30), far[0]]) == [Stretch(1, 33, 67)]
    assert standing_out(stretch_of(120, 115, 120)) == [Stretch(0, 108, 120)]
    assert standing_out([np.full(5, 9.0)]) == [Stretch(0, 0, 5)]
    assert standing_out([np.full(20, LIMIT)]) == [] and standing_out([np.full(5, np.nan)]) == []


def test_the_limit_is_used(monkeypatch):
    far = [np.full(60, 3.0)]
    assert standing_out(far) == []
    monkeypatch.setattr(outliers, "LIMIT", 2.0)
    assert standing_out(far) == [Stretch(0, 0, 60)]

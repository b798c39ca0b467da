from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from mpn.video.timing import Span, frame_rate, timeline_of

# --- What times say


def steps(*groups):
    """Times that begin at 7 s and go on in steps: (how many, seconds each), ..."""
    return 7 + np.cumsum([0.0, *(step for count, step in groups for _ in range(count))])


@pytest.mark.parametrize("rate", [5, 10, 12.5, 24, 25, 30000 / 1001, 30, 50, 60, 120])
@pytest.mark.parametrize("digits", [3, 9])
def test_a_constant_rate_is_read_from_times_rounded_to_milliseconds(rate, digits):
    times = np.round(np.arange(500) / rate, digits)
    timeline = timeline_of(times, 10.0**-digits)
    assert timeline.steady and timeline.sure and not timeline.lost.size
    assert abs(float(timeline.rate) - rate) < 0.002 * rate
    assert np.abs(timeline.seconds - times).max() <= 0.001


def test_usual_rates_are_exact():
    assert timeline_of(np.round(np.arange(32) / 25, 3), 1e-3).rate == 25
    assert timeline_of(1.001 * np.arange(32) / 30).rate == Fraction(30000, 1001)


def test_times_are_freed_of_their_rounding_where_the_rate_is_constant():
    timeline = timeline_of(np.round(np.arange(90) / 30, 3), 1e-3)
    assert timeline.seconds[[1, 2, 89]].tolist() == [1 / 30, 2 / 30, 89 / 30]


@pytest.mark.parametrize("last, rate", [(0.3, 5), (math.nan, 1 / np.mean([0.1] * 20 + [0.3] * 19))])
def test_a_rate_that_varies_is_not_steady_and_has_a_mean(last, rate):
    timeline = timeline_of(steps((20, 0.1), (19, 0.3)), 1e-3, last)
    assert not timeline.steady and not timeline.lost.size and len(timeline.seconds) == 40
    assert float(timeline.rate) == pytest.approx(rate, rel=0.003)
    assert timeline.seconds[-1] == pytest.approx(7.7)


def test_times_that_shake_are_those_of_the_stream():
    generator = np.random.default_rng(0)
    times = np.arange(200) / 30 + generator.uniform(-0.012, 0.012, 200)
    timeline = timeline_of(times, 1e-3)
    assert not timeline.steady and not timeline.lost.size
    assert np.allclose(timeline.seconds, times - times[0])


@pytest.mark.parametrize("lost", [{7}, {7, 20, 21}, {7, 9, 20}, {7, 10}, {50, 51, 52, 53}])
def test_an_interval_of_whole_periods_in_a_steady_stream_is_lost_frames(lost):
    times = np.array([0.1 * index for index in range(100) if index not in lost])
    timeline = timeline_of(times, 1e-3)
    assert timeline.rate == 10 and timeline.steady and timeline.lost.tolist() == sorted(lost)
    assert timeline.seconds == pytest.approx(np.arange(100) / 10)
    assert timeline.recorded.tolist() == [index for index in range(100) if index not in lost]


@pytest.mark.parametrize("late", [0.035, 0.04, 0.055, 0.08])
def test_a_frame_that_is_late_is_no_lost_one(late):
    # as one that comes late and the next on time, or two that come together
    times = np.arange(120) * 0.04
    times[29::30] += np.minimum(late, 0.04)
    if late > 0.04:
        times[30::30] += late - 0.04
    timeline = timeline_of(np.sort(times), 1e-3)
    assert timeline.rate == 25 and not timeline.lost.size and len(timeline.seconds) == 120
    assert timeline.seconds[29] == pytest.approx(29 * 0.04 + min(late, 0.04))


def test_what_is_no_whole_number_of_periods_is_no_loss():
    timeline = timeline_of(steps((30, 0.04), (1, 0.06), (30, 0.04)), 1e-3)
    assert timeline.steady and not timeline.lost.size


@pytest.mark.parametrize("end", ["first", "last"])
def test_at_an_end_nothing_shows_whether_a_frame_is_lost_or_late(end):
    times = steps((1, 0.08), (30, 0.04)) if end == "first" else steps((30, 0.04), (1, 0.08))
    assert not timeline_of(times, 1e-3).lost.size


@pytest.mark.parametrize("slow", [2, 3, 5])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_rate_that_changes_makes_up_no_frames(slow, share):
    # at night a camera takes twice as long, or more: whole periods, and nothing is lost
    count = int(600 * share)
    timeline = timeline_of(steps((600 - count, 0.1), (count, 0.1 * slow)), 1e-3)
    assert len(timeline.seconds) == 601 and not timeline.lost.size
    assert timeline.seconds[-1] == pytest.approx(0.1 * (600 - count) + 0.1 * slow * count)


@pytest.mark.parametrize("pause", [60.0, 1000.0])
def test_a_long_interval_is_a_pause_and_says_nothing_of_the_rate(pause):
    timeline = timeline_of(steps((50, 0.1), (1, pause), (70, 0.1)), 1e-3)
    assert timeline.rate == 10 and timeline.steady and not timeline.lost.size
    assert timeline.longest_pause == pytest.approx(pause)
    assert timeline.seconds[[50, 51, -1]] == pytest.approx([5, 5 + pause, 12 + pause])


def test_pauses_of_a_stream_that_varies_are_no_part_of_its_mean_rate_either():
    jitter = np.random.default_rng(1).uniform(0.05, 0.15, 200)
    jitter[100] = 500
    timeline = timeline_of(np.cumsum(jitter), 1e-3)
    assert not timeline.steady and float(timeline.rate) == pytest.approx(10, rel=0.05)


def test_where_most_would_be_made_up_it_is_a_recorder_that_stops():
    timeline = timeline_of(steps((40, 0.1), (1, 2.0), (10, 0.1), (1, 2.0), (9, 0.1)), 1e-3)
    assert not timeline.lost.size and timeline.rate == 10 and timeline.longest_pause == 2.0


@pytest.mark.parametrize("times", [[], [0.0], [3.0] * 32, [math.nan] * 32])
def test_times_that_say_nothing(times):
    timeline = timeline_of(np.array(times))
    assert timeline.rate is None and not timeline.steady and not timeline.sure
    assert len(timeline.seconds) == len(times) and np.isnan(timeline.seconds).all()


def test_few_times_are_not_believed_before_a_header():
    timeline = timeline_of(np.array([0, 0.1, 0.2]))
    assert timeline.rate == 10 and not timeline.sure


def test_an_absurd_rate_is_unknown_and_so_are_its_times():
    timeline = timeline_of(np.arange(40) / 90_000)
    assert timeline.rate is None and np.isnan(timeline.seconds).all()


def test_times_never_fall_and_no_recorded_frame_is_left_out_whatever_comes():
    generator = np.random.default_rng(2)
    for _ in range(200):
        times = np.sort(generator.integers(0, 3000, generator.integers(2, 60)) / 1000)
        timeline = timeline_of(times, 1e-3)
        assert not (np.diff(timeline.seconds) < 0).any()
        assert len(timeline.recorded) == len(times) == len(set(timeline.recorded.tolist()))
        assert len(timeline.seconds) == len(times) + len(timeline.lost)


# --- The span that is shown


@pytest.mark.parametrize(
    "span, expected",
    [
        (Span(), range(50)),
        (Span(every=7), range(0, 50, 7)),
        (Span(start=1), range(10, 50)),
        (Span(end=1), range(10)),
        (Span(start=0.1 + 0.2, end=0.7), range(3, 7)),
        (Span(0.25, 0.26), range(3, 3)),
        (Span(4, 90, 3), range(40, 50, 3)),
        (Span(5), range(0)),
    ],
)
def test_the_frames_of_a_span(span, expected):
    assert list(span.indices(50, Fraction(10))) == list(expected)
    assert list(span.indices_of(np.arange(50) / 10)) == list(expected)
    assert (
        list(expected)
        == [i for i in range(50) if span.begun(i / 10) and not span.over(i / 10)][:: span.every]
    )


# --- Frame rates


@pytest.mark.parametrize(
    "value, rate",
    [
        (25, Fraction(25)),
        (29.97002997002997, Fraction(30000, 1001)),
        (12.5, Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        (60.00024000279398, Fraction(60)),
        (0, None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (90000, None),
        ("fast", None),
        (None, None),
    ],
)
def test_frame_rates(value, rate):
    assert frame_rate(value) == rate

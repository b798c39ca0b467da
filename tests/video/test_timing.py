from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from mpn.video.timing import FrameClock, Span, frame_rate, timing_of

# --- What times say


@pytest.mark.parametrize("rate", [5, 10, 12.5, 24, 25, 30000 / 1001, 30, 50, 60, 120])
@pytest.mark.parametrize("digits", [0, 6])
def test_a_constant_rate_is_read_from_times_rounded_to_milliseconds(rate, digits):
    timing = timing_of([round(1000 * index / rate, digits) for index in range(32)])
    assert timing.steady and abs(float(timing.rate) - rate) < 0.002 * rate


def test_usual_rates_are_exact():
    assert timing_of([round(1000 * index / 25) for index in range(32)]).rate == 25
    assert timing_of([1001 * index / 30 for index in range(32)]).rate == Fraction(30000, 1001)


def test_a_rate_that_varies_is_not_steady_and_has_a_mean():
    times = np.cumsum([0] + [100] * 10 + [300] * 10)
    timing = timing_of(times)
    assert not timing.steady and timing.rate == 5  # 20 intervals in 4 s
    generator = np.random.default_rng(0)
    assert not timing_of(1000 * np.arange(32) / 30 + generator.uniform(-12, 12, 32)).steady


def test_a_lost_frame_or_two_does_not_hide_a_constant_rate():
    times = [100 * index for index in range(40) if index not in (7, 20, 21)]
    assert timing_of(times) == (pytest.approx(0.1), True)


@pytest.mark.parametrize("times", [[], [0], [0] * 32, [0, 100, 200]])
def test_times_that_say_nothing(times):
    timing = timing_of(times)
    assert math.isnan(timing.period) and timing.rate is None and not timing.steady


def ticks(clock, milliseconds, failed=None):
    failed = failed or {}
    return [clock.tick(one, failed.get(number, 0)) for number, one in enumerate(milliseconds)]


def test_a_gap_is_as_many_frames_as_fit_into_it():
    clock = FrameClock(0.04, True, True)
    found = ticks(clock, [200, 240, 360, 400, 2000])
    assert [missing for missing, _ in found] == [0, 0, 2, 0, 39]
    assert [time for _, time in found] == pytest.approx([0, 0.04, 0.16, 0.2, 1.8])


def test_a_gap_is_nothing_where_the_rate_varies_or_is_not_to_be_looked_at():
    for clock in (FrameClock(0.04, False, True), FrameClock(0.04, True, False)):
        assert [missing for missing, _ in ticks(clock, [0, 40, 160, 200])] == [0, 0, 0, 0]
    late = FrameClock(0.04, True, True)
    assert ticks(late, [0, 40, 100])[-1][0] == 0  # one and a half intervals are not a frame


def test_a_long_gap_is_a_pause_not_a_loss():
    clock = FrameClock(0.1, True, True)
    assert ticks(clock, [0, 100, 60_000])[-1] == (0, 60) and clock.longest_pause == pytest.approx(
        59.9
    )


def test_a_stream_whose_rate_turns_out_to_vary_is_no_longer_filled():
    clock = FrameClock(0.1, True, True)
    times = [100.0 * index for index in range(100)] + [
        10_000 + 300.0 * index for index in range(200)
    ]
    missing = [count for count, _ in ticks(clock, times)]
    assert not clock.steady and not any(missing[150:]) and sum(missing) < 50


def test_reads_that_failed_are_lost_frames_where_times_do_not_tell():
    unknown = FrameClock(0.1, False, True)
    assert ticks(unknown, [0, 0, 0, 0], {2: 2}) == [
        (0, 0),
        (0, 0.1),
        (2, pytest.approx(0.4)),
        (0, pytest.approx(0.5)),
    ]
    first = FrameClock(0.1, True, True)
    assert ticks(first, [300, 400], {0: 3}) == [(3, pytest.approx(0.3)), (0, pytest.approx(0.4))]


def test_times_that_are_unknown_at_the_end_or_begin_anew_go_on_rising():
    clock = FrameClock(0.1, True, True)
    times = [time for _, time in ticks(clock, [200, 300, 400, 0, 0])]
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    joined = FrameClock(0.1, True, True)
    found = ticks(joined, [0, 100, 200, 300, 0, 100, 200])
    assert [time for _, time in found] == pytest.approx([0.1 * k for k in range(7)])
    assert not any(missing for missing, _ in found)


def test_times_never_fall_whatever_comes():
    generator = np.random.default_rng(2)
    for _ in range(50):
        clock = FrameClock(0.1, True, True)
        times = [time for _, time in ticks(clock, generator.integers(-500, 3000, 60).astype(float))]
        assert all(after >= before for before, after in zip(times, times[1:]))


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

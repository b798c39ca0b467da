"""Frames are left out evenly, and times are those of one clock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpn.live.rates import RateGate, StreamClock


def admitted(rate: float, times: np.ndarray) -> np.ndarray:
    gate = RateGate(rate)
    return np.array([time for time in times if gate.admits(time)])


@pytest.mark.parametrize("source, rate", [(25, 10), (30, 10), (12.5, 10), (15, 7), (10, 10)])
def test_so_many_a_second_evenly(source: float, rate: float) -> None:
    kept = admitted(rate, np.arange(0, 60, 1 / source))
    assert len(kept) == pytest.approx(60 * min(rate, source), abs=2)
    steps = np.diff(kept) * source  # in frames of the source
    assert steps.max() - steps.min() < 1.5


def test_jitter_of_the_source_loses_nothing() -> None:
    times = np.arange(300) / 10 + np.random.default_rng(0).uniform(-0.01, 0.01, 300)
    assert len(admitted(10, times)) == 300


def test_slower_sources_and_gaps_pass() -> None:
    assert len(admitted(10, np.arange(20) / 2)) == 20
    times = np.concatenate([np.arange(10) / 10, 100 + np.arange(10) / 10])
    # After a gap one frame that came late may be followed at once, and no burst.
    assert len(admitted(10, times)) == 20


def test_a_clock_set_back_stops_nothing() -> None:
    times = np.concatenate([1000 + np.arange(10) / 10, np.arange(10) / 10])
    assert len(admitted(10, times)) == 20


def test_a_lower_rate_counts_at_once() -> None:
    gate = RateGate(10)
    assert [gate.admits(n / 10) for n in range(5)] == [True] * 5
    gate.set_rate(5)
    assert sum(gate.admits(n / 10) for n in range(5, 25)) == pytest.approx(10, abs=1)


def test_the_streams_own_times_are_kept() -> None:
    clock, rng = StreamClock(100.0), np.random.default_rng(1)
    taken = []
    for n in range(100):
        now = 100 + n / 10 + rng.uniform(0, 0.05)  # the network's jitter
        assert clock.jumped(n / 10, now) == 0
        taken.append(clock.at(n / 10, now))
    np.testing.assert_allclose(np.diff(taken), 0.1, atol=1e-9)
    assert abs(taken[0] - 100) < 0.05


@pytest.mark.parametrize("jump", [-30.0, 3600.0])
def test_a_jump_is_told_once_and_time_goes_on(jump: float) -> None:
    clock, found, taken = StreamClock(0.0), [], []
    for n in range(60):
        seconds, now = n / 10 + (jump if n >= 30 else 0), n / 10
        found.append(clock.jumped(seconds, now))
        taken.append(clock.at(seconds, now))
    assert found[30] == pytest.approx(jump) and sum(map(bool, found)) == 1
    np.testing.assert_allclose(taken, np.arange(60) / 10, atol=2e-3)


def test_times_that_are_made_up_are_believed_no_more() -> None:
    """As of MJPEG over HTTP: 25 frames a second are claimed, and 10 come."""
    clock, taken = StreamClock(0.0), []
    for n in range(600):
        assert clock.jumped(n / 25, n / 10) == 0
        taken.append(clock.at(n / 25, n / 10))
    np.testing.assert_allclose(taken[-100:], np.arange(500, 600) / 10, atol=1e-9)
    assert (np.diff(taken) > 0).all()


def test_without_times_arrival_counts() -> None:
    clock = StreamClock(5.0)
    assert clock.jumped(math.nan, 5.1) == 0 and clock.at(math.nan, 5.1) == 5.1
    assert clock.jumped(math.nan, 5.2) == 0 and clock.at(math.nan, 5.2) == 5.2
    assert clock.at(math.nan, 5.2) > 5.2  # rises always

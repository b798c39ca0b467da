"""More alarms than were asked for."""

from __future__ import annotations

import math

import pytest

from mpn.live.often import HOUR, SURE, Often


@pytest.mark.parametrize("rate", [0.5, 1.0, 6.0])
def test_the_limit_is_hardly_ever_passed_by_chance(rate: float) -> None:
    """By the sum of a Poisson distribution, written out."""
    limit = Often(rate).limit
    within = [
        sum(math.exp(-rate) * rate**k / math.factorial(k) for k in range(most + 1))
        for most in (limit - 1, limit)
    ]
    assert within[0] < SURE <= within[1]


def test_alarms_of_the_last_hour_count_and_it_is_said_once() -> None:
    often = Often(1.0)
    assert often.limit == 5
    told = [often.add(600.0 * n) for n in range(5)]
    assert not any(told) and not often.too_many(2400)
    assert often.add(2500) and often.too_many(2500)
    assert not often.add(2600)  # it goes on
    assert often.too_many(2600)
    # The second is the first of the latest six, and it leaves the hour.
    assert often.too_many(600 + HOUR - 1) and not often.too_many(600 + HOUR + 1)
    assert not often.too_many(600 + 2 * HOUR)


def test_as_many_as_were_asked_for_are_no_complaint() -> None:
    often = Often(6.0)
    assert not any(often.add(600.0 * n) for n in range(100))


def test_what_is_alarmed_again_within_seconds_is_one() -> None:
    often = Often(1.0)
    for start in (0.0, 600.0, 1200.0, 1800.0, 2400.0):
        assert not any(often.add(start + 3 * n) for n in range(12))  # for half a minute and more
    assert often.add(3000.0)

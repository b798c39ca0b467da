"""Promised against observed false alarms: episodes counted by hand, exact intervals, a known
tail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import poisson

from mpn.errors import DataError
from mpn.scoring.calibration import Calibration, calibrate
from mpn.scoring.reliability import (
    Promise,
    format_reliability,
    observed_rate,
    reliability,
)

NAN = float("nan")


def flat(length: int, *peaks: int, height: float = 10.0) -> np.ndarray:
    """Zeros, with `height` in these frames."""
    x = np.zeros(length)
    x[list(peaks)] = height
    return x


@pytest.fixture(scope="module")
def made() -> Calibration:
    """One hour at 1 frame/s with peaks of 1, 2, ..., 30 two minutes apart: 30 episodes."""
    x = np.zeros(3600)
    x[60::120] = np.arange(1, 31)
    return calibrate({"hour": x}, 1)


def memoryless(seed: int, hours: float, fps: int = 1) -> np.ndarray:
    """Every tenth frame an exponential peak, the others below 0: so many peaks an hour above x is
    known."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.5, 0.0, int(3600 * fps * hours))
    x[::10] = rng.exponential(size=len(x[::10]))
    return x


def test_episodes_and_rate_by_hand(made: Calibration) -> None:
    # Above 20 are 10 episodes of the hour, so 10 an hour is what 20 promises.
    videos = {
        # at 1 frame/s the second peak begins where the first ends
        "a": flat(1200, 100, 101, 500, height=25.0),
        "b": flat(600, 3, height=19.0),
        "c": flat(1800, 7, 900, 1700, height=20.5),
    }
    (promise,) = reliability(made, videos, [10])
    assert promise.threshold == 20.0
    assert (promise.episodes, promise.hours) == (5, 1.0)
    assert promise.observed == 5.0
    assert promise.ratio == 0.5
    assert (promise.hours_behind, promise.extrapolated) == (1.0, False)
    low, high = promise.interval
    assert low <= 20.0 <= high
    raised = [sum(peak > end for peak in (25, 25, 19, 20.5, 20.5, 20.5)) for end in (high, low)]
    assert promise.observed_at_interval == tuple(raised)


def test_peaks_nearer_than_a_second_are_one_episode() -> None:
    fitted = calibrate({"v": flat(400, 50, 100, height=1.0)}, 10)
    for gap, episodes in ((9, 1), (10, 1), (11, 2)):  # 8, 9 or 10 frames between them
        (promise,) = reliability(fitted, {"v": flat(200, 20, 20 + gap, height=5.0)}, [1e-3])
        assert promise.episodes == episodes


def test_frames_without_a_score_count_for_no_time(made: Calibration) -> None:
    gaps = np.concatenate([np.full(900, NAN), flat(1800, 5, height=29.5), np.full(10_000, NAN)])
    (promise,) = reliability(made, {"v": gaps, "empty": np.full(5, NAN)}, [10])
    assert (promise.episodes, promise.hours, promise.observed) == (1, 0.5, 2.0)


@pytest.mark.parametrize("count", [0, 1, 3, 12, 200])
def test_the_interval_is_exact(count: int) -> None:
    """At its ends the count, or one further out, has a probability of 2.5 %."""
    rate, (low, high) = observed_rate(count, 4.0)
    assert rate == count / 4
    assert poisson.cdf(count, 4.0 * high) == pytest.approx(0.025)
    if count:
        assert poisson.sf(count - 1, 4.0 * low) == pytest.approx(0.025)
    else:
        assert low == 0.0


def test_a_known_tail_keeps_its_promise_as_often_as_the_intervals_say() -> None:
    """Twenty cameras, twenty hours of footage and two other ones each: beyond chance in about one
    of twenty."""
    verdicts, covered = [], 0
    for seed in range(20):
        fitted = calibrate({"v": memoryless(2 * seed, 20)}, 1)
        for promise in reliability(fitted, {"v": memoryless(2 * seed + 1, 2)}, [30, 60]):
            assert 0.5 < promise.ratio < 2
            verdicts.append(promise.verdict)
            # Above the ends of the threshold's interval the true rates are 360 exp(-end).
            true = [360 * math.exp(-end) for end in reversed(promise.interval)]
            covered += true[0] <= promise.rate <= true[1]
    assert verdicts.count("kept") >= 0.85 * len(verdicts)
    assert covered >= 0.85 * len(verdicts)


def test_a_noisier_scene_is_seen_as_more_alarms_and_a_quieter_one_as_fewer() -> None:
    fitted = calibrate({"v": memoryless(0, 5)}, 1)
    scores = memoryless(1, 5)
    assert [p.verdict for p in reliability(fitted, {"v": 1.5 * scores}, [6, 60])] == [
        "more",
        "more",
    ]
    assert [p.verdict for p in reliability(fitted, {"v": 0.7 * scores}, [60, 90])] == [
        "fewer",
        "fewer",
    ]


def test_footage_too_short_for_a_rate_says_nothing_of_it_unless_there_are_more(
    made: Calibration,
) -> None:
    # half an hour: 1 an hour is half an episode
    quiet, loud = flat(1800), flat(1800, 100, 900, height=99.0)
    assert reliability(made, {"v": quiet}, [1])[0].verdict == "too short to say"
    assert reliability(made, {"v": quiet}, [2])[0].verdict == "kept"
    assert reliability(made, {"v": loud}, [0.1])[0].verdict == "more"  # 2 where 0.05 were promised


def test_rates_that_cannot_be_shown_are_marked_and_in_the_order_asked_for(
    made: Calibration,
) -> None:
    promises = reliability(made, {"v": flat(3600)}, [60, 0.5, 1, 6])
    assert [p.rate for p in promises] == [60, 0.5, 1, 6]
    assert [p.extrapolated for p in promises] == [False, True, False, False]
    assert promises[1].threshold >= 30  # never below the highest normal score
    by_rate = sorted(promises)
    assert all(a.threshold >= b.threshold for a, b in zip(by_rate, by_rate[1:]))


def test_names_and_order_of_videos_change_nothing(made: Calibration) -> None:
    rng = np.random.default_rng(3)
    videos = {f"v{k}": rng.uniform(0, 30, 500) for k in range(4)}
    turned = {f"w{k}": videos[name] for k, name in enumerate(reversed(videos))}
    assert reliability(made, videos) == reliability(made, turned)


def test_table_names_what_matters(made: Calibration) -> None:
    lines = format_reliability(
        reliability(made, {"v": flat(3600, 50, height=99.0)}, [0.25, 10])
    ).splitlines()
    assert len(lines) == 3
    assert "extrapolated" in lines[1]
    assert "extrapolated" not in lines[2]
    assert lines[2].split()[0] == "10"
    assert "1 in 60 min  fewer" in " ".join(lines[2].split()).replace("min ", "min  ")
    assert lines[2].endswith("1 to 1/h")


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ({}, "0 videos without any score"),
        ({"v": np.full(9, NAN)}, "1 videos without any score"),
        ({"v": np.array([NAN, 1.0, np.inf])}, "video 'v': the score of frame 2 is inf"),
        ({"v": np.zeros((3, 2))}, r"video 'v': scores of shape \(3, 2\)"),
    ],
)
def test_footage_that_cannot_be_used(videos: dict, message: str, made: Calibration) -> None:
    with pytest.raises(DataError, match=message):
        reliability(made, videos)


def test_a_rate_that_is_none(made: Calibration) -> None:
    with pytest.raises(ValueError, match="above 0"):
        reliability(made, {"v": flat(5)}, [0])


def test_promise_is_plain_numbers(made: Calibration) -> None:
    (promise,) = reliability(made, {"v": flat(3600, 7, height=99.0)}, [10])
    assert isinstance(promise, Promise)
    kinds = {type(value) for value in promise if not isinstance(value, tuple)}
    assert kinds == {float, int, bool}  # ready for JSON

"""Thresholds from normal footage: counted by hand where it shows the rate, known tails beyond."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import genpareto

from mpn.errors import DataError
from mpn.scoring import calibration
from mpn.scoring.calibration import Calibration, Level, calibrate, events, part_statistics


def bumps(*heights: float, fps: int = 10, apart: int = 50) -> np.ndarray:
    """One-frame peaks of these heights on small noise (0 to 0.1)."""
    x = np.random.default_rng(0).uniform(0, 0.1, apart * (len(heights) + 1))
    x[apart * np.arange(1, len(heights) + 1)] = heights
    return x


def of(*videos: np.ndarray, fps: float = 10) -> Calibration:
    smoothed = {f"v{k}": x for k, x in enumerate(videos)}
    return calibrate(smoothed, fps)


@pytest.fixture(scope="module")
def hours() -> tuple[Calibration, list[np.ndarray]]:
    """Five hours at 2 frames a second, every peak exponential: P(peak > x) = exp(-x)."""
    rng = np.random.default_rng(7)
    videos = []
    for _ in range(2):
        x = rng.uniform(-0.5, 0.0, 18000)
        x[::10] = rng.exponential(size=1800)  # 720 peaks an hour
        videos.append(x)
    return of(*videos, fps=2), videos


def test_parts_in_units_of_normal_frames() -> None:
    nan = float("nan")
    parts = {
        "a": {"error": np.array([nan, 1.0, 3.0]), "flat": np.full(3, 2.0)},
        "b": {"error": np.array([nan, 5.0, 7.0]), "flat": np.full(3, 2.0)},
    }
    statistics = part_statistics(parts)
    assert statistics["error"] == pytest.approx((4.0, math.sqrt(5.0)))
    assert statistics["flat"] == (2.0, 1.0)


def test_threshold_where_the_footage_shows_the_rate_by_hand() -> None:
    fitted = of(bumps(1, 2, 3, 4, 5, 6))  # 350 frames = 35 s; one bump is 102.9 an hour
    rate = 1 / fitted.hours
    assert fitted.hours == pytest.approx(35 / 3600)
    assert fitted.frames == 350
    for allowed, value in ((1, 5.0), (2, 4.0), (2.9, 4.0), (3, 3.0)):
        threshold = fitted.threshold(allowed * rate * 1.000001)
        assert (threshold.value, threshold.extrapolated) == (value, False)
        assert threshold.highest_normal == 6.0


@pytest.mark.parametrize("rate", [3, 20, 100, 400])
def test_threshold_keeps_its_promise_on_the_footage_itself(rate: float, hours) -> None:
    fitted, videos = hours
    threshold = fitted.threshold(rate)
    raised = sum(len(events(x, threshold.value, 2, min_frames=1)) for x in videos)
    assert not threshold.extrapolated
    assert raised <= rate * fitted.hours
    # and does not give away more than the table's steps
    assert raised >= 0.8 * rate * fitted.hours - 2
    assert threshold.interval[0] <= threshold.value <= threshold.interval[1]


@pytest.mark.parametrize("rate", [300, 10, 1, 0.1, 0.01])
def test_known_tail_lies_in_the_interval(rate: float, hours) -> None:
    fitted, _ = hours
    true = math.log(720 / rate)  # 720 exp(-x) = rate
    threshold = fitted.threshold(rate)
    assert threshold.interval[0] <= true <= threshold.interval[1]
    assert threshold.hours == pytest.approx(5.0)
    assert threshold.extrapolated == (rate * 5 < 1)
    assert threshold.tail == "gpd"


@pytest.mark.parametrize(("peaks", "kind", "trials"), [(20, "exponential", 300), (300, "gpd", 60)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(
    peaks: int, kind: str, trials: int
) -> None:
    rng = np.random.default_rng(2)
    true = math.log(720)  # 1 peak in 5 s is 720 an hour; asked for 1
    below, above, higher = 0, 0, 0
    for _ in range(trials):
        x = rng.uniform(-0.01, 0.0, 50 * peaks)
        x[::50] = rng.exponential(size=peaks)
        threshold = of(x, fps=10).threshold(1.0)
        assert threshold.tail == kind
        below += true < threshold.interval[0]
        above += true > threshold.interval[1]
        higher += threshold.value >= true
    assert max(below, above) <= 0.05 * trials  # 2.5 % each is promised
    assert 0.1 * trials <= higher <= 0.9 * trials  # neither always short nor always far off


@pytest.mark.parametrize("rate", [60, 360])
def test_intervals_of_rates_that_the_footage_shows_cover_the_truth(rate: float) -> None:
    """Ten minutes, a peak every five seconds: of 60 an hour there are ten, of 360 sixty."""
    rng = np.random.default_rng(8)
    true, trials = math.log(720 / rate), 80
    below, above, off = 0, 0, 0
    for _ in range(trials):
        x = rng.uniform(-0.01, 0.0, 6000)
        x[::50] = rng.exponential(size=120)
        threshold = of(x, fps=10).threshold(rate)
        assert not threshold.extrapolated
        below += true < threshold.interval[0]
        above += true > threshold.interval[1]
        off += abs(math.log(720 * math.exp(-threshold.value) / rate)) > math.log(2)
    assert max(below, above) <= 0.05 * trials  # 2.5 % each is promised
    assert off <= 0.1 * trials  # true rate within a factor of two of the promised one


def test_an_interval_into_a_heavy_tail_covers_it() -> None:
    """Peaks generalised Pareto of shape 0.2, three hundred of them, for a rate that one footage in
    four shows once."""
    rng = np.random.default_rng(9)
    true = genpareto.isf(0.25 / 300, 0.2)
    below, above, trials = 0, 0, 60
    for _ in range(trials):
        x = rng.uniform(-0.01, 0.0, 15_000)
        x[::50] = genpareto.rvs(0.2, size=300, random_state=rng)
        fitted = of(x, fps=10)
        threshold = fitted.threshold(0.25 / fitted.hours)
        assert threshold.extrapolated
        below += true < threshold.interval[0]
        above += true > threshold.interval[1]
    assert max(below, above) <= 0.1 * trials


def test_rarity_holds_on_other_footage_of_the_same_kind() -> None:
    """Of 200,000 new frames one in X or fewer is called rarer than 1 in X, and hardly fewer where
    that can be shown."""
    rng = np.random.default_rng(10)
    fitted = of(rng.normal(size=20_000))
    scores = np.sort(rng.normal(size=200_000))
    # 2,000, 200 and 20 frames stand behind these
    for one_in, chance in ((10, 0.05), (100, 0.2), (1000, 0.6)):
        highest = scores[-2 * len(scores) // one_in :: 10]  # twice as many as should be called so
        share = 2 * np.mean([fitted.rarity(x).one_in >= one_in for x in highest])
        assert 1 - chance <= share <= 1 + chance


@pytest.mark.parametrize(("second", "episodes"), [(60, 1), (61, 2)])
def test_episodes_merge_when_nearer_than_one_second(second: int, episodes: int) -> None:
    x = np.random.default_rng(0).uniform(0, 0.1, 200)
    x[50], x[second] = 5.0, 4.0  # at 10 frames/s: 9 or 10 frames between them
    levels = of(x, fps=10).levels
    assert [level.score for level in levels[:2]] == [5.0, 4.0]
    assert [level.episodes for level in levels[:3]] == [0, 1, episodes]


def test_the_shape_of_a_heavy_tail_is_found_as_maximum_likelihood_does() -> None:
    excess = genpareto.rvs(0.3, scale=2.0, size=4000, random_state=6)
    scale, shape = calibration._scale_and_shape(excess, "gpd")
    oracle_shape, _, oracle_scale = genpareto.fit(excess, floc=0.0)
    assert (scale, shape) == pytest.approx((oracle_scale, oracle_shape), rel=0.1)
    tail = calibration.Tail(5.0, 2.0, 0.3, 100.0)
    # 100 peaks, 0.5 expected above: the level that one peak in 200 passes
    assert tail.level(0.5) == pytest.approx(5.0 + genpareto.isf(1 / 200, 0.3, scale=2.0))
    assert tail._replace(shape=0.0).level(0.5) == pytest.approx(5.0 + 2.0 * math.log(200))


def test_a_bounded_tail_is_not_believed() -> None:
    scale, shape = calibration._scale_and_shape(np.random.default_rng(0).uniform(size=500), "gpd")
    assert shape == 0.0
    assert scale == pytest.approx(0.5, abs=0.05)


def test_thirty_seconds_of_footage_stay_sane_and_say_so() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([np.full(4, np.nan), rng.normal(size=300)])
    fitted = of(x, fps=10)
    threshold = fitted.threshold(1.0)
    assert threshold.extrapolated
    assert threshold.tail == "exponential"
    assert threshold.hours == pytest.approx(300 / 36000)
    assert np.nanmax(x) <= threshold.value < np.nanmax(x) + 10 * np.nanstd(x)
    assert threshold.interval[0] < threshold.value < threshold.interval[1]


def test_never_below_the_highest_normal_score_where_the_rate_cannot_be_shown() -> None:
    outlier = bumps(*([1.0] * 40), 50.0)  # the tail fit alone would forget the outlier or not
    flat = np.linspace(0, 1, 100)
    for x in (outlier, flat, np.full(60, 2.0), np.array([1.0])):
        fitted = of(x)
        for rate in (0.001, 0.1, 0.999 / fitted.hours):
            threshold = fitted.threshold(rate)
            assert threshold.extrapolated
            assert threshold.value >= x.max()
            assert math.isfinite(threshold.interval[1])


def test_threshold_falls_as_more_alarms_are_allowed(hours) -> None:
    for fitted in (hours[0], of(bumps(3, 1, 2)), of(np.random.default_rng(4).normal(size=300))):
        rates = np.geomspace(0.001, 1e5, 60)
        values = [fitted.threshold(rate).value for rate in rates]
        assert all(a >= b for a, b in zip(values, values[1:]))
        assert values[0] > values[-1]


def test_more_alarms_than_there_are_episodes_do_not_give_one_long_alarm() -> None:
    x = bumps(1, 2, 3)
    threshold = of(x).threshold(1e6)
    assert len(events(x, threshold.value, 10, min_frames=1)) > 1


def test_an_interval_stops_where_lower_thresholds_only_merge_alarms() -> None:
    x = np.linspace(-1.0, 0.0, 400)  # below 0 one long alarm, ever longer
    x[40::60] = [1, 2, 3, 4, 5, 6]
    fitted = of(x)
    threshold = fitted.threshold(5.5 / fitted.hours)  # 6 or 9 episodes are not out of the question
    assert threshold.value == 1.0
    assert -0.01 <= threshold.interval[0] <= 0.0


@pytest.mark.parametrize("alike", [1.0, 4.0])
def test_rarity_by_hand(alike: float) -> None:
    levels = tuple(Level(99.0 - k, k + 1, 0) for k in range(100))
    fitted = Calibration(
        100, 0.1, 10.0, levels, calibration.Tail(0.0, 1.0, 0.0, 1.0), "gpd", (), alike
    )
    assert fitted.rarity(99.0) == ((100 + alike) / (1 + alike), False)
    # The lower row: never too strong.
    assert fitted.rarity(98.5) == ((100 + alike) / (2 + alike), False)
    assert fitted.rarity(99.5) == ((100 + alike) / alike, True)
    assert fitted.rarity(1e9) == ((100 + alike) / alike, True)
    assert fitted.rarity(-5.0) == (1.0, False)
    assert math.isnan(fitted.rarity(float("nan")).one_in)


def test_frames_of_an_episode_by_hand() -> None:
    x = np.zeros(2000)
    for k in range(12):
        x[100 * k + 50 : 100 * k + 55] = k + 1.0
    assert of(x).episode_frames == 5.0
    x[[150, 152, 154]] = 0.0  # the gaps are closed, their frames are low all the same
    assert of(x).episode_frames == pytest.approx(57 / 12)
    assert of(np.full(60, 2.0), np.full(40, 2.0)).episode_frames == 50.0  # all are alike


def test_rarity_is_honest_where_neighbouring_frames_are_alike() -> None:
    """Five minutes of slowly changing scores: on average over many, at most 1 in X new frames is
    called so rare.

    As if frames came one by one, the claim of 1 in 400 would hold for 1 in 280.
    """
    rng = np.random.default_rng(12)

    def slow(frames: int) -> np.ndarray:
        return lfilter([1.0], [1.0, -0.95], rng.normal(size=frames + 200))[200:]

    new = np.sort(slow(400_000))
    fitted = [of(slow(3000)) for _ in range(60)]
    for one_in, least, most in ((20, 0.85, 1.15), (400, 0.5, 1.15)):
        first = [
            bisect_left(new, one_in, key=lambda score: fit.rarity(score).one_in) for fit in fitted
        ]  # noqa: B023
        assert least <= one_in * np.mean([len(new) - k for k in first]) / len(new) <= most


def test_rarity_never_claims_more_than_the_count(hours) -> None:
    fitted, videos = hours
    together = np.concatenate(videos)
    claims = []
    for score in np.linspace(-1, together.max() + 1, 200):
        claim = fitted.rarity(score).one_in
        true = (len(together) + 1) / ((together >= score).sum() + 1)
        assert 0.5 * true <= claim <= true + 1e-9
        claims.append(claim)
    assert claims == sorted(claims)


def test_stored_size_does_not_grow_with_the_footage(hours) -> None:
    short, long = of(np.random.default_rng(5).normal(size=300)), hours[0]
    for fitted in (short, long):
        assert len(fitted.levels) <= calibration.LEVELS
        assert len(fitted.replicates) <= calibration.LEVELS


def test_footage_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match="no finite score"):
        calibrate({"v": np.full(4, np.nan)}, 10)
    with pytest.raises(DataError, match="no finite score"):
        calibrate({}, 10)
    with pytest.raises(DataError, match="frame rate None"):
        calibrate({"v": np.ones(4)}, None)
    with pytest.raises(DataError, match="no finite 'error'"):
        part_statistics({"v": {"error": np.full(4, np.nan)}})
    with pytest.raises(ValueError, match="above 0"):
        of(np.arange(9.0)).threshold(0)

"""Fast draws against the metric of the drawn videos put together, one draw at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from mpn import metrics
from mpn.metrics import frames, intervals

FRAME_METRICS = (
    metrics.frame_auc,
    metrics.macro_auc,
    metrics.padded_macro_auc,
    metrics.equal_error_rate,
    metrics.average_precision,
)
Videos = list[tuple[np.ndarray, np.ndarray]]

# One frame: its label and one of a few scores, so that many are tied, within videos and across.
FRAME = st.tuples(st.booleans(), st.integers(0, 4))
VIDEOS = st.lists(st.lists(FRAME, min_size=1, max_size=8), min_size=1, max_size=6)


def as_pairs(videos: list[list[tuple[bool, int]]]) -> Videos:
    return [(np.array([y for y, _ in v]), np.array([float(s) for _, s in v])) for v in videos]


def one_by_one(pairs: Videos, picks: np.ndarray, metric: Callable) -> np.ndarray:
    """The slow definition: every draw's videos put together and given to the metric."""
    values = []
    for row in picks:
        value = metric([pairs[k][0] for k in row], [pairs[k][1] for k in row])
        values.append(value.value if isinstance(value, metrics.MacroAuc) else value)
    return np.array(values)


def drawn(pairs: Videos, picks: np.ndarray, metric: Callable) -> np.ndarray:
    assert metric in frames._FAST
    return frames._FAST[metric](pairs, intervals.draw_weights(picks))


def random_pairs(seed: int, videos: int, frames: int, levels: int) -> Videos:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(videos):
        y = rng.random(frames) < rng.uniform(0, 0.6)
        pairs.append((y, rng.integers(0, levels, frames) + y * levels // 4.0))
    return pairs


@pytest.mark.parametrize("metric", FRAME_METRICS, ids=lambda metric: metric.__name__)
@settings(max_examples=60, deadline=None)
@given(videos=VIDEOS, seed=st.integers(0, 2**16))
# undefined in some draws, all tied in the others
@example(videos=[[(False, 1)], [(True, 1)]], seed=0)
@example(videos=[[(True, 0)], [(True, 1)]], seed=0)  # never defined
def test_fast_draws_equal_the_metric_of_the_drawn_videos(
    metric: Callable, videos: list[list[tuple[bool, int]]], seed: int
) -> None:
    pairs = as_pairs(videos)
    picks = intervals.draw_videos(len(pairs), 6, seed)
    expected = one_by_one(pairs, picks, metric)
    np.testing.assert_allclose(drawn(pairs, picks, metric), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [3, 200, 10**9], ids=["few scores", "some tied", "none tied"])
@pytest.mark.parametrize("videos", [7, 300])
def test_fast_draws_over_many_blocks_and_cuts(
    monkeypatch: pytest.MonkeyPatch, videos: int, levels: int
) -> None:
    """More frames than one block, one chunk of blocks and one cut hold, more pairs than are counted
    at once."""
    monkeypatch.setattr(intervals, "WAITING", 10_000)
    pairs = random_pairs(videos, videos, 24_000 // videos, levels)
    picks = intervals.draw_videos(videos, 5, seed=1)
    y, s = ([np.concatenate([pairs[k][part] for k in row]) for row in picks] for part in (0, 1))
    expected = {
        metrics.frame_auc: [roc_auc_score(*draw) for draw in zip(y, s)],
        metrics.average_precision: [average_precision_score(*draw) for draw in zip(y, s)],
        metrics.equal_error_rate: [metrics.equal_error_rate(*draw) for draw in zip(y, s)],
    }
    for metric, values in expected.items():
        np.testing.assert_allclose(drawn(pairs, picks, metric), values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [4, 10**9])
def test_more_videos_than_a_table_of_pairs_of_them_is_made_for(
    monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    pairs = random_pairs(3, 9, 40, levels)
    picks = intervals.draw_videos(9, 20, seed=2)
    with_table = drawn(pairs, picks, metrics.frame_auc)
    monkeypatch.setattr(intervals, "WINS_VIDEOS", 8)
    monkeypatch.setattr(intervals, "video_wins", None)  # else the other way is not tested
    expected = [
        roc_auc_score(*(np.concatenate([pairs[k][part] for k in row]) for part in (0, 1)))
        for row in picks
    ]
    np.testing.assert_allclose(drawn(pairs, picks, metrics.frame_auc), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(with_table, expected, rtol=0, atol=1e-12)


def test_wins_between_videos_by_hand() -> None:
    # Video 0: anomalous 3 and 1, normal 2. Video 1: anomalous 2, normal 1 and 3.
    pairs = [
        (np.array([True, True, False]), np.array([3.0, 1.0, 2.0])),
        (np.array([True, False, False]), np.array([2.0, 1.0, 3.0])),
    ]
    # [0, 0]: 3 > 2, 1 < 2 -> 1. [0, 1]: 3 > 1, 3 = 3, 1 = 1, 1 < 3 -> 2.
    # [1, 0]: 2 = 2 -> 1/2. [1, 1]: 2 > 1, 2 < 3 -> 1.
    assert intervals.video_wins(intervals.ranked(pairs), 2).tolist() == [[1.0, 2.0], [0.5, 1.0]]


def test_draws_hold_as_many_videos_as_there_are() -> None:
    picks = intervals.draw_videos(5, 40, seed=0)
    weights = intervals.draw_weights(picks)
    assert weights.shape == (40, 5)
    assert (weights.sum(axis=1) == 5).all()
    assert weights[3].tolist() == [list(picks[3]).count(k) for k in range(5)]
    assert (intervals.draw_videos(5, 40, seed=0) == picks).all()
    assert (intervals.draw_videos(5, 40, seed=1) != picks).any()


def test_interval_of_known_values() -> None:
    # 0, 1, ..., 40 of 41 defined draws: 2.5 % of the way is 1, 97.5 % is 39.
    values = np.append(np.random.default_rng(0).permutation(np.arange(41.0)), [np.nan, np.nan])
    assert intervals.interval_of(20.5, values, videos=3) == pytest.approx((20.5, 1.0, 39.0, 41, 2))


def test_means_of_drawn_videos_leave_out_the_undefined() -> None:
    weights = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
    means = intervals.drawn_means(np.array([0.6, np.nan, 0.9]), weights)
    np.testing.assert_allclose(means, [0.6, np.nan, 0.75])


@pytest.mark.parametrize("metric", FRAME_METRICS, ids=lambda metric: metric.__name__)
def test_intervals_and_differences_of_every_frame_metric(metric: Callable) -> None:
    """The public functions take every metric, and their ends are quantiles of the slow draws."""
    first = random_pairs(5, 6, 25, 9)
    labels = [y for y, _ in first]
    scores, other_scores = ([s for _, s in group] for group in (first, random_pairs(6, 6, 25, 9)))
    picks = intervals.draw_videos(6, 80, seed=3)
    a, b = (one_by_one(list(zip(labels, group)), picks, metric) for group in (scores, other_scores))
    interval = metrics.bootstrap_interval(labels, scores, metric, draws=80, seed=3)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(a, [0.025, 0.975]), abs=1e-12)
    paired = metrics.paired_bootstrap(labels, scores, other_scores, metric, draws=80, seed=3)
    assert (paired.low, paired.high) == pytest.approx(np.quantile(a - b, [0.025, 0.975]), abs=1e-12)
    values = [metric(labels, group) for group in (scores, other_scores)]
    values = [value.value if isinstance(value, metrics.MacroAuc) else value for value in values]
    assert interval.value == values[0]
    assert paired.value == pytest.approx(values[0] - values[1])


def test_values_of_the_draws_make_the_intervals() -> None:
    """Whoever compares many scores on the same videos draws each once."""
    pairs, others = random_pairs(5, 6, 25, 9), random_pairs(6, 6, 25, 9)
    labels, scores, second = [y for y, _ in pairs], [s for _, s in pairs], [s for _, s in others]
    a, b = (metrics.bootstrap_values(labels, group, draws=70, seed=4) for group in (scores, second))
    assert a.shape == (70,)
    difference = metrics.frame_auc(labels, scores) - metrics.frame_auc(labels, second)
    expected = metrics.paired_bootstrap(labels, scores, second, draws=70, seed=4)
    assert intervals.interval_of(difference, a - b, 6) == expected


def test_a_metric_of_ones_own() -> None:
    pairs = random_pairs(4, 5, 30, 1000)
    labels, scores = [y for y, _ in pairs], [s for _, s in pairs]

    def highest_is_anomalous(labels: list, scores: list) -> float:
        return float(np.concatenate(labels)[np.argmax(np.concatenate(scores))])

    interval = metrics.bootstrap_interval(labels, scores, highest_is_anomalous, draws=50)
    expected = one_by_one(pairs, intervals.draw_videos(5, 50, 0), highest_is_anomalous)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(expected, [0.025, 0.975]))

"""What holds of every metric whatever the labels and scores are, and the curves against counts by
hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from mpn import metrics
from mpn.errors import LabelError

FRAME = st.tuples(st.booleans(), st.integers(-6, 6))
VIDEOS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.lists(FRAME, min_size=1, max_size=12),
    min_size=1,
    max_size=5,
)
METRICS = {
    "frame_auc": metrics.frame_auc,
    "macro_auc": lambda labels, scores: metrics.macro_auc(labels, scores).value,
    "padded_macro_auc": metrics.padded_macro_auc,
    "equal_error_rate": metrics.equal_error_rate,
    "average_precision": metrics.average_precision,
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
quick = settings(max_examples=60, deadline=None)
Maps = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def maps(videos: dict[str, list[tuple[bool, int]]]) -> Maps:
    labels = {name: np.array([y for y, _ in frames]) for name, frames in videos.items()}
    return labels, {
        name: np.array([float(s) for _, s in frames]) for name, frames in videos.items()
    }


def same(a: float, b: float) -> bool:
    return a == pytest.approx(b, abs=1e-12, nan_ok=True)


def staircase(y: np.ndarray, s: np.ndarray) -> list[tuple[Fraction, Fraction]]:
    """(false alarm rate, detection rate) at every threshold from above all scores to the lowest, by
    counting."""
    points = [(Fraction(0), Fraction(0))]
    for threshold in sorted(set(s.tolist()), reverse=True):
        above = s >= threshold
        points.append(
            (
                Fraction(int((above & ~y).sum()), int((~y).sum())),
                Fraction(int((above & y).sum()), int(y.sum())),
            )
        )
    return points


@every_metric
@quick
@given(videos=VIDEOS, scale=st.sampled_from([0.25, 3.0]), shift=st.sampled_from([-5.0, 0.0, 100.0]))
def test_only_the_order_of_scores_counts(
    metric: Callable, videos: dict, scale: float, shift: float
) -> None:
    labels, scores = maps(videos)
    for bend in (lambda s: scale * s + shift, np.exp, lambda s: s**3, np.arctan):
        assert same(
            metric(labels, {name: bend(s) for name, s in scores.items()}), metric(labels, scores)
        )


@every_metric
@quick
@given(videos=VIDEOS, randoms=st.randoms(use_true_random=False))
def test_names_and_order_of_videos_do_not_count(
    metric: Callable, videos: dict, randoms: object
) -> None:
    labels, scores = maps(videos)
    names = list(videos)
    randoms.shuffle(names)
    renamed = {name: f"video {number}" for number, name in enumerate(names)}
    turned = (
        {renamed[name]: labels[name] for name in names},
        {renamed[name]: scores[name] for name in scores},
    )
    assert same(metric(*turned), metric(labels, scores))
    as_lists = [labels[name] for name in names], [scores[name] for name in names]
    assert same(metric(*as_lists), metric(labels, scores))


@every_metric
@quick
@given(videos=VIDEOS, randoms=st.randoms(use_true_random=False))
def test_the_order_of_frames_does_not_count(
    metric: Callable, videos: dict, randoms: object
) -> None:
    mixed = {name: list(frames) for name, frames in videos.items()}
    for frames in mixed.values():
        randoms.shuffle(frames)
    assert same(metric(*maps(mixed)), metric(*maps(videos)))


@pytest.mark.parametrize("name", ["frame_auc", "macro_auc", "equal_error_rate"])
@quick
@given(videos=VIDEOS)
def test_reversed_scores_give_one_minus(name: str, videos: dict) -> None:
    labels, scores = maps(videos)
    turned = {video: -s for video, s in scores.items()}
    assert same(METRICS[name](labels, turned), 1 - METRICS[name](labels, scores))


@pytest.mark.parametrize("name", ["frame_auc", "macro_auc"])
@quick
@given(videos=VIDEOS)
def test_swapped_classes_and_scores_change_nothing(name: str, videos: dict) -> None:
    labels, scores = maps(videos)
    turned = {video: ~y for video, y in labels.items()}, {video: -s for video, s in scores.items()}
    assert same(METRICS[name](*turned), METRICS[name](labels, scores))


@quick
@given(videos=VIDEOS)
def test_against_scikit_learn_and_pair_counts(videos: dict) -> None:
    labels, scores = maps(videos)
    y, s = (np.concatenate(list(group.values())) for group in (labels, scores))
    if y.all() or not y.any():
        assert np.isnan(
            [METRICS[n](labels, scores) for n in METRICS if n != "padded_macro_auc"]
        ).all()
        return
    assert same(metrics.frame_auc(labels, scores), roc_auc_score(y, s))
    assert same(metrics.average_precision(labels, scores), average_precision_score(y, s))
    ahead = np.sign(s[y][:, None] - s[~y][None])  # 1, 0, -1
    assert same(metrics.frame_auc(labels, scores), float(np.mean((ahead + 1) / 2)))


@quick
@given(frames=st.lists(FRAME, min_size=2, max_size=25))
def test_equal_error_rate_lies_on_the_curve_where_misses_equal_false_alarms(frames: list) -> None:
    y, s = (np.array(column) for column in zip(*frames))
    assume(y.any() and not y.all())
    rate = None
    points = staircase(y, s)
    # exact: where x = 1 - y on the first piece that reaches it
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        before, after = x0 + y0 - 1, x1 + y1 - 1
        if before < 0 <= after:
            rate = x0 + (x1 - x0) * -before / (after - before)
    assert metrics.equal_error_rate(y, s) == pytest.approx(float(rate), abs=1e-12)


@pytest.mark.parametrize("label", [False, True])
def test_one_class_has_no_curve(label: bool) -> None:
    for points in (metrics.roc_points, metrics.precision_recall_points):
        curve = points([np.full(5, label)], [np.arange(5.0)])
        assert [len(values) for values in curve] == [0, 0, 0]


def test_roc_points_by_hand() -> None:
    # From the top: normal 5, then anomalous 4, then both at 3, then normal 1.
    labels, scores = [[0, 1], [1, 0, 0]], [[5.0, 4.0], [3.0, 3.0, 1.0]]
    curve = metrics.roc_points(labels, scores)
    assert curve.x == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.y == pytest.approx([0, 0, 1 / 2, 1, 1])
    assert curve.thresholds.tolist() == [np.inf, 5.0, 4.0, 3.0, 1.0]


def test_precision_recall_points_by_hand() -> None:
    labels, scores = [[0, 1], [1, 0, 0]], [[5.0, 4.0], [3.0, 3.0, 1.0]]
    curve = metrics.precision_recall_points(labels, scores)
    # Above 5: nothing. From 5 on 0 of 1, from 4 on 1 of 2, from 3 on 2 of 4, from 1 on 2 of 5.
    assert curve.x == pytest.approx([0, 0, 1 / 2, 1, 1])
    assert curve.y == pytest.approx([1, 0, 1 / 2, 2 / 4, 2 / 5])
    assert curve.thresholds.tolist() == [np.inf, 5.0, 4.0, 3.0, 1.0]


@quick
@given(videos=VIDEOS)
def test_curves_hold_what_their_thresholds_say(videos: dict) -> None:
    labels, scores = maps(videos)
    y, s = (np.concatenate(list(group.values())) for group in (labels, scores))
    assume(y.any() and not y.all())
    roc, ranks = metrics.roc_points(labels, scores), metrics.precision_recall_points(labels, scores)
    for curve in (roc, ranks):
        assert (np.diff(curve.x) >= 0).all()
        assert (np.diff(curve.thresholds) < 0).all()
    for x, detected, threshold in zip(*roc):
        above = s >= threshold
        assert (x, detected) == pytest.approx((above[~y].mean(), above[y].mean()))
    for recall, precision, threshold in list(zip(*ranks))[1:]:
        above = s >= threshold
        assert (recall, precision) == pytest.approx((above[y].mean(), y[above].mean()))
    assert (roc.x[-1], roc.y[-1], ranks.x[-1]) == (1, 1, 1)
    assert auc(roc.x, roc.y) == pytest.approx(metrics.frame_auc(labels, scores))


@pytest.mark.parametrize(("most", "levels"), [(400, 10**9), (50, 10**9), (50, 30)])
def test_thinned_curves_stay_near_the_full_ones(most: int, levels: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.random(20_000) < 0.2
    s = rng.integers(0, levels, len(y)) + y * levels * 0.3
    for points in (metrics.roc_points, metrics.precision_recall_points):
        thin, full = points(y, s, most), points(y, s, 10**7)
        assert len(full.x) >= min(levels, 1000)
        # The kept point with the nearest threshold from above is the one that stands for a left-out
        # one.
        indices = np.searchsorted(-thin.thresholds, -full.thresholds, side="right") - 1
        assert (thin.thresholds[indices] >= full.thresholds).all()
        assert np.abs(thin.x[indices] - full.x).max() < 1 / most
        assert np.abs(thin.y[indices] - full.y).max() < 1 / most
    assert len(metrics.roc_points(y, s, most).x) <= 2 * most + 2
    assert auc(*metrics.roc_points(y, s, most)[:2]) == pytest.approx(
        metrics.frame_auc(y, s), abs=1 / most
    )


def test_a_perfect_score_has_both_corners() -> None:
    curve = metrics.roc_points([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], max_cells=1)
    assert (0.0, 1.0) in set(zip(curve.x, curve.y))
    assert (curve.x[-1], curve.y[-1]) == (1.0, 1.0)


def test_constant_videos_are_named() -> None:
    scores = {
        "moving": np.array([1.0, 1.0, 1.5]),
        "still": np.full(4, 0.3),
        "late": np.array([np.nan, np.nan, 2.0, 2.0]),
        "one frame": np.array([np.nan, 7.0]),
        "none": np.full(3, np.nan),
        "whole numbers": np.zeros(3, int),
    }
    assert metrics.constant_videos(scores) == ["still", "late", "whole numbers"]
    assert metrics.constant_videos({}) == []


def test_padded_macro_of_a_video_of_one_class_is_flattering_by_hand() -> None:
    # All normal 1, 2: added normal 1, added anomalous 2: 2 beats 1 and 1, ties with 2 -> 2.5 of 3.
    assert metrics.padded_macro_auc([[0, 0]], [[1.0, 2.0]]) == pytest.approx(2.5 / 3)
    # All anomalous 1, 2: added normal 1 against 1, 2, 2: a tie and two wins -> 2.5 of 3.
    assert metrics.padded_macro_auc([[1, 1]], [[1.0, 2.0]]) == pytest.approx(2.5 / 3)


def test_padded_macro_of_constant_scores_is_a_half() -> None:
    assert (
        metrics.padded_macro_auc({"a": [0, 1, 0], "b": [0, 0]}, {"a": [2.0] * 3, "b": [3.0] * 2})
        == 0.5
    )


@pytest.mark.parametrize("points", [metrics.roc_points, metrics.precision_recall_points])
def test_curves_refuse_what_does_not_fit(points: Callable) -> None:
    with pytest.raises(LabelError, match="frame 1 is nan"):
        points([0, 1], [0.0, float("nan")])

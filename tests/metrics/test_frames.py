"""Metrics against counts over pairs, closed forms and properties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpn import metrics
from mpn.errors import LabelError

# UCSD Ped2's published intervals (first, last frame, from 1, inclusive) and clip lengths.
PED2_LENGTHS = (180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180)
PED2_INTERVALS = (
    (61, 180),
    (95, 180),
    (1, 146),
    (31, 180),
    (1, 129),
    (1, 159),
    (46, 180),
    (1, 180),
    (1, 120),
    (1, 150),
    (1, 180),
    (88, 180),
)


def ped2_labels(cut: int = 0) -> list[np.ndarray]:
    labels = []
    for length, (first, last) in zip(PED2_LENGTHS, PED2_INTERVALS):
        frame = np.arange(1, length + 1)
        labels.append(((frame >= first) & (frame <= last))[cut:])
    return labels


def pair_count(labels: np.ndarray, scores: np.ndarray) -> float:
    """AUC by its meaning: the share of (anomalous, normal) pairs ranked rightly, ties a half."""
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[labels] for b in scores[~labels]
    ]
    return sum(wins) / len(wins)


def random_videos(
    seed: int, count: int = 5, levels: int = 6
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Videos with many tied scores; the first has normal frames only, the last anomalous ones
    only."""
    rng = np.random.default_rng(seed)
    labels = [rng.random(int(rng.integers(8, 20))) < 0.4 for _ in range(count)]
    labels[0][:] = False
    labels[-1][:] = True
    return labels, [rng.integers(0, levels, len(y)).astype(float) for y in labels]


@pytest.mark.parametrize("seed", range(5))
def test_micro_auc_is_the_pair_count_over_all_videos(seed: int) -> None:
    labels, scores = random_videos(seed)
    y, s = np.concatenate(labels), np.concatenate(scores)
    assert metrics.frame_auc(labels, scores) == pytest.approx(pair_count(y, s), abs=1e-12)
    assert metrics.frame_auc(labels, scores) == pytest.approx(roc_auc_score(y, s), abs=1e-12)


def test_auc_by_hand_with_a_tie() -> None:
    # pairs: 3 > 1, 3 > 2, 2 > 1, 2 = 2 -> 3.5 of 4
    assert metrics.frame_auc([0, 1, 0, 1], [1.0, 3.0, 2.0, 2.0]) == pytest.approx(0.875)


def test_macro_auc_leaves_out_videos_of_one_class_and_counts_them() -> None:
    labels, scores = random_videos(3)
    expected = np.mean([pair_count(y, s) for y, s in zip(labels[1:-1], scores[1:-1])])
    value, videos, total = metrics.macro_auc(labels, scores)
    assert value == pytest.approx(expected, abs=1e-12)
    assert (videos, total) == (3, 5)


def test_macro_differs_from_micro_where_videos_have_their_own_level() -> None:
    labels = {"a": np.array([False, True]), "b": np.array([False, True])}
    scores = {"a": np.array([0.0, 1.0]), "b": np.array([10.0, 11.0])}
    assert metrics.macro_auc(labels, scores).value == 1.0
    assert metrics.frame_auc(labels, scores) == 0.75


def test_padded_macro_adds_the_lowest_as_normal_and_the_highest_as_anomalous() -> None:
    labels = [np.array([False, True, False]), np.array([False, False])]
    scores = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])]
    # video 1: anomalous 2, 3; normal 1, 3, 1: wins 2 over both ones, 3 over both ones, 3 = 3 -> 4.5
    # of 6 video 2: anomalous 5; normal 4, 5, 4: wins two, one tie -> 2.5 of 3
    assert metrics.padded_macro_auc(labels, scores) == pytest.approx((4.5 / 6 + 2.5 / 3) / 2)


def test_padded_macro_flatters_a_random_scorer_on_ped2() -> None:
    labels = ped2_labels()
    assert sum(map(len, labels)) == 2010
    assert sum(y.sum() for y in labels) == 1648
    assert sum(y.all() for y in labels) == 4
    rng = np.random.default_rng(0)
    drawn = [
        metrics.padded_macro_auc(labels, [rng.random(len(y)) for y in labels]) for _ in range(150)
    ]
    # Exact expectation, but for ties of the added frames with the extremes: the added anomalous
    # frame wins all its n + 1 pairs, the added normal frame loses its m others, the n * m rest are
    # even.
    counts = [(int((~y).sum()), int(y.sum())) for y in labels]
    exact = np.mean([(1 + n + m + n * m / 2) / ((n + 1) * (m + 1)) for n, m in counts])
    assert exact == pytest.approx(0.685, abs=5e-4)  # one draw spreads by 0.013: 69.0 was one
    assert np.mean(drawn) == pytest.approx(exact, abs=0.005)
    plain = [
        metrics.macro_auc(labels, [rng.random(len(y)) for y in labels]).value for _ in range(150)
    ]
    assert np.mean(plain) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("cut", [0, 4])
def test_frame_number_alone_on_ped2(cut: int) -> None:
    labels = ped2_labels(cut)
    # of the clip, as per-video min-max makes it
    share = [np.linspace(0.0, 1.0, len(y)) for y in labels]
    y, s = np.concatenate(labels), np.concatenate(share)
    ahead = s[y][:, None] - s[~y][None]
    expected = float(((ahead > 0) + 0.5 * (ahead == 0)).mean())
    assert metrics.frame_auc(labels, share) == pytest.approx(expected, abs=1e-12)
    # 75.0 is known for all frames (74.95); without the first four of each clip it is 74.65.
    assert expected == pytest.approx({0: 0.750, 4: 0.7465}[cut], abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_reversed_scores_give_one_minus(seed: int) -> None:
    labels, scores = random_videos(seed)
    turned = [-s for s in scores]
    assert metrics.frame_auc(labels, turned) == pytest.approx(1 - metrics.frame_auc(labels, scores))
    assert metrics.macro_auc(labels, turned).value == pytest.approx(
        1 - metrics.macro_auc(labels, scores).value
    )
    assert metrics.equal_error_rate(labels, turned) == pytest.approx(
        1 - metrics.equal_error_rate(labels, scores)
    )


def test_only_the_order_of_scores_counts() -> None:
    labels, scores = random_videos(1)
    bent = [np.exp(s) - 7 for s in scores]
    for metric in (
        metrics.frame_auc,
        metrics.equal_error_rate,
        metrics.average_precision,
        metrics.padded_macro_auc,
    ):
        assert metric(labels, bent) == pytest.approx(metric(labels, scores), abs=1e-12)


def test_repeating_all_frames_changes_nothing() -> None:
    labels, scores = random_videos(2)
    thrice = [[np.repeat(x, 3) for x in group] for group in (labels, scores)]
    for metric in (metrics.frame_auc, metrics.equal_error_rate, metrics.average_precision):
        assert metric(*thrice) == pytest.approx(metric(labels, scores), abs=1e-12)


@pytest.mark.parametrize("label", [False, True])
def test_one_class_is_undefined_not_zero_or_one(label: bool) -> None:
    labels, scores = [np.full(4, label)], [np.arange(4.0)]
    for metric in (metrics.frame_auc, metrics.equal_error_rate, metrics.average_precision):
        assert np.isnan(metric(labels, scores))
    macro = metrics.macro_auc(labels, scores)
    assert np.isnan(macro.value)
    assert (macro.videos, macro.total) == (0, 1)
    interval = metrics.bootstrap_interval(labels * 2, scores * 2, draws=7)
    assert np.isnan([interval.value, interval.low, interval.high]).all()
    assert (interval.draws, interval.skipped) == (0, 7)


def test_equal_error_rate_by_hand() -> None:
    assert metrics.equal_error_rate([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0]) == 0.0
    assert metrics.equal_error_rate([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0]) == 0.5
    assert metrics.equal_error_rate([0, 1] * 5, [1.0] * 10) == 0.5  # all tied: the diagonal
    # ROC corners (0, 1/2), (1/3, 1/2), (1/3, 1): the line fpr = 1 - tpr meets the rise at fpr = 1/3
    assert metrics.equal_error_rate([1, 0, 1, 0, 0], [5.0, 4.0, 3.0, 2.0, 1.0]) == pytest.approx(
        1 / 3
    )


def test_average_precision_by_hand() -> None:
    # ranks of the anomalous: 1 and 3 -> (1/1 + 2/3) / 2
    assert metrics.average_precision([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    # the base rate
    assert metrics.average_precision([1, 0, 0, 0], [1.0] * 4) == pytest.approx(0.25)


def test_all_forms_of_input_agree() -> None:
    labels, scores = random_videos(4)
    names = [f"v{k}" for k in range(len(labels))]
    as_maps = dict(zip(names, labels)), dict(zip(reversed(names), reversed(scores)))
    joined = np.concatenate(labels), np.concatenate(scores)
    counts = np.concatenate(labels).astype(int).tolist(), np.concatenate(scores).tolist()
    for form in (as_maps, joined, counts, (tuple(labels), tuple(scores))):
        assert metrics.frame_auc(*form) == metrics.frame_auc(labels, scores)
    assert metrics.macro_auc(*as_maps) == metrics.macro_auc(labels, scores)


def naive_draws(labels: list, scores: list, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = []
    for row in rng.integers(0, len(labels), size=(draws, len(labels))):
        y, s = np.concatenate([labels[k] for k in row]), np.concatenate([scores[k] for k in row])
        values.append(pair_count(y, s) if 0 < y.sum() < len(y) else np.nan)
    return np.array(values)


def test_bootstrap_is_the_quantiles_of_resampled_videos() -> None:
    labels, scores = random_videos(7, count=3)
    values = naive_draws(labels, scores, 60, seed=5)
    assert np.isnan(values).any()  # else the skipping below is not tested
    interval = metrics.bootstrap_interval(labels, scores, draws=60, seed=5)
    assert interval.skipped == np.isnan(values).sum()
    assert interval.draws == 60 - interval.skipped
    assert interval[1:3] == pytest.approx(np.nanquantile(values, [0.025, 0.975]), abs=1e-12)
    assert interval.value == metrics.frame_auc(labels, scores)


def test_bootstrap_shortcut_equals_the_general_way() -> None:
    labels, scores = random_videos(8)
    general = metrics.bootstrap_interval(
        labels, scores, metric=lambda y, s: metrics.frame_auc(y, s), draws=50, seed=2
    )
    assert metrics.bootstrap_interval(labels, scores, draws=50, seed=2) == pytest.approx(
        general, abs=1e-12
    )


def test_bootstrap_of_another_metric_and_of_one_video() -> None:
    labels, scores = random_videos(9)
    interval = metrics.bootstrap_interval(
        labels, scores, metric=metrics.average_precision, draws=40
    )
    assert interval.low < interval.value < interval.high
    alone = metrics.bootstrap_interval(labels[1], scores[1], draws=40)
    assert np.isfinite(alone.value)
    assert np.isnan([alone.low, alone.high]).all()


def test_identical_videos_leave_no_spread() -> None:
    y, s = np.array([False, True, True]), np.array([1.0, 0.0, 2.0])
    interval = metrics.bootstrap_interval([y] * 4, [s] * 4, draws=30)
    assert interval.low == interval.value == interval.high == 0.5


def test_paired_bootstrap_is_narrower_than_the_parts() -> None:
    rng = np.random.default_rng(0)
    labels = [np.arange(40) >= 20 for _ in range(12)]
    a = [y * rng.uniform(0, 2) + rng.normal(size=40) for y in labels]
    b = [s - 0.3 * y for y, s in zip(labels, a)]  # a little worse on every video
    difference = metrics.paired_bootstrap(labels, a, b, draws=300)
    assert difference.value == pytest.approx(
        metrics.frame_auc(labels, a) - metrics.frame_auc(labels, b)
    )
    assert 0 < difference.low < difference.value < difference.high
    alone = metrics.bootstrap_interval(labels, a, draws=300)
    assert difference.high - difference.low < alone.high - alone.low
    same = metrics.paired_bootstrap(labels, a, a, draws=30)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    turned = metrics.paired_bootstrap(labels, b, a, draws=300)
    assert (turned.low, turned.high) == pytest.approx((-difference.high, -difference.low))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ({"a": [0, 1]}, {"b": [0.0, 1.0]}, "'a' has no scores"),
        ({}, {}, "no videos"),
        ({"a": [0, 1]}, [[0.0, 1.0]], "both be mappings"),
        ({"clip": [0, 1, 1]}, {"clip": [0.0, 1.0]}, "'clip': 3 labels but 2 scores"),
        ([[0, 1], [0, 1]], [[0.0, 1.0]], "2 videos but scores of 1"),
        ([0, 2], [0.0, 1.0], "0 and 1 only"),
        ([0, 1], [0.0, float("nan")], "frame 1 is nan .*cut frames"),
        ([0, 1], [float("inf"), 1.0], "frame 0 is inf"),
        ([0, 1], ["x", "y"], "expected numbers"),
        (np.zeros((2, 2), bool), np.zeros((2, 2)), r"\(2, 2\)"),
        ([[]], [[]], "no frames"),
    ],
)
def test_what_does_not_fit_is_refused(labels: object, scores: object, message: str) -> None:
    for metric in (
        metrics.frame_auc,
        metrics.macro_auc,
        metrics.padded_macro_auc,
        metrics.bootstrap_interval,
    ):
        with pytest.raises(LabelError, match=message):
            metric(labels, scores)

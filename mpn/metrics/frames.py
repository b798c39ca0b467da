"""Frame metrics: labels and scores in, figures out (PROTOCOL section 3).

No torch, no files, no plotting.

Every function takes labels and scores as one array each, as mappings video name -> array, or as
sequences of arrays (one a video, same order). Labels are bool (T,) (or 0 and 1), True = anomalous;
scores are float (T,), higher = more anomalous. NaN scores are refused: the caller cuts the frames
that have no score, and their labels with them. Where one class is missing the figure is undefined:
NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from mpn.metrics import intervals
from mpn.metrics.inputs import Arrays, Pairs, both_classes, joined, paired
from mpn.metrics.intervals import Interval


class MacroAuc(NamedTuple):
    """Mean AUC of the `videos` that have both classes, of `total` videos.

    NaN when there are none.
    """

    value: float
    videos: int
    total: int


class Curve(NamedTuple):
    """A curve by falling threshold: x, y and the threshold of each point, float64 (points,).

    The first threshold is infinite: nothing is above it. Without points where the curve is
    undefined.
    """

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray


def frame_auc(labels: Arrays, scores: Arrays) -> float:
    """Compute the micro AUC, in [0, 1]: area under the ROC curve of all frames in one ranking.

    The frames are those of all videos. NaN when all frames are of one class.

    Raises:
        LabelError: labels and scores don't fit.
    """
    y, s = joined(labels, scores)
    return _auc(y, s) if both_classes(y) else float("nan")


def macro_auc(labels: Arrays, scores: Arrays) -> MacroAuc:
    """Compute the mean of the per-video AUC over the videos with both classes; count these.

    Raises:
        LabelError: labels and scores don't fit.
    """
    pairs = paired(labels, scores)
    values = _video_aucs(pairs)
    defined = values[~np.isnan(values)]
    return MacroAuc(
        float(np.mean(defined)) if len(defined) else float("nan"), len(defined), len(pairs)
    )


def padded_macro_auc(labels: Arrays, scores: Arrays) -> float:
    """Compute the mean per-video AUC with two frames added to each, as AED and AI-VAD report it.

    The added normal frame has the video's lowest score, the added anomalous frame its highest
    (AI-VAD's `evaluate.py` takes 0 and the largest float, the same but for ties). All videos count,
    and a video of one class gets close to 1 whatever its scores are: flattering, for comparison
    only.

    Raises:
        LabelError: labels and scores don't fit.
    """
    return float(np.mean(_padded_aucs(paired(labels, scores))))


def equal_error_rate(labels: Arrays, scores: Arrays) -> float:
    """Compute the rate, in [0, 1], at which shares of false alarms and of misses are equal (micro).

    Between two thresholds the ROC curve is taken as straight. NaN when all frames are of one class.

    Raises:
        LabelError: labels and scores don't fit.
    """
    y, s = joined(labels, scores)
    if not both_classes(y):
        return float("nan")
    false_rate, true_rate, _ = roc_curve(y, s, drop_intermediate=False)
    return intervals.equal_rate(false_rate, true_rate)


def average_precision(labels: Arrays, scores: Arrays) -> float:
    """Compute the average precision of all frames in one ranking (micro), in [0, 1].

    Without interpolation. Its chance level is the share of anomalous frames. NaN when all frames
    are of one class.

    Raises:
        LabelError: labels and scores don't fit.
    """
    y, s = joined(labels, scores)
    return float(average_precision_score(y, s)) if both_classes(y) else float("nan")


def roc_points(labels: Arrays, scores: Arrays, max_cells: int = 400) -> Curve:
    """Compute the ROC curve of all frames: x the rate of false alarms, y that of detections.

    Both go from 0 to 1, straight between points.

    Args:
        labels: as in this module's other functions.
        scores: likewise.
        max_cells: the curve is thinned to a grid of `max_cells` by `max_cells`, that is to
            2 * max_cells + 2 points, each left-out point within 1 / max_cells of a kept one in x
            and in y.

    Returns:
        The curve; no points when all frames are of one class.

    Raises:
        LabelError: labels and scores don't fit.
    """
    y, s = joined(labels, scores)
    if not both_classes(y):
        return _no_curve()
    return _thinned(Curve(*roc_curve(y, s)), max_cells)


def precision_recall_points(labels: Arrays, scores: Arrays, max_cells: int = 400) -> Curve:
    """Compute precision over recall of all frames: x the recall, rising, y the precision.

    Both from 0 to 1. The first point, recall 0 and precision 1, is a convention. Thinned as in
    `roc_points`; as precision goes up and down there may be more points. Not straight between
    points: the precision of a point holds from the point before. No points when all frames are of
    one class.

    Raises:
        LabelError: labels and scores don't fit.
    """
    y, s = joined(labels, scores)
    if not both_classes(y):
        return _no_curve()
    precision, recall, thresholds = precision_recall_curve(y, s)
    return _thinned(
        Curve(recall[::-1], precision[::-1], np.append(thresholds, np.inf)[::-1]), max_cells
    )


def constant_videos(scores: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the videos whose scores, two or more, are all the same.

    NaN is left out; names are in the mapping's order. Such a video tells nothing about its own
    frames: its AUC is a half, per-video min-max is undefined on it, and nearly always its scorer
    has failed.
    """
    constant = []
    for name, values in scores.items():
        scored = np.asarray(values, dtype=np.float64)
        scored = scored[~np.isnan(scored)]
        if len(scored) > 1 and (scored == scored[0]).all():
            constant.append(name)
    return constant


def bootstrap_interval(
    labels: Arrays,
    scores: Arrays,
    metric: Callable[[Arrays, Arrays], Any] = frame_auc,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compute the 95 % percentile interval of `metric` by drawing videos with replacement.

    Videos, not frames: the frames of a video are far from independent. Draws in which the figure is
    undefined are left out and counted.

    Args:
        labels: as in this module's other functions.
        scores: likewise.
        metric: those of this module are fast (`mpn.metrics.intervals`), another callable is called
            for every draw.
        draws: how often videos are drawn.
        seed: of the draws.

    Raises:
        LabelError: labels and scores don't fit.
    """
    pairs = paired(labels, scores)
    values = _drawn(pairs, metric, intervals.draw_videos(len(pairs), draws, seed))
    return intervals.interval_of(_value_of(pairs, metric), values, len(pairs))


def bootstrap_values(
    labels: Arrays,
    scores: Arrays,
    metric: Callable[[Arrays, Arrays], Any] = frame_auc,
    draws: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Return the metric in each draw of `bootstrap_interval`.

    The same number of videos, draws and seed give the same videos in each draw: the difference of
    two of these, given to `mpn.metrics.intervals.interval_of`, is `paired_bootstrap`; so each of
    many scores is drawn only once.

    Returns:
        float64 (draws,), NaN where the metric is undefined.

    Raises:
        LabelError: labels and scores don't fit.
    """
    pairs = paired(labels, scores)
    return _drawn(pairs, metric, intervals.draw_videos(len(pairs), draws, seed))


def paired_bootstrap(
    labels: Arrays,
    scores_a: Arrays,
    scores_b: Arrays,
    metric: Callable[[Arrays, Arrays], Any] = frame_auc,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compute the 95 % interval of metric(a) - metric(b), both on the same drawn videos each time.

    "a is better than b" needs low > 0.

    Raises:
        LabelError: labels and scores don't fit.
    """
    first, second = paired(labels, scores_a), paired(labels, scores_b)
    picks = intervals.draw_videos(len(first), draws, seed)
    values = _drawn(first, metric, picks) - _drawn(second, metric, picks)
    return intervals.interval_of(
        _value_of(first, metric) - _value_of(second, metric), values, len(first)
    )


def _auc(y: np.ndarray, s: np.ndarray) -> float:
    """Compute the area under the ROC curve from the ranks (Mann and Whitney 1947), ties a half.

    Both classes are needed. The same as scikit-learn's, whose checks of every call would make the
    per-video means slow.
    """
    anomalous = int(y.sum())
    rank_sum = float(rankdata(s)[y].sum())
    return (rank_sum - anomalous * (anomalous + 1) / 2) / (anomalous * (len(y) - anomalous))


def _video_aucs(pairs: Pairs) -> np.ndarray:
    """Compute the AUC of each video, (videos,), NaN with one class."""
    return np.array([_auc(y, s) if both_classes(y) else np.nan for y, s in pairs])


def _padded_aucs(pairs: Pairs) -> np.ndarray:
    """Compute the AUC of each video, (videos,), with the two frames of `padded_macro_auc` added."""
    return np.array(
        [
            _auc(np.concatenate([[False], y, [True]]), np.concatenate([[s.min()], s, [s.max()]]))
            for y, s in pairs
        ]
    )


def _value_of(pairs: Pairs, metric: Callable[[Arrays, Arrays], Any]) -> float:
    value = metric([y for y, _ in pairs], [s for _, s in pairs])
    return float(value.value if isinstance(value, MacroAuc) else value)


def _drawn(pairs: Pairs, metric: Callable[[Arrays, Arrays], Any], picks: np.ndarray) -> np.ndarray:
    """Compute the metric on each row of video numbers, float (draws,), NaN where undefined."""
    fast = _FAST.get(metric)
    if fast is None:
        return np.array([_value_of([pairs[k] for k in row], metric) for row in picks])
    return fast(pairs, intervals.draw_weights(picks))


_FAST: dict[Callable, Callable[[Pairs, np.ndarray], np.ndarray]] = {
    frame_auc: intervals.drawn_auc,
    macro_auc: lambda pairs, weights: intervals.drawn_means(_video_aucs(pairs), weights),
    padded_macro_auc: lambda pairs, weights: intervals.drawn_means(_padded_aucs(pairs), weights),
    equal_error_rate: intervals.drawn_equal_error_rate,
    average_precision: intervals.drawn_average_precision,
}


def _no_curve() -> Curve:
    return Curve(*np.empty((3, 0)))


def _thinned(curve: Curve, max_cells: int) -> Curve:
    """Keep the points where the curve enters another cell of a square grid, and the last."""
    cells = np.floor(np.stack([curve.x, curve.y]) * max_cells)
    enters = np.append(True, (cells[:, 1:] != cells[:, :-1]).any(axis=0))
    enters[-1] = True
    return Curve(*(values[enters].astype(np.float64) for values in curve))

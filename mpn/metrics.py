"""Labels and scores in, figures out (PROTOCOL section 3). No torch, no files, no plotting.

Every function takes labels and scores as one array each, as mappings video name -> array, or as
sequences of arrays (one a video, same order). Labels are bool (T,) (or 0 and 1), True = anomalous;
scores are float (T,), higher = more anomalous. NaN scores are refused: the caller cuts the frames that
have no score, and their labels with them. Where one class is missing the figure is undefined: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_curve

from mpn.errors import LabelError

Arrays: TypeAlias = "np.ndarray | Sequence | Mapping[str, np.ndarray]"
Pairs: TypeAlias = "list[tuple[np.ndarray, np.ndarray]]"
LEVEL = 0.95  # of every interval


class MacroAuc(NamedTuple):
    """Mean AUC of the `videos` that have both classes, of `total` videos; NaN when there are none."""

    value: float
    videos: int
    total: int


class Interval(NamedTuple):
    """A figure and its 95 % bootstrap interval over videos.

    `draws` resamplings count; `skipped` more were left out because the figure is undefined there (one
    class only). With a single video there is nothing to resample: low and high are NaN.
    """

    value: float
    low: float
    high: float
    draws: int
    skipped: int


def frame_auc(labels: Arrays, scores: Arrays) -> float:
    """Micro AUC: area under the ROC curve of all frames of all videos in one ranking, in [0, 1].

    NaN when all frames are of one class. Raises LabelError where labels and scores don't fit.
    """
    y, s = _joined(labels, scores)
    return _auc(y, s) if _both(y) else float("nan")


def macro_auc(labels: Arrays, scores: Arrays) -> MacroAuc:
    """Mean of the per-video AUC over the videos with both classes, and how many these are.

    Raises LabelError where labels and scores don't fit.
    """
    pairs = _pairs(labels, scores)
    values = [_auc(y, s) for y, s in pairs if _both(y)]
    return MacroAuc(float(np.mean(values)) if values else float("nan"), len(values), len(pairs))


def padded_macro_auc(labels: Arrays, scores: Arrays) -> float:
    """Mean of the per-video AUC with two frames added to each video, as AED and AI-VAD report it.

    The added normal frame has the video's lowest score, the added anomalous frame its highest (AI-VAD's
    `evaluate.py` takes 0 and the largest float, the same but for ties). All videos count, and a video of
    one class gets close to 1 whatever its scores are: flattering, for comparison only. Raises LabelError
    where labels and scores don't fit.
    """
    values = []
    for y, s in _pairs(labels, scores):
        padded = np.concatenate([[False], y, [True]])
        values.append(_auc(padded, np.concatenate([[s.min()], s, [s.max()]])))
    return float(np.mean(values))


def equal_error_rate(labels: Arrays, scores: Arrays) -> float:
    """The rate, in [0, 1], at which the share of false alarms equals the share of misses (micro).

    Between two thresholds the ROC curve is taken as straight. NaN when all frames are of one class.
    Raises LabelError where labels and scores don't fit.
    """
    y, s = _joined(labels, scores)
    if not _both(y):
        return float("nan")
    false_rate, true_rate, _ = roc_curve(y, s, drop_intermediate=False)
    excess = false_rate - (1.0 - true_rate)  # rises from -1 to 1
    after = int(np.argmax(excess >= 0))
    part = -excess[after - 1] / (excess[after] - excess[after - 1])
    return float(false_rate[after - 1] + part * (false_rate[after] - false_rate[after - 1]))


def average_precision(labels: Arrays, scores: Arrays) -> float:
    """Average precision of all frames in one ranking (micro), in [0, 1], without interpolation.

    Its chance level is the share of anomalous frames. NaN when all frames are of one class. Raises
    LabelError where labels and scores don't fit.
    """
    y, s = _joined(labels, scores)
    return float(average_precision_score(y, s)) if _both(y) else float("nan")


def bootstrap_interval(
    labels: Arrays,
    scores: Arrays,
    metric: Callable[[Arrays, Arrays], float] = frame_auc,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """95 % percentile interval of `metric` by drawing videos with replacement, `draws` times.

    Videos, not frames: the frames of a video are far from independent. Draws in which the figure is
    undefined are left out and counted. Raises LabelError where labels and scores don't fit.
    """
    pairs = _pairs(labels, scores)
    values = _resampled(pairs, metric, _picks(len(pairs), draws, seed))
    return _interval(_of(pairs, metric), values, len(pairs))


def paired_bootstrap(
    labels: Arrays,
    scores_a: Arrays,
    scores_b: Arrays,
    metric: Callable[[Arrays, Arrays], float] = frame_auc,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """95 % interval of metric(a) - metric(b), both taken on the same drawn videos each time.

    "a is better than b" needs low > 0. Raises LabelError where labels and scores don't fit.
    """
    first, second = _pairs(labels, scores_a), _pairs(labels, scores_b)
    picks = _picks(len(first), draws, seed)
    values = _resampled(first, metric, picks) - _resampled(second, metric, picks)
    return _interval(_of(first, metric) - _of(second, metric), values, len(first))


def _auc(y: np.ndarray, s: np.ndarray) -> float:
    """Area under the ROC curve from the ranks (Mann and Whitney 1947), ties a half; both classes needed.

    The same as scikit-learn's, whose checks of every call would make the per-video means slow.
    """
    anomalous = int(y.sum())
    rank_sum = float(rankdata(s)[y].sum())
    return (rank_sum - anomalous * (anomalous + 1) / 2) / (anomalous * (len(y) - anomalous))


def _picks(videos: int, draws: int, seed: int) -> np.ndarray:
    """Video numbers, int (draws, videos), of each resampling."""
    return np.random.default_rng(seed).integers(0, videos, size=(draws, videos))


def _of(pairs: Pairs, metric: Callable[[Arrays, Arrays], float]) -> float:
    return float(metric([y for y, _ in pairs], [s for _, s in pairs]))


def _resampled(pairs: Pairs, metric: Callable[[Arrays, Arrays], float], picks: np.ndarray) -> np.ndarray:
    """The metric on each row of video numbers, float (draws,), NaN where undefined."""
    if metric is not frame_auc:
        return np.array([_of([pairs[k] for k in row], metric) for row in picks])
    # The AUC is a count over (anomalous, normal) pairs, so it splits into counts over pairs of videos:
    # they are made once, and a draw is a weighted sum of them. Same figures, a thousand times cheaper.
    wins = _video_wins(pairs)
    weights = np.stack([np.bincount(row, minlength=len(pairs)) for row in picks]).astype(np.float64)
    anomalous = weights @ np.array([y.sum() for y, _ in pairs], dtype=np.float64)
    normal = weights @ np.array([(~y).sum() for y, _ in pairs], dtype=np.float64)
    count = np.einsum("di,ij,dj->d", weights, wins, weights, optimize=True)
    possible = anomalous * normal
    return np.divide(count, possible, out=np.full(len(picks), np.nan), where=possible > 0)


def _video_wins(pairs: Pairs) -> np.ndarray:
    """wins[i, j]: pairs in which an anomalous frame of i outscores a normal one of j; a tie is a half."""
    wins = np.zeros((len(pairs), len(pairs)))
    anomalous = [s[y] for y, s in pairs]
    bounds = np.cumsum([len(s) for s in anomalous])[:-1]
    together = np.concatenate(anomalous)
    for j, (y, s) in enumerate(pairs):
        normal = np.sort(s[~y])
        below = np.searchsorted(normal, together, "left") + np.searchsorted(normal, together, "right")
        wins[:, j] = [part.sum() / 2.0 for part in np.split(below, bounds)]
    return wins


def _interval(value: float, values: np.ndarray, videos: int) -> Interval:
    defined = values[~np.isnan(values)]
    skipped = len(values) - len(defined)
    if videos < 2 or not len(defined):
        return Interval(value, float("nan"), float("nan"), len(defined), skipped)
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high), len(defined), skipped)


def _both(y: np.ndarray) -> bool:
    return bool(y.any()) and not bool(y.all())


def _joined(labels: Arrays, scores: Arrays) -> tuple[np.ndarray, np.ndarray]:
    pairs = _pairs(labels, scores)
    return np.concatenate([y for y, _ in pairs]), np.concatenate([s for _, s in pairs])


def _pairs(labels: Arrays, scores: Arrays) -> Pairs:
    """Checked (labels, scores) of each video: bool (T,) and float64 (T,)."""
    if isinstance(labels, Mapping) != isinstance(scores, Mapping):
        raise LabelError("labels and scores must both be mappings by video name, or neither")
    if isinstance(labels, Mapping):
        different = sorted(set(labels) ^ set(scores), key=str)
        if different:
            where = "scores" if different[0] in labels else "labels"
            raise LabelError(f"video {different[0]!r} has no {where}: labels and scores need the same videos")
        named = [(f"video {name!r}", labels[name], scores[name]) for name in labels]
    else:
        lists = [[x] if _is_one_array(x) else list(x) for x in (labels, scores)]
        if len(lists[0]) != len(lists[1]):
            raise LabelError(f"labels of {len(lists[0])} videos but scores of {len(lists[1])}")
        named = [(f"video {k}", y, s) for k, (y, s) in enumerate(zip(*lists))]
    if not named:
        raise LabelError("no videos: labels and scores are empty")
    return [_checked(where, y, s) for where, y, s in named]


def _is_one_array(x: Arrays) -> bool:
    if isinstance(x, np.ndarray):
        return x.dtype != object  # an object array is a sequence of arrays of several lengths
    return len(x) > 0 and all(np.ndim(item) == 0 for item in x)


def _checked(where: str, labels: object, scores: object) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(labels), np.asarray(scores)
    if y.ndim != 1 or s.ndim != 1:
        raise LabelError(f"{where}: labels {y.shape} and scores {s.shape}, expected one number a frame (T,)")
    if len(y) != len(s):
        raise LabelError(f"{where}: {len(y)} labels but {len(s)} scores")
    if not len(y):
        raise LabelError(f"{where}: no frames")
    if y.dtype != bool:
        if y.dtype.kind not in "iuf" or not np.isin(y, (0, 1)).all():
            raise LabelError(f"{where}: labels must be bool, or 0 and 1 only")
        y = y.astype(bool)
    if s.dtype.kind not in "iufb":
        raise LabelError(f"{where}: scores of type {s.dtype}, expected numbers")
    s = s.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(s))
    if len(bad):
        raise LabelError(
            f"{where}: score of frame {bad[0]} is {s[bad[0]]} ({len(bad)} not finite); "
            "cut frames without a score, and their labels, before"
        )
    return y, s

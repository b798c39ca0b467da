"""95 % intervals by drawing videos with replacement, fast enough for a million frames.

No torch, no files.

Videos are drawn, not frames: the frames of a video are far from independent. A draw is a row of
`weights`, how often each video is in it, (draws, videos); the frames are sorted once and every draw
is a weighted count over that order, so a figure of 1,000 draws costs seconds and not 1,000 sorts.
What comes out is, to rounding, the metric of the drawn videos put together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpn.metrics.inputs import Pairs

LEVEL = 0.95  # of every interval
# beyond, a table of videos x videos would cost more than a pass over the frames in every draw
WINS_VIDEOS = 2000
WAITING = 2_000_000  # pairs that are put into that table together
CUTS = 1000  # places in the order at which the equal error rate is looked for first
CUT_CELLS = 5_000_000  # at most so many counts by cut and video, whatever the number of videos


class Interval(NamedTuple):
    """A figure and its 95 % bootstrap interval over videos.

    `draws` resamplings count; `skipped` more were left out because the figure is undefined there
    (one class only). With a single video there is nothing to resample: low and high are NaN.
    """

    value: float
    low: float
    high: float
    draws: int
    skipped: int


class Ranking(NamedTuple):
    """All frames of all videos from the highest score down, of tied ones the anomalous first.

    Attributes:
        anomalous: bool (N,).
        video: the number of each frame's video, int (N,).
        ends: (groups,), where each group of tied frames ends, exclusive; the last is N.
    """

    anomalous: np.ndarray
    video: np.ndarray
    ends: np.ndarray


def draw_videos(videos: int, draws: int, seed: int) -> np.ndarray:
    """Draw the video numbers, int (draws, videos), of each resampling."""
    return np.random.default_rng(seed).integers(0, videos, size=(draws, videos))


def draw_weights(picks: np.ndarray) -> np.ndarray:
    """Count how often each video is in each draw, float64 (draws, videos), from `draw_videos`."""
    draws, videos = picks.shape
    cells = picks + videos * np.arange(draws)[:, None]
    return (
        np.bincount(cells.ravel(), minlength=draws * videos)
        .reshape(draws, videos)
        .astype(np.float64)
    )


def interval_of(value: float, drawn: np.ndarray, videos: int) -> Interval:
    """Compute the percentile interval of a figure from its values in the draws.

    Args:
        value: the figure.
        drawn: its values (draws,), NaN where undefined.
        videos: how many videos there are.
    """
    defined = drawn[~np.isnan(drawn)]
    skipped = len(drawn) - len(defined)
    if videos < 2 or not len(defined):
        return Interval(value, float("nan"), float("nan"), len(defined), skipped)
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high), len(defined), skipped)


def ranked(pairs: Pairs) -> Ranking:
    """Sort the frames of all videos in one order."""
    y = np.concatenate([labels for labels, _ in pairs])
    s = np.concatenate([scores for _, scores in pairs])
    video = np.repeat(np.arange(len(pairs)), [len(labels) for labels, _ in pairs])
    order = np.lexsort((~y, -s))
    s = s[order]
    ends = np.append(np.flatnonzero(s[1:] != s[:-1]) + 1, len(s))
    return Ranking(y[order], video[order], ends)


def drawn_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the mean of a figure of each video in every draw, (draws,).

    Args:
        values: the figure, (videos,), NaN where a video has none.
        weights: how often each video is in each draw, (draws, videos).
    """
    defined = ~np.isnan(values)
    return _shares(weights @ np.where(defined, values, 0.0), weights @ defined)


def drawn_auc(pairs: Pairs, weights: np.ndarray) -> np.ndarray:
    """Compute the micro AUC of every draw, (draws,), NaN where undefined."""
    ranking = ranked(pairs)
    possible = np.prod(_totals(ranking, weights), axis=0)
    if len(pairs) > WINS_VIDEOS:
        return _shares(_auc_passes(ranking, weights), possible)
    # The AUC is a count over (anomalous, normal) pairs, so it splits into counts over pairs of
    # videos.
    wins = video_wins(ranking, len(pairs))
    return _shares(np.einsum("dj,dj->d", weights @ wins, weights), possible)


def drawn_equal_error_rate(pairs: Pairs, weights: np.ndarray) -> np.ndarray:
    """Compute the equal error rate of every draw, (draws,), NaN where undefined.

    First the cut between whose neighbours the rates cross, of all draws in one product, then the
    frame within.
    """
    ranking = ranked(pairs)
    anomalous, normal = _totals(ranking, weights)
    step = -(-len(ranking.ends) // max(1, min(CUTS, CUT_CELLS // len(pairs))))
    cuts = np.append(0, np.unique(np.append(ranking.ends[::step], len(ranking.video))))
    found_until, wrong_until = (
        weights @ counts.T for counts in _counts_until(ranking, cuts, weights.shape[1])
    )
    values = np.full(len(weights), np.nan)
    for draw in np.flatnonzero((anomalous > 0) & (normal > 0)):
        total = anomalous[draw], normal[draw]
        after = int(
            np.argmax(wrong_until[draw] / total[1] - (1.0 - found_until[draw] / total[0]) >= 0)
        )
        start, stop = cuts[after - 1], cuts[after]
        weight = weights[draw].take(ranking.video[start:stop])
        first, last = np.searchsorted(ranking.ends, (start, stop), side="right")
        ends = ranking.ends[first:last] - start - 1
        hits = np.cumsum(weight * ranking.anomalous[start:stop])[ends]
        alarms = np.cumsum(weight)[ends]
        true_count = found_until[draw, after - 1] + np.append(0.0, hits)
        false_count = wrong_until[draw, after - 1] + np.append(0.0, alarms - hits)
        values[draw] = equal_rate(false_count / total[1], true_count / total[0])
    return values


def drawn_average_precision(pairs: Pairs, weights: np.ndarray) -> np.ndarray:
    """Compute the average precision of every draw, (draws,), NaN where undefined."""
    ranking = ranked(pairs)
    anomalous, normal = _totals(ranking, weights)
    places = np.flatnonzero(ranking.anomalous)
    group = np.searchsorted(ranking.ends, places, side="right")
    # in places: where each group with anomalous frames starts
    _, starts = np.unique(group, return_index=True)
    until = ranking.ends[group[starts]] - 1
    video = ranking.video[places]
    values = np.full(len(weights), np.nan)
    for draw in np.flatnonzero((anomalous > 0) & (normal > 0)):
        hits = weights[draw].take(video)
        if len(starts) < len(places):
            hits = np.add.reduceat(hits, starts)
        alarms = np.cumsum(weights[draw].take(ranking.video))[until]
        precision = np.cumsum(hits) / np.maximum(alarms, 1.0)  # 0 / 1 above the first drawn frame
        values[draw] = hits @ precision / anomalous[draw]
    return values


def equal_rate(false_rate: np.ndarray, true_rate: np.ndarray) -> float:
    """Find where a ROC curve has as many false alarms as misses.

    The curve is straight between its points; both rates rise, (points,).
    """
    excess = false_rate - (1.0 - true_rate)  # rises from below 0 to 0 or above
    after = int(np.argmax(excess >= 0))
    part = -excess[after - 1] / (excess[after] - excess[after - 1])
    return float(false_rate[after - 1] + part * (false_rate[after] - false_rate[after - 1]))


def video_wins(ranking: Ranking, videos: int) -> np.ndarray:
    """Count wins[i, j]: pairs in which an anomalous frame of i outscores a normal one of j.

    A tie is a half.
    """
    wins = _wins_in_order(ranking, videos)
    # A group where both classes are tied: the order puts its anomalous frames first, which is half
    # of the truth.
    group = np.repeat(np.arange(len(ranking.ends)), np.diff(ranking.ends, prepend=0))
    order = np.lexsort((ranking.anomalous, group))
    if (ranking.anomalous[order] != ranking.anomalous).any():
        last = Ranking(ranking.anomalous[order], ranking.video[order], ranking.ends)
        wins = (wins + _wins_in_order(last, videos)) / 2.0
    return wins


def _wins_in_order(ranking: Ranking, videos: int) -> np.ndarray:
    """Count the pairs in which an anomalous frame of i stands before a normal one of j.

    (videos, videos). The order is cut into blocks: pairs from different blocks are products of the
    blocks' counts, pairs within a block are counted by their distance.
    """
    anomalous, video = ranking.anomalous, ranking.video
    size = int(np.clip(videos // 8, 16, 192))  # longer blocks: cheaper products, more pairs within
    wins, above = np.zeros((videos, videos)), np.zeros(videos)
    chunk = size * 512
    for start in range(0, len(video), chunk):
        video_of, is_anomalous = video[start : start + chunk], anomalous[start : start + chunk]
        cell = np.arange(len(video_of)) // size * videos + video_of
        hits, normal = (
            np.bincount(cell[which], minlength=512 * videos).reshape(512, videos).astype(np.float64)
            for which in (is_anomalous, ~is_anomalous)
        )
        wins += (above + np.cumsum(hits, axis=0) - hits).T @ normal
        above += hits.sum(axis=0)
    position = np.arange(len(video)) % size
    cells, waiting, reach = [], 0, min(size, len(video))
    for distance in range(1, reach):
        ahead = (
            anomalous[:-distance] & ~anomalous[distance:] & (position[:-distance] < size - distance)
        )
        first = np.flatnonzero(ahead)
        cells.append(video[first] * videos + video[first + distance])
        waiting += len(first)
        if waiting > WAITING or distance == reach - 1:
            wins += np.bincount(np.concatenate(cells), minlength=videos * videos).reshape(
                videos, videos
            )
            cells, waiting = [], 0
    return wins


def _auc_passes(ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """Sum the weighted wins of every draw, (draws,), by a pass over the frames in each."""
    places = np.flatnonzero(ranking.anomalous)
    group = np.searchsorted(ranking.ends, places, side="right")
    normal = np.append(0, np.cumsum(~ranking.anomalous))
    above = normal[np.append(0, ranking.ends)[group]]
    until = normal[ranking.ends[group]]
    videos, others = ranking.video[places], ranking.video[~ranking.anomalous]
    counts = []
    for weight in weights:
        ahead = np.append(0.0, np.cumsum(weight.take(others)))
        counts.append(weight.take(videos) @ (ahead[-1] - (ahead[above] + ahead[until]) / 2.0))
    return np.array(counts)


def _counts_until(ranking: Ranking, cuts: np.ndarray, videos: int) -> tuple[np.ndarray, np.ndarray]:
    """Count anomalous and normal frames of each video before each cut, float (cuts, videos).

    The first cut is 0.
    """
    block = np.searchsorted(cuts, np.arange(len(ranking.video)), side="right")
    cell = block * videos + ranking.video
    anomalous, normal = (
        np.cumsum(
            np.bincount(cell[which], minlength=len(cuts) * videos).reshape(len(cuts), videos),
            axis=0,
        )
        for which in (ranking.anomalous, ~ranking.anomalous)
    )
    return anomalous.astype(np.float64), normal.astype(np.float64)


def _totals(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count anomalous and normal frames in every draw, (draws,) each."""
    videos = weights.shape[1]
    anomalous = np.bincount(ranking.video[ranking.anomalous], minlength=videos)
    normal = np.bincount(ranking.video[~ranking.anomalous], minlength=videos)
    return weights @ anomalous, weights @ normal


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)

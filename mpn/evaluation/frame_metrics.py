"""The figures of every protocol, from labels and score columns. No torch.

A series is video -> column -> float64 (T,), one number a frame, NaN at the start where there is no
score yet. Columns are higher = more anomalous, except `psnr_db`, which is turned here and nowhere
else.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpn import metrics
from mpn.errors import DataError, LabelError
from mpn.evaluation.result import SCORE, ByProtocol, FrameResult, Frames, ScoreMetrics
from mpn.io.atomic import write_atomically
from mpn.io.text import format_rows, json_text, percent, percent_range
from mpn.metrics.intervals import Interval
from mpn.scoring import protocols
from mpn.scoring.parts import COMPACTNESS, LABELS, PSNR
from mpn.scoring.protocols import TURNED

WIDTH = 80  # columns of a terminal
PAIR = "paper_pair"  # made here of psnr_db and compactness, under the paper's protocol only

_TITLES = {SCORE: "score (region score)", PAIR: "paper's pair", **LABELS}
_TITLES[COMPACTNESS.name] += " (the paper's: in dB)"
_HEADINGS = {"absolute": "absolute", "causal": "causal", "paper": "the paper's"}

_FUNCTIONS: dict[str, Callable[..., Any]] = {  # of `METRICS`, each of (labels, scores)
    "micro_auc": metrics.frame_auc,
    "macro_auc": metrics.macro_auc,
    "padded_macro_auc": metrics.padded_macro_auc,
    "equal_error_rate": metrics.equal_error_rate,
    "average_precision": metrics.average_precision,
}

Series = Mapping[str, Mapping[str, np.ndarray]]


def evaluate_scores(
    labels: Mapping[str, np.ndarray],
    series: Series,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> FrameResult:
    """Evaluate every score column under every protocol, on the same frames, beside the baselines.

    The first frames, which have no score, are left out before anything is smoothed, for all columns
    and baselines alike; videos without any score are left out and named.

    Args:
        labels: video -> bool (T,).
        series: video -> column -> (T,), before any smoothing, `score` among them.
        baselines: name -> video -> (T,), higher = more anomalous.
        seed: of the resampling of videos, for the 95 % intervals.
        draws: how often they are resampled.

    Raises:
        DataError: missing videos, columns or gaps.
        LabelError: lengths that don't fit.
    """
    data = aligned(labels, series, baselines)
    by_column = _by_column(data)
    scores = {
        column: {protocol: score_metrics(data.truth, values) for protocol, values in entry.items()}
        for column, entry in by_column.items()
    }
    main = by_column[SCORE]
    for protocol, values in main.items():
        intervals = {
            name: metrics.bootstrap_interval(data.truth, values, function, draws, seed)
            for name, function in _FUNCTIONS.items()
        }
        scores[SCORE][protocol] = replace(scores[SCORE][protocol], intervals=intervals)
    without_learning: dict[str, dict[str, ScoreMetrics]] = {}
    for baseline, cut in data.baselines.items():
        without_learning[baseline] = entry = {}
        for protocol in protocols.PROTOCOLS:
            values = protocols.apply(protocol, cut)
            difference = metrics.paired_bootstrap(
                data.truth, main[protocol], values, draws=draws, seed=seed
            )
            entry[protocol] = replace(
                score_metrics(data.truth, values), score_minus_this=difference
            )
    counts = count_frames(labels, data)
    return FrameResult(
        counts, scores, without_learning, protocols.DESCRIPTIONS, n_resamples=draws, seed=seed
    )


def _by_column(data: Aligned) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Return every column under every protocol, column -> protocol -> video -> (t,).

    The pair is among them.
    """
    columns = list(next(iter(data.series.values())))
    by_column: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for column in columns:
        sign = -1.0 if column in TURNED else 1.0
        plain = {name: sign * values[column] for name, values in data.series.items()}
        by_column[column] = {
            protocol: protocols.apply(protocol, plain) for protocol in protocols.PROTOCOLS
        }
    if set(protocols.PAIR_COLUMNS) <= set(columns):
        pairs = {
            name: protocols.paper_pair(x[PSNR.name], x[COMPACTNESS.name])
            for name, x in data.series.items()
        }
        by_column[PAIR] = {"paper": pairs}
    if COMPACTNESS.name in columns:  # the authors' term, in dB
        terms = {name: x[COMPACTNESS.name] for name, x in data.series.items()}
        by_column[COMPACTNESS.name]["paper"] = {
            name: protocols.paper_pair(x, x, a=0.0) for name, x in terms.items()
        }
    return by_column


class Aligned(NamedTuple):
    """Labels and scores on the same frames.

    They are those of each video from its first frame with all scores on.

    Attributes:
        truth: video -> bool (t,).
        series: video -> column -> float64 (t,).
        baselines: name -> video -> float64 (t,).
        start: video -> first frame.
        left_out: videos without any score.
    """

    truth: dict[str, np.ndarray]
    series: dict[str, dict[str, np.ndarray]]
    baselines: dict[str, dict[str, np.ndarray]]
    start: dict[str, int]
    left_out: list[str]


def aligned(
    labels: Mapping[str, np.ndarray],
    series: Series,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Aligned:
    """Cut labels, scores and baselines to the frames that have all scores.

    Arguments and errors as of `evaluate_scores`.
    """
    start, left_out = _starts(labels, series)
    cut = {
        name: {
            column: np.asarray(values, np.float64)[first:]
            for column, values in series[name].items()
        }
        for name, first in start.items()
    }
    without = {
        baseline: {
            name: _baseline(baseline, values, name, len(labels[name]))[first:]
            for name, first in start.items()
        }
        for baseline, values in (baselines or {}).items()
    }
    truth = {name: np.asarray(labels[name])[first:] for name, first in start.items()}
    return Aligned(truth, cut, without, start, left_out)


def _starts(labels: Mapping[str, np.ndarray], series: Series) -> tuple[dict[str, int], list[str]]:
    """Find the first frame with all scores of each video, and the videos that have none."""
    missing = [name for name in labels if name not in series]
    if missing or not labels:
        raise DataError(
            f"no scores for {len(missing)} of {len(labels)} labelled videos: {missing[:3]}"
        )
    columns = set(series[next(iter(labels))])
    start, left_out = {}, []
    for name, truth in labels.items():
        if set(series[name]) != columns or SCORE not in columns:
            raise DataError(
                f"video {name!r} has columns {sorted(series[name])}, expected "
                f"{sorted(columns | {SCORE})}"
            )
        first = 0
        for column, values in series[name].items():
            if np.shape(values) != np.shape(truth):
                raise LabelError(
                    f"video {name!r}: {np.size(truth)} labels but {np.size(values)} values of "
                    f"{column!r}"
                )
            scored = np.flatnonzero(~np.isnan(values))
            first = max(first, int(scored[0]) if len(scored) else len(truth))
        if first < len(truth):
            start[name] = first
        else:
            left_out.append(name)
    if not start:
        raise DataError(
            f"none of {len(labels)} videos has a scored frame; are they longer than a window?"
        )
    return start, left_out


def _baseline(
    baseline: str, values: Mapping[str, np.ndarray], name: str, length: int
) -> np.ndarray:
    if name not in values:
        raise DataError(f"baseline {baseline!r} has no scores for video {name!r}")
    if np.shape(values[name]) != (length,):
        raise LabelError(
            f"video {name!r}: {length} labels but {np.size(values[name])} values of baseline "
            f"{baseline!r}"
        )
    return np.asarray(values[name], np.float64)


def count_frames(labels: Mapping[str, np.ndarray], data: Aligned) -> Frames:
    """Count the frames and videos that are evaluated, and say which are left out."""
    truth = data.truth
    dropped = sum(data.start.values()) + sum(len(labels[name]) for name in data.left_out)
    starts = sorted(set(data.start.values()))
    words = (
        f"the first {' or '.join(map(str, starts))} frames of a video, which have no score, and "
        "their labels"
    )
    return Frames(
        frames=sum(len(y) for y in truth.values()),
        anomalous=int(sum(np.asarray(y).sum() for y in truth.values())),
        videos=len(truth),
        videos_with_both_classes=sum(bool(y.any() and not y.all()) for y in truth.values()),
        dropped_frames=dropped,
        dropped=words if dropped else "none",
        videos_without_scores=data.left_out,
        turned=list(TURNED),
    )


def score_metrics(
    truth: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> ScoreMetrics:
    """Compute the metrics of one score: video -> bool (T,) and video -> float (T,)."""
    values = {name: function(truth, scores) for name, function in _FUNCTIONS.items()}
    return ScoreMetrics(**values | {"macro_auc": values["macro_auc"].value})


def metric_rows(result: FrameResult) -> tuple[list[str], list[list[str]]]:
    """Write the result as text, in per cent with one decimal, "-" where undefined.

    Returns:
        A head and rows.
    """
    main = result.main
    of = f"{result.counts.videos_with_both_classes} of {result.counts.videos} videos"
    rows = [
        _row(_TITLES.get(name, name), entry, "micro_auc") for name, entry in result.scores.items()
    ]
    rows += [
        ["score: 95 % interval", *(_range(main[protocol].interval) for protocol in _HEADINGS)],
        _row(f"score: macro AUC ({of})", main, "macro_auc"),
        _row("score: padded macro AUC", main, "padded_macro_auc"),
        _row("score: equal error rate", main, "equal_error_rate"),
        _row("score: average precision", main, "average_precision"),
    ]
    rows += [
        _row(f"no learning: {name.replace('_', ' ')}", entry, "micro_auc")
        for name, entry in result.baselines.items()
    ]
    return ["frame AUC (micro), %", *_HEADINGS.values()], rows


def wrapped(text: str, indent: str = "  ") -> str:
    """Break a line so that it fits a terminal, what follows indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def format_summary(result: FrameResult) -> str:
    """Write the three metrics that matter first, for the terminal.

    These are the frame AUC of the score as a live camera has it, of the best of what learns
    nothing, and of the score by the paper's protocol.
    """
    main = result.main
    rows = [
        [
            "score, as a live camera has it",
            percent(main["causal"].micro_auc),
            _range(main["causal"].interval),
        ]
    ]
    best = result.best_baseline()
    if best is not None:
        without = result.baselines[best]["causal"]
        title = f"best without learning: {best.replace('_', ' ')}"
        rows.append([title, percent(without.micro_auc), ""])
    rows.append(
        [
            "score, by the paper's protocol (not live)",
            percent(main["paper"].micro_auc),
            _range(main["paper"].interval),
        ]
    )
    table = format_rows(["frame AUC (micro), %", "", "95 % over videos"], rows)
    return f"{table}\n{wrapped(_counted(result))}\n"


def _counted(result: FrameResult) -> str:
    frames = result.counts
    counts = f"{frames.frames} frames, {frames.anomalous} anomalous, {frames.videos} videos"
    left_out = f"left out: {frames.dropped_frames} frames ({frames.dropped})"
    return f"{counts}; {left_out}" if frames.dropped_frames else counts


def format_table(result: FrameResult) -> str:
    """Write the result as plain text, with what was evaluated and how."""
    lines = ["", wrapped(_counted(result))]
    for protocol, words in result.protocols.items():
        lines.append(
            wrapped(
                f"{_HEADINGS[protocol]}: normalisation {words['normalisation']}; smoothing "
                f"{words['smoothing']}; mean delay {words['delay_frames']:.1f} frames"
            )
        )
    return format_rows(*metric_rows(result)) + "\n".join(lines) + "\n"


def _row(title: str, entry: ByProtocol, metric: str) -> list[str]:
    return [
        title,
        *(percent(entry[name].value(metric)) if name in entry else "" for name in _HEADINGS),
    ]


def _range(interval: Interval | None) -> str:
    return "" if interval is None else percent_range(interval.low, interval.high)


def metrics_text(result: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> str:
    """Write the result with `extra` beside it as JSON; NaN is null.

    Args:
        result: the metrics.
        extra: label file, checkpoint, versions ...

    Raises:
        ValueError: extra would hide a figure.
    """
    both = sorted(set(result) & set(extra or {}))
    if both:
        raise ValueError(f"{both} are in the result already")
    return json_text({**result, **(extra or {})}, indent=1, ensure_ascii=False) + "\n"


def write_metrics(
    path: str | Path, result: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> None:
    """Write metrics.json, or another result: what `metrics_text` gives, whole or not at all.

    Raises:
        ValueError: extra would hide a figure.
        MpnError: the file cannot be written.
    """
    write_atomically(path, metrics_text(result, extra))

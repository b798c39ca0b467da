"""Labels and score columns in, the figures of every protocol out. No torch.

A series is video -> column -> float64 (T,), one number a frame, NaN at the start where there is no
score yet. Columns are higher = more anomalous, except `psnr_db`, which is turned here and nowhere
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpn import metrics
from mpn.errors import DataError, LabelError

# the column that gets intervals and stands first in every table
from mpn.evaluation.score_files import MAIN
from mpn.io.atomic import write_atomically
from mpn.io.text import format_rows, json_text, percent, percent_range
from mpn.scoring import protocols
from mpn.scoring.protocols import TURNED

PAIR = "paper_pair"  # made here of psnr_db and compactness, under the paper's protocol only

_TITLES = {
    MAIN: "score (region score)",
    "error": "largest patch, absolute error",
    "pseudo": "largest patch, pseudo-anomaly head",
    "psnr_db": "PSNR",
    "compactness": "compactness",
    PAIR: "paper's pair",
}
_HEADINGS = {"absolute": "absolute", "causal": "causal", "paper": "paper's protocol"}

FIGURES = {  # of a score, each of (labels, scores)
    "micro_auc": metrics.frame_auc,
    "macro_auc": metrics.macro_auc,
    "padded_macro_auc": metrics.padded_macro_auc,
    "equal_error_rate": metrics.equal_error_rate,
    "average_precision": metrics.average_precision,
}

Series = Mapping[str, Mapping[str, np.ndarray]]


def evaluate(
    labels: Mapping[str, np.ndarray],
    series: Series,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, Any]:
    """Every score column under every protocol, on the same frames, beside the baselines.

    labels: video -> bool (T,); series: video -> column -> (T,), `score` among them; baselines: name
    -> video -> (T,), higher = more anomalous. Figures are shares in [0, 1], NaN where undefined.
    Each entry of result["scores"][column][protocol] and result["baselines"][name][protocol] has
    micro_auc, macro_auc, padded_macro_auc, equal_error_rate and average_precision; `score` also
    intervals, of each of these, and interval, of micro_auc, and a baseline score_minus_this, all 95
    % over videos (`draws` resamplings from `seed`).

    The first frames, which have no score, are left out before anything is smoothed, for all columns
    and baselines alike; videos without any score are left out and named.

    Raises DataError for missing videos, columns or gaps, LabelError for lengths that don't fit.
    """
    data = aligned(labels, series, baselines)
    truth, columns = data.truth, list(next(iter(data.series.values())))
    shown = {}
    for column in columns:
        sign = -1.0 if column in TURNED else 1.0
        plain = {name: sign * values[column] for name, values in data.series.items()}
        shown[column] = {
            protocol: protocols.apply(protocol, plain) for protocol in protocols.PROTOCOLS
        }
    if set(protocols.PAIR_COLUMNS) <= set(columns):
        pairs = {
            name: protocols.paper_pair(x["psnr_db"], x["compactness"])
            for name, x in data.series.items()
        }
        shown[PAIR] = {"paper": pairs}
    result = facts_of(labels, data) | {"bootstrap": {"draws": draws, "seed": seed}}
    result["scores"] = {
        column: {protocol: figures(truth, scores) for protocol, scores in by_protocol.items()}
        for column, by_protocol in shown.items()
    }
    for protocol, scores in shown[MAIN].items():
        own = {
            name: metrics.bootstrap_interval(truth, scores, metric, draws, seed)._asdict()
            for name, metric in FIGURES.items()
        }
        result["scores"][MAIN][protocol] |= {"interval": own["micro_auc"], "intervals": own}
    result["baselines"] = {}
    for baseline, cut in data.baselines.items():
        result["baselines"][baseline] = entry = {}
        for protocol in protocols.PROTOCOLS:
            scores = protocols.apply(protocol, cut)
            difference = metrics.paired_bootstrap(
                truth, shown[MAIN][protocol], scores, draws=draws, seed=seed
            )
            entry[protocol] = figures(truth, scores) | {"score_minus_this": difference._asdict()}
    return result


class Aligned(NamedTuple):
    """Labels and scores on the same frames: those of each video from its first frame with all
    scores on.

    truth: video -> bool (t,). series: video -> column -> float64 (t,). baselines: name -> video ->
    float64 (t,). start: video -> first frame. left_out: videos without any score.
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
    """Labels, scores and baselines cut to the frames that have all scores; arguments and errors as
    of `evaluate`."""
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
    """First frame with all scores of each video, and the videos that have none."""
    missing = [name for name in labels if name not in series]
    if missing or not labels:
        raise DataError(
            f"no scores for {len(missing)} of {len(labels)} labelled videos: {missing[:3]}"
        )
    columns = set(series[next(iter(labels))])
    start, left_out = {}, []
    for name, truth in labels.items():
        if set(series[name]) != columns or MAIN not in columns:
            raise DataError(
                f"video {name!r} has columns {sorted(series[name])}, expected "
                f"{sorted(columns | {MAIN})}"
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


def facts_of(labels: Mapping[str, np.ndarray], data: Aligned) -> dict[str, Any]:
    """What was evaluated and how, in numbers and words: how many frames and videos, and which were
    left out."""
    truth = data.truth
    dropped = sum(data.start.values()) + sum(len(labels[name]) for name in data.left_out)
    each = sorted(set(data.start.values()))
    words = (
        f"the first {' or '.join(map(str, each))} frames of a video, which have no score, and "
        "their labels"
    )
    return {
        "frames": sum(len(y) for y in truth.values()),
        "anomalous": int(sum(np.asarray(y).sum() for y in truth.values())),
        "videos": len(truth),
        "videos_with_both_classes": sum(bool(y.any() and not y.all()) for y in truth.values()),
        "dropped_frames": dropped,
        "dropped": words if dropped else "none",
        "videos_without_scores": data.left_out,
        "main": MAIN,
        "turned": dict.fromkeys(TURNED, "minus this is evaluated (higher = more normal)"),
        "protocols": protocols.DESCRIPTIONS,
        "interval": "95 %, bootstrap over videos",
    }


def figures(truth: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`FIGURES` of one score: shares in [0, 1], NaN where undefined."""
    found = {name: metric(truth, scores) for name, metric in FIGURES.items()}
    return found | {"macro_auc": found["macro_auc"].value}


def figure_rows(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The result of `evaluate` as text, in per cent with one decimal, "-" where undefined: a head
    and rows."""
    main = result["scores"][MAIN]
    of = f"{result['videos_with_both_classes']} of {result['videos']} videos"
    rows = [
        _row(_TITLES.get(name, name), entry, "micro_auc")
        for name, entry in result["scores"].items()
    ]
    rows += [
        ["score: 95 % interval", *(_range(main[protocol]["interval"]) for protocol in _HEADINGS)],
        _row(f"score: macro AUC ({of})", main, "macro_auc"),
        _row("score: padded macro AUC", main, "padded_macro_auc"),
        _row("score: equal error rate", main, "equal_error_rate"),
        _row("score: average precision", main, "average_precision"),
    ]
    rows += [
        _row(f"no learning: {name.replace('_', ' ')}", entry, "micro_auc")
        for name, entry in result["baselines"].items()
    ]
    return ["frame AUC (micro), %", *_HEADINGS.values()], rows


def format_table(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` as plain text, with what was judged and how."""
    counts = (
        f"{result['frames']} frames, {result['anomalous']} anomalous, {result['videos']} videos"
    )
    left_out = f"left out: {result['dropped_frames']} frames ({result['dropped']})"
    lines = ["", f"{counts}; {left_out}" if result["dropped_frames"] else counts]
    for protocol, words in result["protocols"].items():
        lines.append(
            f"{_HEADINGS[protocol]}: normalisation {words['normalisation']}; smoothing "
            f"{words['smoothing']}; mean delay {words['delay_frames']:.1f} frames"
        )
    return format_rows(*figure_rows(result)) + "\n".join(lines) + "\n"


def _row(title: str, entry: Mapping[str, Mapping[str, float]], figure: str) -> list[str]:
    return [title, *(percent(entry[name][figure]) if name in entry else "" for name in _HEADINGS)]


def _range(interval: Mapping[str, float]) -> str:
    return percent_range(interval["low"], interval["high"])


def metrics_text(result: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> str:
    """The result with `extra` (label file, checkpoint, versions ...) beside it as JSON; NaN is
    null.

    Raises ValueError where extra would hide a figure.
    """
    both = sorted(set(result) & set(extra or {}))
    if both:
        raise ValueError(f"{both} are in the result already")
    return json_text({**result, **(extra or {})}, indent=1, ensure_ascii=False) + "\n"


def write_metrics(
    path: str | Path, result: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> None:
    """metrics.json, or another result: what `metrics_text` gives, written whole or not at all.

    Raises ValueError where extra would hide a figure, MpnError where the file cannot be written.
    """
    write_atomically(path, metrics_text(result, extra))

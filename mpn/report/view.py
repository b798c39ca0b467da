"""What the page says in words and rows, made of a report: highlights, the list of videos, the
protocol matrix."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from mpn import metrics
from mpn.io.text import duration, is_known, percent, percent_range, plural
from mpn.report.model import Highlight, Inside, Picture, Report, Trace

SPARK = (160, 28)  # width and height of the small curves, in units of their own
SPARK_BINS = 80
FIGURES = {
    "micro_auc": "Micro AUC",
    "macro_auc": "Macro AUC",
    "padded_macro_auc": "Padded macro AUC",
    "equal_error_rate": "Equal error rate",
    "average_precision": "Average precision",
}
SCORES = {"region": "region score", "pair": "paper's pair", "psnr": "PSNR"}
SMOOTHINGS = {"off": "no smoothing", "causal": "causal smoothing", "paper": "the paper's smoothing"}
NORMALISATIONS = {"absolute": "absolute", "min-max": "min-max per video"}


class VideoRow(NamedTuple):
    """A video in the list: `highest` and `auc` as text, `spark` as an SVG picture."""

    name: str
    frames: int
    length: str
    events: int
    highest: str
    auc: str
    spark: Markup


class MatrixRow(NamedTuple):
    """A protocol: its name, whether a live camera could have it and in which words, why, and its
    cells as (figure, note)."""

    name: str
    live: bool
    said: str
    why: str
    cells: list[tuple[str, str]]


class MatrixTable(NamedTuple):
    """One figure under every protocol; `gaps`: what the paper's protocol adds to the causal one, as
    (name, words)."""

    key: str
    title: str
    columns: list[str]
    baselines: int
    rows: list[MatrixRow]
    gaps: list[tuple[str, str]]


def length_of(trace: Trace) -> float | None:
    """Seconds that a video lasts, None where its frame rate is unknown."""
    if trace.times is not None and len(trace.times) > 1:
        times = np.asarray(trace.times, np.float64)
        return float((times[-1] - times[0]) * len(times) / (len(times) - 1))
    return len(trace.scores) / float(trace.fps) if trace.fps else None


def summary(report: Report) -> str:
    """What the report is about, in one line."""
    if not report.traces:
        return ""
    frames = sum(len(trace.scores) for trace in report.traces)
    parts = [plural(len(report.traces), "video"), plural(frames, "frame")]
    lengths = [length_of(trace) for trace in report.traces]
    if None not in lengths:
        parts.append(duration(sum(lengths)))
    return " \N{MIDDLE DOT} ".join(parts)


def highlights(report: Report) -> list[Highlight]:
    """The figures on top where the caller has none of its own."""
    if not report.traces:
        return []
    events = [(event, trace) for trace in report.traces for event in trace.events]
    among = sum(bool(trace.events) for trace in report.traces)
    videos = plural(len(report.traces), "video")
    where = "" if len(report.traces) == 1 else f"in {among} of {videos}"
    thresholds = {trace.threshold for trace in report.traces if trace.threshold is not None}
    rows = [Highlight("Events", f"{len(events):,}", where)] if thresholds or events else []
    peaks = [(highest(trace), trace.name) for trace in report.traces]
    peaks = [(value, name) for value, name in peaks if math.isfinite(value)]
    if peaks:
        value, name = max(peaks, key=lambda peak: peak[0])
        rows.append(
            Highlight(
                "Highest score", f"{value:.3g}", f"in {name}" if len(report.traces) > 1 else ""
            )
        )
    if len(thresholds) == 1:
        rows.append(
            Highlight("Threshold", f"{thresholds.pop():.3g}", "an event is a stretch above it")
        )
    return rows


def highest(trace: Trace) -> float:
    """A video's highest score, NaN where it has none."""
    scores = np.asarray(trace.scores, np.float64)
    known = scores[np.isfinite(scores)]
    return float(known.max()) if known.size else math.nan


def sections(report: Report) -> list[tuple[str, str]]:
    """Anchors and names of the sections that the page has, in order."""
    there = {
        "timeline": ("Timeline", bool(report.traces)),
        "events": ("Events", any(trace.events or trace.labels for trace in report.traces)),
        "videos": ("Videos", len(report.traces) > 1),
        "figures": ("Figures", bool(report.tables or report.roc or report.precision_recall)),
        "protocols": ("Protocols", bool(report.matrix and report.matrix.get("cells"))),
        "reliability": ("Reliability", bool(report.reliability)),
        "insides": ("Inside", bool(report.activations)),
        "details": ("Details", bool(report.facts or report.further)),
    }
    return [(anchor, name) for anchor, (name, present) in there.items() if present]


def videos(report: Report) -> list[VideoRow]:
    """The list of videos, all small curves on one scale."""
    known = [
        scores[np.isfinite(scores)]
        for scores in (np.asarray(t.scores, np.float64) for t in report.traces)
    ]
    together = np.concatenate([*known, np.empty(0)])
    low, high = (float(together.min()), float(together.max())) if together.size else (0.0, 1.0)
    return [
        VideoRow(
            trace.name,
            len(trace.scores),
            duration(length_of(trace)),
            len(trace.events),
            _short(highest(trace)),
            percent(_auc(trace)),
            spark(trace, low, high),
        )
        for trace in report.traces
    ]


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"


def _auc(trace: Trace) -> float:
    """A video's own AUC, NaN where it has no labels or frames of one class only."""
    if trace.labels is None:
        return math.nan
    labels = np.zeros(len(trace.scores), bool)
    for start, end in trace.labels:
        labels[start:end] = True
    scores = np.asarray(trace.scores, np.float64)
    known = np.isfinite(scores)
    return metrics.frame_auc(labels[known], scores[known]) if known.any() else math.nan


def spark(trace: Trace, low: float, high: float) -> Markup:
    """A small curve of the highest scores of equal stretches, as an SVG picture that says nothing
    to screen readers."""
    width, height = SPARK
    scores = np.asarray(trace.scores, np.float64)
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    bins = min(SPARK_BINS, len(scores))
    if not bins:
        return Markup("")
    edges = np.linspace(0, len(scores), bins, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(scores, edges)
    scale = (height - 4) / (high - low) if high > low else 0.0

    def y(value: float) -> float:
        return round(height - 2 - (value - low) * scale, 1)

    path, pen = [], "M"
    for k, peak in enumerate(peaks):
        if math.isfinite(peak):
            path.append(f"{pen}{(k + 0.5) * width / bins:.1f} {y(peak)}")
        pen = "L" if math.isfinite(peak) else "M"
    shade = "".join(
        f'<rect class="spark-label" x="{start * width / len(scores):.1f}" y="0" height="{height}" '
        f'width="{max(1.0, (end - start) * width / len(scores)):.1f}"/>'
        for start, end in trace.labels or []
    )
    line = ""
    if trace.threshold is not None and low <= trace.threshold <= high:
        line = f'<path class="spark-line" d="M0 {y(trace.threshold)}H{width}"/>'
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'aria-hidden="true" focusable="false">{shade}{line}<path class="spark-score" '
        f'd="{"".join(path)}"/></svg>'
    )


def galleries(inside: Inside) -> list[tuple[str, list[Picture]]]:
    """Pictures in groups with a heading each: those of the single prototypes apart, each beside its
    other one."""
    single = [picture for picture in inside.pictures if re.match(r"Prototype \d", picture.title)]
    rest = [picture for picture in inside.pictures if picture not in single]
    groups = [("", rest), ("Prototype by prototype", single)]
    return [(name, pictures) for name, pictures in groups if pictures]


def matrix_tables(matrix: Mapping[str, Any] | None) -> list[MatrixTable]:
    """The protocol matrix as one table a figure: protocols are rows, scores and then baselines
    columns."""
    cells = (matrix or {}).get("cells") or []
    baselines = (matrix or {}).get("baselines") or []
    if not cells:
        return []
    protocols = list(dict.fromkeys((cell["normalisation"], cell["smoothing"]) for cell in cells))
    scores = list(dict.fromkeys(cell["score"] for cell in cells))
    names = list(dict.fromkeys(cell["baseline"] for cell in baselines))
    by = {(cell["score"], cell["normalisation"], cell["smoothing"]): cell for cell in cells}
    by |= {
        ("baseline", cell["baseline"], cell["normalisation"], cell["smoothing"]): cell
        for cell in baselines
    }
    tables = []
    for key, title in FIGURES.items():
        rows = [_matrix_row(by, protocol, scores, names, key) for protocol in protocols]
        if any(figure != "-" for row in rows for figure, _ in row.cells):
            columns = [SCORES.get(score, score) for score in scores] + [
                name.replace("_", " ") for name in names
            ]
            gaps = _gaps(matrix) if key == "micro_auc" else []
            tables.append(MatrixTable(key, title, columns, len(names), rows, gaps))
    return tables


def _gaps(matrix: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for gap in matrix.get("gap") or []:
        value, low, high = (gap.get(name) for name in ("value", "low", "high"))
        if not is_known(value):
            continue
        name = (
            SCORES.get(gap["score"], gap["score"])
            if "score" in gap
            else gap["baseline"].replace("_", " ")
        )
        known = is_known(low) and is_known(high)
        between = f" ({percent_range(low, high, signed=True)})" if known else ""
        found.append((name, percent(value, signed=True) + between))
    return found


def _live(cell: Mapping[str, Any]) -> str:
    """Whether a live camera could have had it: "no", "yes", or how late."""
    if not cell.get("live"):
        return "no"
    late = cell.get("lookahead_frames") or cell.get("delay_frames") or 0
    return f"yes, {late:.2g} frames late" if is_known(late) and late else "yes"


def _matrix_row(
    by: Mapping[tuple, Mapping[str, Any]],
    protocol: tuple[str, str],
    scores: Sequence[str],
    names: Sequence[str],
    key: str,
) -> MatrixRow:
    found = [by.get((score, *protocol)) for score in scores] + [
        by.get(("baseline", name, *protocol)) for name in names
    ]
    first = next(cell for cell in found if cell is not None)
    name = (
        f"{NORMALISATIONS.get(protocol[0], protocol[0])}, "
        f"{SMOOTHINGS.get(protocol[1], protocol[1])}"
    )
    cells = [_matrix_cell(cell, first, key) for cell in found]
    return MatrixRow(name, bool(first.get("live")), _live(first), str(first.get("why", "")), cells)


def _matrix_cell(
    cell: Mapping[str, Any] | None, first: Mapping[str, Any], key: str
) -> tuple[str, str]:
    """A figure and the note below it: its interval, or that no live camera has it where others in
    the row are live."""
    if cell is None:
        return "-", ""
    if "baseline" in cell:
        return percent(cell.get(key)), "" if bool(cell.get("live")) == bool(
            first.get("live")
        ) else "not live"
    return percent(cell.get(key)), _range(cell.get("interval")) if key == "micro_auc" else ""


def _range(interval: Mapping[str, Any] | None) -> str:
    low, high = (interval or {}).get("low"), (interval or {}).get("high")
    return percent_range(low, high) if is_known(low) and is_known(high) else ""

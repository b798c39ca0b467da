"""What the page says in words and rows, made of a report.

Highlights, the list of videos, the protocol matrix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from mpn import metrics
from mpn.evaluation.result import MatrixCell, ProtocolMatrix
from mpn.io.text import duration, is_known, percent, percent_range, plural
from mpn.metrics.intervals import Interval
from mpn.report.model import Highlight, Inside, Picture, Report, Trace
from mpn.scoring.protocols import Cell

SPARK = (160, 28)  # width and height of the small curves, in units of their own
SPARK_BINS = 80
METRICS = {
    "micro_auc": "Micro AUC",
    "macro_auc": "Macro AUC",
    "padded_macro_auc": "Padded macro AUC",
    "equal_error_rate": "Equal error rate",
    "average_precision": "Average precision",
}
SCORES = {"region": "region score", "pair": "paper's pair", "psnr": "PSNR"}
SMOOTHINGS = {
    "off": "no smoothing",
    "causal": "causal smoothing",
    "gaussian15": "the paper's smoothing",
}
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
    """A protocol in a table of the matrix.

    It has its name, whether a live camera could have it and in which words, why, and its cells as
    (figure, note).
    """

    name: str
    live: bool
    said: str
    why: str
    cells: list[tuple[str, str]]


class MatrixTable(NamedTuple):
    """One figure under every protocol.

    `gaps`: what the paper's protocol adds to the causal one, as (name, words).
    """

    key: str
    title: str
    columns: list[str]
    baselines: int
    rows: list[MatrixRow]
    gaps: list[tuple[str, str]]


def length_of(trace: Trace) -> float | None:
    """Return the seconds that a video lasts, None where its frame rate is unknown."""
    if trace.times is not None and len(trace.times) > 1:
        times = np.asarray(trace.times, np.float64)
        return float((times[-1] - times[0]) * len(times) / (len(times) - 1))
    return len(trace.scores) / float(trace.fps) if trace.fps else None


def summary(report: Report) -> str:
    """Say what the report is about, in one line."""
    if not report.traces:
        return ""
    frames = sum(len(trace.scores) for trace in report.traces)
    parts = [plural(len(report.traces), "video"), plural(frames, "frame")]
    lengths = [length for trace in report.traces if (length := length_of(trace)) is not None]
    if len(lengths) == len(report.traces):
        parts.append(duration(sum(lengths)))
    return " \N{MIDDLE DOT} ".join(parts)


def highlights(report: Report) -> list[Highlight]:
    """Return the figures on top where the caller has none of its own."""
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
    """Return a video's highest score, NaN where it has none."""
    scores = np.asarray(trace.scores, np.float64)
    finite = scores[np.isfinite(scores)]
    return float(finite.max()) if finite.size else math.nan


def sections(report: Report) -> list[tuple[str, str]]:
    """Return anchors and names of the sections that the page has, in order."""
    by_anchor = {
        "timeline": ("Timeline", bool(report.traces)),
        "events": (
            "Moments" if report.by_itself else "Events",
            any(trace.events or trace.labels for trace in report.traces),
        ),
        "videos": ("Videos", len(report.traces) > 1),
        "figures": ("Figures", bool(report.tables or report.roc or report.precision_recall)),
        "protocols": ("Protocols", bool(report.matrix and report.matrix.cells)),
        "reliability": ("Reliability", bool(report.reliability)),
        "insides": ("Inside", bool(report.activations)),
        "details": ("Details", bool(report.facts or report.further)),
    }
    return [(anchor, name) for anchor, (name, present) in by_anchor.items() if present]


def videos(report: Report) -> list[VideoRow]:
    """Return the list of videos, all small curves on one scale."""
    finite = [
        scores[np.isfinite(scores)]
        for scores in (np.asarray(t.scores, np.float64) for t in report.traces)
    ]
    together = np.concatenate([*finite, np.empty(0)])
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
    """Compute a video's own AUC, NaN where it has no labels or frames of one class only."""
    if trace.labels is None:
        return math.nan
    labels = np.zeros(len(trace.scores), bool)
    for start, end in trace.labels:
        labels[start:end] = True
    scores = np.asarray(trace.scores, np.float64)
    scored = np.isfinite(scores)
    return metrics.frame_auc(labels[scored], scores[scored]) if scored.any() else math.nan


def spark(trace: Trace, low: float, high: float) -> Markup:
    """Draw a small curve of the highest scores of equal stretches, as an SVG picture.

    It says nothing to screen readers.
    """
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
    """Put pictures in groups with a heading each.

    Those of the single prototypes are apart, each beside its other one.
    """
    single = [picture for picture in inside.pictures if re.match(r"Prototype \d", picture.title)]
    rest = [picture for picture in inside.pictures if picture not in single]
    groups = [("", rest), ("Prototype by prototype", single)]
    return [(name, pictures) for name, pictures in groups if pictures]


def matrix_tables(matrix: ProtocolMatrix | None) -> list[MatrixTable]:
    """Lay the protocol matrix out as one table a metric.

    Protocols are rows, scores and then baselines columns; metrics that are undefined everywhere are
    left out.
    """
    if matrix is None or not matrix.cells:
        return []
    scores = list(dict.fromkeys(cell.name for cell in matrix.cells))
    names = list(dict.fromkeys(baseline.name for baseline in matrix.baselines))
    by_name = {name: matrix.of(name) for name in (*scores, *names)}
    columns = [SCORES.get(score, score) for score in scores]
    columns += [name.replace("_", " ") for name in names]
    tables = []
    for key, title in METRICS.items():
        rows = [
            _matrix_row([cells.get(protocol) for cells in by_name.values()], first, key)
            for protocol, first in by_name[scores[0]].items()
        ]
        if any(value != "-" for row in rows for value, _ in row.cells):
            gaps = _gaps(matrix) if key == "micro_auc" else []
            tables.append(MatrixTable(key, title, columns, len(names), rows, gaps))
    return tables


def _gaps(matrix: ProtocolMatrix) -> list[tuple[str, str]]:
    rows = []
    for gap in matrix.gaps:
        value, low, high = gap.difference[:3]
        if not is_known(value):
            continue
        name = gap.name.replace("_", " ") if gap.is_baseline else SCORES.get(gap.name, gap.name)
        has_interval = is_known(low) and is_known(high)
        between = f" ({percent_range(low, high, signed=True)})" if has_interval else ""
        rows.append((name, percent(value, signed=True) + between))
    return rows


def _live(cell: Cell) -> str:
    """Say whether a live camera could have had it: "no", "yes", or how late."""
    if not cell.live:
        return "no"
    late = cell.lookahead_frames or cell.delay_frames
    return f"yes, {late:.2g} frames late" if late else "yes"


def _matrix_row(cells: Sequence[MatrixCell | None], first: MatrixCell, key: str) -> MatrixRow:
    protocol = first.cell
    name = (
        f"{NORMALISATIONS.get(protocol.normalisation, protocol.normalisation)}, "
        f"{SMOOTHINGS.get(protocol.smoothing, protocol.smoothing)}"
    )
    texts = [_matrix_cell(cell, protocol.live, key) for cell in cells]
    return MatrixRow(name, protocol.live, _live(protocol), protocol.why, texts)


def _matrix_cell(cell: MatrixCell | None, live: bool, key: str) -> tuple[str, str]:
    """Return a metric and the note below it.

    The note is its interval, or that no live camera has it where others in the row are live.
    """
    if cell is None:
        return "-", ""
    value = percent(cell.metrics.value(key))
    if cell.is_baseline:
        return value, "" if cell.cell.live == live else "not live"
    return value, _range(cell.interval) if key == "micro_auc" else ""


def _range(interval: Interval) -> str:
    has_interval = is_known(interval.low) and is_known(interval.high)
    return percent_range(interval.low, interval.high) if has_interval else ""

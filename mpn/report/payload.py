"""What the page's scripts read: numbers of a report as JSON, long series as base64 float32.

No torch.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import auc

from mpn.errors import DataError
from mpn.io.text import finite
from mpn.report.model import Film, NamedCurve, Report, Trace

if TYPE_CHECKING:
    from mpn.metrics import Curve

REGION_COLUMNS = 7  # row, track, score, top, left, height, width


def packed(values: Any) -> str:
    """Encode numbers as base64 of little-endian float32.

    NaN is kept; what is infinite becomes NaN, a gap in a curve.
    """
    array = np.asarray(values, np.float64)
    return base64.b64encode(
        np.where(np.isfinite(array), array, np.nan).astype("<f4").tobytes()
    ).decode("ascii")


def checked(trace: Trace) -> Trace:
    """Check the trace and return it.

    Raises:
        DataError: its parts do not fit one another.
    """
    count = len(trace.scores)
    if trace.times is not None and np.shape(trace.times) != (count,):
        raise DataError(
            f"report, video {trace.name!r}: {count} scores but {np.size(trace.times)} times"
        )
    spans = [("label", start, end) for start, end in trace.labels or []]
    spans += [("event", event.start, event.end) for event in trace.events]
    for kind, start, end in spans:
        if not 0 <= start < end <= count:
            raise DataError(
                f"report, video {trace.name!r}: {kind} [{start}, {end}) is not within "
                f"its {count} rows"
            )
    for start, step, runs in trace.film.rows if trace.film else []:
        if min(start, step - 1, runs - 1) < 0 or start + step * (runs - 1) >= count:
            raise DataError(
                f"report, video {trace.name!r}: its film shows rows "
                f"{(start, step, runs)} (start, step, count), which are not within its "
                f"{count} rows"
            )
    return trace


def seconds_of(trace: Trace, row: int) -> float | None:
    """Return the time of a row in seconds, None where unknown.

    `row` may be the one after the last.
    """
    if trace.times is not None and len(trace.times):
        last = len(trace.times) - 1
        after = (row - last) / trace.fps if row > last and trace.fps else 0.0
        return float(trace.times[min(row, last)]) + after
    return (trace.first / trace.step + row) / trace.fps if trace.fps else None


def trace_data(trace: Trace, film: dict[str, Any] | None) -> dict[str, Any]:
    """Return one video for the scripts.

    Args:
        trace: the video.
        film: as `film_data` gives it.
    """
    events = [
        {
            "start": event.start,
            "end": event.end,
            "peak": event.peak,
            "score": finite(event.score),
            "oneIn": finite(event.one_in),
            "beyond": bool(event.beyond),
            "box": [int(side) for side in event.box] if event.box else None,
            "why": event.why,
            "strangeness": finite(event.strangeness),
            "number": event.number,
            "frame": event.frame,
            "from": finite(
                seconds_of(trace, event.start)
                if event.start_seconds is None
                else event.start_seconds
            ),
            "to": finite(
                seconds_of(trace, event.end) if event.end_seconds is None else event.end_seconds
            ),
        }
        for event in trace.events
    ]
    regions = sorted((row, track, score, *box) for row, track, score, box in trace.regions)
    return {
        "name": trace.name,
        "count": len(trace.scores),
        "scores": packed(trace.scores),
        "fps": finite(float(trace.fps)) if trace.fps else None,
        "first": trace.first,
        "step": trace.step,
        "times": None if trace.times is None else _times(trace.times),
        "threshold": finite(trace.threshold),
        "labels": None
        if trace.labels is None
        else [[int(start), int(end)] for start, end in trace.labels],
        "events": events,
        "regions": packed(np.array(regions, np.float64).reshape(-1, REGION_COLUMNS))
        if regions
        else None,
        "size": [int(side) for side in trace.size] if trace.size else None,
        "film": film,
    }


def _times(times: np.ndarray) -> dict[str, Any]:
    """Return seconds in milliseconds from the first.

    float32 alone would round the times of a day to hundredths.
    """
    array = np.asarray(times, np.float64)
    if len(array) and not (np.isfinite(array).all() and (np.diff(array) >= 0).all()):
        raise DataError("report: times of a video must be finite and rise")
    steps = np.diff(array, prepend=array[:1]) * 1000
    return {"first": float(array[0]) if len(array) else 0.0, "steps": packed(steps)}


def film_data(film: Film, *, element: str | None = None, href: str | None = None) -> dict[str, Any]:
    """Say where the page finds a film, in an element of its own or beside it, and what it shows."""
    return {
        "element": element,
        "href": href,
        "fps": float(film.fps),
        "size": [int(side) for side in film.size],
        "rows": [[int(x) for x in run] for run in film.rows],
    }


def curve_data(name: str, curve: Curve, area: float | None = None) -> dict[str, Any]:
    """Return a ROC or precision-recall curve with x rising, and the area to state."""
    x, y, thresholds = (
        np.asarray(part, np.float64) for part in (curve.x, curve.y, curve.thresholds)
    )
    # A curve may have one point more than thresholds: its end, where nothing is an alarm.
    thresholds = np.concatenate([thresholds, np.full(max(0, len(x) - len(thresholds)), np.nan)])[
        : len(x)
    ]
    if len(x) > 1 and x[0] > x[-1]:
        x, y, thresholds = x[::-1], y[::-1], thresholds[::-1]
    if area is None:
        area = auc(x, y) if len(x) > 1 else math.nan
    return {
        "name": name,
        "area": finite(area),
        "x": packed(x),
        "y": packed(y),
        "thresholds": packed(thresholds),
    }


def _named_curve(named: NamedCurve) -> dict[str, Any]:
    return curve_data(named[0], named[1], named[2] if len(named) == 3 else None)


def promises_data(report: Report) -> list[dict[str, Any]]:
    """Return the reliability plot: false alarms an hour, promised and observed."""
    return [
        {
            "rate": finite(promise.rate),
            "threshold": finite(promise.threshold),
            "extrapolated": bool(promise.extrapolated),
            "observed": finite(promise.observed),
            "low": finite(promise.observed_interval[0]),
            "high": finite(promise.observed_interval[1]),
            "episodes": int(promise.episodes),
            "hours": finite(promise.hours),
        }
        for promise in report.reliability or []
    ]


def start_of(report: Report) -> dict[str, int]:
    """Say where the page begins.

    At the peak of the strangest or strongest event, else at the highest score of the first video.
    """
    peaks = [
        (
            event.score - (trace.threshold or 0.0)
            if event.strangeness is None
            else event.strangeness,
            -index,
            event.peak,
        )
        for index, trace in enumerate(report.traces)
        for event in trace.events
        if math.isfinite(event.score)
    ]
    if peaks:
        _, index, row = max(peaks)
        return {"trace": -index, "row": row}
    scores = np.asarray(report.traces[0].scores, np.float64) if report.traces else np.empty(0)
    has_score = np.isfinite(scores)
    return {
        "trace": 0,
        "row": int(np.argmax(np.where(has_score, scores, -np.inf))) if has_score.any() else 0,
    }


def page_data(report: Report, films: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Return all that the scripts read.

    Args:
        report: what is on the page.
        films: one of each trace, as `film_data` gives them, or None.
    """
    curves = {"roc": report.roc, "precisionRecall": report.precision_recall}
    return {
        "kind": report.kind,
        "byItself": report.by_itself,
        "teach": report.teaching._asdict() if report.teaching else None,
        "start": start_of(report),
        "traces": [trace_data(checked(trace), film) for trace, film in zip(report.traces, films)],
        **{name: [_named_curve(named) for named in group] for name, group in curves.items()},
        "reliability": promises_data(report),
        "insides": [
            {"trace": _index(report, inside.video), "row": int(inside.row)}
            for inside in report.activations
        ],
    }


def _index(report: Report, name: str) -> int | None:
    """Say which trace a video's name means."""
    return next((k for k, trace in enumerate(report.traces) if trace.name == name), None)

"""The report.html of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpn.evaluation.alarms import alarm_rows
from mpn.evaluation.frame_metrics import metric_rows
from mpn.evaluation.localisation import place_rows
from mpn.evaluation.result import SCORE, EvaluationResult, FrameResult
from mpn.evaluation.run import Evaluation
from mpn.evaluation.run_detector import ScoredVideo
from mpn.evaluation.test_set import LabelledSet, causal
from mpn.io.atomic import scratch_folder
from mpn.io.runs import intervals
from mpn.io.text import percent, percent_range
from mpn.metrics import average_precision, frame_auc, precision_recall_points, roc_points
from mpn.report.model import Highlight, NamedCurve, Report, Table, Trace
from mpn.report.page import write_report
from mpn.report.traces import add_films, event_rows, look_into, strongest
from mpn.scoring.calibration import Threshold
from mpn.scoring.detector import Detector
from mpn.scoring.heat_file import heat_levels, heat_unit
from mpn.scoring.parts import ERROR, PARTS, PSNR
from mpn.scoring.reliability import Promise, observed_rate

REPORT = "report.html"
# Of the prediction error PSNR is shown, which other work has too.
CURVES = {SCORE: "score"} | {
    column.name: column.title for column in (PSNR, *PARTS) if column is not ERROR
}


def report_evaluation(
    out: Path,
    evaluation: Evaluation,
    detector: Detector | None = None,
    threshold: Threshold | None = None,
    inside: Mapping[str, Sequence[int]] | None = None,
) -> Path:
    """Write OUT/report.html: every video with its scores, labels and events; metrics; activations.

    Args:
        out: folder of the results.
        evaluation: what is shown.
        detector: that scored, None for another's scores.
        threshold: for the events.
        inside: video -> frames whose activations are shown beside those that are chosen here.

    Raises:
        MpnError: it cannot be written.
    """
    test, series, result = evaluation.test, evaluation.series, evaluation.result
    scored = evaluation.scored
    smoothed = {name: video.smoothed for name, video in scored.items()} or causal(series, SCORE)
    traces = [
        _trace(name, test, smoothed[name], scored.get(name), detector, threshold)
        for name in test.sources
    ]
    report = Report("evaluate", f"Evaluation of {test.tree.root.name or test.tree.root}")
    report.traces, report.notes, report.matrix = traces, list(evaluation.notes), result.matrix
    report.highlights = _highlights(result)
    report.facts = fact_rows(evaluation.facts, result.frame)
    report.tables = _tables(result)
    report.roc, report.precision_recall = _curves(test, series, result)
    report.reliability = _reliability(result)
    files = ["metrics.json", "matrix.json", "labels.csv"]
    report.further = [(name, name) for name in files if (out / name).is_file()]
    with scratch_folder(out, ".report-") as folder:
        add_films(traces, test.sources, _heat(scored, detector, threshold), folder)
        if detector is not None:
            report.activations = look_into(detector, traces, test.sources, inside)
        return write_report(out / REPORT, report)


def _trace(
    name: str,
    test: LabelledSet,
    scores: np.ndarray,
    video: ScoredVideo | None,
    detector: Detector | None,
    threshold: Threshold | None,
) -> Trace:
    rate = test.rates[name]
    level = None if threshold is None else threshold.value
    calibration = detector.calibration(rate) if detector is not None and rate else None
    regions = [] if video is None else video.regions
    event_list = event_rows(scores, level, rate, calibration, strongest(regions))
    above = [region for region in regions if level is None or region[2] > level]
    return Trace(
        name,
        scores,
        None if rate is None else float(rate),
        times=None if video is None or rate is None else video.times,
        threshold=level,
        labels=intervals(test.labels.frames[name]),
        events=event_list,
        regions=above,
        size=test.sources[name].size,
    )


def _heat(
    scored: Mapping[str, ScoredVideo], detector: Detector | None, threshold: Threshold | None
) -> dict[str, np.ndarray]:
    """Return the maps as a film takes them."""
    level = None if threshold is None else threshold.value
    calibrated = detector is not None and bool(detector.checkpoint.normal)
    unit = heat_unit(level, calibrated=calibrated)
    return {name: heat_levels(video.maps, unit) for name, video in scored.items()}


def _highlights(result: EvaluationResult) -> list[Highlight]:
    main = result.frame.main

    interval = main["causal"].interval
    between = (
        ""
        if interval is None
        else f"95 %: {percent_range(interval.low, interval.high, unit=True)}; "
    )
    highlights = [
        Highlight(
            "Frame AUC, causal",
            percent(main["causal"].micro_auc, unit=True),
            f"{between}what a live camera has",
        ),
        Highlight(
            "Frame AUC, paper's protocol",
            percent(main["paper"].micro_auc, unit=True),
            "not possible on a live camera",
        ),
    ]
    best = result.frame.best_baseline()
    if best is not None:
        value = result.frame.baselines[best]["causal"].micro_auc
        words = f"causal: {best.replace('_', ' ')}"
        highlights.append(Highlight("Best without learning", percent(value, unit=True), words))
    pixel = result.places[SCORE].pixel if SCORE in result.places else None
    if pixel is not None:
        highlights.append(
            Highlight(
                "Pixel AUC",
                percent(pixel.pixel_auc, unit=True),
                f"{pixel.masked_frames:,} masked frames",
            )
        )
    return highlights


def _tables(result: EvaluationResult) -> list[Table]:
    head, rows = metric_rows(result.frame)
    tables = [Table(head, rows, "Frame-level figures under three protocols")]
    if result.places:
        head, rows = place_rows(result.places)
        tables.append(Table(head, rows, "Where: pixels, regions and tracks"))
    if result.alarms:
        head, rows = alarm_rows(result.alarms)
        tables.append(
            Table(
                head, rows, "For an operator: thresholds from normal footage, tried on the test set"
            )
        )
    return tables


def _curves(
    test: LabelledSet, series: Mapping[str, Mapping[str, np.ndarray]], result: EvaluationResult
) -> tuple[list[NamedCurve], list[NamedCurve]]:
    """Compute ROC and precision-recall of the causal series, all on the evaluated frames."""
    columns = [name for name in CURVES if all(name in entry for entry in series.values())]
    shown = {CURVES[name]: causal(series, name) for name in columns}
    if "flow_speed" in result.baseline_scores:
        speed = {name: {SCORE: x} for name, x in result.baseline_scores["flow_speed"].items()}
        shown["speed alone"] = causal(speed, SCORE)
    keep = {name: ~np.isnan(values) for name, values in causal(series, SCORE).items()}
    keep = {name: scored for name, scored in keep.items() if scored.any()}
    labels = {name: test.labels.frames[name][scored] for name, scored in keep.items()}
    anomalous = sum(int(y.sum()) for y in labels.values())
    if not 0 < anomalous < sum(map(len, labels.values())):
        return [], []
    roc, precision = [], []
    for title, values in shown.items():
        cut = {name: values[name][scored] for name, scored in keep.items()}
        roc.append((title, roc_points(labels, cut), frame_auc(labels, cut)))
        precision.append(
            (title, precision_recall_points(labels, cut), average_precision(labels, cut))
        )
    return roc, precision


def _reliability(result: EvaluationResult) -> list[Promise] | None:
    """Set promised against observed false alarms on the normal frames of the test set."""
    if not result.alarms or not result.alarms[0].metrics.normal_hours:
        return None
    return [
        Promise(
            alarm.promised_per_hour,
            alarm.metrics.threshold,
            alarm.extrapolated,
            alarm.threshold_interval,
            alarm.hours_behind,
            *observed_rate(alarm.metrics.false_alarms, alarm.metrics.normal_hours),
            alarm.metrics.false_alarms,
            alarm.metrics.normal_hours,
        )
        for alarm in result.alarms
    ]


def fact_rows(facts: Mapping[str, Any], result: FrameResult) -> list[tuple[str, str]]:
    """Write what the metrics depend on as names and words."""
    labels, counts = facts["labels"], result.counts
    rows: list[tuple[str, str]] = []
    rows.append(("Labels", f"{labels['kind']}, {labels['source']}"))
    rows.append(
        (
            "",
            f"{labels['anomalous']:,} of {labels['frames']:,} frames anomalous; SHA-256 "
            f"{labels['sha256']}",
        )
    )
    evaluated = (
        f"{counts.frames:,}, {counts.anomalous:,} of them anomalous, in {counts.videos} videos"
    )
    rows.append(("Frames judged", evaluated))
    if counts.dropped_frames:
        rows.append(("Left out", f"{counts.dropped_frames:,} frames ({counts.dropped})"))
    for name, words in result.protocols.items():
        rows.append(
            (
                f"Protocol: {name}",
                f"normalisation {words['normalisation']}; smoothing {words['smoothing']}",
            )
        )
    if "checkpoint" in facts:
        rows.append(
            ("Model", f"{facts['checkpoint']['path']}, SHA-256 {facts['checkpoint']['sha256']}")
        )
    if "scores_from" in facts:
        rows.append(("Scores", facts["scores_from"]))
    rows.append(
        ("Versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    )
    return rows

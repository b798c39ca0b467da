"""report.html of an evaluation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpn.evaluation.frame_metrics import figure_rows
from mpn.evaluation.localisation import place_rows
from mpn.evaluation.run_detector import ScoredVideo
from mpn.evaluation.test_set import Judged, LabelledSet, alarm_rows, causal
from mpn.io.runs import intervals
from mpn.io.text import percent, percent_range
from mpn.metrics import average_precision, frame_auc, precision_recall_points, roc_points
from mpn.report.model import Highlight, NamedCurve, Report, Table, Trace
from mpn.report.page import write_report
from mpn.report.traces import add_films, event_rows, look_into, strongest
from mpn.scoring.calibration import Threshold
from mpn.scoring.detector import Detector
from mpn.scoring.heat_file import heat_levels, heat_unit
from mpn.scoring.reliability import Promise, observed_rate

REPORT = "report.html"
CURVES = {"score": "score", "psnr_db": "PSNR", "pseudo": "pseudo-anomaly head"}


def report_evaluation(
    out: Path,
    test: LabelledSet,
    series: Mapping[str, Mapping[str, np.ndarray]],
    scored: Mapping[str, ScoredVideo],
    judged: Judged,
    facts: Mapping[str, Any],
    notes: Sequence[str],
    detector: Detector | None,
    threshold: Threshold | None,
    inside: Mapping[str, Sequence[int]] | None = None,
) -> Path:
    """Writes OUT/report.html: every video with its scores, labels and events; the figures; a look
    inside.

    Args:
        series: what was judged. scored: by this detector, empty for another's scores. threshold:
            for the events.
        inside: video -> frames whose insides are shown beside those that are chosen here.

    Raises:
        MpnError: it cannot be written.
    """
    smoothed = {name: video.smoothed for name, video in scored.items()} or causal(series, "score")
    traces = [
        _trace(name, test, smoothed[name], scored.get(name), detector, threshold)
        for name in test.sources
    ]
    report = Report("evaluate", f"Evaluation of {test.tree.root.name or test.tree.root}")
    report.traces, report.notes, report.matrix = traces, list(notes), judged.matrix
    report.highlights = _highlights(judged)
    report.facts = fact_rows(facts, judged.result)
    report.tables = _tables(judged)
    report.roc, report.precision_recall = _curves(test, series, judged)
    report.reliability = _reliability(judged)
    files = ["metrics.json", "matrix.json", "labels.csv"]
    report.further = [(name, name) for name in files if (out / name).is_file()]
    with tempfile.TemporaryDirectory(prefix=".report-", dir=out) as folder:
        add_films(traces, test.sources, _heat(scored, detector, threshold), Path(folder))
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
    found = event_rows(scores, level, rate, calibration, strongest(regions))
    shown = [one for one in regions if level is None or one[2] > level]
    return Trace(
        name,
        scores,
        None if rate is None else float(rate),
        threshold=level,
        labels=intervals(test.labels.frames[name]),
        events=found,
        regions=shown,
        size=test.sources[name].size,
    )


def _heat(
    scored: Mapping[str, ScoredVideo], detector: Detector | None, threshold: Threshold | None
) -> dict[str, np.ndarray]:
    """Maps as a film takes them."""
    level = None if threshold is None else threshold.value
    calibrated = detector is not None and bool(detector.checkpoint.normal)
    unit = heat_unit(level, calibrated=calibrated)
    return {name: heat_levels(video.maps, unit) for name, video in scored.items()}


def _highlights(judged: Judged) -> list[Highlight]:
    main = judged.result["scores"][judged.result["main"]]

    interval = main["causal"]["interval"]
    between = percent_range(interval["low"], interval["high"], unit=True)
    found = [
        Highlight(
            "Frame AUC, causal",
            percent(main["causal"]["micro_auc"], unit=True),
            f"95 %: {between}; what a live camera has",
        ),
        Highlight(
            "Frame AUC, paper's protocol",
            percent(main["paper"]["micro_auc"], unit=True),
            "not possible on a live camera",
        ),
    ]
    blind = judged.result["baselines"]
    if blind:
        best = max(blind, key=lambda name: np.nan_to_num(blind[name]["causal"]["micro_auc"]))
        words = f"causal: {best.replace('_', ' ')}"
        auc = percent(blind[best]["causal"]["micro_auc"], unit=True)
        found.append(Highlight("Best without learning", auc, words))
    pixel = judged.result.get("where", {}).get("score", {}).get("pixel")
    if pixel:
        found.append(
            Highlight(
                "Pixel AUC",
                percent(pixel["pixel_auc"], unit=True),
                f"{pixel['masked_frames']:,} masked frames",
            )
        )
    return found


def _tables(judged: Judged) -> list[Table]:
    head, rows = figure_rows(judged.result)
    found = [Table(head, rows, "Frame-level figures under three protocols")]
    if "where" in judged.result:
        head, rows = place_rows(judged.result["where"])
        found.append(Table(head, rows, "Where: pixels, regions and tracks"))
    if judged.result.get("alarms"):
        head, rows = alarm_rows(judged.result["alarms"])
        found.append(
            Table(
                head, rows, "For an operator: thresholds from normal footage, tried on the test set"
            )
        )
    return found


def _curves(
    test: LabelledSet, series: Mapping[str, Mapping[str, np.ndarray]], judged: Judged
) -> tuple[list[NamedCurve], list[NamedCurve]]:
    """ROC and precision-recall of the causal series, all on the frames that are judged."""
    columns = [name for name in CURVES if all(name in own for own in series.values())]
    shown = {CURVES[name]: causal(series, name) for name in columns}
    if "flow_speed" in judged.blind:
        shown["speed alone"] = causal(
            {name: {"score": x} for name, x in judged.blind["flow_speed"].items()}, "score"
        )
    keep = {name: ~np.isnan(values) for name, values in causal(series, "score").items()}
    keep = {name: own for name, own in keep.items() if own.any()}
    labels = {name: test.labels.frames[name][own] for name, own in keep.items()}
    if (
        not 0
        < sum(int(own.sum()) for own in labels.values())
        < sum(len(own) for own in labels.values())
    ):
        return [], []
    roc, precision = [], []
    for title, values in shown.items():
        cut = {name: values[name][own] for name, own in keep.items()}
        roc.append((title, roc_points(labels, cut), frame_auc(labels, cut)))
        precision.append(
            (title, precision_recall_points(labels, cut), average_precision(labels, cut))
        )
    return roc, precision


def _reliability(judged: Judged) -> list[Promise] | None:
    """Promised against observed false alarms on the normal frames of the test set."""
    found = judged.result.get("alarms")
    if not found or not found[0]["normal_hours"]:
        return None
    return [
        Promise(
            one["promised_per_hour"],
            one["threshold"],
            one["extrapolated"],
            tuple(one["threshold_interval"]),
            one["hours_behind"],
            *observed_rate(one["false_alarms"], one["normal_hours"]),
            one["false_alarms"],
            one["normal_hours"],
        )
        for one in found
    ]


def fact_rows(facts: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the figures depend on, as names and words."""
    labels, found = facts["labels"], []
    found.append(("Labels", f"{labels['kind']}, {labels['source']}"))
    found.append(
        (
            "",
            f"{labels['anomalous']:,} of {labels['frames']:,} frames anomalous; SHA-256 "
            f"{labels['sha256']}",
        )
    )
    judged = (
        f"{result['frames']:,}, {result['anomalous']:,} of them anomalous, in {result['videos']} "
        "videos"
    )
    found.append(("Frames judged", judged))
    if result["dropped_frames"]:
        found.append(("Left out", f"{result['dropped_frames']:,} frames ({result['dropped']})"))
    for name, words in result["protocols"].items():
        found.append(
            (
                f"Protocol: {name}",
                f"normalisation {words['normalisation']}; smoothing {words['smoothing']}",
            )
        )
    if "checkpoint" in facts:
        found.append(
            ("Model", f"{facts['checkpoint']['path']}, SHA-256 {facts['checkpoint']['sha256']}")
        )
    if "scores_from" in facts:
        found.append(("Scores", facts["scores_from"]))
    found.append(
        ("Versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    )
    return found

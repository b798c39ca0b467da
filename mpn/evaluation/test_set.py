"""A labelled test set and scores of it in; all figures of PROTOCOL section 3 out, for metrics.json
and matrix.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpn.datasets.labels import Labels, load_labels
from mpn.datasets.layouts import DatasetTree
from mpn.errors import DataError, LabelError
from mpn.evaluation.frame_metrics import MAIN, TURNED, evaluate, format_rows
from mpn.evaluation.localisation import Places, Truth
from mpn.evaluation.protocol_matrix import protocol_matrix
from mpn.evaluation.run_detector import WITH_PLACE, score_baselines
from mpn.io.atomic import write_atomically
from mpn.io.runs import intervals
from mpn.metrics.operators import operator_figures
from mpn.metrics.true_regions import read_tracks
from mpn.model.file_format import library_versions
from mpn.scoring import protocols
from mpn.scoring.calibration import Calibration
from mpn.scoring.detector import Detector
from mpn.video.sources import FrameSource, open_source
from mpn.video.timing import frame_rate

RATES = (1.0, 6.0, 60.0, 360.0)  # false alarms an hour whose thresholds are tried out


@dataclass(frozen=True)
class LabelledSet:
    """A data set's test videos, opened, with their labels.

    Attributes:
        sources, lengths, rates: by the videos' names; frames as they are decoded, frames per second
            or None.
        labels: one a frame. truth: where the anomalies are.
    """

    tree: DatasetTree
    sources: dict[str, FrameSource]
    lengths: dict[str, int]
    rates: dict[str, Fraction | None]
    labels: Labels
    truth: Truth


def open_set(
    tree: DatasetTree,
    labels: Path | None = None,
    *,
    fps: float | None = None,
    skip_bad: bool = False,
    tracks: Path | None = None,
) -> LabelledSet:
    """Opens a data set's test videos and reads their labels.

    Args:
        tree: from `mpn.datasets.layouts.recognise`. labels: a file or folder instead of what lies
            in the tree.
        fps: frames per second, where the videos don't know.
        tracks: true regions, see `mpn.metrics.true_regions.read_tracks`; default:
            testing/tracks.csv, as the demo set has it, else the connected parts of the masks.

    Raises:
        LabelError: no test videos, no labels, or labels that don't fit. FrameError, DataError: what
            cannot be read.
    """
    if not tree.testing:
        raise LabelError(
            f"{tree.root}: no test videos in the {tree.layout} layout; labelled "
            "footage was expected"
        )
    sources = {video.name: open_source(video.path, skip_bad=skip_bad) for video in tree.testing}
    lengths = {name: _length(source) for name, source in sources.items()}
    found = load_labels(tree, lengths, labels)
    rates = {name: frame_rate(fps) or source.fps for name, source in sources.items()}
    sizes = {name: source.size for name, source in sources.items()}
    table = tree.root / "testing" / "tracks.csv"
    place = tracks or (table if table.is_file() else None)
    truth = (
        Truth(found, sizes)
        if place is None
        else Truth(found, sizes, read_tracks(place), str(place))
    )
    return LabelledSet(tree, sources, lengths, rates, found, truth)


def _length(source: FrameSource) -> int:
    """Frames as they are decoded: a video file's header only estimates them."""
    if source.path.is_dir():
        return source.length
    return sum(1 for _ in source.frames())


@dataclass(frozen=True)
class Judged:
    """Figures of a test set.

    Attributes:
        result, matrix: the content of metrics.json and of matrix.json, without the facts.
        blind: the baselines' scores, baseline -> video -> (T,); empty where they were left out.
    """

    result: dict[str, Any]
    matrix: dict[str, Any]
    blind: dict[str, dict[str, np.ndarray]]


def judge(
    test: LabelledSet,
    series: Mapping[str, Mapping[str, np.ndarray]],
    places: Places | None = None,
    calibration: Calibration | None = None,
    smoothed: Mapping[str, np.ndarray] | None = None,
    *,
    baselines: bool = True,
    seed: int = 0,
) -> Judged:
    """Every figure.

    Args:
        series: video -> column -> (T,), "score" among them, raw. places: what was found where.
        calibration, smoothed: thresholds, and video -> the score (T,) that they are for: with both,
            false alarms and events found are counted.
        baselines: judge the content-free baselines too. seed: of resampling and noise.
    """
    judged = {name: _first(columns) for name, columns in series.items()}
    blind: dict[str, dict[str, np.ndarray]] | None = None
    at_places = (
        {name: Places(test.truth) for name in WITH_PLACE}
        if baselines and places is not None
        else {}
    )
    if baselines:
        blind = score_baselines(test.sources, test.lengths, seed, judged, at_places)
    result = evaluate(test.labels.frames, series, blind, seed=seed)
    matrix = protocol_matrix(test.labels.frames, series, blind, seed=seed)
    if places is not None:
        result["where"] = {MAIN: places.figures(seed=seed)}
        result["where"] |= {name: own.figures(seed=seed) for name, own in at_places.items()}
    if calibration is not None and smoothed is not None:
        result["alarms"] = alarms(test, calibration, smoothed)
    return Judged(result, matrix, blind or {})


def _first(columns: Mapping[str, np.ndarray]) -> int:
    """The first frame that has every column; the length where there is none."""
    there = np.all([~np.isnan(values) for values in columns.values()], axis=0)
    return int(np.argmax(there)) if there.any() else len(there)


def alarms(
    test: LabelledSet, calibration: Calibration, smoothed: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """For each of `RATES`, its threshold from normal footage, and what that gives on the test
    set."""
    rates = [rate for rate in test.rates.values() if rate]
    if len(rates) < len(test.rates):
        return []
    found = []
    for rate in RATES:
        threshold = calibration.threshold(rate)
        figures = operator_figures(test.labels.frames, smoothed, threshold.value, test.rates)
        promised = {
            "promised_per_hour": rate,
            "extrapolated": threshold.extrapolated,
            "hours_behind": threshold.hours,
        }
        found.append(promised | {"threshold_interval": list(threshold.interval)} | asdict(figures))
    return found


def alarm_rows(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The result of `alarms` as text: a head and rows."""
    head = [
        "false alarms per hour: promised",
        "here",
        "threshold (95 %)",
        "events found",
        "mean delay, s",
    ]
    rows = [
        [
            f"{one['promised_per_hour']:g}{' (extrapolated)' * one['extrapolated']}",
            f"{one['false_alarms_per_hour']:.1f} ({one['false_alarms']})",
            f"{one['threshold']:.2f} "
            f"({one['threshold_interval'][0]:.2f}-{one['threshold_interval'][1]:.2f})",
            f"{one['events_found']} of {one['events']}",
            "-" if np.isnan(one["mean_delay_seconds"]) else f"{one['mean_delay_seconds']:.1f}",
        ]
        for one in found
    ]
    return head, rows


def format_alarms(found: list[dict[str, Any]]) -> str:
    """The same as a plain table, with what stands behind it."""
    first = found[0]
    footage = (
        f"thresholds from {60 * first['hours_behind']:.1f} minutes of held-out normal footage; "
        f"here: {60 * first['normal_hours']:.1f} minutes of normal frames"
    )
    return f"{format_rows(*alarm_rows(found))}{footage}\n"


def facts_of(
    tree: DatasetTree, labels: Labels, detector: Detector | None, checkpoint: Path | None
) -> dict[str, Any]:
    """What figures depend on: data, label file, model, versions."""
    import torch

    facts: dict[str, Any] = {
        "data": {"root": str(tree.root), "layout": tree.layout},
        "labels": {
            "kind": labels.kind,
            "source": str(labels.source),
            "sha256": labels.sha256,
            "frames": labels.total,
            "anomalous": labels.anomalous,
        },
        "versions": library_versions(),
        "threads": torch.get_num_threads(),
    }
    if detector is None:
        return facts
    return facts | {
        "checkpoint": {"path": str(checkpoint), "sha256": detector.checkpoint.sha256},
        "recipe": detector.score_config.to_dict(),
        "precision": "bfloat16" if detector.bfloat16 else "float32",
        "training": {k: v for k, v in detector.checkpoint.training.items() if k != "clips"},
    }


def write_labels(path: Path, labels: Labels) -> None:
    """labels.csv: the labels that were used, beside the figures, as `mpn compare` reads them:
    video,start,end (frames from 0, end exclusive; both empty for a video without anomalies)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "start", "end"])
    for name, own in labels.frames.items():
        writer.writerows([name, *stretch] for stretch in intervals(own) or [("", "")])
    write_atomically(path, text.getvalue())


def causal(series: Mapping[str, Mapping[str, np.ndarray]], column: str) -> dict[str, np.ndarray]:
    """A column as a live camera has it, higher = more anomalous, NaN for the first frames. Raises
    DataError."""
    if any(column not in columns for columns in series.values()):
        raise DataError(f"not every video has a column {column!r}")
    sign = -1.0 if column in TURNED else 1.0
    return protocols.apply(
        "causal", {name: sign * columns[column] for name, columns in series.items()}
    )

"""What an evaluation gives, as types; metrics.json and matrix.json are written from it. No torch.

Metrics are shares in [0, 1], NaN where undefined. `document` of each type is its part of the JSON
files, whose keys stay as they are: other programs read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from mpn.metrics.intervals import Interval
from mpn.metrics.operators import OperatorMetrics
from mpn.metrics.pixels import PixelResult
from mpn.scoring.protocols import Cell

SCORE = "score"  # the column that gets intervals and stands first in every table
# In a file `score` is smoothed, as a live camera has it, where this column, the one before
# smoothing, stands beside it.
SCORE_RAW = "score_raw"
METRICS = (
    "micro_auc",
    "macro_auc",
    "padded_macro_auc",
    "equal_error_rate",
    "average_precision",
)


@dataclass(frozen=True)
class ScoreMetrics:
    """The metrics of one score under one protocol.

    Attributes:
        intervals: of each metric, 95 % over videos; None where they were not asked for.
        score_minus_this: of a baseline: micro AUC of the score minus that of the baseline, paired
            over videos.
    """

    micro_auc: float
    macro_auc: float
    padded_macro_auc: float
    equal_error_rate: float
    average_precision: float
    intervals: Mapping[str, Interval] | None = None
    score_minus_this: Interval | None = None

    @property
    def interval(self) -> Interval | None:
        """Return the interval of the micro AUC."""
        return None if self.intervals is None else self.intervals["micro_auc"]

    def value(self, name: str) -> float:
        """Return one of `METRICS` by its name."""
        return getattr(self, name)

    def values(self) -> dict[str, float]:
        """Return all of `METRICS` by name."""
        return {name: self.value(name) for name in METRICS}

    def document(self) -> dict[str, Any]:
        """Return the entry of metrics.json."""
        entry: dict[str, Any] = self.values()
        if self.intervals is not None:
            by_name = {name: interval._asdict() for name, interval in self.intervals.items()}
            entry |= {"interval": by_name["micro_auc"], "intervals": by_name}
        if self.score_minus_this is not None:
            entry["score_minus_this"] = self.score_minus_this._asdict()
        return entry


ByProtocol = Mapping[str, ScoreMetrics]  # protocol -> its metrics


@dataclass(frozen=True)
class Frames:
    """Which frames were evaluated.

    Attributes:
        frames, anomalous, videos: how many.
        videos_with_both_classes: those with an AUC of their own.
        dropped_frames: how many were left out.
        dropped: which, in words.
        videos_without_scores: names of those that were left out whole.
        turned: columns of which minus the value was evaluated.
    """

    frames: int
    anomalous: int
    videos: int
    videos_with_both_classes: int
    dropped_frames: int
    dropped: str
    videos_without_scores: list[str]
    turned: list[str]

    def document(self) -> dict[str, Any]:
        """Return the counts as they stand in both files."""
        return {attribute.name: getattr(self, attribute.name) for attribute in fields(self)} | {
            "turned": dict.fromkeys(self.turned, "minus this is evaluated (higher = more normal)")
        }


@dataclass(frozen=True)
class FrameResult:
    """The frame metrics of every score column and baseline under every protocol.

    Attributes:
        counts: which frames were evaluated.
        scores: column -> protocol -> metrics; those of `SCORE` have intervals.
        baselines: the same of the content-free baselines, with `score_minus_this`.
        n_resamples, seed: of the intervals.
    """

    counts: Frames
    scores: Mapping[str, ByProtocol]
    baselines: Mapping[str, ByProtocol]
    protocols: Mapping[str, Mapping[str, Any]]
    n_resamples: int
    seed: int

    @property
    def main(self) -> ByProtocol:
        """Return the metrics of the score itself, by protocol."""
        return self.scores[SCORE]

    def best_baseline(self, protocol: str = "causal") -> str | None:
        """Return the baseline with the highest micro AUC, None where there are none."""
        aucs = {
            name: float(np.nan_to_num(entry[protocol].micro_auc))
            for name, entry in self.baselines.items()
        }
        return max(aucs, key=lambda name: aucs[name], default=None)

    def document(self) -> dict[str, Any]:
        """Return its part of metrics.json."""
        counts = self.counts.document()
        turned = counts.pop("turned")
        return counts | {
            "main": SCORE,
            "turned": turned,
            "protocols": {name: dict(words) for name, words in self.protocols.items()},
            "interval": "95 %, bootstrap over videos",
            "bootstrap": {"draws": self.n_resamples, "seed": self.seed},
            "scores": _by_protocol(self.scores),
            "baselines": _by_protocol(self.baselines),
        }


def _by_protocol(entries: Mapping[str, ByProtocol]) -> dict[str, Any]:
    return {
        name: {protocol: metrics.document() for protocol, metrics in entry.items()}
        for name, entry in entries.items()
    }


@dataclass(frozen=True)
class MatrixCell:
    """One score, or baseline, under one normalisation and smoothing.

    Attributes:
        name: "region", "pair" or "psnr", or the baseline's.
        is_baseline: whether it is one.
        cell: normalisation and smoothing, and what they ask for.
        metrics: its metrics.
        interval: of the micro AUC, 95 % over videos.
        region_minus_this: of a baseline: micro AUC of the region score in the same cell minus its.
    """

    name: str
    is_baseline: bool
    cell: Cell
    metrics: ScoreMetrics
    interval: Interval
    region_minus_this: Interval | None = None

    def document(self) -> dict[str, Any]:
        """Return the cell as it stands in matrix.json; lookahead NaN = all of the video."""
        ahead = self.cell.lookahead_frames
        entry = {"baseline" if self.is_baseline else "score": self.name} | self.cell._asdict()
        entry |= {"lookahead_frames": float("nan") if ahead is None else ahead}
        entry |= self.metrics.values() | {"interval": self.interval._asdict()}
        if self.region_minus_this is not None:
            entry["region_minus_this"] = self.region_minus_this._asdict()
        return entry


@dataclass(frozen=True)
class ProtocolGap:
    """What the paper's protocol adds to the causal one: the difference of micro AUC."""

    name: str
    is_baseline: bool
    difference: Interval

    def document(self) -> dict[str, Any]:
        """Return the entry of matrix.json."""
        kind = "baseline" if self.is_baseline else "score"
        return {kind: self.name} | self.difference._asdict()


@dataclass(frozen=True)
class ProtocolMatrix:
    """Every score under every normalisation and smoothing, on the same frames.

    Attributes:
        counts: which frames were evaluated, None where that is not known.
        absent: scores whose columns were not there.
        cells, baselines: the cells, score by score, baseline by baseline.
        gaps: what the paper's protocol adds, of each of them.
    """

    cells: list[MatrixCell]
    baselines: list[MatrixCell] = field(default_factory=list)
    gaps: list[ProtocolGap] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    counts: Frames | None = None
    n_resamples: int = 0
    seed: int = 0

    def of(self, name: str) -> dict[tuple[str, str], MatrixCell]:
        """Return the cells of a score or baseline by (normalisation, smoothing)."""
        return {
            (cell.cell.normalisation, cell.cell.smoothing): cell
            for cell in (*self.cells, *self.baselines)
            if cell.name == name
        }

    def document(self) -> dict[str, Any]:
        """Return the content of matrix.json."""
        counts = {} if self.counts is None else self.counts.document()
        return counts | {
            "interval": "95 %, bootstrap over videos",
            "bootstrap": {"draws": self.n_resamples, "seed": self.seed},
            "absent": self.absent,
            "cells": [cell.document() for cell in self.cells],
            "baselines": [baseline.document() for baseline in self.baselines],
            "gap": [gap.document() for gap in self.gaps],
        }


@dataclass(frozen=True)
class RegionResult:
    """RBDC and TBDC in one variant (`mpn.metrics.regions`), with intervals, and what they are of.

    Attributes:
        regions, tracks: true ones.
        found_regions: found ones.
        frames: evaluated.
        fpr_reached: false positives a frame with all found regions in.
    """

    rbdc: float
    tbdc: float
    variant: str
    regions: int
    tracks: int
    found_regions: int
    frames: int
    fpr_reached: float
    rbdc_interval: Interval
    tbdc_interval: Interval


@dataclass(frozen=True)
class PlaceMetrics:
    """How well anomalies were found in their places.

    Attributes:
        pixel: pixel metrics, None without masks or maps.
        regions: variant -> RBDC and TBDC; empty where there are no regions.
        true_regions: where the true regions are from, in words.
    """

    pixel: PixelResult | None = None
    regions: Mapping[str, RegionResult] = field(default_factory=dict)
    true_regions: str = ""

    def document(self) -> dict[str, Any]:
        """Return the entry of metrics.json."""
        entry: dict[str, Any] = {}
        if self.pixel is not None:
            entry["pixel"] = _fields(self.pixel)
        if self.regions:
            entry["regions"] = {name: _fields(result) for name, result in self.regions.items()}
            entry["true_regions"] = self.true_regions
        return entry


@dataclass(frozen=True)
class AlarmMetrics:
    """A threshold from normal footage, and what it gives on the test set.

    Attributes:
        promised_per_hour: false alarms an hour that the threshold promises.
        extrapolated: from less footage than that takes.
        hours_behind: of how much footage the threshold is.
        threshold_interval: 95 % of the threshold.
        metrics: false alarms, events found and delays on the test set.
    """

    promised_per_hour: float
    extrapolated: bool
    hours_behind: float
    threshold_interval: tuple[float, float]
    metrics: OperatorMetrics

    def document(self) -> dict[str, Any]:
        """Return the entry of metrics.json."""
        entry = _fields(self)
        return {name: entry[name] for name in entry if name != "metrics"} | _fields(self.metrics)


@dataclass(frozen=True)
class EvaluationResult:
    """All metrics of a test set.

    Attributes:
        frame: frame metrics by score and protocol.
        matrix: the protocol matrix.
        places: who -> metrics of places, `SCORE` first; empty where the set has no masks.
        alarms: one a promised rate; None where there is no calibration.
        baseline_scores: baseline -> video -> float64 (T,), empty where they were left out.
    """

    frame: FrameResult
    matrix: ProtocolMatrix
    places: Mapping[str, PlaceMetrics] = field(default_factory=dict)
    alarms: list[AlarmMetrics] | None = None
    baseline_scores: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the content of metrics.json, without the facts."""
        content = self.frame.document()
        if self.places:
            content["where"] = {name: metrics.document() for name, metrics in self.places.items()}
        if self.alarms is not None:
            content["alarms"] = [alarm.document() for alarm in self.alarms]
        return content


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, intervals as mappings."""
    named = {attribute.name: getattr(value, attribute.name) for attribute in fields(value)}
    return {
        name: item._asdict() if isinstance(item, Interval) else item for name, item in named.items()
    }

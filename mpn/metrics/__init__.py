"""Metrics: labels and scores in, figures out (PROTOCOL section 3). No torch, no files, no plotting.

frames, intervals   frame AUC and its kin, curves, bootstrap over videos
operators           false alarms per hour, events found, delay
pixels              pixel AUC, the UCSD pixel-level criterion
regions             RBDC and TBDC; true_regions: what they are measured against
"""

from __future__ import annotations

from mpn.metrics.frames import (
    Curve,
    MacroAuc,
    average_precision,
    bootstrap_interval,
    bootstrap_values,
    constant_videos,
    equal_error_rate,
    frame_auc,
    macro_auc,
    padded_macro_auc,
    paired_bootstrap,
    precision_recall_points,
    roc_points,
)
from mpn.metrics.intervals import LEVEL, Interval
from mpn.metrics.operators import OperatorMetrics, operator_metrics
from mpn.metrics.pixels import PixelMetrics
from mpn.metrics.regions import (
    Criteria,
    Region,
    TrueRegion,
    criteria_intervals,
    region_and_track_criteria,
)

__all__ = [
    "LEVEL",
    "Criteria",
    "Curve",
    "Interval",
    "MacroAuc",
    "OperatorMetrics",
    "PixelMetrics",
    "Region",
    "TrueRegion",
    "average_precision",
    "bootstrap_interval",
    "bootstrap_values",
    "constant_videos",
    "criteria_intervals",
    "equal_error_rate",
    "frame_auc",
    "macro_auc",
    "operator_metrics",
    "padded_macro_auc",
    "paired_bootstrap",
    "precision_recall_points",
    "region_and_track_criteria",
    "roc_points",
]

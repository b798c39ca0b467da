"""What an operator gets: thresholds from normal footage, tried out on a test set. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from mpn.evaluation.frame_metrics import format_rows, wrapped
from mpn.evaluation.result import AlarmMetrics
from mpn.metrics.operators import operator_metrics
from mpn.scoring.calibration import Calibration

RATES = (1.0, 6.0, 60.0, 360.0)  # false alarms an hour whose thresholds are tried out


def alarm_metrics(
    labels: Mapping[str, np.ndarray],
    smoothed: Mapping[str, np.ndarray],
    rates: Mapping[str, Fraction | None],
    calibration: Calibration,
) -> list[AlarmMetrics]:
    """Try out the threshold of each of `RATES`.

    Args:
        labels: video -> bool (T,).
        smoothed: video -> the score (T,) that thresholds are for.
        rates: video -> frames per second; where one is unknown nothing is tried.
        calibration: gives the thresholds.
    """
    known_rates = {name: rate for name, rate in rates.items() if rate}
    if len(known_rates) < len(rates):
        return []
    alarms = []
    for rate in RATES:
        threshold = calibration.threshold(rate)
        low, high = threshold.interval
        alarms.append(
            AlarmMetrics(
                promised_per_hour=rate,
                extrapolated=threshold.extrapolated,
                hours_behind=threshold.hours,
                threshold_interval=(low, high),
                metrics=operator_metrics(labels, smoothed, threshold.value, known_rates),
            )
        )
    return alarms


def alarm_rows(alarms: Sequence[AlarmMetrics]) -> tuple[list[str], list[list[str]]]:
    """Write the result of `alarm_metrics` as text: a head and rows."""
    head = [
        "false alarms an hour",
        "here",
        "threshold (95 %)",
        "events found",
        "delay, s",
    ]
    rows = []
    for alarm in alarms:
        here, (low, high) = alarm.metrics, alarm.threshold_interval
        delay = here.mean_delay_seconds
        rows.append(
            [
                f"{alarm.promised_per_hour:g}{' (extrapolated)' * alarm.extrapolated}",
                f"{here.false_alarms_per_hour:.1f} ({here.false_alarms})",
                f"{here.threshold:.2f} ({low:.2f}-{high:.2f})",
                f"{here.events_found} of {here.events}",
                "-" if np.isnan(delay) else f"{delay:.1f}",
            ]
        )
    return head, rows


def format_alarms(alarms: Sequence[AlarmMetrics]) -> str:
    """Write the same as a plain table, with what stands behind it."""
    first = alarms[0]
    footage = (
        f"thresholds from {60 * first.hours_behind:.1f} minutes of held-out normal footage; "
        f"here: {60 * first.metrics.normal_hours:.1f} minutes of normal frames"
    )
    return f"{format_rows(*alarm_rows(alarms))}{wrapped(footage)}\n"

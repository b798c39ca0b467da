"""What an operator asks of a threshold: false alarms per hour, share of events found, delay.

No torch, no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mpn.errors import DataError, LabelError
from mpn.io.runs import run_edges
from mpn.metrics.inputs import paired
from mpn.scoring.events import MIN_EVENT_FRAMES, checked_rate, gap_frames


@dataclass(frozen=True)
class OperatorMetrics:
    """Figures of one threshold over all videos together (micro).

    Attributes:
        threshold: a frame alarms when its score is above it.
        false_alarms: alarms that overlap no labelled event.
        normal_hours: footage outside labelled events, of frames that have a score, in hours.
        false_alarms_per_hour: of normal footage; NaN without any.
        events: labelled events of which at least one frame has a score.
        events_found: those that some alarm overlaps.
        event_recall: events_found / events, in [0, 1]; NaN without events.
        mean_delay_seconds, median_delay_seconds: from the start of a found event to its first
            alarm, 0 where the alarm was already on; NaN when none was found.
    """

    threshold: float
    false_alarms: int
    normal_hours: float
    false_alarms_per_hour: float
    events: int
    events_found: int
    event_recall: float
    mean_delay_seconds: float
    median_delay_seconds: float


def operator_metrics(
    labels: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    threshold: float,
    fps: float | Fraction | Mapping[str, float | Fraction],
) -> OperatorMetrics:
    """Compute false alarms per hour, events found and delays at a threshold.

    An alarm is an event of PROTOCOL section 2, as `mpn.scoring.events.events` finds them: frames
    above the threshold, gaps under a second closed, under three frames dropped. A labelled event is
    a stretch of anomalous frames, gaps under a second closed; an alarm that overlaps several finds
    them all.

    Args:
        labels: video -> bool (T,), True = anomalous.
        scores: video -> float (T,), higher = more anomalous; NaN, as at the start of a live stream,
            does not alarm.
        threshold: any number but NaN.
        fps: frames per second, of all videos or by video.

    Raises:
        LabelError: labels and scores don't fit.
        DataError: an unknown frame rate or threshold.
    """
    threshold = float(threshold)
    if math.isnan(threshold):
        raise DataError("the threshold is nan, expected a number: alarms need one")
    if not isinstance(labels, Mapping):
        raise LabelError(
            "labels and scores must be mappings by video name: alarms and events do "
            "not run from one on"
        )
    false_alarms, events, seconds, delays = 0, 0, Fraction(0), []
    for name, (y, s) in zip(labels, paired(labels, scores, gaps=True)):
        rate = _rate(name, fps)
        gap = gap_frames(rate)
        alarms = stretches(s > threshold, gap, MIN_EVENT_FRAMES)
        scored = np.append(0, np.cumsum(~np.isnan(s)))  # frames with a score before each frame
        truth = stretches(y, gap)
        with_score = scored[truth[:, 1]] - scored[truth[:, 0]]
        truth = truth[with_score > 0]
        seconds += int(scored[-1] - with_score.sum()) / rate
        false_alarms += int((_first_overlap(alarms, truth) < 0).sum())
        events += len(truth)
        first = _first_overlap(truth, alarms)
        late = np.maximum(alarms[first[first >= 0], 0] - truth[first >= 0, 0], 0)
        delays += [float(frames / rate) for frames in late.tolist()]
    hours = float(seconds / 3600)
    return OperatorMetrics(
        threshold=threshold,
        false_alarms=false_alarms,
        normal_hours=hours,
        false_alarms_per_hour=false_alarms / hours if hours else float("nan"),
        events=events,
        events_found=len(delays),
        event_recall=len(delays) / events if events else float("nan"),
        mean_delay_seconds=float(np.mean(delays)) if delays else float("nan"),
        median_delay_seconds=float(np.median(delays)) if delays else float("nan"),
    )


def stretches(mask: np.ndarray, gap: int, min_frames: int = 1) -> np.ndarray:
    """Find starts and ends (exclusive) of the True frames of a mask, in order.

    The same as `mpn.scoring.events.events`, for a million frames at once.

    Args:
        mask: bool (T,).
        gap: gaps of fewer than `gap` frames are closed.
        min_frames: then stretches of fewer than `min_frames` are dropped.

    Returns:
        int (stretches, 2).
    """
    edges = run_edges(mask)
    if len(edges):
        apart = edges[1:, 0] - edges[:-1, 1] >= gap
        edges = np.stack(
            [edges[np.append(True, apart), 0], edges[np.append(apart, True), 1]], axis=1
        )
    return edges[edges[:, 1] - edges[:, 0] >= min_frames]


def _first_overlap(stretch: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find the first of `others`, (n, 2) in order, that overlaps each stretch (m, 2).

    Its number; -1 where none does.
    """
    # the first that ends after the start
    first = np.searchsorted(others[:, 1], stretch[:, 0], side="right")
    starts = np.append(others[:, 0], np.iinfo(np.int64).max)
    return np.where(starts[first] < stretch[:, 1], first, -1)


def _rate(name: str, fps: float | Fraction | Mapping[str, float | Fraction]) -> Fraction:
    if not isinstance(fps, Mapping):
        return checked_rate(fps)
    if name not in fps:
        raise LabelError(
            f"video {name!r} has no frame rate; false alarms per hour and delays need it (--fps)"
        )
    return checked_rate(fps[name])

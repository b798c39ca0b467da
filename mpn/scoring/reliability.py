"""Whether thresholds keep their promise of false alarms an hour on other normal footage.

A threshold promises a rate; normal footage that it was not made from shows another. Both are
counted in episodes, as `mpn.scoring.calibration` counts them: stretches above the threshold with
less than a second between them are one. `mpn score` drops events under three frames, so it raises
at most so many alarms. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mpn.errors import DataError
from mpn.io.text import align
from mpn.scoring.calibration import Calibration, episode_peaks, poisson_interval

RATES = (1.0, 6.0, 60.0, 360.0)  # false alarms an hour


class Promise(NamedTuple):
    """One promised rate and what other normal footage showed.

    Attributes:
        rate: promised false alarms an hour.
        threshold: the smoothed score that stands for it, see `mpn.scoring.calibration.Threshold`.
        extrapolated: whether the hours of footage behind it are too few to show the rate.
        interval: of the threshold, 95 %.
        hours_behind: of the footage behind the threshold.
        observed: false alarms an hour on the other footage.
        observed_interval: their exact (Poisson) 95 % interval.
        episodes: how many they were.
        hours: of the other footage, frames with a score.
        observed_at_interval: false alarms an hour at the upper and at the lower end of `interval`.
            Where the promised rate lies between them, a threshold within its own uncertainty would
            have kept it.
    """

    rate: float
    threshold: float
    extrapolated: bool
    interval: tuple[float, float]
    hours_behind: float
    observed: float
    observed_interval: tuple[float, float]
    episodes: int
    hours: float
    observed_at_interval: tuple[float, float] = (math.nan, math.nan)

    @property
    def ratio(self) -> float:
        """Divide observed by promised: 2 is twice as many false alarms as promised, 1/2 half."""
        return self.observed / self.rate

    @property
    def verdict(self) -> str:
        """Say what the other footage shows of the promise, beyond its own chance.

        "more" or "fewer" alarms than promised, "kept" where it shows neither, "too short to say"
        where it shows neither and fewer than one was promised. Of a threshold from little footage
        "more" and "fewer" are to be expected, see `observed_at_interval`.
        """
        low, high = self.observed_interval
        if self.rate < low:
            return "more"
        if self.rate > high:
            return "fewer"
        return "kept" if self.rate * self.hours >= 1 else "too short to say"


def reliability(
    calibration: Calibration, videos: Mapping[str, np.ndarray], rates: Sequence[float] = RATES
) -> list[Promise]:
    """Compare promised with observed false alarms an hour.

    Args:
        calibration: of normal footage of the same camera.
        videos: other normal footage: video -> smoothed score (T,) as it is compared with the
            threshold, at the calibration's frame rate, higher = more anomalous. NaN frames have no
            score and count for no time.
        rates: false alarms an hour, above 0.

    Returns:
        One `Promise` a rate, in the order given.

    Raises:
        DataError: no frame with a score, an infinite one, or scores that aren't (T,).
        ValueError: a rate that is not above 0.
    """
    scores = {name: _checked(name, values) for name, values in videos.items()}
    fps = Fraction(calibration.fps)
    frames = sum(int((~np.isnan(values)).sum()) for values in scores.values())
    if not frames:
        raise DataError(
            f"{len(scores)} videos without any score: give normal footage longer than one window"
        )
    hours = float(frames / fps / 3600)

    def episodes(level: float) -> int:
        return sum(len(episode_peaks(values, level, fps)) for values in scores.values())

    promises = []
    for rate in rates:
        threshold = calibration.threshold(rate)
        low, high = threshold.interval
        count = episodes(threshold.value)
        promises.append(
            Promise(
                float(rate),
                threshold.value,
                threshold.extrapolated,
                threshold.interval,
                threshold.hours,
                *observed_rate(count, hours),
                count,
                hours,
                (episodes(high) / hours, episodes(low) / hours),
            )
        )
    return promises


def observed_rate(episodes: int, hours: float) -> tuple[float, tuple[float, float]]:
    """Return episodes an hour and their exact Poisson 95 % interval.

    The interval takes episodes as independent of each other.

    Args:
        episodes: their number.
        hours: in which they came.
    """
    low, high = poisson_interval(episodes)
    return episodes / hours, (float(low) / hours, float(high) / hours)


def format_reliability(promises: Sequence[Promise]) -> str:
    """Format a table in plain text, one line a rate.

    Args:
        promises: its rows, from `reliability`.
    """
    head = (
        "promised/h",
        "threshold",
        "footage behind it",
        "observed/h",
        "95 % interval",
        "episodes in",
        "promise",
        "at the ends of the threshold's interval",
    )
    rows: list[tuple[str, ...]] = [head]
    for promise in promises:
        (low, high), ends = promise.observed_interval, promise.observed_at_interval
        rows.append(
            (
                f"{promise.rate:g}",
                f"{promise.threshold:.3f}" + (" extrapolated" if promise.extrapolated else ""),
                f"{60 * promise.hours_behind:.1f} min",
                f"{promise.observed:.3g}",
                f"{low:.3g} to {high:.3g}",
                f"{promise.episodes} in {60 * promise.hours:.0f} min",
                promise.verdict,
                f"{ends[0]:.3g} to {ends[1]:.3g}/h",
            )
        )
    return "\n".join(align(rows, names=False))


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1:
        raise DataError(
            f"video {name!r}: scores of shape {scores.shape}, expected one number a frame (T,)"
        )
    infinite = np.flatnonzero(np.isinf(scores))
    if len(infinite):
        raise DataError(
            f"video {name!r}: the score of frame {infinite[0]} is "
            f"{scores[infinite[0]]}, expected a number"
        )
    return scores

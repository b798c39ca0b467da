"""Thresholds from normal footage (PROTOCOL section 2); events are in `mpn.scoring.events`.

All of it comes from held-out *normal* footage; nothing here sees a label. Scores are float64 (T,),
one a frame, higher = more anomalous, NaN where there is none (the first frames of a video).

An *episode* is a stretch of frames above a threshold; stretches with less than a second of frames
between them are one. The threshold for r false alarms an hour is read from the table of episodes
where the footage can show that rate (r * hours >= 1). Below that rate it is extrapolated by the
fitted tail, and is never below the highest normal score: footage in which that score was normal
cannot justify an alarm on it. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, genpareto

from mpn.errors import DataError
from mpn.scoring.events import Event, EventFinder, checked_rate, events, gap_frames

__all__ = [
    "Calibration",
    "Event",
    "EventFinder",
    "Level",
    "Rarity",
    "Tail",
    "Threshold",
    "calibrate",
    "episode_peaks",
    "events",
    "part_statistics",
    "poisson_interval",
]

LEVELS = 256  # rows of the table, whatever the hours of footage
_TAIL_QUANTILES = (0.98, 0.95, 0.9, 0.8, 0.7, 0.5)  # where the tail may begin, the first with ...
_PEAKS_FOR_TAIL = 10  # ... so many peaks; if none has, the one with most
_PEAKS_FOR_SHAPE = 30  # fewer say nothing about the tail's shape: exponential then
# Shapes of the Pareto tail. Below 0 it would end: that no normal frame can ever be higher is more
# than footage can show. Above 0.5 few peaks give absurd levels.
_SHAPE_RANGE = (0.0, 0.5)
# Of footage in which anomalies may be: what is below stands for normal. Ped1, Ped2 and generated
# scenes judged by themselves (more than half of their frames are anomalous): by the mean 80.2, 93.0
# and 75.3, by this 82.5, 96.9 and 78.1 (docs/results.md, judged by itself).
ORDINARY = 0.1
_REPLICATES = 200  # of the tail, for intervals
_SEED = 0


class Level(NamedTuple):
    """One row of the table of normal footage.

    Attributes:
        score: that of the row.
        frames: normal frames with at least this score.
        episodes: the most episodes above this score or any higher one (episodes merge at low
            thresholds, so their plain count would fall again).
    """

    score: float
    frames: int
    episodes: int


class Tail(NamedTuple):
    """The peaks of episodes above the start of the tail: generalised Pareto.

    Attributes:
        start: where the tail begins.
        scale: of the distribution.
        shape: of the distribution; 0 is the exponential tail.
        peaks: how many there are.
    """

    start: float
    scale: float
    shape: float
    peaks: float

    def level(self, episodes: float) -> float:
        """Return the score above which so many episodes are expected in footage of the same length.

        Coles, An Introduction to Statistical Modeling of Extreme Values (2001), section 4.3.3.

        Args:
            episodes: the number that is expected.
        """
        ratio = math.log(self.peaks / episodes)
        if abs(self.shape) < 1e-9:
            return self.start + self.scale * ratio
        return self.start + self.scale * math.expm1(self.shape * ratio) / self.shape


class Threshold(NamedTuple):
    """A score for so many false alarms an hour, with its 95 % interval and what it rests on.

    Attributes:
        value: the score.
        extrapolated: the footage is too short to show this rate.
        interval: (low, high), 95 %.
        hours: of the footage.
        false_alarms_per_hour: the rate.
        tail: how the table was continued, see `Calibration.tail_kind`.
        highest_normal: the highest score of that footage; NaN where there is none.
    """

    value: float
    extrapolated: bool
    interval: tuple[float, float]
    hours: float
    false_alarms_per_hour: float
    tail: str
    highest_normal: float = math.nan


class Rarity(NamedTuple):
    """How rare a score is among normal frames.

    Attributes:
        one_in: rarer than 1 in so many normal frames.
        beyond: higher than any normal score, so a lower bound.
    """

    one_in: float
    beyond: bool


@dataclass(frozen=True)
class Calibration:
    """What normal footage of one camera looks like; plain numbers, of one size for any hours of it.

    Attributes:
        frames: of the footage behind it, those with a smoothed score.
        hours: the same in hours.
        fps: its frame rate.
        levels: the table, scores falling.
        tail: the fit.
        tail_kind: "gpd" (generalised Pareto), "exponential" (too few peaks for a shape) or "spread"
            (too few peaks for anything: the spread of all scores as scale).
        replicates: the fit on data drawn from it.
        episode_frames: of an episode of high scores, on average: neighbouring frames are alike, and
            so many stand for one.
    """

    frames: int
    hours: float
    fps: float
    levels: tuple[Level, ...]
    tail: Tail
    tail_kind: str
    replicates: tuple[Tail, ...]
    episode_frames: float = 1.0

    def threshold(self, false_alarms_per_hour: float) -> Threshold:
        """Return the smoothed score that normal footage passes in at most so many episodes an hour.

        Args:
            false_alarms_per_hour: above 0.

        Raises:
            ValueError: a rate that is not above 0.
        """
        rate = float(false_alarms_per_hour)
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"{rate} false alarms an hour, expected a number above 0")
        expected, highest = rate * self.hours, self.levels[0].score
        if extrapolated := expected < 1.0:
            value = max(highest, self.tail.level(expected))
        else:
            value = self._lowest(lambda count: count <= expected)
        low, high = self._interval(value, expected, extrapolated)
        interval = (min(low, value), max(high, value))
        return Threshold(value, extrapolated, interval, self.hours, rate, self.tail_kind, highest)

    def rarity(self, score: float) -> Rarity:
        """Say how rare a smoothed score is.

        That is (normal frames + e) / (those at least as high + e), e = `episode_frames`. The new
        frame and the episode that it comes with are counted in (as conformal p-values count the new
        example), which caps the claim at what the footage can show. With e = 1, as if frames came
        one by one, the highest claims held for one frame in X / 2.5, on average over such footage
        (benchmarks/calibration.py). Between rows of the table the lower one is taken, so it is
        never too strong.

        Args:
            score: smoothed; NaN gives NaN.
        """
        if math.isnan(score):
            return Rarity(math.nan, False)
        below = next((level for level in self.levels if level.score <= score), None)
        as_high = (
            self.frames if below is None else 0 if score > self.levels[0].score else below.frames
        )
        episode = self.episode_frames
        return Rarity((self.frames + episode) / (as_high + episode), score > self.levels[0].score)

    def _lowest(self, allowed: Callable[[int], bool]) -> float:
        """Find the lowest score of the table down to which the number of episodes is allowed.

        Never below where that number stops growing: further down episodes only merge, and a
        threshold there would mean one long alarm.
        """
        value = self.levels[0].score
        for level in self.levels:
            if not allowed(level.episodes):
                break
            value = level.score
            if level.episodes == self.levels[-1].episodes:
                break
        return value

    def _interval(self, value: float, expected: float, extrapolated: bool) -> tuple[float, float]:
        # Basic bootstrap on the logarithm of the height above the tail's start: how far the refits
        # are off the fit is how far the fit may be off the truth. With 20 peaks of a known tail the
        # truth lay above the plain quantiles of the refits in 10 % of 400 trials, above these in
        # 1.5 %.
        height = self.tail.level(expected) - self.tail.start
        drawn = np.array([tail.level(expected) - tail.start for tail in self.replicates])
        if height > 0 and (drawn > 0).all():
            high, low = self.tail.start + height**2 / np.quantile(drawn, [0.025, 0.975])
        else:
            low = high = value
        if extrapolated:
            return float(low), float(high)
        # Where the episodes are seen: the scores whose true rate may be the wanted one by the exact
        # Poisson interval of their number, to the next row of the table on either side.
        # If even the highest score may have that rate, the interval goes on into the tail; at the
        # other end it stops where the number of episodes stops growing, as `_lowest` does.
        counts = np.array([level.episodes for level in self.levels])
        fewest, most = poisson_interval(counts)
        rows = np.flatnonzero((fewest <= expected) & (expected <= most))
        if not len(rows):
            return value, value
        lower = self.levels[min(rows[-1] + 1, int(counts.argmax()))].score
        upper = self.levels[max(rows[0] - 1, 0)].score
        return lower, max(upper, float(high)) if rows[0] == 0 else upper


def poisson_interval(count: int | np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Compute the exact two-sided interval of the mean of a Poisson variable (Garwood 1936).

    It holds for episodes that come independently of each other; where they come in bunches it is
    too narrow.

    Args:
        count: what the variable came out as; where they are several, each has its own interval.
        level: share of the cases in which the interval holds the mean.

    Returns:
        The lower and the upper end, float64 of the shape of `count`.
    """
    counts, outside = np.asarray(count, np.float64), (1.0 - level) / 2
    low = np.where(counts > 0, chi2.ppf(outside, 2 * np.maximum(counts, 1)) / 2, 0.0)
    return low, chi2.ppf(1.0 - outside, 2 * counts + 2) / 2


def part_statistics(
    parts: Mapping[str, Mapping[str, np.ndarray]], *, mixed: bool = False
) -> dict[str, tuple[float, float]]:
    """Compute mean and standard deviation of each raw part over the normal frames of all videos.

    A part that never changes gets deviation 1, so that its units are plain differences.

    Args:
        parts: video -> part -> float (T,), NaN left out.
        mixed: anomalies may be among the frames, so that their mean lies above what is normal: the
            `ORDINARY` quantile takes its place.

    Returns:
        Part -> (mean, deviation).

    Raises:
        DataError: a part without any finite score.
    """
    result = {}
    for part in dict.fromkeys(name for video in parts.values() for name in video):
        values = np.concatenate([np.asarray(video[part], np.float64) for video in parts.values()])
        values = values[~np.isnan(values)]
        if not len(values) or not np.isfinite(values).all():
            raise DataError(
                f"normal footage gives no finite {part!r} to calibrate on ({len(values)} frames)"
            )
        mean = float(np.quantile(values, ORDINARY) if mixed else values.mean())
        deviation = float(values.std())
        result[part] = (mean, deviation if deviation > 1e-12 * max(1.0, abs(mean)) else 1.0)
    return result


def calibrate(smoothed: Mapping[str, np.ndarray], fps: float | Fraction) -> Calibration:
    """Fit everything on normal, held-out footage of one camera.

    Args:
        smoothed: video -> smoothed combined score (T,), as it will be compared with the threshold;
            NaN is left out.
        fps: frames per second.

    Raises:
        DataError: there is no finite score or no frame rate.
    """
    rate = checked_rate(fps)
    videos = [np.asarray(x, np.float64) for x in smoothed.values()]
    together = np.sort(np.concatenate([*videos, np.empty(0)]))[::-1]
    together = together[~np.isnan(together)]
    if not len(together) or not np.isfinite(together).all():
        raise DataError("normal footage gives no finite score to calibrate on; use longer footage")
    # Ranks 1, 2, 3, ... and then ever further apart: the table is fine where scores are rare.
    ranks = np.unique(np.geomspace(1, len(together), LEVELS).round().astype(int))
    counts: list[Level] = []
    most = 0
    for score in np.unique(together[ranks - 1])[::-1].tolist():
        most = max(most, sum(len(episode_peaks(x, score, rate)) for x in videos))
        counts.append(Level(score, int((together >= score).sum()), most))
    start, peaks = _tail_start(videos, together, rate)
    kind, tail, replicates = _fit_tail(start, peaks, together)
    # Scores that never rise have no episode: then all frames of a video are alike.
    alike = (together > start).sum() / len(peaks) if len(peaks) else len(together) / len(videos)
    return Calibration(
        len(together),
        float(len(together) / rate / 3600),
        float(rate),
        tuple(counts),
        tail,
        kind,
        replicates,
        float(max(alike, 1.0)),
    )


def episode_peaks(x: np.ndarray, level: float, fps: Fraction) -> np.ndarray:
    """Find the highest score of each episode above a level in one video.

    Args:
        x: the video's scores (T,); NaN is not above.
        level: what the frames of an episode are above.
        fps: frames per second.
    """
    above = np.flatnonzero(x > level)
    if not len(above):
        return np.empty(0)
    begins = np.flatnonzero(np.diff(above) - 1 >= gap_frames(fps)) + 1
    return np.maximum.reduceat(x[above], np.concatenate([[0], begins]))


def _tail_start(
    videos: Sequence[np.ndarray], together: np.ndarray, fps: Fraction
) -> tuple[float, np.ndarray]:
    """Find a high quantile of all scores `together`, and the peaks of the episodes above it."""
    starts = [float(np.quantile(together, q)) for q in _TAIL_QUANTILES]
    tails = [np.concatenate([episode_peaks(x, start, fps) for x in videos]) for start in starts]
    # As high as the peaks allow: lower down, everyday frames would stand for the tail.
    best = int(np.argmax([min(len(peaks), _PEAKS_FOR_TAIL) for peaks in tails]))
    return starts[best], tails[best]


def _fit_tail(
    start: float, peaks: np.ndarray, together: np.ndarray
) -> tuple[str, Tail, tuple[Tail, ...]]:
    """Fit the distribution of the peaks above `start`; scores falling in `together`."""
    excess = peaks - start
    rng = np.random.default_rng(_SEED)
    # How many peaks such footage might have had: the Jeffreys posterior of a Poisson mean.
    counts = rng.gamma(len(excess) + 0.5, size=_REPLICATES)
    if len(excess) < 3:
        # Nothing to fit: behind the highest score an exponential tail with the spread of all
        # scores.
        tail = Tail(float(together[0]), float(together.std()), 0.0, float(max(len(excess), 1)))
        return "spread", tail, tuple(tail._replace(peaks=float(count)) for count in counts)
    kind = "gpd" if len(excess) >= _PEAKS_FOR_SHAPE else "exponential"
    tail = Tail(start, *_scale_and_shape(excess, kind), float(len(excess)))
    replicates = []
    for count in counts:
        size = max(1, round(count))
        sample = np.asarray(
            genpareto.rvs(tail.shape, scale=tail.scale, size=size, random_state=rng)
        )
        replicates.append(Tail(start, *_scale_and_shape(sample, kind), float(count)))
    return kind, tail, tuple(replicates)


def _scale_and_shape(excess: np.ndarray, kind: str) -> tuple[float, float]:
    """Fit a generalised Pareto by probability-weighted moments on excesses over the tail's start.

    Hosking and Wallis, Technometrics 29 (1987): closed, and better than maximum likelihood below
    some 500 peaks. Outside the range of shapes the nearest shape is taken and the mean kept.
    """
    mean = float(excess.mean())
    if kind == "exponential" or len(excess) < 3:
        return mean, 0.0
    rank = np.arange(len(excess))
    weighted = float((np.sort(excess)[::-1] * rank).sum() / (len(excess) * (len(excess) - 1)))
    shape = float(np.clip(2.0 - mean / (mean - 2.0 * weighted), *_SHAPE_RANGE))
    return mean * (1.0 - shape), shape

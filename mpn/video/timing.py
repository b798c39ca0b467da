"""The times of a video's frames: rates, the span asked for, what presentation times say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import NamedTuple

import numpy as np

HIGHEST_RATE = 1000  # frames/s; headers that say more are wrong
MIN_INTERVALS = 5  # between presentation times, to tell something
# A longer gap in the times is a recorder's pause, not a loss: that many frames would be made up.
LONGEST_LOSS = 10.0  # seconds
JUST = 1e-6  # seconds; times are rounded, and a start of 0.1 + 0.2 means the frame at 0.3


# Frames/s where nothing says how fast footage is; whoever uses it says so.
USUAL_RATE = 25.0


def frame_rate(value: object) -> Fraction | None:
    """Read a frame rate; headers hold rounded decimals: 29.97002997 becomes 30000/1001.

    Args:
        value: a number or text such as "30000/1001", in frames/s.

    Returns:
        The rate, or None where the figure is absurd (0, negative, nan, above 1000, no number).
    """
    if not isinstance(value, (str, float, Decimal, Rational)):
        return None
    try:
        rate = Fraction(value).limit_denominator(1001)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return rate if 0 < rate <= HIGHEST_RATE else None


class Span(NamedTuple):
    """What of a source is shown: the frames at start <= seconds < end, of these every n-th."""

    start: float = 0.0
    end: float = math.inf
    every: int = 1

    def begun(self, seconds: float) -> bool:
        """Say whether a moment is not before the start; an unknown one (NaN) is not."""
        return not seconds < self.start - JUST

    def over(self, seconds: float) -> bool:
        """Say whether a moment is behind the end."""
        return seconds >= self.end - JUST

    def indices(self, length: int, rate: Fraction | None) -> range:
        """Give the frames shown of `length` at equal intervals.

        Args:
            length: frames that there are.
            rate: frames/s; without start and end none is needed.

        Raises:
            ValueError: there is a start or an end and no rate.
        """
        first, stop = 0, length
        if not self.whole:
            if rate is None:
                raise ValueError("a start or an end in seconds needs a rate")
            if self.start:
                first = math.ceil((self.start - JUST) * rate)
            if self.end != math.inf:
                stop = min(length, math.ceil((self.end - JUST) * rate))
        return range(first, max(first, stop), self.every)

    @property
    def whole(self) -> bool:
        """Say whether it has neither start nor end."""
        return not self.start and self.end == math.inf


WHOLE = Span()


class Timing(NamedTuple):
    """What presentation times say.

    Attributes:
        period: seconds between frames, NaN if they say nothing.
        steady: nearly all intervals are equal.
    """

    period: float
    steady: bool

    @property
    def rate(self) -> Fraction | None:
        """Return frames/s, None if unknown.

        Times are rounded (Matroska: to 1 ms), so what is near a usual rate is that rate.
        """
        if not self.period > 0:
            return None
        measured = 1 / self.period
        usual = [Fraction(round(measured)), Fraction(round(measured) * 1000, 1001)]
        nearest = min(usual, key=lambda rate: abs(rate - measured))
        return frame_rate(nearest if abs(nearest - measured) < 0.003 * measured else measured)


def timing_of(milliseconds: Sequence[float]) -> Timing:
    """Measure the timing of a stream by the presentation times of its first frames.

    Steady: at most a tenth of the intervals (or one) is off the median by more than a tenth and 1.5
    ms, which covers times rounded to 1 ms. Only in a steady stream a longer interval means lost
    frames; in one of variable rate (phones, screen recordings, cameras that record motion) it means
    nothing.

    Args:
        milliseconds: the times in order; one that does not rise is unknown.
    """
    steps = np.diff(np.asarray(milliseconds, float))
    steps = steps[steps > 0]  # where a time does not rise it is unknown
    if len(steps) < MIN_INTERVALS:
        return Timing(math.nan, False)
    typical = float(np.median(steps))
    regular = np.abs(steps - typical) <= max(0.1 * typical, 1.5)
    steady = int((~regular).sum()) <= max(1, len(steps) // 10)
    return Timing(float(steps[regular].mean() if steady else steps.mean()) / 1000, steady)


class FrameClock:
    """Tells the times of a stream's frames, and how many frames are missing before each.

    Attributes:
        period: seconds between frames, NaN if unknown.
        time: of the newest frame, in seconds from the first; NaN if unknown.
        longest_pause: the longest gap in the times that was taken for a recorder's pause, seconds.
    """

    def __init__(self, period: float, steady: bool, gaps: bool) -> None:
        """Start before the first frame.

        Args:
            period: seconds between frames, NaN if unknown.
            steady: nearly all intervals are equal; given up where more than a tenth turn out
                different.
            gaps: in a steady stream, take longer intervals for lost frames; else only failed reads
                count.
        """
        self.period, self._steady, self._gaps = period, steady, gaps
        self.time = math.nan
        self.longest_pause = 0.0
        self._intervals = self._odd = 0
        self._offset: float | None = None  # presentation time of the moment 0
        self._newest = self._before = 0.0  # highest and last presentation time

    @property
    def steady(self) -> bool:
        """Say whether the stream has kept its rate so far."""
        return self._steady and self._odd <= 3 + self._intervals // 10

    def tick(self, milliseconds: float, failed: int) -> tuple[int, float]:
        """Take the next good frame.

        Args:
            milliseconds: its presentation time as OpenCV gives it.
            failed: reads that failed before it.

        Returns:
            How many frames are missing before it, and its time in seconds.
        """
        now = max(milliseconds, 0.0) / 1000
        if self._offset is None:
            self.time = failed * self.period if failed else 0.0
            self._offset = now - (0.0 if math.isnan(self.time) else self.time)
            self._newest = self._before = now
            return failed, self.time
        step = self._step(now, failed, self._offset)
        missing = self._missing(step, failed)
        self.time += step
        return missing, self.time

    def _step(self, now: float, failed: int, offset: float) -> float:
        """Measure the seconds since the frame before: never negative."""
        guess = self.period * (failed + 1)
        if now > self._newest:
            step = now - offset - self.time
            step = guess if math.isnan(step) else max(step, 0.0)
            self._newest = now
        else:
            step = guess
            # lower times that rise again: the stream has begun anew, as in joined files
            if now > self._before:
                self._offset = now - (self.time + step)
                self._newest = now
        self._before = now
        return step

    def _missing(self, step: float, failed: int) -> int:
        """Count the frames that are missing in a step of so many seconds."""
        share = step / self.period
        if math.isnan(share):
            return failed
        self._intervals += 1
        self._odd += abs(share - 1) > 0.1
        if not self.steady or not self._gaps:
            return failed
        if step > LONGEST_LOSS:
            self.longest_pause = max(self.longest_pause, step)
            return failed
        count = round(share)  # a lost frame leaves a whole number of periods
        return count - 1 if count > 1 and abs(share - count) <= max(0.25, 0.002 * count) else 0

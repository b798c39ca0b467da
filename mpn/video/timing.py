"""The times of a video's frames: rates, the span asked for, what presentation times say."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import NamedTuple

import numpy as np

from mpn.io.runs import intervals

HIGHEST_RATE = 1000  # frames/s; headers that say more are wrong
MIN_INTERVALS = 5  # between presentation times, to tell a rate that the header denies
# What a gap in the times of a steady stream can be and still be a loss. Else it is a pause of the
# recorder: frames would be made up.
LONGEST_LOSS = 10.0  # seconds
MAX_LOST = 0.2  # of the frames that there are
MAX_IN_A_ROW = 4  # irregular intervals; more are another rate
CATCH_UP = 3  # regular intervals, at most, between a late frame and those that make up for it
LONG_PAUSE = 10  # times the usual interval: more says nothing of the rate
ROUNDED = 1e-3  # seconds; .mkv and .flv have times in whole milliseconds
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

    def indices_of(self, times: np.ndarray) -> range:
        """Give the frames shown of those at `times`.

        Args:
            times: float64 (frames,), seconds, never falling; without start and end NaN will do.
        """
        first, stop = 0, len(times)
        if not self.whole:
            first, stop = np.searchsorted(times, np.array([self.start, self.end]) - JUST).tolist()
        return range(first, max(first, stop), self.every)

    @property
    def whole(self) -> bool:
        """Say whether it has neither start nor end."""
        return not self.start and self.end == math.inf


WHOLE = Span()


class Timeline(NamedTuple):
    """When the frames of a stream are shown, lost ones with them.

    Attributes:
        seconds: float64 (frames,), from the first frame; never falls, NaN if unknown.
        recorded: int64 (recorded frames,): which of the frames each recorded one is.
        rate: frames/s of steady stretches, where the rate varies the mean without pauses; None if
            the times say nothing.
        steady: nearly all intervals are equal.
        sure: there are intervals enough to believe `rate` rather than a header.
        longest_pause: seconds of the longest interval that is no loss and no part of `rate`, else
            0.
    """

    seconds: np.ndarray
    recorded: np.ndarray
    rate: Fraction | None
    steady: bool
    sure: bool
    longest_pause: float

    @property
    def lost(self) -> np.ndarray:
        """Return the frames that were never recorded, int64."""
        return np.setdiff1d(np.arange(len(self.seconds)), self.recorded)


def timeline_of(times: np.ndarray, tick: float = 0.0, last: float = math.nan) -> Timeline:
    """Tell rate, pauses and lost frames from all presentation times of a stream.

    Steady: at most a fifth of the intervals (or three) is off the median by more than a tenth and
    1.5 ticks; a late frame makes two such. Only in a steady stream can an interval mean lost
    frames, and only where it and its neighbours together are whole periods: a late frame, whose
    long interval a short one follows, is none. In a stream of variable rate (phones, screen
    recordings, cameras that see less at night) a long interval means nothing.

    Args:
        times: float64 (recorded frames,), seconds, rising; NaN where there are none.
        tick: seconds that the times are rounded to.
        last: seconds that the last frame is shown, NaN if unknown.
    """
    count = len(times)
    steps = np.diff(np.asarray(times, np.float64))
    rising = steps[steps > 0]
    nothing = Timeline(np.full(count, math.nan), np.arange(count), None, False, False, 0.0)
    if not rising.size or not np.isfinite(steps).all():
        return nothing
    typical = float(np.median(rising))
    regular = np.abs(steps - typical) <= max(0.1 * typical, 1.5 * tick)
    steady = int((~regular).sum()) <= max(3, len(steps) // 5) and bool(regular.any())
    is_pause = steps > LONG_PAUSE * typical
    if steady:
        period = float(steps[regular].mean())
        missing = _missing(steps, regular, period)
        is_pause &= missing == 0
    else:
        shown = steps[~is_pause]
        if 0 < last <= LONG_PAUSE * typical:
            shown = np.append(shown, last)
        period, missing = float(shown.mean()), np.zeros(len(steps), np.int64)
    recorded = np.concatenate([[0], np.cumsum(missing + 1)])
    seconds = np.interp(np.arange(recorded[-1] + 1), recorded, times - times[0])
    pause = float(steps[is_pause].max()) if is_pause.any() else 0.0
    sure = len(rising) >= MIN_INTERVALS
    rate = _near_usual(period)
    return Timeline(_unrounded(seconds, rate, steady), recorded, rate, steady, sure, pause)


def _missing(steps: np.ndarray, regular: np.ndarray, period: float) -> np.ndarray:
    """Count the frames lost in each interval of a steady stream, int64."""
    missing = np.zeros(len(steps), np.int64)
    together = ~regular
    for start, end in intervals(regular):
        if start > 0 and end < len(steps) and end - start <= CATCH_UP:
            together[start:end] = True
    for start, end in intervals(together):
        stretch = steps[start:end]
        elapsed = float(stretch.sum())
        at_an_end = start == 0 or end == len(steps)  # nothing beyond shows the beat kept
        irregular = int((~regular[start:end]).sum())
        if at_an_end or irregular > MAX_IN_A_ROW or elapsed > LONGEST_LOSS:
            continue
        periods = round(elapsed / period)  # whole ones, if frames were lost
        count = periods - (end - start)
        if count < 1 or abs(elapsed / period - periods) > max(0.25, 0.002 * periods):
            continue
        each = np.maximum(np.rint(stretch / period).astype(np.int64) - 1, 0)
        if each.sum() != count:
            each[:] = 0
            each[np.argmax(stretch)] = count
        missing[start:end] = each
    if missing.sum() > MAX_LOST * (len(steps) + 1):  # then it records on and off
        missing[:] = 0
    return missing


def _near_usual(period: float) -> Fraction | None:
    """Return the rate of a period in seconds: a usual one, if near, for times are rounded."""
    measured = 1 / period
    usual = [Fraction(round(measured)), Fraction(round(measured) * 1000, 1001)]
    nearest = min(usual, key=lambda rate: abs(rate - measured))
    return frame_rate(nearest if abs(nearest - measured) < 0.003 * measured else measured)


def _unrounded(seconds: np.ndarray, rate: Fraction | None, steady: bool) -> np.ndarray:
    """Replace times that are a frame's number / rate, but for rounding, by just that."""
    if rate is None:  # of an absurd rate: the times are absurd too
        return np.full(len(seconds), math.nan)
    exact = np.arange(len(seconds)) * rate.denominator / rate.numerator
    near = np.abs(exact - seconds) <= ROUNDED
    return np.maximum.accumulate(np.where(near & steady, exact, seconds))

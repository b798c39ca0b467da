"""Which frames of a stream are kept, evenly, and what its clock says in terms of this machine's."""

from __future__ import annotations

import math
from dataclasses import dataclass

EARLY = 0.25  # of an interval by which a frame may come before it is due
BACK, AHEAD = 0.5, 5.0  # seconds that times fall, or run ahead of the clock, in a jump
# Seconds that a stream may be ahead of or behind the clock before it is brought to it again; and
# how often that may happen until its times are believed no more.
DRIFT_AHEAD, DRIFT_BEHIND, MAX_DRIFTS = 1.0, 3.0, 3
MIN_STEP = 1e-3  # seconds between two frames


@dataclass
class Pace:
    """What there is time for.

    Attributes:
        network: share of the frames that the network is asked about, in [0, 1].
    """

    network: float = 1.0


class RateGate:
    """Lets so many frames a second through, as evenly as they come.

    Args:
        rate: frames a second.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._due = -math.inf

    def set_rate(self, rate: float) -> None:
        """Let another number of frames a second through from now on.

        Args:
            rate: frames a second.
        """
        self._interval = 1 / rate

    def admits(self, seconds: float) -> bool:
        """Say whether a frame is let through.

        Args:
            seconds: when it was taken.
        """
        if math.isinf(self._due) or seconds < self._due - 2 * self._interval:
            self._due = seconds  # the first, or the clock was set back
        if seconds < self._due - EARLY * self._interval:
            return False
        self._due = max(self._due, seconds - self._interval) + self._interval
        return True


class StreamClock:
    """Brings the times of one connection to the monotonic clock of this machine.

    A stream's own times are steadier than those of arrival; where they wander off, as those of
    MJPEG over HTTP do, which are made up, arrival counts.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._base = math.nan
        self._before: tuple[float, float] | None = None
        self._latest = now
        self._drifts = 0

    def jumped(self, seconds: float, now: float) -> float:
        """Say by how many seconds the stream's clock has jumped since the frame before, or 0.

        Args:
            seconds: of the frame, by the stream; NaN if unknown.
            now: monotonic seconds of its arrival.
        """
        before, self._before = self._before, (seconds, now)
        if before is None or math.isnan(seconds) or math.isnan(before[0]):
            return 0.0
        step, passed = seconds - before[0], now - before[1]
        if -BACK <= step <= passed + AHEAD:
            return 0.0
        self._base = math.nan
        return step - passed

    def at(self, seconds: float, now: float) -> float:
        """Return when a frame was taken, monotonic seconds; rises.

        Args:
            seconds: of the frame, by the stream; NaN if unknown.
            now: monotonic seconds of its arrival.
        """
        taken = now
        if not math.isnan(seconds) and self._drifts <= MAX_DRIFTS:
            if math.isnan(self._base):
                self._base = now - seconds
            taken = self._base + seconds
            if taken > now + DRIFT_AHEAD or taken < now - DRIFT_BEHIND:
                self._drifts += 1
                self._base, taken = now - seconds, now
        self._latest = max(taken, self._latest + MIN_STEP)
        return self._latest

    def shift(self, by: float) -> None:
        """Let all that follows be so many seconds later.

        Args:
            by: seconds.
        """
        self._base += by
        self._latest += by

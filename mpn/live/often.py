"""A camera that alarms far more often than it was asked to: not all that is normal was learned."""

from __future__ import annotations

import math
import time
from collections import deque

from scipy.stats import poisson

HOUR = 3600.0
APART = 30.0  # seconds: what goes on is alarmed again and again, and is one
# So sure it is that alarms which come as often as was asked for are no more than the limit.
SURE = 0.999
WORDS = (
    "alarms far more often than was asked for: what is normal is taught (Normal here, mpn teach), "
    "or the camera is learned anew, from more minutes"
)


class Often:
    """Counts the alarms of the last hour.

    Args:
        per_hour: alarms that were asked for, above 0.

    Attributes:
        limit: more alarms in an hour are far more often: by a Poisson distribution.
    """

    def __init__(self, per_hour: float) -> None:
        self.limit = int(poisson.ppf(SURE, per_hour))
        self._begun: deque[float] = deque(maxlen=self.limit + 1)
        self._latest = -math.inf

    def add(self, wall: float) -> bool:
        """Take an alarm.

        Args:
            wall: Unix seconds of its beginning.

        Returns:
            True where it is the one with which there are too many.
        """
        before = self.too_many(wall)
        if wall - self._latest >= APART:
            self._begun.append(wall)
        self._latest = wall
        return self.too_many(wall) and not before

    def too_many(self, wall: float | None = None) -> bool:
        """Say whether there were far more than was asked for in the last hour.

        Args:
            wall: Unix seconds at which it is asked; now by default.
        """
        now = time.time() if wall is None else wall
        return len(self._begun) > self.limit and self._begun[0] > now - HOUR

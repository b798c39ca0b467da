"""How many of the frames there is time for: the same share of every camera's."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mpn.live.stream import CameraStream

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
LEAST_SHARE = 0.1
MANY = 0.02  # of the frames that are to be scored: if more overflow, there is too little time
IDLE = 0.1  # share of the time with nothing to do, with which there is room for more
# The share rises by so much of the share of the time with nothing to do, at a time: from a start in
# which hardly a frame had its time in seconds. It falls to so much of what there was time for.
RAISED, LOWERED = 0.3, 0.95
SAID, SAID_SECONDS = 0.1, 60.0  # by how much it has to change to be said again, and for how long


class Governor:
    """Gives all streams the share of their frames that there is time for.

    Args:
        streams: of the cameras.
    """

    def __init__(self, streams: Sequence[CameraStream]) -> None:
        self._streams, self.share = streams, 1.0
        self._idle, self._looked = 0.0, -1.0
        self._before = self._counted()
        self._said, self._said_at = 1.0, -SAID_SECONDS

    def idle(self, seconds: float) -> None:
        """Note time in which there was nothing to do."""
        self._idle += seconds

    def update(self, now: float) -> None:
        """Look at what became of the frames lately, and share out anew.

        Args:
            now: monotonic seconds.
        """
        if self._looked < 0:
            self._looked, self._before, self._idle = now, self._counted(), 0.0
        passed = now - self._looked
        if passed < LOOK_SECONDS:
            return
        kept, overflowed = (new - old for new, old in zip(self._counted(), self._before))
        idle = self._idle / passed
        self._looked, self._before, self._idle = now, self._counted(), 0.0
        share = self.share
        if kept and overflowed > MANY * kept:
            share *= max(0.3, LOWERED * (kept - overflowed) / kept)
        elif idle > IDLE:
            share *= 1 + RAISED * idle
        self._give(min(1.0, max(LEAST_SHARE, share)))
        self._say(now)

    def _counted(self) -> tuple[int, int]:
        """Count the frames that were kept, and of these those that overflowed."""
        counts = [stream.counts for stream in self._streams]
        return sum(one.kept for one in counts), sum(one.overflowed for one in counts)

    def _give(self, share: float) -> None:
        if share == self.share:
            return
        self.share = share
        for stream in self._streams:
            stream.give_share(share)

    def _say(self, now: float) -> None:
        if now - self._said_at < SAID_SECONDS or abs(self.share - self._said) < SAID:
            return
        self._said, self._said_at = self.share, now
        if self.share > 1 - SAID:
            log.info("there is time for all frames again")
        else:
            log.warning(
                "too slow: %.0f%% of the frames are scored, of every camera", 100 * self.share
            )

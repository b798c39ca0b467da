"""What there is time for: the network's say in the frames, then the frames, of all cameras alike.

Motion finds most on a camera that the network has not seen, and costs less. So where there is too
little time, the network is asked about fewer frames first, and only where it is asked about none
are frames left out: not for a moment alone, such as one in which a camera is learned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from mpn.live.rates import Pace
from mpn.live.stream import CameraStream

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
MIN_SHARE = 0.1
MANY = 0.02  # of the frames that are to be scored: if more overflow, there is too little time
IDLE = 0.1  # share of the time with nothing to do, with which there is room for more
# The share rises by so much of the share of the time with nothing to do, at a time: from a start in
# which hardly a frame had its time in seconds. It falls to so much of what there was time for.
RAISED, LOWERED = 0.3, 0.95
MIN_NETWORK = 0.05  # the network's share of the frames: below it is not asked at all
SAID, SAID_SECONDS = 0.1, 60.0  # by how much it has to change to be said again, and for how long


class Governor:
    """Gives the network, and all streams, the share of the frames that there is time for.

    Args:
        streams: of the cameras.
        pace: of all of them.
        asks: says whether any camera asks the network; where none does, frames alone are shared.

    Attributes:
        share: of the frames that are scored.
    """

    def __init__(
        self, streams: Sequence[CameraStream], pace: Pace, asks: Callable[[], bool]
    ) -> None:
        self._streams, self._pace, self.share = streams, pace, 1.0
        self._asks, self._network_asked, self._late = asks, False, False
        self._idle, self._looked = 0.0, -1.0
        self._before = self._counted()
        self._said_shares, self._said_at = (1.0, 1.0), -SAID_SECONDS

    @property
    def short(self) -> bool:
        """Say whether there is too little time for all."""
        return self.share < 1 or (self._network_asked and self._pace.network < 1)

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
        queued, overflowed = (new - old for new, old in zip(self._counted(), self._before))
        idle = self._idle / passed
        self._looked, self._before, self._idle = now, self._counted(), 0.0
        self._network_asked = self._asks()
        share, network = self.share, self._pace.network
        late, self._late = self._late, bool(queued) and overflowed > MANY * queued
        if self._late:
            lowered = max(0.3, LOWERED * (queued - overflowed) / queued)
            if self._network_asked and network:
                network *= lowered
            elif late:
                share *= lowered
        elif idle > IDLE:
            if share < 1:
                share *= 1 + RAISED * idle
            elif self._network_asked:
                network = max(MIN_NETWORK, network * (1 + RAISED * idle))
        self._pace.network = min(1.0, network) if network >= MIN_NETWORK else 0.0
        self._give(min(1.0, max(MIN_SHARE, share)))
        self._say(now)

    def _counted(self) -> tuple[int, int]:
        """Count the frames that were kept, and of these those that overflowed."""
        counts = [stream.counts for stream in self._streams]
        return sum(count.kept for count in counts), sum(count.overflowed for count in counts)

    def _give(self, share: float) -> None:
        if share == self.share:
            return
        self.share = share
        for stream in self._streams:
            stream.give_share(share)

    def _say(self, now: float) -> None:
        shares = self.share, self._pace.network if self._network_asked else 1.0
        changed = max(abs(new - old) for new, old in zip(shares, self._said_shares))
        if now - self._said_at < SAID_SECONDS or changed < SAID:
            return
        self._said_shares, self._said_at = shares, now
        share, network = (f"{100 * value:.0f}%" for value in shares)
        if self.share <= 1 - SAID:
            log.warning("too slow: %s of the frames are scored, of every camera", share)
        elif shares[1] <= 1 - SAID:
            log.warning("motion judges all frames; there is time to ask the network of %s", network)
        else:
            log.info("there is time for all frames again")

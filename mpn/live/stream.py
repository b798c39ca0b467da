"""One camera's stream: a thread that opens it, keeps the newest frames, and never gives up.

Whatever goes wrong becomes a state of the stream (`StreamState`), and it is opened again, later
each time.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from mpn.errors import MpnError
from mpn.live.address import hidden, is_file, without_secrets
from mpn.live.opening import Picture, open_pictures
from mpn.live.rates import RateGate, StreamClock

log = logging.getLogger(__name__)

DEPTH = 2  # frames that wait, at most: more of them would only be older
STALE = 0.5  # seconds that a frame waits, at the most, where a newer one is there
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before a stream is opened again
WELL_SECONDS = 30.0  # a stream that ran so long begins with the first wait again
LATE = 0.5  # seconds by which a file may be late before it goes on from there


class StreamState(str, Enum):
    """Where a stream stands."""

    STARTING = "starting"
    RUNNING = "running"
    DISCONNECTED = "disconnected"
    ENDED = "ended"


@dataclass(frozen=True)
class LiveFrame:
    """A frame of a camera.

    Attributes:
        image: uint8 (H, W, 3), BGR.
        seconds: when it was taken, by the stream's clock, brought to the monotonic one; rises.
        arrived: when it came, monotonic seconds.
        wall: the same in Unix seconds.
        restart: it does not follow the frame before: the stream was opened anew, or its clock
            jumped.
    """

    image: np.ndarray
    seconds: float
    arrived: float
    wall: float
    restart: bool = False


@dataclass(frozen=True)
class Counts:
    """What became of a stream's frames so far.

    Attributes:
        received: frames that came.
        kept: of these those that were put into the queue.
        dropped: frames left out because there was no time for them.
        overflowed: of these those that had waited already.
        reconnects: how often the stream was opened again.
        jumps: how often its clock jumped.
    """

    received: int = 0
    kept: int = 0
    dropped: int = 0
    overflowed: int = 0
    reconnects: int = 0
    jumps: int = 0


class CameraStream:
    """Reads a camera's stream in a thread of its own, and keeps its newest frames.

    Args:
        url: of the camera.
        fps: at most so many frames a second are kept.
        loop: a file begins again at its end.
        wake: set whenever a frame came.
        opener: gives the pictures of a stream, for tests.
        wait: waits so many seconds before the stream is opened again; True to stop.
    """

    def __init__(
        self,
        url: str,
        fps: float,
        *,
        loop: bool = False,
        wake: threading.Event | None = None,
        opener: Callable[[str], Generator[Picture, None, None]] = open_pictures,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.url, self.loop, self._opener = url, loop, opener
        self.name = without_secrets(url)
        self._wake = wake or threading.Event()
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._lock = threading.Lock()
        self._frames: deque[LiveFrame] = deque()
        self._limit, self._share = RateGate(fps), RateGate(fps)
        self._fps, self._given_share = fps, 1.0
        self._counts = Counts()
        self._state, self._detail, self._since = StreamState.STARTING, "", time.time()
        self._restart = True
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Stop reading; a thread that waits for the network is left to its time-out.

        Args:
            seconds: that are waited for it.
        """
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def state(self) -> tuple[StreamState, str, float]:
        """Return where it stands, a line on it, and Unix seconds from when on."""
        with self._lock:
            return self._state, self._detail, self._since

    @property
    def counts(self) -> Counts:
        """Return what became of its frames so far."""
        with self._lock:
            return self._counts

    @property
    def waiting(self) -> int:
        """Return how many frames wait to be taken."""
        return len(self._frames)

    def take(self) -> LiveFrame | None:
        """Take the oldest of the frames that wait and are not stale, None where there is none."""
        with self._lock:
            stale = time.monotonic() - STALE
            while len(self._frames) > 1 and self._frames[0].arrived < stale:
                self._drop_oldest()
            return self._frames.popleft() if self._frames else None

    def give_share(self, share: float) -> None:
        """Keep a share of the frames only, evenly; the others count as dropped.

        Args:
            share: in (0, 1].
        """
        with self._lock:
            if share != self._given_share:
                self._given_share = share
                self._share.set_rate(self._fps * share)

    # --- In the thread

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._read()
                reason = "the stream is over"
            except Exception as error:  # noqa: BLE001 (whatever it is, the camera is tried again)
                reason = self._reason(error)
            if self._stopped.is_set():
                return
            if is_file(self.url) and reason == "the stream is over":
                if not self.loop:
                    self._set(StreamState.ENDED, "the file is over")
                    self._wake.set()
                    return
                self._restart = True
                continue
            if time.monotonic() - began > WELL_SECONDS:
                wait = FIRST_WAIT
            # Cameras behind one switch that comes back must not all knock at once.
            pause = wait * random.uniform(0.5, 1.0)
            # No time in it: whoever is told of states takes another text for news.
            self._set(StreamState.DISCONNECTED, f"{reason}; tried again, each minute at the least")
            self._wake.set()
            wait = min(2 * wait, LONGEST_WAIT)
            if self._wait(pause):
                return
            self._count(reconnects=1)
            self._restart = True

    def _reason(self, error: Exception) -> str:
        text = str(error) if isinstance(error, MpnError) else getattr(error, "strerror", None)
        text = " ".join((text or str(error) or type(error).__name__).split())
        return hidden(text, self.url)[:200]

    def _read(self) -> None:
        clock = StreamClock(time.monotonic())
        with closing(self._opener(self.url)) as pictures:
            for picture in pictures:
                if self._stopped.is_set():
                    return
                self._take_in(picture, clock)

    def _take_in(self, picture: Picture, clock: StreamClock) -> None:
        now = time.monotonic()
        jumped = clock.jumped(picture.seconds, now)
        if jumped:
            self._count(jumps=1)
            log.warning("%s: its clock jumped by %+.1f s", self.name, jumped)
            self._restart = True
        seconds = clock.at(picture.seconds, now)
        if picture.paced:
            late = now - seconds
            if late > LATE:
                clock.shift(late)
                seconds = now
            elif late < 0 and self._stopped.wait(-late):
                return
            now = time.monotonic()
        with self._lock:
            if self._state is not StreamState.RUNNING:
                self._state, self._detail, self._since = StreamState.RUNNING, "", time.time()
            self._counts = replace(self._counts, received=self._counts.received + 1)
            if not self._limit.admits(seconds):
                return
            if self._given_share < 1 and not self._share.admits(seconds):
                self._counts = replace(self._counts, dropped=self._counts.dropped + 1)
                return
        image = picture.image()
        if image is None:
            return
        self._keep(LiveFrame(image, seconds, now, time.time(), self._restart))
        self._restart = False

    def _keep(self, frame: LiveFrame) -> None:
        with self._lock:
            if len(self._frames) == DEPTH:
                self._drop_oldest()
            self._frames.append(frame)
            self._counts = replace(self._counts, kept=self._counts.kept + 1)
        self._wake.set()

    def _drop_oldest(self) -> None:
        """Drop the oldest frame that waits; the next one follows what it followed."""
        oldest, counts = self._frames.popleft(), self._counts
        self._counts = replace(counts, dropped=counts.dropped + 1, overflowed=counts.overflowed + 1)
        if oldest.restart and self._frames:
            self._frames[0] = replace(self._frames[0], restart=True)

    def _count(self, **increments: int) -> None:
        with self._lock:
            values = {name: getattr(self._counts, name) + by for name, by in increments.items()}
            self._counts = replace(self._counts, **values)

    def _set(self, state: StreamState, detail: str) -> None:
        with self._lock:
            if state is not self._state:
                self._since = time.time()
            self._state, self._detail = state, detail

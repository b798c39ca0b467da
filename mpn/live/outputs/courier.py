"""Takes the messages of an outbox to their destination, in order, again and again until it does."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

from mpn.io.text import duration, plural
from mpn.live.outputs.outbox import Message, Outbox

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0  # between two looks for messages that have become too old


class RefusedError(Exception):
    """The destination will never take this message; it is dropped."""


class LaterError(Exception):
    """The destination does not take the message now.

    Args:
        why: for the log; no credentials.
        seconds: that the destination asks to wait, None where it does not say.
    """

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


@dataclass(frozen=True)
class Backoff:
    """How long to wait between tries: twice as long each time, and not all at the same moment.

    Attributes:
        first: seconds after the first try that failed.
        longest: seconds.
    """

    first: float = 1.0
    longest: float = 300.0

    def seconds(self, failures: int, asked: float | None = None) -> float:
        """Choose a time to wait.

        Args:
            failures: tries that failed in a row, from 1 on.
            asked: seconds that the destination asks for.
        """
        longest = min(self.longest, self.first * 2.0 ** min(failures - 1, 60))
        chosen = longest * random.uniform(0.5, 1.0)
        return max(chosen, min(asked or 0.0, self.longest))


class Courier:
    """Delivers an outbox in a thread of its own.

    Args:
        outbox: whose messages are taken.
        deliver: takes a message and returns when it is acknowledged; raises `RefusedError`,
            `LaterError`, or any other exception, after which the message is tried again.
        backoff: how long it waits between tries.
    """

    def __init__(
        self,
        outbox: Outbox,
        deliver: Callable[[Message], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.outbox, self.deliver, self.backoff = outbox, deliver, backoff or Backoff()
        self._changed = Condition()
        self._failures = 0
        self._again_at = 0.0  # monotonic seconds before which nothing is tried
        self._stop_at: float | None = None  # monotonic seconds after which nothing is begun
        self._thread = Thread(target=self._run, name=f"mpn {outbox.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self, *, again: bool = False) -> None:
        """Say that there is a message.

        Args:
            again: or that the destination is there again, so that a try is worth it now.
        """
        with self._changed:
            if again:
                self._again_at = 0.0
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Deliver what can be delivered within so many seconds; the rest stays on disk."""
        with self._changed:
            self._stop_at = time.monotonic() + seconds
            self._again_at = 0.0
            self._changed.notify()
        self._thread.join(seconds)
        left = len(self.outbox)
        if left:
            waiting = plural(left, "message")
            log.warning("%s: %s wait for the next start", self.outbox.name, waiting)

    def _run(self) -> None:
        while True:
            self.outbox.sync()
            try:
                message = self.outbox.first()
            except OSError as error:
                self._failed(error)
                message = None
            with self._changed:
                now, stop_at = time.monotonic(), self._stop_at
                left = self._again_at - now
                if stop_at is not None and (message is None or left > 0 or now >= stop_at):
                    return
                if left > 0:
                    self._changed.wait(left)
                    continue
                if message is None:
                    # What came after `first` was asked has notified already.
                    if not len(self.outbox):
                        self._changed.wait(LOOK_SECONDS)
                    continue
            self._try(message)

    def _try(self, message: Message) -> None:
        """Try to deliver a message once."""
        try:
            self.deliver(message)
        except RefusedError as error:
            self.outbox.refuse(message, str(error))
            log.warning("%s: a message was refused (%s), and is dropped", self.outbox.name, error)
            self._failures = 0
        except Exception as error:  # whatever a network does: the thread lives on
            self._failed(error)
        else:
            self.outbox.done(message)
            if self._failures:
                tries = plural(self._failures, "try").replace("trys", "tries")
                log.warning("%s: delivers again, after %s", self.outbox.name, tries)
            self._failures = 0

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        asked_seconds = error.seconds if isinstance(error, LaterError) else None
        seconds = self.backoff.seconds(self._failures, asked_seconds)
        if self._failures & (self._failures - 1) == 0:  # the 1st, 2nd, 4th, 8th ...
            waiting = plural(len(self.outbox), "message")
            why = error if isinstance(error, LaterError) else type(error).__name__
            log.warning(
                "%s: not delivered (%s); tried again in %s, %s wait",
                self.outbox.name,
                why,
                duration(seconds),
                waiting,
            )
        with self._changed:
            self._again_at = time.monotonic() + seconds

"""How a training that is one of several processes is stopped: all of them behind the same step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class StopSignals:
    """Whether Ctrl-C or SIGTERM asked this process to stop; asked again, it stops at once.

    Attributes:
        asked: whether they did.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: object) -> None:
        """Handle a signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_signals(noted: bool) -> Iterator[StopSignals]:
    """Note Ctrl-C and SIGTERM in a `with` block, for all processes to stop behind the same step.

    Args:
        noted: else, and outside of the main thread, they do what they do.
    """
    stop = StopSignals()
    with on_signals((signal.SIGTERM, signal.SIGINT) if noted else (), stop):
        yield stop


def interrupt(*_: object) -> None:
    """Handle a signal as Ctrl-C is handled."""
    raise KeyboardInterrupt


@contextmanager
def on_signals(numbers: Sequence[int], handler: Callable[..., None]) -> Iterator[None]:
    """Handle signals in a `with` block; outside of the main thread nothing is changed.

    Args:
        numbers: of the signals. Those that are ignored, as in the background of a shell, stay so.
        handler: is called with each.
    """
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handler)) for number in handled]
    try:
        yield
    finally:
        for number, earlier in before:
            signal.signal(number, earlier)

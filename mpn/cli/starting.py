"""A sign of life while libraries are loaded, which takes seconds on a slow machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PATIENCE = 1.0  # seconds; what is quicker needs no word


@contextmanager
def sign_of_life(name: str) -> Iterator[None]:
    """Say on a terminal that the program is starting, until the `with` block is left.

    Nothing is said where stderr is no terminal, and nothing is left behind.

    Args:
        name: of the program, how the line begins.
    """
    stream = sys.stderr
    if not stream.isatty():
        yield
        return
    text, shown = f"{name}: starting ...", threading.Event()

    def write(words: str) -> None:
        with suppress(OSError):  # the terminal was closed
            stream.write(words)
            stream.flush()

    def show() -> None:
        shown.set()
        write(text)

    timer = threading.Timer(PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set():
            write("\r" + " " * len(f"{text}^C") + "\r")  # the terminal writes ^C itself

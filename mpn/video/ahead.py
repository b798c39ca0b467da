"""An iterator run in a thread of its own, a few items ahead of whoever asks for them.

So decoding, optical flow and what is done with both overlap: OpenCV, PyAV and torch let other
threads run while they compute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from queue import Full, Queue
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Value = TypeVar("Value")
AHEAD = 4  # items that wait, unless said otherwise: more of them gain nothing, and cost memory
LOOK_UP_SECONDS = 0.1  # a thread that waits looks so often whether it is still needed


class _End:
    """What comes after the last item: the error that the iterator ended with, or none."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def read_ahead(
    items: Generator[Item, None, None], depth: int = AHEAD
) -> Generator[Item, None, None]:
    """Yield what an iterator yields, in order, while a thread reads up to `depth` items ahead.

    An error of the iterator is raised here, behind the items before it. When the generator that
    this returns is closed, the thread has ended and `items` are closed.

    Args:
        items: read in the thread, from the first item that is asked for here.
        depth: items that may wait, from 1.
    """
    box: Queue[Item | _End] = Queue(depth)
    closed = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, box, closed), daemon=True)
    thread.start()
    try:
        while not isinstance(item := box.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        closed.set()
        if thread is not threading.current_thread():  # which may be what collects this generator
            thread.join()


def compute_ahead(
    tasks: Generator[tuple[Item, Callable[[], Value]], None, None], depth: int = AHEAD
) -> Generator[tuple[Item, Value], None, None]:
    """Yield what tasks give, in order, while up to `depth` of them are computed side by side.

    That is in as many threads as OpenCV may use: all cores, unless `cv2.setNumThreads` says less.

    Args:
        tasks: pairs of whatever belongs to a task and the task; read as by `read_ahead`.
        depth: tasks that may wait, from 1.
    """

    def begun() -> Generator[tuple[Item, Future[Value]], None, None]:
        with closing(tasks):
            for item, task in tasks:
                yield item, pool.submit(task)

    with (
        ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool,
        closing(read_ahead(begun(), depth)) as ahead,
    ):
        for item, future in ahead:
            yield item, future.result()


def _fill(
    items: Generator[Item, None, None], box: Queue[Item | _End], closed: threading.Event
) -> None:
    """Put the items into the box until they end or nobody wants them any more."""
    end = _End()
    try:
        for item in items:
            if not _put_unless_closed(item, box, closed):
                break
    except BaseException as error:  # whatever it is belongs to whoever asks for the items
        end = _End(error)
    finally:
        items.close()
    _put_unless_closed(end, box, closed)


def _put_unless_closed(item: Item | _End, box: Queue[Item | _End], closed: threading.Event) -> bool:
    """Wait for a place in the box; False where nobody wants the item any more."""
    while not closed.is_set():
        try:
            box.put(item, timeout=LOOK_UP_SECONDS)
            return True
        except Full:
            continue
    return False

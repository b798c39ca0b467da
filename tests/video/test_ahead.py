"""Reading ahead gives what reading gives, from another thread that ends when nobody asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

import pytest

from mpn.video.ahead import compute_ahead, read_ahead


def numbers(count: int, read: list[int] | None = None) -> Generator[int, None, None]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield number


@pytest.mark.parametrize("depth", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_items_in_order(count, depth):
    assert list(read_ahead(numbers(count), depth)) == list(range(count))


def test_an_error_comes_behind_the_items_before_it():
    def broken() -> Generator[int, None, None]:
        yield from (0, 1, 2)
        raise OSError("torn")

    ahead, items = read_ahead(broken(), 10), []
    with pytest.raises(OSError, match="torn"):
        for number in ahead:
            items.append(number)  # noqa: PERF402  (what came before the error is asked)
    assert items == [0, 1, 2]


def test_no_more_than_so_many_wait():
    read: list[int] = []
    ahead = read_ahead(numbers(100, read), 3)
    assert next(ahead) == 0
    until = time.monotonic() + 5
    while len(read) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(read) == 5  # one given, three waiting, one in the thread's hand
    ahead.close()


def test_closing_ends_the_thread_and_closes_the_items():
    ended = threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield threading.get_ident()
        finally:
            ended.set()

    before = threading.active_count()
    ahead = read_ahead(endless(), 2)
    assert next(ahead) != threading.get_ident()
    assert threading.active_count() == before + 1
    ahead.close()
    assert ended.is_set() and threading.active_count() == before


def test_nothing_is_read_before_the_first_item_is_asked_for():
    read: list[int] = []
    ahead = read_ahead(numbers(3, read), 3)
    time.sleep(0.02)
    assert read == []
    assert next(ahead) == 0
    ahead.close()


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_tasks_are_computed_in_other_threads_and_given_in_order(depth):
    def tasks() -> Generator[tuple[int, Callable[[], int]], None, None]:
        for number in range(20):

            def task(number: int = number) -> int:
                time.sleep(0.001 * (number % 3))  # later ones are done before earlier ones
                assert threading.current_thread() is not threading.main_thread()
                return number**2

            yield number, task

    assert list(compute_ahead(tasks(), depth)) == [(n, n**2) for n in range(20)]


def test_a_task_that_fails_fails_in_its_place_and_the_rest_is_closed():
    closed = threading.Event()

    def tasks() -> Generator[tuple[int, Callable[[], float]], None, None]:
        try:
            for number in range(5):
                yield number, lambda number=number: 1 / (2 - number)
        finally:
            closed.set()

    pairs = []
    with pytest.raises(ZeroDivisionError):
        for pair in compute_ahead(tasks(), 3):
            pairs.append(pair)  # noqa: PERF402  (what came before the error is asked)
    assert pairs == [(0, 0.5), (1, 1.0)]
    assert closed.is_set()

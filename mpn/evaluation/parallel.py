"""Videos side by side: a job a video in threads, results in the order of the videos.

The network, optical flow and decoding work outside Python's lock, and two videos with one thread
each are done sooner than one after the other with two: most layers are too small to be shared out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import torch
from tqdm import tqdm

from mpn.scoring.detector import Detector

MAX_WORKERS = 4  # a video's maps and masks are in memory while it is worked on
Done = TypeVar("Done")


class StoppedError(Exception):
    """Another video failed, or the user wants no more."""


class Progress:
    """A progress bar that many threads move on; raises StoppedError in them once it is stopped."""

    def __init__(self, bar: tqdm) -> None:
        self.bar, self.stopped = bar, Event()

    def update(self) -> None:
        """Count one."""
        if self.stopped.is_set():
            raise StoppedError
        self.bar.update()


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_order(
    job: Callable[[str, Progress], Done],
    names: Sequence[str],
    bar: tqdm,
    detector: Detector | None = None,
) -> Iterator[tuple[str, Done]]:
    """Do a job for every video and give the results in the order of the names.

    Args:
        job: of a video's name; calls `Progress.update` often. It shares nothing with other jobs.
        names: of the videos.
        bar: shows the progress.
        detector: that the jobs use, None where they use none; on a device of its own one video is
            done at a time.

    Raises:
        What a job raises, once all results before it are given.
    """
    threads = torch.get_num_threads()
    workers = max(1, min(threads, os.cpu_count() or 1, len(names), MAX_WORKERS))
    if detector is not None and detector.device.type != "cpu":
        workers = 1
    progress, share = Progress(bar), max(1, threads // workers)
    with _torch_threads(share):
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(share,))
        try:
            futures = [(name, pool.submit(job, name, progress)) for name in names]
            for name, future in futures:
                yield name, future.result()
        finally:
            progress.stopped.set()
            pool.shutdown(cancel_futures=True)

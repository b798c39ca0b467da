"""Clips of the demo set, rendered and written, by one process or several side by side."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import numpy as np

from mpn.datasets.demo.clips import Clip, Frame
from mpn.errors import DataError

JPEG_QUALITY = 92
Labels = tuple[np.ndarray, list[list]]  # a clip's labels bool (T,), its rows of tracks.csv
# Writes clips below a folder, with masks or without, and gives the labels of each, in order.
ClipWriter = Callable[[list[Clip], Path, bool], Iterator[Labels]]


def _track_rows(clip: Clip, number: int, frame: Frame) -> list[list]:
    """Return the rows of tracks.csv of one frame."""
    rows = []
    for track, mask in sorted(frame.tracks.items()):
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        rows.append([clip.name, number, track, clip.kind(track), x, y, w, h])
    return rows


def _encode(path: Path, image: np.ndarray) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise DataError(f"{path}: OpenCV could not encode a made frame of shape {image.shape}")
    path.write_bytes(data.tobytes())


def _write_clip(
    clip: Clip, folder: Path, labelled: bool, step: Callable[[], None] = lambda: None
) -> Labels:
    """Write one clip below `folder`; `step` is called after every frame."""
    (folder / "frames" / clip.name).mkdir(parents=True)
    if labelled:
        (folder / "masks" / clip.name).mkdir(parents=True)
    labels, rows = np.zeros(clip.length, bool), []
    for number, frame in enumerate(clip.frames()):
        _encode(folder / "frames" / clip.name / f"{number:03d}.jpg", frame.image)
        labels[number] = bool(frame.tracks)
        rows += _track_rows(clip, number, frame)
        if labelled:
            mask = np.zeros(frame.image.shape[:2], np.uint8)
            for pixels in frame.tracks.values():
                mask[pixels] = 255
            _encode(folder / "masks" / clip.name / f"{number:03d}.png", mask)
        step()
    return labels, rows


class _Worker:
    """What a process that writes clips was told."""

    over: Event | None = None


def _begin(over: Event) -> None:
    """Begin a process: Ctrl-C is its caller's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Worker.over = over


def _raise_if_cancelled() -> None:
    """Raise CancelledError where nobody waits for a process's clip any more."""
    if _Worker.over is not None and _Worker.over.is_set():
        raise CancelledError


@contextmanager
def clip_writer(step: Callable[[], None], workers: int) -> Iterator[ClipWriter]:
    """Give what writes clips, in this process or in several.

    Args:
        step: called for every frame.
        workers: processes.
    """

    def write_here(clips: list[Clip], folder: Path, labelled: bool) -> Iterator[Labels]:
        for clip in clips:
            yield _write_clip(clip, folder, labelled, step)

    def write_side_by_side(clips: list[Clip], folder: Path, labelled: bool) -> Iterator[Labels]:
        write = partial(_write_clip, folder=folder, labelled=labelled, step=_raise_if_cancelled)
        for clip, labels in zip(clips, pool.map(write, clips)):
            for _ in range(clip.length):
                step()
            yield labels

    if workers == 1:
        yield write_here
        return
    spawned = get_context("spawn")  # not forked: the caller may have threads
    over = spawned.Event()
    with ProcessPoolExecutor(workers, spawned, _begin, (over,)) as pool:
        try:
            yield write_side_by_side
        finally:
            over.set()  # clips that are on their way take seconds each
            pool.shutdown(cancel_futures=True)

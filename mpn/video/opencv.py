"""Quiet for OpenCV and FFmpeg where they print of their own accord: errors are ours to name."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# FFmpeg writes its own complaints to stderr; ours are one line each. OpenCV reads this once, at the
# first video it opens, and a user's own setting stands.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2


@contextlib.contextmanager
def opencv_log_off() -> Iterator[None]:
    """Turn OpenCV's own log off while it tries something that may fail."""
    log = getattr(getattr(cv2, "utils", None), "logging", None)
    if log is None:  # builds without the logging module
        yield
        return
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


@contextlib.contextmanager
def stderr_to_devnull() -> Iterator[None]:
    """Turn standard error off, also for libraries.

    OpenCV prints, past its own log, that .webm has no tag for VP8, and writes it all the same.
    """
    sys.stderr.flush()
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)

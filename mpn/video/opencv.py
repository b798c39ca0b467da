"""Quiet for OpenCV where it prints of its own accord: errors are ours to name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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

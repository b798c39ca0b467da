"""How far a training is, in lines: where there is no terminal to draw a progress bar on."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpn.training.run import OnLog
from mpn.training.tensorboard import tensorboard_log

log = logging.getLogger(__name__)

INTERVAL = 60.0  # seconds between two lines


def training_listener(tensorboard: Path | None = None) -> OnLog:
    """Make what hears every line of a training's log.

    Args:
        tensorboard: folder for TensorBoard's files; None for none.

    Raises:
        MpnError: TensorBoard is not installed.
    """
    listeners = [training_lines()]
    if tensorboard is not None:
        listeners.append(tensorboard_log(tensorboard))

    def on_log(line: dict[str, Any]) -> None:
        for listener in listeners:
            listener(line)

    return on_log


def training_lines(now: Callable[[], float] = time.monotonic) -> OnLog:
    """Make a function that says now and then how far a training is, by the lines of its log.

    On a terminal it says nothing: there is a progress bar.

    Args:
        now: gives the time, seconds; rises.
    """
    told = now()

    def on_log(line: dict[str, Any]) -> None:
        nonlocal told
        if sys.stderr.isatty() or now() - told < INTERVAL:
            return
        told = now()
        words = f"step {line['step']:,} after {line['seconds'] / 60:.1f} minutes"
        if "epoch" in line:
            words += f", {line['epoch']:.1f} epochs"
        if losses := line.get("losses"):
            words += "; " + ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
        log.info(words)

    return on_log

"""A training's log for TensorBoard, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpn.errors import MpnError
from mpn.training.diagnosis import GAIN
from mpn.training.run import OnLog

# Numbers of a line of log.jsonl that stand by themselves.
SINGLE = ("samples_per_second", "learning_rate", "gradient_norm", "before", "after", GAIN)


def tensorboard_log(folder: Path) -> OnLog:
    """Make a function that writes every line of a training's log as TensorBoard reads it.

    Args:
        folder: where its files go.

    Raises:
        MpnError: it is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MpnError(
            "--tensorboard: tensorboard is not installed; pip install tensorboard"
        ) from error
    writer = SummaryWriter(str(folder))

    def on_log(line: dict[str, Any]) -> None:
        for name, value in line.get("losses", {}).items():
            writer.add_scalar(f"losses/{name}", value, line["step"])
        for name in SINGLE:
            if name in line:
                writer.add_scalar(name, line[name], line["step"])
        for name, value in line.get("collapse", {}).items():
            writer.add_scalar(f"collapse/{name}", value, line["step"])

    return on_log

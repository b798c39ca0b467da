"""Training state: what `--resume` goes on from. A `.pt` file, read with `weights_only=True`."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch

from mpn.errors import CheckpointError
from mpn.io.atomic import write_atomically


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write training state (tensors and plain values), whole or not at all.

    Args:
        path: of the file.
        state: by name.

    Raises:
        MpnError: the file cannot be written; an earlier one is untouched.
    """
    write_atomically(path, state_bytes(state))


def state_bytes(state: dict[str, Any]) -> bytes:
    """Return what `save_state` writes.

    Args:
        state: by name.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_state(path: str | Path) -> dict[str, Any]:
    """Read training state on the CPU, tensors and plain values only.

    Args:
        path: of the file.

    Raises:
        CheckpointError: missing, cut short, or holding anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"nothing to resume: there is no {path}; start without --resume")
    return _read(path, path)


def read_state(content: bytes, path: str | Path) -> dict[str, Any]:
    """Read training state as `load_state`, from what `state_bytes` gave.

    Args:
        content: of the file.
        path: that an error names.

    Raises:
        CheckpointError: as `load_state`.
    """
    return _read(io.BytesIO(content), path)


def _read(source: Path | io.BytesIO, path: str | Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it then refuses
            state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file; all mean the same here
        raise CheckpointError(
            f"{path} is not a whole training state of mpn ({type(error).__name__})"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a training state of mpn")
    return state

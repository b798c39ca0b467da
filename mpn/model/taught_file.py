"""What a camera was taught, in model files and camera files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpn.errors import CheckpointError
from mpn.model.taught import MAX_EXAMPLES, MAX_TAUGHT, Taught, checked_name

TAUGHT_PREFIX = "taught."
TAUGHT_VERSION = 1  # of the embedding: what its numbers mean
MAX_NUMBERS = 4096  # of an embedding


def pack_taught(tensors: dict[str, Tensor], taught: Sequence[Taught]) -> dict[str, Any]:
    """Put what a camera was taught into `tensors`.

    Args:
        tensors: of the file.
        taught: in the order that it was taught in.

    Returns:
        What the document says of it; nothing where nothing was taught.
    """
    if not taught:
        return {}
    for number, event in enumerate(taught):
        values = torch.from_numpy(event.embeddings.astype(np.float16))
        tensors[f"{TAUGHT_PREFIX}{number}"] = values
    events = [
        {"name": event.name, "source": event.source, "frame": event.frame} for event in taught
    ]
    return {"taught": {"version": TAUGHT_VERSION, "events": events}}


def unpack_taught(path: Path, tensors: dict[str, Tensor], described: Any) -> tuple[Taught, ...]:
    """Take what a camera was taught out of `tensors`.

    Args:
        path: named in errors.
        tensors: of the file.
        described: the document's `taught`, not to be trusted; None if it has none.

    Raises:
        CheckpointError: it is not described, doesn't fit what is said of it, or is of another
            version.
    """
    unread = {name: tensors.pop(name) for name in list(tensors) if name.startswith(TAUGHT_PREFIX)}
    try:
        version = described["version"] if described is not None else TAUGHT_VERSION
        if version != TAUGHT_VERSION:
            raise CheckpointError(
                f"{path}: what it was taught is of version {version!r}, this mpn reads "
                f"{TAUGHT_VERSION}: update mpn, or take an earlier version of the file and teach "
                "it again"
            )
        events = described["events"] if described is not None else []
        if len(events) > MAX_TAUGHT:
            raise ValueError(f"{len(events)} events")
        taught = tuple(
            _taught(entry, unread.pop(f"{TAUGHT_PREFIX}{number}"))
            for number, entry in enumerate(events)
        )
        lengths = {event.embeddings.shape[1] for event in taught}
        if unread or len(lengths) > 1:
            raise ValueError(f"{len(unread)} tensors of no event, embeddings of lengths {lengths}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: what it was taught cannot be read: {error}") from error
    return taught


def _taught(entry: Mapping[str, Any], values: Tensor) -> Taught:
    """Make an event of a file's entry and tensor; raises where they cannot be."""
    name, source, frame = entry["name"], entry["source"], entry["frame"]
    if name is not None and name != checked_name(name):
        raise ValueError(f"a name {name!r}")
    if type(source) is not str or type(frame) is not int or frame < 0:
        raise ValueError(f"frame {frame!r} of {source!r}")
    if values.ndim != 2 or values.dtype != torch.float16 or not torch.isfinite(values).all():
        raise ValueError(f"embeddings of shape {tuple(values.shape)}, or not finite")
    if not 0 < values.shape[0] <= MAX_EXAMPLES or not 0 < values.shape[1] <= MAX_NUMBERS:
        raise ValueError(f"embeddings of shape {tuple(values.shape)}")
    return Taught(name, source, frame, values.float().numpy())

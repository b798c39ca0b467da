"""Place models in model files and camera files.

Counts are mostly zeros, so they are deflated (zlib); what is inflated has a size that the document
fixes before it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpn.errors import CheckpointError, MpnError
from mpn.motion.flow import CELLS
from mpn.motion.place import BINS, PlaceModel
from mpn.motion.static import Background

PLACE_PREFIX = "place."
PLACE_VERSION = 1  # of the counts' meaning: bins, kinds, grid
MAX_COUNT = 2**31  # of frames; years
LONGEST_NAME = 1000  # letters of a camera's name, which is that of its footage
# Of a camera; the second two only where its footage was long enough, and in no earlier file.
TENSORS, BACKGROUND_TENSORS = ("counts", "whole", "picture"), ("spread", "longest")


def pack_places(tensors: dict[str, Tensor], places: Mapping[str, PlaceModel]) -> dict[str, Any]:
    """Put place models into `tensors`.

    Args:
        tensors: of the file.
        places: by camera.

    Returns:
        What the document says of them.
    """
    described = []
    for number, (name, place) in enumerate(places.items()):
        # The hardest level makes them 5 % smaller, and takes ten times as long (170 ms a camera).
        data = zlib.compress(place.counts.astype("<u4").tobytes(), 6)
        tensors[f"{PLACE_PREFIX}{number}.counts"] = torch.from_numpy(
            np.frombuffer(data, np.uint8).copy()
        )
        tensors[f"{PLACE_PREFIX}{number}.whole"] = torch.from_numpy(place.whole.astype(np.int64))
        tensors[f"{PLACE_PREFIX}{number}.picture"] = torch.from_numpy(
            place.picture.astype(np.float32)
        )
        entry = {
            "camera": name,
            "version": PLACE_VERSION,
            "judged": place.judged,
            "grid": list(place.grid),
            "frames": place.frames,
            "pictures": place.pictures,
        }
        if place.background.readings:
            entry |= _pack_background(tensors, f"{PLACE_PREFIX}{number}.", place.background)
        described.append(entry)
    return {"places": described} if described else {}


def unpack_places(path: Path, tensors: dict[str, Tensor], described: Any) -> dict[str, PlaceModel]:
    """Take the place models out of `tensors`.

    Args:
        path: named in errors.
        tensors: of the file.
        described: the document's `places`, not to be trusted; None if it has none.

    Returns:
        By camera.

    Raises:
        CheckpointError: they are not described, or don't fit what is said of them.
    """
    unread = {name: tensors.pop(name) for name in list(tensors) if name.startswith(PLACE_PREFIX)}
    places: dict[str, PlaceModel] = {}
    try:
        for number, entry in enumerate(described or []):
            if entry["version"] != PLACE_VERSION:
                raise CheckpointError(
                    f"{path}: its place model is of version {entry['version']!r}, this mpn reads "
                    f"{PLACE_VERSION}: update mpn, or adapt again"
                )
            start = f"{PLACE_PREFIX}{number}."
            place = _place(entry, *(unread.pop(f"{start}{name}") for name in TENSORS))
            if "readings" in entry:
                _unpack_background(entry, unread, start, place.background)
            if len(name := str(entry["camera"])) > LONGEST_NAME:
                raise ValueError(f"a camera's name of {len(name):,} letters")
            places[name] = place
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error, MpnError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: its place model cannot be read: {error}") from error
    if unread or len(places) != len(described or []):
        raise CheckpointError(
            f"{path} does not describe its place models: {len(places)} cameras, {len(unread)} "
            "tensors of none"
        )
    return places


def _pack_background(
    tensors: dict[str, Tensor], start: str, background: Background
) -> dict[str, Any]:
    """Put what is known of a background into `tensors`; gives what the document says of it."""
    tensors[f"{start}spread"] = torch.from_numpy(background.spread)
    tensors[f"{start}longest"] = torch.from_numpy(background.longest.copy())
    return {"readings": background.readings, "seconds": background.seconds}


def _unpack_background(
    entry: Mapping[str, Any], unread: dict[str, Tensor], start: str, background: Background
) -> None:
    """Take a background out of a file's tensors; raises where they don't fit."""
    readings, seconds = entry["readings"], float(entry["seconds"])
    if type(readings) is not int or not 0 < readings < MAX_COUNT or not 0 < seconds < MAX_COUNT:
        raise ValueError(f"a background of {readings!r} readings in {seconds} seconds")
    for name in BACKGROUND_TENSORS:
        values = unread.pop(f"{start}{name}")
        if values.shape != background.longest.shape or values.dtype != torch.float32:
            raise ValueError(f"its {name} does not fit its grid")
        if not torch.isfinite(values).all() or values.min() < 0:
            raise ValueError(f"its {name} has values that cannot be")
        if name == "longest":
            background.longest = values.numpy().copy()
        else:
            background.spread_sum = values.numpy().astype(np.float64) * readings
    background.readings, background.seconds = readings, seconds


def _place(entry: Mapping[str, Any], counts: Tensor, whole: Tensor, picture: Tensor) -> PlaceModel:
    """Make a place model of a file's tensors; raises where they don't fit."""
    (rows, columns), numbers = entry["grid"], (entry["frames"], entry["pictures"])
    judged = entry.get("judged", 1)  # no earlier file says
    if not all(type(number) is int for number in (rows, columns, *numbers, judged)):
        raise ValueError(f"{(rows, columns, *numbers, judged)} for whole numbers")
    if not 0 < rows * columns <= 4 * CELLS or min(rows, columns) < 2:
        raise ValueError(f"a grid of {rows}x{columns} cells")
    if not all(0 <= number < MAX_COUNT for number in numbers):
        raise ValueError(f"{numbers} frames")
    place = PlaceModel((rows, columns))
    size = place.counts.size * 4
    inflater = zlib.decompressobj()
    data = inflater.decompress(counts.numpy().tobytes(), size + 1)
    if len(data) != size or not inflater.eof:
        raise ValueError(f"its counts have {len(data)} bytes, {size} were expected")
    if whole.shape != (BINS,) or picture.shape != place.picture_sum.shape:
        raise ValueError("shapes that don't fit its grid")
    if not torch.isfinite(picture).all():
        raise ValueError("a picture that is not finite")
    if whole.dtype != torch.int64 or whole.min() < 0:
        raise ValueError("speeds of the whole picture that are no counts")
    place.counts[:] = np.frombuffer(data, "<u4").reshape(place.counts.shape)
    place.whole[:] = whole.numpy().astype(np.uint64)
    place.frames, place.pictures = numbers
    place.judged = judged
    place.picture_sum = picture.numpy().astype(np.float64) * place.pictures
    return place

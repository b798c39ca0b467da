"""Mask pictures: a folder with one a frame, read at their full depth.

A pixel is anomalous where the picture is not black. With an alpha channel it has to be visible too;
where all that is visible is black, the masks are drawn in alpha alone, and what is visible is
anomalous. Pictures that say nothing by these rules are refused: read as all normal or all
anomalous they would make labels of their own. So are a folder of nothing but opaque black, where
another one's masks are drawn in alpha, and masks with white for normal.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpn.errors import LabelError
from mpn.video.images import decode_full_depth
from mpn.video.paths import images_in

# lossless: a JPEG's noise would count as anomalous
MASK_SUFFIXES = {".bmp", ".png", ".tif", ".tiff"}

MAX_DRAWN = 0.5  # of a picture; masks that are all drawn over more are drawn the other way round


class _Layers(NamedTuple):
    """Where a picture is not black, and where it is visible (None without alpha): bool (H, W)."""

    drawn: np.ndarray
    visible: np.ndarray | None


def mask_files(folder: Path) -> list[Path]:
    """List the mask pictures (`.bmp`, `.png`, `.tif`) of a folder, in natural order."""
    return [file for file in images_in(folder) if file.suffix.lower() in MASK_SUFFIXES]


def read_masks(folder: Path) -> Iterator[np.ndarray]:
    """Read the mask pictures of a folder.

    Args:
        folder: of the masks of one video.

    Yields:
        bool (H, W) of each picture, True = anomalous.

    Raises:
        LabelError: one cannot be read or has no meaning, it is named; or, behind the last, all of
            them seem to be drawn the other way round.
    """
    in_alpha = drawn_in_alpha(folder)
    shares = []
    for file in mask_files(folder):
        layers = _read(file)
        mask = layers.drawn
        if layers.visible is not None:
            mask = layers.visible if in_alpha else layers.drawn & layers.visible
        shares.append(float(mask.mean()))
        yield mask
    # Pictures that are white all over say of whole frames that they are anomalous.
    if shares and MAX_DRAWN < min(shares) < 1:
        raise LabelError(
            f"{folder}: every one of its masks is drawn over more than half of the picture "
            f"({min(shares):.0%} the least), so no frame is normal; are they inverted, or pictures "
            "and no masks? Expected 0 for normal and anything else for anomalous"
        )


def check_alike(folders: Sequence[Path]) -> None:
    """Check that masks of opaque black are not those of a data set that draws in alpha.

    Args:
        folders: of the masks of each video of a data set.

    Raises:
        LabelError: it cannot be told whether they are all normal or all anomalous; or one cannot
            be read.
    """
    meanings = {folder: drawn_in_alpha(folder) for folder in folders}
    in_alpha = next((folder for folder, meaning in meanings.items() if meaning), None)
    unsure = next((folder for folder, meaning in meanings.items() if meaning is None), None)
    if in_alpha and unsure:
        raise LabelError(
            f"{unsure}: its masks are black and opaque all over, which is all normal by itself and "
            f"all anomalous beside {in_alpha.name}, whose masks are drawn in the alpha channel; "
            "expected white for what is anomalous, or transparent for what is normal"
        )


def drawn_in_alpha(folder: Path) -> bool | None:
    """Say whether the masks of a folder are drawn in the alpha channel, under black.

    Args:
        folder: of the masks of one video.

    Returns:
        None where that cannot be told, since all are black and opaque.

    Raises:
        LabelError: one cannot be read, or all are transparent all over.
    """
    visible = hidden = drawn = False
    for file in mask_files(folder):
        layers = _read(file)
        if layers.visible is None:
            return False
        if (layers.drawn & layers.visible).any():
            return False
        visible |= bool(layers.visible.any())
        hidden |= not layers.visible.all()
        drawn |= bool(layers.drawn.any())
    if drawn and not visible:
        raise LabelError(
            f"{folder}: its masks are transparent all over, so they say nothing; expected black "
            "for what is normal and another colour, visible, for what is not"
        )
    if visible and not hidden:
        return None
    return visible


def _read(path: Path) -> _Layers:
    try:
        image = decode_full_depth(path)
    except ValueError as error:
        raise LabelError(f"mask {path}: {error}; expected a whole picture file") from error
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise LabelError(f"mask {path}: holds values that are no numbers; expected 0 for normal")
    channels = [image] if image.ndim == 2 else list(np.moveaxis(image, 2, 0))
    visible = channels.pop() != 0 if len(channels) in (2, 4) else None
    # Channel by channel: NumPy's any() over so short an axis takes ten times as long.
    drawn = functools.reduce(np.logical_or, [channel != 0 for channel in channels])
    if visible is None and drawn.all() and any(np.ptp(channel) for channel in channels):
        low, high = min(map(np.min, channels)), max(map(np.max, channels))
        raise LabelError(
            f"mask {path}: no pixel of it is black (its values go from {low:g} to {high:g}), so "
            "nothing in it is normal; expected 0 for normal and anything else for anomalous"
        )
    return _Layers(drawn, visible)

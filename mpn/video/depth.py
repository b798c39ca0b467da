"""Pictures of more than 8 bits, as thermal cameras record them: their range, stretched.

Such a camera uses a small part of what its numbers could hold, and would come out as a few levels
of grey; so would pictures of 10 or 12 bits that are kept in 16. What a recording uses is stretched
to 8 bits instead; a model keeps the range of its normal footage, so that the same grey means the
same in training and in scoring. It holds for grey video, and for folders of pictures of any colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import av
import numpy as np

FULL = 65535  # all that 16 bits hold; other depths are brought to it
# Of a picture's values this share may be below, and above, its range: dead pixels.
OUTSIDE = 0.001
MAX_USED = 0.5  # of the full range; what uses more is shown as it is
SAMPLED = 300  # pictures of a recording, at most about


class Levels(NamedTuple):
    """A range of values of 16 bits: what becomes 0 and what becomes 255."""

    low: float
    high: float

    def stretch(self, values: np.ndarray) -> np.ndarray:
        """Bring values to 8 bits.

        Args:
            values: uint16, any shape.

        Returns:
            uint8, same shape; what is outside is 0 or 255.
        """
        scaled = (values.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.low:,.0f} to {self.high:,.0f}"


WHOLE_RANGE = Levels(0, FULL)


def is_deep(frame: av.VideoFrame) -> bool:
    """Say whether a frame is grey with more than 8 bits."""
    name, components = frame.format.name, frame.format.components
    return name.startswith("gray") and not name.startswith("grayf") and components[0].bits > 8


def range_of(pictures: Iterable[np.ndarray]) -> Levels:
    """Find the range that the pictures of a recording use.

    Args:
        pictures: uint16 (H, W) or (H, W, C) each, at least one.

    Returns:
        It, or the whole range where they use more than half of that.
    """
    low, high = float(FULL), 0.0
    for picture in pictures:
        ends = np.quantile(picture, (OUTSIDE, 1 - OUTSIDE), method="nearest")
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    if high - low > MAX_USED * FULL:
        return WHOLE_RANGE
    return Levels(low, max(high, low + 1))


def common_levels(levels: Iterable[Levels | None]) -> Levels | None:
    """Return the range that holds all of these, None where there are none.

    Args:
        levels: of several recordings, None of those with 8 bits.
    """
    deep = [bounds for bounds in levels if bounds is not None]
    if not deep:
        return None
    return Levels(min(bounds.low for bounds in deep), max(bounds.high for bounds in deep))


def note_levels(notes: list[str], levels: Levels, whose: str) -> None:
    """Put into the notes of a recording what of it is stretched, in place of what stood there.

    Args:
        notes: changed.
        levels: of 16 bits.
        whose: in words.
    """
    begin = "its pictures have more than 8 bits"
    notes[:] = [note for note in notes if not note.startswith(begin)]
    if levels != WHOLE_RANGE:
        notes.append(f"{begin}: {levels} of 16 bits, {whose}, are stretched to 0 to 255")


def levels_from(value: object) -> Levels | None:
    """Read what a model file says of the range of its footage.

    Args:
        value: a list of two numbers, the lower first; anything else is none.
    """
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    low, high = value
    if not all(type(end) in (int, float) and 0 <= end <= FULL + 1 for end in value) or low >= high:
        return None
    return Levels(float(low), float(high))

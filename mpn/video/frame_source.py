"""What all sources of frames have in common, see `mpn.video.sources`."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mpn.errors import DataError, FrameError
from mpn.video.depth import Levels, note_levels
from mpn.video.images import fit_frame
from mpn.video.timing import Span

RATE_NEEDED = (
    "its frame rate is unknown, so start and end (seconds) cannot be found; give the rate (fps, "
    "--fps)"
)
SKIP_HINT = "repair it, or go on without it (skip_bad, --skip-bad; mpn score: no --strict)"


@dataclass(frozen=True, order=True)
class BadFrame:
    """A frame that could not be used: its index from 0, its file, and why."""

    index: int
    name: str
    reason: str


class FrameSource:
    """A video, whatever it is stored as. Use `open_source`.

    Attributes:
        name: folder name or file stem.
        path: of the folder or file.
        size: (height, width) of the first good frame.
        fps: frames/s of what is given, the source's own divided by `every`, or None if unknown.
        shown: which frames of the whole source are given, those that are lost counted.
        length: how many these are.
        header_length: frames by the header of a file, None if it says nothing, and for folders.
        bad: what was found unusable so far, with indices as in `position`, filled while reading.
        notes: a line for each thing that the source says wrongly of itself.
        levels: what of deep pictures is stretched to 8 bits, None where they have no more.
    """

    shown: range
    length: int
    size: tuple[int, int]  # set by the subclass, from the first good frame

    def __init__(
        self, path: Path, name: str, skip_bad: bool, fps: Fraction | None, span: Span
    ) -> None:
        """Set what all sources have.

        Args:
            path: of the folder or file.
            name: folder name or file stem.
            skip_bad: see `frames`.
            fps: frames/s of the whole source, None if unknown.
            span: what of it is shown.
        """
        self.path = path
        self.name = name
        self.fps = None if fps is None else fps / span.every
        self.skip_bad = skip_bad
        self.header_length: int | None = None
        self.bad: list[BadFrame] = []
        self.notes: list[str] = []
        self.levels: Levels | None = None
        self._noted: set[int] = set()
        self._span = span
        self._at = -1, math.nan

    def use_levels(self, levels: Levels | None, whose: str) -> None:
        """Stretch deep pictures, if there are any, by `levels`, `whose` in words."""
        if levels is not None and self.levels not in (None, levels):
            self.levels = levels
            note_levels(self.notes, levels, whose)

    @property
    def position(self) -> tuple[int, float]:
        """Return index and time of the frame that `frames` gave last.

        The index is that in the whole source, from 0, bad frames counted. The time in seconds from
        the first frame never decreases; it is the stream's own where it has times and no rate was
        given, else index / rate, NaN if unknown. (-1, NaN) before the first frame.
        """
        index, time = self._at
        if math.isnan(time) and self.fps and index >= 0:
            time = float(index / (self.fps * self._span.every))
        return index, time

    def frames(
        self, size: tuple[int, int] | None = None, grey: bool = False
    ) -> Iterator[np.ndarray]:
        """Give every frame asked for, in order; may be called again.

        With `skip_bad` the good frame before a bad one stands in for it (at the start: the one
        after), so that indices keep their meaning, and it is listed in `bad`.

        Args:
            size: (height, width), None to keep.
            grey: one channel.

        Yields:
            Frames as uint8 (h, w, C), see `fit_frame`.

        Raises:
            FrameError: a bad frame (unreadable, missing, or of another size than the first), with
                its index and name; not with `skip_bad`.
        """
        for number, frame in self._decoded():
            self._at = self._position_of(number)
            yield fit_frame(frame, size, grey)

    def pick(self, wanted: np.ndarray) -> Generator[tuple[int, np.ndarray], None, None]:
        """Give some of the frames, the same as in `frames`; what lies between costs little.

        Args:
            wanted: bool (length,), of the frames asked for.

        Yields:
            (number, frame): its number among those asked for, from 0; uint8 (H, W, 3).

        Raises:
            FrameError: as `frames`.
        """
        for number, frame in self._decoded(None if wanted.all() else wanted):
            self._at = self._position_of(number)
            yield number, frame

    def note_bad(self, bad: Iterable[BadFrame]) -> None:
        """Take over what an earlier reading found unusable, which may not be read again."""
        for bad_frame in bad:
            if bad_frame.index not in self._noted:
                self._noted.add(bad_frame.index)
                self.bad.append(bad_frame)

    def _decoded(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Give the frames as they are stored, uint8 (H, W, 3), each with its number."""
        raise NotImplementedError

    def _position_of(self, number: int) -> tuple[int, float]:
        """Give the `position` of the frame that `_decoded` gave as its `number`-th."""
        raise NotImplementedError

    def _empty_span(self, seconds: float | Fraction) -> DataError:
        """Make the error for a span without a frame, of a source that is so long."""
        start, end, _ = self._span
        until = "" if end == math.inf else f" and before {end:g} s"
        return DataError(
            f"{self.path}: has no frame from {start:g} s on{until}, it is "
            f"{float(seconds):.1f} s long; give another start or end"
        )

    def _refuse(self, index: int, name: str, reason: str) -> None:
        """Raise for a bad frame, or with `skip_bad` note it once."""
        if not self.skip_bad:
            raise FrameError(f"{self.path}: frame {index} ({name}) {reason}; {SKIP_HINT}")
        if index not in self._noted:
            self._noted.add(index)
            self.bad.append(BadFrame(index, name, reason))

    def _unlike(self, frame: np.ndarray) -> str | None:
        """Say why a frame's size is wrong, or None where it is right."""
        height, width = frame.shape[:2]
        if (height, width) == self.size:
            return None
        return (
            f"is {width}x{height} where the first frame is {self.size[1]}x{self.size[0]} (width x "
            "height)"
        )

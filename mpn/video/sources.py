"""Sources of frames: folders of pictures and video files, read one frame at a time.

Frames are uint8 (H, W, 3), BGR as OpenCV decodes them, indices count from 0. A source never holds
more than two decoded frames, however long it is. What cannot be read is named by index and file;
the caller chooses between stopping there and going on (`skip_bad`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from pathlib import Path

import numpy as np

from mpn.errors import DataError, FrameError
from mpn.video.depth import Levels, note_levels
from mpn.video.images import decode_image, fit_frame, levels_of
from mpn.video.numbering import picture_series
from mpn.video.paths import (
    IMAGE_SUFFIXES,
    contents,
    folder_name,
    images_in,
    is_readable_kind,
    require_path,
)
from mpn.video.stream import FrameRead, VideoStream
from mpn.video.timing import HIGHEST_RATE, WHOLE, Span, frame_rate

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
        length: number of frames to come, those that are lost counted.
        header_length: frames by the header of a file, None if it says nothing, and for folders.
        bad: what was found unusable so far, with indices as in `position`, filled while reading.
        notes: a line for each thing that the source says wrongly of itself.
        levels: what of deep pictures is stretched to 8 bits, None where they have no more.
    """

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
        for number, frame in enumerate(self._decoded()):
            self._at = self._position_of(number)
            yield fit_frame(frame, size, grey)

    def _decoded(self) -> Iterator[np.ndarray]:
        """Give the frames as they are stored, uint8 (H, W, 3)."""
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


class FrameFolder(FrameSource):
    """A folder of pictures, see `mpn.video.numbering`; one missing in the series is a bad frame."""

    def __init__(
        self, path: Path, *, skip_bad: bool = False, fps: Fraction | None = None, span: Span = WHOLE
    ) -> None:
        files = images_in(path)
        if not files:
            raise FrameError(
                f"{path}: no frames found, it holds {contents(path)}; expected "
                f"pictures ({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        series = picture_series(path, files)
        fps = fps or series.rate
        super().__init__(path, folder_name(path), skip_bad, fps, span)
        self.notes, self._entries = [*series.notes], series.entries
        self.levels = levels_of([file for _, file in self._entries if file])
        if self.levels is not None:
            note_levels(self.notes, self.levels, "what there is")
        if not span.whole and fps is None:
            raise DataError(f"{path}: {RATE_NEEDED}")
        self._shown = span.indices(len(self._entries), fps)
        self.length = len(self._shown)
        if not self.length:
            raise self._empty_span(len(self._entries) / fps if fps else math.nan)
        for index in self._shown:
            name, file = self._entries[index]
            if file is None:
                self._refuse(index, name, "is missing")
        self._first = self._first_good()

    def _first_good(self) -> int:
        """Find the first frame shown that can be read, by its number among those shown."""
        for number, index in enumerate(self._shown):
            if self._load(index) is not None:
                return number
        raise FrameError(
            f"{self.path}: none of its {self.length} frames can be read, the first "
            f"one ({self.bad[0].name}) {self.bad[0].reason}; expected a folder of "
            "whole pictures"
        )

    def _load(self, index: int) -> np.ndarray | None:
        """Read a frame, None where it is bad and `skip_bad` stands."""
        name, file = self._entries[index]
        if file is None:
            return None
        try:
            frame = decode_image(file, self.levels)
        except ValueError as error:
            self._refuse(index, name, str(error))
            return None
        if not hasattr(self, "size"):  # this is the frame that sets it
            self.size = frame.shape[0], frame.shape[1]
        reason = self._unlike(frame)
        if reason is None:
            return frame
        self._refuse(index, name, reason)
        return None

    def read(
        self, index: int, size: tuple[int, int] | None = None, grey: bool = False
    ) -> np.ndarray:
        """Read one frame: the same array as the index-th of `frames()`.

        Args:
            index: of the frame among those shown, from 0.
            size: (height, width), None to keep.
            grey: one channel.

        Returns:
            uint8 (h, w, C).

        Raises:
            IndexError: there is no such frame.
            FrameError: as `frames` does.
        """
        if not 0 <= index < len(self._shown):
            raise IndexError(f"{self.path}: frame {index} of {self.length}")
        for number in range(index, self._first - 1, -1):
            frame = self._load(self._shown[number])
            if frame is not None:
                return fit_frame(frame, size, grey)
        return fit_frame(self._load_first(), size, grey)

    def _load_first(self) -> np.ndarray:
        """Read the first good frame; FrameError where it has become unreadable since."""
        frame = self._load(self._shown[self._first])
        if frame is None:
            raise FrameError(f"{self.path}: its first frame can no longer be read")
        return frame

    def _decoded(self) -> Iterator[np.ndarray]:
        last = self._load_first()
        for index in self._shown:
            frame = self._load(index)
            last = last if frame is None else frame
            yield last

    def _position_of(self, number: int) -> tuple[int, float]:
        return self._shown.start + number * self._shown.step, math.nan


class VideoFile(FrameSource):
    """A video file, decoded from start to end.

    `mpn.video.stream` says which frames there are, when each is shown, which are lost and whether
    it ends before it should: then a bad frame stands after the last one.
    """

    def __init__(
        self, path: Path, *, skip_bad: bool = False, fps: Fraction | None = None, span: Span = WHOLE
    ) -> None:
        self._stream = stream = VideoStream(path, fps)
        super().__init__(path, path.stem, skip_bad, stream.rate, span)
        self.size, self.notes, self.levels = stream.size, stream.notes, stream.levels
        self.header_length = stream.header_length
        if not span.whole and stream.rate is None:
            raise DataError(f"{path}: {RATE_NEEDED}")
        self._shown = span.indices_of(stream.times)
        self.length = len(self._shown)
        if not self.length:
            raise self._empty_span(stream.seconds)
        self._now = -1, math.nan

    def _decoded(self) -> Iterator[np.ndarray]:
        shown = self._shown
        to_the_end = self._span.end == math.inf or self._span.end > self._stream.times[-1]
        waiting: list[FrameRead] = []  # bad ones before the first good one, which stands in
        last = None
        for read in self._stream.read_all():
            if read.ended and to_the_end:
                self._refuse(read.index, self.path.name, read.fault or "is not there")
            if read.index >= shown.stop:
                break
            if read.index not in shown:
                continue
            frame = self._picture(read)
            last = last if frame is None else frame
            waiting.append(read)
            if last is None:
                continue
            for waited in waiting:
                self._now = waited.index, waited.time
                yield last
            waiting = []

    def use_levels(self, levels: Levels | None, whose: str) -> None:
        """Stretch deep pictures as others were, see `FrameSource.use_levels`."""
        super().use_levels(levels, whose)
        self._stream.levels = self.levels

    def _position_of(self, number: int) -> tuple[int, float]:
        return self._now

    def _picture(self, read: FrameRead) -> np.ndarray | None:
        """Decode a frame, None where it is bad and that is no error."""
        frame = read.picture()
        reason = read.fault or ("cannot be decoded" if frame is None else self._unlike(frame))
        if reason is None:
            return frame
        self._refuse(read.index, self.path.name, reason)
        return None


def open_source(
    path: str | Path,
    *,
    skip_bad: bool = False,
    repeat_broken: bool = False,
    fps: object = None,
    start: float | None = None,
    end: float | None = None,
    every: int = 1,
) -> FrameSource:
    """Open a folder of frames or a video file.

    Args:
        path: of the folder or file.
        skip_bad: go on after bad frames, see `FrameSource.frames`.
        repeat_broken: the same for video files only: what is lost inside them and an end that comes
            early are reported in `bad`.
        fps: frames/s to take instead of the header's (a number, a Fraction or text like
            "30000/1001"); folders have none of their own.
        start: seconds; frames before it are not given.
        end: seconds; frames from there on are not given.
        every: of the frames between only every n-th.

    Raises:
        DataError: a missing path, an absurd figure or a start beyond the end.
        FrameError: what cannot be read as video.
    """
    path = require_path(path)
    rate = None if fps is None else frame_rate(fps)
    if fps is not None and rate is None:
        raise DataError(
            f"{path}: frame rate {fps!r} given; expected frames per second in (0, {HIGHEST_RATE}]"
        )
    span = _span(path, start, end, every)
    if path.is_dir():
        return FrameFolder(path, skip_bad=skip_bad, fps=rate, span=span)
    if not is_readable_kind(path):  # opening it might wait for ever
        raise FrameError(f"{path}: is no regular file (a FIFO or a device); expected a video file")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise FrameError(
            f"{path}: is a single picture; expected a video file or the folder of its frames"
        )
    return VideoFile(path, skip_bad=skip_bad or repeat_broken, fps=rate, span=span)


def _span(path: Path, start: float | None, end: float | None, every: int) -> Span:
    """Make the span asked for; DataError where its figures make no sense."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not 0 <= value < math.inf:
            raise DataError(f"{path}: {name} {value!r} given; expected seconds from 0 up")
    if end is not None and end <= (start or 0):
        raise DataError(
            f"{path}: end {end:g} s is not after start {start or 0:g} s; expected start < end"
        )
    if not isinstance(every, Integral) or every < 1:
        raise DataError(f"{path}: every {every!r} given; expected a whole number from 1 up")
    return Span(float(start or 0), math.inf if end is None else float(end), every)

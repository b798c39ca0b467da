"""Sources of frames: folders of pictures and video files, read one frame at a time.

Frames are uint8 (H, W, 3), BGR as OpenCV decodes them, indices count from 0. A source never holds
more than two decoded frames, however long it is. What cannot be read is named by index and file;
the caller chooses between stopping there and going on (`skip_bad`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from numbers import Integral
from pathlib import Path

import numpy as np

from mpn.errors import DataError, FrameError
from mpn.video.depth import note_levels
from mpn.video.frame_source import RATE_NEEDED, FrameSource
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
from mpn.video.timing import HIGHEST_RATE, WHOLE, Span, frame_rate
from mpn.video.video_file import VideoFile


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
        self.shown = span.indices(len(self._entries), fps)
        self.length = len(self.shown)
        if not self.length:
            raise self._empty_span(len(self._entries) / fps if fps else math.nan)
        for index in self.shown:
            name, file = self._entries[index]
            if file is None:
                self._refuse(index, name, "is missing")
        self._first = self._first_good()

    def _first_good(self) -> int:
        """Find the first frame shown that can be read, by its number among those shown."""
        for number, index in enumerate(self.shown):
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
        if not 0 <= index < len(self.shown):
            raise IndexError(f"{self.path}: frame {index} of {self.length}")
        for number in range(index, self._first - 1, -1):
            frame = self._load(self.shown[number])
            if frame is not None:
                return fit_frame(frame, size, grey)
        return fit_frame(self._load_first(), size, grey)

    def _load_first(self) -> np.ndarray:
        """Read the first good frame; FrameError where it has become unreadable since."""
        frame = self._load(self.shown[self._first])
        if frame is None:
            raise FrameError(f"{self.path}: its first frame can no longer be read")
        return frame

    def _decoded(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        last, last_number = self._load_first(), -1
        numbers = range(self.length) if wanted is None else np.flatnonzero(wanted).tolist()
        for number in numbers:
            frame = self._load(self.shown[number])
            if frame is None and last_number < number - 1:  # others were left out
                frame = self.read(number)
            last, last_number = last if frame is None else frame, number
            yield number, last

    def _position_of(self, number: int) -> tuple[int, float]:
        return self.shown.start + number * self.shown.step, math.nan


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

"""Video files as sources of frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from mpn.errors import DataError
from mpn.video.depth import Levels
from mpn.video.frame_source import RATE_NEEDED, FrameSource
from mpn.video.stream import FrameRead, VideoStream
from mpn.video.timing import WHOLE, Span


class VideoFile(FrameSource):
    """A video file, decoded in order.

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
        self.shown = span.indices_of(stream.times)
        self.length = len(self.shown)
        if not self.length:
            raise self._empty_span(stream.seconds)
        self._now = -1, math.nan

    def _decoded(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        shown = self.shown
        to_the_end = self._span.end == math.inf or self._span.end > self._stream.times[-1]
        to_the_end &= wanted is None or bool(wanted[-1])
        waiting: list[FrameRead] = []  # bad ones before the first good one, which stands in
        last, unseen = None, None  # the last good frame, and a later one that was not asked for
        for read in self._stream.read_all(self._wanted_of_stream(wanted)):
            if read.ended and to_the_end:
                self._refuse(read.index, self.path.name, read.fault or "is not there")
            if read.index >= shown.stop:
                break
            if read.index not in shown:
                continue
            if read.begins:
                last, unseen = None, None
            if wanted is not None and not wanted[shown.index(read.index)]:
                unseen = read if read.fault is None else unseen
                last = unseen.picture() if waiting and unseen else last
            else:
                frame = self._picture(read)
                if frame is None and wanted is not None:
                    frame = self._stand_in(read, last, unseen)
                last, unseen = last if frame is None else frame, None
                waiting.append(read)
            if last is None:
                continue
            for waited in waiting:
                self._now = waited.index, waited.time
                yield shown.index(waited.index), last
            waiting = []

    def _wanted_of_stream(self, wanted: np.ndarray | None) -> np.ndarray | None:
        """Say which frames of the stream are asked for, None for all."""
        shown = self.shown
        if wanted is None and len(shown) == self._stream.length:
            return None
        asked = np.zeros(self._stream.length, bool)
        asked[shown.start : shown.stop : shown.step] = True if wanted is None else wanted
        return asked

    def _stand_in(
        self, bad: FrameRead, last: np.ndarray | None, unseen: FrameRead | None
    ) -> np.ndarray | None:
        """Find the good frame before a bad one, None where there is none."""
        frame = unseen.picture() if unseen else last
        if frame is not None or bad.index == self.shown.start:
            return frame
        for read in self._stream.read_all():  # it is of what was left out
            if read.index >= bad.index:
                break
            if read.index in self.shown and read.fault is None:
                unseen = read
        return unseen.picture() if unseen else None

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

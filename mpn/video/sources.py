"""Frames in: folders of pictures and video files, read one frame at a time.

Frames are uint8 (H, W, 3), BGR as OpenCV decodes them, indices count from 0. A source never holds
more than two decoded frames, however long it is. What cannot be read is named by index and file;
the caller chooses between stopping there and going on (`skip_bad`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mpn.errors import DataError, FrameError
from mpn.video.paths import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    contents,
    find_sources,
    folder_name,
    images_in,
    natural_key,
    require_path,
    with_gaps,
)
from mpn.video.stream import (
    HIGHEST_RATE,
    WHOLE,
    FrameRead,
    Span,
    VideoStream,
    frame_rate,
    opencv_log_off,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "BadFrame",
    "FrameFolder",
    "FrameSource",
    "VideoFile",
    "find_sources",
    "fit_frame",
    "frame_rate",
    "natural_key",
    "open_source",
    "read_image",
]

RATE_NEEDED = (
    "its frame rate is unknown, so start and end (seconds) cannot be found; give the rate (fps, "
    "--fps)"
)
SKIP_HINT = "repair it, or go on without it (skip_bad, --skip-bad; mpn score: no --strict)"


class BadFrame(NamedTuple):
    """A frame that could not be used: its index from 0, its file, and why."""

    index: int
    name: str
    reason: str


def _cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker: decoders may give back such a picture half
    grey."""
    if data.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2  # walk the header segments, so that an embedded thumbnail's end marker does not count
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:  # start of scan: inside it 0xFF is always escaped
            return data.find(b"\xff\xd9", at) < 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if data[at + 1] != 0xFF else 1
    return True


def _to_8_bit(data: bytes) -> np.ndarray | None:
    """IMREAD_COLOR, and what it gets wrong: it scales 16 bits to 8, but refuses packed 10 and 12
    bits (.tif), and does not look at the highest value that a .pgm or .ppm names."""
    buffer = np.frombuffer(data, np.uint8)
    named = re.match(rb"P[56]\s(?:\s*#.*\n)*\s*\d+\s+\d+\s+(\d+)\s", data)
    if named and int(named[1]) not in (0, 255, 65535):
        deep = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        return None if deep is None else cv2.convertScaleAbs(deep, alpha=255 / int(named[1]))
    frame = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    if frame is not None:
        return frame
    # these it scales to 16 bits
    deep = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return (deep >> 8).astype(np.uint8) if deep is not None and deep.dtype == np.uint16 else None


def _decode(path: Path) -> np.ndarray:
    """The picture as uint8 (H, W, 3); ValueError with the bare reason where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be opened ({error.strerror})") from error
    if not data:
        raise ValueError("is empty (0 bytes)")
    if _cut_short(data):
        raise ValueError(f"is cut short ({len(data):,} bytes, no end marker)")
    try:
        with opencv_log_off():
            frame = _to_8_bit(data)
    except cv2.error as error:
        raise ValueError(f"is no picture that OpenCV can read ({error.err})") from error
    if frame is None:
        raise ValueError(
            f"is no picture that OpenCV can read, or a damaged one ({len(data):,} bytes)"
        )
    return frame


def _dark(path: Path) -> str | None:
    """A note where a 16-bit picture uses so little of its range that 8 bits keep next to nothing of
    it."""
    try:
        with opencv_log_off():
            if _decode(path).max() >= 16:
                return None
            deep = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (ValueError, cv2.error):  # told when its turn comes
        return None
    if deep is None or deep.dtype != np.uint16 or deep.max() < 256:
        return None
    return (
        f"its pictures have 16 bits but {path.name} holds no value above {deep.max():,}, as "
        "10- and 12-bit cameras write them: they come out nearly black; convert them to 8 bits "
        "first"
    )


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture of any of `IMAGE_SUFFIXES` as uint8 (H, W, 3), BGR; grey ones have equal
    channels.

    Raises FrameError naming the file: missing, zero bytes, cut short, no picture.
    """
    try:
        return _decode(Path(path))
    except ValueError as error:
        raise FrameError(f"{path}: {error}; expected a whole picture file") from error


def fit_frame(
    frame: np.ndarray, size: tuple[int, int] | None = None, grey: bool = False
) -> np.ndarray:
    """A frame in the colour and size that a model takes.

    frame: uint8 (H, W, 3) BGR or (H, W, 1). size: (height, width), None to keep. Turned grey first
    if asked (ITU-R BT.601 weights, as OpenCV), then resized once by area. Returns uint8 (h, w, C),
    C = 1 if `grey`, else the channels that came in.
    """
    if grey and frame.shape[2] == 3:
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[:, :, None]
    if size is not None and frame.shape[:2] != tuple(size):
        channels = frame.shape[2]
        frame = cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        frame = frame.reshape(size[0], size[1], channels)  # OpenCV drops a single channel
    return frame


class FrameSource:
    """A video, whatever it is stored as. Use `open_source`.

    name: folder name or file stem. path. size: (height, width) of the first good frame. fps:
    frames/s of what is given, the source's own divided by `every`, or None if unknown. length:
    number of frames to come; exact for folders, from the header's figure or None for files. bad:
    what was found unusable so far, with indices as in `position`, filled while reading. notes: a
    line for each thing that the source says wrongly of itself.
    """

    length: int | None
    size: tuple[int, int]  # set by the subclass, from the first good frame

    def __init__(
        self, path: Path, name: str, skip_bad: bool, fps: Fraction | None, span: Span
    ) -> None:
        self.path = path
        self.name = name
        self.fps = None if fps is None else fps / span.every
        self.skip_bad = skip_bad
        self.bad: list[BadFrame] = []
        self.notes: list[str] = []
        self._noted: set[int] = set()
        self._span = span
        self._at = -1, math.nan

    @property
    def position(self) -> tuple[int, float]:
        """Of the frame that `frames` gave last: its index in the whole source, from 0, bad ones
        counted, and its time in seconds from the first frame, which never decreases.

        The time is the stream's own where it has times and no rate was given, else index / rate,
        nan if unknown. (-1, nan) before the first frame.
        """
        index, time = self._at
        if math.isnan(time) and self.fps and index >= 0:
            time = float(index / (self.fps * self._span.every))
        return index, time

    def frames(
        self, size: tuple[int, int] | None = None, grey: bool = False
    ) -> Iterator[np.ndarray]:
        """Every frame asked for, in order, as uint8 (h, w, C), see `fit_frame`; may be called
        again.

        A bad frame (unreadable, missing, or of another size than the first) raises FrameError with
        its index and name; with `skip_bad` the good frame before it stands in (at the start: the
        one after), so that indices keep their meaning, and it is listed in `bad`.
        """
        for number, frame in enumerate(self._decoded()):
            self._at = self._place(number)
            yield fit_frame(frame, size, grey)

    def _decoded(self) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def _place(self, number: int) -> tuple[int, float]:
        """`position` of the frame that `_decoded` gave as its `number`-th."""
        raise NotImplementedError

    def _nothing(self, seconds: float) -> DataError:
        """The error for a span without a frame."""
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
        """Why a frame's size is wrong, or None where it is right."""
        height, width = frame.shape[:2]
        if (height, width) == self.size:
            return None
        return (
            f"is {width}x{height} where the first frame is {self.size[1]}x{self.size[0]} (width x "
            "height)"
        )


class FrameFolder(FrameSource):
    """A folder of pictures in natural order; a number missing between two others is a bad frame."""

    def __init__(
        self, path: Path, *, skip_bad: bool = False, fps: Fraction | None = None, span: Span = WHOLE
    ) -> None:
        super().__init__(path, folder_name(path), skip_bad, fps, span)
        files = images_in(path)
        if not files:
            raise FrameError(
                f"{path}: no frames found, it holds {contents(path)}; expected "
                f"pictures ({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        self._entries = with_gaps(path, files)
        if note := _dark(files[0]):
            self.notes.append(note)
        if not span.whole and fps is None:
            raise DataError(f"{path}: {RATE_NEEDED}")
        self._shown = span.indices(len(self._entries), fps)
        self.length = len(self._shown)
        if not self.length:
            raise self._nothing(len(self._entries) / fps)
        for index in self._shown:
            name, file = self._entries[index]
            if file is None:
                self._refuse(index, name, "is missing")
        self._first = self._first_good()

    def _first_good(self) -> int:
        for number, index in enumerate(self._shown):
            if self._load(index) is not None:
                return number
        raise FrameError(
            f"{self.path}: none of its {self.length} frames can be read, the first "
            f"one ({self.bad[0].name}) {self.bad[0].reason}; expected a folder of "
            "whole pictures"
        )

    def _load(self, index: int) -> np.ndarray | None:
        """The frame itself, or None where it is bad and `skip_bad` stands."""
        name, file = self._entries[index]
        if file is None:
            return None
        try:
            frame = _decode(file)
        except ValueError as error:
            self._refuse(index, name, str(error))
            return None
        if not hasattr(self, "size"):  # this is the frame that sets it
            self.size = frame.shape[:2]
        reason = self._unlike(frame)
        if reason is None:
            return frame
        self._refuse(index, name, reason)
        return None

    def read(
        self, index: int, size: tuple[int, int] | None = None, grey: bool = False
    ) -> np.ndarray:
        """Frame `index` (from 0) as uint8 (h, w, C): the same array as the index-th of `frames()`.

        Raises IndexError outside [0, length), FrameError as `frames` does.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"{self.path}: frame {index} of {self.length}")
        for number in range(index, self._first - 1, -1):
            frame = self._load(self._shown[number])
            if frame is not None:
                return fit_frame(frame, size, grey)
        return fit_frame(self._load(self._shown[self._first]), size, grey)

    def _decoded(self) -> Iterator[np.ndarray]:
        last = self._load(self._shown[self._first])
        for index in self._shown:
            frame = self._load(index)
            last = last if frame is None else frame
            yield last

    def _place(self, number: int) -> tuple[int, float]:
        return self._shown.start + number * self._shown.step, math.nan


class VideoFile(FrameSource):
    """A video file, decoded from start to end; see `mpn.video.stream` for what a stream tells of
    itself.

    Frames that are lost inside are found by failed reads and, in streams of constant rate, by gaps
    in the times; an end before the header's count is a bad frame after the last one.
    """

    def __init__(
        self, path: Path, *, skip_bad: bool = False, fps: Fraction | None = None, span: Span = WHOLE
    ) -> None:
        self._stream = stream = VideoStream(path, fps)
        super().__init__(path, path.stem, skip_bad, stream.rate, span)
        self.size, self.notes = stream.size, stream.notes
        if not span.whole and stream.rate is None:
            raise DataError(f"{path}: {RATE_NEEDED}")
        self.length = (
            None if stream.length is None else len(span.indices(stream.length, stream.rate))
        )
        # else the header's count may be far off
        if stream.length and stream.steady and not self.length:
            raise self._nothing(stream.length / stream.rate)

    def _decoded(self) -> Iterator[np.ndarray]:
        span = self._span
        waiting: list[FrameRead] = []  # bad ones before the first good one, which stands in
        first = last = None
        seconds = 0.0
        for step in self._stream.read_all(self.skip_bad):
            if span.over(step.time):
                seconds = max(seconds, self._stream.seconds)
                break
            if step.ended:
                self._refuse(step.index, self.path.name, step.fault)
                break
            seconds = step.time
            if not span.begun(step.time):
                continue
            first = step.index if first is None else first
            if (step.index - first) % span.every:
                continue
            frame = self._picture(step)
            last = last if frame is None else frame
            waiting.append(step)
            if last is None:
                continue
            for waited in waiting:
                self._now = waited.index, waited.time
                yield last
            waiting = []
        if first is None:
            raise self._nothing(seconds)

    def _place(self, number: int) -> tuple[int, float]:
        return self._now

    def _picture(self, step: FrameRead) -> np.ndarray | None:
        """A frame, or None where it is bad and that is no error."""
        frame = step.picture()
        reason = step.fault or ("cannot be decoded" if frame is None else self._unlike(frame))
        if reason is None:
            return frame
        self._refuse(step.index, self.path.name, reason)
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

    skip_bad: see `FrameSource.frames`. repeat_broken: the same for video files only: what is lost
    inside them and an end that comes early are reported in `bad`.
    fps: frames/s to take instead of the header's (a number, a Fraction or text like "30000/1001");
    folders have none of their own. start, end: seconds; only the frames at start <= time < end are
    given. every: of these only every n-th.
    Raises DataError for a missing path, an absurd figure or a start beyond the end, FrameError for
    what cannot be read as video.
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
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise FrameError(
            f"{path}: is a single picture; expected a video file or the folder of its frames"
        )
    return VideoFile(path, skip_bad=skip_bad or repeat_broken, fps=rate, span=span)


def _span(path: Path, start: float | None, end: float | None, every: int) -> Span:
    """The span asked for; DataError where its figures make no sense."""
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

"""Frames in: folders of pictures and video files, read one frame at a time.

Frames are uint8 (H, W, 3), BGR as OpenCV decodes them, indices count from 0. A source never holds more
than two decoded frames, however long it is. What cannot be read is named by index and file; the caller
chooses between stopping there and going on (`skip_bad`).
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

# FFmpeg writes its own complaints to stderr; ours are one line each. OpenCV reads this once, at the
# first video it opens, and a user's own setting stands.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from mpn.errors import DataError, FrameError
from mpn.listing import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    contents,
    find_sources,
    folder_name,
    images_in,
    natural_key,
    require_path,
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

HIGHEST_RATE = 1000  # frames/s; headers that say more are wrong
# Headers may count a frame or two that no decoder gives back; more than that is a file cut short.
HEADER_SLACK = 2
SKIP_HINT = "repair it, or go on without it (skip_bad, --skip-bad)"


class BadFrame(NamedTuple):
    """A frame that could not be used: its index from 0, its file, and why."""

    index: int
    name: str
    reason: str


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV's own log lines off while it tries something that may fail."""
    log = getattr(getattr(cv2, "utils", None), "logging", None)
    if log is None:  # builds without the logging module
        yield
        return
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


def _cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker: decoders may give back such a picture half grey."""
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
        with _quiet():
            frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"is no picture that OpenCV can read ({error.err})") from error
    if frame is None:
        raise ValueError(f"is no picture that OpenCV can read, or a damaged one ({len(data):,} bytes)")
    return frame


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture of any of `IMAGE_SUFFIXES` as uint8 (H, W, 3), BGR; grey ones have equal channels.

    Raises FrameError naming the file: missing, zero bytes, cut short, no picture.
    """
    try:
        return _decode(Path(path))
    except ValueError as error:
        raise FrameError(f"{path}: {error}; expected a whole picture file") from error


def fit_frame(frame: np.ndarray, size: tuple[int, int] | None = None, grey: bool = False) -> np.ndarray:
    """A frame in the colour and size that a model takes.

    frame: uint8 (H, W, 3) BGR or (H, W, 1). size: (height, width), None to keep. Turned grey first if
    asked (ITU-R BT.601 weights, as OpenCV), then resized once by area. Returns uint8 (h, w, C),
    C = 1 if `grey`, else the channels that came in.
    """
    if grey and frame.shape[2] == 3:
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[:, :, None]
    if size is not None and frame.shape[:2] != tuple(size):
        channels = frame.shape[2]
        frame = cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        frame = frame.reshape(size[0], size[1], channels)  # OpenCV drops a single channel
    return frame


def frame_rate(value: object) -> Fraction | None:
    """A frame rate as a Fraction, or None where the figure is absurd (0, negative, nan, above 1000).

    Headers hold rounded decimals: 29.97002997 becomes 30000/1001.
    """
    try:
        rate = Fraction(value).limit_denominator(1001)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return rate if 0 < rate <= HIGHEST_RATE else None


class FrameSource:
    """A video, whatever it is stored as. Use `open_source`.

    name: folder name or file stem. path. fps: frames/s or None if unknown. size: (height, width) of the
    first good frame. length: number of frames; exact for folders, the header's figure or None for files.
    bad: what was found unusable so far, filled while reading.
    """

    length: int | None
    size: tuple[int, int]  # set by the subclass, from the first good frame

    def __init__(self, path: Path, name: str, skip_bad: bool, fps: Fraction | None) -> None:
        self.path = path
        self.name = name
        self.fps = fps
        self.skip_bad = skip_bad
        self.bad: list[BadFrame] = []
        self._noted: set[int] = set()

    def frames(self, size: tuple[int, int] | None = None, grey: bool = False) -> Iterator[np.ndarray]:
        """Every frame in order as uint8 (h, w, C), see `fit_frame`; may be called again.

        A bad frame (unreadable, missing, or of another size than the first) raises FrameError with its
        index and name; with `skip_bad` the good frame before it stands in (at the start: the one after),
        so that indices keep their meaning, and it is listed in `bad`.
        """
        for frame in self._decoded():
            yield fit_frame(frame, size, grey)

    def _decoded(self) -> Iterator[np.ndarray]:
        raise NotImplementedError

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
        return f"is {width}x{height} where the first frame is {self.size[1]}x{self.size[0]} (width x height)"


class FrameFolder(FrameSource):
    """A folder of pictures in natural order; a number missing between two others is a bad frame."""

    def __init__(self, path: Path, *, skip_bad: bool = False, fps: Fraction | None = None) -> None:
        super().__init__(path, folder_name(path), skip_bad, fps)
        files = images_in(path)
        if not files:
            raise FrameError(f"{path}: no frames found, it holds {contents(path)}; expected pictures "
                             f"({', '.join(sorted(IMAGE_SUFFIXES))})")
        self._entries = _with_gaps(path, files)
        self.length = len(self._entries)
        for index, (name, file) in enumerate(self._entries):
            if file is None:
                self._refuse(index, name, "is missing")
        self._first = self._first_good()

    def _first_good(self) -> int:
        for index in range(self.length):
            if self._load(index) is not None:
                return index
        raise FrameError(f"{self.path}: none of its {self.length} frames can be read, the first one "
                         f"({self.bad[0].name}) {self.bad[0].reason}; expected a folder of whole pictures")

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

    def read(self, index: int, size: tuple[int, int] | None = None, grey: bool = False) -> np.ndarray:
        """Frame `index` (from 0) as uint8 (h, w, C): the same array as the index-th of `frames()`.

        Raises IndexError outside [0, length), FrameError as `frames` does.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"{self.path}: frame {index} of {self.length}")
        for at in range(index, self._first - 1, -1):
            frame = self._load(at)
            if frame is not None:
                return fit_frame(frame, size, grey)
        return fit_frame(self._load(self._first), size, grey)

    def _decoded(self) -> Iterator[np.ndarray]:
        last = self._load(self._first)
        for index in range(self.length):
            frame = self._load(index)
            last = last if frame is None else frame
            yield last


def _with_gaps(folder: Path, files: list[Path]) -> list[tuple[str, Path | None]]:
    """(name, file) per frame, with (name, None) where the numbering leaves one out.

    Numbering may start anywhere and go in equal steps (0, 5, 10). Names that share no prefix, or whose
    numbers follow no step (timestamps), are taken as they come.
    """
    plain = [(file.name, file) for file in files]
    matches = [re.match(r"(.*?)(\d+)(\D*)$", file.stem) for file in files]
    if not all(matches) or len({(m[1].lower(), m[3]) for m in matches}) > 1:
        return plain
    numbers = [int(m[2]) for m in matches]
    steps = [after - before for before, after in zip(numbers, numbers[1:])]
    if 0 in steps:
        twice = steps.index(0)
        raise FrameError(f"{folder}: {files[twice].name} and {files[twice + 1].name} have one number; "
                         "expected one picture a frame (are two recordings or masks mixed?)")
    step = Counter(steps).most_common(1)[0][0] if steps else 1
    if steps.count(step) * 2 <= len(steps) or any(s % step for s in steps):
        return plain
    absent = sum(s // step - 1 for s in steps)
    if absent > len(files):  # stand-ins for most of the video would be made up
        jump = max(range(len(steps)), key=steps.__getitem__)
        raise FrameError(f"{folder}: the numbering jumps from {files[jump].name} to {files[jump + 1].name}, "
                         f"{absent:,} of {absent + len(files):,} frames are missing; expected one recording")
    entries: list[tuple[str, Path | None]] = plain[:1]
    for match, number, entry, gap in zip(matches, numbers, plain[1:], steps):
        for missing in range(number + step, number + gap, step):
            digits = str(missing).zfill(len(match[2]))
            entries.append((f"{match[1]}{digits}{match[3]}{entry[1].suffix}", None))
        entries.append(entry)
    return entries


def _next(capture: cv2.VideoCapture) -> np.ndarray | None:
    """The next frame, None at the end."""
    with _quiet():
        return capture.read()[1]


class VideoFile(FrameSource):
    """A video file, decoded by OpenCV (FFmpeg) from start to end.

    What FFmpeg cannot decode it leaves out without a word, so lost frames are only counted, at the end
    against the header (a bad frame after the last one); after damage in the middle indices are too low.
    """

    def __init__(self, path: Path, *, skip_bad: bool = False, fps: Fraction | None = None) -> None:
        super().__init__(path, path.stem, skip_bad, fps)
        if path.stat().st_size == 0:
            raise FrameError(f"{path}: is empty (0 bytes); expected a video file")
        with self._capture() as capture:
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            self.length = int(count) if math.isfinite(count) and 0 < count < 2**40 else None
            self.fps = fps or frame_rate(capture.get(cv2.CAP_PROP_FPS))
            frame = _next(capture)
        if frame is None:
            raise FrameError(f"{path}: not one frame can be decoded; expected a whole video file")
        self.size = frame.shape[:2]

    @contextlib.contextmanager
    def _capture(self) -> Iterator[cv2.VideoCapture]:
        # FFmpeg by name: other backends would take "clip01.avi" for a pattern of picture names.
        with _quiet():
            capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise FrameError(f"{self.path}: is no video that OpenCV can decode ({self._kind()}); expected a "
                                 "whole video file, try converting it to H.264 .mp4")
            yield capture
        finally:
            capture.release()

    def _kind(self) -> str:
        """What the file's beginning looks like, for the error message."""
        try:
            with self.path.open("rb") as file:
                start = file.read(256)
        except OSError as error:
            return f"it cannot be opened: {error.strerror}"
        size = f"{self.path.stat().st_size:,} bytes"
        if all(32 <= byte < 127 or byte in (9, 10, 13) for byte in start):
            return f"{size} of text"
        return f"{size}; a file cut short, or of an unknown format"

    def _decoded(self) -> Iterator[np.ndarray]:
        count = 0
        last = None
        with self._capture() as capture:
            while (frame := _next(capture)) is not None:
                reason = self._unlike(frame)
                if reason is not None:
                    self._refuse(count, self.path.name, reason)
                    frame = last
                last = frame
                count += 1
                yield frame
        if self.length is not None and count < self.length - HEADER_SLACK:
            self._refuse(count, self.path.name, f"is not there: the video is truncated or damaged, its header says "
                                                f"{self.length:,} frames and {count:,} can be decoded")


def open_source(path: str | Path, *, skip_bad: bool = False, fps: object = None) -> FrameSource:
    """Open a folder of frames or a video file.

    fps: frames/s to take instead of the header's (a number, a Fraction or text like "30000/1001");
    folders have none of their own. skip_bad: see `FrameSource.frames`.
    Raises DataError for a missing path or an absurd `fps`, FrameError for what cannot be read as video.
    """
    path = require_path(path)
    rate = None if fps is None else frame_rate(fps)
    if fps is not None and rate is None:
        raise DataError(f"{path}: frame rate {fps!r} given; expected frames per second in (0, {HIGHEST_RATE}]")
    if path.is_dir():
        return FrameFolder(path, skip_bad=skip_bad, fps=rate)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise FrameError(f"{path}: is a single picture; expected a video file or the folder of its frames")
    return VideoFile(path, skip_bad=skip_bad, fps=rate)

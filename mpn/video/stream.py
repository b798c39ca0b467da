"""A video file's stream, decoded by OpenCV (FFmpeg) from start to end: frames, times, losses.

What OpenCV 4.14 was seen to do with files that were made, and then damaged, for it:

- `CAP_PROP_POS_MSEC` after a read is the frame's presentation time from the start of the stream, to
  the container's tick. H.264 with B-frames in .avi begins late and ends with zeros, .mpg ends with
  one: a time that does not rise is unknown.
- A packet that cannot be decoded makes one read fail, as the end of the stream does; the next read
  goes on behind it. At the end all fail, at once. What damage to the container swallows (.mkv, .ts)
  leaves no failed read, only a gap in the times.
- H.264 and MPEG-4 decoders paint over most damage; such a frame comes like any other, and nothing
  tells it.
- The number of frames is counted in the headers of .mp4, .mov and .avi; elsewhere it is duration
  times rate.
- Frames are turned upright by the container's rotation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mpn.errors import FrameError
from mpn.video.opencv import opencv_log_off
from mpn.video.timing import FrameClock, frame_rate, timing_of

# Headers may count a frame or two that no decoder gives back; more than that is a file cut short.
HEADER_SLACK = 2
PROBED_FRAMES = 32  # whose times are looked at when a file is opened
# A rate in the header that is further than this from the presentation times is wrong.
RATE_TOLERANCE = 0.1
# Nearer than this, a gap in the times is a loss.
STEADY_TOLERANCE = 0.02
# Reads that may fail in a row before the stream is over: short of what the header says, and else.
MAX_FAILED_READS, MAX_FAILED_READS_AT_END = 500, 8
ROUNDED = 1e-3  # seconds; .mkv and .flv have times in whole milliseconds
LOST = "is lost: it cannot be decoded, or is missing from the stream"


@dataclass(frozen=True)
class FrameRead:
    """One frame of a stream in its turn.

    Attributes:
        index: in the stream, from 0, lost ones counted.
        time: seconds from the first frame, NaN if unknown.
        fault: why there is no picture, or None.
        picture: decodes it, None where that fails.
        ended: there is no such frame, the stream is over too early.
    """

    index: int
    time: float
    fault: str | None
    picture: Callable[[], np.ndarray | None]
    ended: bool = False


def _no_picture() -> None:
    return None


class VideoStream:
    """A video file, opened and its first frames looked at.

    Attributes:
        size: (height, width) of the first frame, upright.
        rate: frames/s or None; the one given, else the header's unless the presentation times say
            otherwise.
        length: frames by the header, None if it says nothing sound.
        seconds: its duration by the header, NaN if unknown.
        timing: of its first frames.
        steady: whether longer intervals mean lost frames.
        notes: a line for each thing that the header says wrongly, filled while reading.
    """

    size: tuple[int, int]

    def __init__(self, path: Path, given: Fraction | None = None) -> None:
        """Open a file and read its first frames.

        Args:
            path: of the file.
            given: frames/s to take instead of what the file says.

        Raises:
            FrameError: it is no video, or empty.
        """
        self.path, self.given = path, given
        self.notes: list[str] = []
        self.length: int | None = None
        self.seconds, self._late = math.nan, 0
        if path.stat().st_size == 0:
            raise FrameError(f"{path}: is empty (0 bytes); expected a video file")
        with self._capture() as capture:
            count, header = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
            if math.isfinite(count) and 0 < count < 2**40:
                self.length = int(count)
            self.timing = timing_of(self._first_frames(capture))
        self._settle_rate(header)

    def _settle_rate(self, header: float) -> None:
        """Choose between the rate given, the header's and the one of the presentation times.

        Sets `rate`, `steady` and `seconds`, and corrects `length` that was made from a wrong rate.

        Args:
            header: frames/s by the header.
        """
        header_rate, measured = frame_rate(header), self.timing.rate
        error = abs(header_rate / measured - 1) if header_rate and measured else math.nan
        # Made by FFmpeg from the times of all frames, unlike what other headers say.
        is_mean = header_rate is not None and self.path.suffix.lower() in (".mp4", ".m4v", ".mov")
        # None where the header's stands.
        corrected = None if is_mean or error <= RATE_TOLERANCE else measured
        self.rate = self.given or (header_rate if corrected is None else corrected)
        # A mean that is not the rate of the first frames tells of pauses further on.
        self.steady = self.timing.steady and error < STEADY_TOLERANCE
        if self.length is not None and 0 < header < math.inf:
            self.seconds = (self.length - 0.5) / header  # the count was rounded
            if corrected is not None:  # and may have been made from the wrong rate
                self.length = round(self.seconds * corrected)
        if self.given:
            return
        if corrected is not None:
            self._note(
                f"its header says {header:g} frames/s, the times of its first frames "
                f"{float(corrected):.4g}, which are believed"
            )
        if self.rate is None:
            self._note(
                f"its header says {header:g} frames/s, which cannot be, and its times are no better"
            )
        elif measured and not self.timing.steady or is_mean and error > RATE_TOLERANCE:
            self._note("its frame rate varies; times are those of the stream")

    def _first_frames(self, capture: cv2.VideoCapture) -> list[float]:
        """Read the presentation times of the first frames, in milliseconds, and set `size`."""
        times: list[float] = []
        for _ in self._grabs(capture):
            if not times:
                frame = capture.retrieve()[1]
                if frame is None:
                    continue
                self.size = frame.shape[0], frame.shape[1]
                # Matroska's duration, which the count is made from, begins at 0 and not at the
                # first frame.
                if self.path.suffix.lower() in (".mkv", ".webm"):
                    self._late = int(capture.get(cv2.CAP_PROP_PTS))
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
            if len(times) == PROBED_FRAMES:
                break
        if not times:
            raise FrameError(
                f"{self.path}: not one frame can be decoded; expected a whole video file"
            )
        return times

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)

    @contextlib.contextmanager
    def _capture(self) -> Iterator[cv2.VideoCapture]:
        # FFmpeg by name: other backends would take "clip01.avi" for a pattern of picture names.
        with opencv_log_off():
            capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise FrameError(
                    f"{self.path}: is no video that OpenCV can decode "
                    f"({self._kind()}); expected a whole video file, try converting "
                    "it to H.264 .mp4"
                )
            if not capture.get(cv2.CAP_PROP_ORIENTATION_AUTO):  # a matter of the build
                capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
            yield capture
        finally:
            capture.release()

    def _kind(self) -> str:
        """Describe what the file's beginning looks like, for the error message."""
        try:
            with self.path.open("rb") as file:
                start = file.read(256)
        except OSError as error:
            return f"it cannot be opened: {error.strerror}"
        size = f"{self.path.stat().st_size:,} bytes"
        if all(32 <= byte < 127 or byte in (9, 10, 13) for byte in start):
            return f"{size} of text"
        return f"{size}; a file cut short, or of an unknown format"

    def _grabs(self, capture: cv2.VideoCapture) -> Iterator[int]:
        """Go from good frame to good frame, and give how many reads failed before each."""
        good = failed = 0
        while True:
            at_end = self.length is not None and good >= self.length
            if failed >= (MAX_FAILED_READS_AT_END if at_end else MAX_FAILED_READS):
                return
            with opencv_log_off():
                grabbed = capture.grab()
            if not grabbed:
                failed += 1
                continue
            yield failed
            failed, good = 0, good + 1

    def read_all(self, gaps: bool) -> Iterator[FrameRead]:
        """Give every frame in turn; its picture is to be taken before the next one.

        Ends with an `ended` one where the stream is shorter than its header says.

        Args:
            gaps: see `FrameClock`.
        """
        clock = FrameClock(self._period(), self.steady, gaps)
        index, latest = 0, 0.0
        with self._capture() as capture:

            def picture() -> np.ndarray | None:
                return capture.retrieve()[1]

            def read(
                time: float, fault: str | None, decode: Callable[[], np.ndarray | None]
            ) -> FrameRead:
                nonlocal latest
                time = self._time(index, time)
                latest = latest if time < latest else time
                return FrameRead(index, latest, fault, decode)

            for failed in self._grabs(capture):
                before = clock.time if index else -clock.period
                missing, time = clock.tick(capture.get(cv2.CAP_PROP_POS_MSEC), failed)
                for lost in range(1, missing + 1):
                    between = before + (time - before) * lost / (missing + 1)
                    yield read(between, LOST, _no_picture)
                    index += 1
                yield read(time, None, picture)
                index += 1
        if clock.longest_pause:
            self._note(
                f"its times have a gap of {clock.longest_pause:.1f} s, taken for a pause of "
                "the recorder"
            )
        fault = self._end(index, clock)
        if fault:
            yield FrameRead(
                index, self._time(index, clock.time + clock.period), fault, _no_picture, ended=True
            )

    def _period(self) -> float:
        """Choose the seconds between frames.

        Those of the times; or of the rate, where times are unknown, or agree with it (they are
        rounded).
        """
        period = self.timing.period
        if not self.rate or abs(period * self.rate - 1) >= 0.01:
            return period
        return float(1 / self.rate)

    def _time(self, index: int, time: float) -> float:
        """Choose the time of a frame: by its index and the rate, or as the clock has it."""
        if self.given:
            return float(index / self.given)
        if not self.rate:  # times of an absurd rate are absurd too
            return math.nan
        exact = float(index / self.rate)  # the container's are rounded
        return exact if self.steady and abs(time - exact) <= ROUNDED else time

    def _end(self, count: int, clock: FrameClock) -> str | None:
        """Say why an end after `count` frames is too early, or None; note a count that is wrong."""
        if self.length is None:
            return None
        line = f"its header says {self.length:,} frames, {count:,} came"
        if clock.steady and count > self.length + HEADER_SLACK:
            self._note(line)
        if (
            count >= self.length - HEADER_SLACK
            or abs(self.length - count - self._late) <= HEADER_SLACK
        ):
            return None
        # Where the rate varies, a count made from the duration is no count: have the times come to
        # the end?
        interval = clock.time / max(count - 1, 1)
        if not clock.steady and clock.time >= self.seconds - (1 + HEADER_SLACK) * interval:
            return None
        self._note(line)
        return (
            f"is not there: the video is truncated or damaged, its header says {self.length:,} "
            f"frames and {count:,} can be decoded"
        )

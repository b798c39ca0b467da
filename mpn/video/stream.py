"""A video file's stream, decoded by OpenCV (FFmpeg) from start to end: its frames, their times,
what is lost.

What OpenCV 4.14 was seen to do with files that were made, and then damaged, for it:

- `CAP_PROP_POS_MSEC` after a read is the frame's presentation time from the start of the stream, to
the
  container's tick. H.264 with B-frames in .avi begins late and ends with zeros, .mpg ends with one:
  a time that does not rise is unknown.
- A packet that cannot be decoded makes one read fail, as the end of the stream does; the next read
goes on
  behind it. At the end all fail, at once. What damage to the container swallows (.mkv, .ts) leaves
  no failed read, only a gap in the times.
- H.264 and MPEG-4 decoders paint over most damage; such a frame comes like any other, and nothing
tells it.
- The number of frames is counted in the headers of .mp4, .mov and .avi; elsewhere it is duration
times rate.
- Frames are turned upright by the container's rotation.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

# FFmpeg writes its own complaints to stderr; ours are one line each. OpenCV reads this once, at the
# first video it opens, and a user's own setting stands.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from mpn.errors import FrameError

HIGHEST_RATE = 1000  # frames/s; headers that say more are wrong
# Headers may count a frame or two that no decoder gives back; more than that is a file cut short.
HEADER_SLACK = 2
# Frames whose times are looked at when a file is opened, and the fewest intervals that tell
# something.
PROBED, FEWEST_INTERVALS = 32, 5
# A rate in the header that is further than this from the presentation times is wrong.
RATE_TOLERANCE = 0.1
# Nearer than this, a gap in the times is a loss.
STEADY_TOLERANCE = 0.02
# Reads that may fail in a row before the stream is over: short of what the header says, and else.
MOST_BROKEN, END_READS = 500, 8
# A longer gap in the times is a recorder's pause, not a loss: that many frames would be made up.
LONGEST_LOSS = 10.0  # seconds
JUST = 1e-6  # seconds; times are rounded, and a start of 0.1 + 0.2 means the frame at 0.3
ROUNDED = 1e-3  # seconds; .mkv and .flv have times in whole milliseconds
LOST = "is lost: it cannot be decoded, or is missing from the stream"


@contextlib.contextmanager
def opencv_log_off() -> Iterator[None]:
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


def frame_rate(value: object) -> Fraction | None:
    """A frame rate as a Fraction, or None where the figure is absurd (0, negative, nan, above
    1000).

    Headers hold rounded decimals: 29.97002997 becomes 30000/1001.
    """
    try:
        rate = Fraction(value).limit_denominator(1001)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return rate if 0 < rate <= HIGHEST_RATE else None


class Span(NamedTuple):
    """What of a source is shown: the frames at start <= seconds < end, and of these every n-th."""

    start: float = 0.0
    end: float = math.inf
    every: int = 1

    def begun(self, seconds: float) -> bool:
        """Whether that moment is not before the start (nor is an unknown one)."""
        return not seconds < self.start - JUST

    def over(self, seconds: float) -> bool:
        """Whether that moment is behind the end."""
        return seconds >= self.end - JUST

    def indices(self, length: int, rate: Fraction | None) -> range:
        """The frames shown of so many at equal intervals; without start and end no rate is
        needed."""
        first = math.ceil((self.start - JUST) * rate) if self.start else 0
        stop = length if self.end == math.inf else min(length, math.ceil((self.end - JUST) * rate))
        return range(first, max(first, stop), self.every)

    @property
    def whole(self) -> bool:
        """Whether it has neither start nor end."""
        return not self.start and self.end == math.inf


WHOLE = Span()


class Timing(NamedTuple):
    """What presentation times say: seconds between frames (nan if nothing), and whether nearly all
    are equal."""

    period: float
    steady: bool

    @property
    def rate(self) -> Fraction | None:
        """Frames/s; times are rounded (Matroska: to 1 ms), so what is near a usual rate is that
        rate."""
        if not self.period > 0:
            return None
        measured = 1 / self.period
        usual = [Fraction(round(measured)), Fraction(round(measured) * 1000, 1001)]
        nearest = min(usual, key=lambda rate: abs(rate - measured))
        return frame_rate(nearest if abs(nearest - measured) < 0.003 * measured else measured)


def timing_of(milliseconds: Sequence[float]) -> Timing:
    """The timing of a stream from the presentation times of its first frames.

    Steady: at most a tenth of the intervals (or one) is off the median by more than a tenth and 1.5
    ms, which covers times rounded to 1 ms. Only in a steady stream a longer interval means lost
    frames; in one of variable rate (phones, screen recordings, cameras that record motion) it means
    nothing.
    """
    steps = np.diff(np.asarray(milliseconds, float))
    steps = steps[steps > 0]  # where a time does not rise it is unknown
    if len(steps) < FEWEST_INTERVALS:
        return Timing(math.nan, False)
    typical = float(np.median(steps))
    regular = np.abs(steps - typical) <= max(0.1 * typical, 1.5)
    steady = int((~regular).sum()) <= max(1, len(steps) // 10)
    return Timing(float(steps[regular].mean() if steady else steps.mean()) / 1000, steady)


class FrameClock:
    """The times of a stream's frames in seconds from the first one, and how many are missing before
    each.

    period: seconds between frames, nan if unknown. steady: whether nearly all intervals are equal;
    given up where more than a tenth turn out different. gaps: in a steady stream, take longer
    intervals for lost frames; else only failed reads count.
    """

    def __init__(self, period: float, steady: bool, gaps: bool) -> None:
        self.period, self._steady, self._gaps = period, steady, gaps
        self.time = math.nan  # of the newest frame
        self.longest_pause = 0.0
        self._intervals = self._odd = 0
        self._offset: float | None = None  # presentation time of the moment 0
        self._newest = self._before = 0.0  # highest and last presentation time

    @property
    def steady(self) -> bool:
        """Whether the stream has kept its rate so far."""
        return self._steady and self._odd <= 3 + self._intervals // 10

    def tick(self, milliseconds: float, failed: int) -> tuple[int, float]:
        """The next good frame: how many frames are missing before it, and its time.

        milliseconds: its presentation time as OpenCV gives it. failed: reads that failed before it.
        """
        now = max(milliseconds, 0.0) / 1000
        if self._offset is None:
            self.time = failed * self.period if failed else 0.0
            self._offset = now - (0.0 if math.isnan(self.time) else self.time)
            self._newest = self._before = now
            return failed, self.time
        step = self._step(now, failed)
        missing = self._missing(step, failed)
        self.time += step
        return missing, self.time

    def _step(self, now: float, failed: int) -> float:
        """Seconds since the frame before: never negative."""
        guess = self.period * (failed + 1)
        if now > self._newest:
            step = now - self._offset - self.time
            step = guess if math.isnan(step) else max(step, 0.0)
            self._newest = now
        else:
            step = guess
            # lower times that rise again: the stream has begun anew, as in joined files
            if now > self._before:
                self._offset = now - (self.time + step)
                self._newest = now
        self._before = now
        return step

    def _missing(self, step: float, failed: int) -> int:
        share = step / self.period
        if math.isnan(share):
            return failed
        self._intervals += 1
        self._odd += abs(share - 1) > 0.1
        if not self.steady or not self._gaps:
            return failed
        if step > LONGEST_LOSS:
            self.longest_pause = max(self.longest_pause, step)
            return failed
        count = round(share)  # a lost frame leaves a whole number of periods
        return count - 1 if count > 1 and abs(share - count) <= max(0.25, 0.002 * count) else 0


class FrameRead(NamedTuple):
    """One frame of a stream in its turn.

    index: in the stream, from 0, lost ones counted. time: seconds from the first frame, nan if
    unknown. fault: why there is no picture, or None. picture: decodes it, None where that fails.
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

    size: (height, width) of the first frame, upright. rate: frames/s or None; the one given, else
    the header's unless the presentation times say otherwise. length: frames by the header, None if
    it says nothing sound. seconds: its duration by the header, nan if unknown. timing: of its first
    frames. steady: whether longer intervals mean lost frames. notes: a line for each thing that the
    header says wrongly, filled while reading. Raises FrameError where it is no video.
    """

    def __init__(self, path: Path, given: Fraction | None = None) -> None:
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
        said, measured = frame_rate(header), self.timing.rate
        off = abs(said / measured - 1) if said and measured else math.nan
        # Made by FFmpeg from the times of all frames, unlike what other headers say.
        mean = said is not None and path.suffix.lower() in (".mp4", ".m4v", ".mov")
        overruled = measured is not None and not mean and not off <= RATE_TOLERANCE
        self.rate = given or (measured if overruled else said)
        # A mean that is not the rate of the first frames tells of pauses further on.
        self.steady = self.timing.steady and off < STEADY_TOLERANCE
        if self.length is not None and 0 < header < math.inf:
            self.seconds = (self.length - 0.5) / header  # the count was rounded
            if overruled:  # and may have been made from the wrong rate
                self.length = round(self.seconds * measured)
        if given:
            return
        if overruled:
            self._note(
                f"its header says {header:g} frames/s, the times of its first frames "
                f"{float(measured):.4g}, which are believed"
            )
        if self.rate is None:
            self._note(
                f"its header says {header:g} frames/s, which cannot be, and its times are no better"
            )
        elif measured and not self.timing.steady or mean and off > RATE_TOLERANCE:
            self._note("its frame rate varies; times are those of the stream")

    def _first_frames(self, capture: cv2.VideoCapture) -> list[float]:
        """Sets `size`; presentation times of the first frames, in milliseconds."""
        times = []
        for _ in self._grabs(capture):
            if not times:
                frame = capture.retrieve()[1]
                if frame is None:
                    continue
                self.size = frame.shape[:2]
                # Matroska's duration, which the count is made from, begins at 0 and not at the
                # first frame.
                if self.path.suffix.lower() in (".mkv", ".webm"):
                    self._late = int(capture.get(cv2.CAP_PROP_PTS))
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
            if len(times) == PROBED:
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

    def _grabs(self, capture: cv2.VideoCapture) -> Iterator[int]:
        """Goes from good frame to good frame; how many reads failed before each."""
        good = failed = 0
        while failed < (
            END_READS if self.length is not None and good >= self.length else MOST_BROKEN
        ):
            with opencv_log_off():
                grabbed = capture.grab()
            if not grabbed:
                failed += 1
                continue
            yield failed
            failed, good = 0, good + 1

    def read_all(self, gaps: bool) -> Iterator[FrameRead]:
        """Every frame in turn; its picture is to be taken before the next step.

        gaps: see `FrameClock`. Ends with an `ended` step where the stream is shorter than its
        header says.
        """
        clock = FrameClock(self._period(), self.steady, gaps)
        index, latest = 0, 0.0
        with self._capture() as capture:

            def picture() -> np.ndarray | None:
                return capture.retrieve()[1]

            def step(
                time: float, fault: str | None, taken: Callable[[], np.ndarray | None]
            ) -> FrameRead:
                nonlocal latest
                time = self._time(index, time)
                latest = latest if time < latest else time
                return FrameRead(index, latest, fault, taken)

            for failed in self._grabs(capture):
                before = clock.time if index else -clock.period
                missing, time = clock.tick(capture.get(cv2.CAP_PROP_POS_MSEC), failed)
                for lost in range(1, missing + 1):
                    between = before + (time - before) * lost / (missing + 1)
                    yield step(between, LOST, _no_picture)
                    index += 1
                yield step(time, None, picture)
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
        """Seconds between frames: the times' own, or the rate's where these are unknown, or rounded
        and agree."""
        own = self.timing.period
        return own if not self.rate or abs(own * self.rate - 1) >= 0.01 else float(1 / self.rate)

    def _time(self, index: int, time: float) -> float:
        if self.given:
            return float(index / self.given)
        if not self.rate:  # times of an absurd rate are absurd too
            return math.nan
        exact = float(index / self.rate)  # the container's are rounded
        return exact if self.steady and abs(time - exact) <= ROUNDED else time

    def _end(self, count: int, clock: FrameClock) -> str | None:
        """Why an end after `count` frames is too early, or None; notes a count that is wrong."""
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

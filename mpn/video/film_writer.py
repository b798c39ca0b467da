"""The writer of a video file with the times of its pictures, whole under its name or not at all."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, cast

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError

from mpn.errors import DataError, FrameError
from mpn.video.stream import VideoStream
from mpn.video.timing import USUAL_RATE

if TYPE_CHECKING:  # in the standard library since Python 3.11
    from typing_extensions import Self

# VP8 in .webm is what browsers play; VP9 takes seven times as long. Quality (crf) is 0 (best) to 63
# for VP8, and 1 (best) to 31 for MPEG-4 and Motion JPEG, times 118, FFmpeg's unit.
QUALITY = {"flags": "+qscale", "global_quality": str(3 * 118)}
# Threads of libvpx wait busily for one another: on two busy cores one thread took a quarter of the
# time of several, for 360x240. Below 0 "cpu-used" does not depend on the time that the machine has,
# nor what comes of it.
VP8 = {"deadline": "realtime", "cpu-used": "-8", "auto-alt-ref": "0", "threads": "1"}
CODECS = {
    ".webm": ("libvpx", "yuv420p", VP8 | {"crf": "20", "qmin": "8", "qmax": "40"}),
    ".mp4": ("mpeg4", "yuv420p", QUALITY),
    ".avi": ("mjpeg", "yuvj420p", QUALITY),
}
BITS_PER_PIXEL = 0.5  # of VP8 at most
MIN_BITS = 10_000  # a second: with less than 500, as of a picture every few minutes, VP8 fails
TICKS = 1000  # a second; all that .webm can tell
SLOWEST = Fraction(1, 1001)  # pictures a second; a film of fewer is played at that


class FilmWriter:
    """Writes a video file picture by picture; memory doesn't grow with its length.

    The file appears under its name when `close` has finished it (also at the end of a `with` block
    that raised nothing), until then it is `.NAME.part.SUFFIX` beside it. Subclasses make the
    pictures of frames, check these with `_require_size` and hand them to `_append`.

    Attributes:
        path: where to.
        source_size: (height, width) of the frames that the pictures are made of.
        count: pictures so far.
    """

    # By suffix: FFmpeg's name of the coder, its pixels, its options.
    CODECS: ClassVar[dict[str, tuple[str, str, dict[str, str]]]] = CODECS
    # Pictures from one that needs no other to the next, so that a player can jump.
    KEY_FRAMES: ClassVar[int] = 25
    # Whether an interrupted run (Ctrl-C) keeps the pictures that it has.
    KEEPS_INTERRUPTED: ClassVar[bool] = False

    def __init__(
        self,
        path: str | Path,
        *,
        fps: Fraction | float | None,
        source_size: tuple[int, int],
        size: tuple[int, int],
    ) -> None:
        """Open the file.

        Args:
            path: where to, with a suffix of `CODECS`.
            fps: frames/s, at least `SLOWEST`; None plays at `USUAL_RATE`.
            source_size: (height, width) of the frames to come.
            size: (height, width) of the pictures to come, even numbers.

        Raises:
            DataError: the file cannot be written or has another suffix.
        """
        self.path, self.count = Path(path), 0
        self.source_size = source_size[0], source_size[1]
        suffix = self.path.suffix.lower()
        if suffix not in self.CODECS:
            raise DataError(
                f"{self.path}: a film cannot have the suffix '{self.path.suffix}'; expected "
                f"{' or '.join(self.CODECS)}"
            )
        self._part = self.path.with_name(f".{self.path.stem}.part{suffix}")
        self._rate = max(SLOWEST, Fraction(fps or USUAL_RATE).limit_denominator(1001))
        # .avi has no times: each picture is shown as long as the others.
        self._tick = 1 / self._rate if suffix == ".avi" else Fraction(1, TICKS)
        self._begin, self._latest, self._written = math.nan, -1, 0
        self._container: OutputContainer | None = None
        try:
            # A file object, for FFmpeg would take the colon of "12:30/a.webm" for a protocol's.
            self._file = self._part.open("wb")
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be written ({error.strerror}); expected an existing folder "
                f"that may be written to, {self.path.parent} "
                f"{'exists' if self.path.parent.is_dir() else 'does not exist'}"
            ) from error
        codec, pixels, options = self.CODECS[suffix]
        self._container = container = av.open(self._file, "w", format=suffix[1:])
        self._video = cast(
            "av.VideoStream", container.add_stream(codec, self._rate, options=options)
        )
        self._video.height, self._video.width = size
        self._video.pix_fmt = pixels
        self._video.codec_context.time_base = self._tick
        self._video.codec_context.gop_size = self.KEY_FRAMES
        bits = int(BITS_PER_PIXEL * size[0] * size[1] * self._rate)
        self._video.bit_rate = max(MIN_BITS, bits)

    def _require_size(self, frame: np.ndarray, *others: tuple[int, int]) -> None:
        """Raise DataError for a frame (H, W, C) of another size than said, or one of `others`."""
        height, width = frame.shape[:2]
        if (height, width) not in (self.source_size, *others):
            raise DataError(
                f"{self.path}: frame {self.count} is {width}x{height}; expected "
                f"{self.source_size[1]}x{self.source_size[0]} (width x height), as said at the "
                "start"
            )

    def _append(self, picture: np.ndarray, seconds: float = math.nan) -> None:
        """Add a picture.

        Args:
            picture: uint8 (H, W, 3) BGR.
            seconds: when it is shown; NaN: at the rate of the film.
        """
        self._encode(picture, seconds)
        self.count += 1

    def _encode(self, picture: np.ndarray, seconds: float = math.nan) -> None:
        """Write a picture without counting it."""
        if self._container is None:
            raise ValueError(f"{self.path}: is closed already")
        at = self._time_of(seconds)
        try:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "bgr24")
            frame.time_base, frame.pts = self._tick, at
            self._mux(self._video.encode(frame))
        except (FFmpegError, OSError) as error:
            raise DataError(
                f"{self.path}: frame {self.count} cannot be written ({error.strerror}); expected "
                "room on the disk"
            ) from error

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.duration = max(1, round(1 / self._rate / self._tick))
            if self._container is not None:
                self._container.mux_one(packet)
            self._written += 1

    def _time_of(self, seconds: float) -> int:
        """Return when the next picture is shown, in ticks from the first; it rises always."""
        if math.isnan(self._begin):
            self._begin = 0.0 if math.isnan(seconds) else seconds
            self._number = 0
        at = self._number / self._rate
        if not math.isnan(seconds) and self._tick * self._rate != 1:
            at = seconds - self._begin
        self._number += 1
        self._latest = max(self._latest + 1, round(at / self._tick))
        return self._latest

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            DataError: it could not be written whole, or holds nothing; it is removed.
        """
        if self._container is None:
            return
        try:
            if self.count:
                self._mux(self._video.encode(None))
            self._release()
        except (FFmpegError, OSError):
            self._written = min(self._written, max(self.count - 1, 0))
        if self._written < self.count or not self.count:
            self._discard()
            raise DataError(
                f"{self.path}: {self._written} of {self.count} frames could be written; "
                "expected all of them, at least one, and room on the disk"
            )
        self._part.replace(self.path)

    def _release(self) -> None:
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        finally:
            self._file.close()

    def _discard(self) -> None:
        with contextlib.suppress(FFmpegError, OSError):
            self._release()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        if kind is None or (interrupted and self.KEEPS_INTERRUPTED and self.count):
            self.close()
        else:
            self._discard()


def unfinished_films(folder: Path, suffix: str) -> list[tuple[Path, str]]:
    """List what killed writers left in a folder, and remove what nothing can be read from.

    Args:
        folder: where films were written to.
        suffix: of the films.

    Returns:
        Each unfinished file, and the name without suffix that it was to have.
    """
    readable = []
    for part in sorted(folder.glob(f".*.part{suffix}")):
        try:
            VideoStream(part)
            readable.append((part, part.name[1 : -len(f".part{suffix}")]))
        except FrameError:
            with contextlib.suppress(OSError):
                part.unlink()
    return readable

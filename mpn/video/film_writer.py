"""The writer of a video file with OpenCV, whole under its name or not at all."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from mpn.errors import DataError
from mpn.video.opencv import opencv_log_off, stderr_to_devnull
from mpn.video.timing import USUAL_RATE

if TYPE_CHECKING:  # in the standard library since Python 3.11
    from typing_extensions import Self

# VP8 in .webm is what browsers play; OpenCV's wheels cannot write H.264, and VP9 takes seven times
# as long.
CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}


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

    SUFFIXES: ClassVar[tuple[str, ...]] = tuple(CODECS)
    # Whether an interrupted run (Ctrl-C) keeps the pictures that it has.
    KEEPS_INTERRUPTED: ClassVar[bool] = False

    def __init__(
        self,
        path: str | Path,
        *,
        fps: Fraction | float | None,
        source_size: tuple[int, int],
        size: tuple[int, int],
        coded: bool = False,
    ) -> None:
        """Open the file.

        Args:
            path: where to, with one of `SUFFIXES`.
            fps: frames/s; None plays at `USUAL_RATE`.
            source_size: (height, width) of the frames to come.
            size: (height, width) of the pictures to come, even numbers.
            coded: what comes is coded already, each picture as a key frame.

        Raises:
            DataError: the file cannot be written or has another suffix.
        """
        self.path, self.count = Path(path), 0
        self.source_size = source_size[0], source_size[1]
        suffix = self.path.suffix.lower()
        if suffix not in self.SUFFIXES:
            raise DataError(
                f"{self.path}: a film cannot have the suffix '{self.path.suffix}'; expected "
                f"{' or '.join(self.SUFFIXES)}"
            )
        self._part = self.path.with_name(f".{self.path.stem}.part{suffix}")
        height, width = size
        with stderr_to_devnull():
            self._writer: cv2.VideoWriter | None = cv2.VideoWriter(
                str(self._part),
                cv2.CAP_FFMPEG if coded else cv2.CAP_ANY,
                cv2.VideoWriter.fourcc(*CODECS[suffix]),
                float(fps or USUAL_RATE),
                (width, height),
                [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1] if coded else [],
            )
        if not self._writer.isOpened():
            raise DataError(
                f"{self.path}: cannot be written; expected an existing folder that may "
                f"be written to, {self.path.parent} "
                f"{'exists' if self.path.parent.is_dir() else 'does not exist'}"
            )

    def _require_size(self, frame: np.ndarray, *others: tuple[int, int]) -> None:
        """Raise DataError for a frame (H, W, C) of another size than said, or one of `others`."""
        height, width = frame.shape[:2]
        if (height, width) not in (self.source_size, *others):
            raise DataError(
                f"{self.path}: frame {self.count} is {width}x{height}; expected "
                f"{self.source_size[1]}x{self.source_size[0]} (width x height), as said at the "
                "start"
            )

    def _append(self, picture: np.ndarray) -> None:
        """Add a picture: uint8 (H, W, 3) BGR, or (1, bytes) where they come coded."""
        self._put(picture)
        self.count += 1

    def _put(self, picture: np.ndarray) -> None:
        """Write a picture without counting it."""
        if self._writer is None:
            raise ValueError(f"{self.path}: is closed already")
        # OpenCV before 4.13 warns of every frame that is coded already, and writes it all the same.
        with opencv_log_off():
            self._writer.write(picture)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            DataError: it could not be written whole, or holds nothing; it is removed.
        """
        if self._writer is None:
            return
        self._release()
        # OpenCV does not say that a write failed (a full disk, say): ask the file.
        check = cv2.VideoCapture(str(self._part), cv2.CAP_FFMPEG)
        written = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
        check.release()
        if written < self.count or not self.count:
            self._discard()
            raise DataError(
                f"{self.path}: {written} of {self.count} frames could be written; "
                "expected all of them, at least one, and room on the disk"
            )
        self._part.replace(self.path)

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _discard(self) -> None:
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
        capture = cv2.VideoCapture(str(part), cv2.CAP_FFMPEG)
        has_frame = capture.isOpened() and capture.read()[0]
        capture.release()
        if has_frame:
            readable.append((part, part.name[1 : -len(f".part{suffix}")]))
        else:
            with contextlib.suppress(OSError):
                part.unlink()
    return readable

"""A video of the frames with their scores drawn in: heat map, box, score curve, time."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mpn.errors import DataError
from mpn.io.text import clock

# VP8 in .webm is what browsers play; OpenCV's wheels cannot write H.264, and VP9 takes seven times
# as long.
CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}
USUAL_RATE = Fraction(25)  # played at this rate where the footage's own is unknown
SMALLEST_WIDTH = 320  # narrower frames are enlarged so that the text can be read
LARGEST_SIDE = 854  # larger ones are made smaller: writing 1080p takes far longer than scoring it
FONT = cv2.FONT_HERSHEY_SIMPLEX
GREEN, RED, WHITE, DARK = (90, 200, 90), (60, 60, 235), (235, 235, 235), (28, 28, 28)


class OverlayWriter:
    """Writes an overlay video (.webm, .mp4 or .avi), one `write` a frame; memory doesn't grow with
    its length.

    path: where to; the file appears under this name when `close` has finished it (also at the end
    of a `with` block that raised nothing), until then it is `.NAME.part.SUFFIX` beside it. fps:
    frames/s, None plays at 25. size: (height, width) of the frames to come.
    Raises DataError where the file cannot be written or has another suffix.
    """

    def __init__(
        self, path: str | Path, *, fps: Fraction | float | None, size: tuple[int, int]
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.fps = Fraction(fps).limit_denominator(1001) if fps else None
        suffix = self.path.suffix.lower()
        if suffix not in CODECS:
            raise DataError(
                f"{self.path}: an overlay video cannot have the suffix "
                f"'{self.path.suffix}'; expected {' or '.join(CODECS)}"
            )
        self._scale = drawn_scale(size)
        # Video codecs want even sides.
        self._height, self._width = (side + side % 2 for side in drawn_size(size))
        self._strip = max(64, self._height // 6 // 2 * 2)
        self._part = self.path.with_name(f".{self.path.stem}.part{suffix}")
        # (score, threshold), one a column
        self._recent: deque[tuple[float, float]] = deque(maxlen=self._width)
        self._count = 0
        with stderr_to_devnull():
            self._writer = cv2.VideoWriter(
                str(self._part),
                cv2.VideoWriter_fourcc(*CODECS[suffix]),
                float(self.fps or USUAL_RATE),
                (self._width, self._height + self._strip),
            )
        if not self._writer.isOpened():
            raise DataError(
                f"{self.path}: cannot be written; expected an existing folder that may "
                f"be written to, {self.path.parent} "
                f"{'exists' if self.path.parent.is_dir() else 'does not exist'}"
            )

    def write(
        self,
        frame: np.ndarray,
        score: float,
        threshold: float | None = None,
        heat: np.ndarray | None = None,
        boxes: Sequence[tuple[int, int, int, int]] = (),
        seconds: float | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Add a frame.

        frame: uint8 (H, W, 3) BGR or (H, W, 1), or already of `drawn_size`. score: higher = more
        anomalous, NaN = none. threshold: on the same scale, None or NaN if there is none. heat:
        float (h, w) in [0, 1], of any size. boxes: (y, x, height, width) in frame coordinates,
        drawn while score > threshold. seconds: the frame's time, by default counted from the first
        `write`. names: a short word for each box, drawn beside it, or none.
        """
        if frame.shape[:2] not in (tuple(self.size), drawn_size(self.size)):
            raise DataError(
                f"{self.path}: frame {self._count} is "
                f"{frame.shape[1]}x{frame.shape[0]}; expected "
                f"{self.size[1]}x{self.size[0]} (width x height), as said at the start"
            )
        threshold = math.nan if threshold is None else float(threshold)
        picture = frame if frame.shape[2] == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        if heat is not None:
            picture = _heated(picture, heat)
        picture = drawn(picture, self.size).copy()
        if score > threshold:
            self._mark(picture, boxes, names)
        self._caption(picture, score, seconds)
        self._recent.append((float(score), threshold))
        canvas = np.zeros((self._height + self._strip, self._width, 3), np.uint8)
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        self._curve(canvas[self._height :])
        self._writer.write(canvas)
        self._count += 1

    def _mark(
        self, picture: np.ndarray, boxes: Sequence[tuple[int, int, int, int]], names: Sequence[str]
    ) -> None:
        """Boxes with their names above, or below where there is no room: within they would hide
        what stands out."""
        drawn_boxes = [[int(round(side * self._scale)) for side in box] for box in boxes]
        for y, x, height, width in drawn_boxes:
            cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), RED, 2)
        for name, (y, x, height, _) in zip(names, drawn_boxes):
            (wide, tall), _ = cv2.getTextSize(name, FONT, 0.45, 1)
            left = min(x, picture.shape[1] - wide - 4)
            foot = y - 2
            if foot - tall - 5 < 0:  # no room above
                foot = min(y + height + tall + 6, picture.shape[0])
            cv2.rectangle(
                picture, (left - 1, foot - tall - 5), (left + wide + 3, foot), RED, cv2.FILLED
            )
            cv2.putText(picture, name, (left + 1, foot - 3), FONT, 0.45, WHITE, 1, cv2.LINE_AA)

    def _caption(self, picture: np.ndarray, score: float, seconds: float | None) -> None:
        """Time (where there is none, frame number) and score in the upper left corner, readable on
        any ground."""
        if seconds is None or math.isnan(seconds):
            seconds = float(self._count / self.fps) if self.fps else None
        text = f"frame {self._count}" if seconds is None else clock(seconds)
        text += "  no score yet" if math.isnan(score) else f"  score {score:.4g}"
        for colour, thickness in ((DARK, 3), (WHITE, 1)):
            cv2.putText(picture, text, (6, 18), FONT, 0.45, colour, thickness, cv2.LINE_AA)

    def _curve(self, strip: np.ndarray) -> None:
        """The latest scores as a curve that scrolls, newest right, with the threshold as a line.

        Scaled to what is visible and the threshold, so a curve says where, not how much, above its
        line.
        """
        strip[:] = DARK
        scores = np.array(self._recent, np.float64)
        scores[~np.isfinite(scores)] = np.nan
        seen = scores[np.isfinite(scores)]
        if not seen.size:
            return
        low, high = float(seen.min()), float(seen.max())
        rows = _rows(scores, low, high, strip.shape[0])
        # joins each column to the one before
        before = np.vstack([rows[:1, :1], rows[:-1, :1]]).ravel()
        top = rows[:, 0]
        before = np.where(np.isfinite(before), before, top)
        above = scores[:, 0] > scores[:, 1]
        colours = np.where(above[:, None], RED, GREEN).astype(np.uint8)
        # comparisons with NaN are false: no score, nothing drawn
        at = np.arange(strip.shape[0])[:, None]
        canvas = strip[:, strip.shape[1] - len(scores) :]
        canvas[:] = np.where((at > top)[:, :, None], colours // 3, canvas)
        line = (at >= np.minimum(top, before)) & (at < np.maximum(top, before) + 2)
        canvas[:] = np.where(line[:, :, None], colours, canvas)
        dashes = np.arange(canvas.shape[1])[None] % 6 < 4
        canvas[(at == rows[:, 1]) & dashes] = WHITE

    def close(self) -> None:
        """Finish the file and give it its name. Raises DataError where it could not be written
        whole."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        # OpenCV does not say that a write failed (a full disk, say): ask the file.
        check = cv2.VideoCapture(str(self._part), cv2.CAP_FFMPEG)
        written = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
        check.release()
        if written < self._count or not self._count:
            self._discard()
            raise DataError(
                f"{self.path}: {written} of {self._count} frames could be written; "
                "expected all of them, at least one, and room on the disk"
            )
        self._part.replace(self.path)

    def _discard(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> OverlayWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        # Interrupted runs keep what they have; only an empty or broken file is dropped.
        if kind is None or (issubclass(kind, KeyboardInterrupt) and self._count):
            self.close()
        else:
            self._discard()


@contextlib.contextmanager
def stderr_to_devnull() -> Iterator[None]:
    """Standard error off, also for libraries: OpenCV prints, past its own log, that .webm has no
    tag for VP8, and writes it all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def drawn_scale(size: tuple[int, int]) -> float:
    """How much larger a frame of `size` (height, width) is drawn: whole numbers from 1 up, or below
    1."""
    if max(size) > LARGEST_SIDE:
        return LARGEST_SIDE / max(size)
    return max(1, math.ceil(SMALLEST_WIDTH / size[1]))


def drawn_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that a frame of `size` is drawn in, before sides are made even."""
    return tuple(max(1, round(side * drawn_scale(size))) for side in size)


def drawn(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame of `size` (height, width), or one that is so already, in the size that it is drawn
    in."""
    height, width = drawn_size(size)
    if frame.shape[:2] == (height, width):
        return frame
    how = cv2.INTER_LINEAR if drawn_scale(size) > 1 else cv2.INTER_AREA
    resized = cv2.resize(frame, (width, height), interpolation=how)
    return resized.reshape(height, width, -1)


def _rows(values: np.ndarray, low: float, high: float, height: int) -> np.ndarray:
    """The rows of a strip at which values stand, whole numbers or NaN: `high` near its top, `low`
    near its foot."""
    share = (values - low) / (high - low) if high > low else values - low + 0.5
    return np.floor(6 + (1 - share) * (height - 13))


def _heated(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Heat laid over a picture, the more opaque the hotter: cold places stay as they are."""
    height, width = picture.shape[:2]
    heat = np.clip(np.nan_to_num(np.asarray(heat, np.float32)), 0, 1)
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = 0.65 * heat[:, :, None]
    return np.rint(picture * (1 - opacity) + colours * opacity).astype(np.uint8)

"""The writer of a video of frames with what was found in them: heat, boxes, score curve, time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mpn.io.text import clock
from mpn.video.film_writer import FilmWriter

MIN_WIDTH = 320  # narrower frames are enlarged so that the text can be read
MAX_SIDE = 854  # larger ones are made smaller: writing 1080p takes far longer than scoring it
FONT = cv2.FONT_HERSHEY_SIMPLEX
GREEN, RED, WHITE, DARK = (90, 200, 90), (60, 60, 235), (235, 235, 235), (28, 28, 28)


class OverlayWriter(FilmWriter):
    """Writes an overlay video (.webm, .mp4 or .avi), one `write` a frame; see `FilmWriter`.

    An interrupted run keeps what it has; only an empty or broken file is dropped.
    """

    KEEPS_INTERRUPTED = True

    def __init__(
        self, path: str | Path, *, fps: Fraction | float | None, size: tuple[int, int]
    ) -> None:
        """Open the file.

        Args:
            path: where to.
            fps: frames/s; None plays at 25, and names frames by their number instead of their time.
            size: (height, width) of the frames to come.

        Raises:
            DataError: the file cannot be written or has another suffix.
        """
        self.fps = Fraction(fps).limit_denominator(1001) if fps else None
        self._scale = drawn_scale(size)
        height, width = drawn_size(size)
        # Video codecs want even sides.
        self._height, self._width = height + height % 2, width + width % 2
        self._strip = max(64, self._height // 6 // 2 * 2)
        # (score, threshold), one a column
        self._recent: deque[tuple[float, float]] = deque(maxlen=self._width)
        canvas_size = self._height + self._strip, self._width
        super().__init__(path, fps=self.fps, source_size=size, size=canvas_size)

    def write(
        self,
        frame: np.ndarray,
        score: float,
        threshold: float | None = None,
        heat: np.ndarray | None = None,
        boxes: Sequence[tuple[int, int, int, int]] = (),
        seconds: float | None = None,
        names: Sequence[str] = (),
        words: str = "",
    ) -> None:
        """Add a frame.

        Args:
            frame: uint8 (H, W, 3) BGR or (H, W, 1), or already of `drawn_size`.
            score: higher = more anomalous, NaN = none.
            threshold: on the same scale; None or NaN if there is none.
            heat: float (h, w) in [0, 1], of any size; None: no heat.
            boxes: (y, x, height, width) in frame coordinates, drawn while score > threshold.
            seconds: the frame's time, at which it is shown; by default by the rate.
            names: a short word for each box, drawn beside it, or none.
            words: a second line of the caption, ASCII, or "".

        Raises:
            DataError: the frame is of another size.
        """
        self._require_size(frame, drawn_size(self.source_size))
        threshold = math.nan if threshold is None else float(threshold)
        picture = frame if frame.shape[2] == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        if heat is not None:
            picture = _heated(picture, heat)
        picture = drawn(picture, self.source_size).copy()
        if score > threshold:
            self._mark(picture, boxes, names)
        self._caption(picture, score, seconds, words)
        self._recent.append((float(score), threshold))
        canvas = np.zeros((self._height + self._strip, self._width, 3), np.uint8)
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        self._curve(canvas[self._height :])
        self._append(canvas, math.nan if seconds is None else seconds)

    def _mark(
        self, picture: np.ndarray, boxes: Sequence[tuple[int, int, int, int]], names: Sequence[str]
    ) -> None:
        """Draw boxes with their names above, or below where there is no room.

        Within the box a name would hide what stands out.
        """
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

    def _caption(
        self, picture: np.ndarray, score: float, seconds: float | None, words: str
    ) -> None:
        """Write time (where there is none, frame number), score and words in the upper left corner.

        Light on dark, so that it can be read on any ground.
        """
        if seconds is None or math.isnan(seconds):
            seconds = float(self.count / self.fps) if self.fps else None
        text = f"frame {self.count}" if seconds is None else clock(seconds)
        text += "  no score yet" if math.isnan(score) else f"  score {score:.4g}"
        for line, foot in ((text, 18), (words, 36)):
            for colour, thickness in ((DARK, 3), (WHITE, 1)):
                cv2.putText(picture, line, (6, foot), FONT, 0.45, colour, thickness, cv2.LINE_AA)

    def _curve(self, strip: np.ndarray) -> None:
        """Draw the latest scores as a curve that scrolls, newest right, and the threshold's line.

        Scaled to what is visible and the threshold, so a curve says where, not how much, above its
        line.
        """
        strip[:] = DARK
        scores = np.array(self._recent, np.float64)
        scores[~np.isfinite(scores)] = np.nan
        visible = scores[np.isfinite(scores)]
        if not visible.size:
            return
        low, high = float(visible.min()), float(visible.max())
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


def drawn_scale(size: tuple[int, int]) -> float:
    """Choose how much larger a frame is drawn.

    Args:
        size: (height, width) of the frame.

    Returns:
        A whole number from 1 up, or a fraction below 1 for large frames.
    """
    if max(size) > MAX_SIDE:
        return MAX_SIDE / max(size)
    return max(1, math.ceil(MIN_WIDTH / size[1]))


def drawn_size(size: tuple[int, int]) -> tuple[int, int]:
    """Compute (height, width) that a frame of `size` is drawn in, before sides are made even."""
    scale = drawn_scale(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def drawn(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a frame to the size that it is drawn in.

    Args:
        frame: uint8 (H, W, C), of `size` or of `drawn_size` already.
        size: (height, width) of the footage.
    """
    height, width = drawn_size(size)
    if frame.shape[:2] == (height, width):
        return frame
    interpolation = cv2.INTER_LINEAR if drawn_scale(size) > 1 else cv2.INTER_AREA
    resized = cv2.resize(frame, (width, height), interpolation=interpolation)
    return resized.reshape(height, width, -1)


def _rows(values: np.ndarray, low: float, high: float, height: int) -> np.ndarray:
    """Give the rows of a strip at which values stand, whole numbers or NaN.

    `high` stands near its top, `low` near its foot.
    """
    share = (values - low) / (high - low) if high > low else values - low + 0.5
    return np.floor(6 + (1 - share) * (height - 13))


def _heated(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat over a picture, the more opaque the hotter: cold places stay as they are."""
    height, width = picture.shape[:2]
    heat = np.clip(np.nan_to_num(np.asarray(heat, np.float32)), 0, 1)
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = 0.65 * heat[:, :, None]
    return np.rint(picture * (1 - opacity) + colours * opacity).astype(np.uint8)

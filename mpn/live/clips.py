"""Pictures of events: the latest frames as JPEG, a snapshot of the peak, a clip at the end.

What the ring holds is bounded, however long an event lasts.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mpn.errors import MpnError
from mpn.io.atomic import write_atomically
from mpn.scoring.maps import map_on_frame
from mpn.scoring.regions import Box
from mpn.video.overlay import RED, OverlayWriter, drawn, drawn_scale

log = logging.getLogger(__name__)

SECONDS_BEFORE = 3.0
MAX_FRAMES = 600  # of an event's clip; of longer events every second, fourth, ... frame is kept
MAX_BEFORE = 30  # frames that an event leaves to the next one
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]


@dataclass(frozen=True)
class KeptFrame:
    """A frame as a clip needs it.

    Attributes:
        jpeg: the picture, drawn size.
        size: (height, width) of the camera's frames.
        seconds: its time.
        score: NaN where there is none.
        grid: float16 (h, w), the frame's map; None without.
        boxes: regions above the threshold, pixels of the camera's frames.
        words: why it stands out, "" for nothing.
    """

    jpeg: bytes
    size: tuple[int, int]
    seconds: float
    score: float
    grid: np.ndarray | None = None
    boxes: tuple[Box, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Look:
    """What a clip needs to know of a camera's score.

    Attributes:
        patch: of the score, pixels of the network's frame.
        network_size: (height, width) of that frame.
        threshold: of events.
        fps: frames a second.
    """

    patch: int
    network_size: tuple[int, int]
    threshold: float
    fps: float


def jpeg_of(image: np.ndarray) -> bytes:
    """Compress a frame, uint8 (H, W, 3), as it is kept: large ones are made smaller."""
    size = image.shape[0], image.shape[1]
    small = drawn(image, size) if drawn_scale(size) < 1 else image
    return cv2.imencode(".jpg", small, JPEG)[1].tobytes()


class Ring:
    """The latest frames of a camera, and those of its event."""

    def __init__(self) -> None:
        self._before: deque[KeptFrame] = deque()
        self._event: list[KeptFrame] | None = None
        self._every, self._count = 1, 0

    def add(self, frame: KeptFrame) -> None:
        """Take the next frame."""
        if self._event is None:
            self._before.append(frame)
            while self._before[0].seconds < frame.seconds - SECONDS_BEFORE:
                self._before.popleft()
            return
        if self._count % self._every == 0:
            self._event.append(frame)
        self._count += 1
        if len(self._event) >= MAX_FRAMES:
            self._event = self._event[::2]
            self._every *= 2

    def begin(self) -> None:
        """Keep what came just before, and all that follows, for an event."""
        if self._event is None:
            self._event, self._every, self._count = list(self._before), 1, 0
            self._before.clear()

    def end(self) -> list[KeptFrame]:
        """Return the frames of the event that is over, and go on as before it."""
        frames, self._event = self._event or [], None
        self._before.extend(frames[-MAX_BEFORE:])
        return frames


def write_clip(path: Path, frames: Sequence[KeptFrame], look: Look) -> Path | None:
    """Write the clip of an event, whole or not at all.

    Args:
        path: NAME.webm.
        frames: of the event; those of another size than the first are left out.
        look: of the camera.

    Returns:
        The path, None where it could not be written; that is logged.
    """
    frames = [frame for frame in frames if frame.size == frames[0].size]
    if not frames:
        return None
    try:
        with OverlayWriter(path, fps=look.fps, size=frames[0].size) as film:
            for frame in frames:
                film.write(
                    _decoded(frame),
                    frame.score,
                    look.threshold,
                    _heat(frame, look),
                    frame.boxes,
                    frame.seconds - frames[0].seconds,
                    words=frame.words,
                )
    except (MpnError, OSError, cv2.error) as error:
        log.warning("%s: no clip: %s", path, error)
        return None
    return path


def write_snapshot(path: Path, frame: KeptFrame) -> Path | None:
    """Write the picture of an event's peak, its region in a box.

    Args:
        path: NAME.jpg.
        frame: of the peak.

    Returns:
        The path, None where it could not be written; that is logged.
    """
    try:
        picture = drawn(_decoded(frame), frame.size).copy()
        scale = drawn_scale(frame.size)
        for box in frame.boxes:
            top, left, height, width = (round(side * scale) for side in box)
            cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), RED, 2)
        write_atomically(path, cv2.imencode(".jpg", picture, JPEG)[1].tobytes())
    except (MpnError, OSError, cv2.error) as error:
        log.warning("%s: no snapshot: %s", path, error)
        return None
    return path


def _decoded(frame: KeptFrame) -> np.ndarray:
    """Return a kept frame's picture, uint8 (h, w, 3), of the size that it was kept in."""
    return np.asarray(cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR))


def _heat(frame: KeptFrame, look: Look) -> np.ndarray | None:
    """Return a frame's heat in units of the threshold, float32 in [0, 1]."""
    if frame.grid is None:
        return None
    grid = map_on_frame(
        frame.grid.astype(np.float32), look.patch, look.network_size, look.network_size
    )
    return np.clip(grid / max(look.threshold, 1e-6), 0, 1)

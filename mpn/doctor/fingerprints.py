"""What the doctor keeps of a clip: a fingerprint and a few numbers a frame, and camera movements.

Every frame is decoded once. About twenty bytes of it are kept, so that a day of footage is tens of
megabytes; with a tiny picture of it about 450.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mpn.datasets.layouts import Video
from mpn.errors import DataError
from mpn.motion.registration import TILES, detail, is_far, picture_shift
from mpn.video.frame_source import BadFrame, FrameSource
from mpn.video.paths import images_in
from mpn.video.sources import open_source

SMALL_SIDE = 160  # longest side, pixels, of the pictures that all but the fingerprint is taken from
# grey levels of standard deviation (of the small picture) below which a frame shows nothing
FLAT = 2.0
THUMB = (18, 24)  # rows, columns
LOOK_EVERY = 5  # frames, for movements of the camera
# grey levels of deviation, with which a tile tells something; tiles needed
TEXTURE, MIN_TILES = 2.0, 10
PATIENCE = 10  # looks without an answer before another reference is tried
MIN_SIDE = 32  # smaller pictures are not looked at


class Move(NamedTuple):
    """The camera moved: the frame at which that was seen, and by how many pixels of the footage."""

    frame: int
    right: float
    down: float


@dataclass
class Clip:
    """A video of the data set and what was found in it.

    Attributes:
        video: which it is.
        split: "training", "testing", "both", or "" where the layout has no splits.
        bytes: of the file, or of the pictures together.
        is_file: a video file, not a folder.
        error: why it cannot be read, None where it can; what follows is empty then.
        size: (height, width).
        fps: frames/s, None if unknown.
        header: frames that the container says, None for folders and where it says nothing.
        prints: (T,) uint64, equal for equal frames; T counts a folder's missing frames too.
        level: (T,) uint8, mean grey level.
        flat: (T,) bool, frames of a single colour.
        likeness: (T,) float32, share of the picture that the frame before shows too, NaN where
            that cannot be said.
        good: (T,) bool, False where another frame stands in for one that could not be used.
        thumbs: (T, 432) uint8, tiny pictures, or none of them.
        picture: float64 (18, 24), the mean of all tiny pictures.
        bad: what could not be used.
        notes: what the source says wrongly of itself, a line each.
        looks: how often the camera's movement was looked at.
        moves: what was seen of it.
        complete: the whole clip was read.
    """

    video: Video
    split: str
    bytes: int = 0
    is_file: bool = True
    error: str | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    header: int | None = None
    prints: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    level: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    flat: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    likeness: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    good: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    thumbs: np.ndarray = field(default_factory=lambda: np.zeros((0, THUMB[0] * THUMB[1]), np.uint8))
    picture: np.ndarray = field(default_factory=lambda: np.zeros(THUMB))
    bad: list[BadFrame] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looks: int = 0
    moves: list[Move] = field(default_factory=list)
    complete: bool = False

    @property
    def frames(self) -> int:
        """Return how many frames were counted."""
        return len(self.prints)

    @property
    def seconds(self) -> float | None:
        """Return its length, None where the frame rate is unknown."""
        return self.frames / self.fps if self.fps else None

    @property
    def name(self) -> str:
        """Return SPLIT/NAME, or the name alone where there are no splits."""
        return (
            f"{self.split}/{self.video.name}"
            if self.split in ("training", "testing")
            else self.video.name
        )


def read_clip(
    clip: Clip,
    *,
    fps: float | None = None,
    thumbs: bool = False,
    step: Callable[[], object] | None = None,
) -> None:
    """Decode a clip from start to end and fill in what is not known of it yet.

    What cannot be read is `error`, not raised. Interrupted by Ctrl-C, the clip holds what was read
    until then, and `complete` is False.

    Args:
        clip: of which `video` and `split` are known; changed in place.
        fps: frames/s instead of what the file says.
        thumbs: keep tiny pictures, 432 bytes a frame.
        step: called after every frame.
    """
    clip.is_file = not clip.video.path.is_dir()
    try:
        clip.bytes = _bytes(clip.video.path)
        source = open_source(clip.video.path, skip_bad=True, fps=fps)
        clip.size, clip.fps = source.size, float(source.fps) if source.fps else None
        clip.header = source.header_length
        _read(clip, source, thumbs, step)
    except DataError as error:
        clip.error = str(error)


def _bytes(path: Path) -> int:
    files = images_in(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.exists())


def _read(clip: Clip, source: FrameSource, thumbs: bool, step: Callable[[], object] | None) -> None:
    prints, level, flat, likeness, tiny = (
        array("Q"),
        array("B"),
        array("B"),
        array("f"),
        bytearray(),
    )
    camera, total = _Camera(source.size), np.zeros(THUMB)
    before: np.ndarray | None = None
    try:
        for index, frame in enumerate(source.frames(grey=True)):
            small = shrink(frame[:, :, 0])
            mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(small))
            prints.append(fingerprint(frame))
            level.append(round(mean))
            flat.append(deviation < FLAT)
            thumb = cv2.resize(small, THUMB[::-1], interpolation=cv2.INTER_AREA)
            total += thumb
            if thumbs:
                tiny += thumb.tobytes()
            picture = detail(small)
            likeness.append(float("nan") if before is None else _likeness(before, picture))
            camera.see(index, picture)
            before = picture
            if step is not None:
                step()
        clip.complete = True
    finally:  # what was read before Ctrl-C or a failure counts
        clip.bad, clip.notes = sorted(source.bad), list(source.notes)
        # Ctrl-C may have come between two of these.
        whole = min(map(len, (prints, level, flat, likeness)))
        clip.prints, clip.level = (
            np.array(prints[:whole], np.uint64),
            np.array(level[:whole], np.uint8),
        )
        clip.flat, clip.likeness = (
            np.array(flat[:whole], bool),
            np.array(likeness[:whole], np.float32),
        )
        clip.thumbs = np.frombuffer(bytes(tiny), np.uint8).reshape(-1, THUMB[0] * THUMB[1])[:whole]
        clip.picture = total / max(whole, 1)
        clip.good = np.ones(whole, bool)
        clip.good[[bad.index for bad in clip.bad if bad.index < whole]] = False
        clip.looks, clip.moves = camera.looks, camera.moves


def fingerprint(frame: np.ndarray) -> int:
    """Hash the pixels and the size of uint8 (H, W, C) to 64 bits, equal for equal pictures."""
    digest = hashlib.blake2b(
        np.ascontiguousarray(frame).data, digest_size=8, key=repr(frame.shape).encode()
    )
    return int.from_bytes(digest.digest(), "little")


def shrink(grey: np.ndarray) -> np.ndarray:
    """Shrink uint8 (H, W) by area to at most `SMALL_SIDE` pixels in width and height."""
    scale = SMALL_SIDE / max(grey.shape)
    if scale >= 1:
        return grey
    width, height = (max(1, round(side * scale)) for side in grey.shape[::-1])
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def _likeness(before: np.ndarray, after: np.ndarray) -> float:
    """Compute the share of the tiles with detail whose detail is in both pictures.

    Args:
        before: float32 (h, w) as `detail` gives it.
        after: the next.

    Returns:
        The share; NaN if hardly any tile has detail.
    """

    def per_tile(product: np.ndarray) -> np.ndarray:
        return cv2.resize(product, TILES[::-1], interpolation=cv2.INTER_AREA)

    power_before, power_after = per_tile(before * before), per_tile(after * after)
    product = per_tile(before * after)
    textured = np.maximum(power_before, power_after) > TEXTURE**2
    if textured.sum() < MIN_TILES:
        return float("nan")
    alike = product[textured] > 0.5 * np.sqrt(power_before * power_after)[textured]
    return float(alike.mean())


class _Camera:
    """Whether the camera stands still: every few frames it is compared with an earlier picture."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.scale = max(1.0, max(size) / SMALL_SIDE)
        self.usable = min(size) / self.scale >= MIN_SIDE
        self.looks = 0
        self.moves: list[Move] = []
        self._reference: np.ndarray | None = None
        self._before: np.ndarray | None = None
        self._unsure = 0  # looks in a row of which nothing can be said

    def see(self, index: int, picture: np.ndarray) -> None:
        """Take the next frame.

        Args:
            index: of the frame.
            picture: its `detail`, float32 (h, w).
        """
        if not self.usable:
            return
        if index % LOOK_EVERY:
            self._before = picture
            return
        self.looks += 1
        if self._reference is None:
            self._reference = picture
            return
        shift = picture_shift(self._reference, picture)
        # too far from it, perhaps, but not from the last frame
        if shift is None and self._before is not None:
            shift = picture_shift(self._before, picture)
            shift = shift if shift and is_far(shift) else None
        self._unsure = 0 if shift else self._unsure + 1
        if shift and is_far(shift):
            self.moves.append(Move(index, -shift[0] * self.scale, -shift[1] * self.scale))
        if (shift and is_far(shift)) or self._unsure == PATIENCE:
            self._reference, self._unsure = picture, 0

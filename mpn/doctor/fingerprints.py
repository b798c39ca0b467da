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
from mpn.video.paths import images_in
from mpn.video.sources import BadFrame, FrameSource, open_source

SMALL_SIDE = 160  # longest side, pixels, of the pictures that all but the fingerprint is taken from
# grey levels of standard deviation (of the small picture) below which a frame shows nothing
FLAT = 2.0
THUMB = (18, 24)  # rows, columns
# Camera movement, in pixels of the small picture and grey levels.
LOOK_EVERY = 5  # frames
MIN_SHIFT = 1.0
# of phase correlation (1: the same picture, shifted round); below, nothing can be said
MIN_RESPONSE = 0.03
TILES = (5, 6)  # rows, columns
# grey levels of deviation, with which a tile tells something; tiles needed
TEXTURE, MIN_TILES = 2.0, 10
TILE_SHARE, TILE_MAJORITY = 0.3, 0.8
PATIENCE = 10  # looks without an answer before another reference is tried
STRONGEST = 6.0  # grey levels that a pixel may stand out from its surroundings
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
    camera = _Camera(source.size)
    before: np.ndarray | None = None
    try:
        for index, frame in enumerate(source.frames(grey=True)):
            small = shrink(frame[:, :, 0])
            mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(small))
            prints.append(fingerprint(frame))
            level.append(round(mean))
            flat.append(deviation < FLAT)
            if thumbs:
                tiny += cv2.resize(small, THUMB[::-1], interpolation=cv2.INTER_AREA).tobytes()
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
    """Whether the camera stands still: every few frames it is compared with an earlier picture.

    Phase correlation proposes a shift of the whole picture. What moves in front of a fixed camera
    proposes shifts too, so tiles of the picture vote: the camera moved where nearly all of those
    that show anything are better explained by the shift than by standing still.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.scale = max(1.0, max(size) / SMALL_SIDE)
        self.usable = min(size) / self.scale >= MIN_SIDE
        self.looks = 0
        self.moves: list[Move] = []
        self._reference: np.ndarray | None = None
        self._before: np.ndarray | None = None
        self._window: np.ndarray | None = None
        self._offset = (0.0, 0.0)
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
        shift = self.shift(self._reference, picture)
        # too far from it, perhaps, but not from the last frame
        if shift is None and self._before is not None:
            shift = self.shift(self._before, picture)
            shift = shift if shift and _far(shift) else None
        self._unsure = 0 if shift else self._unsure + 1
        if shift and _far(shift):
            self.moves.append(Move(index, -shift[0] * self.scale, -shift[1] * self.scale))
        if (shift and _far(shift)) or self._unsure == PATIENCE:
            self._reference, self._unsure = picture, 0

    def shift(self, before: np.ndarray, after: np.ndarray) -> tuple[float, float] | None:
        """Measure by how much the whole picture moved.

        Args:
            before: `detail` of a frame, float32 (h, w).
            after: that of a later one.

        Returns:
            (right, down) in its pixels; None where that cannot be said.
        """
        if self._window is None:
            self._window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
            # Where the padded sides are odd, OpenCV's middle is half a pixel off.
            self._offset = cv2.phaseCorrelate(before * self._window, before * self._window)[0]
        # Given the window, OpenCV multiplies it into the pictures themselves where it need not pad
        # them.
        moved, response = cv2.phaseCorrelate(before * self._window, after * self._window)
        if response < MIN_RESPONSE:
            return None
        right, down = moved[0] - self._offset[0], moved[1] - self._offset[1]
        return (
            (right, down)
            if not _far((right, down)) or _tiles_agree(before, after, right, down)
            else None
        )


def _far(shift: tuple[float, float]) -> bool:
    return max(map(abs, shift)) >= MIN_SHIFT


def detail(small: np.ndarray) -> np.ndarray:
    """Keep the fine detail of a picture.

    Args:
        small: uint8 (h, w).

    Returns:
        float32 (h, w) in [-STRONGEST, STRONGEST], without what is coarse, so that a change of light
        is no movement, and without what is strong, so that a white van outvotes nobody.
    """
    picture = small.astype(np.float32)
    return np.clip(picture - cv2.GaussianBlur(picture, (0, 0), 4), -STRONGEST, STRONGEST)


def _tiles_agree(before: np.ndarray, after: np.ndarray, right: float, down: float) -> bool:
    """Say whether nearly all tiles that show anything fit better shifted than not.

    Pictures are float32 (h, w).
    """
    height, width = before.shape
    moved = cv2.warpAffine(
        before, np.array([[1, 0, right], [0, 1, down]], np.float32), (width, height)
    )
    top, left = max(0, int(np.ceil(down))), max(0, int(np.ceil(right)))
    bottom, edge = height + min(0, int(np.floor(down))), width + min(0, int(np.floor(right)))
    if bottom - top < height // 3 or edge - left < width // 3:
        return False
    inside = np.s_[top:bottom, left:edge]
    still, shifted = (
        cv2.resize(
            cv2.absdiff(picture[inside], after[inside]), TILES[::-1], interpolation=cv2.INTER_AREA
        )
        for picture in (before, moved)
    )
    votes_moved = (shifted < 0.75 * still) & (still > 1)
    votes_still = still < 0.9 * shifted
    if votes_moved.mean() < TILE_SHARE or votes_moved.sum() < TILE_MAJORITY * (
        votes_moved.sum() + votes_still.sum()
    ):
        return False
    # A lorry before a bare wall is all that there is to see, but not from edge to edge.
    rows, columns = (np.flatnonzero(votes_moved.any(axis)) for axis in (1, 0))
    return bool(np.ptp(rows) == TILES[0] - 1 and np.ptp(columns) == TILES[1] - 1)

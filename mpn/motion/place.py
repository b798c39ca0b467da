"""What motion is normal at each place of one camera's picture: the camera's place model. No torch.

Nothing in it is trained. It counts, for every place and every direction, how often normal footage
moved how fast there; the same footage in pieces gives the same counts as in one, and two days'
counts are the sum of both. From the counts comes the speed that hardly any normal frame passes at
that place, and a frame's motion is divided by it. How its constants were chosen:
benchmarks/results/motion_choices.md. That exemplars by place beat one model for the whole picture
is the finding of Ramachandra and Jones, Street Scene (WACV 2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from mpn.errors import SizeError
from mpn.motion.flow import DIRECTED, DIRECTIONS, LEAD, SPEED, STILL
from mpn.motion.registration import correlation, detail, picture_shift
from mpn.motion.static import Background, StaticReader

# Speeds are counted in bins of equal ratio, pixels of the working size a frame; what is slower or
# faster falls into the first or the last.
BINS, SLOWEST, FASTEST = 48, 0.05, 50.0
EDGES = np.geomspace(SLOWEST, FASTEST, BINS + 1)
KINDS = 1 + DIRECTIONS  # what is counted: speed, and speed in each direction
POOL = 2  # counts are kept for squares of so many cells along each side
PICTURE = 2  # the background is kept in so many points along each side of a cell
AROUND = 3  # a cell's motion is the mean over so many cells along each side
# What is normal at a place is normal around it: the largest of 3x3 squares, blurred (sigma, in
# squares). Directions need more of the blur, the more the less footage there is.
SPEED_BLUR, DIRECTION_BLUR, FEW_DIRECTION_BLUR = 2.0, 3.0, 4.0
# (from so many frames on, the share of frames that may be faster than what counts as normal): a
# little dirt in the footage does no harm where there is enough of it.
ALLOWED = ((1001, 0.001), (301, 0.005), (0, 0.0))
FEW_FRAMES = 300
# Of the whole picture's speeds this quantile is added to what is normal at a place: where nothing
# ever moved, something may, a little.
FLOOR_QUANTILE = 0.99
# Normal in a direction is that direction's own and so much of what is normal in any.
ANY_DIRECTION = 0.25
REACH = LEAD + 1  # a frame's quotients depend on so many frames before it
# What moves counts where it moved so in the frame before as well, within so many cells: the flow of
# a single frame that a jerk, a flash or a lost frame leads astray moves nothing.
NEAR = np.ones((5, 5), np.uint8)
# Of how frames are judged by a place model: 1 was the mean of two frames, and all that is above
# normal counted. Numbers of another way, and thresholds with them, don't compare.
JUDGED = 2
LARGEST = 10  # a frame's number is the mean of so many cells


class PlaceModel:
    """Counts of normal motion by place, direction and speed, and the normal picture.

    Args:
        grid: (rows, columns) of cells, as `mpn.motion.flow.grid_size` gives them; even numbers.
        as_of: judge as a model of so many frames does (`ALLOWED`), whatever was counted; by default
            by what was. So a part of some footage, or more of it, gives numbers that compare.

    Attributes:
        counts: uint32 (rows / 2, columns / 2, KINDS, BINS).
        whole: uint64 (BINS,), speeds of all cells of the picture.
        picture_sum: float64 (rows * PICTURE, columns * PICTURE), sum of grey pictures.
        pictures: how many.
        frames: of the footage.
        background: how the picture varies, and how long changes of it stay.
        judged: the way that its camera's normal footage was judged, `JUDGED` today.
    """

    def __init__(self, grid: tuple[int, int], as_of: int | None = None) -> None:
        if min(grid) < POOL or any(side % POOL for side in grid):
            raise SizeError(f"a grid of {grid[0]}x{grid[1]} cells: even numbers were expected")
        self.grid, self.as_of = grid, as_of
        squares = grid[0] // POOL, grid[1] // POOL
        self.counts = np.zeros((*squares, KINDS, BINS), np.uint32)
        self.whole = np.zeros(BINS, np.uint64)
        self.picture_sum = np.zeros((grid[0] * PICTURE, grid[1] * PICTURE))
        self.frames = self.pictures = 0
        self.judged = JUDGED
        self.background = Background(self.picture_sum.shape)

    def add(self, motion: Iterable[np.ndarray], frames: Iterable[np.ndarray] = ()) -> None:
        """Count normal footage.

        Args:
            motion: of each frame, (rows, columns, CHANNELS) as `MotionReader.read` gives it; not
                of a stream's first frame, which has none.
            frames: uint8 (H, W, C), for the mean picture; need not be as many.

        Raises:
            SizeError: motion of another grid.
        """
        rows, columns, _, _ = self.counts.shape
        at = np.indices((rows, columns, KINDS), sparse=True)
        self._forget()
        for cells in motion:
            speeds = self.speeds(cells)
            histogram = np.bincount(_bins(speeds[..., 0]).ravel(), minlength=BINS)
            self.whole += histogram.astype(np.uint64)
            pooled = speeds.reshape(rows, POOL, columns, POOL, KINDS).max((1, 3))
            self.counts[(*at, _bins(pooled))] += 1  # every index comes once
            self.frames += 1
        for frame in frames:
            self.picture_sum += picture_of(frame, self.grid)
            self.pictures += 1

    def merge(self, other: PlaceModel) -> None:
        """Add what another model has counted of the same camera.

        Args:
            other: of the same grid.

        Raises:
            SizeError: it has another.
        """
        if other.grid != self.grid:
            raise SizeError(f"grids of {self.grid} and {other.grid} cells cannot be merged")
        self.counts += other.counts
        self.whole += other.whole
        self.picture_sum += other.picture_sum
        self.frames += other.frames
        self.pictures += other.pictures
        self.judged = min(self.judged, other.judged)
        self.background.merge(other.background)
        self._forget()

    def without(self, other: PlaceModel, as_of: int | None = None) -> PlaceModel:
        """Return what is left of the counts when those of a part of the footage are taken out.

        Args:
            other: of footage that this model has counted, of the same grid.
            as_of: of what is left, see `PlaceModel`.

        Raises:
            SizeError: it has another grid, or has counted more.
        """
        if other.grid != self.grid or other.frames > self.frames:
            raise SizeError(
                f"counts of {other.frames} frames on {other.grid} cells are no part of those of "
                f"{self.frames} on {self.grid}"
            )
        rest = PlaceModel(self.grid, as_of)
        rest.counts = self.counts - other.counts
        rest.whole = self.whole - other.whole
        rest.frames = self.frames - other.frames
        rest.judged = self.judged
        rest.picture_sum = self.picture_sum - other.picture_sum
        rest.pictures = self.pictures - other.pictures
        return rest

    @property
    def picture(self) -> np.ndarray:
        """Return the mean picture, float64 (rows * PICTURE, columns * PICTURE), grey levels."""
        return self.picture_sum / max(self.pictures, 1)

    @cached_property
    def normal(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what motion is divided by, pixels a frame.

        Returns:
            float32 (rows, columns) for the speed and (rows, columns, DIRECTIONS) for the speed in
            each direction.
        """
        frames = self.frames if self.as_of is None else self.as_of
        allowed = next(share for least, share in ALLOWED if frames >= least)
        highest = maximum_filter(_upper(self.counts, allowed), (3, 3, 1))
        floor = max(float(_upper(self.whole, 1 - FLOOR_QUANTILE)), STILL)
        few = frames <= FEW_FRAMES
        blur = FEW_DIRECTION_BLUR if few else DIRECTION_BLUR
        speed = gaussian_filter(highest[..., 0], SPEED_BLUR) + floor
        directed = gaussian_filter(highest[..., 1:], (blur, blur, 0))
        directed = directed + ANY_DIRECTION * speed[..., None]
        return _enlarged(speed, self.grid), _enlarged(directed, self.grid)

    def quotients(self, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Divide a frame's motion by what is normal at each place.

        Args:
            before: motion of the frame before, as `MotionReader.read` gives it.
            now: of the frame itself.

        Returns:
            float32 (2, rows, columns): speed / normal speed, and the largest over directions of
            speed in it / normal in it; the smaller of this frame's and the largest nearby
            (`NEAR`) in the frame before. Where little of the picture moves, about 1 is as fast as
            normal footage was at its fastest; where all of it does, less.

        Raises:
            SizeError: motion of another grid.
        """
        return self.lasting(self.speeds(before), self.speeds(now))

    def lasting(self, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Divide the speeds of two frames by what is normal at each place, see `quotients`.

        Args:
            before: speeds of the frame before, as `speeds` gives them.
            now: of the frame itself.
        """
        earlier = self.quotients_of(before)
        return np.minimum(
            self.quotients_of(now), [cv2.dilate(channel, NEAR) for channel in earlier]
        )

    def speeds(self, motion: np.ndarray) -> np.ndarray:
        """Compute the speeds that a frame is judged by.

        Args:
            motion: of the frame, as `MotionReader.read` gives it.

        Returns:
            float32 (rows, columns, KINDS), pixels of the working size a frame: the mean of
            neighbouring cells.

        Raises:
            SizeError: motion of another grid.
        """
        return _smooth(self._checked(motion))

    def quotients_of(self, speeds: np.ndarray) -> np.ndarray:
        """Divide the speeds of one frame by what is normal at each place.

        Args:
            speeds: as `speeds` gives them.

        Returns:
            float32 (2, rows, columns): of speed, and the largest over directions.
        """
        speed, directed = self.normal
        return np.stack([speeds[..., 0] / speed, (speeds[..., 1:] / directed).max(-1)])

    def static_reader(self, fps: float) -> StaticReader:
        """Give a reader of what stays in one recording, for its frames' pictures (`picture_of`).

        Args:
            fps: frames a second of the recording.
        """
        return StaticReader(self.picture, self.background, fps, PICTURE)

    def likeness(self, picture: np.ndarray) -> float:
        """Correlate a picture with the mean picture, in [-1, 1].

        Args:
            picture: as `picture_of` gives it.
        """
        return correlation(picture, self.picture)

    def shift(self, picture: np.ndarray) -> tuple[float, float]:
        """Find how far a picture stands off the mean picture.

        Args:
            picture: as `picture_of` gives it.

        Returns:
            (right, down) in shares of the picture's width and height; 0 where nothing is certain.
        """
        height, width = picture.shape
        right, down = picture_shift(detail(self.picture), detail(picture)) or (0.0, 0.0)
        return right / width, down / height

    def _checked(self, motion: np.ndarray) -> np.ndarray:
        if motion.shape[:2] != self.grid:
            raise SizeError(
                f"motion of {motion.shape[0]}x{motion.shape[1]} cells, the camera's place model "
                f"has {self.grid[0]}x{self.grid[1]}: its recordings have another shape"
            )
        return motion.astype(np.float32)

    def _forget(self) -> None:
        self.__dict__.pop("normal", None)


def frame_number(quotients: np.ndarray, largest: int = LARGEST) -> float:
    """Compute the number of a frame: the mean of its largest cells.

    Args:
        quotients: float (rows, columns).
        largest: of so many cells.
    """
    return float(np.sort(quotients, axis=None)[-largest:].mean())


def place_key(place: PlaceModel) -> str:
    """Make a digest of what a place model has counted."""
    return hashlib.sha256(place.counts.tobytes() + place.whole.tobytes()).hexdigest()


def picture_of(frame: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Reduce a frame to the small grey picture that a camera is known by.

    Args:
        frame: uint8 (H, W, C), C = 3 (BGR) or 1.
        grid: of the place model.

    Returns:
        float32 (rows * PICTURE, columns * PICTURE), grey levels.
    """
    grey = frame[..., 0] if frame.shape[2] == 1 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    size = (grid[1] * PICTURE, grid[0] * PICTURE)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _smooth(motion: np.ndarray) -> np.ndarray:
    """Average speed and directed speeds over neighbouring cells, float32 (rows, columns, KINDS)."""
    kinds = np.concatenate([motion[..., SPEED, None], motion[..., DIRECTED]], axis=-1)
    return cv2.blur(np.ascontiguousarray(kinds), (AROUND, AROUND), borderType=cv2.BORDER_REFLECT)


def _bins(speeds: np.ndarray) -> np.ndarray:
    """Find the bins of speeds."""
    ratio = np.log(np.maximum(speeds, SLOWEST) / SLOWEST) / np.log(FASTEST / SLOWEST)
    return np.clip((ratio * BINS).astype(np.intp), 0, BINS - 1)


def _upper(counts: np.ndarray, allowed: float) -> np.ndarray:
    """Find the speed that a share of the counted frames passes.

    Within its bin the speeds are taken as evenly spread over the ratio.

    Args:
        counts: (..., BINS).
        allowed: the share, in [0, 1).

    Returns:
        float64 (...), 0 where nothing was counted or nothing moved.
    """
    total = counts.sum(-1, dtype=np.float64)
    faster = np.cumsum(counts[..., ::-1], axis=-1, dtype=np.float64)[..., ::-1]  # this bin or above
    rank = allowed * total
    index = np.maximum((faster > rank[..., None]).sum(-1) - 1, 0)
    inside = np.take_along_axis(counts, index[..., None], -1)[..., 0].astype(np.float64)
    above = np.take_along_axis(faster, index[..., None], -1)[..., 0] - inside
    share = np.clip((rank - above + 0.5) / np.maximum(inside, 1), 0, 1)  # from the bin's upper edge
    speed = EDGES[index + 1] * (EDGES[index] / EDGES[index + 1]) ** share
    return np.where((total > 0) & (index > 0), speed, 0.0)


def _enlarged(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Bring values of squares to the cells, float32 (rows, columns, ...)."""
    return cv2.resize(values.astype(np.float32), grid[::-1], interpolation=cv2.INTER_LINEAR)

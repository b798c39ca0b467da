"""Which camera's place model a recording is judged by, and the motion of a stream judged by it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpn.errors import DataError, SizeError
from mpn.motion.flow import MotionReader, grid_size
from mpn.motion.kept import KeptMotion
from mpn.motion.place import JUDGED, KINDS, PlaceModel, picture_of
from mpn.motion.registration import correlation
from mpn.motion.static import StaticReader

log = logging.getLogger(__name__)

# Pictures of one camera correlate at least so much with its mean picture. Of twelve real scenes ten
# do by 0.7 and more, dense traffic by 0.4; of two scenes at most 0.48, 95 % at most 0.27.
SAME_CAMERA = 0.5
ONLY_CAMERA = 0.25  # the same for a model that knows one camera: that is most likely the one
VIEW_FRAMES = 12
FLAT = 2.0  # grey levels; a picture that deviates by less, as a black one, shows no view
MOVED = 0.02  # share of the picture's side by which a camera may stand off before it is said
SAME_RATE = 0.05  # frame rates that differ by a smaller share are taken for the same


def choose_place(
    places: Mapping[str, PlaceModel], frame: np.ndarray, grid: tuple[int, int], name: str = ""
) -> PlaceModel:
    """Choose the place model of the camera whose mean picture is most like a frame.

    Where none is like it, or their pictures have another shape, the result knows no place: motion
    is judged by what is normal anywhere. That is logged.

    Args:
        places: by the camera's name, at least one.
        frame: uint8 (H, W, C) of the recording.
        grid: of the recording's motion.
        name: of the recording, for what is logged.

    Raises:
        SizeError: there are no place models.
    """
    if not places:
        raise SizeError("a model without a place model cannot judge motion: adapt it to the camera")
    begin = f"{name}: " if name else ""
    likeness = {
        camera: place.likeness(picture_of(frame, grid))
        for camera, place in places.items()
        if place.grid == grid
    }
    best = max(likeness, key=lambda camera: likeness[camera], default=None)
    least = ONLY_CAMERA if len(places) == 1 else SAME_CAMERA
    if best is not None and (likeness[best] >= least or not places[best].pictures):
        if moved := _moved(places[best], frame):
            log.warning("%sthe camera has moved since %s was learned: adapt again", begin, best)
            log.warning("  its picture stands off by %s", moved)
        if places[best].pictures and likeness[best] < SAME_CAMERA:
            log.warning("%shardly like camera %s (likeness %.2f):", begin, best, likeness[best])
            log.warning("  if it is another one, its scores mean nothing: mpn adapt")
        if places[best].judged != JUDGED:
            log.warning("camera %s was learned by another version of mpn: scores hold, but", best)
            log.warning("  thresholds don't; adapt again, or take today's released model")
        return places[best]
    why = "its frames have another shape"
    if best is not None:
        why = f"likeness {likeness[best]:.2f}" + f", to {best}" * (len(places) > 1)
    message = f"not camera {next(iter(places))} of the model"
    if len(places) > 1:
        message = f"none of the model's {len(places)} cameras"
    log.warning("%s%s (%s):", begin, message, why)
    log.warning("  motion is judged without places")
    if best is not None and (moved := _moved(places[best], frame)):
        log.warning("  it may have been moved, by %s", moved)
    return flat_place(places.values(), grid)


def view_frames(length: int) -> np.ndarray:
    """Choose frames that say which camera a recording is of, bool (length,): some, all over it.

    In one frame of dense traffic there is more traffic than view: of 42 fixed cameras 6 are taken
    for two by the first frames of both halves of their footage, none by the means of 8 frames.

    Args:
        length: of the recording, frames.
    """
    chosen = np.zeros(length, bool)
    chosen[np.linspace(0, length - 1, VIEW_FRAMES).astype(int)] = True
    return chosen


def view_of(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Average frames to the picture that a camera is known by, see `tell_apart`.

    Args:
        frames: uint8 (H, W, C) each, of one size, at least one; those of `view_frames`.

    Returns:
        float32 (h, w), grey levels.

    Raises:
        DataError: there is no frame.
    """
    pictures = [picture_of(frame, grid_size((frame.shape[0], frame.shape[1]))) for frame in frames]
    if not pictures:
        raise DataError("a camera is known by its pictures, and there is none")
    return np.mean(pictures, axis=0)


def shows_nothing(picture: np.ndarray) -> bool:
    """Say whether no camera can be told by a picture, as of a covered lens.

    Args:
        picture: (h, w), grey levels.
    """
    return bool(picture.std() < FLAT)


def tell_apart(pictures: Sequence[np.ndarray]) -> list[list[int]]:
    """Tell cameras apart by their pictures.

    A picture that shows nothing, as a black one, is taken for the camera's of the one before it, or
    else behind it, of the same shape.

    Args:
        pictures: (h, w) each, grey levels; another shape is another camera.

    Returns:
        The numbers of each camera's pictures, in order, behind them of those that show nothing.
    """
    sums: list[np.ndarray] = []
    groups: list[list[int]] = []
    flat = [number for number, picture in enumerate(pictures) if shows_nothing(picture)]
    for number, picture in enumerate(pictures):
        if number in flat:
            continue
        alike = [
            correlation(picture, total) if picture.shape == total.shape else -1.0 for total in sums
        ]
        best = int(np.argmax(alike)) if alike else -1
        if best < 0 or alike[best] < SAME_CAMERA:
            sums.append(np.zeros(picture.shape))
            groups.append([])
            best = -1
        sums[best] += picture
        groups[best].append(number)
    for number in flat:
        _put_beside(number, pictures, groups)
    return groups


def _put_beside(number: int, pictures: Sequence[np.ndarray], groups: list[list[int]]) -> None:
    """Put a picture to those of the nearest one of its shape, if there is any; before comes first.

    Args:
        number: of the picture.
        pictures: all of them.
        groups: the numbers of those that are told apart, changed here.
    """
    alike = [
        (other > number, abs(other - number), group)
        for group in groups
        for other in group
        if pictures[other].shape == pictures[number].shape
    ]
    if alike:
        min(alike)[-1].append(number)
    else:
        groups.append([number])


def _moved(place: PlaceModel, frame: np.ndarray) -> str:
    """Say by how many pixels a picture stands off from what is known of its camera; "" if not."""
    right, down = place.shift(picture_of(frame, place.grid))
    if max(abs(right), abs(down)) <= MOVED:
        return ""
    height, width = frame.shape[:2]
    across = f"{abs(right) * width:.0f} pixels to the {'right' if right > 0 else 'left'}"
    return f"{across} and {abs(down) * height:.0f} {'down' if down > 0 else 'up'}"


def flat_place(places: Iterable[PlaceModel], grid: tuple[int, int]) -> PlaceModel:
    """Make a place model for which all places are alike: each is all squares of all cameras.

    Args:
        places: of any cameras.
        grid: of the result.
    """
    flat = PlaceModel(grid)
    counts = np.zeros(flat.counts.shape[2:])
    for place in places:
        counts += place.counts.sum((0, 1), dtype=np.float64)
        flat.whole += place.whole
        flat.frames += place.frames
    # Quantiles know no scale: sums are as good as means, where they are not too large to be kept.
    flat.counts[:] = (counts / max(1.0, counts.max() / 2**31)).astype(np.uint32)
    return flat


def judge_static(places: Mapping[str, PlaceModel]) -> bool:
    """Say whether any of the place models knows what stays in its camera's picture.

    Args:
        places: by the camera's name.
    """
    return any(place.background.known for place in places.values())


class OwnPlaces(NamedTuple):
    """What a recording that is judged by itself is judged by.

    Attributes:
        place_at: gives the place model for a frame, by its number among those given, from 0.
        motion: what the first pass has computed, by the same numbers, None where none is at
            hand.
    """

    place_at: Callable[[int], PlaceModel]
    motion: KeptMotion | None = None


class PlaceStream:
    """What one stream of frames shows, by what is normal at its place.

    Args:
        places: of the model.
        size: (height, width) of the frames.
        fps: frames a second.
        fitted: fits a frame to the network, as those were that the places' pictures are made of;
            None where what stays is not judged.
        own_places: of a recording that is judged by itself; the camera is known then.
        usual_fps: frames a second of the footage that the places are of, None where unknown: motion
            a frame is brought to that rate.
        place: the camera's, where it need not be chosen by the first frame.
        name: of the stream, for what is logged.

    Attributes:
        place: the camera's, once it is chosen; with `own_places` that of the frame read last.
        speeds: of the frame read last and the one before, their mean, see `PlaceModel.speeds`; all
            0 before the first.
    """

    def __init__(
        self,
        places: Mapping[str, PlaceModel],
        size: tuple[int, int],
        fps: float = 1.0,
        fitted: Callable[[np.ndarray], np.ndarray] | None = None,
        own_places: OwnPlaces | None = None,
        usual_fps: float | None = None,
        place: PlaceModel | None = None,
        name: str = "",
    ) -> None:
        self._places, self._name, self._reader = places, name, MotionReader(size)
        ratio = fps / (usual_fps or fps)
        self._scale = np.float32(ratio if abs(ratio - 1) > SAME_RATE else 1)
        self._fps, self._fitted, self._own_places = fps, fitted, own_places
        self.place, self._begun = place, False
        self.speeds = np.zeros((*self._reader.grid, KINDS), np.float32)
        self._static: StaticReader | None = None
        self._before: np.ndarray | None = None  # speeds of the frame before

    def begin(self, frame: np.ndarray, number: int = 0) -> Callable[[], np.ndarray]:
        """Take the next frame for its motion alone, see `MotionReader.begin`.

        Args:
            frame: uint8 (H, W, C).
            number: as of `read`.

        Returns:
            Gives the motion that `read` asks for.
        """
        kept_motion = self._own_places.motion if self._own_places else None
        if kept_motion is not None and (motion := kept_motion.get(number)):
            self._reader.follow(frame)
            return motion
        return self._reader.begin(frame)

    def read(
        self, frame: np.ndarray, number: int = 0, motion: np.ndarray | None = None
    ) -> np.ndarray:
        """Take the next frame.

        Args:
            frame: uint8 (H, W, C).
            number: of the frame among those given, from 0; only `own_places` asks.
            motion: what `begin` gave for this frame; default: it is computed here.

        Returns:
            float32 (2, rows, columns), see `PlaceModel.quotients`; (3, rows, columns) where what
            stays is judged, see `mpn.motion.static.StaticReader`, 0 where the camera does not know.
        """
        place, static = self._place_and_static(frame, number)
        now = self._reader.read(frame) if motion is None else motion
        before, self._before = self._before, place.speeds(now) * self._scale
        before = self._before if before is None else before
        self.speeds = (before + self._before) / 2
        quotients = place.lasting(before, self._before)
        return quotients if self._fitted is None else np.concatenate([quotients, static[None]])

    def restart(self) -> None:
        """Forget the motion so far: the next frame does not follow the one before."""
        self._reader.restart()
        self._before = None

    def skip(self, frame: np.ndarray, number: int = 0) -> None:
        """Take the next frame, whose motion is not asked for: what stays began long before it does.

        Args:
            frame: uint8 (H, W, C).
            number: as of `read`.
        """
        self._place_and_static(frame, number)

    def _place_and_static(self, frame: np.ndarray, number: int) -> tuple[PlaceModel, np.ndarray]:
        """Choose the camera by the first frame; return it and the quotients of what stays."""
        grid, fitted = self._reader.grid, self._fitted
        if self._own_places is not None:
            self.place = self._own_places.place_at(number)
            return self.place, np.zeros(grid, np.float32)
        if not self._begun:
            self._begun = True
            self.place = self.place or choose_place(self._places, frame, grid, self._name)
            # Of a camera that was moved all of the picture has changed, and stays.
            knows_static = self.place.background.known and not _moved(self.place, frame)
            if fitted is not None and knows_static:
                self._static = self.place.static_reader(self._fps)
        assert self.place is not None
        if self._static is None or fitted is None:
            return self.place, np.zeros(grid, np.float32)
        return self.place, self._static.read(lambda: picture_of(fitted(frame), grid))


def grid_of(motion: np.ndarray) -> tuple[int, int]:
    """Return the grid (rows, columns) of motion (..., rows, columns, CHANNELS)."""
    return motion.shape[-3], motion.shape[-2]

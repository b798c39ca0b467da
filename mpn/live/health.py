"""What is wrong with a camera's picture: frozen, black, covered, moved. Nothing is alarmed then."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from mpn.live.status import State
from mpn.motion.cameras import MOVED, ONLY_CAMERA
from mpn.motion.place import PlaceModel, picture_of
from mpn.motion.registration import detail

# Every so many pixels along each side are compared with those of the frame before.
SAMPLED = 4
MOVED_SECONDS = 1.0  # between two comparisons with what was learned
# A picture is black whose mean, and whose brightest hundredth, are no higher, grey levels. Night
# without a lamp is: there is nothing to be seen.
BLACK_MEAN, BLACK_BRIGHTEST = 16.0, 32.0
# It is covered where so little of the detail is left that it usually has, or of any: mean grey
# levels by which points stand out from their surroundings.
DETAIL_LEFT, MIN_DETAIL = 0.3, 0.3
# Seconds that each has to last until it is believed, and to be gone until that is.
ENTER = {State.FROZEN: 10.0, State.BLACK: 2.0, State.COVERED: 3.0, State.MOVED: 5.0}
LEAVE = {State.FROZEN: 0.5, State.BLACK: 1.0, State.COVERED: 1.0, State.MOVED: 2.0}
WORDS = {
    State.FROZEN: "frames come, all the same",
    State.BLACK: "the picture is black",
    State.COVERED: "the picture has lost its detail: covered, or out of focus",
    State.MOVED: "the picture stands off what was learned: put the camera back, or learn anew",
}


class Health:
    """Watches one camera's picture.

    Args:
        grid: of the camera's cells.
        place: what is known of it, None before it was learned.
        frozen_seconds: without any change, after which a picture is frozen.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        place: PlaceModel | None = None,
        frozen_seconds: float = ENTER[State.FROZEN],
    ) -> None:
        self._grid = grid
        self._held = {
            state: _Held(frozen_seconds if state is State.FROZEN else ENTER[state], LEAVE[state])
            for state in ENTER
        }
        self._digest = -1
        self._compared = -np.inf
        self.know(place)

    def know(self, place: PlaceModel | None) -> None:
        """Take what is known of the camera from now on.

        Args:
            place: its place model.
        """
        self._place = place if place is not None and place.pictures else None
        self._usual = MIN_DETAIL / DETAIL_LEFT
        if self._place is not None:
            self._usual = max(_detail(self._place.picture), self._usual)

    def update(self, image: np.ndarray, seconds: float) -> State | None:
        """Take the next frame.

        Args:
            image: uint8 (H, W, C).
            seconds: when it was taken.

        Returns:
            What is wrong, None for nothing.
        """
        digest = zlib.crc32(image[::SAMPLED, ::SAMPLED].tobytes())
        self._held[State.FROZEN].update(digest == self._digest, seconds)
        self._digest = digest
        if seconds < self._compared:  # the clock was set back
            self._compared = -np.inf
        self._look(picture_of(image, self._grid), seconds)
        return next((state for state, held in self._held.items() if held.on), None)

    @property
    def in_doubt(self) -> bool:
        """Say whether something seems wrong that is not believed yet; frozen it may always be."""
        return any(
            held.begun and not held.on
            for state, held in self._held.items()
            if state is not State.FROZEN
        )

    def _look(self, small: np.ndarray, seconds: float) -> None:
        black = (
            float(small.mean()) < BLACK_MEAN and float(np.quantile(small, 0.99)) < BLACK_BRIGHTEST
        )
        covered = not black and _detail(small) < DETAIL_LEFT * self._usual
        self._held[State.BLACK].update(black, seconds)
        self._held[State.COVERED].update(covered, seconds)
        if self._place is None:
            return
        if black or covered:
            self._held[State.MOVED].update(None, seconds)
        elif seconds - self._compared >= MOVED_SECONDS:
            self._compared = seconds
            away = max(map(abs, self._place.shift(small)))
            unlike = self._place.likeness(small) < ONLY_CAMERA
            self._held[State.MOVED].update(away > MOVED or unlike, seconds)


class _Held:
    """A condition that is believed once it lasts, and until it is gone for a while."""

    def __init__(self, enter: float, leave: float) -> None:
        self._enter, self._leave, self.on = enter, leave, False
        self._since: float | None = None  # from when on it is as it was not believed to be

    @property
    def begun(self) -> bool:
        """Say whether it is seen to be otherwise than it is believed to be."""
        return self._since is not None

    def update(self, now: bool | None, seconds: float) -> None:
        """Take what is seen, None where that cannot be said."""
        if now is None or now == self.on:
            self._since = None
            return
        if self._since is None or seconds < self._since:
            self._since = seconds
        if seconds - self._since >= (self._leave if self.on else self._enter):
            self.on, self._since = now, None


def _detail(small: np.ndarray) -> float:
    """Measure the detail of a small picture, the noise of single points left out."""
    smooth = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1)
    return float(np.abs(detail(smooth)).mean())

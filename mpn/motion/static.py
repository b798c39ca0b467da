"""Changes of a camera's picture that stay: something was left behind, or taken away. No torch.

Twice a second a small grey picture of the recording is compared with two others: the camera's
normal picture, and the recording's own of the last minutes. Each is first brought to the light
around every point by a local regression, so that brighter, darker or flatter is no change. Where
the picture differs from both, to the same side and by about as much as before, a change stays; for
how many seconds is divided by how long anything stayed there in normal footage, where people wait.
What differs from the normal picture when a recording begins is its own: it is no change.

The second frame of reference is a slow background as in Stauffer and Grimson, Adaptive background
mixture models for real-time tracking (CVPR 1999); the two backgrounds, a long and a short one, are
those of Porikli, Ivanov and Haga, Robust Abandoned Object Detection Using Dual Foregrounds (EURASIP
2008). How the constants were chosen: benchmarks/results/static_choices.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from mpn.errors import SizeError
from mpn.motion.registration import detail, is_far, picture_shift

READINGS = 2.0  # a second, at the most
# Normal footage of fewer seconds, in stretches of so many, does not show what stays.
MIN_SECONDS, MIN_STRETCH = 30.0, 3.0
# A picture is brought to another's light around each point: sigma in points, and the grey levels
# below which a surrounding is too flat to say anything about contrast.
LIGHT_AROUND, FLAT = 4.0, 5.0
CONTRAST = (0.5, 2.0)  # of the other's, at the least and most
# A difference is in units of what is usual at the point: that in normal footage, blurred (sigma, in
# points), grey levels of noise, and a share of the edges that both pictures have there, as a camera
# trembles.
USUAL_BLUR, NOISE, TREMBLE = 1.5, 3.0, 0.3
AROUND = 2  # differences are means over so many points along each side
DIFFERENT = 3.0  # units, from which on a point differs
# It stays if it is off by no more than this share and so many units from where it was, a mean that
# gives the newest reading this weight.
OFF_SHARE, OFF_UNITS, NEWEST = 0.5, 1.0, 0.3
OWN_SECONDS = 100.0  # of the recording's own background
MAX_SECONDS = 60.0  # seconds that are counted
# The light or the camera has changed where so large a share of the picture's tiles show changes
# that stay so many seconds, in so large a share of their points: then a recording begins anew.
TILES, TILES_SHARE, TILE_SHARE, STAYING = (5, 6), 0.3, 0.02, 2.0
# What is normal at a place is normal around it: the longest of 3x3 points, blurred (sigma), and so
# many seconds everywhere.
NORMAL_AROUND, NORMAL_BLUR, ANYWHERE = 3, 1.0, 1.0


class Readings(NamedTuple):
    """Small pictures of a stretch of footage, as `mpn.motion.place.picture_of` gives them.

    Attributes:
        pictures: gives them, float32 (h, w), as often as it is called.
        length: how many.
        interval: seconds between two.
    """

    pictures: Callable[[], Iterable[np.ndarray]]
    length: int
    interval: float


class Background:
    """How a camera's picture varies in normal footage, and how long changes of it stay.

    Args:
        shape: (height, width) of its small pictures.

    Attributes:
        spread_sum: float64 (h, w), sum of squared differences from the normal picture, in its
            light, grey levels.
        readings: how many pictures are in it.
        seconds: of footage behind it.
        longest: float32 (h, w), for how many seconds a change stayed at the most.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.spread_sum = np.zeros(shape)
        self.readings = 0
        self.seconds = 0.0
        self.longest = np.zeros(shape, np.float32)

    @property
    def known(self) -> bool:
        """Say whether there was enough footage to judge what stays."""
        return self.seconds >= MIN_SECONDS

    @property
    def spread(self) -> np.ndarray:
        """Return the mean squared difference from the normal picture, float32 (h, w)."""
        return (self.spread_sum / max(self.readings, 1)).astype(np.float32)

    def learn(self, picture: np.ndarray, stretches: Iterable[Readings]) -> None:
        """Learn from stretches of normal footage; those under `MIN_STRETCH` tell nothing.

        Args:
            picture: (h, w), the camera's normal picture.
            stretches: of the footage.
        """
        long = [
            stretch for stretch in stretches if stretch.length * stretch.interval >= MIN_STRETCH
        ]
        normal = _Reference(picture)
        for pictures, length, interval in long:
            for small in pictures():
                self.spread_sum += normal.difference(small) ** 2
            self.readings += length
            self.seconds += length * interval
        for pictures, _, interval in long:
            changes = StaticChanges(picture, self.spread, interval)
            for small in pictures():
                self.longest = np.maximum(self.longest, changes.update(small))

    def merge(self, other: Background) -> None:
        """Add what another has learned of the same camera, each against its own normal picture.

        Args:
            other: of the same shape.

        Raises:
            SizeError: it has another.
        """
        if other.longest.shape != self.longest.shape:
            raise SizeError(f"{self.longest.shape} and {other.longest.shape} cannot be merged")
        self.spread_sum += other.spread_sum
        self.readings += other.readings
        self.seconds += other.seconds
        self.longest = np.maximum(self.longest, other.longest)

    def normal(self) -> np.ndarray:
        """Return the seconds that a change may stay at each place, float32 (h, w)."""
        around = maximum_filter(self.longest, NORMAL_AROUND)
        return gaussian_filter(around, NORMAL_BLUR) + np.float32(ANYWHERE)


class StaticChanges:
    """The changes that stay in one recording.

    Args:
        picture: (h, w), the camera's normal picture, grey levels.
        spread: (h, w), mean squared difference from it in normal footage.
        interval: seconds between two readings.
    """

    def __init__(self, picture: np.ndarray, spread: np.ndarray, interval: float) -> None:
        self._normal, self._interval = _Reference(picture), interval
        self._usual = gaussian_filter(spread, USUAL_BLUR) + np.float32(NOISE**2)
        self._share = min(1.0, interval / OWN_SECONDS)
        self._recent: np.ndarray | None = None
        self._seconds = self._value = np.zeros(picture.shape, np.float32)

    def update(self, small: np.ndarray) -> np.ndarray:
        """Take the next small picture.

        Args:
            small: float32 (h, w), grey levels.

        Returns:
            float32 (h, w), for how many seconds a change has stayed at each point; 0 where nothing
            differs.
        """
        recent = small if self._recent is None else self._recent
        usual = np.sqrt(self._usual + (TREMBLE * self._normal.common_edges(small)) ** 2)
        to_normal, to_recent = (
            cv2.blur(reference.difference(small) / usual, (AROUND, AROUND))
            for reference in (self._normal, _Reference(recent))
        )
        least = np.where(np.abs(to_normal) < np.abs(to_recent), to_normal, to_recent)
        now = np.where(to_normal * to_recent > 0, least, 0)
        differs = np.abs(now) > DIFFERENT
        off = now - self._value
        same = differs & (np.abs(off) < OFF_SHARE * np.abs(self._value) + OFF_UNITS)
        longer = np.minimum(self._seconds + self._interval, MAX_SECONDS)
        self._seconds = np.where(same, longer, differs * self._interval).astype(np.float32)
        self._value = np.where(same, self._value + NEWEST * off, differs * now)
        if self._picture_changed() or _moved(recent, small):
            recent = small
            self._seconds, self._value = np.zeros_like(small), np.zeros_like(small)
        self._recent = recent + (small - recent) * self._share
        return self._seconds

    def _picture_changed(self) -> bool:
        staying = (self._seconds >= STAYING).astype(np.float32)
        tiles = cv2.resize(staying, TILES[::-1], interpolation=cv2.INTER_AREA)
        return bool((tiles > TILE_SHARE).mean() > TILES_SHARE)


class StaticReader:
    """For how long changes have stayed in one recording, by what is normal at each place.

    Args:
        picture: (h, w), the camera's normal picture.
        background: of the same camera.
        fps: frames a second of the recording.
        points: of the small picture, along each side of a cell.
    """

    def __init__(
        self, picture: np.ndarray, background: Background, fps: float, points: int
    ) -> None:
        self.every = readings_every(fps)
        self._changes = StaticChanges(picture, background.spread, self.every / fps)
        self._normal, self._points, self._count = background.normal(), points, 0
        self._quotients = np.zeros((0, 0), np.float32)

    def read(self, small: Callable[[], np.ndarray]) -> np.ndarray:
        """Take the next frame of the recording; a few of them are looked at.

        Args:
            small: gives the frame's small picture, float32 (h, w).

        Returns:
            float32 (h / points, w / points): seconds / normal seconds, the largest in each cell.
        """
        if self._count % self.every == 0:
            quotients = self._changes.update(small()) / self._normal
            rows, columns = (side // self._points for side in quotients.shape)
            cells = quotients.reshape(rows, self._points, columns, self._points)
            self._quotients = cells.max((1, 3))
        self._count += 1
        return self._quotients


class _Reference:
    """A picture that others are compared with, in their light.

    Args:
        picture: (h, w), grey levels.
    """

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = picture.astype(np.float32)
        self._detail = _without_light(self._picture)
        self._contrast = _around(self._detail * self._detail) + FLAT**2

    def difference(self, small: np.ndarray) -> np.ndarray:
        """Subtract this picture, in the light of the other, from it, float32 (h, w)."""
        other = _without_light(small)
        ratio = (_around(other * self._detail) + FLAT**2) / self._contrast
        return other - np.clip(ratio, *CONTRAST) * self._detail

    def common_edges(self, small: np.ndarray) -> np.ndarray:
        """Measure the edges that both have at or beside a point, float32 (h, w)."""
        return np.minimum(_edges(self._picture), _edges(small))


def readings_every(fps: float) -> int:
    """Choose after how many frames the next one is looked at.

    Args:
        fps: frames a second.
    """
    return max(1, math.ceil(fps / READINGS))


def _around(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), LIGHT_AROUND)


def _without_light(picture: np.ndarray) -> np.ndarray:
    return picture - _around(picture)


def _edges(picture: np.ndarray) -> np.ndarray:
    """Measure the slope, the largest of 3x3 points, grey levels a point."""
    across, down = (cv2.Sobel(picture, cv2.CV_32F, *axis, ksize=3) for axis in ((1, 0), (0, 1)))
    return cv2.dilate(np.hypot(across, down) / 8, np.ones((3, 3), np.uint8))


def _moved(before: np.ndarray, now: np.ndarray) -> bool:
    """Say whether the camera has moved."""
    shift = picture_shift(detail(before), detail(now))
    return shift is not None and is_far(shift)

"""What a camera learns after its first minutes: slowly, and never an anomaly.

The camera file stays as it is: it is the anchor. A minute is learned if nothing in it was above a
low level of the score, nothing moved faster than a little more than in the anchor's footage, and
the minutes after it were without an event: whoever climbs over the fence was calm before. However
often something comes that is further off than that, it never becomes normal; for that there is
`mpn teach`, or a new camera file.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mpn.adaptation.camera_file import read_camera, write_camera
from mpn.errors import MpnError
from mpn.live.steps import Prepared
from mpn.model.checkpoint import Checkpoint
from mpn.motion.place import PlaceModel, frame_number, place_key
from mpn.scoring.detector import Detector
from mpn.scoring.parts import MOTION_PARTS

log = logging.getLogger(__name__)

LEARNED = "learned.camera.safetensors"  # in the camera's folder
MINUTE = 60.0
# Motion of a minute that is learned is, by the anchor, at most so many times as fast as this
# quantile of its normal frames, judged by the others; about 1 is as fast as they ever were there.
MAX_FASTER, FASTEST_QUANTILE = 1.5, 0.99
LOW_QUANTILE = 0.99  # of the normal footage's scores: no frame of a learned minute is above it ...
LOW_SHARE = 0.9  # ... or above this share of the threshold
WAITING = 5  # minutes that a minute waits, in which no event may come
SAVE_MINUTES = 10  # between two savings
MAX_FRAMES = 36_000  # that are counted beside the anchor's; then all of them count half
PICTURE_EVERY = 10  # frames


def low_level(detector: Detector, threshold: float) -> float:
    """Choose the score that no frame of a minute that is learned may pass.

    Args:
        detector: of the camera.
        threshold: of its events.
    """
    normal = np.concatenate([*detector.normal_scores().values(), [-np.inf]])
    quantile = float(np.quantile(normal[np.isfinite(normal)], LOW_QUANTILE))
    return min(quantile, LOW_SHARE * threshold) if threshold > 0 else min(quantile, threshold)


class Ongoing:
    """Goes on learning a camera's place model.

    Args:
        checkpoint: of the camera file.
        folder: of the camera, where it is kept what was learned.
        fps: frames a second that its motion is meant for.
        level: see `low_level`.

    Attributes:
        place: the anchor's with what was learned since; it is changed in place.
        minutes: that were learned.
        key: of the anchor, see `place_key`.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path, fps: float, level: float) -> None:
        self._checkpoint, self._path, self._fps, self._level = (
            checkpoint,
            folder / LEARNED,
            fps,
            level,
        )
        self._name, self._anchor = next(iter(checkpoint.places.items()))
        self._limits = [MAX_FASTER * _fastest(checkpoint.normal, name) for name in MOTION_PARTS]
        self.key = place_key(self._anchor)
        self._learned = self._earlier()
        self.place = PlaceModel(self._anchor.grid)
        self._add_up()
        self.minutes = 0
        self._waiting: deque[PlaceModel] = deque()
        self._before: np.ndarray | None = None
        self._unsaved = 0
        self._begin_minute()

    def update(self, frame: Prepared, score: float, *, calm: bool) -> None:
        """Take the next frame.

        Args:
            frame: with its motion.
            score: smoothed; NaN where there is none.
            calm: no event is open, and the picture is as it should be.
        """
        if frame.motion is None:
            return
        speeds = self._anchor.speeds(frame.motion)
        before, self._before = self._before, speeds if frame.follows else None
        if before is not None and frame.follows:
            quotients = self._anchor.lasting(before, speeds)
            numbers = [frame_number(quotient) for quotient in quotients]
            self._calm &= all(number <= limit for number, limit in zip(numbers, self._limits))
            self._minute.add([frame.motion])
        if self._frames % PICTURE_EVERY == 0:
            self._minute.add([], [frame.fitted])
        self._event |= not calm
        self._calm &= not score > self._level
        self._frames += 1
        if self._frames >= MINUTE * self._fps:
            self._end_minute()

    def save(self) -> None:
        """Write down what was learned since the last time."""
        if not self._unsaved:
            return
        adapted_on = {"anchor": self.key, "frames": self._learned.frames}
        camera = {**(self._checkpoint.camera or {}), "tensors": [], "adapted_on": adapted_on}
        checkpoint = replace(
            self._checkpoint,
            places={self._name: self._learned},
            normal={},
            taught=(),
            camera=camera,
        )
        try:
            write_camera(self._path, checkpoint, keep=False)
            self._unsaved = 0
        except MpnError as error:
            log.warning("%s: what was learned is not kept: %s", self._name, error)

    def _begin_minute(self) -> None:
        self._minute = PlaceModel(self._anchor.grid)
        self._frames, self._calm, self._event = 0, True, False

    def _end_minute(self) -> None:
        minute, calm, event = self._minute, self._calm, self._event
        self._begin_minute()
        if event:
            self._waiting.clear()
            return
        # One that is not calm waits, too, as nothing: time passes.
        self._waiting.append(minute if calm else PlaceModel(self._anchor.grid))
        if len(self._waiting) > WAITING:
            self._learn(self._waiting.popleft())

    def _learn(self, minute: PlaceModel) -> None:
        if not minute.frames:
            return
        self._learned.merge(minute)
        self.minutes += 1
        if self._learned.frames > MAX_FRAMES:
            self._learned = _halved(self._learned)
            self._add_up()
        else:
            self.place.merge(minute)
        self._unsaved += 1
        if self._unsaved >= SAVE_MINUTES:
            self.save()

    def _add_up(self) -> None:
        """Make the place model anew: the anchor's, and what was learned since."""
        # As the anchor judges, by which the threshold was made, however much is learned.
        whole = PlaceModel(self._anchor.grid, as_of=self._anchor.frames)
        whole.merge(self._anchor)
        whole.merge(self._learned)
        self.place.__dict__.update(whole.__dict__)
        self.place.add([])  # what was computed of the earlier counts is forgotten

    def _earlier(self) -> PlaceModel:
        """Read what an earlier run has learned beside the same anchor."""
        nothing = PlaceModel(self._anchor.grid)
        if not self._path.is_file():
            return nothing
        try:
            earlier = read_camera(self._path)
            adapted_on = (earlier.camera or {}).get("adapted_on") or {}
            (place,) = earlier.places.values()
            if adapted_on.get("anchor") == self.key and place.grid == self._anchor.grid:
                return place
            log.info("%s: was learned beside another camera file; begun anew", self._path)
        except (MpnError, ValueError) as error:
            log.warning("%s: cannot be gone on with: %s", self._path, error)
        return nothing


def _fastest(normal: Mapping[str, list[np.ndarray]], part: str) -> float:
    """Return how fast normal frames are at their fastest, for their place, at most 1.

    Above 1 a part's number says little of how fast something is, see `mpn.scoring.parts`.
    """
    numbers = np.concatenate(normal.get(part) or [np.zeros(1)])
    return min(1.0, float(np.exp(np.quantile(numbers, FASTEST_QUANTILE))))


def _halved(place: PlaceModel) -> PlaceModel:
    """Return a place model whose counts are half as many: newer footage counts more then."""
    half = PlaceModel(place.grid)
    half.counts, half.whole = place.counts // 2, place.whole // 2
    half.frames, half.pictures = place.frames // 2, place.pictures // 2
    half.picture_sum = place.picture * half.pictures
    half.judged = place.judged
    return half

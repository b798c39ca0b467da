"""A camera's threshold, from more and more of what it shows: a few minutes are a guess.

All that the camera shows counts, alarmed or not, so nothing is chosen: the threshold is passed as
often as was asked for. It only ever comes down from that of the camera file. So hours in which
nothing happens make it sharper, and somebody who comes thirty times an hour does not lift it above
himself.
"""

from __future__ import annotations

import io
import logging
import math
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np

from mpn.errors import MpnError
from mpn.io.atomic import read_npy, write_atomically
from mpn.scoring.calibration import Threshold, calibrate
from mpn.scoring.detector import Detector
from mpn.scoring.parts import asks_network

log = logging.getLogger(__name__)

EVERY_MINUTES = 10
ALONE_HOURS = 1.0  # of what the camera showed: from then on it counts alone
MAX_HOURS = 6.0  # that count; then the oldest go


def scores_file(folder: Path, key: str, detector: Detector) -> Path:
    """Return where a camera's scores are kept; those with and without the network do not compare.

    Args:
        folder: of the camera.
        key: of its anchor, see `mpn.live.ongoing.Ongoing`.
        detector: that judges it.
    """
    alone = "" if asks_network(detector.parts) else "-motion"
    return folder / f"scores-{key[:12]}{alone}.npy"


class Recalibration:
    """Follows a camera's threshold.

    Args:
        normal: smoothed scores of the camera file's normal footage, by clip.
        first: the threshold that they give.
        fps: frames a second of the scores.
        path: of the scores that are kept, NAME.npy.
        pool: computes the threshold.
    """

    def __init__(
        self,
        normal: Mapping[str, np.ndarray],
        first: Threshold,
        fps: float,
        path: Path,
        pool: Executor,
    ) -> None:
        self._normal, self._first, self._fps = dict(normal), first, fps
        self._path, self._pool = path, pool
        self._most = round(MAX_HOURS * 3600 * fps)
        self._every = round(EVERY_MINUTES * 60 * fps)
        # Scores in a row; NaN where something lies between.
        self._scores: deque[float] = deque(self._earlier(), maxlen=self._most)
        self._fresh = 0
        self._computed: Future[Threshold] | None = None
        # Less than is looked at else shows nothing, and a start is no reason to believe it.
        if len(self._scores) >= self._every:
            self._begin()

    @property
    def hours(self) -> float:
        """Return how much of what the camera showed counts."""
        return len(self._scores) / self._fps / 3600

    def add(self, score: float) -> None:
        """Take the next frame's score.

        Args:
            score: smoothed; NaN where there is none, or it is not to count.
        """
        if math.isnan(score) and (not self._scores or math.isnan(self._scores[-1])):
            return
        self._scores.append(score)
        self._fresh += 1
        if self._fresh >= self._every and self._computed is None:
            self._fresh = 0
            self.save()
            self._begin()

    def threshold(self) -> Threshold | None:
        """Return the threshold from now on where it was computed anew, else None."""
        if self._computed is None or not self._computed.done():
            return None
        done, self._computed = self._computed, None
        try:
            threshold = done.result()
        except (ValueError, ArithmeticError, MpnError) as error:
            log.warning("%s: no new threshold: %s", self._path, error)
            return None
        return threshold if threshold.value < self._first.value else self._first

    def save(self) -> None:
        """Write the scores down, for the next start."""
        buffer = io.BytesIO()
        np.save(buffer, np.array(self._scores, np.float16), allow_pickle=False)
        try:
            write_atomically(self._path, buffer.getvalue())
        except MpnError as error:
            log.warning("%s", error)

    def _begin(self) -> None:
        scores = np.array(self._scores, np.float64)
        self._computed = self._pool.submit(self._compute, scores)

    def _compute(self, scores: np.ndarray) -> Threshold:
        runs = np.split(scores, np.flatnonzero(np.isnan(scores)))
        videos = {f"live {n}": run[~np.isnan(run)] for n, run in enumerate(runs)}
        whole = {name: run for name, run in videos.items() if len(run)}
        # The first minutes were judged by less than themselves: they count until there is more.
        alone = len(scores) >= ALONE_HOURS * 3600 * self._fps
        calibration = calibrate(whole if alone else self._normal | whole, self._fps)
        return calibration.threshold(self._first.false_alarms_per_hour)

    def _earlier(self) -> list[float]:
        if not self._path.is_file():
            return []
        try:
            values = np.asarray(read_npy(self._path), np.float64)
        except MpnError as error:
            log.warning("%s: begun anew: %s", self._path, error)
            return []
        return values.ravel()[-self._most :].tolist()

"""The first minutes of a camera that is not known yet: collected, judged roughly, learned from.

What is kept of them is the motion and a small picture of each frame, in files that are gone with
the process, and the network's numbers where it is asked; so memory does not grow. While they are
collected, what moves far faster than anything did so far at its place is told at once, and is not
learned.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from mpn.adaptation.camera import adapt_clips
from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.place import Stretch
from mpn.datasets.windows import Clip
from mpn.io.atomic import make_folder
from mpn.io.runs import intervals
from mpn.live.config import USUAL_FPS
from mpn.live.steps import Prepared
from mpn.model.checkpoint import Checkpoint
from mpn.motion.flow import CHANNELS
from mpn.motion.place import PICTURE, PlaceModel, frame_number, picture_of
from mpn.motion.usual import moving_share
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.model_score import score_config_of
from mpn.scoring.protocols import Exponential
from mpn.scoring.regions import Box
from mpn.video.frame_source import BadFrame

# What moves so many times as fast as anything did so far at its place is far stranger. Of the first
# minute of generated footage normal walkers come to 2 (benchmarks are of whole camera files).
FAR = 3.0
WARM_SECONDS = 20.0  # of footage, before anything is judged by it
APART_SECONDS = 4.0  # around a moment that have no say in what was seen before it
REFRESH_SECONDS = 4.0  # between two looks at what was seen so far
SMOOTHING = 0.3
# From less than this a threshold is too high or too low (benchmarks/results/normal_minutes.json).
MIN_SECONDS = 120.0
# Of the picture, on average. Footage of few people has 0.02 and more; what was learned from less
# than 0.01 alarmed at most of what came later, or had a threshold that nothing reached.
MIN_MOVED = 0.01
LITTLE = (
    "so little gives a threshold that is too high or too low "
    "(docs/results-adaptation.md, How many minutes a camera needs)"
)
STILL = (
    "hardly anything moved in it ({:.1f} % of the picture): what comes later may be alarmed again "
    "and again, or never"
)
ANEW = (
    "to learn it anew, from more minutes with what usually comes: take {} away, and give "
    "--learning-minutes 5 or more (learning_minutes in a config)"
)
AROUND = 2.0  # seconds on either side of what is far stranger that are not learned
REACH = 2  # cells around the fastest that are its region
# Frames that the network has to be asked about, or motion alone is judged; what it said holds for
# the frames after it that there was no time for.
MIN_ASKED = 100


def _write_values(folder: Path, file: IO[bytes], number: int, values: np.ndarray) -> None:
    """Write a frame's numbers at their place; those of one that a full disk cut are overwritten."""
    data = values.tobytes()
    at = number * len(data)
    # Not by the file's position, which a thread that learns from it moves.
    while data:
        try:
            written = os.pwrite(file.fileno(), data, at)
        except OSError as error:  # which file it was, which has no name, is not said
            raise OSError(error.errno, error.strerror, str(folder)) from error
        data, at = data[written:], at + written


def base_for_learning(checkpoint: Checkpoint) -> Checkpoint:
    """Return a base without the places that it knows: the new camera is none of them.

    Args:
        checkpoint: of the base.
    """
    config = score_config_of(checkpoint).without_place()
    return replace(checkpoint, places={}, score_config=config.to_dict())


def learned_words(known: Checkpoint, file: Path) -> str:
    """Say what a camera has been learned from, and what to do where that was too little.

    Args:
        known: what came of it, with a place model.
        file: it is kept in.
    """
    (place,) = known.places.values()
    seconds, moved = place.frames / (known.fps or USUAL_FPS), moving_share(place)
    words = [f"learned from {seconds:.0f} s"]
    if seconds < MIN_SECONDS:
        words.append(LITTLE)
    if moved < MIN_MOVED:
        words.append(STILL.format(100 * moved))
    if words[1:]:
        words.append(ANEW.format(file))
    return "; ".join(words)


class FirstMinutes:
    """Collects the first minutes of a camera.

    Args:
        camera: its name.
        detector: of the base, see `base_for_learning`.
        grid: of the camera's cells.
        fps: frames a second that its motion is meant for.
        minutes: to be collected.
        folder: on whose disk they are kept meanwhile.
    """

    def __init__(
        self,
        camera: str,
        detector: Detector,
        grid: tuple[int, int],
        fps: float,
        minutes: float,
        folder: Path,
    ) -> None:
        make_folder(folder)
        self.camera, self.detector, self.grid, self.fps = camera, detector, grid, fps
        self.wanted, self._folder = max(1, round(minutes * 60 * fps)), folder
        self._motion = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 (to `close`)
        self._pictures = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115
        self._rows: list[Mapping[str, float]] = []
        self._bad: list[int] = []
        self._far: list[bool] = []
        self.good = 0
        self._so_far = PlaceModel(grid)
        self._recent: deque[np.ndarray] = deque()
        self._apart, self._refresh = round(APART_SECONDS * fps), round(REFRESH_SECONDS * fps)
        self._before: np.ndarray | None = None
        self._smoother = Exponential(SMOOTHING)
        self._cell = (0, 0)

    @property
    def seconds(self) -> tuple[float, float]:
        """Return for how long it has collected, and for how long it will."""
        return self.good / self.fps, self.wanted / self.fps

    @property
    def done(self) -> bool:
        """Say whether there is enough."""
        return self.good >= self.wanted

    def add(self, frame: Prepared, parts: Mapping[str, float], *, usable: bool) -> float:
        """Take the next frame.

        Args:
            frame: with its motion.
            parts: the network's numbers, empty where it was not asked.
            usable: whether its picture is as it should be.

        Returns:
            How many times as fast as anything so far something moves; NaN at the beginning.
        """
        assert frame.motion is not None
        motion = frame.motion.astype(np.float16, copy=False)
        _write_values(self._folder, self._motion, len(self._rows), motion)
        small = np.rint(picture_of(frame.fitted, self.grid)).clip(0, 255).astype(np.uint8)
        _write_values(self._folder, self._pictures, len(self._rows), small)
        score = self._judged(motion, follows=frame.follows) if usable else math.nan
        self._rows.append(parts)
        self._far.append(score > FAR)
        if frame.follows and usable:
            self.good += 1
        else:
            self._bad.append(len(self._rows) - 1)
        return score

    def region(self, size: tuple[int, int]) -> Box:
        """Return where the fastest of the frame added last is.

        Args:
            size: (height, width) of the camera's frames.

        Returns:
            (top, left, height, width) in pixels.
        """
        spans = []
        for cell, cells, side in zip(self._cell, self.grid, size):
            first, last = max(0, cell - REACH), min(cells, cell + REACH + 1)
            spans.append((first * side // cells, (last - first) * side // cells))
        (top, height), (left, width) = spans
        return top, left, height, width

    def learn(self, false_alarms_per_hour: float) -> Checkpoint:
        """Learn the camera from what was collected; takes seconds.

        Args:
            false_alarms_per_hour: that the report is for.

        Returns:
            The adapted model, as `mpn adapt` makes it.

        Raises:
            MpnError: too little of it can be used.
        """
        clip = self._clip()
        options = CameraOptions(false_alarms_per_hour=false_alarms_per_hour)
        far = np.convolve(self._far, np.ones(2 * round(AROUND * self.fps) + 1), "same") > 0
        excluded = [Stretch(0, start, stop) for start, stop in intervals(far)]
        source = Path(self.camera)
        columns = columns_of(self._rows, self.detector.columns)
        network_asked = min(np.isfinite(column).sum() for column in columns.values()) >= MIN_ASKED
        parts = {name: held(values) for name, values in columns.items()} if network_asked else {}
        adapted, _ = adapt_clips(
            self.detector, source, [clip], options, parts=[parts], excluded=excluded
        )
        return adapted

    def close(self) -> None:
        """Let go of what was collected."""
        self._motion.close()
        self._pictures.close()

    def _clip(self) -> Clip:
        count, (rows, columns) = len(self._rows), self.grid
        motion = np.memmap(self._motion, np.float16, "r", shape=(count, rows, columns, CHANNELS))
        shape = (count, rows * PICTURE, columns * PICTURE, 1)
        frames = np.memmap(self._pictures, np.uint8, "r", shape=shape)
        bad = [BadFrame(index, self.camera, "is left out") for index in self._bad]
        return Clip(self.camera, self.camera, frames, self.fps, bad, motion)

    def _judged(self, motion: np.ndarray, *, follows: bool) -> float:
        """Judge a frame's motion by what was seen so far; then it is seen."""
        speeds = self._so_far.speeds(motion)
        before, self._before = self._before, speeds
        if follows:
            self._recent.append(motion)
        if len(self._recent) >= self._apart + self._refresh:
            self._so_far.add([self._recent.popleft() for _ in range(self._refresh)])
        if not follows or before is None or self._so_far.frames < WARM_SECONDS * self.fps:
            return math.nan
        quotients = self._so_far.lasting(before, speeds)[0]
        row, column = np.unravel_index(int(quotients.argmax()), quotients.shape)
        self._cell = int(row), int(column)
        return self._smoother.update(frame_number(quotients))


def held(values: np.ndarray) -> np.ndarray:
    """Fill what is not known with what was known last, float32; what comes before the first stays.

    Args:
        values: float (T,), NaN where nothing is known.
    """
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    return values[last].astype(np.float32)

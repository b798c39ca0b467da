"""The result of one frame, made of its scores: the number, the place, and what a reason needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from mpn.scoring.reasons import Evidence, SeenMotion
from mpn.scoring.recognition import Recogniser
from mpn.scoring.regions import Box
from mpn.scoring.result import Result
from mpn.scoring.scores import (
    FrameScores,
    combine,
    deviations,
    region,
    same_grid,
    shares_of,
    trusted_weights,
    weighted_parts,
)


class SeenFrame(NamedTuple):
    """A frame of a source.

    Attributes:
        number: in the video, from 0.
        time: seconds, NaN if unknown.
        image: uint8 (H, W, C), where it is wanted or anything was taught.
        motion: of the frame, None without a place model.
    """

    number: int
    time: float
    image: np.ndarray | None
    motion: SeenMotion | None


class Judge:
    """Makes results of frames' scores, one at a time.

    Args:
        recogniser: with the weights and units of the score, and what was taught.
        calibrated: the units are of normal footage.
    """

    def __init__(self, recogniser: Recogniser, *, calibrated: bool) -> None:
        self._recogniser, self._calibrated = recogniser, calibrated

    def result(self, frame: SeenFrame, scores: FrameScores, size: tuple[int, int]) -> Result:
        """Make the result of a frame; its score is not smoothed yet (NaN).

        Args:
            frame: with its picture, where anything was taught.
            scores: of it.
            size: (height, width) of the source's frames.
        """
        recogniser, recall = self._recogniser, None
        taught = bool(recogniser.memory.normals is not None or recogniser.memory.names)
        if taught and frame.image is not None and frame.motion is not None:
            scores = recogniser.quieted(scores, frame.image, frame.motion)
            recall = partial(recogniser.likeness, frame.image, frame.motion)
        maps = same_grid(scores.maps)
        weights = trusted_weights(maps, recogniser.weights, recogniser.normal)
        grid = combine(maps, weights, recogniser.normal).astype(np.float32)
        box = region(grid, recogniser.patch, recogniser.size, size)
        return Result(
            frame.number,
            frame.time,
            math.nan,
            float(combine(scores.parts, weights, recogniser.normal)),
            scores.parts,
            grid,
            box,
            frame.image,
            self._evidence(maps, grid, box, frame.motion, weights),
            recall and partial(recall, grid),
        )

    def _evidence(
        self,
        maps: Mapping[str, np.ndarray],
        grid: np.ndarray,
        box: Box,
        motion: SeenMotion | None,
        weights: Mapping[str, float],
    ) -> Evidence:
        """Keep what a frame's reason is made of: its parts at the highest patch, and its motion."""
        normal = self._recogniser.normal
        peak = np.unravel_index(int(grid.argmax()), grid.shape)
        parts = {name: float(values[peak]) for name, values in maps.items()}
        weighted = {
            name: float(value) for name, value in weighted_parts(parts, weights, normal).items()
        }
        deviation_of = {}
        if self._calibrated:
            above = deviations(parts, weighted, normal)
            deviation_of = {name: float(value) for name, value in above.items()}
        return Evidence(shares_of(weighted), deviation_of, box, motion)

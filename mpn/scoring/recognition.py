"""What a camera was taught is recognised: what is normal goes quiet, other things get their name.

What is normal goes quiet where it is, and nowhere else: each region of a frame is compared with
what was taught, and the places of the map that are nearest to a region that is normal are brought
down to an average normal frame's, in every part of the score, before the frame's score is made of
them. So another anomaly in the same frame counts as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mpn.scoring.embedding import embedding_of
from mpn.scoring.memory import Likeness, Memory
from mpn.scoring.parts import PLACE_PARTS, motion_numbers
from mpn.scoring.reasons import SeenMotion
from mpn.scoring.regions import FLOOR, MAX_REGIONS, Box, find_regions
from mpn.scoring.scores import FrameScores, combine, same_grid

# Frames that are no higher than this, in units of normal frames, need not go quiet: no threshold is
# so low.
QUIET = 1.0
REACH = 1.0  # patches around a normal region's box that are its own, where no other is nearer


class Sight(NamedTuple):
    """A region of a frame.

    Attributes:
        score: its peak, see `mpn.scoring.regions.find_regions`.
        box: (top, left, height, width) in pixels of the source.
        embedding: float32 (numbers,), see `mpn.scoring.embedding`.
    """

    score: float
    box: Box
    embedding: np.ndarray


@dataclass(frozen=True)
class Recogniser:
    """Recognises in frames what a camera was taught.

    Attributes:
        memory: what was taught.
        weights: part -> its weight in the score.
        normal: part -> its mean and deviation on normal frames.
        patch: of the score, pixels of the network's frames.
        size: (height, width) of these.
    """

    memory: Memory
    weights: Mapping[str, float]
    normal: Mapping[str, tuple[float, float]]
    patch: int
    size: tuple[int, int]

    def sights(
        self,
        grid: np.ndarray,
        image: np.ndarray,
        motion: SeenMotion,
        max_regions: int = MAX_REGIONS,
    ) -> list[Sight]:
        """Find the regions of a frame, the highest first, and how they look and move.

        Args:
            grid: float (h, w), the frame's map in units of normal frames.
            image: the source's frame, uint8 (H, W, C).
            motion: of the frame.
            max_regions: so many regions.
        """
        source = (image.shape[0], image.shape[1])
        regions = find_regions(grid, FLOOR, self.patch, self.size, source, max_regions)
        return [Sight(score, box, embedding_of(image, box, motion)) for score, box in regions]

    def raw(self, scores: FrameScores) -> float:
        """Compute a frame's score, not smoothed.

        Args:
            scores: of the frame.
        """
        return float(combine(scores.parts, self.weights, self.normal))

    def grid(self, scores: FrameScores) -> np.ndarray:
        """Compute a frame's map in units of normal frames, float64 (h, w).

        Args:
            scores: of the frame.
        """
        return combine(same_grid(scores.maps), self.weights, self.normal)

    def quieted(self, scores: FrameScores, image: np.ndarray, motion: SeenMotion) -> FrameScores:
        """Bring down what is normal in a frame.

        Args:
            scores: of the frame, with the quotients that they are made of.
            image: the source's frame, uint8 (H, W, C).
            motion: of the frame.

        Returns:
            The same scores where nothing in it is like what was taught.
        """
        if self.memory.normals is None or self.raw(scores) <= QUIET:
            return scores
        grid = self.grid(scores)
        size = (image.shape[0], image.shape[1])
        return self.without_normal(scores, size, self.sights(grid, image, motion))

    def likeness(self, image: np.ndarray, motion: SeenMotion, grid: np.ndarray) -> Likeness | None:
        """Find what the highest region of a frame is most like.

        Args:
            image: the source's frame, uint8 (H, W, C).
            motion: of the frame.
            grid: float (h, w), the frame's map in units of normal frames.

        Returns:
            None where it is like nothing that has a name, or nothing is above normal.
        """
        if not self.memory.names:
            return None
        highest = self.sights(grid, image, motion, max_regions=1)
        return self.memory.nearest(highest[0].embedding) if highest else None

    def without_normal(
        self, scores: FrameScores, source: tuple[int, int], sights: Sequence[Sight]
    ) -> FrameScores:
        """Bring down the places of a frame whose region is normal.

        Args:
            scores: of the frame, with the quotients that they are made of.
            source: (height, width) of the source's frames.
            sights: the regions of the frame.

        Returns:
            The same scores where none of them is normal.
        """
        boxes = [sight.box for sight in sights]
        normal = [self.memory.is_normal(sight.embedding) for sight in sights]
        if not any(normal):
            return scores
        side = self.patch * source[0] / self.size[0]  # in pixels of the source
        maps, parts = dict(scores.maps), dict(scores.parts)

        for name, values in scores.maps.items():
            quiet = belongs(centres(values.shape, source, side), boxes, normal, REACH * side)
            average = np.float32(self.normal[name][0])
            maps[name] = np.where(quiet, np.minimum(values, average), values)
            parts[name] = float(maps[name].max())
        if scores.quotients is not None:
            averages = [
                self.normal[name][0] if name in self.normal else np.inf for name in PLACE_PARTS
            ]
            highest = np.exp(averages[: len(scores.quotients)], dtype=np.float32)[:, None, None]
            cells = scores.quotients.shape[1:]
            quiet = belongs(centres(cells, source), boxes, normal, REACH * side)
            quotients = np.where(quiet, np.minimum(scores.quotients, highest), scores.quotients)
            moving = motion_numbers(quotients)
            parts |= {name: moving[name] for name in scores.maps if name in moving}
        return replace(scores, maps=maps, parts=parts)


def centres(
    shape: Sequence[int], source: tuple[int, int], side: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the squares of a grid have their centres.

    Args:
        shape: (h, w) of the grid.
        source: (height, width) of the frame that it covers, pixels.
        side: of the squares, pixels, where they overlap; default: they lie side by side.

    Returns:
        (rows, columns), float64 (h,) and (w,), pixels of the source.
    """
    along = []
    for cells, length in zip(shape, source):
        square = length / cells if side is None else min(side, length)
        along.append(np.linspace(square / 2, length - square / 2, cells))
    return along[0], along[1]


def belongs(
    points: tuple[np.ndarray, np.ndarray],
    boxes: Sequence[Box],
    chosen: Sequence[bool],
    reach: float,
) -> np.ndarray:
    """Say which points of a grid belong to one of the chosen boxes.

    A point belongs to the box that it is nearest to, if it is no further from it than `reach`;
    between two that are as near, to the one that is not chosen.

    Args:
        points: (rows, columns), float64 (h,) and (w,), pixels.
        boxes: (top, left, height, width) in pixels.
        chosen: of each.
        reach: pixels.

    Returns:
        bool (h, w).
    """
    shape = len(points[0]), len(points[1])
    nearest = {is_chosen: np.full(shape, np.inf) for is_chosen in (True, False)}
    for (top, left, height, width), is_chosen in zip(boxes, chosen):
        down, across = (
            np.maximum(np.maximum(start - at, at - start - length), 0)
            for at, start, length in zip(points, (top, left), (height, width))
        )
        away = np.hypot(down[:, None], across[None])
        nearest[bool(is_chosen)] = np.minimum(nearest[bool(is_chosen)], away)
    return (nearest[True] < nearest[False]) & (nearest[True] <= reach)

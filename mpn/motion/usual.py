"""What usually moves at a place of a camera's picture, for people: how fast, and which way.

The place model divides motion by what hardly any normal frame passes; to a person the range of
what moves there says more. No torch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpn.motion.flow import DIRECTED, DIRECTIONS, STILL
from mpn.motion.place import EDGES, POOL, PlaceModel

COMPASS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")
HIGH = 0.99  # of what moved at a place this share was no faster than what is called usual
AROUND = 1  # squares of the place model on every side that count as the place
FIRST_MOVING = int(np.searchsorted(EDGES, STILL))  # the first bin of what moves
# Movement goes one way where this share of it does, the neighbouring directions included; two ways
# where opposite ones have it together.
MAIN_SHARE = 0.7
TURNS = np.exp(2j * np.pi * np.arange(DIRECTIONS) / DIRECTIONS)


class Usual(NamedTuple):
    """What moved at a place in normal footage. Speeds are in pixels of the working size a frame.

    Attributes:
        high: hardly anything was faster; 0 where nothing moved.
        directed_high: float64 (DIRECTIONS,), the same of the speed in each direction.
        share: of the frames in which anything moved.
        ways: float64 (DIRECTIONS,), the share of the movement in each direction; all 0 where
            nothing moved.
    """

    high: float
    directed_high: np.ndarray
    share: float
    ways: np.ndarray

    def share_towards(self, direction: int) -> float:
        """Return the share of the movement in a direction and its two neighbours.

        Args:
            direction: its index, 0 to the right.
        """
        return float(self.ways[[direction - 1, direction, (direction + 1) % DIRECTIONS]].sum())

    @property
    def directions(self) -> tuple[int, ...]:
        """Return the one or two directions that most movement has, none where it has many."""
        main = int(np.argmax(self.ways))
        back = (main + DIRECTIONS // 2) % DIRECTIONS
        if self.share_towards(main) >= MAIN_SHARE:
            return (main,)
        if self.share_towards(main) + self.share_towards(back) >= MAIN_SHARE:
            return main, back
        return ()


def usual_at(place: PlaceModel, cell: tuple[int, int]) -> Usual:
    """Say what usually moves at and around a cell.

    Args:
        place: of the camera.
        cell: (row, column) of its grid.
    """
    rows, columns = (
        slice(max(0, index // POOL - AROUND), index // POOL + AROUND + 1) for index in cell
    )
    counts = place.counts[rows, columns].astype(np.float64)
    moving = counts[..., FIRST_MOVING:]
    kinds = moving.sum((0, 1))  # speed, and speed in each direction
    speeds = np.sqrt(EDGES[FIRST_MOVING:-1] * EDGES[FIRST_MOVING + 1 :])
    movement = kinds[DIRECTED] @ speeds
    shares = moving[..., 0, :].sum(-1) / np.maximum(counts[..., 0, :].sum(-1), 1)
    highest = np.array([_quantile(kind) for kind in kinds])
    ways = movement / max(movement.sum(), 1e-9)
    return Usual(float(highest[0]), highest[DIRECTED], float(shares.max()), ways)


def moving_share(place: PlaceModel) -> float:
    """Say how much of the picture moved in normal footage, on average over the frames, 0 to 1.

    Args:
        place: of the camera.
    """
    return float(place.whole[FIRST_MOVING:].sum() / max(int(place.whole.sum()), 1))


def _quantile(counts: np.ndarray) -> float:
    """Find the speed that `HIGH` of what moved did not pass, 0 where nothing moved."""
    if not counts.sum():
        return 0.0
    passed = np.cumsum(counts) / counts.sum()
    index = int(np.searchsorted(passed, HIGH))
    before = passed[index - 1] if index else 0.0
    inside = (HIGH - before) / (passed[index] - before)
    low, high = EDGES[FIRST_MOVING + index : FIRST_MOVING + index + 2]
    return float(low * (high / low) ** inside)


def direction_of(speeds: np.ndarray) -> int:
    """Find which of the eight directions a cell's motion has.

    Args:
        speeds: float (KINDS,), see `PlaceModel.speeds`.
    """
    turn = np.angle((speeds[DIRECTED] * TURNS).sum()) / (2 * np.pi) * DIRECTIONS
    return int(np.rint(turn)) % DIRECTIONS

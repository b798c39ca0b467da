"""Why a frame stands out: facts with the normal range of that place, and a sentence of them.

The part that carries most of the score at the frame's region says what kind of reason it is; what
is normal there comes from the camera's place model. No language model, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mpn.motion.flow import DIRECTED, SPEED, STILL, working_size
from mpn.motion.place import PlaceModel
from mpn.motion.usual import COMPASS, direction_of, usual_at
from mpn.scoring.facts import (
    FASTER,
    Fact,
    Fast,
    FastThatWay,
    OtherLook,
    OtherPlace,
    OtherWay,
    Stays,
    fact_from_dict,
    fact_to_dict,
)
from mpn.scoring.parts import DIRECTION, MOTION_PARTS, PLACE_PARTS, STAYS
from mpn.scoring.parts import SPEED as SPEED_PART
from mpn.scoring.regions import Box

# What goes a way that less than this share of the movement at its place goes, goes against it.
AGAINST = 0.2
# Where normal footage moves in less than this share of the frames, hardly anything moves.
HARDLY = 0.005
# Where motion, or what stays, carries the score, its look is said too if it has this share.
ALSO_LOOK = 0.1
# Where its look carries the score, its speed is said too if it is so many times what is usual.
ALSO_FASTER = 1.25


@dataclass(frozen=True)
class Reason:
    """Why a frame stands out.

    Attributes:
        facts: the first is what carries the score; others stand out beside it.
        shares: part -> its share of the score at the frame's region, together 1; all 0 where no
            part is above normal.
    """

    facts: tuple[Fact, ...]
    shares: Mapping[str, float]

    @property
    def kind(self) -> str:
        """Return the kind of the first fact, see `mpn.scoring.facts`."""
        return self.facts[0].kind

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers and lists, ready for JSON, and the sentence."""
        return {
            "kind": self.kind,
            "sentence": sentence(self),
            "facts": [fact_to_dict(fact) for fact in self.facts],
            "shares": dict(self.shares),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reason:
        """Read what `to_dict` gave.

        Args:
            values: name -> value.
        """
        return cls(tuple(fact_from_dict(fact) for fact in values["facts"]), dict(values["shares"]))


@dataclass(frozen=True)
class SeenMotion:
    """A frame's motion and what it is judged by.

    Attributes:
        speeds: float32 (rows, columns, KINDS), see `PlaceModel.speeds`.
        place: the camera's place model.
        size: (height, width) of the source's frames.
        fps: of the frames that are scored, None where unknown.
    """

    speeds: np.ndarray
    place: PlaceModel
    size: tuple[int, int]
    fps: float | Fraction | None


@dataclass(frozen=True)
class Evidence:
    """What a frame's reason is made of, at its region.

    Attributes:
        shares: part -> its share of the score, together 1; all 0 where nothing is above normal.
        deviations: part -> how many deviations of normal frames it is above them; empty for a model
            that knows no normal frames.
        box: the region, (top, left, height, width) in pixels of the source.
        motion: None without a place model.
    """

    shares: Mapping[str, float]
    deviations: Mapping[str, float]
    box: Box
    motion: SeenMotion | None


def reason_of(evidence: Evidence) -> Reason:
    """Find what stands out at a frame's region.

    Args:
        evidence: of the frame.
    """
    motion, shares = evidence.motion, evidence.shares
    looks = {name: share for name, share in shares.items() if name not in PLACE_PARTS}
    look_share = sum(looks.values())
    moves = sum(shares.get(name, 0.0) for name in MOTION_PARTS)
    moves_most = motion is not None and moves > look_share
    facts: list[Fact] = []
    if motion is not None:
        facts += _motion_facts(motion, evidence.box, shares, moves_most)
    stays = shares.get(STAYS.name, 0.0)
    stays_most = stays > max(moves, look_share)
    if looks and (look_share >= ALSO_LOOK or not (moves_most or stays_most)):
        part = max(looks, key=lambda name: looks[name])
        look = OtherLook(part, evidence.deviations.get(part), motion is not None)
        facts.insert(len(facts) if moves_most else 0, look)
    if stays >= ALSO_LOOK:
        fact = Stays(evidence.deviations.get(STAYS.name))
        facts.insert(0 if stays_most else len(facts), fact)
    if not facts and motion is not None:  # a frame in which nothing is above normal
        facts = _motion_facts(motion, evidence.box, shares, True)
    return Reason(tuple(facts), dict(shares))


def _motion_facts(
    motion: SeenMotion, box: Box, shares: Mapping[str, float], moves_most: bool
) -> list[Fact]:
    """Find what of the motion in a box is unlike what usually moves there.

    The most telling comes first; where motion carries the score there is always something.
    """
    cell = cell_that_stands_out(motion, box)
    usual, speeds = usual_at(motion.place, cell), motion.speeds[cell]
    speed, way = float(speeds[SPEED]), direction_of(speeds)
    if speed < STILL and not moves_most:
        return []
    moves = (COMPASS[way], *_speed_in_source(motion, speed))
    if usual.share < HARDLY:
        return [OtherPlace(*moves, usual.share)]
    facts: list[Fact] = []
    fast = Fast(*moves, *_speed_in_source(motion, usual.high))
    least = FASTER if moves_most else ALSO_FASTER
    if speed > least * usual.high:
        facts.append(fast)
    towards = usual.share_towards(way)
    directed, directed_high = float(speeds[DIRECTED][way]), float(usual.directed_high[way])
    if towards < AGAINST:
        against = OtherWay(
            *moves, tuple(COMPASS[direction] for direction in usual.directions), towards
        )
        first = not facts or shares.get(DIRECTION.name, 0) > shares.get(SPEED_PART.name, 0)
        facts.insert(0 if first else 1, against)
    elif not facts and directed > least * directed_high:
        both = *_speed_in_source(motion, directed), *_speed_in_source(motion, directed_high)
        facts.append(FastThatWay(COMPASS[way], *both))
    return facts or [fast] * moves_most


def cell_that_stands_out(motion: SeenMotion, box: Box) -> tuple[int, int]:
    """Find the cell of the place model's grid in a box whose motion is least normal.

    Args:
        motion: of the frame.
        box: (top, left, height, width) in pixels of the source.

    Returns:
        (row, column).
    """
    scale = [cells / side for cells, side in zip(motion.place.grid, motion.size)]
    first = [int(box[axis] * scale[axis]) for axis in (0, 1)]
    last = [math.ceil((box[axis] + box[axis + 2]) * scale[axis]) for axis in (0, 1)]
    quotients = motion.place.quotients_of(motion.speeds).max(0)
    inside = quotients[first[0] : last[0], first[1] : last[1]]
    row, column = divmod(int(inside.argmax()), inside.shape[1])
    return first[0] + row, first[1] + column


def _speed_in_source(motion: SeenMotion, speed: float) -> tuple[float, float | None]:
    """Bring a speed of the working size to pixels of the source, a frame and a second."""
    per_frame = speed * motion.size[1] / working_size(motion.size)[1]
    return per_frame, per_frame * float(motion.fps) if motion.fps else None


def sentence(reason: Reason) -> str:
    """Say in one sentence what stood out, and what is normal there.

    Args:
        reason: of a frame or an event.
    """
    text, moved = "", False
    for fact in reason.facts:
        if isinstance(fact, (OtherLook, Stays)):
            text += ("; " if text else "") + fact.finding()
        elif moved:
            text += ", " + fact.finding().removeprefix("here ")
        else:
            text += ("; " if text else "") + f"{fact.what()}; {fact.finding()}"
            moved = True
    return text


def short(reason: Reason) -> str:
    """Say the same in a few words, for a picture's caption; ASCII.

    Args:
        reason: of a frame or an event.
    """
    return reason.facts[0].short()

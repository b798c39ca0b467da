"""The parts of a score by what they need, and weights for those that judge motion."""

from __future__ import annotations

import math

from mpn.scoring.parts import PARTS

WITHOUT = tuple(part for part in PARTS if not part.needs_place)
MOVING = tuple(part for part in PARTS if not part.needs_static)
WEIGHTS = {"error": 0.5, "pseudo": 0.5, "speed": 0.7, "direction": 1.0}


def counted(quotient: float) -> float:
    """A quotient of motion as it counts: hardly more for being above 1."""
    return quotient if quotient < 1 else 1 + 0.1 * math.log(quotient)

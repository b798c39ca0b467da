"""The parts of a score by what they need, and weights for those that judge motion."""

from __future__ import annotations

from mpn.scoring.parts import PARTS

WITHOUT = tuple(part for part in PARTS if not part.needs_place)
MOVING = tuple(part for part in PARTS if not part.needs_static)
WEIGHTS = {"error": 0.5, "pseudo": 0.5, "speed": 1.0, "direction": 1.0}

"""What a camera was taught, asked: is this normal here, and what is it most like?

Embeddings are compared by their Euclidean distance. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mpn.model.taught import Taught

# Chosen on two generated cameras (benchmarks/results/teach.md): further out, other things go quiet
# with what was taught, and what has no name is given one.
NORMAL_RADIUS = 0.55  # what is so near to a taught normal is normal too
NAME_RADIUS = 0.5  # what is further from every name has none


class Likeness(NamedTuple):
    """What an event is most like.

    Attributes:
        name: that was taught.
        distance: to what was taught under it.
    """

    name: str
    distance: float

    @property
    def words(self) -> str:
        """Say it: "like cyclist (0.21)"."""
        return f"like {self.name} ({self.distance:.2f})"


class Memory:
    """What a camera was taught, ready to be asked.

    Args:
        taught: in any order.

    Attributes:
        normals: float32 (examples, numbers) of what is normal; None where nothing is.
        names: float32 (examples, numbers) by name.
    """

    def __init__(self, taught: Iterable[Taught]) -> None:
        by_name: dict[str, list[np.ndarray]] = {}
        normals = []
        for lesson in taught:
            embeddings = normals if lesson.name is None else by_name.setdefault(lesson.name, [])
            embeddings.append(lesson.embeddings)
        self.normals = np.concatenate(normals) if normals else None
        self.names = {name: np.concatenate(by_name[name]) for name in sorted(by_name)}

    def is_normal(self, embedding: np.ndarray) -> bool:
        """Say whether a region is like something normal that was taught, more than like any name.

        Args:
            embedding: float32 (numbers,).
        """
        if self.normals is None:
            return False
        distance = _to_nearest(self.normals, embedding)
        if distance > NORMAL_RADIUS:
            return False
        return all(distance <= _to_nearest(examples, embedding) for examples in self.names.values())

    def nearest(self, embedding: np.ndarray) -> Likeness | None:
        """Find the name that a region is most like.

        Args:
            embedding: float32 (numbers,).

        Returns:
            None where no name is near enough.
        """
        distances = [
            (_to_nearest(examples, embedding), name) for name, examples in self.names.items()
        ]
        distance, name = min(distances, default=(np.inf, ""))
        return Likeness(name, distance) if distance <= NAME_RADIUS else None


def _to_nearest(examples: np.ndarray, embedding: np.ndarray) -> float:
    return float(np.linalg.norm(examples - embedding, axis=1).min())

"""What a camera was taught, asked: is this normal here, and what is it most like?

Embeddings are compared by their Euclidean distance. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mpn.model.taught import Taught

NORMAL_RADIUS = 0.65  # what is so near to a taught normal is normal too
NAME_RADIUS = 0.8  # what is further from every name has none


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
        for one in taught:
            own = normals if one.name is None else by_name.setdefault(one.name, [])
            own.append(one.embeddings)
        self.normals = np.concatenate(normals) if normals else None
        self.names = {name: np.concatenate(by_name[name]) for name in sorted(by_name)}

    def is_normal(self, embedding: np.ndarray) -> bool:
        """Say whether a region is like something that was taught to be normal.

        Args:
            embedding: float32 (numbers,).
        """
        if self.normals is None:
            return False
        return bool(np.linalg.norm(self.normals - embedding, axis=1).min() <= NORMAL_RADIUS)

    def nearest(self, embedding: np.ndarray) -> Likeness | None:
        """Find the name that a region is most like.

        Args:
            embedding: float32 (numbers,).

        Returns:
            None where no name is near enough.
        """
        distances = [
            (float(np.linalg.norm(own - embedding, axis=1).min()), name)
            for name, own in self.names.items()
        ]
        distance, name = min(distances, default=(np.inf, ""))
        return Likeness(name, distance) if distance <= NAME_RADIUS else None

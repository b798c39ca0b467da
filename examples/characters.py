"""Characters of alphabets that nobody writes: a small image set for few-shot learning, drawn here.

As in Omniglot (Lake et al., Science 2015) there are many classes with twenty items each. A class is
a few Bezier strokes through random points; an item has its points jittered, and is turned, scaled
and moved a little, as if another hand wrote it. No file is read, and a seed gives the same pictures
again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mpn.meta.episodes import EpisodeSampler

SIZE = 28  # pixels
STROKES = (2, 4)  # of a character, from and to
JITTER, TURN, SCALE, MOVE = 0.06, 0.25, 0.15, 0.06  # of a side; radians; relative; of a side
PEN = 0.9  # pixels from the middle of a stroke to its edge
POINTS = 30  # of a curve as it is drawn
QUERIES = 5  # of a class in a task

Batch = tuple[Tensor, Tensor]  # images (n, 1, 28, 28) in [0, 1], and their classes' numbers (n,)


def draw_characters(classes: int, items: int = 20, seed: int = 0) -> np.ndarray:
    """Draw pictures of characters, uint8 (classes, items, 28, 28), ink 255 on 0.

    Args:
        classes: how many characters; the first ones stay the same if there are more.
        items: pictures of each.
        seed: of everything random.
    """
    return np.stack([_draw_class(items, np.random.default_rng((seed, k))) for k in range(classes)])


def _draw_class(items: int, generator: np.random.Generator) -> np.ndarray:
    """Draw items of one new character, uint8 (items, 28, 28)."""
    strokes = generator.integers(STROKES[0], STROKES[1] + 1)
    points = generator.uniform(0.1, 0.9, (strokes, 4, 2))  # control points of cubic curves
    own = points + generator.normal(0, JITTER, (items, strokes, 4, 2))
    angle = generator.normal(0, TURN, items)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn * np.exp(generator.normal(0, SCALE, (2, 1, items)))  # tall and wide ones
    move = 0.5 + generator.normal(0, MOVE, (items, 1, 1, 2))
    own = np.einsum("abi,ispb->ispa", turn, own - 0.5) + move
    t = np.linspace(0, 1, POINTS)[:, None]
    bernstein = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    curves = np.einsum("tp,ispa->aist", bernstein, own).reshape(2, items, 1, -1)
    # Squared distances of columns and rows of pixels to all points of the curves, (items, 28, n).
    centres = (np.arange(SIZE) + 0.5)[:, None]
    across, down = ((centres - SIZE * curves) ** 2).astype(np.float32)
    nearest = np.sqrt((down[:, :, None] + across[:, None]).min(axis=-1))
    return (255 * np.clip(PEN + 0.5 - nearest, 0, 1)).astype(np.uint8)


class Tasks:
    """N-way K-shot tasks of an image set: support and query by a task's number.

    Args:
        images: uint8 (classes, items, 28, 28).
        ways: classes of a task; in it they are numbered from 0.
        shots: support items of each.
        seed: of what is drawn.
    """

    def __init__(self, images: np.ndarray, ways: int, shots: int, seed: int) -> None:
        self.images = torch.from_numpy(images)
        counts = {str(name): len(items) for name, items in enumerate(images)}
        self.sampler = EpisodeSampler(counts, ways=ways, shots=shots, queries=QUERIES, seed=seed)

    def __getitem__(self, number: int) -> tuple[Batch, Batch]:
        """Make task number `number`, from 0 up."""
        episode = self.sampler.episode(number)
        classes = [int(name) for name in episode.ways]
        return self.batch(classes, episode.support), self.batch(classes, episode.query)

    def batch(self, classes: Sequence[int], items: Sequence[Sequence[int]]) -> Batch:
        """Bring some items of some classes together."""
        chosen = self.images[torch.tensor(classes)[:, None], torch.tensor(items)]
        labels = torch.arange(len(classes)).repeat_interleave(chosen.shape[1])
        return chosen.flatten(0, 1)[:, None] / 255, labels

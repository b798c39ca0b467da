"""Batches of windows for training: in which order, and how workers hand them over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import Sampler

from mpn.datasets.windows import Sample

T = TypeVar("T")


def share_of(items: Sequence[T], rank: int, count: int) -> Sequence[T]:
    """Return one of `count` shares of items: they follow each other, and differ by one at most.

    Args:
        items: in the order that the shares have too.
        rank: of the share, from 0.
        count: of shares.
    """
    return items[len(items) * rank // count : len(items) * (rank + 1) // count]


class EpochBatches(Sampler[list[int]]):
    """Batches of one epoch, shuffled by (seed, epoch), from batch `start` on.

    An incomplete last one is left out unless it is the only one.

    Args:
        samples: of the epoch.
        batch_size: of whole batches.
        seed: of the order.
        share: (rank, count): of each batch, only the part that `share_of` gives.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        self.samples, self.batch_size, self.seed = samples, min(batch_size, samples), seed
        self.share = share
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.samples // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.samples).tolist()
        for batch in range(self.start, len(self)):
            whole = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield list(share_of(whole, *self.share))


def stack_samples(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Make a batch of samples, in arrays.

    Workers send arrays through pipes. Tensors go through shared memory, of which there may be very
    little (64 MB in a container).

    Args:
        samples: of one shape.

    Returns:
        What `batch_of` makes a batch of: frames uint8 (B, T + 1, C, H, W), tampered bool (B, H, W).
    """
    frames, tampered = zip(*samples)
    return np.stack(frames), np.stack(tampered)


def batch_of(arrays: tuple[np.ndarray, np.ndarray]) -> Sample:
    """Make a batch of what `stack_samples` gave."""
    return Sample(*map(torch.from_numpy, arrays))

"""Batches of windows for training: in which order, and how workers hand them over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from mpn.datasets.windows import Sample


class EpochBatches(Sampler[list[int]]):
    """Batches of one epoch, shuffled by (seed, epoch), from batch `start` on.

    An incomplete last one is left out unless it is the only one.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self.samples, self.batch_size, self.seed = samples, min(batch_size, samples), seed
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.samples // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.samples).tolist()
        for batch in range(self.start, len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size]


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

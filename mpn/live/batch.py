"""One base network for all cameras, and their windows in one batch of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mpn.model.checkpoint import Checkpoint
from mpn.model.network import Network
from mpn.scoring.detector import Detector
from mpn.scoring.scores import FrameScores
from mpn.scoring.windows import Window, score_windows

Item = TypeVar("Item")
MAX_WINDOWS = 16  # at a time: more are no quicker a window, and take memory


class SharedNetworks:
    """Networks with the same weights, each kept once.

    Camera files of one base differ in their place model, units and threshold; few change the
    network too, and have one of their own then.
    """

    def __init__(self) -> None:
        self._networks: dict[str, Network] = {}

    def shared(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint with the network that others of the same weights have.

        Args:
            checkpoint: as it was read.
        """
        key = _digest(checkpoint.network)
        network = self._networks.setdefault(key, checkpoint.network)
        return replace(checkpoint, network=network)

    def __len__(self) -> int:
        return len(self._networks)


def _digest(network: Network) -> str:
    """Make a digest of a network's configuration and weights."""
    digest = hashlib.sha256(repr(network.config.to_dict()).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def score_together(
    items: Sequence[tuple[Item, Detector, Window]],
) -> list[tuple[Item, FrameScores]]:
    """Score windows of several cameras, those of the same network in one batch.

    Args:
        items: (whatever belongs to it, the camera's model, the window).

    Returns:
        (whatever belongs to it, its scores), in the same order.
    """
    groups: dict[tuple[int, bool], list[int]] = {}
    for number, (_, detector, _) in enumerate(items):
        groups.setdefault((id(detector.network), detector.bfloat16), []).append(number)
    scored: dict[int, FrameScores] = {}
    for numbers in groups.values():
        detector = items[numbers[0]][1]
        device = next(detector.network.parameters()).device
        for first in range(0, len(numbers), MAX_WINDOWS):
            chosen = numbers[first : first + MAX_WINDOWS]
            windows = [items[number][2] for number in chosen]
            scored.update(zip(chosen, score_windows(windows, detector.engine, device)))
    return [(item, scored[number]) for number, (item, _, _) in enumerate(items)]

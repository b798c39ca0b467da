"""Windows of several streams, scored in one batch of a network that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from mpn.model.engines import Engine, output_of
from mpn.scoring.frame_batches import FrameScores, begin, scaled
from mpn.scoring.parts import ScorePart, ScoringBatch, asks_network


class Window(NamedTuple):
    """A frame of any stream, with what it is scored by.

    Attributes:
        frames: the T frames before it and itself, as `ScoringBatch.frames`, uint8 (T + 1, H, W, C);
            itself alone where no part asks the network.
        quotients: float32 (2 or 3, rows, columns), its motion; None where no part needs it.
        parts: those that are wanted.
        patch: side of the patch, see `ScoreConfig`.
    """

    frames: np.ndarray
    quotients: np.ndarray | None
    parts: Sequence[ScorePart]
    patch: int


@torch.inference_mode()
def score_windows(
    windows: Sequence[Window], engine: Engine, device: torch.device
) -> list[FrameScores]:
    """Score frames of several streams, all of them in one batch of the same network.

    Args:
        windows: of frames of the network's size and colour.
        engine: runs the network.
        device: where it lies.

    Returns:
        Of each window, as `score_frames` gives it; frames have the number 0.
    """
    asking = [n for n, window in enumerate(windows) if asks_network(window.parts)]
    # What the network is not asked about stays on the processor, where its motion is.
    here = torch.device("cpu")
    devices = [device if n in asking else here for n in range(len(windows))]
    stacks = [scaled(window.frames, stack_device) for window, stack_device in zip(windows, devices)]
    output = engine(torch.stack([stacks[n][:-1].flatten(0, 1) for n in asking])) if asking else None
    rows = {n: row for row, n in enumerate(asking)}
    begun = []  # all of them before any is waited for
    for numbers in _alike(windows):
        first = windows[numbers[0]]
        row = rows.get(numbers[0])
        window_output = None if output is None or row is None else output_of(output, row)
        frames = np.concatenate([windows[n].frames for n in numbers])
        target = torch.cat([stacks[n][-1:] for n in numbers])
        motion = [quotients for n in numbers if (quotients := windows[n].quotients) is not None]
        batch = ScoringBatch(frames, target, window_output, np.stack(motion) if motion else None)
        begun.append((numbers, begin(batch, first.parts, first.patch, 0)))
    by_number = {
        n: frame_scores for numbers, scores in begun for n, frame_scores in zip(numbers, scores())
    }
    return [replace(by_number[n], frame=0) for n in range(len(windows))]


def _alike(windows: Sequence[Window]) -> list[list[int]]:
    """Put together windows that motion alone judges, in the same way: most of the time is in calls.

    Returns:
        Numbers of windows; those that ask the network are alone.
    """
    groups: dict[Any, list[int]] = {}
    for n, window in enumerate(windows):
        key: Any = n
        if not asks_network(window.parts) and window.quotients is not None:
            names = tuple(part.name for part in window.parts)
            key = names, window.patch, window.quotients.shape, window.frames.shape
        groups.setdefault(key, []).append(n)
    return list(groups.values())

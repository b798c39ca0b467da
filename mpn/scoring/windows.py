"""Windows of several streams, scored in one batch of a network that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    stacks = [scaled(window.frames, device) for window in windows]
    asking = [n for n, window in enumerate(windows) if asks_network(window.parts)]
    output = engine(torch.stack([stacks[n][:-1].flatten(0, 1) for n in asking])) if asking else None
    rows = {n: row for row, n in enumerate(asking)}
    begun = []  # all of them before any is waited for
    for n, window in enumerate(windows):
        own = output_of(output, rows[n]) if output is not None and n in rows else None
        motion = None if window.quotients is None else window.quotients[None]
        batch = ScoringBatch(window.frames, stacks[n][-1:], own, motion)
        begun.append(begin(batch, window.parts, window.patch, 0))
    return [one for scores in begun for one in scores()]

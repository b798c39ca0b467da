"""Batches of frames scored: begun on the network's device, and read when they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mpn.model.transfer import on_device, on_host
from mpn.scoring.parts import ScorePart, ScoringBatch, column_names, diagnostics_of
from mpn.scoring.patches import PATCH_STEP, patch_centres, patch_means


@dataclass
class FrameScores:
    """Raw scores of one frame.

    Attributes:
        frame: index from 0.
        parts: the number of each part and each diagnostic, by column name; see
            `mpn.scoring.parts` for their directions.
        maps: part -> float32 (h, w) on the patch grid: the mean over the patch at each position.
        quotients: what the parts that need a place model are made of, see `ScoringBatch`; None
            without one.
    """

    frame: int
    parts: dict[str, float]
    maps: dict[str, np.ndarray]
    quotients: np.ndarray | None = None


def in_batches(
    frames: Iterable[np.ndarray], window: int, size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Give so many frames at a time, each time with the T before them, and the first one's number.

    Args:
        frames: (H, W, C) each, in order.
        window: T.
        size: frames at a time; the last time fewer.

    Yields:
        The number, and (T + size, H, W, C).
    """
    source = iter(frames)
    before, first = list(islice(source, window)), window
    while fresh := list(islice(source, size)):
        shown = [*before, *fresh]
        yield first, np.stack(shown)
        before, first = shown[-window:], first + len(fresh)


def scaled(frames: np.ndarray, device: torch.device) -> Tensor:
    """Bring frames uint8 (B, H, W, C) to what a network takes, float32 (B, C, H, W) in [-1, 1]."""
    return on_device(frames, device).permute(0, 3, 1, 2).float() / 127.5 - 1


def unseen(frames: np.ndarray) -> Tensor:
    """Stand in for `scaled` frames that no part looks at: of their size, without values."""
    count, height, width, channels = frames.shape
    return torch.empty((count, channels, height, width), device="meta")


def windows_in(stack: Tensor, window: int, every: int = 1) -> Tensor:
    """Cut the windows before each frame out of a stack, in one copy.

    Args:
        stack: (T + N, C, H, W).
        window: T.
        every: only those before every so many-th frame, from the first one on.

    Returns:
        (ceil(N / every), T * C, H, W), oldest frame first, channels last in memory.
    """
    count = -(-(len(stack) - window) // every)
    cut = stack.unfold(0, window, every)[:count]  # (count, C, H, W, T)
    return cut.permute(0, 2, 3, 4, 1).contiguous().flatten(3).permute(0, 3, 1, 2)


def begin_held(
    batch: ScoringBatch, parts: Sequence[ScorePart], patch: int, first: int, every: int
) -> Callable[[], list[FrameScores]]:
    """Begin the scores of a batch whose output is of every so many-th of its frames.

    Args:
        batch: see `begin`; its output is of the frames that the network was asked about.
        parts: see `begin`.
        patch: see `begin`.
        first: see `begin`.
        every: the network was asked about every so many-th frame, the first one included.
    """
    sampled = replace(batch, target=batch.target[::every], quotients=None)
    network = begin(sampled, [part for part in parts if not part.needs_place], patch, 0)
    others = replace(batch, output=None)
    moving = begin(others, [part for part in parts if part.needs_place], patch, first)
    columns = column_names(parts)

    def scores() -> list[FrameScores]:
        held, results = network(), []
        for number, motion_scores in enumerate(moving()):
            network_scores = held[number // every]
            numbers = network_scores.parts | motion_scores.parts
            in_order = {name: numbers[name] for name in columns}
            results.append(
                replace(
                    motion_scores, parts=in_order, maps=network_scores.maps | motion_scores.maps
                )
            )
        return results

    return scores


def begin(
    batch: ScoringBatch, parts: Sequence[ScorePart], patch: int, first: int
) -> Callable[[], list[FrameScores]]:
    """Begin the scores of a batch.

    Everything that the device has to do is asked for here, and fetched in one transfer.

    Args:
        batch: frames and what the network makes of them.
        parts: those that are wanted.
        patch: see `mpn.scoring.scores.ScoreConfig`.
        first: number of the batch's first frame.

    Returns:
        What waits for the scores and gives them, a frame each.
    """
    size = (batch.target.shape[2], batch.target.shape[3])
    maps = {part.name: _patch_grid(part, part.map_of(batch), size, patch) for part in parts}
    numbers = {name: grid.amax(dim=(1, 2)) for name, grid in maps.items()}
    numbers |= {column.name: column.value_of(batch) for column in diagnostics_of(parts)}
    fetched = on_host(
        {f"map {name}": grid for name, grid in maps.items()}
        | {f"number {name}": number for name, number in numbers.items()}
    )
    place_numbers = {part.name: part.number_of(batch) for part in parts if part.number_of}
    count, quotients = len(batch.target), batch.quotients

    def scores() -> list[FrameScores]:
        arrays = fetched()
        values = {
            name: arrays[f"number {name}"].astype(np.float64) for name in numbers
        } | place_numbers
        return [
            FrameScores(
                first + i,
                {name: float(value[i]) for name, value in values.items()},
                {name: arrays[f"map {name}"][i] for name in maps},
                None if quotients is None else quotients[i],
            )
            for i in range(count)
        ]

    return scores


def _patch_grid(part: ScorePart, values: Tensor, size: tuple[int, int], patch: int) -> Tensor:
    """Bring a part's map to the patch grid; where it is smaller than the frames, so are patches.

    A part with a number of its own is not averaged over patches: it has done what averaging it
    needs, and more would only wash out where things are.
    """
    if part.number_of:
        return patch_centres(values, size, patch, PATCH_STEP)
    factor = size[0] // values.shape[1]
    return patch_means(values, max(patch // factor, 1), max(PATCH_STEP // factor, 1))

"""The registry of score parts: what the score is made of, and the columns that stand beside it.

A part makes a map of a frame; its number is the largest mean over a square patch of that map. To
add one, write the function of its map and add a `ScorePart` to `PARTS`: scoring, calibration,
command line, tables and reports iterate over it. Models made before a part was there are scored
without it, see `mpn.scoring.scores.ScoreConfig.from_dict`. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from mpn.model.network import Network
    from mpn.model.output import Output

# An exact prediction has no PSNR; this is that of one grey level in one of a million pixels, near
# enough.
HIGHEST_PSNR = 100.0


@dataclass(frozen=True)
class ScoringBatch:
    """What a part may look at: B frames, each with the window of T frames before it.

    Attributes:
        frames: the source's frames, fitted to the network, in order, uint8 (T + B, H, W, C): the
            window of target i is `frames[i : i + T]`, the target itself `frames[T + i]`.
        target: the last B of them, float32 (B, C, H, W) in [-1, 1], on the network's device.
        output: what the network makes of the B windows.
    """

    frames: np.ndarray
    target: Tensor
    output: Output

    @cached_property
    def difference(self) -> Tensor:
        """Return |prediction - target| / 2, float32 (B, C, H, W) in [0, 1]."""
        return (self.output.prediction.float() - self.target).abs() / 2


@dataclass(frozen=True, kw_only=True)
class Column:
    """A number a frame that scoring gives, by its name in files.

    Attributes:
        name: in scores.csv, metrics.json, checkpoints and options.
        title: for people, in tables, reports and help texts.
        direction: of what is more anomalous, "higher" or "lower" numbers.
    """

    name: str
    title: str
    direction: Literal["higher", "lower"] = "higher"

    @property
    def label(self) -> str:
        """Return the title of the number, for tables of columns."""
        return self.title


@dataclass(frozen=True, kw_only=True)
class ScorePart(Column):
    """A part of the score.

    Attributes:
        default_weight: in the score, in units of normal frames; 0 leaves it out unless asked for.
        map_of: gives the map of every frame of a batch, float32 (B, h, w), higher = more
            anomalous; h and w are the frame's, or a whole number of times smaller.
        available: says whether a network has what the part needs.
    """

    default_weight: float
    map_of: Callable[[ScoringBatch], Tensor]
    available: Callable[[Network], bool] = lambda network: True

    @property
    def label(self) -> str:
        """Return the title of the number, for tables of columns."""
        return f"largest patch, {self.title}"


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Column):
    """A column that stands beside the parts and carries no weight.

    Attributes:
        value_of: gives the number of every frame of a batch, (B,).
    """

    value_of: Callable[[ScoringBatch], Tensor]


def _error_map(batch: ScoringBatch) -> Tensor:
    return batch.difference.mean(dim=1)


def _pseudo_map(batch: ScoringBatch) -> Tensor:
    logits = batch.output.pseudo_logits
    if logits is None:
        raise ValueError("the network has no pseudo-anomaly head")
    return logits.float().sigmoid()


def _psnr(batch: ScoringBatch) -> Tensor:
    mse = batch.difference.square().mean(dim=(1, 2, 3)).clamp_min(10 ** (-HIGHEST_PSNR / 10))
    return -10 * mse.log10()


def _compactness(batch: ScoringBatch) -> Tensor:
    return batch.output.compactness.float().mean(dim=(1, 2))


ERROR = ScorePart(name="error", title="absolute error", default_weight=1.0, map_of=_error_map)
PSEUDO = ScorePart(
    name="pseudo",
    title="pseudo-anomaly head",
    default_weight=1.0,
    map_of=_pseudo_map,
    available=lambda network: network.pseudo_head is not None,
)
PSNR = Diagnostic(name="psnr_db", title="PSNR", direction="lower", value_of=_psnr)
COMPACTNESS = Diagnostic(name="compactness", title="compactness", value_of=_compactness)

PARTS: tuple[ScorePart, ...] = (ERROR, PSEUDO)
DIAGNOSTICS: tuple[Diagnostic, ...] = (PSNR, COMPACTNESS)
COLUMNS: tuple[Column, ...] = (*PARTS, *DIAGNOSTICS)

PART_NAMES: tuple[str, ...] = tuple(part.name for part in PARTS)
LABELS: dict[str, str] = {column.name: column.label for column in COLUMNS}


def parts_of(network: Network) -> tuple[ScorePart, ...]:
    """List the parts that a network can give, in the order of the registry.

    Args:
        network: it is asked what it has.
    """
    return tuple(part for part in PARTS if part.available(network))


def column_names(parts: Iterable[ScorePart]) -> list[str]:
    """Name the columns of a scoring: these parts, then the diagnostics.

    Args:
        parts: those that are scored.
    """
    return [column.name for column in (*parts, *DIAGNOSTICS)]

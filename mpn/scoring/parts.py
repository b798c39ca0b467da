"""The registry of score parts: what the score is made of, and the columns that stand beside it.

A part makes a map of a frame; its number is the largest mean over a square patch of that map, or
what the part says. A part may look at the network's output, or at the motion of the source's frames
against the camera's place model. To add one, write the function of its map and add a `ScorePart` to
`PARTS`: scoring, calibration, command line, tables and reports iterate over it. Models made before
a part was there are scored without it, see `mpn.scoring.scores.ScoreConfig.from_dict`. Imports no
torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from mpn.motion.cameras import judge_static
from mpn.motion.place import LARGEST, PlaceModel, frame_number

if TYPE_CHECKING:
    from torch import Tensor

    from mpn.model.network import Network
    from mpn.model.output import ScoringOutput

# An exact prediction has no PSNR; this is that of one grey level in one of a million pixels, near
# enough.
HIGHEST_PSNR = 100.0
# Motion counts by its logarithm: twice the usual speed is as far from it as half. What moves less
# than this share of the normal counts as this much.
MIN_QUOTIENT = 0.2
# What moves faster than normal is not normal; how much faster says little, as a flow that is led
# astray is faster than any runner. Above 1 a quotient grows by this share of its logarithm.
ABOVE_NORMAL = 0.1


@dataclass(frozen=True)
class ScoringBatch:
    """What a part may look at: B frames, each with the window of T frames before it.

    Attributes:
        frames: the source's frames, fitted to the network, in order, uint8 (T + B, H, W, C): the
            window of frame i is `frames[i : i + T]`, the frame itself `frames[T + i]`.
        target: the last B of them, or every so many-th of those where the network is not asked
            about all, float32 (B, C, H, W) in [-1, 1], on the network's device.
        output: what the network makes of the B windows; None where no part asks for it.
        quotients: float32 (B, 2 or 3, rows, columns), the motion of each target by what is normal
            there, and for how long changes have stayed, see `mpn.motion.cameras.PlaceStream`; None
            without a place model.
    """

    frames: np.ndarray
    target: Tensor
    output: ScoringOutput | None
    quotients: np.ndarray | None = None

    @cached_property
    def difference(self) -> Tensor:
        """Return |prediction - target| / 2, float32 (B, C, H, W) in [0, 1]."""
        return (_output(self).prediction.float() - self.target).abs() / 2


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
            anomalous, on the network's device or the processor; h and w are the frame's, or a whole
            number of times smaller; of parts with a number of their own, any.
        place_weight: the same of models that know their camera's place model, and were trained
            there.
        elsewhere_weight: the same of those that know it, but were trained on other cameras.
        number_of: gives the number of every frame of a batch, (B,); default: the largest mean over
            a patch of the map.
        available: says whether a network has what the part needs.
        needs_place: whether it needs a place model, and motion with it, which costs time: it is
            left out where its weight is 0.
        needs_static: whether that has to know what stays in the camera's picture.
    """

    default_weight: float
    map_of: Callable[[ScoringBatch], Tensor]
    place_weight: float = 0.0
    elsewhere_weight: float = 0.0
    number_of: Callable[[ScoringBatch], np.ndarray] | None = None
    available: Callable[[Network], bool] = lambda network: True
    needs_place: bool = False
    needs_static: bool = False

    @property
    def label(self) -> str:
        """Return the title of the number, for tables of columns."""
        return self.title if self.number_of else f"largest patch, {self.title}"


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Column):
    """A column that stands beside the parts and carries no weight.

    Attributes:
        value_of: gives the number of every frame of a batch, (B,).
    """

    value_of: Callable[[ScoringBatch], Tensor]


def _output(batch: ScoringBatch) -> ScoringOutput:
    if batch.output is None:
        raise ValueError("the network was not asked")
    return batch.output


def _error_map(batch: ScoringBatch) -> Tensor:
    return batch.difference.mean(dim=1)


def _pseudo_map(batch: ScoringBatch) -> Tensor:
    logits = _output(batch).pseudo_logits
    if logits is None:
        raise ValueError("the network has no pseudo-anomaly head")
    return logits.float().sigmoid()


def _tamed(quotients: np.ndarray) -> np.ndarray:
    """Let quotients of motion grow hardly beyond 1, float32 of the same shape."""
    above = np.log(np.maximum(quotients, np.float32(1)))
    return np.minimum(quotients, np.float32(1)) + np.float32(ABOVE_NORMAL) * above


def _counted(channel: int, quotients: np.ndarray) -> np.ndarray:
    """Give the quotients of a channel as they count: seconds that a change stays as they are."""
    return _tamed(quotients) if channel < len(MOTION_PARTS) else quotients


def _number(channel: int, quotients: np.ndarray, largest: int) -> float:
    return math.log(max(frame_number(_counted(channel, quotients), largest), MIN_QUOTIENT))


def motion_numbers(quotients: np.ndarray) -> dict[str, float]:
    """Compute the numbers of the parts that judge by a place model, without a network.

    Args:
        quotients: float32 (2 or 3, rows, columns), see `mpn.motion.cameras.PlaceStream`.

    Returns:
        Part -> number, of as many parts as there are channels.
    """
    return {
        name: _number(channel, values, LARGEST_OF[name])
        for channel, (name, values) in enumerate(zip(LARGEST_OF, quotients))
    }


def _place_part(
    channel: int, name: str, title: str, place_weight: float, *, needs_static: bool = False
) -> ScorePart:
    """Make the part of one channel of the quotients."""

    def quotients(batch: ScoringBatch) -> np.ndarray:
        if batch.quotients is None or batch.quotients.shape[1] <= channel:
            raise ValueError(f"there is no place model for {name}")
        return batch.quotients[:, channel]

    def map_of(batch: ScoringBatch) -> Tensor:
        import torch

        counted = _counted(channel, quotients(batch))
        cells = np.log(np.maximum(counted, np.float32(MIN_QUOTIENT)))
        # On the processor, whatever the network's device: it came from there, and goes back there.
        return torch.from_numpy(cells)

    def number_of(batch: ScoringBatch) -> np.ndarray:
        return np.array([_number(channel, cells, LARGEST_OF[name]) for cells in quotients(batch)])

    return ScorePart(
        name=name,
        title=title,
        default_weight=0.0,
        place_weight=place_weight,
        elsewhere_weight=place_weight,
        map_of=map_of,
        number_of=number_of,
        needs_place=True,
        needs_static=needs_static,
    )


def _psnr(batch: ScoringBatch) -> Tensor:
    mse = batch.difference.square().mean(dim=(1, 2, 3)).clamp_min(10 ** (-HIGHEST_PSNR / 10))
    return -10 * mse.log10()


def _compactness(batch: ScoringBatch) -> Tensor:
    return _output(batch).compactness.float().mean(dim=(1, 2))


ERROR = ScorePart(
    name="error",
    title="absolute error",
    default_weight=1.0,
    place_weight=0.5,
    elsewhere_weight=0.25,
    map_of=_error_map,
)
PSEUDO = ScorePart(
    name="pseudo",
    title="pseudo-anomaly head",
    default_weight=1.0,
    place_weight=0.5,
    map_of=_pseudo_map,
    available=lambda network: network.pseudo_head is not None,
)
SPEED = _place_part(0, "speed", "speed for its place", 0.7)
DIRECTION = _place_part(1, "direction", "speed for its place and direction", 1.0)
# Some minutes of a new camera hardly show for how long things stay there
# (benchmarks/results/static_choices.md, "What minutes of a camera say").
STAYS = replace(
    _place_part(2, "stays", "a change that stays", 0.5, needs_static=True), elsewhere_weight=0.25
)
# The number of a frame is of so many cells: what moves is larger than what is put down.
LARGEST_OF = {SPEED.name: LARGEST, DIRECTION.name: LARGEST, STAYS.name: 2}
PSNR = Diagnostic(name="psnr_db", title="PSNR", direction="lower", value_of=_psnr)
COMPACTNESS = Diagnostic(name="compactness", title="compactness", value_of=_compactness)

PARTS: tuple[ScorePart, ...] = (ERROR, PSEUDO, SPEED, DIRECTION, STAYS)
DIAGNOSTICS: tuple[Diagnostic, ...] = (PSNR, COMPACTNESS)
COLUMNS: tuple[Column, ...] = (*PARTS, *DIAGNOSTICS)

MOTION_PARTS: tuple[str, ...] = (SPEED.name, DIRECTION.name)
PLACE_PARTS: tuple[str, ...] = tuple(part.name for part in PARTS if part.needs_place)
PART_NAMES: tuple[str, ...] = tuple(part.name for part in PARTS)
LABELS: dict[str, str] = {column.name: column.label for column in COLUMNS}


def parts_of(
    network: Network, *, place: bool = False, static: bool = False
) -> tuple[ScorePart, ...]:
    """List the parts that a model can give, in the order of the registry.

    Args:
        network: it is asked what it has.
        place: whether the model knows its camera's place model.
        static: whether that knows what stays in the picture.
    """
    return tuple(
        part
        for part in PARTS
        if part.available(network)
        and (place or not part.needs_place)
        and (static or not part.needs_static)
    )


def given_parts(network: Network, places: Mapping[str, PlaceModel]) -> tuple[ScorePart, ...]:
    """List the parts that a network gives with place models.

    Args:
        network: it is asked what it has.
        places: by the camera's name; they are asked what they know.
    """
    return parts_of(network, place=bool(places), static=judge_static(places))


def used_parts(
    network: Network,
    places: Mapping[str, PlaceModel],
    weights: Mapping[str, float],
    normal: Container[str],
) -> tuple[ScorePart, ...]:
    """List the parts that a model can give, less those that nobody asks for.

    Those are the ones without weight that its normal footage was not scored with, as there are no
    units for them, and those that cost time: of place, and of the network where none of its parts
    has a weight.

    Args:
        network: of the model.
        places: of its cameras.
        weights: part -> its weight in the score.
        normal: names of the parts that its normal footage was scored with; empty for any.
    """
    possible = given_parts(network, places)
    network_runs = asks_network([part for part in possible if weights[part.name]])
    return tuple(
        part
        for part in possible
        if weights[part.name]
        or (network_runs and not part.needs_place and (not normal or part.name in normal))
    )


def asks_network(parts: Iterable[ScorePart]) -> bool:
    """Say whether any of these parts looks at the network's output.

    Args:
        parts: those that are scored.
    """
    return any(not part.needs_place for part in parts)


def column_names(parts: Sequence[ScorePart]) -> list[str]:
    """Name the columns of a scoring: these parts, then the diagnostics, which are the network's.

    Args:
        parts: those that are scored.
    """
    return [column.name for column in (*parts, *diagnostics_of(parts))]


def diagnostics_of(parts: Iterable[ScorePart]) -> tuple[Diagnostic, ...]:
    """List the diagnostics that stand beside these parts: none where the network is not asked.

    Args:
        parts: those that are scored.
    """
    return DIAGNOSTICS if asks_network(parts) else ()

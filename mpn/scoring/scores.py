"""Maps and scores of windows, one frame at a time: memory does not grow with a video's length.

The region score (PROTOCOL section 1) is made of the parts of `mpn.scoring.parts`, each the largest
mean of its map over a square patch. Each is put in units of normal frames (mean 0, deviation 1 on
held-out normal footage) and weighted; see `combine`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import torch

from mpn.errors import MpnError
from mpn.model.device import enough_memory
from mpn.model.engines import Engine, TorchEngine
from mpn.model.network import Network
from mpn.scoring.frame_batches import (
    FrameScores,
    begin,
    begin_held,
    in_batches,
    scaled,
    unseen,
    windows_in,
)
from mpn.scoring.parts import (
    PART_NAMES,
    PARTS,
    PLACE_PARTS,
    ScorePart,
    ScoringBatch,
    asks_network,
    parts_of,
)
from mpn.scoring.patches import PATCH_STEP
from mpn.scoring.regions import patches_box

# Windows that go through the network at a time: a GPU is idle with few. On a processor 8 are a
# fifth quicker than 4, and 16 hardly quicker than 8 (docs/results.md, "What scoring costs").
BATCH_SIZE, GPU_BATCH_SIZE = 8, 32
WEIGHT_SUFFIX = "_score_weight"  # of a part's weight in files
EARLIER_SUFFIX = "_weight"  # the same in files of earlier versions
# Where motion counts: the power of parts; so much of their sum, by which frames below normal differ
# still; and from about how many deviations on a part of the network grows by its logarithm.
OUTSTANDING, BELOW, KNEE = 4, 0.01, 4.0
# A part of the network counts less from the first to the second of these shares of the picture that
# it finds more unlike normal than a frame's highest patch usually is, by a deviation.
EVERYWHERE = (0.1, 0.2)


@dataclass(frozen=True)
class ScoreConfig:
    """How the parts make the score.

    Attributes:
        patch: side of the square patch, pixels of the network's frame.
        weights: part -> weight, in units of normal frames; 0 leaves one out. Parts that are not
            named have their default weight.
        smoothing: weight of the newest frame in the causal exponential mean; 1 for none.
    """

    patch: int = 16
    weights: Mapping[str, float] = field(default_factory=dict)
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(PART_NAMES))
        if unknown:
            raise MpnError(f"weights of {unknown}: the parts are {', '.join(PART_NAMES)}")
        weights = {part.name: self.weights.get(part.name, part.default_weight) for part in PARTS}
        object.__setattr__(self, "weights", weights)
        fits = isinstance(self.patch, int) and self.patch >= PATCH_STEP
        if not fits or not all(0 <= weight < np.inf for weight in weights.values()):
            raise MpnError(
                f"{self}: a patch of {PATCH_STEP} pixels or more and weights from 0 up were needed"
            )
        if not any(weights.values()):
            raise MpnError(
                f"all weights of the score are 0: one of {', '.join(weights)} has to count"
            )
        if not 0 < self.smoothing <= 1:
            raise MpnError(
                f"smoothing is {self.smoothing}: a weight above 0, at most 1, was expected"
            )

    def to_dict(self) -> dict[str, float]:
        """Give plain numbers, ready for JSON: patch, PART_score_weight of each part, smoothing."""
        weights = {f"{name}{WEIGHT_SUFFIX}": weight for name, weight in self.weights.items()}
        return {"patch": self.patch, **weights, "smoothing": self.smoothing}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreConfig:
        """Read what `to_dict` gave, of this version or of an earlier one (PART_weight).

        What is missing has its default; but where any weight is named, parts that are not named
        weigh 0: they were not there when the values were written.

        Args:
            values: name -> value.

        Raises:
            KeyError: unknown entries.
            TypeError: values of another type.
            MpnError: values out of range.
        """
        names = {f"{name}{EARLIER_SUFFIX}": name for name in PART_NAMES}
        names |= {f"{name}{WEIGHT_SUFFIX}": name for name in PART_NAMES}
        unknown = set(values) - set(names) - {"patch", "smoothing"}
        if unknown:
            raise KeyError(*sorted(unknown))
        weights = {names[key]: value for key, value in values.items() if key in names}
        if weights:
            weights = dict.fromkeys(PART_NAMES, 0.0) | weights
        others = {key: value for key, value in values.items() if key not in names}
        return cls(weights=weights, **others)

    def with_place(self, *, trained_here: bool, static: bool = False) -> ScoreConfig:
        """Give the config of a model that has learned its camera's place model.

        Weights that differ from the defaults keep their ratio to them. Weights that count motion
        already stay, but a network that was not trained on the camera weighs no more than it may.

        Args:
            trained_here: the network was trained on this camera, or adapted to it.
            static: the place model knows what stays; else that weighs nothing.
        """
        judged = any(self.weights[part.name] for part in PARTS if part.needs_place)
        weights = {}
        for part in PARTS:
            weight, place_weight = self.weights[part.name], part.place_weight
            if not trained_here:
                place_weight = part.elsewhere_weight
            if judged:
                weights[part.name] = weight if trained_here else min(weight, place_weight)
            else:
                usual = part.default_weight
                weights[part.name] = place_weight * (weight / usual if usual else 1.0)
            if part.needs_static and not static:
                weights[part.name] = 0.0
        return replace(self, weights=weights)

    def of_place_alone(self) -> ScoreConfig:
        """Give the config of a score in which the network has no say."""
        weights = {
            part.name: self.weights[part.name] if part.needs_place else 0.0 for part in PARTS
        }
        return replace(self, weights=weights)

    def without_place(self) -> ScoreConfig:
        """Give the config of a model that knows no place: what `with_place` came from."""
        if not any(self.weights[part.name] for part in PARTS if part.needs_place):
            return self
        weights = {
            part.name: part.default_weight * self.weights[part.name] / (part.place_weight or 1.0)
            for part in PARTS
        }
        return replace(self, weights=weights)

    def weights_of(self, parts: Iterable[ScorePart]) -> dict[str, float]:
        """Pick the weights of these parts.

        Args:
            parts: those wanted.

        Returns:
            Part -> weight.
        """
        return {part.name: self.weights[part.name] for part in parts}


@torch.inference_mode()
def score_frames(
    network: Network,
    frames: Iterable[np.ndarray],
    *,
    parts: Sequence[ScorePart] | None = None,
    quotients: Callable[[int], np.ndarray] | None = None,
    patch: int = 16,
    batch_size: int | None = None,
    engine: Engine | None = None,
    network_every: int = 1,
) -> Iterator[FrameScores]:
    """Score every frame that has T frames before it.

    Args:
        network: scores in the mode for evaluation, where it lies; it is not run where no part asks
            for its output.
        frames: uint8 (H, W, C) of the network's size and colour, in order; what they show is not
            looked at where no part asks for the network's output.
        parts: those that are wanted; default: all that can be given.
        quotients: gives the motion of frame number n (from T on, in order) by what is normal at its
            place, see `ScoringBatch`; for parts that need it.
        patch: side of the patch, see `ScoreConfig`.
        batch_size: windows at a time, default: as `usual_batch` says; results come in steps of so
            many frames, times `network_every`. On a GPU a batch is begun before the results of the
            one before are given, so that neither side waits for the other.
        engine: runs the network; default: PyTorch, in float32.
        network_every: the network is asked about every so many-th of these frames; the others have
            what it said of the one before.

    Yields:
        FrameScores for frames T, T + 1, ...

    Raises:
        MpnError: the GPU has not enough memory for a batch.
    """
    window = network.config.window
    device = next(network.parameters()).device
    engine = engine or TorchEngine(network)
    parts = parts_of(network, place=quotients is not None) if parts is None else parts
    moving, needs_network = any(part.needs_place for part in parts), asks_network(parts)
    batch_size = batch_size or usual_batch(device)
    begun: deque[Callable[[], list[FrameScores]]] = deque()
    most = 0 if device.type == "cpu" else 1  # batches that are computed while others are read
    for first, shown in in_batches(frames, window, batch_size * network_every):
        with enough_memory(f"a batch of {batch_size} windows", "give a smaller --batch-size"):
            stack = scaled(shown, device) if needs_network else unseen(shown)
            output = engine(windows_in(stack, window, network_every)) if needs_network else None
            motion = None
            if moving and quotients is not None:
                numbers = range(first, first + len(shown) - window)
                motion = np.stack([quotients(number) for number in numbers])
            batch = ScoringBatch(shown, stack[window:], output, motion)
            if network_every == 1 or not needs_network:
                begun.append(begin(batch, parts, patch, first))
            else:
                begun.append(begin_held(batch, parts, patch, first, network_every))
        if len(begun) > most:
            yield from begun.popleft()()
    while begun:
        yield from begun.popleft()()


def usual_batch(device: torch.device) -> int:
    """Return how many windows go through the network at a time, unless told otherwise.

    Args:
        device: of the network.
    """
    return BATCH_SIZE if device.type == "cpu" else GPU_BATCH_SIZE


def region(
    grid: np.ndarray, patch: int, size: tuple[int, int], source: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Find the box of a patch grid's largest value.

    Args:
        grid: (h, w) patch means.
        patch: their side in the network's frame.
        size: (height, width) of that frame.
        source: (height, width) of the frames that were resized to `size`.

    Returns:
        (top, left, height, width) in pixels of the source.
    """
    position = [int(index) for index in np.unravel_index(int(grid.argmax()), grid.shape)]
    return patches_box(grid.shape, position, position, patch, size, source)


def combine(
    parts: Mapping[str, np.ndarray] | Mapping[str, float],
    weights: Mapping[str, float],
    normal: Mapping[str, tuple[float, float]],
) -> np.ndarray:
    """Make one number of weighted parts, or one map of their maps, in units of normal frames.

    The network's two parts see the same picture with different noise: alone they are summed up.
    Motion sees what they don't, and they what it doesn't: an object thrown through the air is
    hardly faster than a walker, a runner well predicted. Where motion counts, the result is a soft
    maximum of what is above normal (the `OUTSTANDING`-norm), so that a part that stands out is not
    voted down by others that see nothing (benchmarks/results/motion_choices.md has both, on the
    choice set).

    Args:
        parts: name -> arrays of one shape (numbers too).
        weights: of each part that counts.
        normal: mean and deviation of each part on normal frames.

    Returns:
        float64 of the parts' shape; about 0 for an average normal frame.
    """
    weighted = weighted_parts(parts, weights, normal)
    each = list(weighted.values()) or [np.zeros(np.shape(next(iter(parts.values()))))]
    total = reduce(np.add, each)
    if not weighted.keys() & set(PLACE_PARTS):
        return total
    powers = [np.maximum(values, 0) ** OUTSTANDING for values in each]
    return reduce(np.add, powers) ** (1 / OUTSTANDING) + BELOW * total


def trusted_weights(
    maps: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    normal: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """Take weight off parts of the network that see an anomaly all over the picture.

    What is unlike normal everywhere is the light, the weather or a camera that shakes, and the
    network knows neither: where motion is judged by place, it goes on alone. Motion all over the
    picture may be a crowd that runs, and counts (benchmarks/results/motion_choices.md,
    "Everywhere").

    Args:
        maps: part -> (h, w), of one frame.
        weights: of each part that counts.
        normal: mean and deviation of each part on normal frames.

    Returns:
        Part -> weight, at most as given.
    """
    trusted = dict(weights)
    if not any(trusted.get(name) for name in PLACE_PARTS):
        return trusted
    for name, weight in weights.items():
        if weight and name not in PLACE_PARTS:
            mean, deviation = normal[name]
            share = float((maps[name] > mean + deviation).mean())
            lowest, highest = EVERYWHERE
            trusted[name] = weight * min(max((highest - share) / (highest - lowest), 0.0), 1.0)
    return trusted


def shares_of(weighted: Mapping[str, float]) -> dict[str, float]:
    """Compute how much of the score each part carries, as `combine` makes it of them.

    Args:
        weighted: part -> its number, as `weighted_parts` gives it.

    Returns:
        Part -> share, together 1; all 0 where no part is above normal.
    """
    power = OUTSTANDING if weighted.keys() & set(PLACE_PARTS) else 1
    above = {name: max(value, 0.0) ** power for name, value in weighted.items()}
    total = sum(above.values())
    return {name: value / total if total else 0.0 for name, value in above.items()}


def deviations(
    parts: Mapping[str, np.ndarray] | Mapping[str, float],
    names: Iterable[str],
    normal: Mapping[str, tuple[float, float]],
) -> dict[str, np.ndarray]:
    """Bring the named parts to units of normal frames, float64; see `combine` for the arguments."""
    return {
        name: (np.asarray(parts[name], np.float64) - normal[name][0]) / normal[name][1]
        for name in names
    }


def weighted_parts(
    parts: Mapping[str, np.ndarray] | Mapping[str, float],
    weights: Mapping[str, float],
    normal: Mapping[str, tuple[float, float]],
) -> dict[str, np.ndarray]:
    """Weigh parts in units of normal frames; see `combine` for the arguments.

    A head that is sure of normal frames goes to 70 of their deviations where motion, of logarithms
    already, goes to 10, and is no surer of the anomaly. So beside motion the network's parts grow
    by their logarithm beyond `KNEE` (benchmarks/results/small_choices.md, "Too sure").

    Returns:
        Part -> float64 of the parts' shape; those without weight are left out.
    """
    above = deviations(parts, [name for name, weight in weights.items() if weight], normal)
    if above.keys() & set(PLACE_PARTS):
        for name in above.keys() - set(PLACE_PARTS):
            above[name] = np.sign(above[name]) * KNEE * np.log1p(np.abs(above[name]) / KNEE)
    return {name: weights[name] * values for name, values in above.items()}


def same_grid(maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cut the patch grids of parts to the part that they have in common.

    They differ by a row or column where the network is narrower inside.

    Args:
        maps: part -> (h, w).
    """
    height, width = (min(grid.shape[axis] for grid in maps.values()) for axis in (0, 1))
    return {name: grid[:height, :width] for name, grid in maps.items()}

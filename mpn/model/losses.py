"""The loss terms: a registry of them, and how much each weighs in a training.

All are means, so that they don't depend on batch or frame size. A term is added here and nowhere
else: its function, and its line in `LOSS_TERMS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mpn.errors import MpnError
from mpn.model.output import Output

# Share of a training in which terms that were left for later rise to their weight.
RISE = 0.1


def frame_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error of the predicted frame (Lv et al. 2021, eq. 8).

    Args:
        prediction: (B, C, H, W) in [-1, 1].
        target: the same.
    """
    return F.mse_loss(prediction, target)


def untampered_loss(prediction: Tensor, target: Tensor, tampered: Tensor | None) -> Tensor:
    """Compute `frame_loss` with nothing asked where the window was tampered with. Ours.

    The true frame behind a pasted object, or a speed-up, does not follow from what the network is
    shown. Asked for it all the same, it spends most of its loss there, and best repeats the last
    frame everywhere (benchmarks/results/small_choices.md).

    Args:
        prediction: (B, C, H, W) in [-1, 1].
        target: the same.
        tampered: (B, H, W) bool or 0/1; None where nothing was.
    """
    if tampered is None:
        return frame_loss(prediction, target)
    untampered = tampered.unsqueeze(1) == 0
    return ((prediction - target).square() * untampered).mean()


def compactness_loss(output: Output) -> Tensor:
    """Compute how far queries are from their most-assigned prototypes (Lv et al. 2021, eq. 9).

    The mean over positions and channels of the squared difference.
    """
    return output.compactness.mean()


def diversity_loss(prototypes: Tensor) -> Tensor:
    """Compute how much the prototypes coincide (Lv et al. 2021, eq. 10).

    The mean over pairs of max(0, 1 - squared distance of the normalised prototypes).

    Args:
        prototypes: (B, M, D), normalised or not.
    """
    unit = F.normalize(prototypes.to(torch.promote_types(prototypes.dtype, torch.float32)), dim=2)
    m = unit.shape[1]
    first, second = torch.triu_indices(m, m, offset=1, device=unit.device)
    squared = (unit[:, first] - unit[:, second]).square().sum(dim=2)
    return (1 - squared).clamp_min(0).mean()


def usage_loss(assignment: Tensor) -> Tensor:
    """Compute how unevenly the prototypes are used.

    1 - entropy of the assignment averaged over positions / log M, in [0, 1]. Ours. Without it half
    of all positions, the still background, share one prototype, and most of the others are assigned
    nowhere (benchmarks/results/small_choices.md).

    Args:
        assignment: (B, N, M), sums to 1 over M.
    """
    # Above 0: at a prototype that is assigned nowhere the logarithm has no finite derivative.
    usage = assignment.mean(dim=1).clamp_min(torch.finfo(assignment.dtype).tiny)
    entropy = -torch.special.xlogy(usage, usage).sum(dim=1)
    return (1 - entropy / math.log(usage.shape[1])).mean()


def pseudo_loss(logits: Tensor, tampered: Tensor) -> Tensor:
    """Compute the binary cross-entropy of the pseudo-anomaly head.

    Args:
        logits: (B, h, w).
        tampered: (B, H, W) bool or 0/1, H a multiple of h; a position of the smaller grid counts as
            tampered where any of its pixels is.
    """
    factor = tampered.shape[1] // logits.shape[1]
    labels = F.max_pool2d(tampered.float().unsqueeze(1), factor).squeeze(1)
    return F.binary_cross_entropy_with_logits(logits.float(), labels)


def ranking_loss(
    logits: Tensor, tampered: Tensor, *, hardest: int = 64, positions: int = 512
) -> Tensor:
    """Compute how far tampered positions are from standing above the highest of the others.

    Over all windows of the batch, the mean of log(1 + exp(other - tampered)) over pairs of logits:
    a smooth count of wrongly ordered pairs, which unlike the cross-entropy does not change with the
    level that a camera's logits lie at. A frame's score is its highest place, so of each window
    only the `hardest` other positions count. 0 where nothing was tampered with.

    Args:
        logits: (B, h, w).
        tampered: (B, H, W), see `pseudo_loss`.
        hardest: other positions of each window that count.
        positions: of the tampered ones at most so many, evenly spread.
    """
    factor = tampered.shape[1] // logits.shape[1]
    is_tampered = F.max_pool2d(tampered.float().unsqueeze(1), factor).flatten(1) > 0
    values = logits.float().flatten(1)
    lifted = values[is_tampered]
    if not len(lifted):
        return values.sum() * 0
    lifted = lifted[:: max(1, len(lifted) // positions)]
    others = values.masked_fill(is_tampered, -torch.inf)
    others = others.topk(min(hardest, values.shape[1]), dim=1).values
    others = others[torch.isfinite(others)]
    return F.softplus(others[None] - lifted[:, None]).mean() if len(others) else values.sum() * 0


class LossInputs(NamedTuple):
    """What a loss term may look at.

    Attributes:
        output: a forward of B windows.
        target: the true next frames, (B, C, H, W) in [-1, 1].
        tampered: where the windows were tampered with, (B, H, W), if it is known.
    """

    output: Output
    target: Tensor
    tampered: Tensor | None


@dataclass(frozen=True)
class LossTerm:
    """A loss term as it is registered.

    Attributes:
        name: in configurations, checkpoints, logs and `--without`.
        weight: in a training that says nothing else; 0 where the term is for those who ask.
        compute: the unweighted scalar; None where the term does not apply to these inputs.
        of_prototypes: whether it keeps prototypes apart, or queries near them: such terms may be
            left for later, see `TrainingConfig`.
        whole_batch: of a term that is no mean over windows, the fields of `LossInputs` or `Output`
            that it looks at in all windows of the batch at once: a training in several processes
            gathers them.
    """

    name: str
    weight: float
    compute: Callable[[LossInputs], Tensor | None]
    of_prototypes: bool = False
    whole_batch: tuple[str, ...] = ()


def _pseudo_head_term(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[LossInputs], Tensor | None]:
    """Make a term of a loss of (logits, tampered).

    It applies where the network has the head and the batch says what was tampered with.
    """

    def compute(inputs: LossInputs) -> Tensor | None:
        logits, tampered = inputs.output.pseudo_logits, inputs.tampered
        return None if logits is None or tampered is None else loss(logits, tampered)

    return compute


def _prototype_term(name: str, weight: float, loss: Callable[[Output], Tensor]) -> LossTerm:
    """Make a term of a loss of the prototypes; it applies where the network has any."""

    def compute(inputs: LossInputs) -> Tensor | None:
        return loss(inputs.output) if inputs.output.prototypes.shape[1] else None

    return LossTerm(name, weight, compute, of_prototypes=True)


# The weights are the paper's, where the paper has the term; a preset may have others.
LOSS_TERMS: dict[str, LossTerm] = {
    term.name: term
    for term in (
        LossTerm("frame", 1.0, lambda inputs: frame_loss(inputs.output.prediction, inputs.target)),
        LossTerm(
            "untampered",
            0.0,
            lambda inputs: untampered_loss(
                inputs.output.prediction, inputs.target, inputs.tampered
            ),
        ),
        _prototype_term("compactness", 1.0, compactness_loss),
        _prototype_term("diversity", 1e-4, lambda output: diversity_loss(output.prototypes)),
        _prototype_term("usage", 0.0, lambda output: usage_loss(output.assignment)),
        LossTerm("pseudo", 0.01, _pseudo_head_term(pseudo_loss)),
        LossTerm(
            "ranking",
            0.0,
            _pseudo_head_term(ranking_loss),
            whole_batch=("pseudo_logits", "tampered"),
        ),
    )
}


def check_loss_names(names: Iterable[str]) -> None:
    """Raise MpnError, naming those there are, for a name that no loss term has."""
    unknown = [name for name in names if name not in LOSS_TERMS]
    if unknown:
        raise MpnError(f"there is no loss term {unknown[0]!r}; there are {', '.join(LOSS_TERMS)}")


def _is_number(value: object) -> bool:
    """Say whether it is a number, which True is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_loss_weights(weights: Mapping[str, float]) -> None:
    """Raise MpnError for an unknown name, or a weight that is not a finite number from 0 up."""
    check_loss_names(weights)
    for name, weight in weights.items():
        if not _is_number(weight) or not 0 <= weight < math.inf:
            raise MpnError(f"loss weight {name} is {weight!r}: a number from 0 up was expected")


@dataclass(frozen=True)
class TrainingConfig:
    """What a network is trained for, and adapted for.

    Attributes:
        loss_weights: weight of every term of `LOSS_TERMS` by its name; those that are not given
            get the term's own. A term of weight 0 is not computed.
        prototypes_after: share of a training, after its warm-up, in which the terms of the
            prototypes do not count yet, in [0, 1). Where they do from the first step on, queries
            are drawn together or apart before they hold what the prediction needs
            (benchmarks/results/small_choices.md). 0: from the first step, as published.

    Raises:
        MpnError: an unknown name, a weight that is not a finite number from 0 up, or another
            share.
    """

    loss_weights: Mapping[str, float] = field(default_factory=dict)
    prototypes_after: float = 0.0

    def __post_init__(self) -> None:
        check_loss_weights(self.loss_weights)
        if not _is_number(self.prototypes_after) or not 0 <= self.prototypes_after < 1:
            raise MpnError(
                f"prototypes_after {self.prototypes_after!r}: a share of the training from 0 up, "
                "below 1, was expected"
            )
        weights = {name: term.weight for name, term in LOSS_TERMS.items()} | dict(self.loss_weights)
        object.__setattr__(self, "loss_weights", weights)

    def with_weights(self, changed: Mapping[str, float]) -> TrainingConfig:
        """Return the same with these weights.

        Args:
            changed: weights by name.

        Raises:
            MpnError: as the class does.
        """
        return replace(self, loss_weights={**self.loss_weights, **changed})

    def weights_at(self, progress: float) -> dict[str, float]:
        """Give what each term weighs at a point of a training.

        Terms of the prototypes rise to their weight in the tenth of the training after
        `prototypes_after`, or in what is left.

        Args:
            progress: the share of the training that is done, in [0, 1].
        """
        risen = 1.0
        if self.prototypes_after:
            rise = min(RISE, 1 - self.prototypes_after)
            risen = min(1.0, max(0.0, (progress - self.prototypes_after) / rise))
        return {
            name: weight * (risen if LOSS_TERMS[name].of_prototypes else 1.0)
            for name, weight in self.loss_weights.items()
        }


def loss_terms(
    output: Output, target: Tensor, tampered: Tensor | None, weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """Compute every term that has a weight and applies, by name, as unweighted scalars.

    Args:
        output: a forward of B windows.
        target: the true next frames, (B, C, H, W) in [-1, 1].
        tampered: where the windows were tampered with, (B, H, W) bool, or None if unknown; "pseudo"
            and "ranking" are there only with it, and with a network that has the head.
        weights: by name; terms that are not named, or weigh 0, are left out.
    """
    inputs = LossInputs(output, target, tampered)
    computed = {
        name: term.compute(inputs) for name, term in LOSS_TERMS.items() if weights.get(name, 0) > 0
    }
    return {name: value for name, value in computed.items() if value is not None}


def total_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum the terms by their weights; terms without a weight are left out.

    Args:
        terms: scalars by name, at least one that has a weight.
        weights: by name.
    """
    weighted = [weights[name] * term for name, term in terms.items() if name in weights]
    return torch.stack(weighted).sum()

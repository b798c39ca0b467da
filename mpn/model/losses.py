"""The named loss terms. All are means, so that they don't depend on batch or frame size."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mpn.model.config import ModelConfig
from mpn.model.network import Output


def frame_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the predicted frame, both (B, C, H, W) in [-1, 1] (Lv et al. 2021, eq.
    8)."""
    return F.mse_loss(prediction, target)


def compactness_loss(output: Output) -> Tensor:
    """Mean over positions and channels of (query - most-assigned prototype)^2 (Lv et al. 2021, eq.
    9)."""
    return output.compactness.mean()


def diversity_loss(prototypes: Tensor) -> Tensor:
    """Mean over pairs of max(0, 1 - squared distance of the normalised prototypes) (Lv et al. 2021,
    eq. 10).

    Args:
        prototypes: (B, M, D), normalised or not.
    """
    unit = F.normalize(prototypes.to(torch.promote_types(prototypes.dtype, torch.float32)), dim=2)
    m = unit.shape[1]
    first, second = torch.triu_indices(m, m, offset=1, device=unit.device)
    squared = (unit[:, first] - unit[:, second]).square().sum(dim=2)
    return (1 - squared).clamp_min(0).mean()


def usage_loss(assignment: Tensor) -> Tensor:
    """How unevenly prototypes are used: 1 - entropy of the assignment averaged over positions / log
    M, in [0, 1].

    Ours. Without it half of all positions, the still background, share one prototype, and most of
    the others are assigned nowhere (benchmarks/results/small_choices.md).

    Args:
        assignment: (B, N, M), sums to 1 over M.
    """
    # Above 0: at a prototype that is assigned nowhere the logarithm has no finite derivative.
    usage = assignment.mean(dim=1).clamp_min(torch.finfo(assignment.dtype).tiny)
    entropy = -torch.special.xlogy(usage, usage).sum(dim=1)
    return (1 - entropy / math.log(usage.shape[1])).mean()


def consistency_loss(prototypes: Tensor) -> Tensor:
    """Mean squared distance between the prototypes of consecutive samples of the batch.

    In the published code (its `meta_prototype.py`), computed but not trained with; ours neither.

    Args:
        prototypes: (B, M, D), normalised or not; B at least 2.
    """
    unit = F.normalize(prototypes, dim=2)
    return (unit[1:] - unit[:-1]).square().sum(dim=2).mean()


def pseudo_loss(logits: Tensor, tampered: Tensor) -> Tensor:
    """Binary cross-entropy of the pseudo-anomaly head.

    Args:
        logits: (B, h, w). tampered: (B, H, W) bool or 0/1, H a multiple of h; a position of the
            smaller grid counts as tampered where any of its pixels is.
    """
    factor = tampered.shape[1] // logits.shape[1]
    wanted = F.max_pool2d(tampered.float().unsqueeze(1), factor).squeeze(1)
    return F.binary_cross_entropy_with_logits(logits.float(), wanted)


def ranking_loss(
    logits: Tensor, tampered: Tensor, *, hardest: int = 64, positions: int = 512
) -> Tensor:
    """How far tampered positions are from standing above the highest of the others, over all
    windows of the batch.

    The mean of log(1 + exp(other - tampered)) over pairs of logits: a smooth count of wrongly
    ordered pairs, which unlike the cross-entropy does not change with the level that a camera's
    logits lie at. A frame's score is its highest place, so of each window only the `hardest` other
    positions count. 0 where nothing was tampered with.

    Args:
        logits: (B, h, w). tampered: (B, H, W), see `pseudo_loss`.
        positions: of the tampered ones at most so many, evenly spread.
    """
    factor = tampered.shape[1] // logits.shape[1]
    wanted = F.max_pool2d(tampered.float().unsqueeze(1), factor).flatten(1) > 0
    values = logits.float().flatten(1)
    found = values[wanted]
    if not len(found):
        return values.sum() * 0
    found = found[:: max(1, len(found) // positions)]
    others = (
        values.masked_fill(wanted, -torch.inf).topk(min(hardest, values.shape[1]), dim=1).values
    )
    others = others[torch.isfinite(others)]
    return F.softplus(others[None] - found[:, None]).mean() if len(others) else values.sum() * 0


def loss_terms(output: Output, target: Tensor, tampered: Tensor | None = None) -> dict[str, Tensor]:
    """Every term that the network can be trained with, by name, unweighted scalars.

    "pseudo" is there if the network has the head and `tampered` (B, H, W) is given.
    """
    terms = {
        "frame": frame_loss(output.prediction, target),
        "compactness": compactness_loss(output),
        "diversity": diversity_loss(output.prototypes),
        "usage": usage_loss(output.assignment),
    }
    if output.pseudo_logits is not None and tampered is not None:
        terms["pseudo"] = pseudo_loss(output.pseudo_logits, tampered)
    return terms


def total_loss(terms: dict[str, Tensor], config: ModelConfig) -> Tensor:
    """The weighted sum of the terms that are there; the frame loss has weight 1."""
    weights = {
        "frame": 1.0,
        "compactness": config.compactness_weight,
        "diversity": config.diversity_weight,
        "usage": config.usage_weight,
        "pseudo": config.pseudo_weight,
    }
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()

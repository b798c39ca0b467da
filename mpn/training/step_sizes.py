"""The step sizes that meta-training begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mpn.adaptation.inner_loop import SceneBatch, SceneLoss
from mpn.errors import TrainingError
from mpn.meta.maml import Params


def first_step_sizes(
    loss: SceneLoss, params: Params, batches: Iterable[SceneBatch], change: float
) -> tuple[dict[str, Tensor], float]:
    """Choose step sizes, and a limit of the gradient, from the gradients of some tasks.

    Args:
        loss: of an inner step.
        params: its initial parameters.
        batches: the first support batch of every task.
        change: by about how much a step changes every number.

    Returns:
        Step sizes by name, of the parameters' shapes; and the length that longer gradients are
        shortened to, the median of these tasks: every other task takes the longest step there is,
        and the few that are far beyond would break the network.

    Raises:
        TrainingError: a parameter that the loss does not depend on.
    """
    gradients: list[dict[str, Tensor]] = []
    for batch in batches:
        computed = torch.autograd.grad(
            loss(params, batch), list(params.values()), allow_unused=True
        )
        for name, gradient in zip(params, computed, strict=True):
            if gradient is None:
                raise TrainingError(
                    f"the loss does not depend on {name}: leave it out of the targets"
                )
        gradients.append(dict(zip(params, computed, strict=True)))
    norms = torch.stack(
        [torch.stack([g.norm() for g in of_task.values()]).norm() for of_task in gradients]
    )
    clip_norm = float(norms.median())
    shortened = [
        {name: g * (clip_norm / norm.clamp_min(clip_norm)) for name, g in of_task.items()}
        for of_task, norm in zip(gradients, norms)
    ]
    squares = {
        name: torch.stack([of_task[name].square() for of_task in shortened]).mean(0)
        for name in params
    }
    return sizes_for_change(squares, change), clip_norm


def sizes_for_change(squares: Mapping[str, Tensor], change: float) -> dict[str, Tensor]:
    """Choose step sizes that change every number by about as much a step, as Adam's first does.

    Gradients of one loss differ by orders of magnitude from layer to layer and within one; with one
    number for all, either some don't move or others break. Where a gradient is below a tenth of its
    tensor's, it counts as a tenth.

    Args:
        squares: of each tensor, the mean square of every number's gradient over some tasks.
        change: by about how much.
    """
    return {
        name: change / (square.sqrt() + 0.1 * square.mean().sqrt()).clamp_min(1e-12)
        for name, square in squares.items()
    }

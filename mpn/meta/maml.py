"""Meta-learning of any `torch.nn.Module`: adapt parameters on a task, and learn to be adapted.

Nothing here knows what the network is for. A task's loss is a function `loss_fn(params, batch)` of
a dict of tensors (`functional_loss` makes one of a module), and everything else is made of `adapt`:

    MAML                 step_sizes a number                       Finn et al., ICML 2017
    first-order MAML     second_order=False                        the same, section 5.2
    Meta-SGD             step_sizes tensors that are learned too   Li et al., 2017
    ANIL                 params a part of the module's             Raghu et al., ICLR 2020
    Reptile              `reptile_gradients`                       Nichol et al., 2018
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mpn.errors import MpnError

Params = dict[str, Tensor]
LossFunction = Callable[[Params, Any], Tensor]


class TaskLosses(NamedTuple):
    """The query loss of one task before and after adaptation, and the support loss before it."""

    before: float
    after: float
    support: float


def functional_loss(
    module: nn.Module, loss: Callable[..., Tensor], frozen: Mapping[str, Tensor] | None = None
) -> LossFunction:
    """Make a `loss_fn(params, batch)` of a module.

    Its output for batch[0] is compared by `loss` with the rest of the batch. A name that is missing
    or unknown is torch's RuntimeError, when the loss is called.

    Args:
        module: is never changed; its own parameters and buffers are not used, only those that are
            given.
        loss: called as loss(output, *batch[1:]).
        frozen: what `params` leaves out, by name, buffers too (a name in both is taken from
            `params`). A module that writes to its buffers (batch normalisation in training) writes
            to these.
    """
    rest = dict(frozen or {})

    def loss_fn(params: Params, batch: Sequence[Any]) -> Tensor:
        output = functional_call(module, {**rest, **params}, (batch[0],), strict=True)
        return loss(output, *batch[1:])

    return loss_fn


def adapt(
    loss_fn: LossFunction,
    params: Mapping[str, Tensor],
    support: Any,
    *,
    step_sizes: Mapping[str, Tensor] | Tensor | float,
    steps: int = 1,
    second_order: bool = True,
    clip_norm: float | None = None,
) -> Params:
    """Take gradient steps on a task's support (Lv et al. 2021, eq. 12; Li et al. 2017).

    p <- p - step size * gradient. Under `torch.no_grad` what comes out is plain values, and no
    graph grows over the steps.

    Args:
        loss_fn: a scalar of (params, batch). Parameters that it does not depend on stay as they
            are.
        params: the initial parameters, which stay as they are.
        support: the batch; or a list of `steps` batches, one a step (so a batch is no list itself).
        step_sizes: one number for all, or by name, scalars or tensors of the parameters' shapes.
        steps: how many.
        second_order: what comes out can be differentiated through the steps' gradients. Without it
            the gradients are constants (first-order MAML); by `params` and `step_sizes` themselves
            it still can.
        clip_norm: a gradient longer than this, over all parameters together, is shortened to it (by
            a factor that counts as constant): a task unlike all others cannot take a step unlike
            all others.

    Returns:
        The adapted parameters, by the names of `params`.

    Raises:
        MpnError: steps below 1, a list of another length, step sizes that don't fit the parameters,
            a loss that depends on none of them.
    """
    batches, sizes = _batches(support, steps), _sizes(params, step_sizes)
    create_graph = second_order and torch.is_grad_enabled()
    adapted = dict(params)
    for batch in batches:
        current = {
            name: p if p.requires_grad else p.detach().requires_grad_()
            for name, p in adapted.items()
        }
        gradients = _gradients(loss_fn, current, batch, create_graph)
        if clip_norm is not None:
            norm = torch.stack([gradient.detach().norm() for gradient in gradients]).norm()
            shorter = clip_norm / norm.clamp_min(clip_norm)
            gradients = [gradient * shorter.to(gradient.dtype) for gradient in gradients]
        adapted = {
            name: p - sizes[name] * g
            for (name, p), g in zip(current.items(), gradients, strict=True)
        }
    return adapted


def _batches(support: Any, steps: int) -> list[Any]:
    batches = support if isinstance(support, list) else [support] * steps
    if steps < 1 or len(batches) != steps:
        raise MpnError(
            f"{steps} steps on {len(batches)} support batches: give one batch (a tensor, tuple or "
            "dict) or a list of as many as there are steps, from 1 up"
        )
    return batches


def _sizes(
    params: Mapping[str, Tensor], step_sizes: Mapping[str, Tensor] | Tensor | float
) -> dict[str, Tensor | float]:
    if not isinstance(step_sizes, Mapping):
        return dict.fromkeys(params, step_sizes)
    if set(step_sizes) != set(params):
        odd = sorted(set(step_sizes) ^ set(params))
        raise MpnError(
            f"step sizes and parameters differ in {len(odd)} names, the first is {odd[0]}"
        )
    for name, size in step_sizes.items():
        if size.ndim and size.shape != params[name].shape:
            raise MpnError(
                f"step size {name} has shape {tuple(size.shape)}, its parameter "
                f"{tuple(params[name].shape)}"
            )
    return dict(step_sizes)


def _gradients(
    loss_fn: LossFunction, params: Params, batch: Any, create_graph: bool
) -> list[Tensor]:
    """Compute the gradients of one loss.

    A function of its own so that nothing holds on to the loss's graph when it is done.
    """
    with torch.enable_grad():
        loss = loss_fn(params, batch)
        gradients: Sequence[Tensor | None] = [None]
        if loss.requires_grad:
            gradients = torch.autograd.grad(
                loss, list(params.values()), create_graph=create_graph, allow_unused=True
            )
    if all(gradient is None for gradient in gradients):
        raise MpnError(
            "the loss depends on none of the parameters to adapt: loss_fn has to use "
            "those it is given"
        )
    return [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(params.values(), gradients, strict=True)
    ]


def accumulate(
    loss_fn: LossFunction,
    params: Mapping[str, Tensor],
    tasks: Iterable[tuple[Any, Any]],
    *,
    step_sizes: Mapping[str, Tensor] | Tensor | float,
    steps: int = 1,
    second_order: bool = True,
    clip_norm: float | None = None,
    count: int | None = None,
    watch: bool = False,
) -> list[TaskLosses]:
    """Add the gradient of the tasks' mean query loss after adaptation to `.grad`s.

    One task at a time, each graph freed before the next is built: memory is that of one task. The
    gradients are plain `.grad`s of leaves (`params`, `step_sizes`, and what else of `loss_fn`
    requires them), to be averaged over processes, clipped and given to any optimiser.

    Args:
        loss_fn: as in `adapt`.
        params: as in `adapt`.
        tasks: (support, query) pairs; support as in `adapt`.
        step_sizes: as in `adapt`.
        steps: as in `adapt`.
        second_order: as in `adapt`.
        clip_norm: as in `adapt`.
        count: number of tasks, where `tasks` has no length.
        watch: also find the query loss before adaptation (two more forwards).

    Returns:
        Each task's losses; NaN for those that were not asked for.

    Raises:
        MpnError: gradients are switched off; no tasks, or not `count`; and as `adapt`.
    """
    if not torch.is_grad_enabled():
        raise MpnError(
            "accumulate was called under torch.no_grad, where there are no gradients "
            "(adapt works there)"
        )
    number = count if count is not None else len(tasks) if isinstance(tasks, Sized) else 0
    if number < 1:
        raise MpnError(
            f"{number} tasks: from 1 up; their number is given as count where tasks have no length"
        )
    how = {
        "step_sizes": step_sizes,
        "steps": steps,
        "second_order": second_order,
        "clip_norm": clip_norm,
    }
    losses = [_accumulate_one(loss_fn, params, *task, how, 1 / number, watch) for task in tasks]
    if len(losses) != number:
        raise MpnError(
            f"{len(losses)} tasks came where {number} were expected: the gradients are "
            "not their mean"
        )
    return losses


def _accumulate_one(
    loss_fn: LossFunction,
    params: Mapping[str, Tensor],
    support: Any,
    query: Any,
    how: Mapping[str, Any],
    weight: float,
    watch: bool,
) -> TaskLosses:
    """Do what `accumulate` does for one task.

    A function of its own so that a task's graph is gone before the next one's is built.
    """
    before = first = float("nan")
    if watch:
        with torch.no_grad():
            before = float(loss_fn(dict(params), query))
            first = float(
                loss_fn(dict(params), support[0] if isinstance(support, list) else support)
            )
    loss = loss_fn(adapt(loss_fn, params, support, **how), query)
    (loss * weight).backward()
    return TaskLosses(before, float(loss.detach()), first)


def reptile_gradients(
    params: Mapping[str, Tensor], adapted: Sequence[Mapping[str, Tensor]]
) -> None:
    """Add params - mean(adapted) to the `.grad`s.

    An optimiser's step then moves towards the adapted ones. With plain SGD of learning rate e this
    is p <- p + e * mean(adapted - p) (Nichol et al. 2018, the batched version).

    Args:
        params: the initial parameters.
        adapted: those of every task, after its steps.
    """
    for name, tensor in params.items():
        mean = torch.stack([of_task[name].detach() for of_task in adapted]).mean(dim=0)
        change = tensor.detach() - mean
        tensor.grad = change if tensor.grad is None else tensor.grad + change


def fine_tune(
    loss_fn: LossFunction,
    params: Mapping[str, Tensor],
    batches: Iterable[Any],
    *,
    learning_rate: float,
) -> Params:
    """Fine-tune plainly, for comparison: a step of Adam for every batch.

    Args:
        loss_fn: as in `adapt`.
        params: the initial parameters, which stay as they are.
        batches: one a step.
        learning_rate: of Adam.

    Raises:
        MpnError: a loss that depends on none of the parameters.
    """
    values = {name: tensor.detach().clone().requires_grad_() for name, tensor in params.items()}
    optimizer = torch.optim.Adam(list(values.values()), lr=learning_rate)
    for batch in batches:
        for tensor, gradient in zip(
            values.values(), _gradients(loss_fn, values, batch, False), strict=True
        ):
            tensor.grad = gradient
        optimizer.step()
    return {name: tensor.detach() for name, tensor in values.items()}

"""Adapting and learning to be adapted, against derivatives taken by hand.

The hand-derived cases have one parameter p and quadratic losses a/2 (p - b)^2. A step of size s on
it takes p - b to (1 - s a)(p - b), so that everything has a closed form; the numbers are such that
float64 holds them exactly.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mpn.errors import MpnError
from mpn.meta import maml
from mpn.model.parameters import target_names

START, SIZE = 3.0, 0.25
SUPPORT, QUERY = (2.0, 1.0), (4.0, 0.5)  # (a, b): a step halves p - 1


def quadratic(params, batch):
    a, b = batch
    return 0.5 * (a * (params["p"] - b) ** 2).sum()


def number(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def meta_gradients(support, steps, second_order):
    """Query loss after adaptation, its gradients by p and by the step size."""
    p, size = number(START), number(SIZE)
    adapted = maml.adapt(
        quadratic, {"p": p}, support, step_sizes={"p": size}, steps=steps, second_order=second_order
    )
    loss = quadratic(adapted, QUERY)
    return (loss.item(), *(gradient.item() for gradient in torch.autograd.grad(loss, [p, size])))


@pytest.mark.parametrize(
    ("steps", "second_order", "expected"),
    [
        # p1 = 1 + 2/2 = 2; loss 4/2 (1.5)^2; by p 4 * 1.5 * 1/2; by s 4 * 1.5 * -2 (p - 1).
        (1, True, (4.5, 3.0, -24.0)),
        # The step's derivative by p, 1 - s a, becomes 1.
        (1, False, (4.5, 6.0, -24.0)),
        # p3 = 1 + 2/8 = 1.25; by p 4 * 0.75 / 8; by s 3 * d/ds (1 - 2 s)^3 (p - 1) = 3 * -6 * 0.25
        # * 2.
        (3, True, (1.125, 0.375, -9.0)),
        # By s the sum of the gradients at p = 3, 2, 1.5, as constants: 3 * -(4 + 2 + 1).
        (3, False, (1.125, 3.0, -21.0)),
    ],
)
def test_maml_and_its_first_order_form_by_hand(steps, second_order, expected):
    assert meta_gradients(SUPPORT, steps, second_order) == expected


def test_every_step_may_have_a_batch_of_its_own():
    # 3 -> 2 by (a, b) = (2, 1), -> 2.75 by (1, 5), whose factor is 3/4; by p 4 * 2.25 * 1/2 * 3/4.
    loss, by_p, _ = meta_gradients([SUPPORT, (1.0, 5.0)], 2, True)
    assert (loss, by_p) == (0.5 * 4 * 2.25**2, 3.375)


def test_meta_sgd_has_a_step_size_for_every_element():
    a, b = (
        torch.tensor([2.0, 4.0], dtype=torch.float64),
        torch.tensor([1.0, -1.0], dtype=torch.float64),
    )
    p = torch.tensor([3.0, 1.0], dtype=torch.float64, requires_grad=True)
    size = torch.tensor([0.25, 0.125], dtype=torch.float64, requires_grad=True)
    adapted = maml.adapt(quadratic, {"p": p}, (a, b), step_sizes={"p": size})
    assert adapted["p"].tolist() == [2.0, 0.0]  # both halve the way to b
    maml.accumulate(quadratic, {"p": p}, [((a, b), (1.0, 0.0))], step_sizes={"p": size})
    # Query loss p1^2/2, so p1 * 1/2 by p, and p1 * -a (p - b) by the step sizes.
    assert p.grad.tolist() == [1.0, 0.0]
    assert size.grad.tolist() == [2.0 * -4.0, 0.0]


def test_reptile_moves_towards_the_mean_of_what_was_adapted():
    p = number(START)
    with torch.no_grad():
        adapted = [
            maml.adapt(quadratic, {"p": p}, (2.0, b), step_sizes=SIZE, steps=3) for b in (1.0, -1.0)
        ]
    assert [params["p"].item() for params in adapted] == [1.25, -0.5]
    maml.reptile_gradients({"p": p}, adapted)
    assert p.grad.item() == 3 - 0.375
    torch.optim.SGD([p], lr=0.5).step()
    assert p.item() == 3 + 0.5 * (0.375 - 3)
    maml.reptile_gradients({"p": p}, [{"p": p.detach() - 1}])
    assert p.grad.item() == 2.625 + 1  # added, as backward() would


def test_accumulate_gives_the_gradient_of_the_mean_and_the_losses():
    p, size = number(START), number(SIZE)
    losses = maml.accumulate(
        quadratic,
        {"p": p},
        [(SUPPORT, QUERY), (SUPPORT, (0.0, 0.0))],
        step_sizes={"p": size},
        watch=True,
    )
    assert losses == [(0.5 * 4 * 2.5**2, 4.5, 4.0), (0.0, 0.0, 4.0)]
    assert (p.grad.item(), size.grad.item()) == (1.5, -12.0)
    maml.accumulate(quadratic, {"p": p}, iter([(SUPPORT, QUERY)]), step_sizes={"p": size}, count=1)
    assert (p.grad.item(), size.grad.item()) == (4.5, -36.0)


@pytest.mark.parametrize("second_order", [True, False])
def test_a_support_loss_without_curvature_has_the_same_gradient_in_either_order(second_order):
    # 3 -> 3 - 2/4 = 2.5 by the slope 2; the derivative by p is 1, so 4 (2.5 - 0.5).
    p = number(START)
    adapted = maml.adapt(
        lambda q, slope: slope * q["p"], {"p": p}, 2.0, step_sizes=SIZE, second_order=second_order
    )
    assert torch.autograd.grad(quadratic(adapted, QUERY), p)[0].item() == 8.0


class Counted(torch.autograd.Function):
    """x, counting how many of its nodes there are in graphs that are still held."""

    alive: set = set()

    @staticmethod
    def forward(ctx, x):
        ctx.token = Token()
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Token:
    def __init__(self):
        Counted.alive.add(id(self))

    def __del__(self):
        Counted.alive.discard(id(self))


@pytest.mark.parametrize("second_order", [True, False])
def test_a_task_s_graph_is_gone_before_the_next_one_begins(second_order):
    held = []

    def tasks():
        for _ in range(3):
            held.append(len(Counted.alive))
            yield SUPPORT, QUERY

    def loss_fn(params, batch):
        return quadratic({"p": Counted.apply(params["p"])}, batch)

    p = number(START)
    maml.accumulate(
        loss_fn, {"p": p}, tasks(), step_sizes=SIZE, steps=2, second_order=second_order, count=3
    )
    assert held == [0, 0, 0] and not Counted.alive
    assert p.grad is not None and p.grad.grad_fn is None


def test_steps_without_second_order_hold_on_to_one_graph_at_most():
    most = []

    def loss_fn(params, batch):
        value = quadratic({"p": Counted.apply(params["p"])}, batch)
        most.append(len(Counted.alive))
        return value

    maml.adapt(loss_fn, {"p": number(START)}, SUPPORT, step_sizes=SIZE, steps=4, second_order=False)
    with torch.no_grad():
        maml.adapt(loss_fn, {"p": number(START)}, SUPPORT, step_sizes=SIZE, steps=4)
    assert most == [1] * 8


def test_a_parameter_that_the_loss_does_not_depend_on_stays():
    params = {"p": number(START), "q": number(7.0)}
    adapted = maml.adapt(quadratic, params, SUPPORT, step_sizes=SIZE)
    assert (adapted["p"].item(), adapted["q"].item()) == (2.0, 7.0)
    tuned = maml.fine_tune(quadratic, params, [SUPPORT], learning_rate=0.1)
    assert tuned["q"].item() == 7.0


def recurrent():
    return nn.ModuleDict({"recurrent": nn.RNN(2, 3, bias=False), "head": nn.Linear(3, 1)})


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("head.",), ["head.weight", "head.bias"]),
        (("head.", "recurrent.weight_hh"), ["recurrent.weight_hh_l0", "head.weight", "head.bias"]),
        (("*.bias",), ["head.bias"]),
        (("head.weight", "head.", "*.bias"), ["head.weight", "head.bias"]),
    ],
)
def test_targets_are_chosen_by_name_in_the_module_s_order(targets, expected):
    assert target_names(recurrent(), targets) == expected


@pytest.mark.parametrize("targets", [("heads.",), ("*.scale",), ("head.", "encoder."), ()])
def test_targets_that_are_not_there_are_named(targets):
    words = "head.*recurrent" if targets else "no parameters to adapt"
    with pytest.raises(MpnError, match=words) as error:
        target_names(recurrent(), targets)
    assert not targets or targets[-1] in str(error.value)


@pytest.mark.parametrize(
    ("support", "options", "words"),
    [
        (SUPPORT, {"steps": 0}, "0 steps"),
        ([SUPPORT] * 3, {"steps": 2}, "2 steps on 3 support batches"),
        (SUPPORT, {"step_sizes": {"q": torch.ones(())}}, "differ in 2 names, the first is p"),
        (SUPPORT, {"step_sizes": {"p": torch.ones(2)}}, r"shape \(2,\), its parameter \(\)"),
    ],
)
@pytest.mark.parametrize("run", ["adapt", "accumulate"])
def test_what_does_not_fit_is_named(run, support, options, words):
    how = {"step_sizes": SIZE} | options
    with pytest.raises(MpnError, match=words):
        if run == "adapt":
            maml.adapt(quadratic, {"p": number(START)}, support, **how)
        else:
            maml.accumulate(quadratic, {"p": number(START)}, [(support, QUERY)], **how)


def test_a_loss_that_forgets_the_parameters_is_named():
    module = nn.Linear(2, 1)
    forgetful = lambda params, batch: module(batch).sum()  # noqa: E731
    for loss_fn in (forgetful, lambda params, batch: batch.sum()):
        with pytest.raises(MpnError, match="depends on none"):
            maml.adapt(
                loss_fn, dict(nn.Linear(2, 1).named_parameters()), torch.ones(3, 2), step_sizes=0.1
            )
        with pytest.raises(MpnError, match="depends on none"):
            maml.fine_tune(loss_fn, {"p": number(START)}, [torch.ones(3, 2)], learning_rate=0.1)


def test_a_mean_over_an_unknown_number_of_tasks_is_refused():
    p, task = {"p": number(START)}, (SUPPORT, QUERY)
    for tasks in ([], iter([task])):
        with pytest.raises(MpnError, match="count"):
            maml.accumulate(quadratic, p, tasks, step_sizes=SIZE)
    with pytest.raises(MpnError, match="1 tasks came where 2"):
        maml.accumulate(quadratic, p, iter([task]), step_sizes=SIZE, count=2)
    with torch.no_grad(), pytest.raises(MpnError, match="no_grad"):
        maml.accumulate(quadratic, p, [task], step_sizes=SIZE)


def test_a_long_gradient_is_shortened_over_all_parameters_together():
    # Gradients 3 and 4, together 5: to 2.5 they are 1.5 and 2; to 6 they stay.
    params = {
        "a": torch.tensor(3.0, dtype=torch.float64),
        "b": torch.tensor(4.0, dtype=torch.float64),
    }

    def loss(values, batch):
        return (values["a"] ** 2 + values["b"] ** 2) / 2

    shortened = maml.adapt(loss, params, (), step_sizes=0.1, clip_norm=2.5)
    assert shortened["a"].item() == pytest.approx(3 - 0.15) and shortened[
        "b"
    ].item() == pytest.approx(4 - 0.2)
    whole = maml.adapt(loss, params, (), step_sizes=0.1, clip_norm=6.0)
    assert whole["a"].item() == pytest.approx(3 - 0.3) and whole["b"].item() == pytest.approx(
        4 - 0.4
    )

"""Adapting and learning to be adapted with networks: a small CNN, recurrent networks, our own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpn.meta import maml


class LastStep(nn.Module):
    """A recurrent network on sequences (B, T, 2), its last state to one number."""

    def __init__(self, kind):
        super().__init__()
        self.recurrent, self.head = kind(2, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, sequence):
        return self.head(self.recurrent(sequence)[0][:, -1])


def small_cnn():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1))


MODULES = {
    "cnn": (small_cnn, (4, 4)),
    "rnn": (lambda: LastStep(nn.RNN), (2,)),
    "gru": (lambda: LastStep(nn.GRU), (2,)),
}


@pytest.fixture(params=MODULES)
def case(request):
    """A module, its parameters as leaves, and support and query of two tasks of three samples."""
    make, shape = MODULES[request.param]
    torch.manual_seed(3)
    module = make().double().requires_grad_(False)
    params = {name: p.clone().requires_grad_() for name, p in module.named_parameters()}
    shape = (1, *shape) if request.param == "cnn" else (4, *shape)
    draw = lambda: (torch.randn(2, 3, *shape).double(), torch.randn(2, 3, 1).double())  # noqa: E731
    return module, params, draw(), draw()


def tasks_of(support, query):
    return [(tuple(x[k] for x in support), tuple(x[k] for x in query)) for k in range(2)]


def unrolled(module, params, support, query, size, second_order=True, steps=1):
    """The query loss after gradient steps of the module itself, its parameters swapped by hand."""

    def loss_at(values, batch):
        for name, value in values.items():
            *path, last = name.split(".")
            owner = module.get_submodule(".".join(path))
            owner._parameters.pop(last, None)
            setattr(owner, last, value)
        return F.mse_loss(module(batch[0]), batch[1])

    values = dict(params)
    for _ in range(steps):
        gradients = torch.autograd.grad(
            loss_at(values, support), list(values.values()), create_graph=second_order
        )
        values = {name: value - size * g for (name, value), g in zip(values.items(), gradients)}
    return loss_at(values, query)


@pytest.mark.parametrize("second_order", [True, False])
def test_any_module_s_meta_gradient_is_that_of_the_unrolled_steps(case, second_order):
    module, params, support, query = case
    before = {name: value.clone() for name, value in module.state_dict().items()}
    loss_fn, tasks = maml.functional_loss(module, F.mse_loss), tasks_of(support, query)
    maml.accumulate(loss_fn, params, tasks, step_sizes=0.3, steps=2, second_order=second_order)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    total = sum(unrolled(module, params, *task, 0.3, second_order, steps=2) for task in tasks) / 2
    for (name, p), expected in zip(
        params.items(), torch.autograd.grad(total, list(params.values()))
    ):
        assert torch.allclose(p.grad, expected, rtol=1e-10, atol=1e-14), name


def test_first_order_differs_from_second_order_where_the_loss_is_curved(case):
    module, params, support, query = case
    gradients = []
    for second_order in (True, False):
        loss_fn, tasks = maml.functional_loss(module, F.mse_loss), tasks_of(support, query)
        maml.accumulate(loss_fn, params, tasks, step_sizes=0.3, second_order=second_order)
        gradients.append(torch.cat([p.grad.flatten() for p in params.values()]))
        for p in params.values():
            p.grad = None
    assert (gradients[0] - gradients[1]).norm() > 0.05 * gradients[0].norm()


def test_gradients_through_three_steps_agree_with_finite_differences(case):
    """By parameters (MAML) and by step sizes (Meta-SGD)."""
    module, params, support, query = case
    loss_fn, (task, _) = maml.functional_loss(module, F.mse_loss), tasks_of(support, query)
    sizes = [torch.full_like(p, 0.2).requires_grad_() for p in params.values()]

    def query_loss(*tensors):
        values, steps = tensors[: len(params)], tensors[len(params) :]
        adapted = maml.adapt(
            loss_fn,
            dict(zip(params, values)),
            [task[0], task[1], task[0]],
            step_sizes=dict(zip(params, steps)),
            steps=3,
        )
        return loss_fn(adapted, task[1])

    assert torch.autograd.gradcheck(query_loss, (*params.values(), *sizes), fast_mode=True)


def test_anil_adapts_a_part_and_the_rest_still_learns(case):
    module, params, support, query = case
    head = {name: p for name, p in params.items() if name in [*params][-2:]}
    body = {name: p for name, p in params.items() if name not in head}
    loss_fn, tasks = maml.functional_loss(module, F.mse_loss, body), tasks_of(support, query)
    adapted = maml.adapt(loss_fn, head, tasks[0][0], step_sizes=0.3)
    assert set(adapted) == set(head) and not any(
        torch.equal(adapted[name], head[name]) for name in head
    )
    # Where both have a name, what is adapted counts.
    overlapping = maml.functional_loss(
        module, F.mse_loss, {**body, **{name: p + 1 for name, p in head.items()}}
    )
    assert torch.equal(overlapping(adapted, tasks[0][1]), loss_fn(adapted, tasks[0][1]))
    # By finite differences: a change of the body along a random direction.
    maml.accumulate(loss_fn, head, tasks, step_sizes=0.3)
    assert all(float(p.grad.abs().max()) > 0 for p in params.values())
    direction = {name: torch.randn_like(p) for name, p in body.items()}
    slope = sum(float((p.grad * direction[name]).sum()) for name, p in body.items())

    def at(step):
        moved = {name: (p + step * direction[name]).detach() for name, p in body.items()}
        moved_fn = maml.functional_loss(module, F.mse_loss, moved)
        after = [
            moved_fn(maml.adapt(moved_fn, head, task_support, step_sizes=0.3), task_query).item()
            for task_support, task_query in tasks
        ]
        return sum(after) / 2

    assert slope == pytest.approx((at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("case", ["cnn"], indirect=True)
def test_anil_may_embed_once_and_learns_to_embed_through_the_batches(case):
    module, params, support, query = case
    body, head = module[:-1].requires_grad_(), module[-1].requires_grad_()
    tasks = tasks_of(support, query)
    embedded = [tuple((body(x), y) for x, y in task) for task in tasks]
    values = dict(head.named_parameters())
    maml.accumulate(
        maml.functional_loss(head, F.mse_loss), values, embedded, step_sizes=0.3, steps=3
    )
    last = {name: p for name, p in params.items() if name.startswith(f"{len(body)}.")}
    whole = maml.functional_loss(module, F.mse_loss, frozen=params)
    maml.accumulate(whole, last, tasks, step_sizes=0.3, steps=3)
    for name, p in module.named_parameters():
        assert torch.allclose(p.grad, params[name].grad, rtol=1e-10, atol=1e-14), name
        assert p.grad.abs().max() > 0


def test_one_step_size_for_all_is_a_dict_of_equal_tensors(case):
    module, params, support, query = case
    loss_fn, ((batch, _), _) = maml.functional_loss(module, F.mse_loss), tasks_of(support, query)
    each = {name: torch.full_like(p, 0.1) for name, p in params.items()}
    scalar = torch.tensor(0.1, dtype=torch.float64)
    ways = (0.1, scalar, each, dict.fromkeys(params, scalar))
    adapted = [maml.adapt(loss_fn, params, batch, step_sizes=sizes) for sizes in ways]
    assert all(
        torch.equal(adapted[0][name], variant[name]) for variant in adapted[1:] for name in params
    )


def test_without_gradients_the_values_are_the_same_and_no_graph_is_left(case):
    module, params, support, query = case
    loss_fn, ((batch, _), _) = maml.functional_loss(module, F.mse_loss), tasks_of(support, query)
    expected = maml.adapt(loss_fn, params, batch, step_sizes=0.1, steps=3)
    with torch.no_grad():
        adapted = maml.adapt(loss_fn, params, batch, step_sizes=0.1, steps=3)
    assert all(torch.equal(adapted[name], expected[name]) for name in params)
    assert not any(value.requires_grad for value in adapted.values())
    assert all(p.grad is None for p in params.values())


@pytest.mark.parametrize("case", ["cnn"], indirect=True)
def test_any_optimiser_takes_the_gradients(case):
    module, params, support, query = case
    loss_fn = maml.functional_loss(module, F.mse_loss)
    size = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    leaves = [*params.values(), size]
    maml.accumulate(loss_fn, params, tasks_of(support, query), step_sizes=size)
    assert all(
        p.grad.shape == p.shape and p.grad.grad_fn is None and not p.grad.requires_grad
        for p in leaves
    )
    torch.nn.utils.clip_grad_norm_(leaves, 0.5)
    expected = [p.detach() - 0.7 * p.grad for p in leaves]
    torch.optim.SGD(leaves, lr=0.7).step()
    assert all(torch.allclose(p, value, rtol=1e-12) for p, value in zip(leaves, expected))


def test_fine_tuning_is_torchs_adam_and_leaves_the_parameters_alone(case):
    module, params, support, query = case
    loss_fn = maml.functional_loss(module, F.mse_loss)
    batches = [batch for task in tasks_of(support, query) for batch in task]
    before = {name: p.detach().clone() for name, p in params.items()}
    tuned = maml.fine_tune(loss_fn, params, batches, learning_rate=0.01)
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in params.items())
    optimizer = torch.optim.Adam(module.requires_grad_().parameters(), lr=0.01)
    for x, y in batches:
        optimizer.zero_grad()
        F.mse_loss(module(x), y).backward()
        optimizer.step()
    for name, p in module.named_parameters():
        assert torch.allclose(tuned[name], p, rtol=1e-10), name
        assert not tuned[name].requires_grad


def test_names_have_to_be_those_of_the_module(case):
    module, params, support, query = case
    loss_fn, ((batch, _), _) = maml.functional_loss(module, F.mse_loss), tasks_of(support, query)
    first, *rest = params
    with pytest.raises(RuntimeError, match="misspelt"):
        maml.adapt(loss_fn, {**params, "misspelt.weight": params[first]}, batch, step_sizes=0.1)
    with pytest.raises(RuntimeError, match=first):
        maml.adapt(loss_fn, {name: params[name] for name in rest}, batch, step_sizes=0.1)


def test_batch_normalisation_writes_to_the_buffers_it_was_given_and_not_to_the_module_s():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    loss_fn = maml.functional_loss(module, F.mse_loss, buffers)
    batch = (torch.randn(5, 2).double(), torch.randn(5, 3).double())
    maml.adapt(loss_fn, dict(module.named_parameters()), batch, step_sizes=0.1)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not torch.equal(buffers["1.running_mean"], before["1.running_mean"])

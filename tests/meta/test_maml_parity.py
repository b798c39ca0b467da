"""A step of Meta-SGD with the base preset against values that the published network computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import functional_call

from mpn.meta import maml
from mpn.model import losses
from mpn.model.network import build_model
from mpn.model.parameters import target_names

TARGETS = ("prototype.heads.", "head.")
FILES = [("meta_step_64", 11, False), ("meta_step_sharp_64", 12, True)]
# Losses and gradients, relative to the largest magnitude of each array.
TOLERANCES = {torch.float64: (1e-9, 1e-9), torch.float32: (1e-4, 1e-3)}


def network_of(weights, dtype):
    network = build_model("base", height=64, width=64).to(dtype).requires_grad_(False)
    for parameter, values in zip(network.parameters(), weights, strict=True):
        parameter.data = torch.tensor(values, dtype=dtype)
    return network


def loss_of(network, params):
    """The published weighted sum as `loss_fn(params, batch)` of (window, target, decoded or
    None)."""
    frozen = {name: p for name, p in network.named_parameters() if name not in params}

    def loss_fn(values, batch):
        window, target, decoded = batch
        output = functional_call(
            network, {**frozen, **values}, (window,), {"decoded": decoded}, strict=True
        )
        frame, compactness = (
            losses.frame_loss(output.prediction, target),
            losses.compactness_loss(output),
        )
        return frame + compactness + 1e-4 * losses.diversity_loss(output.prototypes)

    return loss_fn


def meta_step(weights, names, dtype, *, whole):
    """Every array of the reference by its name there, computed by `mpn.meta.maml`.

    names: theirs by ours. whole: encoder and decoder run in both loops; otherwise once, beforehand.
    """
    network = network_of(weights, dtype)
    parameters = dict(network.named_parameters())
    params = {
        name: parameters[name].detach().requires_grad_() for name in target_names(network, TARGETS)
    }
    generator = np.random.Generator(np.random.PCG64(9))
    sizes = {
        name: torch.tensor(
            generator.uniform(0.005, 0.015, tuple(p.shape)), dtype=dtype, requires_grad=True
        )
        for name, p in params.items()
    }
    clips = torch.tensor(
        np.random.Generator(np.random.PCG64(7)).uniform(-1, 1, (4, 15, 64, 64)), dtype=dtype
    )
    batches = [(half[:, :12], half[:, 12:]) for half in (clips[:2], clips[2:])]
    task = tuple(
        (window, target, None if whole else network.decode(window)) for window, target in batches
    )
    (outcome,) = maml.accumulate(
        loss_of(network, params), params, [task], step_sizes=sizes, watch=True
    )
    assert all(p.grad is None for p in network.parameters())
    values = {"support_loss": np.array(outcome.support), "query_loss": np.array(outcome.after)}
    values |= {f"init_grad/{names[name]}": p.grad.numpy() for name, p in params.items()}
    return values | {f"step_grad/{names[name]}": size.grad.numpy() for name, size in sizes.items()}


@pytest.fixture(
    scope="module",
    params=[
        (file, dtype, whole)
        for file in FILES
        for dtype, whole in [(torch.float64, True), (torch.float64, False), (torch.float32, False)]
    ],
    ids=[
        f"{name}, {form}"
        for name, _, _ in FILES
        for form in ("float64, whole forward", "float64, decoded once", "float32, decoded once")
    ],
)
def computed(request, reference):
    """Which file, the precision, and what our step makes of its weights and clips."""
    (file, seed, sharp), dtype, whole = request.param
    our_names = [name for name, _ in build_model("base", height=64, width=64).named_parameters()]
    names = dict(zip(our_names, (row["name"] for row in reference.rows), strict=True))
    weights = list(reference.weights(seed, sharp))
    return file, dtype, meta_step(weights, names, dtype, whole=whole)


def assert_step_agrees(computed, reference):
    file, dtype, values = computed
    arrays = reference.arrays(file)
    assert set(values) == set(arrays)  # no array is left out
    loss_tolerance, gradient_tolerance = TOLERANCES[dtype]
    for name, value in values.items():
        arrays[name].assert_agrees(
            value, gradient_tolerance if "/" in name else loss_tolerance, name
        )


def test_a_meta_sgd_step_agrees_with_the_published_network(computed, reference):
    assert_step_agrees(computed, reference)


@pytest.mark.reference
def test_every_number_of_a_meta_sgd_step_agrees(computed, full_reference):
    assert_step_agrees(computed, full_reference)

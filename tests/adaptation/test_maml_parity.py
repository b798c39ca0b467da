"""A step of Meta-SGD with the base preset against values that the published network computed."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from torch.func import functional_call

from mpn.adaptation import maml
from mpn.model import losses
from mpn.model.network import build_model
from mpn.model.parameters import target_names
from tests.model.test_parity import published_weights

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
    """Every array of the reference by its name there, computed by `mpn.adaptation.maml`.

    names: theirs by ours. whole: encoder and decoder run in both loops; otherwise once, beforehand.
    """
    network = network_of(weights, dtype)
    own = dict(network.named_parameters())
    params = {name: own[name].detach().requires_grad_() for name in target_names(network, TARGETS)}
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
    (found,) = maml.accumulate(
        loss_of(network, params), params, [task], step_sizes=sizes, watch=True
    )
    assert all(p.grad is None for p in network.parameters())
    values = {"support_loss": np.array(found.support), "query_loss": np.array(found.after)}
    values |= {f"init_grad/{names[name]}": p.grad.numpy() for name, p in params.items()}
    return values | {f"step_grad/{names[name]}": size.grad.numpy() for name, size in sizes.items()}


@pytest.fixture(scope="module", params=FILES, ids=[name for name, _, _ in FILES])
def published(request, reference):
    """The weights in order, the published names by ours, and the arrays to agree with."""
    file, seed, sharp = request.param
    with (reference / "parameters.csv").open() as text:
        rows = list(csv.DictReader(text))
    ours = [name for name, _ in build_model("base", height=64, width=64).named_parameters()]
    names = dict(zip(ours, (row["name"] for row in rows), strict=True))
    return list(published_weights(rows, seed, sharp)), names, np.load(reference / f"{file}.npz")


@pytest.mark.parametrize(
    ("dtype", "whole"),
    [(torch.float64, True), (torch.float64, False), (torch.float32, False)],
    ids=["float64, whole forward", "float64, decoded once", "float32, decoded once"],
)
def test_a_meta_sgd_step_agrees_with_the_published_network(published, dtype, whole):
    weights, names, wanted = published
    values = meta_step(weights, names, dtype, whole=whole)
    assert set(values) == set(wanted.files)  # no array is left out
    loss_tolerance, gradient_tolerance = TOLERANCES[dtype]
    for name, value in values.items():
        expected = wanted[name]
        tolerance = gradient_tolerance if "/" in name else loss_tolerance
        assert value.shape == expected.shape, name
        assert (
            np.abs(value.astype(np.float64) - expected).max() <= tolerance * np.abs(expected).max()
        ), name

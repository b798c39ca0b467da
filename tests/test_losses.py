from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from mpn.losses import (
    compactness_loss,
    consistency_loss,
    diversity_loss,
    frame_loss,
    loss_terms,
    pseudo_loss,
    total_loss,
)
from mpn.network import Output
from mpn.presets import preset


def output_with(*, prediction=None, features=4, distance=None, prototypes=None, logits=None):
    """An Output of which only the parts that losses look at are set; `features` is D."""
    nothing = torch.zeros(1)
    return Output(
        nothing if prediction is None else prediction,
        nothing,
        torch.zeros(1, features, 1, 1),
        nothing,
        nothing if prototypes is None else prototypes,
        nothing,
        nothing,
        nothing if distance is None else distance,
        logits,
    )


def test_the_frame_loss_is_the_mean_squared_error():
    prediction = torch.tensor([[[[0.5, -1.0]]], [[[0.0, 1.0]]]])
    target = torch.tensor([[[[0.0, -1.0]]], [[[1.0, -1.0]]]])
    assert frame_loss(prediction, target).item() == pytest.approx((0.25 + 0 + 1 + 4) / 4)


def test_compactness_is_the_squared_distance_over_the_features():
    output = output_with(features=4, distance=torch.tensor([[[1.0, 3.0]], [[0.0, 2.0]]]))
    assert compactness_loss(output).item() == pytest.approx((1 + 3 + 0 + 2) / 4 / 4)
    assert output.compactness.tolist() == [[[0.25, 0.75]], [[0.0, 0.5]]]


@pytest.mark.parametrize("length", [1.0, 0.003, 40.0])
@pytest.mark.parametrize(
    ("vectors", "wanted"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 0.0),  # orthogonal: squared distance 2
        ([[1, 2, 3]] * 3, 1.0),  # identical
        ([[1, 2, 3], [-1, -2, -3]], 0.0),  # opposite: squared distance 4
        ([[1, 0, 0], [1, 0, 0], [0, 1, 0]], 1 / 3),  # one pair of three
        ([[1, 0], [math.cos(math.pi / 6), 0.5]], math.sqrt(3) - 1),  # 30 degrees: 1 - (2 - 2 cos 30)
        ([[1, 0], [0.5, math.sqrt(3) / 2]], 0.0),  # 60 degrees: squared distance 1, the margin
    ],
)
def test_diversity_of_known_prototypes(vectors, wanted, length):
    prototypes = torch.tensor(vectors, dtype=torch.float64).unsqueeze(0) * length
    assert diversity_loss(prototypes).item() == pytest.approx(wanted, abs=1e-12)


def test_diversity_is_the_mean_over_samples():
    prototypes = torch.tensor([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]]])
    assert diversity_loss(prototypes).item() == pytest.approx(0.5)


def test_consistency_is_the_squared_distance_between_neighbours_in_the_batch():
    # The same direction at another length, then a quarter turn of one of the two prototypes.
    prototypes = torch.tensor([[[2.0, 0], [0, 1]], [[1, 0], [0, 3]], [[0, 1], [0, 1]]])
    assert consistency_loss(prototypes).item() == pytest.approx((0 + 0 + 2 + 0) / 4)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_pseudo_loss_is_the_log_loss_of_each_position(factor):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (2, 4, 6))
    tampered = rng.random((2, 4 * factor, 6 * factor)) < 0.2
    wanted = tampered.reshape(2, 4, factor, 6, factor).any(axis=(2, 4))
    assert 0 < wanted.mean() < 1
    expected = log_loss(wanted.ravel(), 1 / (1 + np.exp(-logits.ravel())))
    for mask in (torch.from_numpy(tampered), torch.from_numpy(tampered.astype(np.uint8))):
        assert pseudo_loss(torch.from_numpy(logits), mask).item() == pytest.approx(expected, rel=1e-5)


def test_loss_terms_are_those_that_there_are():
    prediction, target = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    options = {
        "prediction": prediction,
        "distance": torch.full((1, 2, 2), 2.0),
        "prototypes": torch.ones(1, 3, 4),
    }
    plain = loss_terms(output_with(**options), target, mask)
    assert {name: term.item() for name, term in plain.items()} == pytest.approx(
        {"frame": 0.25, "compactness": 0.5, "diversity": 1.0}
    )
    logits = torch.zeros(1, 2, 2)
    headed = loss_terms(output_with(**options, logits=logits), target, mask)
    assert list(headed) == ["frame", "compactness", "diversity", "pseudo"]
    assert headed["pseudo"].item() == pytest.approx(math.log(2))
    assert "pseudo" not in loss_terms(output_with(**options, logits=logits), target)


def test_the_total_weighs_each_term_by_its_preset():
    chosen = preset("small", compactness_weight=3.0, diversity_weight=5.0, pseudo_weight=7.0)
    terms = {name: torch.tensor(value) for name, value in
             {"frame": 1.0, "compactness": 10.0, "diversity": 100.0, "pseudo": 1000.0}.items()}
    assert total_loss(terms, chosen).item() == pytest.approx(1 + 30 + 500 + 7000)
    del terms["pseudo"]
    assert total_loss(terms, chosen).item() == pytest.approx(531)


def test_base_has_the_published_weights():
    terms = {"frame": torch.tensor(2.0), "compactness": torch.tensor(3.0), "diversity": torch.tensor(1e4)}
    assert total_loss(terms, preset("base")).item() == pytest.approx(2 + 3 + 1)


def test_prototypes_that_nearly_coincide_are_pushed_apart():
    prototypes = torch.tensor([[[1.0, 0.0], [1.0, 0.1]]], requires_grad=True)
    diversity_loss(prototypes).backward()
    moved = (prototypes - 0.1 * prototypes.grad).detach()
    assert torch.cosine_similarity(*moved[0], dim=0) < torch.cosine_similarity(*prototypes.detach()[0], dim=0)

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import log_loss

from mpn.errors import MpnError
from mpn.model.config import get_config
from mpn.model.losses import (
    LOSS_TERMS,
    TrainingConfig,
    compactness_loss,
    diversity_loss,
    frame_loss,
    loss_terms,
    pseudo_loss,
    ranking_loss,
    total_loss,
    untampered_loss,
    usage_loss,
)
from mpn.model.output import Output


def output_with(
    *, prediction=None, features=4, distance=None, prototypes=None, assignment=None, logits=None
):
    """An Output of which only the parts that losses look at are set; `features` is D."""
    nothing = torch.zeros(1)
    return Output(
        nothing if prediction is None else prediction,
        nothing,
        torch.zeros(1, features, 1, 1),
        nothing,
        nothing if prototypes is None else prototypes,
        nothing if assignment is None else assignment,
        nothing,
        nothing if distance is None else distance,
        logits,
    )


def test_the_frame_loss_is_the_mean_squared_error():
    prediction = torch.tensor([[[[0.5, -1.0]]], [[[0.0, 1.0]]]])
    target = torch.tensor([[[[0.0, -1.0]]], [[[1.0, -1.0]]]])
    assert frame_loss(prediction, target).item() == pytest.approx((0.25 + 0 + 1 + 4) / 4)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32])
def test_nothing_is_asked_of_the_prediction_where_the_window_was_tampered_with(kind):
    prediction = torch.tensor([[[[0.5, -1.0]]], [[[0.0, 1.0]]]], requires_grad=True)
    target = torch.tensor([[[[0.0, -1.0]]], [[[1.0, -1.0]]]])
    loss = untampered_loss(prediction, target, torch.tensor([[[0, 0]], [[0, 1]]], dtype=kind))
    assert loss.item() == pytest.approx((0.25 + 0 + 1) / 4)
    loss.backward()
    assert prediction.grad.flatten().tolist() == pytest.approx([2 * 0.5 / 4, 0, 2 * -1 / 4, 0])
    assert untampered_loss(prediction, target, None) == frame_loss(prediction, target)
    # All colours of a place are left out together.
    colours, all_of_it = torch.ones(1, 3, 2, 2), torch.ones(1, 2, 2, dtype=kind)
    half = torch.tensor([[[1, 1], [0, 0]]], dtype=kind)
    assert untampered_loss(colours, 0 * colours, half).item() == pytest.approx(0.5)
    assert untampered_loss(colours, 0 * colours, all_of_it).item() == 0


def test_compactness_is_the_squared_distance_over_the_features():
    output = output_with(features=4, distance=torch.tensor([[[1.0, 3.0]], [[0.0, 2.0]]]))
    assert compactness_loss(output).item() == pytest.approx((1 + 3 + 0 + 2) / 4 / 4)
    assert output.compactness.tolist() == [[[0.25, 0.75]], [[0.0, 0.5]]]


@pytest.mark.parametrize("length", [1.0, 0.003, 40.0])
@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 0.0),  # orthogonal: squared distance 2
        ([[1, 2, 3]] * 3, 1.0),  # identical
        ([[1, 2, 3], [-1, -2, -3]], 0.0),  # opposite: squared distance 4
        ([[1, 0, 0], [1, 0, 0], [0, 1, 0]], 1 / 3),  # one pair of three
        # 30 degrees: 1 - (2 - 2 cos 30)
        ([[1, 0], [math.cos(math.pi / 6), 0.5]], math.sqrt(3) - 1),
        ([[1, 0], [0.5, math.sqrt(3) / 2]], 0.0),  # 60 degrees: squared distance 1, the margin
    ],
)
def test_diversity_of_known_prototypes(vectors, expected, length):
    prototypes = torch.tensor(vectors, dtype=torch.float64).unsqueeze(0) * length
    assert diversity_loss(prototypes).item() == pytest.approx(expected, abs=1e-12)


def test_diversity_is_the_mean_over_samples():
    prototypes = torch.tensor([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]]])
    assert diversity_loss(prototypes).item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [([0, 1, 2, 3], 0.0), ([2, 2, 2, 2], 1.0), ([0, 0, 1, 1], 0.5)],  # log 2 is half of log 4
)
def test_usage_of_known_assignments(positions, expected):
    assignment = torch.eye(4)[positions].unsqueeze(0)
    assert usage_loss(assignment).item() == pytest.approx(expected, abs=1e-6)


def test_usage_is_the_entropy_that_scipy_has_and_a_mean_over_samples():
    assignment = np.random.default_rng(2).dirichlet([0.3] * 6, (3, 7))
    expected = 1 - entropy(assignment.mean(axis=1), base=6, axis=1).mean()
    assert usage_loss(torch.from_numpy(assignment)).item() == pytest.approx(expected, rel=1e-9)


def test_a_prototype_that_is_assigned_nowhere_leaves_the_gradient_finite():
    logits = torch.tensor([[[200.0, 0.0, 0.0], [199.0, 200.0, 0.0]]], requires_grad=True)
    assignment = logits.softmax(dim=2)
    assert (assignment[..., 2] == 0).all()
    usage_loss(assignment).backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().max() > 0


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_pseudo_loss_is_the_log_loss_of_each_position(factor):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (2, 4, 6))
    tampered = rng.random((2, 4 * factor, 6 * factor)) < 0.2
    labels = tampered.reshape(2, 4, factor, 6, factor).any(axis=(2, 4))
    assert 0 < labels.mean() < 1
    expected = log_loss(labels.ravel(), 1 / (1 + np.exp(-logits.ravel())))
    for mask in (torch.from_numpy(tampered), torch.from_numpy(tampered.astype(np.uint8))):
        assert pseudo_loss(torch.from_numpy(logits), mask).item() == pytest.approx(
            expected, rel=1e-5
        )


def test_loss_terms_are_those_that_there_are():
    prediction, target = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    options = {
        "prediction": prediction,
        "distance": torch.full((1, 2, 2), 2.0),
        "prototypes": torch.ones(1, 3, 4),
        "assignment": torch.eye(4)[[0, 0, 1, 1]].unsqueeze(0),
    }
    weights = {"frame": 1.0, "compactness": 1.0, "diversity": 1.0, "usage": 1.0, "pseudo": 1.0}
    plain = loss_terms(output_with(**options), target, mask, weights)
    assert {name: term.item() for name, term in plain.items()} == pytest.approx(
        {"frame": 0.25, "compactness": 0.5, "diversity": 1.0, "usage": 0.5}
    )
    logits = torch.zeros(1, 2, 2)
    headed = loss_terms(output_with(**options, logits=logits), target, mask, weights)
    assert list(headed) == ["frame", "compactness", "diversity", "usage", "pseudo"]
    assert headed["pseudo"].item() == pytest.approx(math.log(2))
    assert "pseudo" not in loss_terms(output_with(**options, logits=logits), target, None, weights)
    # What weighs nothing, or is not named, is not computed.
    fewer = loss_terms(output_with(**options), target, mask, {"frame": 2.0, "usage": 0.0})
    assert list(fewer) == ["frame"]


def test_the_total_weighs_each_term():
    weights = {"frame": 1.0, "compactness": 3.0, "diversity": 5.0, "usage": 2.0, "pseudo": 7.0}
    values = {"frame": 1.0, "compactness": 10.0, "diversity": 100.0, "usage": 1e3, "pseudo": 1e4}
    terms = {name: torch.tensor(value) for name, value in values.items()}
    assert total_loss(terms, weights).item() == pytest.approx(1 + 30 + 500 + 2000 + 70000)
    del terms["pseudo"]
    assert total_loss(terms, weights).item() == pytest.approx(2531)


def test_base_has_the_published_weights():
    values = {"frame": 2.0, "compactness": 3.0, "diversity": 1e4, "usage": 1e9}
    terms = {name: torch.tensor(value) for name, value in values.items()}
    weights = get_config("base").training.loss_weights
    assert total_loss(terms, weights).item() == pytest.approx(2 + 3 + 1)


# --- Weights


def test_weights_that_are_not_given_are_the_terms_own():
    weights = TrainingConfig({"usage": 0.5}).loss_weights
    assert weights == {name: term.weight for name, term in LOSS_TERMS.items()} | {"usage": 0.5}
    changed = TrainingConfig({"usage": 0.5}).with_weights({"pseudo": 2})
    assert changed.loss_weights == {**weights, "pseudo": 2}


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_weights_out_of_range_are_refused(weight):
    with pytest.raises(MpnError, match="loss weight usage is .*: a number from 0 up"):
        TrainingConfig({"usage": weight})


def test_a_term_that_there_is_not_is_named():
    with pytest.raises(MpnError, match="no loss term 'psuedo'; there are frame, .*ranking"):
        TrainingConfig({"psuedo": 1.0})


def test_prototypes_that_nearly_coincide_are_pushed_apart():
    prototypes = torch.tensor([[[1.0, 0.0], [1.0, 0.1]]], requires_grad=True)
    diversity_loss(prototypes).backward()
    moved = (prototypes - 0.1 * prototypes.grad).detach()
    assert torch.cosine_similarity(*moved[0], dim=0) < torch.cosine_similarity(
        *prototypes.detach()[0], dim=0
    )


# --- Ranking


def test_ranking_by_hand():
    # One window of 2x2 positions, one of them tampered with: pairs (3, 1), (3, 2) with the two
    # hardest others.
    logits = torch.tensor([[[3.0, 1.0], [2.0, -5.0]]])
    tampered = torch.zeros(1, 4, 4, dtype=torch.bool)
    tampered[0, 1, 0] = True  # within position (0, 0)
    expected = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-1.0))) / 2
    assert ranking_loss(logits, tampered, hardest=2).item() == pytest.approx(expected, rel=1e-6)
    # Another window without anything tampered with gives two more others.
    both = torch.cat([logits, torch.full((1, 2, 2), 4.0)])
    masks = torch.cat([tampered, torch.zeros_like(tampered)])
    expected = (expected * 2 + 2 * math.log1p(math.exp(1.0))) / 4
    assert ranking_loss(both, masks, hardest=2).item() == pytest.approx(expected, rel=1e-6)


def test_ranking_does_not_change_with_the_level_and_falls_with_order():
    generator = torch.Generator().manual_seed(0)
    logits, tampered = (
        torch.randn(3, 8, 8, generator=generator),
        torch.zeros(3, 16, 16, dtype=torch.bool),
    )
    tampered[:2, 4:10, 4:10] = True
    first = ranking_loss(logits, tampered)
    assert ranking_loss(logits + 7, tampered).item() == pytest.approx(first.item(), rel=1e-5)
    better = logits.clone()
    better[:2, 2:5, 2:5] += 1
    assert ranking_loss(better, tampered) < first < math.log1p(math.e**6)


def test_ranking_of_nothing_is_nothing():
    logits = torch.randn(2, 4, 4, requires_grad=True)
    for tampered in (torch.zeros(2, 8, 8, dtype=torch.bool), torch.ones(2, 8, 8, dtype=torch.bool)):
        loss = ranking_loss(logits, tampered)
        loss.backward()
        assert loss.item() == 0 and torch.isfinite(logits.grad).all()


# --- Terms that are left for later


def test_terms_of_the_prototypes_rise_after_their_share_of_the_training():
    weights = {"frame": 1, "compactness": 2, "diversity": 3, "usage": 4, "pseudo": 5}
    training = TrainingConfig(weights, prototypes_after=0.25)
    later = {"compactness": 2.0, "diversity": 3.0, "usage": 4.0}
    for progress, risen in ((0, 0), (0.25, 0), (0.275, 0.25), (0.3, 0.5), (0.35, 1), (1, 1)):
        expected = training.loss_weights | {name: risen * later[name] for name in later}
        assert training.weights_at(progress) == pytest.approx(expected)
    assert TrainingConfig(weights).weights_at(0) == TrainingConfig(weights).loss_weights
    assert training.with_weights({"usage": 0.0}).prototypes_after == 0.25
    # However late, in the end they count in full.
    late = TrainingConfig(weights, prototypes_after=0.96)
    assert late.weights_at(0.98)["usage"] == pytest.approx(2)
    assert late.weights_at(1) == pytest.approx(late.loss_weights)


@pytest.mark.parametrize("share", [-0.1, 1, math.nan, math.inf, "0.5", True, None])
def test_what_is_no_share_of_a_training_is_refused(share):
    with pytest.raises(MpnError, match="prototypes_after .*: a share of the training from 0 up"):
        TrainingConfig(prototypes_after=share)

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from mpn.model.collapse import collapse
from mpn.model.output import Output


def output_with(prototypes, assignment, features):
    """prototypes (B, M, D), assignment (B, N, M), features (B, D, h, w): tensors or lists of
    numbers."""
    prototypes, assignment, features = (
        torch.as_tensor(np.asarray(part), dtype=torch.float32)
        for part in (prototypes, assignment, features)
    )
    b, d = features.shape[:2]
    inverse = 1 / features.reshape(b, d, -1).norm(dim=1).unsqueeze(2)
    nothing = torch.zeros(1)
    return Output(
        nothing, nothing, features, inverse, prototypes, assignment, nothing, nothing, None
    )


ONE_QUERY = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
UNIFORM = np.full((1, 4, 4), 0.25)


def test_a_collapsed_network_has_ones_everywhere():
    figures = collapse(output_with([[[1, 2]] * 4], UNIFORM, ONE_QUERY))
    assert figures == pytest.approx(
        {"prototype_cosine": 1, "query_to_mean": 1, "assignment_entropy": 1, "usage_entropy": 1},
        abs=1e-6,
    )


@pytest.mark.parametrize(
    ("prototypes", "expected"),
    [
        (np.eye(4), 0.0),
        ([[1, 0], [-5, 0]], -1.0),
        ([[2, 0], [1, 0], [0, 1]], 1 / 3),
        ([[1, 0], [3, 3]], np.sqrt(0.5)),
    ],
)
def test_the_mean_cosine_between_prototypes(prototypes, expected):
    figures = collapse(output_with(np.array([prototypes]), UNIFORM, ONE_QUERY))
    assert figures["prototype_cosine"] == pytest.approx(expected, abs=1e-6)


def test_queries_of_two_directions_are_half_a_right_angle_from_their_mean():
    features = np.zeros((1, 2, 1, 2))
    features[0, 0, 0, 0], features[0, 1, 0, 1] = 5, 0.1  # lengths don't count
    figures = collapse(output_with([np.eye(2)], UNIFORM, features))
    assert figures["query_to_mean"] == pytest.approx(np.sqrt(0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("positions", "usage"),
    [([0, 0, 0, 0], 0.0), ([0, 1, 2, 3], 1.0), ([0, 0, 1, 1], 0.5)],
)
def test_decided_assignments_have_no_entropy_but_their_usage_may(positions, usage):
    assignment = np.eye(4)[positions][None]
    figures = collapse(output_with([np.eye(4)], assignment, ONE_QUERY))
    assert figures["assignment_entropy"] == pytest.approx(0, abs=1e-7)
    assert figures["usage_entropy"] == pytest.approx(usage, abs=1e-6)


def test_entropies_agree_with_scipy_and_are_means_over_samples():
    rng = np.random.default_rng(4)
    assignment = rng.dirichlet([0.5] * 5, (3, 6))
    prototypes = rng.normal(size=(3, 5, 2))
    figures = collapse(output_with(prototypes, assignment, rng.normal(size=(3, 2, 2, 3))))
    assert figures["assignment_entropy"] == pytest.approx(
        entropy(assignment, base=5, axis=2).mean(), rel=1e-5
    )
    assert figures["usage_entropy"] == pytest.approx(
        entropy(assignment.mean(axis=1), base=5, axis=1).mean(), rel=1e-5
    )


def test_figures_are_plain_floats_of_a_real_forward(tiny):
    window = torch.rand(2, 4, 32, 48) * 2 - 1
    figures = collapse(tiny(window))
    assert all(type(value) is float for value in figures.values())
    assert -1 <= figures["prototype_cosine"] <= 1 and 0 <= figures["assignment_entropy"] <= 1

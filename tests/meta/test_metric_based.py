"""Classification by distance: by hand, against scikit-learn, and by its symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid

from mpn.errors import MpnError
from mpn.meta.metric_based import class_means, matching, prototypical

BOTH = pytest.mark.parametrize("classify", [prototypical, matching])


@pytest.fixture
def episode():
    """Embeddings of 4 classes, of 2 to 5 support items in a mixed order, and 30 queries."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.tensor([2, 0, 1, 3, 0, 1, 1, 3, 2, 0, 1, 1, 3])
    support = torch.randn(len(labels), 6, generator=generator, dtype=torch.float64)
    query = torch.randn(30, 6, generator=generator, dtype=torch.float64)
    return support, labels, query


def test_prototypes_by_hand():
    support = torch.tensor([[0.0, 0.0], [10.0, 4.0], [2.0, 0.0], [1.0, 3.0]])
    labels, query = torch.tensor([0, 1, 0, 0]), torch.tensor([[1.0, 2.0]])
    assert class_means(support, labels).tolist() == [[1.0, 1.0], [10.0, 4.0]]
    # Squared distances 1 and 81 + 4.
    scores = prototypical(support, labels, query)[0]
    assert scores.tolist() == pytest.approx([-math.log1p(math.exp(-84)), -84.0], abs=1e-6)


def test_attention_by_hand():
    support, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 7.0]]), torch.tensor([0, 1, 1])
    query = torch.tensor([[3.0, 0.0], [2.0, 2.0], [0.0, -1.0]])
    e = math.e
    # Cosines (1, 0, 0), (1, 1, 1) / sqrt 2, (0, -1, -1); both items of class 1 count.
    expected = [[e / (e + 2), 2 / (e + 2)], [1 / 3, 2 / 3], [e / (e + 2), 2 / (e + 2)]]
    assert np.allclose(matching(support, labels, query).exp(), expected, atol=1e-6)


def test_no_probability_of_matching_is_above_what_its_documentation_says():
    best = matching(torch.tensor([[1.0], *[[-1.0]] * 4]), torch.arange(5), torch.tensor([[1.0]]))
    assert round(best.exp().max().item(), 2) == 0.65


def test_the_nearest_prototype_is_scikit_learns_nearest_centroid(episode):
    support, labels, query = episode
    classifier = NearestCentroid().fit(support.numpy(), labels.numpy())
    assert np.allclose(classifier.centroids_, class_means(support, labels))
    predicted = prototypical(support, labels, query).argmax(dim=1)
    assert predicted.tolist() == classifier.predict(query.numpy()).tolist()
    assert len(predicted.unique()) == 4


def test_prototypical_is_a_gaussian_of_variance_one_half_around_each_mean(episode):
    support, labels, query = episode
    classifier = GaussianNB(priors=[0.25] * 4).fit(support.numpy(), labels.numpy())
    classifier.var_ = np.full_like(classifier.var_, 0.5)
    scores = prototypical(support, labels, query)
    assert np.allclose(scores, classifier.predict_log_proba(query.numpy()), rtol=1e-10)


def test_matching_is_a_weighted_vote_with_scikit_learns_cosines(episode):
    support, labels, query = episode
    weights = np.exp(cosine_similarity(query.numpy(), support.numpy()))
    votes = np.stack([weights[:, labels == k].sum(axis=1) for k in range(4)], axis=1)
    expected = votes / weights.sum(axis=1, keepdims=True)
    assert np.allclose(matching(support, labels, query).exp(), expected, rtol=1e-12)


@BOTH
def test_classes_numbered_in_another_order_give_the_columns_in_that_order(episode, classify):
    support, labels, query = episode
    order = torch.tensor([3, 1, 0, 2])  # class k is now order[k]
    reordered, expected = classify(support, order[labels], query), classify(support, labels, query)
    assert torch.allclose(reordered[:, order], expected, rtol=1e-12)
    assert not torch.allclose(reordered, expected)


@BOTH
def test_the_order_of_support_and_queries_does_not_matter(episode, classify):
    support, labels, query = episode
    expected, shuffled = classify(support, labels, query), torch.randperm(len(labels))
    assert torch.allclose(
        classify(support[shuffled], labels[shuffled], query), expected, rtol=1e-12
    )
    assert torch.allclose(classify(support, labels, query[4:5]), expected[4:5], rtol=1e-12)


def test_only_places_matter_to_prototypes_and_only_directions_to_matching(episode):
    support, labels, query = episode
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    moved = [x @ rotation + 3.0 for x in (support, query)]
    expected = prototypical(support, labels, query)
    assert torch.allclose(prototypical(moved[0], labels, moved[1]), expected, rtol=1e-9)
    longer = [x @ rotation * (1 + torch.rand(len(x), 1, dtype=x.dtype)) for x in (support, query)]
    expected = matching(support, labels, query)
    assert torch.allclose(matching(longer[0], labels, longer[1]), expected, rtol=1e-9)


@BOTH
def test_gradients_by_support_and_query_agree_with_finite_differences(episode, classify):
    support, labels, query = episode
    inputs = (support.requires_grad_(), query[:3].requires_grad_())
    assert torch.autograd.gradcheck(lambda s, q: classify(s, labels, q), inputs)


@BOTH
def test_far_embeddings_stay_finite(classify):
    support, labels = torch.tensor([[1e4, 0.0], [-1e4, 0.0]]), torch.arange(2)
    query = torch.tensor([[1e4, 1.0], [0.0, 0.0]], requires_grad=True)
    scores = classify(support, labels, query)
    scores.sum().backward()
    assert scores.isfinite().all() and query.grad.isfinite().all()
    assert scores[0, 0] > scores[0, 1] and scores[1, 0] == scores[1, 1]


@BOTH
@pytest.mark.parametrize(
    ("support", "labels", "query", "message"),
    [
        ((4, 1, 2), [0, 0, 1, 1], (3, 2), r"support \(4, 1, 2\).*flatten"),
        ((4, 2), [0, 0, 1, 1], (3, 5), r"query \(3, 5\): expected embeddings"),
        ((4, 2), [0, 0, 1], (3, 2), r"\(3,\) for 4 support items"),
        ((4, 2), [0.0, 0.0, 1.0, 1.0], (3, 2), r"labels torch.float32.*expected int64"),
        ((0, 2), [], (3, 2), r"for 0 support items"),
        ((4, 2), [0, 0, 2, 2], (3, 2), r"classes \[0, 2\]: expected numbers from 0"),
        ((4, 2), [1, 1, 2, 2], (3, 2), r"classes \[1, 2\]: expected numbers from 0"),
        ((2, 2), [-1, 0], (3, 2), r"classes \[-1, 0\]: expected numbers from 0"),
    ],
)
def test_what_does_not_fit_says_so(classify, support, labels, query, message):
    with pytest.raises(MpnError, match=message):
        classify(torch.zeros(support), torch.tensor(labels), torch.zeros(query))

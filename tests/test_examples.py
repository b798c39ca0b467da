"""The examples run, and learn something of what they are about."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from examples import few_shot_images
from examples.characters import Tasks, draw_characters


@pytest.fixture(scope="module")
def images():
    return draw_characters(12, items=10, seed=3)


def test_characters_are_the_same_again_and_more_of_them_change_none(images):
    assert images.shape == (12, 10, 28, 28) and images.dtype == np.uint8
    assert np.array_equal(draw_characters(3, items=10, seed=3), images[:3])
    assert not np.array_equal(draw_characters(3, items=10, seed=4), images[:3])
    pictures = images.reshape(120, -1)
    assert len(np.unique(pictures, axis=0)) == 120
    ink = (pictures > 127).mean(axis=1)
    assert ink.min() > 0.01 and ink.max() < 0.5


def test_items_of_a_character_are_more_alike_than_those_of_others_and_not_by_much(images):
    pictures = images.reshape(120, -1) / 255.0
    apart = np.linalg.norm(pictures[:, None] - pictures[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    right = (apart.argmin(axis=1) // 10 == np.arange(120) // 10).mean()
    assert 0.2 < right < 0.95  # by chance 1 in 12


def test_a_task_has_the_images_of_its_episode(images):
    tasks = Tasks(images, ways=4, shots=3, seed=0)
    (support, labels), (query, query_labels) = tasks[2]
    episode = tasks.sampler.episode(2)
    assert support.shape == (12, 1, 28, 28) and query.shape == (20, 1, 28, 28)
    assert labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    for k, (x, label) in enumerate([*zip(support, labels), *zip(query, query_labels)]):
        side, of_class = (episode.support, k % 3) if k < 12 else (episode.query, (k - 12) % 5)
        number = side[int(label)][of_class]
        original = images[int(episode.ways[int(label)]), number]
        assert np.array_equal((255 * x[0]).round().numpy(), original)


@pytest.mark.parametrize("method", few_shot_images.METHODS)
def test_every_method_learns_and_classifies_by_the_support(method, images):
    learner = few_shot_images.Learner(method, ways=3)
    before = {name: p.clone() for name, p in learner.network.state_dict().items()}
    training, new = (Tasks(half, 3, 2, seed=0) for half in (images[:8], images[8:]))
    losses = [learner.train([training[2 * step], training[2 * step + 1]]) for step in range(3)]
    assert np.isfinite(losses).all() or method == "reptile"
    after = learner.network.state_dict()
    body = [name for name in before if name.startswith("0.")]
    assert len(body) == 16 and not any(torch.equal(before[name], after[name]) for name in body)
    (pictures, labels), (query, _) = new[0]
    probabilities = learner.classify((pictures, labels), query).exp()
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(15))
    turned = learner.classify((pictures, (labels + 1) % 3), query).exp()
    assert not torch.allclose(probabilities, turned)
    accuracies = learner.accuracies(new, 12)
    assert accuracies.shape == (12,)
    if method in ("anil", *few_shot_images.METRIC_BASED):  # the others take longer
        assert 0.4 < accuracies.mean() <= 1  # by chance a third


def test_the_script_says_what_it_found(monkeypatch, capsys):
    monkeypatch.setattr(few_shot_images, "TRAINING_CLASSES", 6)
    monkeypatch.setattr(few_shot_images, "TEST_CLASSES", 6)
    arguments = "--method anil --ways 3 --shots 2 --steps 2 --episodes 4"
    monkeypatch.setattr(sys, "argv", ["few_shot_images", *arguments.split()])
    few_shot_images.main()
    out = capsys.readouterr().out
    assert "step 0: query loss" in out and "anil, 3-way 2-shot: accuracy on new" in out

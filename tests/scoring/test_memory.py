"""A camera's memory: nearest names and normals against scipy's distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mpn.model.taught import Taught
from mpn.scoring.memory import NAME_RADIUS, NORMAL_RADIUS, Memory

RNG = np.random.default_rng(0)


def taught(name: str | None, *points: list[float]) -> Taught:
    return Taught(name, "clip", 0, np.array(points, np.float32))


def test_the_nearest_name_is_scipys():
    examples = {name: RNG.normal(0, 0.3, (4, 6)).astype(np.float32) for name in "abc"}
    memory = Memory([Taught(name, "x", 0, values) for name, values in examples.items()])
    for point in RNG.normal(0, 0.3, (30, 6)).astype(np.float32):
        distances = {name: cdist(values, point[None]).min() for name, values in examples.items()}
        name = min(distances, key=lambda candidate: distances[candidate])
        nearest = memory.nearest(point)
        if distances[name] > NAME_RADIUS:
            assert nearest is None
        else:
            assert nearest is not None and nearest.name == name
            assert nearest.distance == pytest.approx(distances[name], rel=1e-5)


def test_examples_of_several_events_of_a_name_count_together():
    memory = Memory([taught("a", [0, 0]), taught("b", [0.3, 0]), taught("a", [0.5, 0])])
    nearest = memory.nearest(np.array([0.45, 0], np.float32))
    assert nearest is not None and nearest.name == "a" and nearest.distance == pytest.approx(0.05)


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_at_the_radius_by_hand(share):
    memory = Memory([taught(None, [1, 2, 3]), taught("a", [1, 2, 3])])
    point = np.array([1, 2, 3], np.float32)
    assert memory.is_normal(point + [0, share * NORMAL_RADIUS, 0]) == (share < 1)
    assert (memory.nearest(point + [share * NAME_RADIUS, 0, 0]) is not None) == (share < 1)


def test_names_are_not_normal_and_the_other_way_round():
    point = np.zeros(2, np.float32)
    assert not Memory([taught("a", [0, 0])]).is_normal(point)
    assert Memory([taught(None, [0, 0])]).nearest(point) is None
    assert Memory([]).nearest(point) is None and not Memory([]).is_normal(point)


@pytest.mark.parametrize(("at", "normal"), [(0.1, True), (0.25, True), (0.4, False)])
def test_what_is_nearer_to_a_name_is_not_normal(at, normal):
    memory = Memory([taught(None, [0, 0]), taught("a", [0.5, 0])])
    assert memory.is_normal(np.array([at, 0], np.float32)) == normal

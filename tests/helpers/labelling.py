"""Lengths and truth of the trees of `tests.helpers.trees`, loading and refusing, for the tests of
labels."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.errors import LabelError
from tests.helpers import trees

ANOMALOUS = 4 + 0 + 7  # frames 2-4 and 7 of video 1, none of video 2, all 7 of video 10
TOTAL = 8 + 6 + 7


def lengths_of(tree):
    return {video.name: count for video, count in zip(tree.testing, trees.TESTING.values())}


def load(root, path=None, layout=None):
    tree = recognise(root, layout)
    return load_labels(tree, lengths_of(tree), path)


def assert_true(labels):
    assert (labels.total, labels.anomalous) == (TOTAL, ANOMALOUS)
    for (name, label), expected in zip(labels.frames.items(), trees.truth().values()):
        assert label.dtype == bool and np.array_equal(label, expected), name


def refused(match, root, path=None):
    with pytest.raises(LabelError, match=match) as caught:
        load(root, path)
    assert "\n" not in str(caught.value)


def rows(names="{}"):
    return [
        f"{names.format(int(key))},{start},{stop}"
        for key, spans in trees.ANOMALIES.items()
        for start, stop in spans
    ]


def all_labels():
    return np.concatenate(list(trees.truth().values()))

"""Runs of True, by hand and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpn.io.runs import intervals, run_edges


@pytest.mark.parametrize(
    ("flags", "runs"),
    [
        ([], []),
        ([0, 0, 0, 0], []),
        ([1, 1, 1, 1, 1], [(0, 5)]),
        ([1, 1, 0, 1, 0, 0, 1], [(0, 2), (3, 4), (6, 7)]),
        ([0, 1, 1, 0], [(1, 3)]),
        ([0, 2, 255, 0], [(1, 3)]),  # masks of another type than bool: all but 0 is True
    ],
)
def test_runs_by_hand(flags: list[int], runs: list[tuple[int, int]]) -> None:
    assert intervals(np.array(flags)) == runs
    edges = run_edges(np.array(flags, bool))
    assert edges.shape == (len(runs), 2) and np.issubdtype(edges.dtype, np.integer)
    assert edges.tolist() == [list(run) for run in runs]


def test_bounds_are_numbers_of_python() -> None:
    assert all(type(bound) is int for run in intervals(np.array([True])) for bound in run)


@given(st.lists(st.booleans()))
def test_runs_cover_what_is_true_and_touch_nowhere(flags: list[bool]) -> None:
    runs = intervals(np.array(flags, bool))
    rebuilt = np.zeros(len(flags), bool)
    for start, end in runs:
        assert start < end
        rebuilt[start:end] = True
    assert rebuilt.tolist() == flags
    assert all(end < start for (_, end), (start, _) in zip(runs, runs[1:]))

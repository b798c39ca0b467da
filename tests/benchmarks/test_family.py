"""What the table of the family says, by hand."""

from __future__ import annotations

import math

from benchmarks.family import ROWS, config_of
from benchmarks.family_summary import closest, differences


def run(demo, ped1):
    return {"figures": {"demo score": demo, "ped1 score": ped1, "psnr": 30.0}}


def test_one_row_is_small_as_it_was_when_it_was_asked_everywhere():
    before = config_of(ROWS["asked everywhere"], quick=False).training
    assert before.prototypes_after == 0
    assert {name: weight for name, weight in before.loss_weights.items() if weight} == {
        "frame": 1.0,
        "compactness": 1.0,
        "diversity": 0.01,
        "usage": 0.01,
        "pseudo": 0.01,
    }
    at_once = config_of(ROWS["prototypes at once"], quick=False).training
    usual = config_of(ROWS["prototype"], quick=False).training
    assert at_once.loss_weights == usual.loss_weights
    assert (at_once.prototypes_after, usual.prototypes_after) == (0, 0.5)


def test_rows_are_close_by_the_mean_of_their_scores_and_the_first_always_is():
    rows = {
        "first": {0: run(50.0, 50.0)},
        "best": {0: run(80.0, 70.0)},
        "near": {0: run(70.0, 76.0)},
        "far": {0: run(75.9, 70.0)},
    }
    assert closest(rows, 2.0) == ["first", "best", "near"]


def test_differences_are_paired_by_seed_with_students_interval():
    rows = {
        "first": {0: run(60.0, 70.0), 1: run(70.0, 70.0), 2: run(80.0, 70.0)},
        "other": {0: run(61.0, 69.0), 1: run(73.0, 69.0), 2: run(85.0, 69.0)},
        "once": {0: run(90.0, 90.0)},
    }
    (name,) = differing = differences(rows)
    assert name == "other"
    # 1, 3, 5: mean 3, deviation 2; t of two degrees of freedom from a printed table: 4.303.
    assert differing["other"]["demo score"]["mean"] == 3.0
    half = differing["other"]["demo score"]["half_width_95"]
    assert math.isclose(half, 4.303 * 2 / math.sqrt(3), rel_tol=1e-3)
    assert differing["other"]["ped1 score"] == {"mean": -1.0, "half_width_95": 0.0}

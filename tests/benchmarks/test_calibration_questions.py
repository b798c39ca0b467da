"""Promises of several cameras put together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.calibration_questions import merge_promises
from mpn.scoring.calibration import Calibration, calibrate
from mpn.scoring.reliability import reliability
from tests.scoring.test_reliability import flat, made  # noqa: F401 (made is a fixture)


def test_several_cameras_as_one(made: Calibration) -> None:  # noqa: F811
    loud, quiet = flat(1800, *range(10, 1800, 100), height=50.0), flat(5400)
    first, second = (reliability(made, {"v": x}, [6, 60]) for x in (loud, quiet))
    merged = merge_promises([first, second])
    assert [(p.episodes, p.hours, p.observed) for p in merged] == [(18, 2.0, 9.0)] * 2
    # of one calibration: nothing is lost
    assert merged == reliability(made, {"a": loud, "b": quiet}, [6, 60])
    other = calibrate({"hour": np.sin(np.arange(600.0))}, 1)
    mixed = merge_promises([first, reliability(other, {"v": quiet}, [6, 60])])
    assert all(math.isnan(p.threshold) for p in mixed)
    assert [p.extrapolated for p in mixed] == [False, False]
    assert mixed[0].hours_behind == pytest.approx(1 / 6)
    with pytest.raises(ValueError, match="2 different lists of rates"):
        merge_promises([first, second[:1]])
    with pytest.raises(ValueError, match="0 cameras"):
        merge_promises([])

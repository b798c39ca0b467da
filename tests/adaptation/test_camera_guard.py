"""Adapting to a camera on footage that shows an intruder: what the guard leaves out."""

from __future__ import annotations

import pytest

from mpn.scoring.detector import Detector
from tests.helpers.adapted_cameras import (
    POISON,
    POISONED,
    WINDOW,
    adapted_on,
    detector_of,
    split_calibration,
)
from tests.helpers.small_model import FPS, footage, write_footage

pytestmark = pytest.mark.usefixtures("coarse_flow")


def test_before_is_the_base_s_own_threshold_on_this_camera(base, poisoned):
    _, report = adapted_on(base, poisoned, guard=False, force=True)
    detector = detector_of(base)
    assert (
        report.before.threshold == detector.calibration(FPS).threshold(1).value
        and report.before.extrapolated
    )
    # The intruder is far above it, nothing else is, and windows cut what is held out.
    targets = split_calibration(report.windows, POISONED)
    stretches = [t for t in targets if t - 1 not in targets]
    assert 1 <= report.before.false_alarms <= len(stretches)
    # It jumps in every frame from 60 to 120; some 850 deviations take 16 frames to fall below 4, by
    # 0.7 a frame.
    surely, perhaps = (sum(POISON[0] <= t <= POISON[1] + more for t in targets) for more in (0, 16))
    assert surely <= round(report.before.above * len(targets)) <= perhaps


def test_the_guard_names_the_poisoned_windows_and_takes_others(base, poisoned):
    adapted, report = adapted_on(base, poisoned)
    # Of the windows at frames 33, 92 and 150 the second shows the intruder.
    assert [(entry.clip, entry.frame) for entry in report.left_out] == [(0, 92)]
    entry = report.left_out[0]
    assert entry.deviation > 10 and report.windows == sorted([(0, 33), (0, entry.by), (0, 150)])
    for _, target in report.windows:
        assert not set(range(target - WINDOW, target + 1)) & set(range(*POISON))
    # What is calibrated on has nothing of it either, and what is excluded is it with its
    # surroundings.
    (stretch,) = report.excluded
    assert (
        POISON[0] - 15 <= stretch.start < POISON[0] and POISON[1] <= stretch.stop < POISON[1] + 16
    )
    outside = split_calibration(report.windows, POISONED, set(range(stretch.start, stretch.stop)))
    assert report.held_out == len(outside) == sum(map(len, adapted.normal["error"]))


def test_with_the_guard_the_same_anomaly_is_found_elsewhere_and_without_it_is_not(
    base, poisoned, tmp_path
):
    elsewhere = write_footage(tmp_path / "elsewhere", footage(60, intruder=(30, 50), seed=8))
    for guarded in (True, False):
        adapted, _ = adapted_on(base, poisoned, guard=guarded, force=True)
        detector = Detector(adapted, precision="float32")
        threshold = detector.calibration(FPS).threshold(1).value
        above = [result.frame for result in detector.score(elsewhere) if result.score > threshold]
        # A threshold is never below what was normal.
        assert (len(above) >= 15 and set(above) <= set(range(30, 62))) if guarded else not above


def test_without_the_guard_windows_stay_where_they_are(base, poisoned):
    _, report = adapted_on(base, poisoned, guard=False, force=True)
    assert (
        report.windows == [(0, 33), (0, 92), (0, 150)]
        and not report.left_out
        and not report.excluded
    )
    assert report.options["guard"] is False

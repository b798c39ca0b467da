"""Adapting to a camera on footage that shows an intruder, who is learned, left out or excluded."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.adaptation.camera import CameraOptions, adapt_clips
from mpn.adaptation.footage import Without, read_footage
from mpn.adaptation.place import Stretch
from mpn.errors import DataError
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

# What shows the intruder, with what the smoothing of the score reaches.
AROUND = (POISON[0] - 10, POISON[1] + 16)


def test_before_is_the_base_s_own_threshold_on_this_camera(base, poisoned):
    _, report = adapted_on(base, poisoned, force=True)
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
    surely, perhaps = (
        sum(POISON[0] <= t <= POISON[1] + longer for t in targets) for longer in (0, 16)
    )
    assert surely <= round(report.before.above * len(targets)) <= perhaps


def test_windows_stay_where_they_are(base, poisoned):
    _, report = adapted_on(base, poisoned, force=True)
    assert report.windows == [(0, 33), (0, 92), (0, 150)] and not report.excluded


def test_left_out_by_its_owner_the_same_anomaly_is_found_elsewhere_and_learned_it_is_not(
    base, poisoned, tmp_path
):
    elsewhere = write_footage(tmp_path / "elsewhere", footage(60, intruder=(30, 50), seed=8))
    for without in ([Without(AROUND[0], AROUND[1] - 1)], []):
        adapted, _ = adapted_on(base, poisoned, without=without, force=True)
        detector = Detector(adapted, precision="float32")
        threshold = detector.calibration(FPS).threshold(1).value
        above = [result.frame for result in detector.score(elsewhere) if result.score > threshold]
        # A threshold is never below what was normal.
        assert (len(above) >= 15 and set(above) <= set(range(30, 62))) if without else not above


def test_nothing_is_learned_of_what_is_excluded(base, poisoned):
    detector, excluded = detector_of(base), [Stretch(0, *AROUND)]
    clips = read_footage(detector, poisoned, None, False)
    options = CameraOptions(network=True)
    adapted, report = adapt_clips(detector, poisoned, clips, options, excluded=excluded)
    (place,) = adapted.places.values()
    assert place.frames == POISONED - 1 - (AROUND[1] - AROUND[0])  # the first has no motion
    outside = split_calibration([], POISONED, set(range(*AROUND)))
    assert report.held_out == len(outside) == sum(map(len, adapted.normal["error"]))
    scores = list(detector.score(poisoned))
    assert np.concatenate(adapted.normal["error"]) == pytest.approx(
        [scores[frame].parts["error"] for frame in outside], rel=1e-3, abs=1e-6
    )
    assert report.to_dict()["excluded"] == excluded


def test_where_too_much_is_excluded_it_is_said(base, poisoned):
    detector, excluded = detector_of(base), [Stretch(0, 40, POISONED)]
    clips = read_footage(detector, poisoned, None, False)
    with pytest.raises(
        DataError,
        match=rf"of its {POISONED} frames moments that do not count leave {40 - WINDOW} to "
        r"calibrate on, and it takes 50: give a longer clip",
    ):
        adapt_clips(detector, poisoned, clips, excluded=excluded)

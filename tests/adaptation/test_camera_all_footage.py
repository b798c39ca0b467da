"""Adapting to a camera by all of its footage, but for what is kept apart to calibrate on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpn.adaptation import camera
from mpn.adaptation.footage import read_footage
from mpn.adaptation.inner_loop import Adaptation
from mpn.adaptation.place import learn_place, motion_columns
from mpn.adaptation.plan import Plan, plan_of
from mpn.errors import DataError
from mpn.scoring.detector import Detector
from mpn.scoring.scores import ScoreConfig
from tests.helpers.adapted_cameras import (
    WINDOW,
    adapted_on,
    detector_of,
)
from tests.helpers.small_model import footage, write_footage

pytestmark = pytest.mark.usefixtures("coarse_flow")


LONG = 320
BY_ADAM = Adaptation("adam", steps=2, learning_rate=1e-4, batch=4, targets=("pseudo_head.",))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Footage of which a quarter is enough to calibrate on."""
    return write_footage(tmp_path_factory.mktemp("day") / "lobby", footage(LONG, seed=5))


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """The plans that were made by `whole`."""
    return []


@pytest.fixture(scope="module")
def whole(base: Path, day: Path, plans: list[Plan]):
    """A model that Adam has adapted on all footage that it may."""

    def recorded(*arguments: object) -> Plan:
        plans.append(plan_of(*arguments))
        return plans[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera, "plan_of", recorded)
        return adapted_on(base, day, shots=None, adaptation=BY_ADAM, force=True)


def frames_of(stretches) -> set[int]:
    return {frame for stretch in stretches for frame in range(stretch.start, stretch.stop)}


def test_by_adam_a_network_learns_from_all_footage_but_a_quarter_in_pieces(whole, plans):
    _, report = whole
    (plan,) = plans
    learned, held_out = frames_of(plan.learned), frames_of(plan.held_out_ranges)
    assert not learned & held_out and learned | held_out == set(range(LONG))
    assert len(held_out) == pytest.approx(LONG / 4, abs=4) and len(plan.held_out_ranges) == 4
    # Not one stretch: light and habits change in the course of footage.
    assert [piece.start // 80 for piece in plan.held_out_ranges] == [0, 1, 2, 3]
    # Of each piece, which no window reaches beyond, all windows are learned from.
    assert plan.shots is not None
    assert len(plan.shots) == sum(stretch.stop - stretch.start - WINDOW for stretch in plan.learned)
    assert report.windows == [] and report.held_out == len(held_out) - 4 * WINDOW


def test_held_out_frames_are_judged_by_a_network_and_a_place_model_of_others(
    base, day, whole, plans
):
    adapted, report = whole
    clips = read_footage(detector_of(base), day, None, False)
    rest = learn_place(clips, plans[0].learned)
    for number, (_, start, stop) in enumerate(plans[0].held_out_ranges):
        by_others = motion_columns(clips[0], rest, start, stop)
        for name, values in by_others.items():
            assert adapted.normal[name][number] == pytest.approx(values[WINDOW:], rel=2e-3)
    scores = list(Detector(adapted, precision="float32").score(day))
    targets = [
        frame
        for piece in plans[0].held_out_ranges
        for frame in range(piece.start + WINDOW, piece.stop)
    ]
    assert np.concatenate(adapted.normal["pseudo"]) == pytest.approx(
        [scores[frame].parts["pseudo"] for frame in targets], rel=2e-3, abs=1e-6
    )
    # What is written knows all of the footage: its first frame has no motion.
    (place,) = adapted.places.values()
    assert place.frames == LONG - 1
    assert report.after.loss != report.before.loss


def test_of_long_footage_windows_are_spread_over_all_of_it(base, day, whole, plans, monkeypatch):
    monkeypatch.setattr("mpn.adaptation.plan.MAX_WINDOWS", 6)
    monkeypatch.setattr(
        camera, "plan_of", lambda *arguments: plans.append(plan_of(*arguments)) or plans[1]
    )
    adapted_on(base, day, shots=None, adaptation=BY_ADAM, force=True)
    shots = plans.pop().shots
    assert shots is not None and len(shots) == 6


def test_a_quarter_that_is_too_short_to_calibrate_on_is_said(base, clip):
    with pytest.raises(
        DataError,
        match=r"lobby: of its 120 frames the quarter that is kept apart has \d+ to "
        r"calibrate on, and it takes 50: give a longer clip",
    ):
        adapted_on(base, clip, shots=None, adaptation=BY_ADAM)


def test_what_stays_is_known_no_better_by_a_network_that_was_adapted(whole):
    adapted, _ = whole
    weights = ScoreConfig.from_dict(adapted.score_config).weights
    assert (weights["error"], weights["pseudo"]) == (0.5, 0.5)  # as trained here
    # Of 24 of its 32 s nobody knows for how long things stay, so that it has no units.
    assert weights["stays"] == 0 and "stays" not in adapted.normal

"""What judges footage of another frame rate than the model's."""

from __future__ import annotations

import numpy as np
import pytest

import mpn
from mpn.model.checkpoint import Checkpoint
from mpn.motion.place import PlaceModel
from mpn.scoring.parts import MOTION_PARTS
from mpn.scoring.rates import at_rate
from mpn.scoring.scores import ScoreConfig
from tests.helpers.motion_parts import WEIGHTS
from tests.helpers.small_model import still_network


def detector(places: bool, fps: float | None = 10.0) -> mpn.Detector:
    """A detector, of a camera or of none."""
    place = PlaceModel((4, 6))
    place.add(np.ones((20, 4, 6, 10), np.float16))
    weights = WEIGHTS if places else dict.fromkeys(("error", "pseudo"), 1.0)
    config = ScoreConfig(weights=weights).to_dict()
    by_camera = {"s": place} if places else {}
    return mpn.Detector(Checkpoint(still_network(), score_config=config, places=by_camera, fps=fps))


@pytest.mark.parametrize("fps", [7.0, 10.0, 14.9, None])
def test_near_the_model_s_rate_all_of_it_judges(fps: float | None) -> None:
    camera_detector = detector(places=True)
    assert at_rate(camera_detector, fps) == (camera_detector, "")


@pytest.mark.parametrize("fps", [5.0, 6.6, 15.1, 25.0])
def test_far_from_it_motion_judges_alone_and_that_is_said(fps: float) -> None:
    camera_detector = detector(places=True)
    adjusted, note = at_rate(camera_detector, fps)
    assert {name for name, weight in adjusted.weights.items() if weight} == set(MOTION_PARTS)
    assert [adjusted.weights[name] for name in MOTION_PARTS] == [WEIGHTS[n] for n in MOTION_PARTS]
    assert f"{fps:g} frames/s, the model's footage has 10" in note
    assert at_rate(adjusted, fps) == (adjusted, "")


def test_without_places_or_a_known_rate_nothing_changes() -> None:
    for unchanged in (detector(places=False), detector(places=True, fps=None)):
        assert at_rate(unchanged, 25.0) == (unchanged, "")

"""The method "place" of the few-shot protocols: its columns, and whose they are."""

from __future__ import annotations

import numpy as np
import pytest

import mpn
from mpn.adaptation.place import learn_place, motion_columns, windows_as_stretches
from mpn.datasets.shots import spread
from mpn.datasets.windows import Clip
from mpn.evaluation.few_shot import METHODS, few_shot
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import Network
from mpn.scoring.parts import MOTION_PARTS
from mpn.scoring.scores import ScoreConfig, score_frames
from tests.helpers.moving import cells, moving_clip, outstanding

PLACE = {"place": METHODS["place"]}


def film(name: str, seed: int, count: int = 26) -> Clip:
    """Noise that moves at random."""
    generator = np.random.default_rng(seed)
    speeds = [0.0, *generator.lognormal(0, 0.5, count - 1)]
    clip = moving_clip([cells(speed) for speed in speeds], name)
    clip.frames[:] = generator.integers(0, 256, clip.frames.shape, np.uint8)
    return clip


@pytest.fixture
def detector(tiny: Network) -> mpn.Detector:
    return mpn.Detector(Checkpoint(tiny), precision="float32")


@pytest.mark.parametrize("names", ["{:02d}", "Train{:03d}"])
def test_test_videos_are_judged_by_their_own_frames(detector: mpn.Detector, names: str) -> None:
    """Names are unique within a split; a test video may be called as a training video is."""
    training = [film(names.format(number), number) for number in (1, 2, 3, 4)]
    testing = [film(f"{number:02d}", 10 + number) for number in (1, 2, 3, 4)]
    (row,) = few_shot(detector, training, testing, shots=(2,), draws=1, methods=PLACE)
    assert list(row.columns) == ["01", "02", "03", "04"]
    for clip in testing:
        columns = row.columns[clip.name]
        expected = [frame.parts["error"] for frame in score_frames(detector.network, clip.frames)]
        np.testing.assert_allclose(columns["error"][4:], expected, rtol=1e-5)
        assert np.isnan(columns["score"][:4]).all() and np.isfinite(columns["score"][4:]).all()


def test_columns_are_of_a_place_of_the_support_windows(detector: mpn.Detector) -> None:
    training = [film("a", 1, 60)]
    testing = [film("b", 2)]
    (row,) = few_shot(detector, training, testing, shots=(3,), draws=1, methods=PLACE)
    support = training[0].cut(0, 45)  # a single clip's last quarter is for the units
    place = learn_place([support], windows_as_stretches(spread([support], 3, 4), 4))
    expected, columns = motion_columns(testing[0], place), row.columns["b"]
    rest = training[0].cut(45, 60)
    for name in MOTION_PARTS:
        assert np.isnan(columns[name][:4]).all()
        np.testing.assert_allclose(columns[name][4:], expected[name][4:], atol=1e-6)
    # Each part in units of these frames, by its weight; the network was trained elsewhere.
    normal = {name: values[4:] for name, values in motion_columns(rest, place).items()}
    scored = list(score_frames(detector.network, rest.frames))
    weights = ScoreConfig().with_place(trained_here=False).weights
    score = []
    for name in ("error", *MOTION_PARTS):  # the head's weight is 0
        values = normal.get(name, [frame.parts.get(name, 0.0) for frame in scored])
        units_of = np.mean(values, dtype=np.float64), np.std(values)
        units = (columns[name][4:] - units_of[0]) / units_of[1]
        if name == "error":  # beside motion
            units = np.sign(units) * 4 * np.log1p(np.abs(units) / 4)
        score.append(weights[name] * units)
    np.testing.assert_allclose(columns["score"][4:], outstanding(score), rtol=1e-3, atol=1e-3)


def test_the_paper_s_protocol_has_no_place(detector: mpn.Detector) -> None:
    rows = few_shot(
        detector, [], [film("b", 2)], protocol="test_prefix", shots=(2,), draws=1, methods=PLACE
    )
    assert list(rows) == []

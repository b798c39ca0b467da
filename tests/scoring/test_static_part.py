"""The part that judges what stays, in a detector, in clips and in jobs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mpn
from mpn.adaptation.place import Stretch, learn_place, motion_columns, pieces_of, with_motion
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.model.checkpoint import Checkpoint
from mpn.motion.cameras import PlaceStream, judge_static
from mpn.motion.place import PlaceModel, frame_number
from mpn.scoring.clips import normal_parts, score_clips
from mpn.scoring.parts import STAYS, column_names, motion_numbers
from mpn.scoring.scores import ScoreConfig
from tests.helpers.scoring_jobs import OPTIONS, score_source, stopping
from tests.helpers.small_model import SIZE, footage, still_network, write_footage

pytestmark = pytest.mark.usefixtures("coarse_flow")

FPS = 6.0  # every third frame is looked at
LEFT_AT, COUNT = 24, 66
NORMAL = 384  # frames, 64 seconds
JOB = replace(OPTIONS, fps=FPS)
THING = np.s_[32:48, 56:72]  # pixels of the footage, 64x96
WEIGHTS = {"error": 0.5, "pseudo": 0.5, "speed": 1.0, "direction": 1.0, "stays": 0.5}


def clip_of(folder: Path) -> Clip:
    return load_clips([Video("clip", folder, "s")], SIZE, True, motion=True, fps=FPS)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds; after four something bright is put down, and stays."""
    frames = footage(COUNT)
    frames[(slice(LEFT_AT, None), *THING)] = 250
    return write_footage(tmp_path_factory.mktemp("left") / "clip", frames)


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """64 seconds in which nothing happens."""
    frames = footage(NORMAL, seed=5)
    return clip_of(write_footage(tmp_path_factory.mktemp("normal") / "clip", frames))


@pytest.fixture(scope="module")
def place(normal: Clip) -> PlaceModel:
    return learn_place([normal], [Stretch(0, 0, len(normal.frames))])


def detector_of(place: PlaceModel, **weights: float) -> mpn.Detector:
    config = ScoreConfig(weights=weights or WEIGHTS).to_dict()
    checkpoint = Checkpoint(still_network(), fps=FPS, score_config=config, places={"s": place})
    return mpn.Detector(checkpoint, precision="float32")


def test_footage_that_is_long_enough_knows_what_stays(place: PlaceModel, normal: Clip) -> None:
    assert place.background.known and judge_static({"s": place})
    assert place.background.seconds == pytest.approx(64)
    short = learn_place([normal], [Stretch(0, 0, 170)])
    assert not short.background.known and not judge_static({"s": short})
    windows = learn_place([normal], [Stretch(0, at, at + 5) for at in range(0, 380, 5)])
    assert windows.frames > 300 and windows.background.readings == 0
    assert not judge_static({})


def test_a_thing_left_behind_stands_out_the_longer_it_stays(place, folder) -> None:
    detector = detector_of(place)
    assert STAYS in detector.parts and detector.columns == column_names(detector.parts)
    results = list(detector.score(folder, fps=FPS))
    stays = np.array([result.parts.get("stays", np.nan) for result in results])
    assert np.isnan(stays[:4]).all()
    np.testing.assert_allclose(stays[4:LEFT_AT], math.log(0.2), atol=1e-6)
    assert (np.diff(stays[LEFT_AT:]) >= 0).all()
    # put down in the frame of a reading, twice a second: seven seconds to the last, of one
    assert stays[-1] == pytest.approx(math.log(7))


def test_its_box_is_on_the_thing(place: PlaceModel, folder: Path) -> None:
    detector = detector_of(place, stays=1.0, error=0.0, pseudo=0.0)
    last = list(detector.score(folder, fps=FPS))[-1]
    assert last.region is not None
    top, left, height, width = last.region
    assert top <= 40 <= top + height and left <= 64 <= left + width


@pytest.mark.parametrize("first", [28, 40, 56])
def test_going_on_gives_the_same(place: PlaceModel, folder: Path, first: int) -> None:
    detector = detector_of(place)
    whole = list(detector.score(folder, fps=FPS))
    smoothed = whole[first - 1].score
    again = list(detector.score(folder, fps=FPS, first=first, smoothed=smoothed))
    assert [result.parts for result in again] == [result.parts for result in whole[first:]]
    assert [result.score for result in again] == [result.score for result in whole[first:]]


@pytest.mark.parametrize("stops", [[29], [14, 41, 62]])
def test_a_job_that_was_stopped_ends_as_one_left_alone(place, folder, tmp_path, stops) -> None:
    detector = detector_of(place)
    score_source(detector, folder, tmp_path / "whole", JOB)
    for at in stops:
        with pytest.raises(KeyboardInterrupt):
            score_source(
                stopping(detector, at), folder, tmp_path / "again", replace(OPTIONS, fps=FPS)
            )
    score_source(detector, folder, tmp_path / "again", JOB)
    for name in ("scores.csv", "clip_regions.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "stays" in (tmp_path / "whole" / "scores.csv").read_text().splitlines()[0]


def test_clips_score_as_the_stream(place: PlaceModel, folder: Path) -> None:
    detector = detector_of(place)
    (columns,) = score_clips(detector, [clip_of(folder)], "scoring")
    expected = [result.parts["stays"] for result in list(detector.score(folder, fps=FPS))[4:]]
    np.testing.assert_allclose(columns["stays"][4:], expected, atol=1e-5)
    motion = motion_columns(clip_of(folder), place, static=True)
    np.testing.assert_allclose(motion["stays"][4:], expected, atol=1e-5)


def test_a_stretch_is_judged_as_if_the_clip_began_there(place: PlaceModel, folder: Path) -> None:
    clip = clip_of(folder)
    columns = motion_columns(clip, place, LEFT_AT - 12, static=True)
    assert columns["stays"].max() == pytest.approx(math.log(7))
    assert motion_columns(clip, place, LEFT_AT, static=True)["stays"].max() < math.log(0.21)


def test_a_camera_that_does_not_know_what_stays_says_nothing(place, normal, folder) -> None:
    short = learn_place([normal], [Stretch(0, 0, 100)])
    detector = detector_of(short)
    assert STAYS not in detector.parts and "stays" not in detector.columns
    # beside another camera that knows it
    grid, longer = place.grid, learn_place([normal], [Stretch(0, 0, NORMAL)])
    longer.picture_sum = np.random.default_rng(1).uniform(0, 2e4, longer.picture_sum.shape)
    both = replace(detector.checkpoint, places={"s": short, "other": longer})
    results = list(mpn.Detector(both, precision="float32").score(folder, fps=FPS))
    assert {result.parts["stays"] for result in results[4:]} == {math.log(0.2)}
    stream = PlaceStream({"s": short}, (64, 96), FPS, lambda frame: frame)
    assert stream.read(footage(1)[0]).shape == (3, *grid)


def test_without_weight_it_is_not_computed(place: PlaceModel, folder: Path) -> None:
    detector = detector_of(place, **WEIGHTS | {"stays": 0.0})
    assert STAYS not in detector.parts
    assert "stays" not in list(detector.score(folder, fps=FPS))[50].parts


def test_numbers_are_of_the_two_largest_cells() -> None:
    values = np.zeros((3, 6, 8), np.float32)
    values[2, 2, 3], values[2, 2, 4], values[2, 5, 5] = 9, 5, 4
    assert frame_number(values[2], 2) == 7
    assert motion_numbers(values)["stays"] == pytest.approx(math.log(7))
    assert list(motion_numbers(values[:2])) == ["speed", "direction"]


def test_weights_by_hand() -> None:
    for here in (True, False):
        knows, not_ = (
            ScoreConfig().with_place(trained_here=here, static=static) for static in (True, False)
        )
        assert not_.weights["stays"] == 0
        assert knows.weights == not_.weights | {"stays": 0.5 if here else 0.25}
        assert knows.with_place(trained_here=here, static=True) == knows
        assert knows.with_place(trained_here=here, static=False) == not_
        assert knows.without_place() == not_.without_place()


def test_normal_footage_is_scored_with_it(place: PlaceModel, folder: Path) -> None:
    normal = normal_parts(still_network(), [clip_of(folder)], {"s": place})
    assert list(normal) == list(WEIGHTS)
    assert normal["stays"][0].max() == pytest.approx(math.log(7))


def judged(
    columns: list[dict[str, np.ndarray]], clip: Clip, frames: int
) -> list[dict[str, np.ndarray]]:
    """Judge a clip's first frames, each piece by the others."""
    held_out = [Stretch(0, 0, frames)]
    pieces = pieces_of([clip], held_out, None, static=True)
    return with_motion(columns, [clip], held_out, pieces, 4)


def test_footage_is_judged_by_its_other_pieces(normal: Clip) -> None:
    """Someone puts something down for three seconds in one piece of sixteen, 4 seconds each."""
    frames = normal.frames.copy()
    frames[150:168, 16:24, 28:36] = 250
    clip = replace(normal, frames=frames)
    columns = [{"error": np.arange(NORMAL, dtype=np.float32)}]
    (parts,) = judged(columns, clip, NORMAL)
    assert list(parts) == ["error", "speed", "direction", "stays"]
    assert parts["stays"].shape == (NORMAL - 4,) and np.isfinite(parts["stays"]).all()
    # three seconds, of one that may pass anywhere
    assert parts["stays"][150 - 4 : 168 - 4].max() == pytest.approx(math.log(3))
    assert parts["stays"][:140].max() < math.log(0.3)
    # too little footage to be judged by other pieces of it
    (short,) = judged(columns, clip, 200)
    assert list(short) == ["error", "speed", "direction"]

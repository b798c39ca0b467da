"""The parts that judge motion, in a detector with a place model and in clips."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mpn
from mpn.adaptation.place import Stretch, learn_place, motion_columns
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import DataError
from mpn.model.checkpoint import Checkpoint
from mpn.motion.place import PlaceModel
from mpn.scoring import detector as detector_module
from mpn.scoring.clips import normal_parts, quotients_of, score_clips
from mpn.scoring.facts import Fast, OtherLook
from mpn.scoring.parts import (
    MOTION_PARTS,
    column_names,
)
from mpn.scoring.result import Result
from mpn.scoring.scores import BATCH_SIZE, ScoreConfig
from mpn.video.frame_source import BadFrame
from tests.helpers.motion_parts import MOVING, WEIGHTS, WITHOUT
from tests.helpers.moving import cells, place_of
from tests.helpers.small_model import SIZE, footage, still_network, write_footage

pytestmark = pytest.mark.usefixtures("known_flow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames, an intruder jumps in 14-21."""
    path = tmp_path_factory.mktemp("clip") / "clip"
    return write_footage(path, footage(30, intruder=(14, 22)))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return load_clips([Video("clip", folder, "s")], SIZE, True, motion=True)[0]


@pytest.fixture(scope="module")
def place(clip: Clip) -> PlaceModel:
    """Of the frames before the intruder."""
    return learn_place([clip], [Stretch(0, 0, 14)])


@pytest.fixture
def build(place: PlaceModel) -> Callable[..., mpn.Detector]:
    """Make a detector that knows the place, by its weights."""

    def make(
        weights: dict[str, float] = WEIGHTS, network_every: int = 1, **options: object
    ) -> mpn.Detector:
        checkpoint = Checkpoint(
            still_network(**options),
            score_config=ScoreConfig(weights=weights).to_dict(),
            places={"s": place},
        )
        return mpn.Detector(checkpoint, precision="float32", network_every=network_every)

    return make


def test_a_detector_s_score_has_motion_in_it(
    build: Callable[..., mpn.Detector], folder: Path
) -> None:
    detector = build()
    assert detector.parts == MOVING and detector.columns == column_names(MOVING)
    results = list(detector.score(folder))
    assert [result.frame for result in results] == list(range(30))
    for result in results[4:]:
        assert list(result.parts) == detector.columns
        values = {n: math.copysign(4 * math.log1p(abs(v) / 4), v) for n, v in result.parts.items()}
        values |= {name: result.parts[name] for name in ("speed", "direction")}
        weighted = [weight * values[name] for name, weight in WEIGHTS.items()]
        largest = sum(max(value, 0) ** 4 for value in weighted) ** 0.25
        assert result.raw == pytest.approx(largest + 0.01 * sum(weighted))
    moving = [result.parts["speed"] for result in results[16:22]]
    still = [result.parts["speed"] for result in results[4:14]]
    assert min(moving) > math.log(1 + 0.1 * math.log(2)) > 0 >= max(still)


def test_the_box_of_motion_is_where_it_is(build: Callable[..., mpn.Detector], folder: Path) -> None:
    """The intruder fills rows 32 to 47 and jumps between columns 56 and 79."""
    detector = build({"error": 0.0, "pseudo": 0.0, "speed": 1.0, "direction": 0.0})
    for result in list(detector.score(folder))[16:21]:
        assert result.region is not None and result.map is not None
        top, left, height, width = result.region
        assert top <= 40 <= top + height and left <= 68 <= left + width


def test_how_far_above_normal_a_part_is_is_said_as_it_is(place: PlaceModel, folder: Path) -> None:
    """Not by the logarithm that counts beside motion."""
    weights = dict.fromkeys(WEIGHTS, 0.0) | {"error": 1e3, "speed": 1e-3}
    normal = dict.fromkeys(WEIGHTS, [np.array([0.0, 0.16])])  # mean and deviation 0.08
    checkpoint = Checkpoint(
        still_network(),
        normal=normal,
        score_config=ScoreConfig(weights=weights).to_dict(),
        places={"s": place},
    )
    for result in list(mpn.Detector(checkpoint, precision="float32").score(folder))[15:21]:
        assert result.reason is not None
        (fact,) = [entry for entry in result.reason.facts if isinstance(entry, OtherLook)]
        assert fact.part == "error" and fact.deviations > 1
        assert fact.deviations == pytest.approx((result.parts["error"] - 0.08) / 0.08, rel=1e-3)


def test_the_reason_of_a_frame_is_what_moves(
    build: Callable[..., mpn.Detector], folder: Path
) -> None:
    results = list(build({**WEIGHTS, "error": 0.0, "pseudo": 0.0}).score(folder))
    assert all(result.reason is None for result in results[:4])
    for result in results[16:21]:
        reason = result.reason
        assert reason is not None and sum(reason.shares.values()) == pytest.approx(1)
        assert max(reason.shares, key=lambda name: reason.shares[name]) in MOTION_PARTS
        fact = reason.facts[0]
        assert isinstance(fact, Fast) and fact.speed > 4 * fact.usual_high  # noise moves a little


def test_without_weight_no_motion_is_computed(
    build: Callable[..., mpn.Detector], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(build().score(folder))

    def forbidden(*_: object) -> None:
        raise AssertionError("motion was computed")

    monkeypatch.setattr(detector_module, "PlaceStream", forbidden)
    detector = build({"error": 1.0, "pseudo": 1.0, "speed": 0.0, "direction": 0.0})
    assert detector.parts == WITHOUT and detector.columns == column_names(WITHOUT)
    results = list(detector.score(folder))
    for result, reference in zip(results[4:], whole[4:], strict=True):
        assert list(result.parts) == column_names(WITHOUT)
        assert result.parts == {name: reference.parts[name] for name in result.parts}
    with pytest.raises(AssertionError, match="motion was computed"):
        list(build().score(folder))


def test_motion_with_one_weight_leaves_the_other_part_out(
    build: Callable[..., mpn.Detector], folder: Path
) -> None:
    detector = build({"error": 1.0, "pseudo": 0.0, "speed": 0.0, "direction": 2.0})
    assert [part.name for part in detector.parts] == ["error", "pseudo", "direction"]
    assert "speed" not in list(detector.score(folder))[9].parts


def test_a_model_without_a_place_is_scored_without_motion(folder: Path) -> None:
    config = ScoreConfig(weights=WEIGHTS)
    detector = mpn.Detector(Checkpoint(still_network()), score_config=config)
    assert detector.parts == WITHOUT
    assert list(list(detector.score(folder))[9].parts) == column_names(WITHOUT)


def same(results: list[Result], expected: list[Result]) -> None:
    assert len(results) == len(expected) > 0
    for result, reference in zip(results, expected):
        assert (result.frame, result.parts, result.region) == (
            reference.frame,
            reference.parts,
            reference.region,
        )
        assert result.reason == reference.reason
        np.testing.assert_array_equal([result.score, result.raw], [reference.score, reference.raw])
        assert (result.map is None) == (reference.map is None)
        if result.map is not None:
            np.testing.assert_array_equal(result.map, reference.map)


@pytest.mark.parametrize(("window", "every"), [(4, 1), (2, 1), (1, 1), (4, 2)])
def test_going_on_at_a_batch_s_end_gives_the_same(
    build: Callable[..., mpn.Detector], folder: Path, window: int, every: int
) -> None:
    detector = build(window=window, network_every=every)
    whole = list(detector.score(folder))
    ends = [first for first in range(30) if detector.ends_a_batch(first)]
    assert ends == list(range(window, 30, BATCH_SIZE * every))
    for first in ends[1:]:
        smoothed = whole[first - 1].score
        same(list(detector.score(folder, first=first, smoothed=smoothed)), whole[first:])


def test_the_camera_is_chosen_by_the_recording_s_first_frame_after_going_on(
    place: PlaceModel, folder: Path
) -> None:
    """As a camera that looks at something else is known, that is like the end of the recording."""
    frames = footage(30, intruder=(14, 22))
    frames[6:] = 255 - frames[6:]
    inverted = place_of([cells(9, grid=place.grid)] * 30, [255 - frames[0]])
    path = write_footage(folder.parent / "inverted", frames)
    config = ScoreConfig(weights=WEIGHTS).to_dict()
    checkpoint = Checkpoint(
        still_network(), score_config=config, places={"other": inverted, "s": place}
    )
    detector = mpn.Detector(checkpoint, precision="float32")
    whole = list(detector.score(path))
    same(list(detector.score(path, first=20, smoothed=whole[19].score)), whole[20:])
    alone = mpn.Detector(replace(checkpoint, places={"s": place}), precision="float32")
    same(list(alone.score(path)), whole)


def test_sources_shorter_than_a_window_have_no_score(
    build: Callable[..., mpn.Detector], tmp_path: Path
) -> None:
    path = write_footage(tmp_path / "short", footage(3))
    assert [result.parts for result in build().score(path)] == [{}, {}, {}]


# --- Clips


def test_clips_score_as_the_stream(
    build: Callable[..., mpn.Detector], folder: Path, clip: Clip
) -> None:
    detector = build()
    (columns,) = score_clips(detector, [clip], "scoring")
    assert list(columns) == column_names(MOVING)
    results = list(detector.score(folder))
    for name, values in columns.items():
        assert np.isnan(values[:4]).all()
        expected = [result.parts[name] for result in results[4:]]
        np.testing.assert_allclose(values[4:], expected, rtol=1e-4, atol=1e-5)


def test_frames_after_one_that_could_not_be_read_keep_their_own_motion(
    build: Callable[..., mpn.Detector], clip: Clip, place: PlaceModel
) -> None:
    broken = replace(clip, bad=[BadFrame(7, "7.png", "is empty")])
    (columns,) = score_clips(build(), [broken], "scoring")
    expected = motion_columns(clip, place)
    scored = [4, 5, 6, *range(12, 30)]
    for name in MOTION_PARTS:
        assert np.flatnonzero(np.isfinite(columns[name])).tolist() == scored
        np.testing.assert_allclose(columns[name][scored], expected[name][scored], atol=1e-5)


def test_clips_read_without_motion_are_named(
    build: Callable[..., mpn.Detector], clip: Clip, place: PlaceModel
) -> None:
    unread = replace(clip, motion=None)
    with pytest.raises(DataError, match="clip was read without its motion"):
        score_clips(build(), [unread], "scoring")
    with pytest.raises(DataError, match="clip was read without its motion"):
        quotients_of(unread, {"s": place})
    without = build({"error": 1.0, "pseudo": 1.0, "speed": 0.0, "direction": 0.0})
    (columns,) = score_clips(without, [unread], "scoring")
    assert list(columns) == column_names(WITHOUT)


def test_quotients_of_a_clip_are_of_each_frame_and_the_one_before(
    clip: Clip, place: PlaceModel
) -> None:
    quotients, motion = quotients_of(clip, {"s": place}), clip.motion
    assert motion is not None
    assert not quotients(0).any()
    for frame in (1, 15, 29):
        expected = place.quotients(motion[frame - 1], motion[frame])
        np.testing.assert_array_equal(quotients(frame), expected)


def test_normal_footage_is_scored_with_motion(clip: Clip, place: PlaceModel) -> None:
    normal = normal_parts(still_network(), [clip], {"s": place})
    assert list(normal) == [part.name for part in MOVING]
    expected = motion_columns(clip, place)
    for name in MOTION_PARTS:
        (values,) = normal[name]
        np.testing.assert_allclose(values, expected[name][4:], atol=1e-5)
    config = ScoreConfig(weights=WEIGHTS).to_dict()
    checkpoint = Checkpoint(
        still_network(), normal=normal, score_config=config, places={"s": place}
    )
    detector = mpn.Detector(checkpoint)
    for name in MOTION_PARTS:
        mean = float(expected[name][4:].mean(dtype=np.float64))
        assert detector.normal[name][0] == pytest.approx(mean, abs=1e-5)
    assert list(normal_parts(still_network(), [clip])) == ["error", "pseudo"]

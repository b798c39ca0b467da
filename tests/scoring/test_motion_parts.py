"""The parts that judge motion: their numbers by hand, and a detector with a place model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mpn
from mpn.adaptation.outliers import Stretch
from mpn.adaptation.place import learn_place, motion_columns
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import DataError
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import Network
from mpn.motion.place import LARGEST, PlaceModel
from mpn.scoring import detector as detector_module
from mpn.scoring.clips import normal_parts, quotients_of, score_clips
from mpn.scoring.detector import Result
from mpn.scoring.facts import Fast
from mpn.scoring.parts import (
    DIRECTION,
    LEAST_QUOTIENT,
    MOTION_PARTS,
    PARTS,
    SPEED,
    ScoringBatch,
    column_names,
    motion_numbers,
    parts_of,
)
from mpn.scoring.scores import ScoreConfig, score_frames
from mpn.video.frame_source import BadFrame
from tests.helpers.moving import cells, place_of
from tests.helpers.small_model import SIZE, footage, still_network, write_footage
from tests.helpers.training_runs import walkers

WITHOUT = tuple(part for part in PARTS if not part.needs_place)
MOVING = tuple(part for part in PARTS if not part.needs_static)
WEIGHTS = {"error": 0.5, "pseudo": 0.5, "speed": 1.0, "direction": 1.0}

ALL = WEIGHTS | {"stays": 0.0}  # of a place model that does not know what stays


def some_quotients(frame: int) -> np.ndarray:
    """Those of a frame: log-normal, (2, 6, 8)."""
    values = np.random.default_rng(frame).lognormal(0, 1, (2, 6, 8))
    return values.astype(np.float32)


# --- Numbers and maps by hand


def test_motion_counts_for_models_with_a_place_alone(tiny: Network) -> None:
    assert MOTION_PARTS == ("speed", "direction")
    assert parts_of(tiny) == WITHOUT and parts_of(tiny, place=True) == MOVING
    assert parts_of(tiny, place=True, static=True) == PARTS
    assert all(part.default_weight == 0 and part.needs_place for part in (SPEED, DIRECTION))


def test_numbers_are_the_logarithm_of_the_ten_largest(tiny: Network) -> None:
    (clip,) = walkers(1, frames=11)
    scored = list(score_frames(tiny, clip.frames, quotients=some_quotients, batch_size=3))
    assert [one.frame for one in scored] == list(range(4, 11))
    for one in scored:
        assert list(one.parts) == column_names(MOVING) and list(one.maps) == [*WEIGHTS]
        for name, values in zip(MOTION_PARTS, some_quotients(one.frame)):
            largest = sorted(values.ravel().tolist())[-LARGEST:]
            assert one.parts[name] == pytest.approx(math.log(sum(largest) / 10), abs=1e-6)
        numbers = motion_numbers(some_quotients(one.frame))
        assert numbers == {name: pytest.approx(one.parts[name]) for name in MOTION_PARTS}


def test_without_quotients_there_is_no_motion_and_all_else_is_the_same(tiny: Network) -> None:
    (clip,) = walkers(1)
    plain = list(score_frames(tiny, clip.frames))
    for one, other in zip(plain, score_frames(tiny, clip.frames, quotients=some_quotients)):
        assert list(one.parts) == column_names(WITHOUT)
        assert one.parts == {name: other.parts[name] for name in one.parts}
        for name, grid in one.maps.items():
            np.testing.assert_array_equal(grid, other.maps[name])


def test_quotients_are_asked_for_in_order_and_only_where_motion_is_scored(tiny: Network) -> None:
    (clip,) = walkers(1)
    asked: list[int] = []

    def quotients(frame: int) -> np.ndarray:
        asked.append(frame)
        return some_quotients(frame)

    list(score_frames(tiny, clip.frames, parts=WITHOUT, quotients=quotients))
    assert asked == []
    list(score_frames(tiny, clip.frames, parts=[SPEED], quotients=quotients))
    assert asked == list(range(4, 14))


def test_motion_without_a_place_is_an_error(tiny: Network) -> None:
    (clip,) = walkers(1)
    for part in (SPEED, DIRECTION):
        with pytest.raises(ValueError, match=f"no place model for {part.name}"):
            list(score_frames(tiny, clip.frames, parts=[part]))


def test_what_hardly_moves_counts_as_a_fifth_of_the_normal() -> None:
    still, slow = np.zeros((2, 6, 8), np.float32), np.full((2, 6, 8), 0.1, np.float32)
    least = dict.fromkeys(MOTION_PARTS, pytest.approx(math.log(0.2)))
    assert motion_numbers(still) == motion_numbers(slow) == least
    assert math.log(LEAST_QUOTIENT) == pytest.approx(math.log(0.2))
    mixed = np.stack([np.full((6, 8), 3.0), np.full((6, 8), 0.25)]).astype(np.float32)
    expected = {"speed": pytest.approx(math.log(3)), "direction": pytest.approx(math.log(0.25))}
    assert motion_numbers(mixed) == expected


def scoring_batch(network: Network, quotients: np.ndarray) -> ScoringBatch:
    count = len(quotients)
    frames = np.zeros((4 + count, 32, 48, 1), np.uint8)
    with torch.no_grad():
        output = network(torch.zeros(count, 4, 32, 48))
    return ScoringBatch(frames, torch.zeros(count, 1, 32, 48), output, quotients)


def test_maps_show_the_logarithm_at_each_place(tiny: Network) -> None:
    values = np.full((3, 2, 4, 6), 0.01, np.float32)
    values[1, 0] = 7
    values[2, 1, :, :3] = 5
    batch = scoring_batch(tiny, values)
    speed, direction = (part.map_of(batch).numpy() for part in (SPEED, DIRECTION))
    assert speed.shape == direction.shape == (3, 32, 48)
    np.testing.assert_allclose(speed[1], math.log(7), rtol=1e-6)
    np.testing.assert_allclose(speed[[0, 2]], math.log(0.2), rtol=1e-5)
    # Columns of 8 pixels: the left three are fast, and between two centres it is in between.
    np.testing.assert_allclose(direction[2, :, :20], math.log(5), rtol=1e-5)
    np.testing.assert_allclose(direction[2, :, 28:], math.log(0.2), rtol=1e-5)
    assert (np.diff(direction[2, :, 20:28], axis=1) < 0).all()


# --- Weights


def test_weights_with_a_place_by_hand() -> None:
    here, elsewhere = (ScoreConfig().with_place(trained_here=own) for own in (True, False))
    assert here.weights == ALL
    assert elsewhere.weights == ALL | {"error": 0.25, "pseudo": 0.0}
    chosen = ScoreConfig(8, {"error": 2.0, "pseudo": 0.5}, 0.5).with_place(trained_here=True)
    assert chosen.weights == ALL | {"error": 1.0, "pseudo": 0.25}
    assert (chosen.patch, chosen.smoothing) == (8, 0.5)
    assert ScoreConfig.from_dict(chosen.to_dict()) == chosen


def test_a_model_that_forgets_its_place_has_the_weights_it_had_before() -> None:
    for before in (ScoreConfig(), ScoreConfig(8, {"error": 2.0, "pseudo": 0.5}, 0.5)):
        assert before.with_place(trained_here=True).without_place() == before.without_place()
        assert before.without_place() == before


def test_weights_that_are_for_motion_already_stay() -> None:
    for weights in (WEIGHTS, {"error": 0.5, "pseudo": 0.0, "speed": 0.5, "direction": 0.0}):
        config = ScoreConfig(weights=weights)
        assert config.with_place(trained_here=True) == config
        once = config.with_place(trained_here=False)
        assert once.weights == weights | {"error": 0.25, "pseudo": 0.0, "stays": 0.0}
        assert once.with_place(trained_here=False) == once


def test_models_of_before_give_motion_no_weight() -> None:
    recipe = {"patch": 16, "error_weight": 1.0, "pseudo_weight": 1.0, "smoothing": 0.3}
    config = ScoreConfig.from_dict(recipe)
    assert config.weights == dict.fromkeys(ALL, 0.0) | {"error": 1.0, "pseudo": 1.0}
    assert config.with_place(trained_here=True).weights == ALL


# --- A detector with a place model


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

    def make(weights: dict[str, float] = WEIGHTS, **options: object) -> mpn.Detector:
        checkpoint = Checkpoint(
            still_network(**options),
            score_config=ScoreConfig(weights=weights).to_dict(),
            places={"s": place},
        )
        return mpn.Detector(checkpoint, precision="float32")

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
        weighted = [weight * result.parts[name] for name, weight in WEIGHTS.items()]
        largest = sum(max(value, 0) ** 4 for value in weighted) ** 0.25
        assert result.raw == pytest.approx(largest + 0.01 * sum(weighted))
    moving = [result.parts["speed"] for result in results[15:22]]
    still = [result.parts["speed"] for result in results[4:14]]
    assert min(moving) > math.log(2) > 0 >= max(still)


def test_the_box_of_motion_is_where_it_is(build: Callable[..., mpn.Detector], folder: Path) -> None:
    """The intruder fills rows 32 to 47 and jumps between columns 56 and 79."""
    detector = build({"error": 0.0, "pseudo": 0.0, "speed": 1.0, "direction": 0.0})
    for result in list(detector.score(folder))[16:21]:
        assert result.region is not None and result.map is not None
        top, left, height, width = result.region
        assert top <= 40 <= top + height and left <= 68 <= left + width


def test_the_reason_of_a_frame_is_what_moves(
    build: Callable[..., mpn.Detector], folder: Path
) -> None:
    results = list(build().score(folder))
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
    found = list(detector.score(folder))
    for one, other in zip(found[4:], whole[4:], strict=True):
        assert list(one.parts) == column_names(WITHOUT)
        assert one.parts == {name: other.parts[name] for name in one.parts}
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


def same(found: list[Result], expected: list[Result]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected):
        assert (one.frame, one.parts, one.region) == (other.frame, other.parts, other.region)
        assert one.reason == other.reason
        np.testing.assert_array_equal([one.score, one.raw], [other.score, other.raw])
        assert (one.map is None) == (other.map is None)
        if one.map is not None:
            np.testing.assert_array_equal(one.map, other.map)


@pytest.mark.parametrize("window", [4, 2, 1])
def test_going_on_at_a_batch_s_end_gives_the_same(
    build: Callable[..., mpn.Detector], folder: Path, window: int
) -> None:
    detector = build(window=window)
    whole = list(detector.score(folder))
    for first in (window + 4, window + 12, window + 16):
        assert detector.ends_a_batch(first)
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

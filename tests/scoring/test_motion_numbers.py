"""The parts that judge motion: their numbers, maps and weights by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mpn.model.engines import TorchEngine
from mpn.model.network import Network
from mpn.model.output import ScoringOutput
from mpn.motion.place import LARGEST
from mpn.scoring.parts import (
    DIRECTION,
    MIN_QUOTIENT,
    MOTION_PARTS,
    PARTS,
    SPEED,
    ScoringBatch,
    column_names,
    motion_numbers,
    parts_of,
)
from mpn.scoring.scores import ScoreConfig, score_frames
from tests.helpers.motion_parts import MOVING, WEIGHTS, WITHOUT, counted
from tests.helpers.training_runs import walkers

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


def test_numbers_are_the_logarithm_of_the_ten_largest_as_they_count(tiny: Network) -> None:
    (clip,) = walkers(1, frames=11)
    scored = list(score_frames(tiny, clip.frames, quotients=some_quotients, batch_size=3))
    assert [result.frame for result in scored] == list(range(4, 11))
    for result in scored:
        assert list(result.parts) == column_names(MOVING) and list(result.maps) == [*WEIGHTS]
        for name, values in zip(MOTION_PARTS, some_quotients(result.frame)):
            largest = sorted(map(counted, values.ravel().tolist()))[-LARGEST:]
            assert result.parts[name] == pytest.approx(math.log(sum(largest) / 10), abs=1e-6)
        numbers = motion_numbers(some_quotients(result.frame))
        assert numbers == {name: pytest.approx(result.parts[name]) for name in MOTION_PARTS}


def test_without_quotients_there_is_no_motion_and_all_else_is_the_same(tiny: Network) -> None:
    (clip,) = walkers(1)
    plain = list(score_frames(tiny, clip.frames))
    for without, moving in zip(plain, score_frames(tiny, clip.frames, quotients=some_quotients)):
        assert list(without.parts) == column_names(WITHOUT)
        assert without.parts == {name: moving.parts[name] for name in without.parts}
        for name, grid in without.maps.items():
            np.testing.assert_array_equal(grid, moving.maps[name])


def test_quotients_are_asked_for_in_order_and_only_where_motion_is_scored(tiny: Network) -> None:
    (clip,) = walkers(1)
    frames: list[int] = []

    def quotients(frame: int) -> np.ndarray:
        frames.append(frame)
        return some_quotients(frame)

    list(score_frames(tiny, clip.frames, parts=WITHOUT, quotients=quotients))
    assert frames == []
    list(score_frames(tiny, clip.frames, parts=[SPEED], quotients=quotients))
    assert frames == list(range(4, 14))


@pytest.mark.parametrize("every", [2, 3])
def test_the_network_may_be_asked_about_some_frames_and_what_it_said_is_held(
    tiny: Network, every: int
) -> None:
    (clip,) = walkers(1, frames=15)
    sizes: list[int] = []
    engine = TorchEngine(tiny)

    def counting(windows: torch.Tensor) -> ScoringOutput:
        sizes.append(len(windows))
        return engine(windows)

    plain = list(score_frames(tiny, clip.frames, quotients=some_quotients))
    results = list(
        score_frames(
            tiny,
            clip.frames,
            quotients=some_quotients,
            batch_size=2,
            engine=counting,
            network_every=every,
        )
    )
    assert sum(sizes) == -(-11 // every) and max(sizes) == 2
    assert (
        [result.frame for result in results]
        == [result.frame for result in plain]
        == list(range(4, 15))
    )
    for number, result in enumerate(results):
        held, current = plain[number - number % every], plain[number]
        assert list(result.parts) == list(current.parts) and list(result.maps) == list(current.maps)
        for name, value in result.parts.items():
            source = current if name in MOTION_PARTS else held
            assert value == pytest.approx(source.parts[name], abs=1e-5), name
        for name, grid in result.maps.items():
            source = current if name in MOTION_PARTS else held
            np.testing.assert_allclose(grid, source.maps[name], atol=1e-5)


def test_motion_without_a_place_is_an_error(tiny: Network) -> None:
    (clip,) = walkers(1)
    for part in (SPEED, DIRECTION):
        with pytest.raises(ValueError, match=f"no place model for {part.name}"):
            list(score_frames(tiny, clip.frames, parts=[part]))


def test_what_hardly_moves_counts_as_a_fifth_of_the_normal() -> None:
    still, slow = np.zeros((2, 6, 8), np.float32), np.full((2, 6, 8), 0.1, np.float32)
    least = dict.fromkeys(MOTION_PARTS, pytest.approx(math.log(0.2)))
    assert motion_numbers(still) == motion_numbers(slow) == least
    assert math.log(MIN_QUOTIENT) == pytest.approx(math.log(0.2))
    mixed = np.stack([np.full((6, 8), 3.0), np.full((6, 8), 0.25)]).astype(np.float32)
    expected = {"speed": math.log(1 + 0.1 * math.log(3)), "direction": math.log(0.25)}
    assert motion_numbers(mixed) == pytest.approx(expected)


def test_seconds_that_a_change_stays_count_as_they_are() -> None:
    numbers = motion_numbers(np.full((3, 6, 8), 5.0, np.float32))
    assert numbers["stays"] == pytest.approx(math.log(5))
    assert numbers["speed"] == pytest.approx(math.log(counted(5)))


def test_fast_or_very_fast_more_that_moves_so_counts_more() -> None:
    """Ten cells at the fastest that is normal are more than one at many times of it."""
    many, single = (np.full((2, 6, 8), 0.2, np.float32) for _ in range(2))
    many[:, 2, :8] = many[:, 3, :2] = 1.0
    single[:, 2, 3] = 30.0
    assert motion_numbers(many)["speed"] > motion_numbers(single)["speed"] + 0.5
    faster = np.where(many == 1, np.float32(2), many)
    assert motion_numbers(faster)["speed"] > motion_numbers(many)["speed"]


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
    assert speed.shape == direction.shape == (3, 4, 6)
    np.testing.assert_allclose(speed[1], math.log(counted(7)), rtol=1e-6)
    np.testing.assert_allclose(speed[[0, 2]], math.log(0.2), rtol=1e-5)
    np.testing.assert_allclose(direction[2, :, :3], math.log(counted(5)), rtol=1e-5)
    np.testing.assert_allclose(direction[2, :, 3:], math.log(0.2), rtol=1e-5)


# --- Weights


def test_weights_with_a_place_by_hand() -> None:
    here, elsewhere = (ScoreConfig().with_place(trained_here=trained) for trained in (True, False))
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

from __future__ import annotations

import json
import math
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpn.errors import MpnError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.engines import TorchEngine
from mpn.model.network import build_model
from mpn.scoring.parts import ERROR, PART_NAMES, PARTS, PSEUDO, column_names, parts_of
from mpn.scoring.patches import patch_means
from mpn.scoring.scores import (
    ScoreConfig,
    combine,
    region,
    score_frames,
    shares_of,
    trusted_weights,
)


def footage(count, size=(32, 48), channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, channels), np.uint8)


def largest_patch(values, side, step):
    """By numpy: the largest mean over side x side squares, `step` apart."""
    squares = np.lib.stride_tricks.sliding_window_view(values, (side, side))[::step, ::step]
    return squares.mean(axis=(2, 3)).max()


# --- Scores of a stream


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_a_stream_scores_as_each_window_alone(tiny, batch_size):
    frames = footage(11)
    scored = list(score_frames(tiny, iter(frames), batch_size=batch_size, patch=8))
    assert [result.frame for result in scored] == list(range(4, 11))
    for result in scored:
        window = frames[result.frame - 4 : result.frame, :, :, 0].astype(np.float64) / 127.5 - 1
        with torch.no_grad():
            output = tiny(torch.from_numpy(window[None]).float())
        predicted = (output.prediction[0, 0].double().numpy() + 1) / 2
        error = np.abs(predicted - frames[result.frame, :, :, 0] / 255)
        probability = 1 / (1 + np.exp(-output.pseudo_logits[0].double().numpy()))
        expected = {
            "error": largest_patch(error, 8, 2),
            "pseudo": largest_patch(probability, 4, 1),  # its map has half the size
            "psnr_db": 10 * np.log10(1 / (error**2).mean()),
            "compactness": output.compactness.mean().item(),
        }
        assert {name: result.parts[name] for name in expected} == pytest.approx(expected, rel=2e-4)
        assert list(result.maps) == ["error", "pseudo"]
        assert result.maps["error"].shape == result.maps["pseudo"].shape == (13, 21)
        for name, grid in result.maps.items():
            assert grid.dtype == np.float32
            assert grid.max() == pytest.approx(result.parts[name])


def test_colour_frames_and_a_network_without_the_head():
    torch.manual_seed(1)
    network = build_model("base", channels=3, height=16, width=24)
    frames = footage(6, (16, 24), 3)
    scored = list(score_frames(network, frames, patch=4))
    assert ERROR in parts_of(network) and PSEUDO not in parts_of(network)
    assert [result.frame for result in scored] == [4, 5]
    assert list(scored[0].parts) == column_names(parts_of(network))
    assert list(scored[0].maps) == [part.name for part in parts_of(network)]
    window = (
        torch.from_numpy(frames[1:5]).permute(0, 3, 1, 2).reshape(1, 12, 16, 24).float() / 127.5 - 1
    )
    with torch.no_grad():
        predicted = (network(window).prediction[0].permute(1, 2, 0).numpy() + 1) / 2
    error = np.abs(predicted - frames[5] / 255)
    assert scored[1].parts["error"] == pytest.approx(
        largest_patch(error.mean(axis=2), 4, 2), rel=1e-4
    )
    assert scored[1].parts["psnr_db"] == pytest.approx(-10 * np.log10((error**2).mean()), rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_clips_without_a_window_have_no_scores(tiny, count):
    assert list(score_frames(tiny, footage(count))) == []


def test_frames_are_taken_as_they_are_needed_and_let_go(tiny):
    pulled, alive = [], weakref.WeakSet()

    class Frame(np.ndarray):
        """An array that can be watched."""

        __hash__ = object.__hash__

    def stream():
        for index in range(60):
            frame = footage(1, seed=index)[0].view(Frame)
            alive.add(frame)
            pulled.append(index)
            yield frame

    scores = score_frames(tiny, stream(), batch_size=3)
    assert pulled == []
    for result in scores:
        assert len(pulled) <= result.frame + 3  # not further ahead than a batch
        assert len(alive) <= 4 + 3 + 1
    assert len(pulled) == 60 and result.frame == 59


def test_an_exact_prediction_has_the_highest_psnr(tiny):
    for parameter in tiny.head[-1].parameters():
        parameter.data.zero_()  # the last frame is predicted
    still = np.repeat(footage(1), 6, axis=0)
    result = list(score_frames(tiny, still))[0]
    assert result.parts["psnr_db"] == pytest.approx(100) and result.parts["error"] == 0


@pytest.mark.parametrize(("top", "left"), [(0, 0), (10, 26), (24, 40), (5, 17)])
def test_a_planted_square_raises_the_score_and_the_region_covers_it(tiny, top, left):
    for parameter in tiny.head[-1].parameters():
        parameter.data.zero_()
    frames = np.repeat(footage(1) // 4, 12, axis=0)
    frames[8, top : top + 8, left : left + 8] = 255
    scored = {result.frame: result for result in score_frames(tiny, frames, patch=8)}
    error = {frame: result.parts["error"] for frame, result in scored.items()}
    psnr = {frame: result.parts["psnr_db"] for frame, result in scored.items()}
    assert set(sorted(error, key=error.get)[-2:]) == {8, 9}  # it comes, and it goes
    assert error[8] > error[7] + 0.5 and psnr[8] < psnr[7] - 10
    # In the source's pixels, three times as many: what is inside is the square, but for the grid's
    # step.
    y, x, h, w = region(scored[8].maps["error"], 8, (32, 48), (96, 144))
    assert (h, w) == (24, 24)
    assert abs(y - 3 * top) <= 3 and abs(x - 3 * left) <= 3


def test_bfloat16_scores_are_near(tiny):
    frames = footage(8)
    engines = (TorchEngine(tiny, bfloat16=flag) for flag in (False, True))
    wide, narrow = (list(score_frames(tiny, frames, engine=engine)) for engine in engines)
    for full, reduced in zip(wide, narrow, strict=True):
        assert reduced.parts == pytest.approx(full.parts, rel=0.03, abs=3e-4)
        assert reduced.parts != full.parts


# --- Patches and regions


@pytest.mark.parametrize(
    ("position", "source", "expected"),
    [
        # 16-pixel patches of 128x192, every second pixel: a grid of 57x89.
        ((0, 0), (128, 192), (0, 0, 16, 16)),
        ((10, 20), (128, 192), (20, 40, 16, 16)),
        ((56, 88), (128, 192), (112, 176, 16, 16)),
        ((10, 20), (256, 384), (40, 80, 32, 32)),
        ((56, 88), (240, 360), (210, 330, 30, 30)),
        ((56, 0), (64, 768), (56, 0, 8, 64)),
    ],
)
def test_regions_by_hand(position, source, expected):
    grid = np.zeros((57, 89), np.float32)
    grid[position] = 1
    assert region(grid, 16, (128, 192), source) == expected


def test_regions_stay_inside_the_source():
    generator = np.random.default_rng(3)
    for _ in range(300):
        size = tuple(8 * generator.integers(2, 20, 2))
        patch, step = int(generator.integers(2, 24)), int(generator.integers(1, 3))
        side = min(patch, *size)
        grid = np.zeros([(n - side) // step + 1 for n in size])
        grid.flat[generator.integers(grid.size)] = 1
        source = tuple(map(int, generator.integers(60, 1000, 2)))
        top, left, height, width = region(grid, patch, size, source)
        assert 0 <= top <= top + height <= source[0] and 0 <= left <= left + width <= source[1]
        assert (
            abs(height - side * source[0] / size[0]) <= 1
            and abs(width - side * source[1] / size[1]) <= 1
        )


def test_a_patch_larger_than_the_frame_is_all_of_it():
    assert region(np.ones((1, 1)), 50, (16, 16), (64, 32)) == (0, 0, 64, 32)
    # A square all the same where one side is longer.
    grid = patch_means(torch.arange(32.0).expand(1, 16, 32), 50, 2)[0].numpy()
    assert region(grid, 50, (16, 32), (16, 32)) == (0, 16, 16, 16)


# --- Recipes


def test_parts_are_weighed_in_units_of_normal_frames():
    parts = {
        "error": np.array([3.0, 5.0]),
        "pseudo": np.array([10.0, 30.0]),
        "psnr_db": np.array([1.0, 1.0]),
    }
    normal = {"error": (3.0, 2.0), "pseudo": (20.0, 10.0)}
    assert combine(parts, {"error": 1.0, "pseudo": 1.0}, normal).tolist() == [-1.0, 2.0]
    assert combine(parts, {"error": 2.0, "pseudo": 0.5}, normal).tolist() == [-0.5, 2.5]
    # What doesn't count need not be known.
    assert combine(parts, {"error": 0.0, "pseudo": 1.0}, {"pseudo": (20.0, 10.0)}).tolist() == [
        -1.0,
        1.0,
    ]


def test_where_motion_counts_one_part_that_stands_out_is_not_voted_down():
    normal = dict.fromkeys(("error", "speed"), (1.0, 2.0))
    weights = {"error": 0.5, "speed": 1.0}
    # Beside motion the network's part grows by its logarithm: 4 log(1 + far / 4) = 4.
    far = 4 * (math.e - 1)
    units = np.array([[far, -2.0], [far, 4.0], [0.0, 8.0], [-far, -2.0]])
    parts = {name: 1 + 2 * column for name, column in zip(normal, units.T)}
    # By hand: the fourth root of (4 / 2) ** 4 + 4 ** 4, and so on, and a hundredth of the sum.
    above, total = np.array([2.0, 272**0.25, 8.0, 0.0]), np.array([0.0, 6.0, 8.0, -4.0])
    np.testing.assert_allclose(combine(parts, weights, normal), above + 0.01 * total)
    # Motion that weighs nothing leaves the sum of the rest.
    still = combine(parts, {"error": 0.5, "speed": 0.0}, normal)
    np.testing.assert_allclose(still, 0.5 * units[:, 0])


def test_shares_are_what_each_part_adds_to_the_score() -> None:
    assert shares_of({"error": 3.0, "pseudo": 1.0}) == {"error": 0.75, "pseudo": 0.25}
    assert shares_of({"error": -3.0, "pseudo": 1.0}) == {"error": 0.0, "pseudo": 1.0}
    with_motion = shares_of({"error": 1.0, "speed": 2.0, "direction": -4.0})
    assert with_motion == {"error": 1 / 17, "speed": 16 / 17, "direction": 0.0}
    assert shares_of({"error": -1.0, "speed": 0.0}) == {"error": 0.0, "speed": 0.0}


@given(
    hnp.arrays(np.float64, (2, 3), elements=st.floats(-50, 50)),
    st.integers(0, 2),
    st.floats(0, 10),
)
def test_a_score_never_falls_where_a_part_rises(values, which, rise):
    names = ("error", "speed", "direction")
    weights, normal = dict.fromkeys(names, 0.5), dict.fromkeys(names, (0.0, 1.0))
    risen = values.copy()
    risen[:, which] += rise
    before, after = (
        combine(dict(zip(names, parts.T)), weights, normal) for parts in (values, risen)
    )
    assert (after >= before).all()


def test_maps_and_numbers_are_combined_alike():
    normal = {"error": (1.0, 2.0), "pseudo": (0.0, 4.0)}
    maps = {"error": np.array([[1.0, 3.0]]), "pseudo": np.array([[4.0, 0.0]])}
    assert combine(maps, {"error": 1.0, "pseudo": 1.0}, normal).tolist() == [[1.0, 1.0]]
    assert combine({"error": 5.0}, {"error": 1.0}, normal) == 2.0


def test_weights_are_those_of_the_parts_there_are():
    score_config = ScoreConfig(weights={"error": 2.0, "pseudo": 0.5})
    assert score_config.weights_of([ERROR, PSEUDO]) == {"error": 2.0, "pseudo": 0.5}
    assert score_config.weights_of([ERROR]) == {"error": 2.0}


def test_a_recipe_through_json_and_back():
    score_config = ScoreConfig(8, {"error": 0.0, "pseudo": 0.5}, 0.25)
    values = json.loads(json.dumps(score_config.to_dict()))
    assert (values["patch"], values["smoothing"]) == (8, 0.25)
    assert (values["error_score_weight"], values["pseudo_score_weight"]) == (0.0, 0.5)
    assert len(values) == 2 + len(PARTS)
    assert ScoreConfig.from_dict(values) == score_config


def test_a_recipe_of_an_earlier_version_is_read():
    values = {"patch": 8, "error_weight": 2.0, "pseudo_weight": 0.0, "smoothing": 0.5}
    score_config = ScoreConfig.from_dict(values)
    assert (score_config.patch, score_config.smoothing) == (8, 0.5)
    assert score_config.weights_of([ERROR, PSEUDO]) == {"error": 2.0, "pseudo": 0.0}


def test_a_part_that_was_not_there_when_a_recipe_was_written_does_not_count():
    weights = ScoreConfig.from_dict({"error_weight": 2.0}).weights
    assert weights == dict.fromkeys(PART_NAMES, 0.0) | {"error": 2.0}
    assert ScoreConfig.from_dict({"patch": 8}).weights == ScoreConfig().weights


@pytest.mark.parametrize("name", ["demo", "meta", "ped2"])
def test_the_recipes_of_the_released_models_are_read(name):
    checkpoint = load_checkpoint(name)
    score_config = ScoreConfig.from_dict(checkpoint.score_config)
    assert (score_config.patch, score_config.smoothing) == (16, 0.3)
    half = 1.0 if name == "meta" else 0.5  # of what motion by place weighs
    network = {"error": half, "pseudo": half}
    motion = {"speed": 0.7, "direction": 1.0, "stays": 0.5}
    if name == "meta":
        motion = dict.fromkeys(motion, 0.0)
    assert score_config.weights == network | motion


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 1}, "patch of 2 pixels or more"),
        ({"weights": {"error": -1}}, "weights from 0 up"),
        ({"weights": {"colour": 1}}, "weights of .'colour'.: the parts are error, pseudo"),
        ({"weights": {"error": 0, "pseudo": 0}}, "all weights of the score are 0: one of error"),
        ({"smoothing": 0}, "smoothing is 0: a weight above 0, at most 1"),
        ({"smoothing": 1.1}, "smoothing is 1.1"),
    ],
)
def test_recipes_out_of_range(options, message):
    with pytest.raises(MpnError, match=message):
        ScoreConfig(**options)


def test_recipes_at_the_ends_of_their_ranges():
    ScoreConfig(patch=2, weights={"error": 0}, smoothing=1.0)
    ScoreConfig(weights={"pseudo": 0})


# --- Parts that see an anomaly everywhere

MAPS = {name: np.zeros((10, 10), np.float32) for name in ("error", "pseudo", "speed", "direction")}
UNITS = dict.fromkeys(MAPS, (2.0, 1.0))
COUNTED = {"error": 0.5, "pseudo": 0.5, "speed": 0.7, "direction": 1.0}


def seen_in(share: float, *names: str) -> dict[str, np.ndarray]:
    """Maps of which some are two deviations above normal in a share of the picture."""
    maps = {name: grid.copy() for name, grid in MAPS.items()}
    for name in names:
        maps[name].ravel()[: round(100 * share)] = 4.0
    return maps


@pytest.mark.parametrize(
    ("share", "remaining"), [(0.0, 1), (0.05, 1), (0.1, 1), (0.15, 0.5), (0.2, 0), (1.0, 0)]
)
def test_a_part_of_the_network_that_sees_it_everywhere_counts_less(share, remaining) -> None:
    weights = trusted_weights(seen_in(share, "error"), COUNTED, UNITS)
    assert weights["error"] == pytest.approx(0.5 * remaining)
    assert {name: weights[name] for name in COUNTED if name != "error"} == {
        name: value for name, value in COUNTED.items() if name != "error"
    }


def test_motion_everywhere_counts_and_so_does_a_network_that_is_alone() -> None:
    crowd = seen_in(1.0, "speed", "direction")
    assert trusted_weights(crowd, COUNTED, UNITS) == COUNTED
    alone = {"error": 1.0, "pseudo": 1.0, "speed": 0.0, "direction": 0.0}
    assert trusted_weights(seen_in(1.0, "error", "pseudo"), alone, UNITS) == alone


def test_what_hardly_differs_from_normal_is_no_anomaly_everywhere() -> None:
    maps = seen_in(0.0)
    maps["error"][:] = 2.9  # less than a deviation above the mean
    assert trusted_weights(maps, COUNTED, UNITS) == COUNTED

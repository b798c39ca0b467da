from __future__ import annotations

import cv2
import numpy as np
import pytest

from mpn.errors import SizeError
from mpn.evaluation.baselines import (
    content_free,
    flow_speed,
    frame_difference,
    frame_number,
    nearness_to_middle,
    uniform_noise,
)


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Smooth noise uint8 (120, 180) that repeats at its edges."""
    noise = np.random.default_rng(0).standard_normal((120, 180))
    wide = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), 2.0)[120:240, 180:360]
    return np.clip(128 + 45 * wide / wide.std(), 0, 255).astype(np.uint8)


def colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def test_frame_number_and_middle_by_hand() -> None:
    assert frame_number(4).tolist() == [0, 1, 2, 3]
    assert nearness_to_middle(5).tolist() == [-2, -1, 0, -1, -2]
    assert nearness_to_middle(4).tolist() == [-1.5, -0.5, -0.5, -1.5]
    assert frame_number(0).shape == nearness_to_middle(0).shape == (0,)
    assert frame_number(3).dtype == nearness_to_middle(3).dtype == np.float64


def test_noise_is_uniform_and_seeded() -> None:
    noise = uniform_noise(20_000, 1)
    np.testing.assert_array_equal(noise, uniform_noise(20_000, 1))
    assert not np.array_equal(noise, uniform_noise(20_000, 2))
    assert noise.dtype == np.float64 and noise.min() >= 0 and noise.max() < 1
    counts, _ = np.histogram(noise, bins=10, range=(0, 1))
    assert np.abs(counts - 2000).max() < 200  # 4.7 deviations


def test_difference_by_hand() -> None:
    frames = [np.full((2, 2, 3), 10, np.uint8) for _ in range(4)]
    frames[1][0, 0] = (10, 22, 10)  # 12 grey levels in one of twelve numbers
    frames[3][:] = 4  # darker by 6 everywhere: unsigned numbers must not wrap round
    np.testing.assert_allclose(frame_difference(iter(frames)), [1, 1, 1, 6])


def test_constant_frames_have_no_motion() -> None:
    frames = [np.full((48, 72, 3), 90, np.uint8)] * 3
    assert frame_difference(frames).tolist() == [0, 0, 0]
    np.testing.assert_allclose(flow_speed(frames), 0, atol=1e-6)


@pytest.mark.parametrize("shift", [(0, 1), (2, 1), (-3, 0)])
def test_speed_of_a_shifted_texture_is_the_shift(
    texture: np.ndarray, shift: tuple[int, int]
) -> None:
    frames = [colour(np.roll(texture, (shift[0] * t, shift[1] * t), (0, 1))) for t in range(4)]
    speed = flow_speed(frames)
    assert speed.shape == (4,) and speed.dtype == np.float64
    np.testing.assert_allclose(speed, np.hypot(*shift), rtol=0.15)
    assert speed[0] == speed[1]  # the first frame has nothing before it


def test_speed_is_that_of_the_fastest_places(texture: np.ndarray) -> None:
    """A square of 40 pixels moves by 3 over a still ground: five cells of 5x5 fit into it many
    times."""
    frames = []
    for t in range(3):
        frame = texture.copy()
        frame[30:70, 40 + 3 * t : 80 + 3 * t] = texture[60:100, 120:160]
        frames.append(colour(frame))
    np.testing.assert_allclose(flow_speed(frames), 3, rtol=0.25)


def test_grey_frames_give_what_colour_gives(texture: np.ndarray) -> None:
    grey = [np.roll(texture, t, 1)[..., None] for t in range(3)]
    both = [colour(frame[..., 0]) for frame in grey]
    np.testing.assert_allclose(flow_speed(grey), flow_speed(both))
    np.testing.assert_allclose(frame_difference(grey), frame_difference(both))


def test_content_free_is_all_of_them_in_one_pass(texture: np.ndarray) -> None:
    frames = [colour(np.roll(texture, t * t, 1)) for t in range(4)]
    passes = []

    def factory():
        passes.append(1)
        return iter(frames)

    scores = content_free(factory, 4, seed=3)
    assert len(passes) == 1
    expected = {
        "frame_number": frame_number(4),
        "nearness_to_middle": nearness_to_middle(4),
        "uniform_noise": uniform_noise(4, 3),
        "frame_difference": frame_difference(frames),
        "flow_speed": flow_speed(frames),
    }
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(scores[name], values)
        assert scores[name].dtype == np.float64


def test_one_frame_none_and_the_wrong_number() -> None:
    frame = np.zeros((48, 72, 3), np.uint8)
    assert frame_difference([frame]).tolist() == flow_speed([frame]).tolist() == [0]
    for function in (frame_difference, flow_speed):
        with pytest.raises(SizeError, match="without frames"):
            function([])
    with pytest.raises(SizeError, match="2 frames were read where 3 were expected"):
        content_free(lambda: [frame, frame], 3)


def test_maps_have_the_motion_where_it_is(texture: np.ndarray) -> None:
    frames = [colour(texture) for _ in range(3)]
    height, width = texture.shape[:2]
    for t in (1, 2):  # the lower right quarter is shifted by 3 pixels a frame
        frames[t][height // 2 :, width // 2 :] = np.roll(
            frames[t - 1][height // 2 :, width // 2 :], 3, axis=1
        )
    by_row: list[tuple[int, dict[str, np.ndarray]]] = []
    with_maps = content_free(lambda: frames, 3, maps=lambda row, maps: by_row.append((row, maps)))
    without = content_free(lambda: frames, 3)
    assert all(np.array_equal(with_maps[name], without[name]) for name in without)
    assert [row for row, _ in by_row] == [1, 2]
    for row, maps in by_row:
        assert set(maps) == {"frame_difference", "flow_speed"}
        for name, cells in maps.items():
            assert cells.shape == (24, 36)
            assert cells[14:, 20:].mean() > 5 * cells[:10, :16].mean(), (row, name)
        # The scores are what the maps say: a mean over all cells, and the mean of the five largest.
        assert maps["frame_difference"].mean() == pytest.approx(
            with_maps["frame_difference"][row], rel=0.01
        )
        assert np.sort(maps["flow_speed"].ravel())[-5:].mean() == pytest.approx(
            with_maps["flow_speed"][row]
        )

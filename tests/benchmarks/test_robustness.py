"""The disturbed versions of a video: repeatable, in step with the labels, as strong as they say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.robustness import (
    DRIFT,
    DRIFT_FRAMES,
    NOISE_SIGMA,
    VERSIONS,
    DisturbedSource,
    Version,
    as_it_is,
    drift,
    moved,
    noise,
)
from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source

GREY = np.full((40, 60, 3), 100, np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> FrameSource:
    """Seven frames, each of another grey."""
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 60, 3), 30 * number, np.uint8))
    return open_source(tmp_path, fps=10)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=list(VERSIONS))
def test_frames_are_the_same_each_time_and_of_the_sources_size(
    source: FrameSource, version: Version
) -> None:
    disturbed = DisturbedSource(source, version, (0, 1))
    first, again = (list(disturbed.frames()) for _ in range(2))
    assert len(first) == disturbed.length
    assert np.array_equal(first, again)
    assert first[0].shape == (40, 60, 3)
    chosen = np.arange(disturbed.length) % 3 == 2
    picked = list(disturbed.pick(chosen))
    assert [number for number, _ in picked] == np.flatnonzero(chosen).tolist()
    assert all(np.array_equal(frame, first[number]) for number, frame in picked)


def test_every_second_frame_has_half_the_rate_and_its_own_times(source: FrameSource) -> None:
    disturbed = DisturbedSource(source, Version(as_it_is, 2), (0,))
    frames = [(int(frame[0, 0, 0]), disturbed.position) for frame in disturbed.frames()]
    assert disturbed.fps == 5
    assert frames == [(0, (0, 0.0)), (60, (2, 0.2)), (120, (4, 0.4)), (180, (6, 0.6))]


def test_noise_has_the_deviation_that_it_says() -> None:
    grains = noise(np.full((300, 300, 3), 128, np.uint8), 0, np.random.default_rng(0)) - 128.0
    assert grains.std() == pytest.approx(NOISE_SIGMA, rel=0.02)
    assert grains.mean() == pytest.approx(0, abs=0.1)


def test_brightness_drifts_from_as_it_is_to_its_highest_and_lowest() -> None:
    generator = np.random.default_rng(0)
    at = [int(drift(GREY, part * DRIFT_FRAMES // 4, generator)[0, 0, 0]) for part in range(4)]
    assert at == [100, round(100 * (1 + DRIFT)), 100, round(100 * (1 - DRIFT))]


def test_moved_pictures_are_moved_by_whole_pixels_without_a_loss() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    assert np.array_equal(moved(frame, 10, -3)[:-3, 10:], frame[3:, :-10])

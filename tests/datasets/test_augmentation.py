"""Made cameras: one view for all that is shown to it, and nothing but what cameras do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpn.datasets.augmentation import RandomCamera, RandomCameraOptions, temporal_subsample
from mpn.datasets.windows import Clip
from mpn.video.frame_source import BadFrame

SIZE = (32, 48)
PLAIN = RandomCameraOptions(
    (1.0, 1.0), stretch=1.0, contrast=(1.0, 1.0), gamma=(1.0, 1.0), offset=0, noise=0, blur=0
)


def frames(count=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 1), np.uint8)


def camera(seed, options=None):
    return RandomCamera(np.random.default_rng(seed), SIZE, options)


def test_with_nothing_to_vary_a_camera_shows_the_frames_or_their_mirror_image():
    shown = frames()
    views = [camera(seed, PLAIN)(shown) for seed in range(8)]
    mirrored = [np.array_equal(view, shown[:, :, ::-1]) for view in views]
    assert all(m or np.array_equal(view, shown) for m, view in zip(mirrored, views))
    assert 0 < sum(mirrored) < 8


def test_the_view_is_the_same_for_every_frame_and_every_call():
    for seed in range(10):
        random_camera = camera(seed, RandomCameraOptions(noise=0.0))
        still = np.repeat(frames(1), 4, axis=0)
        first, second = random_camera(still), random_camera(still[:2])
        assert (first == first[0]).all() and np.array_equal(first[:2], second)


def test_a_seed_gives_a_camera_and_another_seed_another():
    shown = frames()
    assert np.array_equal(camera(3)(shown), camera(3)(shown))
    assert not np.array_equal(camera(3)(shown), camera(4)(shown))


def test_frames_keep_their_kind_and_the_original_is_left_alone():
    shown = frames()
    before = shown.copy()
    colour = np.repeat(shown, 3, axis=3)
    for seed in range(10):
        for original in (shown, colour):
            varied = camera(seed)(original)
            assert varied.dtype == np.uint8 and varied.shape == original.shape
    assert np.array_equal(shown, before)


def test_brightness_keeps_its_order():
    # Without noise, blur and another view a brighter pixel never becomes the darker one.
    ramp = np.tile(
        np.linspace(0, 255, SIZE[1]).astype(np.uint8)[None, None, :, None], (1, SIZE[0], 1, 1)
    )
    for seed in range(20):
        random_camera = camera(
            seed, RandomCameraOptions(zoom=(1.0, 1.0), stretch=1.0, noise=0.0, blur=0.0)
        )
        row = random_camera(ramp)[0, 0, :, 0].astype(int)
        assert (np.diff(-row if random_camera.mirrored else row) >= 0).all()


def test_zoom_shows_a_part_of_the_view():
    # A frame whose columns are numbered: what is seen spans 1/2 of them.
    ramp = np.tile(
        (np.arange(SIZE[1]) * 5).astype(np.uint8)[None, None, :, None], (1, SIZE[0], 1, 1)
    )
    columns = camera(0, replace(PLAIN, zoom=(2.0, 2.0)))(ramp)[0, 0, :, 0].astype(int)
    assert 5 * (SIZE[1] // 2 - 2) <= np.ptp(columns) <= 5 * (SIZE[1] // 2)


def test_slower_takes_every_nth_frame_as_a_scene_of_its_own():
    clip = Clip("walk", "yard", frames(31), 30.0)
    (slower,) = temporal_subsample([clip], 3, 10)
    assert np.array_equal(slower.frames, clip.frames[[0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]])
    assert (slower.scene, slower.fps) == ("yard-every3", 10.0)
    assert np.shares_memory(slower.frames, clip.frames)


def test_clips_too_short_or_with_unreadable_frames_are_left_out():
    clip = Clip("walk", "yard", frames(31), None)
    broken = Clip("walk", "yard", frames(31), None, [BadFrame(3, "3", "broken")])
    assert temporal_subsample([clip], 3, 11) == [] and temporal_subsample([broken], 2, 1) == []
    assert temporal_subsample([clip], 3, 10)[0].fps is None

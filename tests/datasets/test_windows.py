from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mpn.datasets.augmentation import mirrored
from mpn.datasets.batches import EpochBatches
from mpn.datasets.layouts import Video
from mpn.datasets.pseudo_anomalies import PseudoOptions
from mpn.datasets.windows import (
    Clip,
    WindowDataset,
    load_clips,
    split_calibration,
    to_float,
)
from mpn.errors import DataError, FrameError
from mpn.video.frame_source import BadFrame
from tests.helpers import trees

ALWAYS = PseudoOptions(
    speed_probability=1, object_probability=1, rectangle_size=(4, 12), object_size=(4, 10)
)


def numbered(count, *, name="clip", scene="yard", start=0, bad=(), channels=1):
    """A clip of 24x32 whose frame k is `start + k` all over."""
    frames = np.broadcast_to(
        np.arange(start, start + count, dtype=np.uint8)[:, None, None, None],
        (count, 24, 32, channels),
    ).copy()
    return Clip(name, scene, frames, 25.0, [BadFrame(i, f"{i}.png", "unreadable") for i in bad])


def numbers(sample):
    """The numbers of a sample's frames, oldest first, the target last."""
    return sample.frames[:, 0, 0, 0].tolist()


def noisy(count, seed=0):
    return Clip(
        "noise", "yard", np.random.default_rng(seed).integers(0, 256, (count, 24, 32, 1), np.uint8)
    )


def samples(dataset):
    return [
        (sample.frames.clone(), sample.tampered.clone())
        for sample in (dataset[i] for i in range(len(dataset)))
    ]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, b)
        for sample, reference in zip(first, second)
        for a, b in zip(sample, reference)
    )


# --- Windows


def test_every_window_has_its_frames_in_order_and_the_true_next_one():
    dataset = WindowDataset([numbered(7), numbered(3), numbered(6, start=100)], 4)
    expected = [list(range(t - 4, t + 1)) for t in (4, 5, 6)] + [
        list(range(t - 4, t + 1)) for t in (104, 105)
    ]
    assert [numbers(dataset[i]) for i in range(len(dataset))] == expected
    assert dataset[0].frames.shape == (5, 1, 24, 32) and dataset[0].frames.dtype == torch.uint8
    assert dataset[0].tampered.shape == (24, 32) and not dataset[0].tampered.any()


@pytest.mark.parametrize("window", [1, 2, 6])
def test_other_window_lengths(window):
    dataset = WindowDataset([numbered(8)], window)
    assert [numbers(sample) for sample in (dataset[i] for i in range(len(dataset)))] == [
        list(range(t - window, t + 1)) for t in range(window, 8)
    ]


@pytest.mark.parametrize("bad", [(0,), (5,), (13,), (3, 8), (4, 5, 6)])
def test_no_window_crosses_a_bad_frame_and_no_other_is_lost(bad):
    dataset = WindowDataset([numbered(14, bad=bad)], 4)
    windows = [numbers(dataset[i]) for i in range(len(dataset))]
    assert windows == [
        list(range(t, t + 5)) for t in range(10) if not set(range(t, t + 5)) & set(bad)
    ]


def test_speed_ups_do_not_look_back_across_a_bad_frame():
    options = PseudoOptions(speed_probability=1, whole_frame_probability=1, object_probability=0)
    dataset = WindowDataset([numbered(30, bad=(9,))], 4, pseudo=options)
    first_after = {}
    for epoch in range(20):
        dataset.epoch = epoch
        for i in range(len(dataset)):
            window = numbers(dataset[i])
            first_after[window[-1]] = min(window[0], first_after.get(window[-1], 99))
    # Target t looks back on t - 1 - 3 * 4 at most, and never past frame 9.
    for target, oldest in first_after.items():
        assert oldest >= (10 if target > 9 else 0)
    assert first_after[29] == 29 - 1 - 12


def test_without_a_window_the_lengths_are_told():
    with pytest.raises(
        DataError,
        match=r"no window to train on: it takes 5 frames.*longest of 2 "
        r"clip\(s\) has 4",
    ):
        WindowDataset([numbered(4), numbered(2)], 4)


def test_the_float_range_and_the_order_of_channels():
    frames = np.zeros((5, 2, 2, 3), np.uint8)
    frames[0], frames[3, ..., 2], frames[4] = 255, 51, 102
    dataset = WindowDataset([Clip("c", "s", frames)], 4)
    window, target = to_float(dataset[0].frames.unsqueeze(0))
    assert window.shape == (1, 12, 2, 2) and target.shape == (1, 3, 2, 2)
    assert window.dtype == target.dtype == torch.float32
    # Channel 3 k + c is colour c of frame k: white, then black, then a fifth in the newest frame's
    # red.
    expected = [1.0] * 3 + [-1.0] * 8 + [51 / 127.5 - 1]
    assert torch.allclose(window[0, :, 0, 0], torch.tensor(expected), atol=1e-6)
    assert torch.allclose(target, torch.tensor(102 / 127.5 - 1), atol=1e-6)


# --- Reading


def videos(tmp_path, lengths=(9, 6)):
    folders = [
        trees.write_frames(tmp_path / "data" / f"{i:02d}", count) for i, count in enumerate(lengths)
    ]
    return [Video(folder.name, folder, "yard") for folder in folders]


def test_clips_hold_every_frame_in_order(tmp_path):
    clips = load_clips(videos(tmp_path), trees.SIZE, False)
    assert (
        [clip.name for clip in clips] == ["00", "01"]
        and clips[0].scene == "yard"
        and clips[0].fps is None
    )
    assert [trees.index_of(frame) for frame in clips[0].frames] == list(range(9))
    assert np.array_equal(clips[1].frames, np.stack([trees.frame(i) for i in range(6)]))
    grey = load_clips(videos(tmp_path), (24, 32), True)
    assert grey[0].frames.shape == (9, 24, 32, 1) and grey[0].frames.dtype == np.uint8


@pytest.mark.parametrize("pseudo", [None, ALWAYS])
def test_memory_and_disk_give_the_same_samples(tmp_path, pseudo, recwarn):
    cache = tmp_path / "cache"
    cache.mkdir()
    footage = videos(tmp_path)
    in_memory = load_clips(footage, (24, 32), True)
    on_disk = load_clips(footage, (24, 32), True, memory_limit=0, cache=cache)
    assert not any(isinstance(clip.frames, np.memmap) for clip in in_memory)
    assert all(isinstance(clip.frames, np.memmap) for clip in on_disk)
    assert os.listdir(cache) == []  # nothing is left behind, however the process ends
    first, second = (
        samples(WindowDataset(clips, 4, seed=3, pseudo=pseudo)) for clips in (in_memory, on_disk)
    )
    assert len(first) == 5 + 2 and same(first, second)
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_a_bad_frame_stops_or_is_left_out(tmp_path):
    footage = videos(tmp_path, (12, 6))
    (footage[0].path / "005.png").write_bytes(b"")
    with pytest.raises(FrameError, match="005.png"):
        load_clips(footage, trees.SIZE, False)
    clips = load_clips(footage, trees.SIZE, False, skip_bad=True)
    assert [bad.index for bad in clips[0].bad] == [5] and len(clips[0].frames) == 12
    dataset = WindowDataset(clips[:1], 4)
    windows = [
        [trees.index_of(f.permute(1, 2, 0).numpy()) for f in dataset[i].frames]
        for i in range(len(dataset))
    ]
    assert windows == [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10], [7, 8, 9, 10, 11]]


def test_unreadable_videos_are_left_out_unless_all_are(tmp_path):
    footage = videos(tmp_path)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(FrameError, match="text.mp4"):
        load_clips([*footage, Video("text", text, "yard")], trees.SIZE, False)
    clips = load_clips([*footage, Video("text", text, "yard")], trees.SIZE, False, skip_bad=True)
    assert [clip.name for clip in clips] == ["00", "01"]
    with pytest.raises(DataError, match="none of the videos could be read"):
        load_clips([Video("text", text, "yard")], trees.SIZE, False, skip_bad=True)


# --- Held-out footage


def frame_numbers(clips):
    return [number for clip in clips for number in clip.frames[:, 0, 0, 0].tolist()]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 16])
@pytest.mark.parametrize("share", [0.125, 0.3, 0.5])
def test_the_split_is_disjoint_and_covers_everything(count, share):
    clips = [numbered(8, name=str(i), start=8 * i) for i in range(count)]
    training, calibration = split_calibration(clips, share)
    assert training and calibration
    assert sorted(frame_numbers(training) + frame_numbers(calibration)) == list(range(8 * count))
    held = len(frame_numbers(calibration)) / (8 * count)
    # Whole clips where there are four or more: within one clip of the share, one at least.
    assert abs(held - share) <= max(1 / count, 1 / 8)
    if count >= 4:
        assert {clip.name for clip in training} | {clip.name for clip in calibration} == set(
            map(str, range(count))
        )


def test_each_scene_is_split_on_its_own():
    clips = [numbered(8, name=f"a{i}", scene="a", start=8 * i) for i in range(8)]
    clips += [numbered(16, name="b", scene="b", start=100)]
    training, calibration = split_calibration(clips, 0.125)
    assert [clip.name for clip in calibration if clip.scene == "a"] == ["a7"]
    assert frame_numbers([clip for clip in calibration if clip.scene == "b"]) == [114, 115]
    assert frame_numbers([clip for clip in training if clip.scene == "b"]) == list(range(100, 114))


def test_bad_frames_keep_their_place_in_the_parts():
    training, calibration = split_calibration([numbered(16, bad=(3, 12, 15))], 0.25)
    assert [bad.index for bad in training[0].bad] == [3]
    assert [bad.index for bad in calibration[0].bad] == [0, 3]
    assert training[0].name == "clip[0:12]" and calibration[0].fps == 25.0


# --- Order, epochs, workers, transforms


def test_the_order_is_a_seeded_permutation_that_changes_with_the_epoch():
    def order(seed, epoch):
        batches = EpochBatches(12, 4, seed)
        batches.epoch = epoch
        return [i for batch in batches for i in batch]

    assert sorted(order(1, 0)) == list(range(12))
    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(*key)) for key in ((1, 0), (1, 1), (2, 0), (2, 1))}) == 4


def test_batches_start_where_they_are_told():
    batches = EpochBatches(11, 3, 0)
    whole = list(batches)
    # the odd two are left out
    assert len(batches) == len(whole) == 3 and all(len(batch) == 3 for batch in whole)
    batches.start = 1
    assert list(batches) == whole[1:]


def test_too_few_samples_for_a_batch_make_one_of_their_own():
    batches = EpochBatches(3, 8, 0)
    assert len(batches) == 1 and [sorted(batch) for batch in batches] == [[0, 1, 2]]


@pytest.mark.parametrize("pseudo", [None, ALWAYS])
def test_workers_make_no_difference(pseudo):
    dataset = WindowDataset([noisy(12)], 4, seed=2, pseudo=pseudo)
    dataset.epoch = 3
    batches = EpochBatches(len(dataset), 3, 2)
    runs = [
        [tuple(batch) for batch in DataLoader(dataset, batch_sampler=batches, num_workers=workers)]
        for workers in (0, 2)
    ]
    assert len(runs[0]) == 2 and same(*runs)


def test_tampering_follows_seed_epoch_and_sample():
    def drawn(seed, epoch):
        dataset = WindowDataset([noisy(16)], 4, seed=seed, pseudo=ALWAYS)
        dataset.epoch = epoch
        return samples(dataset)

    assert same(drawn(1, 0), drawn(1, 0))
    assert not same(drawn(1, 0), drawn(1, 1)) and not same(drawn(1, 0), drawn(2, 0))


def test_the_target_is_never_tampered_with():
    clip = noisy(20)
    dataset = WindowDataset([clip], 4, pseudo=ALWAYS)
    for epoch in range(3):
        dataset.epoch = epoch
        for i in range(len(dataset)):
            sample = dataset[i]
            assert np.array_equal(sample.frames[-1].permute(1, 2, 0), clip.frames[i + 4])
            if i >= 4:  # from seven frames on there is something to speed up
                assert sample.tampered.any() and not np.array_equal(
                    sample.frames[0, 0], clip.frames[i, ..., 0]
                )


def test_a_transform_sees_window_and_target_together():
    clip, calls = noisy(20), []

    def flip(frames):
        calls.append((tuple(frames.shape), frames.dtype))
        return frames.flip(-1)

    plain = samples(WindowDataset([clip], 4))
    flipped = samples(WindowDataset([clip], 4, transform=flip))
    assert all(torch.equal(a[0].flip(-1), b[0]) for a, b in zip(plain, flipped, strict=True))
    assert set(calls) == {((5, 1, 24, 32), torch.uint8)} and len(calls) == len(plain)
    calls.clear()
    WindowDataset([clip], 4, pseudo=ALWAYS, transform=flip)[15]
    assert calls == [((14, 1, 24, 32), torch.uint8)]


def test_the_transform_comes_before_the_tampering():
    """With everything black, only what is pasted in differs, and the mask lies over it."""
    options = PseudoOptions(speed_probability=1, object_probability=0)
    dataset = WindowDataset([noisy(20)], 4, pseudo=options, transform=torch.zeros_like)
    assert not dataset[15].frames.any() and not dataset[15].tampered.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transform_that_works_in_place_leaves_the_clip_alone(channels):
    clip = numbered(8, channels=channels)
    before = clip.frames.copy()
    assert numbers(WindowDataset([clip], 4, transform=lambda frames: frames.add_(100))[0]) == list(
        range(100, 105)
    )
    WindowDataset([clip], 4)[0].frames.zero_()
    assert np.array_equal(clip.frames, before)


# --- Mirror images


def test_mirror_images_are_exchanged_left_and_right_and_scenes_of_their_own():
    frames = np.random.default_rng(0).integers(0, 256, (9, 24, 32, 3), np.uint8)
    clip = Clip("walk", "yard", frames, 12.5, [BadFrame(3, "3.png", "unreadable")])
    before = frames.copy()
    (image,) = mirrored([clip])
    for left in (0, 1, 15, 31):
        assert np.array_equal(image.frames[:, :, left], frames[:, :, 31 - left])
    assert image.frames.shape == frames.shape and image.frames.dtype == np.uint8
    assert (image.name, image.scene, image.fps, image.bad) == (
        "walk-mirrored",
        "yard-mirrored",
        12.5,
        clip.bad,
    )
    assert not np.shares_memory(image.frames, frames) and np.array_equal(frames, before)
    assert clip.scene == "yard"


def test_clips_of_one_scene_have_mirror_images_of_one_scene():
    clips = [numbered(7, name="a"), numbered(6, name="b"), numbered(6, name="c", scene="hall")]
    images = mirrored(clips)
    assert [image.scene for image in images] == ["yard-mirrored", "yard-mirrored", "hall-mirrored"]
    assert [image.name for image in images] == ["a-mirrored", "b-mirrored", "c-mirrored"]
    assert mirrored([]) == []


def test_windows_of_mirror_images_are_mirror_images_of_windows():
    clip = noisy(9)
    plain, image = WindowDataset([clip], 4), WindowDataset(mirrored([clip]), 4)
    assert len(plain) == len(image) == 5
    assert all(torch.equal(plain[i].frames.flip(-1), image[i].frames) for i in range(5))

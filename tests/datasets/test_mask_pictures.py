"""Mask pictures of every depth: what is drawn at full depth counts, and what says nothing fails."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.mask_pictures import read_masks
from mpn.errors import LabelError
from tests.helpers import trees

TRUTH = np.zeros((3, 20, 30), bool)
TRUTH[1, 4:9, 10:22] = True


def write(folder: Path, masks: np.ndarray, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(masks):
        assert cv2.imwrite(str(folder / f"{number:03d}{suffix}"), mask)
    return folder


def rgba(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Stack (T, H, W) to (T, H, W, 4)."""
    return np.stack([colour, colour, colour, alpha], -1)


@pytest.mark.parametrize(
    "dtype, value, suffix",
    [
        (np.uint8, 255, ".bmp"),
        (np.uint8, 1, ".png"),
        (np.uint16, 255, ".png"),
        (np.uint16, 1, ".png"),
        (np.uint16, 65535, ".tif"),
        (np.float32, 1, ".tif"),
        (np.float32, 1e-3, ".tif"),
        (np.int32, 7, ".tif"),
        (np.float64, 0.5, ".tiff"),
    ],
)
def test_what_is_not_zero_at_full_depth_is_anomalous(tmp_path, dtype, value, suffix):
    folder = write(tmp_path, (TRUTH * value).astype(dtype), suffix)
    assert np.array_equal(list(read_masks(folder)), TRUTH)


def test_colours_count_in_any_channel(tmp_path):
    masks = np.zeros((*TRUTH.shape, 3), np.uint16)
    masks[..., 2] = TRUTH * 200
    assert np.array_equal(list(read_masks(write(tmp_path, masks))), TRUTH)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("case", ["black shapes", "white shapes", "white on black", "all white"])
def test_alpha_is_part_of_a_mask(tmp_path, dtype, case):
    full = np.iinfo(dtype).max
    shape, all_on = (TRUTH * full).astype(dtype), np.full(TRUTH.shape, full, dtype)
    masks = {
        "black shapes": rgba(np.zeros_like(shape), shape),
        "white shapes": rgba(shape, shape),
        "white on black": rgba(shape, all_on),
        "all white": rgba(all_on, shape),
    }[case]
    assert np.array_equal(list(read_masks(write(tmp_path, masks))), TRUTH)


def test_a_frame_that_is_anomalous_all_over_is_read_as_the_folder_is(tmp_path):
    truth = TRUTH.copy()
    truth[2] = True
    black = np.zeros(truth.shape, np.uint8)
    in_alpha = write(tmp_path / "alpha", rgba(black, truth * np.uint8(255)))
    assert np.array_equal(list(read_masks(in_alpha)), truth)
    grey = write(tmp_path / "grey", truth * np.uint16(255))
    assert np.array_equal(list(read_masks(grey)), truth)


def test_black_all_over_and_opaque_is_normal(tmp_path):
    black = np.zeros(TRUTH.shape, np.uint8)
    assert not np.any(list(read_masks(write(tmp_path, rgba(black, black + 255)))))


def test_opaque_black_beside_masks_in_alpha_is_refused(tmp_path):
    """By its own it is all normal, by the others' way of drawing all anomalous."""
    root = trees.ucsd(tmp_path / "set")
    for name, count in trees.TESTING.items():
        alpha = np.full((count, *trees.SIZE), 255, np.uint8)
        if name != "2":
            alpha[3:, 5:20] = 0
        black = np.zeros(alpha.shape, np.uint8)
        write(root / "Test" / f"Test{int(name):03d}_gt", rgba(black, alpha))
    tree = recognise(root)
    lengths = dict(zip((video.name for video in tree.testing), trees.TESTING.values()))
    with pytest.raises(LabelError, match="Test002_gt: .* opaque all over.* beside Test001_gt"):
        load_labels(tree, lengths)


@pytest.mark.parametrize(
    "masks, words",
    [
        (TRUTH * np.uint8(1) + 1, "no pixel of it is black .* from 1 to 2"),
        (np.where(TRUTH, np.nan, 0).astype(np.float32), "no numbers"),
        (rgba(TRUTH * np.uint8(255), np.zeros(TRUTH.shape, np.uint8)), "transparent all over"),
        (~TRUTH * np.uint8(255), "more than half of the picture .90% the least"),
    ],
)
def test_a_mask_without_meaning_is_refused(tmp_path, masks, words):
    suffix = ".tif" if masks.dtype == np.float32 else ".png"
    with pytest.raises(LabelError, match=words):
        list(read_masks(write(tmp_path, masks, suffix)))


def test_masks_that_are_white_all_over_say_that_whole_frames_are_anomalous(tmp_path):
    for frames in ([True, True, True], [False, True, False]):
        truth = np.broadcast_to(np.array(frames)[:, None, None], TRUTH.shape)
        folder = write(tmp_path / str(frames[0]), truth * np.uint8(255))
        assert np.array_equal(list(read_masks(folder)), truth)


def test_a_cut_mask_is_named(tmp_path):
    folder = write(tmp_path, TRUTH * np.uint8(255))
    (folder / "001.png").write_bytes((folder / "001.png").read_bytes()[:60])
    with pytest.raises(LabelError, match=r"mask .*001\.png: is cut short"):
        list(read_masks(folder))


@pytest.mark.parametrize("kind", ["16 bits", "alpha"])
def test_labels_and_pixel_masks_of_a_data_set_are_the_same(tmp_path, kind):
    root = trees.ucsd(tmp_path / "set")
    for name, count in trees.TESTING.items():
        truth = np.zeros((count, *trees.SIZE), bool)
        for start, stop in trees.ANOMALIES[name]:
            truth[start:stop, 5:20, 7:30] = True
        folder = root / "Test" / f"Test{int(name):03d}_gt"
        if kind == "alpha":
            masks = rgba(np.zeros(truth.shape, np.uint8), truth * np.uint8(255))
        else:
            masks = truth * np.uint16(255)
        write(folder, masks)
    tree = recognise(root)
    lengths = dict(zip((video.name for video in tree.testing), trees.TESTING.values()))
    labels = load_labels(tree, lengths)
    for video, spans in zip(tree.testing, trees.ANOMALIES.values()):
        expected = np.zeros(lengths[video.name], bool)
        for start, stop in spans:
            expected[start:stop] = True
        assert labels.frames[video.name].tolist() == expected.tolist()
        mask = labels.pixel_mask(video.name)
        assert mask is not None and np.array_equal(mask.any((1, 2)), expected)

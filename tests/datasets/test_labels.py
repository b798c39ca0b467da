from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.io

from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.errors import LabelError
from tests.helpers import trees
from tests.helpers.labelling import TOTAL, all_labels, assert_true, lengths_of, load, refused, rows


@pytest.fixture
def frames(tmp_path):
    return trees.frames(tmp_path / "avenue_like")


# --- Every published form


@pytest.mark.parametrize("form", ["rows", "columns", "cells"])
def test_gt_intervals_of_either_orientation(frames, form):
    path = trees.write_gt_mat(frames / "avenue_like.mat", form)
    labels = load(frames)
    assert_true(labels)
    assert labels.source == path and labels.kind.startswith("intervals of avenue_like.mat (gt)")
    assert labels.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert labels.pixel_mask("01") is None and labels.notes == ()


@pytest.mark.parametrize("value", [[[2, 5], [3, 6]], [[2, 3], [5, 6]]], ids=["columns", "rows"])
def test_two_intervals_are_read_the_way_in_which_they_follow_each_other(frames, value):
    cell = np.empty((1, 3), object)
    cell[0, :] = [np.array(value, np.uint8), np.zeros((0, 0)), np.array([1, 7])]
    scipy.io.savemat(frames / "a.mat", {"gt": cell})
    assert np.flatnonzero(load(frames).frames["01"]).tolist() == [1, 2, 4, 5]  # 2-3 and 5-6 from 1


def test_one_interval_a_video_may_be_a_plain_matrix(frames):
    scipy.io.savemat(frames / "a.mat", {"gt": np.array([[2, 1, 7], [4, 1, 7]])})
    assert [np.flatnonzero(label).tolist() for label in load(frames).frames.values()] == [
        [1, 2, 3],
        [0],
        [6],
    ]


def test_intervals_beyond_255_do_not_wrap(tmp_path):
    for name, count in (("1", 300), ("2", 3)):
        folder = tmp_path / "testing" / "frames" / name
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / f"{index:03d}.jpg").touch()
    cell = np.empty((1, 2), object)
    cell[0, :] = [np.array([[250], [300]]), np.array([[3], [3]], np.uint8)]
    scipy.io.savemat(tmp_path / "x.mat", {"gt": cell})
    labels = load_labels(recognise(tmp_path), {"1": 300, "2": 3})
    assert labels.frames["1"].sum() == 51 and labels.frames["1"][249:].all()


@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, bool])
def test_one_vector_over_all_videos(frames, shape, dtype):
    path = frames / "frame_labels_avenue.npy"
    np.save(path, all_labels().astype(dtype).reshape(shape))
    labels = load(frames)
    assert_true(labels)
    assert labels.source == path and labels.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_vector_may_lie_beside_the_data_set(frames):
    np.save(frames.parent / "frame_labels_avenue_like.npy", all_labels())
    np.save(frames.parent / "frame_labels_other.npy", ~all_labels())
    assert_true(load(frames))


def test_a_vector_per_video(tmp_path):
    root = trees.shanghaitech(tmp_path / "shanghaitech")
    folder = root / "testing" / "test_frame_mask"
    folder.mkdir()
    digest = hashlib.sha256()
    for key, label in trees.truth().items():
        np.save(folder / f"{trees.shanghai_name(key)}.npy", label.astype(np.int8))
        digest.update((folder / f"{trees.shanghai_name(key)}.npy").read_bytes())
    labels = load(root)
    assert_true(labels)
    assert labels.source == folder and labels.sha256 == digest.hexdigest()


def test_pixel_masks_per_video(tmp_path):
    root = trees.shanghaitech(tmp_path / "shanghaitech")
    folder = root / "testing" / "test_pixel_mask"
    folder.mkdir()
    for key in trees.TESTING:
        np.save(folder / f"{trees.shanghai_name(key)}.npy", trees.masks(key).astype(np.uint8))
    labels = load(root)
    assert_true(labels)
    assert np.array_equal(labels.pixel_mask("02_0010"), trees.masks("10"))


@pytest.mark.parametrize("suffix", [".bmp", ".png"])
def test_mask_pictures_of_ucsd(tmp_path, suffix):
    root = trees.ucsd(tmp_path / "UCSDped")
    trees.write_mask_pictures(root / "Test", "Test{:03d}_gt", suffix, start=1)
    labels = load(root)
    assert_true(labels)
    assert labels.kind == f"pixel masks (Test/CLIP_gt/*{suffix})"
    mask = labels.pixel_mask("Test001")
    assert mask.dtype == bool and np.array_equal(mask, trees.masks("1"))


@pytest.mark.parametrize("value", [1, 255])
def test_mask_pictures_of_the_frames_layout(frames, value):
    trees.write_mask_pictures(frames / "testing" / "masks", "{:02d}", ".png", value=value)
    labels = load(frames)
    assert_true(labels)
    assert np.array_equal(labels.pixel_mask("10"), trees.masks("10"))


def test_masks_of_avenue(tmp_path):
    root = trees.avenue(tmp_path / "Avenue")
    trees.write_avenue_masks(root / "testing_label_mask")
    labels = load(root)
    assert_true(labels)
    assert np.array_equal(labels.pixel_mask("01"), trees.masks("1"))
    assert (
        "volLabel" in labels.kind
        and "11 anomalous frames: neither published version" in labels.kind
    )


def test_a_volume_of_masks_is_as_good_as_a_cell(tmp_path):
    root = trees.avenue(tmp_path / "Avenue")
    folder = trees.write_avenue_masks(root / "testing_label_mask")
    scipy.io.savemat(
        folder / "10_label.mat", {"volLabel": np.moveaxis(trees.masks("10"), 0, 2).astype(np.uint8)}
    )
    assert_true(load(root))


@pytest.mark.parametrize(
    "count, version", [(3712, "the masks' version"), (3867, "the older vector's version")]
)
def test_avenues_version_is_said(tmp_path, count, version):
    for key in ("1", "2"):
        (tmp_path / "testing_videos").mkdir(exist_ok=True)
        (tmp_path / "testing_videos" / f"{key}.avi").touch()
    np.save(tmp_path / "frame_labels_avenue.npy", np.arange(15324) < count)
    labels = load_labels(recognise(tmp_path), {"1": 10000, "2": 5324})
    assert labels.kind.endswith(f"{count:,} anomalous frames: {version}")


@pytest.mark.parametrize(
    "lists",
    [
        ["3:5, 8", "", "1:7"],
        ["3:5 8", " ", "1 : 7"],
        ["3:4,5:5,8:8", "", "1:3, ...\n 4:7"],
        ["8;3:5", "", "1,2,3,4:7"],
    ],
)
def test_interval_scripts_of_ucsd(tmp_path, lists):
    root = trees.ucsd(tmp_path / "UCSDped")
    path = trees.write_m(root / "Test" / "UCSDped.m", lists)
    labels = load(root)
    assert_true(labels)
    assert labels.source == path


@pytest.mark.parametrize("names", ["{:02d}", "testing/frames/{:02d}"])
def test_labels_csv(frames, names):
    path = trees.write_csv(frames / "labels.csv", [*rows(names), names.format(2) + ",,"])
    labels = load(frames)
    assert_true(labels)
    assert labels.source == path and labels.kind.startswith("intervals of labels.csv")


def test_labels_csv_of_plain_and_scenes(tmp_path):
    for key, count in trees.TESTING.items():
        trees.write_video(tmp_path / "plain" / f"{key}.avi", count)
    trees.write_csv(tmp_path / "plain" / "labels.csv", rows("{}.avi"))
    assert_true(load(tmp_path / "plain"))
    root = trees.scenes(tmp_path / "scenes")
    trees.write_csv(
        root / "labels.csv",
        ["yard/1.avi,2,5,bicycle", "lobby,0,6,", "roof/clip,,,"],
        header="video,start,end,what",
    )
    tree = recognise(root)
    labels = load_labels(tree, {"lobby": 6, "roof": 5, "yard_1": 8, "yard_2": 6, "yard_10": 7})
    assert {name: label.sum() for name, label in labels.frames.items()} == {
        "lobby": 6,
        "roof": 0,
        "yard_1": 3,
        "yard_2": 0,
        "yard_10": 0,
    }


def test_a_csv_of_windows_spreadsheets_is_read(frames):
    text = "video, start, end\r\n" + "\r\n".join(rows("{:02d}")) + "\r\n"
    (frames / "testing" / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert_true(load(frames))


# --- Which of several, and any given


def test_the_order_of_preference(tmp_path):
    root = trees.ucsd(tmp_path / "UCSDped")
    masks = trees.write_mask_pictures(root / "Test", "Test{:03d}_gt", ".bmp", start=1)
    expected = [masks]
    expected.append(trees.write_m(root / "Test" / "UCSDped.m"))
    np.save(root / "frame_labels_ped.npy", all_labels())
    expected.append(root / "frame_labels_ped.npy")
    expected.append(trees.write_gt_mat(root / "UCSDped.mat"))
    expected.append(trees.write_csv(root / "labels.csv", rows("Test{:03d}")))
    for path in reversed(expected):
        labels = load(root)
        assert_true(labels)
        assert labels.source == path and labels.notes == ()
        # whatever the labels are from
        assert np.array_equal(labels.pixel_mask("Test001"), trees.masks("1"))
        if path is not masks:
            path.unlink()


def test_any_form_can_be_given(tmp_path):
    root = trees.frames(tmp_path / "set")
    trees.write_csv(root / "labels.csv", [])  # would be taken
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in ("frame", "pixel"):
        (folder / name).mkdir()
    for key, label in trees.truth().items():
        np.save(folder / "frame" / f"{int(key):02d}.npy", label)
        np.save(folder / "pixel" / f"{int(key):02d}.npy", trees.masks(key))
    np.save(folder / "vector.npy", all_labels())
    forms = [
        folder / "frame",
        folder / "pixel",
        folder / "vector.npy",
        trees.write_gt_mat(folder / "x.mat"),
        trees.write_m(folder / "x.m"),
        trees.write_csv(folder / "x.csv", rows("{:02d}")),
        trees.write_avenue_masks(folder / "avenue"),
        trees.write_mask_pictures(folder / "pictures", "{:02d}", ".png"),
        trees.write_mask_pictures(folder / "gt", "{:02d}_gt", ".bmp"),
    ]
    for path in forms:
        labels = load(root, path)
        assert_true(labels)
        assert labels.source == path
    assert load(root).anomalous == 0


def test_contradicting_labels_are_noted(frames):
    trees.write_gt_mat(frames / "avenue_like.mat")
    older = all_labels()
    older[[5, 6, 10]] = True
    np.save(frames / "frame_labels_x.npy", older)
    labels = load(frames)
    assert_true(labels)
    assert len(labels.notes) == 1
    assert "frame_labels_x.npy" in labels.notes[0]
    assert (
        "14 anomalous frames where the labels in use have 11, 3 frames in 2 videos differ"
        in labels.notes[0]
    )


def test_labels_beside_that_do_not_fit_are_noted(tmp_path):
    root = trees.ucsd(tmp_path / "UCSDped1")  # Ped1 has masks of some clips only
    trees.write_mask_pictures(root / "Test", "Test{:03d}_gt", ".bmp", start=1)
    for file in (root / "Test" / "Test002_gt").iterdir():
        file.unlink()
    refused(
        r"Test: nothing for test video Test002 \(1 of 3 test videos have no labels "
        r"there\)",
        root,
    )
    trees.write_m(root / "Test" / "UCSDped1.m")
    labels = load(root)
    assert_true(labels)
    assert (
        len(labels.notes) == 1
        and "does not fit" in labels.notes[0]
        and "Test002" in labels.notes[0]
    )
    assert labels.pixel_mask("Test002") is None and labels.pixel_mask("Test010").any()


def test_other_mat_files_are_left_alone(frames):
    scipy.io.savemat(frames / "homography.mat", {"H": np.eye(3)})
    refused(r"no labels found; expected one of labels\.csv, NAME\.mat", frames)
    trees.write_gt_mat(frames / "x.mat")
    assert_true(load(frames))


# --- Lengths


@pytest.mark.parametrize(
    "change, words",
    [
        (-1, r"20 labels, the 3 test videos have 21 frames together; they run out in video 10"),
        (-8, r"13 labels, the 3 test videos have 21 frames together; they run out in video 02"),
        (
            +2,
            r"23 labels, the 3 test videos have 21 frames together; 2 are left over after video 10",
        ),
    ],
)
def test_a_vector_of_the_wrong_length(frames, change, words):
    np.save(frames / "frame_labels_x.npy", np.resize(all_labels(), TOTAL + change))
    refused(r"frame_labels_x\.npy: " + words, frames)


def test_labels_one_frame_short_name_video_counts_and_file(tmp_path):
    root = trees.shanghaitech(tmp_path / "shanghaitech")
    for name in ("test_frame_mask", "test_pixel_mask"):
        folder = root / "testing" / name
        folder.mkdir()
        for key in trees.TESTING:
            label = trees.truth()[key] if name == "test_frame_mask" else trees.masks(key)
            np.save(folder / f"{trees.shanghai_name(key)}.npy", label[:-1] if key == "2" else label)
        match = rf"{name}/01_0002\.npy: 5 labels for test video 01_0002, which has 6 frames"
        refused(match, root, folder)
    refused(match.replace("pixel", "frame"), root)


def test_masks_one_frame_short(tmp_path):
    root = trees.ucsd(tmp_path / "UCSDped")
    trees.write_mask_pictures(root / "Test", "Test{:03d}_gt", ".bmp", start=1)
    (root / "Test" / "Test010_gt" / "007.bmp").unlink()
    refused("Test010_gt: 6 labels for test video Test010, which has 7 frames", root)
    trees.write_m(root / "Test" / "x.m")
    with pytest.raises(LabelError, match="Test010_gt: 6 labels"):
        load(root).pixel_mask("Test010")


def test_avenue_masks_one_frame_short(tmp_path):
    root = trees.avenue(tmp_path / "Avenue")
    folder = trees.write_avenue_masks(root / "testing_label_mask")
    label = scipy.io.loadmat(folder / "1_label.mat")["volLabel"]
    scipy.io.savemat(folder / "1_label.mat", {"volLabel": label[:, :-1]})
    refused(r"1_label\.mat: 7 labels for test video 01, which has 8 frames", root)


def test_intervals_that_reach_beyond_the_video(frames):
    trees.write_gt_mat(frames / "x.mat")
    tree = recognise(frames)
    with pytest.raises(
        LabelError,
        match=r"x\.mat: labels of test video 10 reach frames 0 to 6 "
        r"\(from 0\), the video "
        "has 6 frames",
    ):
        load_labels(tree, lengths_of(tree) | {"10": 6})
    trees.write_csv(frames / "labels.csv", ["01,2,9"])
    refused(
        r"labels\.csv: labels of test video 01 reach frames 2 to 8 \(from 0\), the video has 8 "
        r"frames",
        frames,
    )


def test_intervals_count_from_one(frames):
    trees.write_m(frames / "x.m", ["0:3", "", "1"])
    refused(r"video 01 reach frames -1 to 2 \(from 0\).*expected intervals from 1", frames)


def test_intervals_for_another_number_of_videos(frames):
    cell = np.empty((1, 2), object)
    cell[0, :] = [np.array([[1], [2]])] * 2
    scipy.io.savemat(frames / "x.mat", {"gt": cell})
    refused(r"x\.mat: labels for 2 test videos, the data set has 3 \(01, 02, 10, \.\.\.\)", frames)


def test_lengths_must_be_given_for_every_test_video(frames):
    trees.write_gt_mat(frames / "x.mat")
    tree = recognise(frames)
    with pytest.raises(LabelError, match="the length of test video 10 is not given"):
        load_labels(tree, {"01": 8, "02": 6})

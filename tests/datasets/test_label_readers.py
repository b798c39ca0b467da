from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import scipy.io

from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.errors import DataError, LabelError
from tests.helpers import trees
from tests.helpers.labelling import TOTAL, all_labels, load, refused, rows


@pytest.fixture
def frames(tmp_path):
    return trees.frames(tmp_path / "avenue_like")


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("how", ["object array", "bare pickle"])
def test_nothing_is_unpickled(frames, tmp_path, how):
    target = tmp_path / "exploded"
    path = frames / "frame_labels_x.npy"
    if how == "bare pickle":
        path.write_bytes(pickle.dumps(Bomb(target)))
    else:
        np.save(path, np.array([Bomb(target)], object), allow_pickle=True)
    refused(r"frame_labels_x\.npy: holds pickled Python objects, which are never loaded", frames)
    assert not target.exists()


@pytest.mark.parametrize(
    "array, words",
    [
        (np.full(TOTAL, 2), "holds the value 2; expected 0"),
        (np.full(TOTAL, np.nan), "holds the value nan"),
        (np.zeros((3, 7)), r"has shape \(3, 7\); expected frame labels"),
        (np.array(["a"] * TOTAL), "holds <U1; expected an array of numbers"),
    ],
)
def test_vectors_that_are_no_labels(frames, array, words):
    np.save(frames / "frame_labels_x.npy", array)
    refused(r"frame_labels_x\.npy: " + words, frames)


def test_damaged_npy_files(frames):
    path = frames / "frame_labels_x.npy"
    np.save(path, all_labels())
    path.write_bytes(path.read_bytes()[:-5])
    refused(r"frame_labels_x\.npy: cannot be read as \.npy", frames)
    archive = io.BytesIO()
    np.savez(archive, a=all_labels())
    path.write_bytes(archive.getvalue())
    refused("is an archive of arrays; expected one plain array", frames)
    path.write_bytes(b"")
    refused(r"frame_labels_x\.npy: cannot be read as \.npy", frames)


def test_damaged_mat_files(frames):
    path = trees.write_gt_mat(frames / "x.mat")
    path.write_bytes(path.read_bytes()[:200])
    refused(r"x\.mat: cannot be read as a \.mat file", frames)
    path.write_bytes(
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"
    )
    refused(r"x\.mat: is a MATLAB v7\.3 \(HDF5\) file; expected v7 or older", frames)
    scipy.io.savemat(path, {"volLabel": np.zeros(3)})
    refused(r"x\.mat: holds volLabel; expected the variable 'gt'", frames, path)


@pytest.mark.parametrize(
    "cell, words",
    [
        (np.array([[5], [2]]), "ends before it starts"),
        (np.zeros((3, 3)), r"has shape \(3, 3\); expected 2xK or Kx2"),
        (np.array([[1.5], [2]]), "no frame numbers"),
        (np.array(["a"]), "no frame numbers"),
    ],
)
def test_cells_that_are_no_intervals(frames, cell, words):
    cells = np.empty((1, 3), object)
    cells[0, :] = [np.array([[1], [2]]), cell, np.array([[1], [2]])]
    scipy.io.savemat(frames / "x.mat", {"gt": cells})
    refused(r"x\.mat: test video 2 of 'gt'.*" + words, frames)


@pytest.mark.parametrize("words", ["system('rm')", "5:2", "1:2:9", "-3:4"])
def test_scripts_are_read_not_run(frames, words):
    trees.write_m(frames / "x.m", ["1:2", words, "1"])
    refused(r"x\.m: gt_frame of test video 2 .*expected", frames)


def test_a_script_without_intervals_when_given(frames):
    (frames / "x.m").write_text("disp(1)")
    refused(r"x\.m: no 'gt_frame = \[\.\.\.\]' found", frames, frames / "x.m")


@pytest.mark.parametrize(
    "row, words",
    [
        ("1,2,5", "names the video '1', which is not one test video; expected one of 01, 02, 10"),
        ("01,5,2", "is '01,5,2'; expected video,start,end with frames from 0 and start < end"),
        ("01,3,3", "is '01,3,3'"),
        ("01,-1,3", "is '01,-1,3'"),
        ("01,a,3", "is '01,a,3'"),
        ("01,2.5,3", "is '01,2.5,3'"),
        ("01,2,", "is '01,2,'"),
        ("01,1_0,7_6", "is '01,1_0,7_6'"),
        ("01,+1,3", "is '01,[+]1,3'"),
        ("01,\u0661,\u0663", "is '01,\u0661,\u0663'"),  # 1 and 3 in Arabic digits
        (",2,3", "is ',2,3'"),
        ("01", None),
    ],
)
def test_rows_of_labels_csv(frames, row, words):
    trees.write_csv(frames / "labels.csv", ["02,0,2", row])
    if words is None:  # nothing but a name says that the video is normal
        assert load(frames).anomalous == 2
    else:
        refused(r"labels\.csv: line 3 " + words.replace(".", r"\."), frames)


@pytest.mark.parametrize("lines", [["2,0,2", "2,,"], ["2,,", "2.avi,4,5", "1,1,2"]])
def test_a_video_that_is_normal_and_is_not(tmp_path, lines):
    for key, count in trees.TESTING.items():
        trees.write_video(tmp_path / "plain" / f"{key}.avi", count)
    trees.write_csv(tmp_path / "plain" / "labels.csv", lines)
    refused(
        r"labels\.csv: lines 2 and 3 say that video '2' is normal, and that it is not",
        tmp_path / "plain",
    )
    trees.write_csv(tmp_path / "plain" / "labels.csv", ["2,0,2", "1,,", "2,4,5", "1,,"])
    assert load(tmp_path / "plain").anomalous == 3


@pytest.mark.parametrize("header", ["video,start,end,video", "video, start,end,start ,note"])
def test_a_csv_with_a_column_twice(frames, header):
    trees.write_csv(frames / "labels.csv", ["01,0,1,02,"], header=header)
    refused(r"labels\.csv: its first line has the column '(video|start)' twice", frames)


def test_columns_without_a_name_are_no_matter(frames):
    trees.write_csv(frames / "labels.csv", ["01,0,1,,"], header="video,start,end,,")
    assert load(frames).anomalous == 1


def test_a_csv_without_its_columns(frames):
    trees.write_csv(frames / "labels.csv", rows("{:02d}"), header="01,0,1")
    refused(
        r"labels\.csv: its first line is '01,0,1'; expected the columns "
        r"video,start,end",
        frames,
    )
    (frames / "labels.csv").write_bytes(b"")
    refused(r"labels\.csv: its first line is ''; expected the columns", frames)
    (frames / "labels.csv").write_bytes(b"video,start,end\n\xff\xfe\x00,1,2\n")
    refused(r"labels\.csv: line 2 names the video .*which is not one test video", frames)


def test_a_damaged_mask_is_named(frames):
    trees.write_mask_pictures(frames / "testing" / "masks", "{:02d}", ".png")
    (frames / "testing" / "masks" / "02" / "003.png").write_bytes(b"")
    refused(r"mask .*masks/02/003\.png: is empty \(0 bytes\)", frames)


def test_label_paths_that_are_none(frames):
    with pytest.raises(DataError, match=r"gone\.mat: does not exist"):
        load(frames, frames / "gone.mat")
    (frames / "labels.txt").touch()
    refused(
        r"labels\.txt: is no form of labels; expected \.mat, \.npy, \.m, "
        r"\.csv",
        frames,
        frames / "labels.txt",
    )
    (frames / "nothing").mkdir()
    refused(r"nothing: is no form of labels", frames, frames / "nothing")


def test_no_test_videos_no_labels(tmp_path):
    trees.write_video(tmp_path / "a.avi", 3)
    tree = recognise(tmp_path)
    with pytest.raises(
        LabelError, match="has no test videos.*a labels.csv makes test videos of all"
    ):
        load_labels(tree, {})

"""Clips of any depth, and that train, score, adapt, evaluate and doctor agree on them."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pytest

from mpn.cli import data
from mpn.datasets.clips import clips_in
from mpn.datasets.layouts import recognise
from mpn.doctor.diagnose import diagnose
from mpn.errors import DataError
from mpn.video.footage import find_sources, footage_of
from tests.helpers import trees


def names(videos):
    return [video.name for video in videos]


# --- Names


def test_a_clip_one_folder_deeper_is_found_and_named_by_its_folder(tmp_path):
    folder = tmp_path / "training" / "frames"
    for clip in ("01", "02/02", "03/frames/x", "04"):
        trees.write_frames(folder / clip, 6)
    (folder / "05").mkdir()
    tree = recognise(tmp_path)
    assert tree.layout == "frames" and names(tree.training) == ["01", "02", "03", "04"]
    [left_out] = tree.left_out
    assert left_out.path == folder / "05" and left_out.reason == "is empty"
    [line] = tree.describe_left_out()
    assert line.endswith("left out: training/frames/05: is empty")


def test_several_clips_in_a_folder_have_both_names(tmp_path):
    trees.write_video(tmp_path / "a.mp4", 2)
    for clip in ("1.mp4", "2.mp4"):
        trees.write_video(tmp_path / "b" / clip, 2)
    trees.write_video(tmp_path / "c" / "old" / "x.mp4", 2)
    assert names(clips_in(tmp_path, "s")) == ["a", "b_1", "b_2", "c"]


def test_folders_that_hold_one_folder_are_no_part_of_a_name(tmp_path):
    for clip in ("01", "02"):
        trees.write_frames(tmp_path / "x" / "part1" / clip, 2)
    assert names(clips_in(tmp_path, "s")) == ["01", "02"]


# --- Layouts


@pytest.mark.parametrize("split", ["train", "training", "TRAIN"])
@pytest.mark.parametrize("below", ["frames", "videos", ""])
def test_train_and_test_are_names_of_a_split(tmp_path, split, below):
    for name, clips in ((split, ("01", "02")), ("test", ("01", "02", "03"))):
        for clip in clips:
            if below == "videos":
                trees.write_video(tmp_path / name / below / f"{clip}.mp4", 2)
            else:
                trees.write_frames(tmp_path / name / below / clip, 6)
    tree = recognise(tmp_path)
    assert names(tree.training) == ["01", "02"] and names(tree.testing) == ["01", "02", "03"]


def test_a_camera_with_folders_of_days_is_one_camera(tmp_path):
    for day in ("2023-01-01", "2023-01-02"):
        for clip in ("a.mp4", "b.mp4"):
            trees.write_video(tmp_path / "yard" / day / clip, 2)
        trees.write_video(tmp_path / "roof" / day / "a.mp4", 2)
    both = recognise(tmp_path)
    assert both.layout == "scenes" and both.scenes == ("roof", "yard")
    assert len(both.training) == 6
    yard = recognise(tmp_path / "yard")
    assert yard.layout == "plain" and yard.scenes == ("yard",) and len(yard.training) == 4


def test_recordings_beside_folders_are_one_camera(tmp_path):
    trees.write_video(tmp_path / "beside" / "a.mp4", 2)
    trees.write_video(tmp_path / "beside" / "archive" / "b.mp4", 2)
    trees.write_frames(tmp_path / "beside" / "@eaDir" / "a.mp4", 9, prefix="SYNOPHOTO_")
    tree = recognise(tmp_path / "beside")
    assert names(tree.training) == ["a", "archive"] and tree.scenes == ("beside",)
    assert tree.left_out == ()


def test_a_data_set_beside_cameras_is_named_and_not_trained_on(tmp_path):
    trees.write_video(tmp_path / "yard" / "a.mp4", 2)
    trees.ucsd(tmp_path / "UCSDped2")
    tree = recognise(tmp_path)
    assert names(tree.training) == ["yard"]
    assert {(entry.path.name, entry.kind) for entry in tree.left_out} == {
        ("Train", "other-layout"),
        ("Test", "other-layout"),
    }


# --- Agreement


def nas(root: Path) -> None:
    trees.write_video(root / "1.mp4", 6)
    trees.write_frames(root / "@eaDir" / "1.mp4", 9, prefix="SYNOPHOTO_THUMB_")
    trees.write_video(root / "archive" / "2022" / "b.mp4", 6)


def strays(root: Path) -> None:
    trees.write_frames(root / "cam1", 6)
    trees.write_frames(root / "cam1", 1, prefix="background")
    trees.write_frames(root / "cam2" / "deeper" / "still", 7)
    (root / "cam3").mkdir()
    (root / "cam4.raw").write_bytes(b"\0\1\2")


def thumbnails(root: Path) -> None:
    for name in ("a", "b"):
        trees.write_video(root / "yard" / f"{name}.mp4", 6)
        trees.write_frames(root / "yard", 1, prefix=name)
    trees.write_frames(root / "roof" / "snapshots", 6)


INPUTS = {
    "nas": nas,
    "strays": strays,
    "thumbnails": thumbnails,
    "scenes": trees.scenes,
    "ucsd": trees.ucsd,
    "frames": trees.frames,
    "avenue": trees.avenue,
    "shanghaitech": trees.shanghaitech,
}


@pytest.mark.parametrize("name", INPUTS)
def test_all_verbs_read_the_same_files(tmp_path, name, caplog):
    root = tmp_path / "set"
    INPUTS[name](root)
    caplog.set_level(logging.INFO)
    trained = data.open_data(argparse.Namespace(data=str(root), layout=None, fps=10))
    scored, left_out = set(find_sources(root)), set(footage_of(root).left_out)
    assert {video.path for video in trained.training + trained.testing} == scored
    assert set(trained.left_out) == left_out
    assert all(line in caplog.text for line in trained.describe_left_out())
    diagnosis = diagnose(root, fps=10, progress=False)
    assert {clip.video.path for clip in diagnosis.clips} == scored
    findings = " ".join(finding.what for finding in diagnosis.findings)
    named = [entry for entry in left_out if entry.kind != "labels"]
    assert all(entry.path.name in findings for entry in named)


def test_what_nobody_reads_is_an_error_that_says_why(tmp_path):
    trees.write_frames(tmp_path / "cam", 3)
    trees.write_video(tmp_path / "cam" / "a.mp4", 2)
    for look in (recognise, find_sources):
        with pytest.raises(DataError, match="holds 3 pictures and 1 videos"):
            look(tmp_path)

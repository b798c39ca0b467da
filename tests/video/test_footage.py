from __future__ import annotations

import os

import pytest

from mpn.datasets.layouts import recognise
from mpn.errors import DataError, FrameError
from mpn.video.footage import find_sources, footage_of
from mpn.video.sources import open_source
from tests.helpers import trees

# --- Finding


def test_a_missing_path_names_the_nearest_parent(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_text("x")
    for call in (open_source, find_sources):
        with pytest.raises(
            DataError,
            match=r"does not exist; the nearest folder that does is "
            rf"{tmp_path}/videos, which holds 1 file \(\.mp4\)",
        ):
            call(tmp_path / "videos" / "2024" / "b.mp4")


def test_sources_of_a_path(tmp_path):
    clips = [trees.write_frames(tmp_path / name, 2) for name in ("1", "2", "10")]
    trees.write_frames(tmp_path / "1_gt", 2)  # UCSD's masks
    video = trees.write_video(tmp_path / "3.avi", 2)
    assert find_sources(tmp_path) == [clips[0], clips[1], video, clips[2]]
    assert find_sources(clips[0]) == [clips[0]]
    assert find_sources(video) == [video]


def test_wrong_folders_say_what_they_hold(tmp_path):
    with pytest.raises(DataError, match="no frames or videos found, it holds nothing; expected"):
        find_sources(tmp_path)
    with pytest.raises(FrameError, match="no frames found, it holds nothing; expected pictures"):
        open_source(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match=r"it holds 2 files \(\.txt\), 1 folder \(notes\)"):
        find_sources(tmp_path)
    with pytest.raises(FrameError, match=r"it holds 2 files \(\.txt\), 1 folder \(notes\)"):
        open_source(tmp_path)


def test_a_pattern_stands_for_what_it_matches(tmp_path):
    videos = [
        trees.write_video(tmp_path / name, 2) for name in ("cam2.mp4", "cam10.mp4", "other.avi")
    ]
    clip = trees.write_frames(tmp_path / "cam3", 2)
    (tmp_path / "cam1.txt").touch()
    assert find_sources(tmp_path / "cam*.mp4") == videos[:2]
    assert find_sources(str(tmp_path / "cam*")) == [videos[0], clip, videos[1]]
    assert find_sources(tmp_path / "cam?.mp4") == videos[:1]
    assert find_sources(tmp_path / "cam[23]*") == [videos[0], clip]
    assert find_sources(tmp_path / "**" / "*.mp4") == videos[:2]
    assert find_sources(tmp_path.parent / f"{tmp_path.name[:-1]}?" / "other.*") == videos[2:]


def test_a_name_with_brackets_is_a_name_first(tmp_path):
    video = trees.write_video(tmp_path / "lobby [1].avi", 2)
    trees.write_video(tmp_path / "lobby 1.avi", 2)
    assert find_sources(video) == [video]


def test_a_pattern_without_videos_says_so(tmp_path):
    trees.write_frames(tmp_path / "clip", 3)
    with pytest.raises(
        DataError,
        match=r"/\*\.mp4: matches nothing; expected a pattern of video "
        r"files",
    ):
        find_sources(tmp_path / "*.mp4")
    with pytest.raises(
        DataError,
        match=r"\*\.png: matches 3 files and folders, none of them a "
        r"video",
    ):
        find_sources(tmp_path / "clip" / "*.png")


def test_folders_of_folders_are_searched(tmp_path):
    monday = [trees.write_video(tmp_path / "monday" / f"{k}.avi", 2) for k in (1, 2, 10)]
    clip = trees.write_frames(tmp_path / "tuesday" / "yard" / "7", 2)
    trees.write_frames(tmp_path / "tuesday" / "yard" / "7_gt", 2)
    (tmp_path / "notes").mkdir()
    (tmp_path / "monday" / "again").symlink_to(tmp_path)
    (tmp_path / "tuesday" / "round").symlink_to(tmp_path)
    assert find_sources(tmp_path) == [*monday, clip]
    assert find_sources(tmp_path / "mon*") == monday
    trees.write_frames(tmp_path / "monday", 4)
    footage = footage_of(tmp_path)
    assert footage.sources == [clip]
    assert left_out(tmp_path) == {
        "monday": ("mixed", "holds 4 pictures and 3 videos"),
        "notes": ("empty", "is empty"),
        "tuesday/yard/7_gt": ("masks", "holds the masks of 7"),
    }


# --- What is left out


def left_out(root):
    """Return what is left out of a folder: path below it -> (kind, reason)."""
    return {
        str(entry.path.relative_to(root)): (entry.kind, entry.reason)
        for entry in footage_of(root).left_out
    }


def test_recordings_beside_folders_are_all_taken(tmp_path):
    names = ("a.mp4", "archive/b.mp4", "archive/2022/11/c.mp4", "z.mp4")
    videos = [trees.write_video(tmp_path / name, 2) for name in names]
    clip = trees.write_frames(tmp_path / "photos" / "01", 6)
    assert set(find_sources(tmp_path)) == {*videos, clip} and left_out(tmp_path) == {}


@pytest.mark.parametrize(
    "folder", ["@eaDir/1.mp4", "#recycle", "$RECYCLE.BIN", "lost+found", ".Trash-1000", "@Recycle"]
)
def test_what_systems_keep_for_themselves_is_never_footage(tmp_path, folder):
    video = trees.write_video(tmp_path / "1.mp4", 2)
    trees.write_frames(tmp_path / folder, 9, prefix="SYNOPHOTO_THUMB_")
    trees.write_video(tmp_path / folder / "old.mp4", 2)
    assert find_sources(tmp_path) == [video] and left_out(tmp_path) == {}


def test_a_preview_beside_recordings_is_no_recording(tmp_path):
    videos = [trees.write_video(tmp_path / "yard" / f"{k}.mp4", 2) for k in range(3)]
    trees.write_frames(tmp_path / "yard", 3)  # one a recording
    trees.write_frames(tmp_path, 1, prefix="plan")
    assert find_sources(tmp_path) == videos
    kinds = {name: kind for name, (kind, _) in left_out(tmp_path).items()}
    expected = ("plan000.png", "yard/000.png", "yard/001.png", "yard/002.png")
    assert kinds == dict.fromkeys(expected, "pictures")


@pytest.mark.parametrize(
    "folder, names",
    [
        ("thumbnails", [f"{index:03d}.jpg" for index in range(8)]),
        ("Thumbs", [f"cam {number}.jpg" for number in range(3)]),
        ("stills", [f"cam {number}.mp4.jpg" for number in range(3)] * 2),
        ("stills", [f"cam {number}_{index}.jpg" for number in range(3) for index in range(4)]),
    ],
)
def test_previews_of_the_recordings_beside_them_are_no_clip(tmp_path, folder, names):
    (tmp_path / folder).mkdir()
    for number in range(3):
        (tmp_path / f"cam {number}.mp4").touch()
    for name in names:
        (tmp_path / folder / name).touch()
    footage = footage_of(tmp_path)
    assert [path.name for path in footage.sources] == ["cam 0.mp4", "cam 1.mp4", "cam 2.mp4"]
    [entry] = footage.left_out
    assert entry.path.name == folder and entry.reason.startswith("holds previews")


@pytest.mark.parametrize(
    "recordings, names",
    [
        (["cam.mp4", "b.mp4"], [f"cam_{index}.jpg" for index in range(8)]),  # one's own frames
        (["1.mp4", "2.mp4"], [f"{number}{index}.jpg" for number in (1, 2) for index in range(5)]),
        (["1.mp4", "2.mp4"], [f"{index}.jpg" for index in range(1, 9)]),
        ([f"{index:03d}.mp4" for index in range(9)], [f"{index:03d}.jpg" for index in range(9)]),
        ([], [f"cam {number}.jpg" for number in range(8)]),
    ],
)
def test_frames_beside_recordings_are_a_clip(tmp_path, recordings, names):
    (tmp_path / "clip").mkdir()
    for name in (*recordings, *(f"clip/{name}" for name in names)):
        (tmp_path / name).touch()
    assert tmp_path / "clip" in footage_of(tmp_path).sources


def test_footage_below_a_folder_of_frames_is_named(tmp_path):
    trees.write_frames(tmp_path, 6)
    trees.write_frames(tmp_path / "more", 6)
    assert find_sources(tmp_path) == [tmp_path]
    assert left_out(tmp_path)["more"][0] == "below-frames"


def test_files_that_may_have_been_meant_are_named_and_text_is_not(tmp_path):
    video = trees.write_video(tmp_path / "a.mp4", 2)
    (tmp_path / "b.vid").write_bytes(video.read_bytes())
    (tmp_path / "rec0001").write_bytes(video.read_bytes())
    (tmp_path / "README").write_text("Kamera im Hof, März\n", encoding="utf-8")
    (tmp_path / "a.srt").write_text("1\n00:00:01,000")
    (tmp_path / "index.html").touch()
    assert set(left_out(tmp_path)) == {"b.vid", "rec0001"}


def test_results_of_a_job_are_no_footage(tmp_path):
    video = trees.write_video(tmp_path / "a.mp4", 2)
    trees.write_video(tmp_path / "scores" / "a" / "overlay.mp4", 2)
    for name in ("scores.csv", "state.json"):
        (tmp_path / "scores" / "a" / name).touch()
    assert find_sources(tmp_path) == [video]
    assert left_out(tmp_path) == {"scores/a": ("results", "holds results of mpn score")}


def test_a_fifo_and_a_device_are_named_and_never_opened(tmp_path):
    clip = trees.write_frames(tmp_path / "clip", 6)
    os.mkfifo(clip / "003b.png")
    os.mkfifo(tmp_path / "live.mp4")
    (clip / "007.jpg").symlink_to("/dev/zero")
    assert find_sources(tmp_path) == [clip]
    assert {kind for kind, _ in left_out(tmp_path).values()} == {"special"}
    assert set(left_out(tmp_path)) == {"live.mp4", "clip/003b.png", "clip/007.jpg"}
    assert indices(open_source(clip)) == list(range(6))
    with pytest.raises(FrameError, match="live.mp4: is no regular file"):
        open_source(tmp_path / "live.mp4")


def test_a_folder_that_may_not_be_read_is_named_and_the_rest_goes_on(shared_tmp, as_nobody):
    video = trees.write_video(shared_tmp / "cam1" / "a.mp4", 2)
    trees.write_video(shared_tmp / "cam2" / "deep" / "b.mp4", 2)
    trees.write_video(shared_tmp / "cam3" / "c.mp4", 2)
    (shared_tmp / "cam2" / "deep").chmod(0o700)
    (shared_tmp / "cam3").chmod(0o000)
    with as_nobody():
        assert find_sources(shared_tmp) == [video]
        assert left_out(shared_tmp) == {
            "cam2/deep": ("unlisted", "cannot be listed (Permission denied)"),
            "cam3": ("unlisted", "cannot be listed (Permission denied)"),
        }
        tree = recognise(shared_tmp)
        assert [video.name for video in tree.training] == ["cam1"]
        assert {entry.kind for entry in tree.left_out} == {"unlisted"}
        with pytest.raises(DataError, match="cam3: cannot be listed"):
            find_sources(shared_tmp / "cam3")


def test_pictures_and_videos_in_one_folder_are_ambiguous(tmp_path):
    trees.write_frames(tmp_path, 3)
    trees.write_video(tmp_path / "a.avi", 2)
    with pytest.raises(DataError, match="holds 3 pictures and 1 videos"):
        find_sources(tmp_path)


def indices(source):
    return [trees.index_of(frame) for frame in source.frames()]

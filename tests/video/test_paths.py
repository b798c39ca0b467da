from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mpn.errors import DataError, FrameError
from mpn.video.paths import find_sources, natural_key
from mpn.video.sources import open_source
from tests.helpers import trees

# --- Natural order


def test_numbers_sort_as_numbers():
    names = ["clip10", "clip2", "Clip1", "clip02", "clip", "a1b10", "a1b9", "10", "9"]
    ordered = ["9", "10", "a1b9", "a1b10", "clip", "Clip1", "clip02", "clip2", "clip10"]
    assert sorted(names, key=natural_key) == ordered


def test_natural_order_is_numeric_order_for_any_zero_filling():
    rng = np.random.default_rng(3)
    numbers = rng.permutation(2000)[:300]
    names = [f"f_{n:0{rng.integers(1, 7)}d}.jpg" for n in numbers]
    assert [int(name[2:-4]) for name in sorted(names, key=natural_key)] == sorted(numbers.tolist())


def test_natural_key_compares_names_of_any_shape():
    names = ["".join(parts) for parts in product(["", "a", "1", "01", "²"], repeat=3)]
    keys = sorted(map(natural_key, names))
    assert len(keys) == 125 and keys[0] == natural_key("")


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


def test_folders_of_folders_are_searched_when_asked_for(tmp_path):
    monday = [trees.write_video(tmp_path / "monday" / f"{k}.avi", 2) for k in (1, 2, 10)]
    clip = trees.write_frames(tmp_path / "tuesday" / "yard" / "7", 2)
    trees.write_frames(tmp_path / "tuesday" / "yard" / "7_gt", 2)
    (tmp_path / "notes").mkdir()
    (tmp_path / "monday" / "again").symlink_to(tmp_path)
    (tmp_path / "tuesday" / "round").symlink_to(tmp_path)
    assert find_sources(tmp_path, deep=True) == [*monday, clip]
    assert find_sources(tmp_path / "mon*", deep=True) == monday
    with pytest.raises(DataError, match=r"no frames or videos found, it holds 3 folders"):
        find_sources(tmp_path)
    trees.write_frames(tmp_path / "monday", 1)
    with pytest.raises(DataError, match="monday: holds 1 pictures and 3 videos"):
        find_sources(tmp_path, deep=True)


def test_folders_beside_videos_are_not_searched(tmp_path):
    video = trees.write_video(tmp_path / "a.avi", 2)
    trees.write_video(tmp_path / "old" / "b.avi", 2)
    assert find_sources(tmp_path, deep=True) == find_sources(tmp_path) == [video]


def test_pictures_and_videos_in_one_folder_are_ambiguous(tmp_path):
    trees.write_frames(tmp_path, 3)
    trees.write_video(tmp_path / "a.avi", 2)
    with pytest.raises(DataError, match="holds 3 pictures and 1 videos"):
        find_sources(tmp_path)


# --- Numbering


def indices(source):
    return [trees.index_of(frame) for frame in source.frames()]


def test_a_missing_number_is_a_bad_frame(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8)
    (folder / "002.png").unlink()
    (folder / "005.png").unlink()
    with pytest.raises(FrameError, match=r"frame 2 \(002\.png\) is missing"):
        open_source(folder)
    source = open_source(folder, skip_bad=True)
    assert source.length == 8 and indices(source) == [0, 1, 1, 3, 4, 4, 6, 7]
    assert [(bad.index, bad.name, bad.reason) for bad in source.bad] == [
        (2, "002.png", "is missing"),
        (5, "005.png", "is missing"),
    ]


def test_a_missing_number_is_seen_where_numbers_go_in_steps(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8, prefix="img_", start=5, step=5, digits=1)
    (folder / "img_15.png").unlink()
    with pytest.raises(FrameError, match=r"frame 2 \(img_15\.png\) is missing"):
        open_source(folder)


def test_timestamps_are_no_numbering(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 4)
    for index, stamp in enumerate((1700000000, 1700000013, 1700000040, 1700000041)):
        (folder / f"{index:03d}.png").rename(folder / f"{stamp}.png")
    assert indices(open_source(folder)) == [0, 1, 2, 3]


def test_a_huge_jump_in_the_numbering_is_refused_not_filled(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8)
    (folder / "007.png").rename(folder / "900000000.png")
    with pytest.raises(FrameError, match=r"jumps from 006\.png to 900000000\.png"):
        open_source(folder, skip_bad=True)


def test_two_pictures_of_one_number_are_refused(tmp_path):
    trees.write_frames(tmp_path / "clip", 3)
    trees.write_frames(tmp_path / "clip", 3, suffix=".jpg")
    with pytest.raises(FrameError, match=r"000\.jpg and 000\.png have one number"):
        open_source(tmp_path / "clip")

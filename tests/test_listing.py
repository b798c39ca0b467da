from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mpn.errors import DataError, FrameError
from mpn.listing import find_sources, natural_key
from mpn.video import open_source
from tests import trees

# Natural order ---------------------------------------------------------------------------------------


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


# Finding ---------------------------------------------------------------------------------------------


def test_a_missing_path_names_the_nearest_parent(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_text("x")
    for call in (open_source, find_sources):
        with pytest.raises(DataError, match=rf"does not exist; the nearest folder that does is {tmp_path}/videos, "
                                            r"which holds 1 file \(\.mp4\)"):
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


def test_pictures_and_videos_in_one_folder_are_ambiguous(tmp_path):
    trees.write_frames(tmp_path, 3)
    trees.write_video(tmp_path / "a.avi", 2)
    with pytest.raises(DataError, match="holds 3 pictures and 1 videos"):
        find_sources(tmp_path)

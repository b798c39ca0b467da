from __future__ import annotations

import tracemalloc
from fractions import Fraction

import cv2
import numpy as np
import pytest

from mpn.errors import DataError, FrameError
from mpn.video.sources import open_source
from tests.helpers import trees

INDICES = list(range(8))


def indices(source, **kwargs):
    return [trees.index_of(frame) for frame in source.frames(**kwargs)]


# --- Frame folders


@pytest.mark.parametrize(
    "options",
    [
        {"start": 0},
        {"start": 1},
        {"start": 98, "digits": 1},
        {"prefix": "frame_"},
        {"suffix": ".jpg"},
        {"suffix": ".tif"},
        {"start": 0, "step": 5},
        {"start": 8, "digits": 1},
    ],
)
def test_a_folder_gives_its_frames_in_order(tmp_path, options):
    source = open_source(trees.write_frames(tmp_path / "clip", 8, **options))
    assert indices(source) == INDICES and source.length == 8 and source.bad == []
    assert source.size == trees.SIZE and source.name == "clip" and source.fps is None
    assert indices(source) == INDICES  # again from the start


def test_frames_are_fitted(tmp_path):
    source = open_source(trees.write_frames(tmp_path / "clip", 3), fps=12.5)
    shapes = {frame.shape for frame in source.frames(size=(10, 20), grey=True)}
    assert shapes == {(10, 20, 1)} and source.fps == Fraction(25, 2)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_random_access_is_the_sequence(tmp_path, skip_bad):
    folder = trees.write_frames(tmp_path / "clip", 9)
    if skip_bad:
        for name in ("000.png", "004.png", "005.png"):
            (folder / name).write_bytes(b"")
    source = open_source(folder, skip_bad=skip_bad)
    sequence = list(source.frames(size=(20, 30), grey=True))
    for index in np.random.default_rng(0).permutation(9):
        assert np.array_equal(source.read(int(index), size=(20, 30), grey=True), sequence[index])
    with pytest.raises(IndexError):
        source.read(9)
    with pytest.raises(IndexError):
        source.read(-1)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"every": 3}, [0, 3, 6]),
        ({"start": 0.4, "fps": 10}, [4, 5, 6, 7, 8]),
        ({"start": 0.1, "end": 0.8, "fps": 10, "every": 2}, [1, 3, 5, 7]),
    ],
)
def test_part_of_a_folder(tmp_path, options, expected):
    source = open_source(trees.write_frames(tmp_path / "clip", 9), **options)
    frames = [(source.position, trees.index_of(frame)) for frame in source.frames()]
    assert [number for _, number in frames] == expected == [index for (index, _), _ in frames]
    assert [trees.index_of(source.read(k)) for k in range(source.length)] == expected
    if "fps" in options:
        assert [time for (_, time), _ in frames] == [index / 10 for index in expected]
        assert source.fps == Fraction(10, options.get("every", 1))


def test_only_the_part_that_is_shown_need_be_whole(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 9)
    (folder / "001.png").unlink()
    for name in ("000.png", "005.png"):
        (folder / name).write_bytes(b"")
    assert indices(open_source(folder, fps=10, start=0.2, end=0.5)) == [2, 3, 4]
    assert indices(open_source(folder, fps=1, start=3, every=3)) == [3, 6]
    source = open_source(folder, fps=10, start=0.4, skip_bad=True)
    assert indices(source) == [4, 4, 6, 7, 8] and [bad.index for bad in source.bad] == [5]
    assert indices(open_source(folder, fps=10, start=0.5, skip_bad=True)) == [6, 6, 7, 8]
    with pytest.raises(FrameError, match=r"frame 1 \(001\.png\) is missing"):
        open_source(folder, fps=10, start=0.1)


def test_part_of_a_folder_takes_a_rate_and_a_start_within_it(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 9)
    with pytest.raises(
        DataError,
        match=r"clip: its frame rate is unknown, so start and end "
        r".*--fps",
    ):
        open_source(folder, start=1)
    with pytest.raises(DataError, match=r"clip: has no frame from 3 s on, it is 0\.9 s long"):
        open_source(folder, fps=10, start=3)
    source = open_source(folder, every=2)
    assert [source.position[0] for _ in source.frames()] == [0, 2, 4, 6, 8] and np.isnan(
        source.position[1]
    )
    source.fps = Fraction(5)  # of what is given, so 10 for the folder
    assert source.position == (8, 0.8)


def test_a_source_is_called_by_the_name_that_the_user_sees(tmp_path, monkeypatch):
    folder = trees.write_frames(tmp_path / "clip.v1.2", 2)
    (tmp_path / "01").symlink_to(folder)
    assert open_source(tmp_path / "01").name == "01" and open_source(folder).name == "clip.v1.2"
    monkeypatch.chdir(folder)
    assert open_source(".").name == "clip.v1.2"


def test_hidden_and_foreign_files_are_ignored(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8)
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "notes.txt", "labels.csv", ".hidden.jpg"):
        (folder / name).write_bytes(b"x")
    (folder / "sub.png").mkdir()
    assert indices(open_source(folder)) == INDICES


@pytest.mark.parametrize("content", ["zero", "half", "text"])
def test_a_bad_frame_in_the_middle_stops_or_is_replaced(tmp_path, content):
    folder = trees.write_frames(tmp_path / "clip", 8, suffix=".jpg")
    data = (folder / "003.jpg").read_bytes()
    bad = {"zero": b"", "half": data[: len(data) // 2], "text": b"hello"}[content]
    (folder / "003.jpg").write_bytes(bad)
    with pytest.raises(FrameError, match=r"clip: frame 3 \(003\.jpg\) is .*--skip-bad"):
        list(open_source(folder).frames())
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [0, 1, 2, 2, 4, 5, 6, 7]
    assert indices(source) == [0, 1, 2, 2, 4, 5, 6, 7]  # not listed twice
    assert [(bad.index, bad.name) for bad in source.bad] == [(3, "003.jpg")]


def test_bad_frames_at_the_start_are_replaced_by_the_one_after(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 5)
    for name in ("000.png", "001.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(FrameError, match=r"frame 0 \(000\.png\) is empty \(0 bytes\)"):
        open_source(folder)
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [2, 2, 2, 3, 4] and [bad.index for bad in source.bad] == [0, 1]


def test_a_frame_of_another_size_stops_or_is_replaced(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 6)
    cv2.imwrite(str(folder / "004.png"), trees.frame(4, (24, 32)))
    with pytest.raises(
        FrameError,
        match=r"frame 4 \(004\.png\) is 32x24 where the first frame is "
        r"64x48",
    ):
        list(open_source(folder).frames(size=(24, 32)))
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [0, 1, 2, 3, 3, 5] and source.bad[0].index == 4


def test_a_folder_of_nothing_but_bad_frames(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 3)
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(FrameError, match=r"none of its 3 frames can be read.*000\.png\) is empty"):
        open_source(folder, skip_bad=True)


# --- Video files


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_video_file_gives_its_frames_in_order(tmp_path, suffix):
    source = open_source(trees.write_video(tmp_path / f"clip{suffix}", 8, fps=12.5))
    assert indices(source) == INDICES and indices(source) == INDICES
    assert source.fps == Fraction(25, 2) and source.size == trees.SIZE and source.name == "clip"
    assert source.length == 8 and source.bad == []
    assert {frame.shape for frame in source.frames(size=(8, 16), grey=True)} == {(8, 16, 1)}


def test_ntsc_rate_is_exact(tmp_path):
    path = trees.write_video(tmp_path / "clip.avi", 4)
    trees.set_avi_rate(path, 1001, 30000)
    assert open_source(path).fps == Fraction(30000, 1001)
    assert open_source(path, fps=15).fps == 15


def test_an_absurd_rate_given_is_refused(tmp_path):
    with pytest.raises(DataError, match="frame rate 0 given"):
        open_source(trees.write_video(tmp_path / "clip.avi", 5), fps=0)


def test_a_text_file_called_mp4(tmp_path, capfd):
    (tmp_path / "clip.mp4").write_text("this is not a video\n" * 50)
    with pytest.raises(
        FrameError,
        match=r"clip\.mp4: is no video that FFmpeg can decode \(1,000 "
        r"bytes of text\)",
    ):
        open_source(tmp_path / "clip.mp4")
    assert capfd.readouterr().err == ""  # nothing of FFmpeg's own


def test_a_digit_in_its_name_does_not_make_it_a_pattern_of_pictures(tmp_path):
    for file in trees.write_frames(tmp_path / "clips", 3, prefix="clip").iterdir():
        # OpenCV's pattern reader would play all three as one video
        file.rename(file.with_suffix(".avi"))
    (tmp_path / "clips" / "clip000.avi").write_text("x")
    with pytest.raises(FrameError, match="is no video"):
        open_source(tmp_path / "clips" / "clip000.avi")


def test_empty_files_and_cut_headers(tmp_path):
    (tmp_path / "zero.mp4").touch()
    with pytest.raises(FrameError, match=r"zero\.mp4: is empty \(0 bytes\)"):
        open_source(tmp_path / "zero.mp4")
    path = trees.write_video(tmp_path / "cut.mp4", 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # its index is at the end
    with pytest.raises(FrameError, match=r"cut\.mp4: is no video.*cut short"):
        open_source(path)


def test_damage_in_the_middle_of_a_video_does_not_pass(tmp_path):
    path = trees.write_video(tmp_path / "damaged.avi", 40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(FrameError, match="truncated or damaged"):
        list(open_source(path).frames())


def test_a_single_picture_is_no_video(tmp_path):
    trees.write_frames(tmp_path, 1)
    with pytest.raises(FrameError, match="is a single picture"):
        open_source(tmp_path / "000.png")


def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for count in (10, 40):
        path = trees.write_video(tmp_path / f"{count}.avi", count, size=(240, 320))
        source = open_source(path)
        tracemalloc.start()
        for _ in source.frames(grey=True):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frame = 240 * 320
    assert peaks[0] >= frame / 2  # OpenCV's grey ones are seen by tracemalloc
    assert peaks[1] < peaks[0] + frame / 2

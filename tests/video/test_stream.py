from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest

from benchmarks import odd_files
from mpn.errors import DataError, FrameError
from mpn.video.sources import open_source
from tests.helpers import trees

COUNT = 40


def film(path, count=COUNT, size=trees.SIZE, fps=10):
    """A video of numbered frames; .avi and .mkv are Motion JPEG, whose frames do not need each
    other."""
    return odd_files.write_video(path, [trees.frame(index, size) for index in range(count)], fps)


def shown(source):
    """(index, time, the number that the picture shows) of every frame."""
    return [(*source.position, trees.index_of(frame)) for frame in source.frames()]


def numbers(source):
    return [trees.index_of(frame) for frame in source.frames()]


def repeated(bad, count=COUNT):
    """The numbers that are seen where the bad frames show the one before."""
    sequence = []
    for index in range(count):
        sequence.append(sequence[-1] if index in bad else index)
    return sequence


# --- What is shown


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, range(40)),
        ({"every": 3}, range(0, 40, 3)),
        ({"start": 1.2}, range(12, 40)),
        ({"end": 1.2}, range(12)),
        ({"start": 0.5, "end": 2, "every": 4}, range(5, 20, 4)),
        ({"start": 3.9}, [39]),
    ],
)
def test_part_of_a_video(tmp_path, suffix, options, expected):
    source = open_source(film(tmp_path / f"a{suffix}"), **options)
    frames = shown(source)
    assert [(index, number) for index, _, number in frames] == [
        (index, index) for index in expected
    ]
    assert [time for _, time, _ in frames] == pytest.approx([index / 10 for index in expected])
    assert source.length == len(frames) and source.fps == Fraction(10, options.get("every", 1))


def test_a_rate_given_sets_the_times_and_what_start_means(tmp_path):
    source = open_source(film(tmp_path / "a.avi"), fps=5, start=2, end=3)
    assert source.fps == 5 and source.length == 5
    assert shown(source) == [(index, index / 5, index) for index in range(10, 15)]


def test_before_the_first_frame_there_is_no_position(tmp_path):
    index, time = open_source(film(tmp_path / "a.avi", 3)).position
    assert index == -1 and math.isnan(time)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"start": -1}, "start -1 given; expected seconds from 0 up"),
        ({"start": math.nan}, "start nan given"),
        ({"end": math.inf}, "end inf given"),
        ({"end": 0}, "end 0 s is not after start 0 s"),
        ({"start": 2, "end": 2}, "end 2 s is not after start 2 s"),
        ({"every": 0}, "every 0 given; expected a whole number from 1 up"),
        ({"every": 1.5}, "every 1.5 given"),
        ({"start": 4}, r"has no frame from 4 s on, it is 4\.0 s long"),
        (
            {"start": 100, "end": 101},
            r"has no frame from 100 s on and before 101 s, it is 4\.0 s long",
        ),
        (
            {"start": 1.01, "end": 1.09},
            r"has no frame from 1\.01 s on and before 1\.09 s, it is 4\.0 s "
            r"long",
        ),
    ],
)
def test_figures_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(DataError, match=rf"a\.avi: {message}"):
        open_source(film(tmp_path / "a.avi"), **options)


def test_a_start_beyond_what_comes_is_refused_whatever_the_header_says(tmp_path):
    path = film(tmp_path / "a.avi")
    odd_files.set_avi_header(path, count=500)
    with pytest.raises(DataError, match=r"has no frame from 20 s on, it is 4\.0 s long"):
        open_source(path, start=20, repeat_broken=True)


# --- Frame rates


PAUSES = [1] * 20 + [3] * 20


def test_times_come_from_the_stream_where_its_rate_varies(tmp_path):
    path = film(tmp_path / "a.mp4")
    odd_files.set_mp4_intervals(path, PAUSES)
    source = open_source(path)  # nor is it taken for a broken one
    frames = shown(source)
    assert [(index, number) for index, _, number in frames] == [
        (index, index) for index in range(40)
    ]
    assert [time for _, time, _ in frames] == pytest.approx(np.cumsum([0, *PAUSES[:-1]]) / 10)
    assert source.fps == 5 and source.bad == []  # 40 frames in 8 s
    assert source.notes == ["its frame rate varies; times are those of the stream"]


def test_part_of_a_video_whose_rate_varies(tmp_path):
    path = film(tmp_path / "a.mp4")
    odd_files.set_mp4_intervals(path, PAUSES)
    assert [index for index, *_ in shown(open_source(path, start=1.85, end=3))] == [
        19,
        20,
        21,
        22,
        23,
    ]
    assert [number for *_, number in shown(open_source(path, start=7.4))] == [38, 39]


def test_pauses_of_a_recorder_are_not_lost_frames(tmp_path):
    path = film(tmp_path / "a.mp4", 60)
    intervals = [1] * 60
    intervals[40] = intervals[50] = 20  # after more than the frames that are looked at first
    odd_files.set_mp4_intervals(path, intervals)
    source = open_source(path, repeat_broken=True)
    frames = shown(source)
    assert [number for *_, number in frames] == list(range(60)) and source.bad == []
    assert [frames[k][1] for k in (40, 41, 51, 59)] == pytest.approx([4, 6, 8.9, 9.7])


@pytest.mark.parametrize("rate", [50, 900, 30_000, 4])
def test_a_wrong_rate_in_the_header_gives_way_to_the_times(tmp_path, rate):
    path = film(tmp_path / "a.mkv")
    odd_files.set_mkv_rate(path, rate)
    source = open_source(path)
    assert source.fps == 10 and source.length == 40
    assert source.notes == [f"its header says {rate} frames/s, its times 10, which are believed"]
    assert [(index, number) for index, _, number in shown(source)] == [
        (index, index) for index in range(40)
    ]
    assert source.position == (39, pytest.approx(3.9))
    overridden = open_source(path, fps=20)
    assert overridden.fps == 20 and overridden.notes == []


def test_an_absurd_rate_that_nothing_corrects_is_unknown_and_so_are_times(tmp_path):
    path = film(tmp_path / "a.avi")
    odd_files.set_avi_header(path, rate=90_000)  # the times of an .avi follow from its rate
    source = open_source(path)
    assert (
        source.fps is None and "its header says 90000 frames/s, which cannot be" in source.notes[0]
    )
    assert (
        len(list(source.frames())) == 40
        and source.position[0] == 39
        and math.isnan(source.position[1])
    )
    source.fps = Fraction(25)  # assumed by whoever knows better
    assert source.position == (39, 39 / 25)
    with pytest.raises(DataError, match="its frame rate is unknown, so start and end"):
        open_source(path, start=1)
    assert open_source(path, fps=10, start=1).length == 30


@pytest.mark.parametrize("count, bad", [(10, []), (500, [40])])
def test_a_wrong_count_in_the_header_is_noted(tmp_path, count, bad):
    path = film(tmp_path / "a.avi")
    odd_files.set_avi_header(path, count=count)
    source = open_source(path, repeat_broken=True)
    assert (
        source.header_length == count and source.length == 40 and numbers(source) == list(range(40))
    )
    assert source.notes == [f"its header says {count} frames, 40 came"]
    assert [frame.index for frame in source.bad] == bad
    list(source.frames())
    assert len(source.notes) == 1 and len(source.bad) == len(bad)  # said once


# --- What is lost

LOST = (5, 6, 7, 20, 33)


@pytest.mark.parametrize(
    "suffix, damage", [(".avi", odd_files.break_avi), (".mkv", odd_files.drop_mkv)]
)
@pytest.mark.parametrize("option", ["repeat_broken", "skip_bad"])
def test_lost_frames_are_repeated_counted_and_reported(tmp_path, suffix, damage, option):
    path = film(tmp_path / f"a{suffix}")
    damage(path, LOST)
    source = open_source(path, **{option: True})
    frames = shown(source)
    assert [index for index, *_ in frames] == list(range(40))
    assert [time for _, time, _ in frames] == pytest.approx([index / 10 for index in range(40)])
    assert [number for *_, number in frames] == repeated(LOST)
    assert [bad.index for bad in source.bad] == list(LOST) and source.bad[0].name == f"a{suffix}"
    assert "is lost: it cannot be decoded" in source.bad[0].reason
    assert len(list(source.frames())) == 40 and len(source.bad) == len(LOST)  # not listed twice


def test_lost_frames_of_a_codec_whose_frames_need_each_other(tmp_path):
    path = film(tmp_path / "a.mp4")
    odd_files.break_mp4(path, LOST)
    source = open_source(path, repeat_broken=True)
    assert [index for index, *_ in shown(source)] == list(range(40))
    assert [bad.index for bad in source.bad] == list(LOST)


@pytest.mark.parametrize(
    "suffix, damage, index",
    [
        (".avi", odd_files.break_avi, 5),
        (".mkv", odd_files.drop_mkv, 5),
    ],
)
def test_without_leave_a_loss_is_an_error(tmp_path, suffix, damage, index):
    path = film(tmp_path / f"a{suffix}")
    damage(path, LOST)
    decoded = []
    with pytest.raises(
        FrameError,
        match=rf"frame {index} \(a\{suffix}\) is (lost|not "
        r"there).*--skip-bad",
    ):
        for frame in open_source(path).frames():
            decoded.append(trees.index_of(frame))
    assert decoded == [number for number in range(40) if number not in LOST][: len(decoded)]


def test_the_first_frames_are_replaced_by_the_one_after(tmp_path):
    path = film(tmp_path / "a.avi")
    odd_files.break_avi(path, (0, 1))
    source = open_source(path, repeat_broken=True)
    frames = shown(source)
    assert [number for *_, number in frames] == [2, 2, *range(2, 40)]
    assert [time for _, time, _ in frames] == pytest.approx([index / 10 for index in range(40)])
    assert [bad.index for bad in source.bad] == [0, 1]
    with pytest.raises(FrameError, match="frame 0 .* is lost"):
        list(open_source(path).frames())


def test_only_what_is_shown_is_reported(tmp_path):
    path = film(tmp_path / "a.avi")
    odd_files.break_avi(path, LOST)
    source = open_source(path, repeat_broken=True, start=0.6, end=3)
    assert numbers(source) == [8, 8, *range(8, 20), 19, *range(21, 30)]
    assert [bad.index for bad in source.bad] == [6, 7, 20]
    every = open_source(path, repeat_broken=True, every=5)
    assert [(index, number) for index, _, number in shown(every)] == [
        (0, 0),
        (5, 0),
        (10, 10),
        (15, 15),
        (20, 15),
        (25, 25),
        (30, 30),
        (35, 35),
    ]
    assert [bad.index for bad in every.bad] == [5, 20]


def test_broken_frames_in_a_stream_of_varying_rate_keep_their_places(tmp_path):
    path = film(tmp_path / "a.mp4")
    odd_files.break_mp4(path, (10, 30))
    odd_files.set_mp4_intervals(path, PAUSES)
    source = open_source(path, repeat_broken=True)
    frames = shown(source)
    assert [index for index, *_ in frames] == list(range(40)) and [
        bad.index for bad in source.bad
    ] == [10, 30]
    assert [time for _, time, _ in frames] == pytest.approx(np.cumsum([0, *PAUSES[:-1]]) / 10)


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_stream_that_ends_early(tmp_path, suffix):
    path = film(tmp_path / f"a{suffix}")
    odd_files.cut(path, 0.6)
    source = open_source(path, repeat_broken=True)
    decoded = numbers(source)
    assert decoded == list(range(len(decoded))) and 15 < len(decoded) < 30
    assert [bad.index for bad in source.bad] == [len(decoded)]
    assert f"its header says 40 frames and {len(decoded)} can be decoded" in source.bad[0].reason
    assert source.notes == [f"its header says 40 frames, {len(decoded)} came"]
    assert numbers(open_source(path, skip_bad=True)) == decoded
    with pytest.raises(FrameError, match="truncated or damaged"):
        list(open_source(path).frames())
    assert numbers(open_source(path, end=1)) == list(range(10))  # what is cut off was not asked for


def test_repeating_is_for_video_files_only(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8)
    (folder / "003.png").unlink()
    with pytest.raises(FrameError, match=r"frame 3 \(003\.png\) is missing"):
        open_source(folder, repeat_broken=True)


# --- How frames lie


@pytest.mark.parametrize(
    "degrees, turn",
    [
        (90, cv2.ROTATE_90_COUNTERCLOCKWISE),
        (180, cv2.ROTATE_180),
        (270, cv2.ROTATE_90_CLOCKWISE),
    ],
)
def test_frames_come_upright(tmp_path, degrees, turn):
    upright = np.full((64, 96, 3), 40, np.uint8)
    upright[:32, :32] = 220  # the corner at the top left
    path = odd_files.write_video(tmp_path / "a.mp4", [cv2.rotate(upright, turn)] * 5)
    odd_files.set_mp4_rotation(path, degrees)
    source = open_source(path)
    frames = list(source.frames())
    assert source.size == (64, 96) and len(frames) == 5
    assert all(np.abs(frame.astype(int) - upright).mean() < 4 for frame in frames)


@pytest.mark.parametrize(
    "matrix, shown",
    [
        ((-1, 0, 0, 1), lambda stored: stored[:, ::-1]),  # as front cameras of phones write it
        ((1, 0, 0, -1), lambda stored: stored[::-1]),
        ((0, 1, 1, 0), lambda stored: stored.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda stored: stored[::-1, ::-1].transpose(1, 0, 2)),
        ((0, 0, 0, 0), lambda stored: stored),
    ],
)
def test_mirrored_frames_are_shown_as_players_do(tmp_path, matrix, shown):
    stored = np.full((64, 96, 3), 40, np.uint8)
    stored[:32, :32] = 220
    stored[48:, :32] = 130
    path = odd_files.write_video(tmp_path / "a.mp4", [stored] * 2)
    odd_files.set_mp4_matrix(path, matrix)
    source = open_source(path)
    frame = next(source.frames())
    assert source.size == frame.shape[:2] and source.notes == []
    assert np.abs(frame.astype(int) - shown(stored)).mean() < 4


def test_a_slanting_picture_is_left_so_and_said(tmp_path):
    path = film(tmp_path / "a.mp4", 6)
    odd_files.set_mp4_matrix(path, (1, 1, -1, 1))
    source = open_source(path)
    assert numbers(source) == list(range(6))
    assert "turned by something else than quarters" in source.notes[0]


@pytest.mark.parametrize("size", [(96, 32), (34, 46), (16, 400)])
@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_portrait_and_other_shapes(tmp_path, size, suffix):
    source = open_source(film(tmp_path / f"a{suffix}", 12, size))
    assert source.size == size and numbers(source) == list(range(12))


def test_a_grey_video_has_three_equal_channels(tmp_path):
    path = odd_files.write_video(
        tmp_path / "a.avi", [trees.frame(index)[..., 0] for index in range(8)]
    )
    frames = list(open_source(path).frames())
    assert [trees.index_of(frame) for frame in frames] == list(range(8)) and frames[0].shape == (
        *trees.SIZE,
        3,
    )
    assert all(np.abs(np.diff(frame.astype(int), axis=2)).max() <= 1 for frame in frames)

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from fractions import Fraction

import pytest

from mpn.errors import FrameError
from mpn.video.numbering import picture_series
from mpn.video.paths import images_in
from mpn.video.sources import open_source
from tests.helpers import trees


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


# --- Strays


def series(tmp_path, names):
    """Make the series of a folder that holds pictures of these names."""
    folder = tmp_path / "clip"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return picture_series(folder, images_in(folder))


def gaps(pictures):
    return [name for name, file in pictures.entries if file is None]


@pytest.mark.parametrize(
    "stray", ["background.jpg", "005 (1).jpg", "Thumb_0.png", "mask.bmp", "007_edited.jpg"]
)
def test_one_stray_picture_does_not_hide_what_is_missing(tmp_path, stray):
    numbers = [k for k in range(120) if not 40 <= k < 50]
    pictures = series(tmp_path, [f"{k:03d}.jpg" for k in numbers] + [stray])
    assert [file.name for file in pictures.strays] == [stray]
    assert len(pictures.entries) == 120 and gaps(pictures) == [
        f"{k:03d}.jpg" for k in range(40, 50)
    ]
    [note] = pictures.notes
    assert stray in note and "000.jpg to 119.jpg" in note


def test_copies_of_every_picture_are_strays(tmp_path):
    pictures = series(
        tmp_path, [name for k in range(30) for name in (f"{k:03d}.jpg", f"{k:03d} (1).jpg")]
    )
    assert len(pictures.entries) == 30 == len(pictures.strays) and gaps(pictures) == []
    assert "000 (1).jpg, 001 (1).jpg, 002 (1).jpg and 27 more" in pictures.notes[0]


def test_a_number_between_the_steps_is_a_stray(tmp_path):
    numbers = [k for k in range(0, 200, 5) if k != 100]
    pictures = series(tmp_path, [f"f{k}.png" for k in [*numbers, 42]])
    assert [file.name for file in pictures.strays] == ["f42.png"] and gaps(pictures) == ["f100.png"]


def test_two_recordings_in_one_folder_are_said(tmp_path):
    pictures = series(tmp_path, [f"{camera}_{k}.jpg" for camera in "ab" for k in range(9)])
    assert len(pictures.entries) == 18 and pictures.strays == []
    assert "named in 2 ways (a_0.jpg, b_8.jpg)" in pictures.notes[0]


def test_names_without_an_order_are_taken_as_they_come(tmp_path):
    pictures = series(tmp_path, ["b.jpg", "a.jpg", "c1.jpg"])
    assert [name for name, _ in pictures.entries] == ["a.jpg", "b.jpg", "c1.jpg"]
    assert pictures.notes == [] and pictures.strays == []


def test_strays_are_not_shown_and_are_noted(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 8)
    (folder / "003.png").rename(folder / "background.png")
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [0, 1, 2, 2, 4, 5, 6, 7]
    assert [bad.index for bad in source.bad] == [3] and "background.png" in source.notes[0]


# --- Clocks


@pytest.mark.parametrize(
    "form, step",
    [
        ("%Y%m%d%H%M%S", 1),
        ("cam2_%Y-%m-%d_%H-%M-%S", 1),
        ("IMG_%Y%m%d_%H%M%S", 2),
        ("%H%M%S", 1),
        ("front-%H.%M.%S", 1),
        ("%Y-%m-%dT%H:%M:%S.%f", 0.5),
        ("%Y%m%d%H%M", 60),
    ],
)
def test_clock_names_are_times_and_nothing_is_missing(tmp_path, form, step):
    start = datetime(2023, 1, 1, 12, 0, 30)
    moments = [start + timedelta(seconds=step * k) for k in range(120)]
    pictures = series(tmp_path, [f"{moment.strftime(form)}.jpg" for moment in moments])
    assert len(pictures.entries) == 120 and gaps(pictures) == [] and pictures.strays == []
    assert pictures.rate == 1 / Fraction(step)


def test_a_clock_that_pauses_has_nothing_missing_and_no_rate(tmp_path):
    seconds = [k for k in range(100) if not 40 <= k < 55]
    start = datetime(2023, 12, 31, 23, 59, 0)
    names = [f"{start + timedelta(seconds=k):%Y%m%d%H%M%S}.jpg" for k in seconds]
    pictures = series(tmp_path, names)
    assert [name for name, _ in pictures.entries] == names and pictures.rate is None
    assert "1 s apart as a rule and up to 16 s" in pictures.notes[0]


def test_a_clock_without_a_date_goes_on_after_midnight(tmp_path):
    start = datetime(2023, 1, 1, 23, 59, 30)
    names = [f"{start + timedelta(seconds=k):%H%M%S}.jpg" for k in range(60)]
    pictures = series(tmp_path, names)
    assert [name for name, _ in pictures.entries] == names and pictures.rate == 1


def test_a_stray_among_clock_names_is_named(tmp_path):
    names = [f"20230101{12 + k // 60:02d}{k % 60:02d}00.jpg" for k in range(90)]
    pictures = series(tmp_path, [*names, "background.jpg"])
    assert [name for name, _ in pictures.entries] == names
    assert [file.name for file in pictures.strays] == ["background.jpg"]


def test_several_pictures_a_second_have_a_clock_and_a_number(tmp_path):
    names = [f"20230101120{k // 4:03d}-{k % 4:02d}.jpg" for k in range(40) if k // 4 < 10]
    pictures = series(tmp_path, names)
    assert len(pictures.entries) == 40 and gaps(pictures) == [] and pictures.rate is None


@pytest.mark.parametrize(
    "names",
    [
        [f"{k:06d}.jpg" for k in range(200)],
        [f"20230101120000_{k:04d}.jpg" for k in range(100)],  # when it began, and a count
        [f"{k:04d}.jpg" for k in range(60)],
        [f"{k:08d}.jpg" for k in range(0, 500, 5)],
        [f"{k:012d}.jpg" for k in range(99)],
    ],
)
def test_a_count_that_looks_like_a_clock_is_a_count(tmp_path, names):
    pictures = series(tmp_path, [*names[:20], *names[21:]])
    assert gaps(pictures) == [names[20]] and pictures.rate is None


@pytest.mark.parametrize("form", ["{:04x}", "f_{:02X}", "{:03x}_left"])
def test_a_hexadecimal_count_is_a_count(tmp_path, form):
    folder = trees.write_frames(tmp_path / "clip", 40)
    for index in range(40):
        (folder / f"{index:03d}.png").rename(folder / f"{form.format(index)}.png")
    (folder / f"{form.format(12)}.png").unlink()
    source = open_source(folder, skip_bad=True)
    assert indices(source) == [index if index != 12 else 11 for index in range(40)]
    assert [bad.name for bad in source.bad] == [f"{form.format(12)}.png"] and source.notes == []


def test_names_without_an_order_are_said(tmp_path):
    folder = trees.write_frames(tmp_path / "clip", 20)
    for index in range(20):
        name = hashlib.md5(bytes([index])).hexdigest()
        (folder / f"{index:03d}.png").rename(folder / f"{name}.png")
    source = open_source(folder)
    assert source.length == 20 and "say no order" in source.notes[0]

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import ClassVar

import av
import cv2
import numpy as np
import pytest

from mpn.errors import DataError
from mpn.video.film_writer import CODECS, FilmWriter, unfinished_films
from mpn.video.sources import open_source

SIZE = (48, 64)


def level(number):
    """A picture of one grey that says which it is."""
    return np.full((*SIZE, 3), 20 * number, np.uint8)


class Levels(FilmWriter):
    """The simplest film: the number of each picture as a grey."""

    CODECS: ClassVar = {".avi": CODECS[".avi"]}

    def __init__(self, path, fps=10):
        super().__init__(path, fps=fps, source_size=SIZE, size=SIZE)

    def write(self, frame):
        self._require_size(frame, (1, 1))
        self._append(frame)


def levels_of(path):
    return [round(frame.mean() / 20) for frame in open_source(path).frames()]


def test_the_pictures_come_back_in_order_and_only_under_the_name(tmp_path):
    with Levels(tmp_path / "film.avi") as writer:
        for number in range(5):
            writer.write(level(number))
        assert [item.name for item in tmp_path.iterdir()] == [".film.part.avi"]
    assert [item.name for item in tmp_path.iterdir()] == ["film.avi"]
    assert levels_of(tmp_path / "film.avi") == [0, 1, 2, 3, 4] and writer.count == 5


def test_closing_again_does_nothing_and_writing_then_is_an_error(tmp_path):
    with Levels(tmp_path / "film.avi") as writer:
        writer.write(level(1))
        writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(level(2))
    assert levels_of(tmp_path / "film.avi") == [1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_fails_leaves_nothing_and_an_earlier_film_as_it_was(tmp_path, error):
    (tmp_path / "film.avi").write_bytes(b"earlier")
    with pytest.raises(error), Levels(tmp_path / "film.avi") as writer:
        writer.write(level(1))
        raise error
    assert (tmp_path / "film.avi").read_bytes() == b"earlier"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_film_is_kept_where_it_is_to_be(tmp_path):
    class Kept(Levels):
        KEEPS_INTERRUPTED = True

    for count in (0, 3):
        with pytest.raises(KeyboardInterrupt), Kept(tmp_path / f"{count}.avi") as writer:
            for number in range(count):
                writer.write(level(number))
            raise KeyboardInterrupt
    assert [item.name for item in tmp_path.iterdir()] == ["3.avi"]
    assert levels_of(tmp_path / "3.avi") == [0, 1, 2]


def test_wrong_use_is_named(tmp_path):
    with pytest.raises(DataError, match=r"suffix '\.mp4'; expected \.avi$"):
        Levels(tmp_path / "film.mp4")
    with pytest.raises(DataError, match="cannot be written.*gone does not exist"):
        Levels(tmp_path / "gone" / "film.avi")
    with (
        pytest.raises(DataError, match="frame 1 is 20x10; expected 64x48"),
        Levels(tmp_path / "film.avi") as writer,
    ):
        writer.write(level(0))
        writer.write(np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(DataError, match="0 of 0 frames"), Levels(tmp_path / "film.avi"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_lost_pictures_is_no_film(tmp_path):
    with (
        pytest.raises(DataError, match="2 of 3 frames could be written"),
        Levels(tmp_path / "film.avi") as writer,
    ):
        writer.write(level(0))
        writer.write(level(1))
        writer.count += 1  # as if the disk had been full
    assert list(tmp_path.iterdir()) == []


class Full:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 100, 40_000])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch, room):
    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda *arguments: Full(usual(*arguments), room))
    noise = np.random.default_rng(0).integers(0, 255, (60, *SIZE, 3), np.uint8)
    with (
        pytest.raises(DataError, match=r"film\.avi: .*frames? .*written.*room on the disk"),
        Levels(tmp_path / "film.avi") as writer,
    ):
        for frame in noise:
            writer.write(frame)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["12:30", "a\udcfcb", "%03d"])
def test_names_are_only_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    with Levels(Path(name) / f"{name}.avi") as writer:
        writer.write(level(3))
    assert levels_of(Path(name) / f"{name}.avi") == [3]


class Timed(Levels):
    """Pictures with their times."""

    CODECS: ClassVar = CODECS

    def add(self, frame, seconds):
        self._append(frame, seconds)


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_each_picture_is_shown_at_its_time(tmp_path, suffix):
    seconds = [35.2, 35.3, 35.4, 36.4, 36.6, 48.0, 48.1, 48.2]  # as from 35.2 s on
    with Timed(tmp_path / f"film{suffix}") as writer:
        for number, at in enumerate(seconds):
            writer.add(level(number), at)
    with av.open(str(tmp_path / f"film{suffix}")) as film:
        shown = [
            (frame.time, round(frame.to_ndarray(format="gray").mean()))
            for frame in film.decode(video=0)
        ]
    assert [time for time, _ in shown] == pytest.approx([at - 35.2 for at in seconds], abs=1e-3)
    assert [grey for _, grey in shown] == sorted(grey for _, grey in shown)


def test_times_that_do_not_rise_or_are_unknown_lose_no_picture(tmp_path):
    for suffix in (".webm", ".mp4", ".avi"):
        with Timed(tmp_path / f"film{suffix}", fps=5) as writer:
            for number, at in enumerate([0, 0, 0.2, 0.1, math.nan, math.nan]):
                writer.add(level(number), at)
        with av.open(str(tmp_path / f"film{suffix}")) as film:
            times = [frame.time for frame in film.decode(video=0)]
        assert len(times) == 6 and all(after > before for before, after in zip(times, times[1:]))
    assert times == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])  # .avi has a rate, and no times


def test_unfinished_films_are_found_and_empty_ones_removed(tmp_path):
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    for name in (".b.part.avi", ".a-2.part.avi", "whole.avi", ".a.part.mp4"):
        suffix = name[-4:]
        code = fourcc if suffix == ".avi" else cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(tmp_path / name), code, 10.0, SIZE[::-1])
        writer.write(level(1))
        writer.release()
    (tmp_path / ".c.part.avi").write_bytes(b"RIFF cut off")
    assert unfinished_films(tmp_path, ".avi") == [
        (tmp_path / ".a-2.part.avi", "a-2"),
        (tmp_path / ".b.part.avi", "b"),
    ]
    names = {item.name for item in tmp_path.iterdir()}
    assert names == {".b.part.avi", ".a-2.part.avi", "whole.avi", ".a.part.mp4"}

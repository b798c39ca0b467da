"""Odd video files of recorders, cameras and phones, and what must come of each.

Beside the ones of `benchmarks.odd_inputs`; all are made with PyAV, by changing bytes, or both.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.odd_files import (
    RATE,
    SIZE,
    picture,
    set_mp4_edit,
    write_pictures,
    write_sound,
    write_stream,
)

COUNT = 40  # frames
NOT_UTF8 = os.fsdecode(b"Eingang S\xfcd.mp4")
B_FRAMES = {"bf": "2"}


class Video(NamedTuple):
    """A video file, and what must come of it.

    Attributes:
        name: of the file.
        what: it is, in words.
        make: writes it.
        count: frames, None where it must be refused.
        rate: frames/s; None where the file does not say, which is no rate to be guessed.
        last: seconds of the last frame.
        size: (height, width) as a player shows it.
        noted: a word that must be in what is said of it, "" where nothing must be.
    """

    name: str
    what: str
    make: Callable[[Path], object]
    count: int | None = COUNT
    rate: float | None = RATE
    last: float | None = (COUNT - 1) / RATE
    size: tuple[int, int] = SIZE
    noted: str = ""


def _scene(path: Path, **options: object) -> Path:
    return write_stream(path, [picture(index) for index in range(COUNT)], **options)


def _at(*seconds: float, form: str | None = None) -> Callable[[Path], object]:
    return lambda path: _scene(path, seconds=seconds, form=form)


def _edited(path: Path) -> None:
    set_mp4_edit(_scene(path), 13)


def _deep(path: Path) -> None:
    warm = [
        7000 + np.rint(picture(index)[:, :, 1] * (2500 / 255)).astype(np.uint16)
        for index in range(COUNT)
    ]
    write_stream(path, warm, codec="ffv1", pixels="gray16le", form="matroska")


def _headless(path: Path) -> None:
    data = _scene(path, form="mpegts").read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    path.write_bytes(b"".join(packets[:2] + packets[len(packets) // 6 :]))


def _joined(path: Path) -> None:
    recording = _scene(path, form="mpegts").read_bytes()
    path.write_bytes(recording + recording)


def _playlist(path: Path) -> None:
    other = _scene(path.with_name("other.ts"), form="mpegts")
    path.write_text(f"ffconcat version 1.0\nfile {other.name}\n")


STEADY = [index / RATE for index in range(COUNT)]
LATE = [0.04 * index + 0.035 * (index % 15 == 9) for index in range(COUNT)]
NIGHT = [at if at < 2 else 2 + 2 * (at - 2) for at in STEADY]
PAUSE = [at if at < 2 else at + 1000 for at in STEADY]

VIDEOS = (
    Video(NOT_UTF8, "a name that is not UTF-8", _scene),
    Video("2023-01-01T12:30:05.mp4", "a name with colons", _scene),
    Video("late.mp4", "every 15th frame 35 ms late", _at(*LATE), rate=25, last=LATE[-1]),
    Video(
        "night.mkv",
        "half the rate from the middle on",
        _at(*NIGHT, form="matroska"),
        rate=COUNT / (NIGHT[-1] + 0.1),
        last=NIGHT[-1],
        noted="varies",
    ),
    Video("pause.mp4", "a pause of 1,000 s", _at(*PAUSE), last=PAUSE[-1], noted="pause"),
    Video("edit.mp4", "an edit list leaves 13 frames out", _edited, count=27, last=2.6),
    Video(
        "mpeg4_b_frames.avi",
        "B-frames, MPEG-4 in .avi",
        lambda path: _scene(path, options=B_FRAMES),
    ),
    Video(
        "stream.m4v",
        "a stream without times, MPEG-4",
        lambda path: _scene(path, form="m4v"),
        rate=None,
        last=None,
    ),
    Video(
        "stream.mjpeg",
        "a stream without times, Motion JPEG",
        lambda path: _scene(path, form="mjpeg", codec="mjpeg", pixels="yuvj420p"),
        rate=None,
        last=None,
    ),
    Video("recorder.m2ts", ".m2ts", lambda path: _scene(path, form="mpegts", options=B_FRAMES)),
    Video("recorder.asf", ".asf", lambda path: _scene(path, options=B_FRAMES)),
    Video("recorder.3gp", ".3gp", _scene),
    Video("recorder.dav", "an .mp4 called .dav", lambda path: _scene(path, form="mp4")),
    Video("matroska.mp4", "Matroska called .mp4", lambda path: _scene(path, form="matroska")),
    Video("joined.ts", "two recordings in one .ts", _joined, count=2 * COUNT, last=7.9),
    Video(
        "headless.ts",
        "begins inside a group of pictures",
        _headless,
        count=28,
        last=2.7,
        noted="begins inside",
    ),
    Video(
        "half_d1.mp4",
        "pixels half as wide as tall",
        lambda path: _scene(path, shape=Fraction(1, 2)),
        size=(2 * SIZE[0], SIZE[1]),
        noted="not square",
    ),
    Video("thermal.mkv", "16 bits of which 7,000 to 9,500 are used", _deep, noted="16 bits"),
    Video("sound.mp4", "sound alone", write_sound, count=None, noted="audio"),
    Video("playlist.mp4", "names another file", _playlist, count=None, noted="text"),
)


def make_videos(folder: Path) -> None:
    """Make all in a folder, and folders that hold several.

    Args:
        folder: exists.
    """
    for video in VIDEOS:
        video.make(folder / video.name)
    names = folder / "names"
    names.mkdir()
    for name in ("a.mp4", NOT_UTF8, "z.mp4"):
        shutil.copy(folder / NOT_UTF8, names / name)
    recorder = folder / "recorder"
    recorder.mkdir()
    for video in VIDEOS:
        if video.name.startswith("recorder."):
            shutil.copy(folder / video.name, recorder / video.name)
    pictures = write_pictures(
        folder / "fifo_pictures", [picture(index) for index in range(COUNT)], ".jpg"
    )
    os.mkfifo(pictures / "040.jpg")

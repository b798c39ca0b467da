"""Files as they come: names, tracks and pixels of which each is of another kind."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from benchmarks import odd_files
from mpn.errors import FrameError
from mpn.video.sources import open_source
from tests.helpers import trees
from tests.helpers.streams import B_FRAMES, shown, stream, whole

# --- Names


@pytest.mark.parametrize(
    "name",
    [
        b"Eingang S\xfcd",  # Latin-1
        "北门".encode("gbk"),
        "север".encode("koi8-r"),
        b"2023-01-01T12:30:05",
        b"http:",
        b"concat:a|b",
        b"cam%03d",
        b"-v",
        b"a\nb",
    ],
)
def test_a_name_is_only_a_name(tmp_path, monkeypatch, name):
    video = stream(tmp_path / "a.mp4")
    path = os.fsdecode(name + b".mp4")
    monkeypatch.chdir(tmp_path)
    try:
        shutil.move(video, path)
    except OSError:
        pytest.skip("this file system has no such names")
    assert whole(path) and whole(Path(path).absolute())


@pytest.mark.parametrize(
    "form, suffix", [("matroska", ".mp4"), ("mp4", ".avi"), ("avi", ".mkv"), ("mpegts", ".mp4")]
)
def test_what_a_file_is_says_its_content_not_its_name(tmp_path, form, suffix):
    assert whole(stream(tmp_path / f"a{suffix}", form=form))


# --- What is no video


def test_playlists_open_nothing_else(tmp_path):
    segment = stream(tmp_path / "other.ts", form="mpegts")
    for name, text in {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{segment}\n#EXT-X-ENDLIST\n",
        "b.mp4": "ffconcat version 1.0\nfile other.ts\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(FrameError, match="is no video that FFmpeg can decode .*of text"):
            open_source(tmp_path / name)


def test_text_is_no_video_whatever_it_is_called(tmp_path):
    for name in ("notes.txt", "a.ans", "clip.mp4"):
        (tmp_path / name).write_text("line of text\n" * 300)
        with pytest.raises(FrameError, match="is no video that FFmpeg can decode .*of text"):
            open_source(tmp_path / name)
    assert whole(stream(tmp_path / "a.mp4").rename(tmp_path / "a.dat"))


@pytest.mark.parametrize("cover", [False, True])
def test_sound_alone_is_named(tmp_path, cover):
    odd_files.write_sound(tmp_path / "a.mp4")
    if cover:  # the picture of an album is a video track to FFmpeg
        with (
            av.open(str(tmp_path / "a.mp4")) as source,
            av.open(str(tmp_path / "b.mp4"), "w") as target,
        ):
            track = target.add_stream_from_template(source.streams.audio[0])
            picture = target.add_stream("mjpeg", 1)
            picture.height, picture.width, picture.pix_fmt = 48, 64, "yuvj420p"
            try:
                picture.disposition = av.stream.Disposition.attached_pic
            except TypeError:
                pytest.skip("this PyAV cannot write a cover")
            target.mux(picture.encode(av.VideoFrame.from_ndarray(trees.frame(0), "bgr24")))
            target.mux(picture.encode(None))
            for packet in source.demux(audio=0):
                if packet.size:
                    packet.stream = track
                    target.mux(packet)
        (tmp_path / "b.mp4").replace(tmp_path / "a.mp4")
    with pytest.raises(FrameError, match="holds no video track, only audio"):
        open_source(tmp_path / "a.mp4")


def test_a_file_without_a_track(tmp_path):
    path = str(tmp_path / "a.mp4")
    cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 64)).release()
    with pytest.raises(FrameError, match="holds no video track, and no other; expected a video"):
        open_source(path)


def test_the_index_of_an_mp4_that_is_half_there(tmp_path):
    path = stream(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") + 200])
    with pytest.raises(FrameError, match="only data; it is cut short or still being written"):
        open_source(path)


# --- Files that are being written


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
@pytest.mark.parametrize("options", [{}, B_FRAMES])
def test_a_recording_that_grows_is_taken_as_it_was_when_it_was_opened(tmp_path, suffix, options):
    form = {".mkv": "matroska", ".ts": "mpegts"}[suffix]
    path = stream(tmp_path / f"a{suffix}", 120, form=form, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source = open_source(path, skip_bad=True)  # the header of an .mkv may say how long it will be
    length = source.length
    path.write_bytes(data)  # the recorder goes on
    assert 30 < length < 90 and source.length == length
    frames = [(index, number) for index, _, number in shown(source)]
    assert len(frames) == length
    assert frames[:-3] == [(index, index) for index in range(length - 3)]  # what was whole then
    last = np.arange(length) >= length - 8
    picked = [trees.index_of(frame) for _, frame in source.pick(last)]
    assert picked[:5] == list(range(length - 8, length - 3)) and len(picked) == 8
    assert open_source(path).length == 120


def test_of_several_tracks_it_is_said_which_is_read(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        tracks = [container.add_stream("mpeg4", 10, options={"b": "4M"}) for _ in range(2)]
        for track, size in zip(tracks, ((48, 64), (96, 128))):
            track.height, track.width, track.pix_fmt = *size, "yuv420p"
        for index in range(10):
            for track in tracks:
                picture = trees.frame(index, (track.height, track.width))
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        for track in tracks:
            container.mux(track.encode(None))
    source = open_source(tmp_path / "a.mkv")
    assert len(shown(source)) == source.length == 10
    track = {(48, 64): 1, (96, 128): 2}[source.size]
    assert source.notes == [f"it holds 2 video tracks; track {track} is read"]


# --- Pixels


@pytest.mark.parametrize(
    "shape, size, note",
    [
        (Fraction(1, 2), (96, 64), "(1:2): 64x48 are shown as 64x96"),
        (Fraction(4, 3), (48, 85), "(4:3): 64x48 are shown as 85x48"),
        (Fraction(16, 11), (48, 93), "(16:11): 64x48 are shown as 93x48"),
    ],
)
def test_pixels_that_are_not_square_are_shown_as_a_player_shows_them(tmp_path, shape, size, note):
    source = open_source(stream(tmp_path / "a.mp4", shape=shape))
    frames = list(source.frames())
    assert source.size == size and frames[0].shape == (*size, 3)
    assert source.notes == [f"its pixels are not square {note}"]
    expected = cv2.resize(trees.frame(9), size[::-1], interpolation=cv2.INTER_CUBIC)
    assert np.abs(frames[9].astype(int) - expected).mean() < 6


@pytest.mark.parametrize("shape", [Fraction(1), Fraction(100, 99)])
def test_pixels_that_are_nearly_square_are_left_alone(tmp_path, shape):
    source = open_source(stream(tmp_path / "a.mp4", shape=shape))
    assert source.size == trees.SIZE and source.notes == []


def test_pixels_of_an_absurd_shape_are_taken_for_square(tmp_path):
    source = open_source(stream(tmp_path / "a.mp4", shape=Fraction(1, 10)))
    assert source.size == trees.SIZE and "which cannot be" in source.notes[0]


@pytest.mark.parametrize(
    "codec, pixels, options",
    [
        ("libx264", "yuv420p", {"color_range": "tv"}),
        ("libx264", "yuvj420p", {"color_range": "pc"}),
        ("libx264", "yuv444p", {}),
        ("libx264", "yuv420p", {"colorspace": "bt709", "color_primaries": "bt709"}),
        ("libx264", "yuv420p10le", {}),
        ("mpeg4", "yuv420p", {}),
        ("mjpeg", "yuvj422p", {}),
    ],
)
def test_pixels_are_those_that_opencv_decodes(tmp_path, codec, pixels, options):
    """The released models and all figures were made with its pixels."""
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    scene = [odd_files.picture(index, (98, 142)) for index in range(12)]
    path = odd_files.write_stream(
        tmp_path / "a.mkv", scene, codec=codec, pixels=pixels, form="matroska", options=options
    )
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for frame in open_source(path).frames():
        assert np.abs(frame.astype(int) - capture.read()[1]).max() <= 2
    assert not capture.read()[0]

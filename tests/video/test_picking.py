"""Some frames of a source, the same as if all had been read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks import odd_files
from mpn.errors import FrameError
from mpn.video import stream as video_stream
from mpn.video.decoding import packets_needed
from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source

COUNT = 90
FORMS = {".mkv": "matroska", ".ts": "mpegts", ".mpg": "mpeg"}
# Encoder, its options, suffix: groups of pictures that are closed, open, of one; with and without
# pictures that are shown before what they refer to.
STREAMS = {
    "h264, two B": ("libx264", {"bf": "2", "g": "12"}, ".mp4"),
    "h264, open groups": ("libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=12"}, ".mkv"),
    "h264, no whole picture": ("libx264", {"x264-params": "intra-refresh=1:keyint=12"}, ".mkv"),
    "h264, broadcast": ("libx264", {"bf": "2", "g": "12"}, ".ts"),
    "h265, open groups": ("libx265", {"x265-params": "keyint=12:open-gop=1:log-level=0"}, ".mp4"),
    "mpeg2, open groups": ("mpeg2video", {"bf": "2"}, ".mpg"),
    "mpeg4, B in avi": ("mpeg4", {"bf": "2"}, ".avi"),
    "vp9, hidden pictures": ("libvpx-vp9", {"lag-in-frames": "12", "auto-alt-ref": "1"}, ".webm"),
    "mjpeg": ("mjpeg", {}, ".avi"),
    "raw": ("libx264", {"bf": "2", "g": "12"}, ".h264"),
}
RUNS = [(0, 3), (40, 44), (41, 42), (60, 61), (85, 90), (23, 26), (11, 13)]


def film(folder: Path, kind: str) -> Path:
    codec, options, suffix = STREAMS[kind]
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return odd_files.write_stream(
        folder / f"film{suffix}",
        [odd_files.picture(index) for index in range(COUNT)],
        codec=codec,
        pixels=pixels,
        form=FORMS.get(suffix),
        options=options,
    )


def mask(length: int, *runs: tuple[int, int]) -> np.ndarray:
    chosen = np.zeros(length, bool)
    for first, end in runs:
        chosen[first:end] = True
    return chosen


def agree(open_it, *runs: tuple[int, int]) -> list[int]:
    """Compare what is picked with what a reading of all gives; return the picked numbers."""
    source: FrameSource = open_it()
    whole = [(frame, source.position) for frame in source.frames()]
    again = open_it()
    chosen = mask(again.length, *runs)
    numbers = []
    for number, frame in again.pick(chosen):
        np.testing.assert_array_equal(frame, whole[number][0])
        np.testing.assert_array_equal(again.position, whole[number][1])
        numbers.append(number)
    assert numbers == np.flatnonzero(chosen).tolist()
    return numbers


@pytest.fixture
def decoded_frames(monkeypatch):
    """Count the frames that are decoded."""
    count = [0]
    real = video_stream.decoded

    def counted(*arguments):
        for frame in real(*arguments):
            count[0] += 1
            yield frame

    monkeypatch.setattr(video_stream, "decoded", counted)
    return count


@pytest.mark.parametrize("kind", STREAMS)
def test_what_is_picked_is_what_a_whole_reading_gives(kind, tmp_path) -> None:
    path = film(tmp_path, kind)
    for run in RUNS:
        agree(lambda: open_source(path), run)
    agree(lambda: open_source(path), *RUNS)
    agree(lambda: open_source(path, fps=10, start=2.0, end=8.0, every=3), (3, 5), (12, 14))


@pytest.mark.parametrize("kind", STREAMS)
def test_what_lies_between_is_not_decoded(kind, tmp_path, decoded_frames) -> None:
    source = open_source(film(tmp_path, kind))
    decoded_frames[0] = 0
    list(source.pick(mask(source.length, (62, 64))))
    if kind in ("raw", "h264, no whole picture"):  # there is nowhere to begin
        assert decoded_frames[0] > 60
    else:
        assert decoded_frames[0] <= 30  # two groups, and what the decoder looks ahead


def test_a_key_frame_that_is_none_is_found_out(tmp_path, monkeypatch) -> None:
    path = film(tmp_path, "h264, two B")
    real = video_stream.packets_needed
    monkeypatch.setattr(
        video_stream,
        "packets_needed",
        lambda keys, index_of, chosen: real(np.ones_like(keys), index_of, chosen),
    )
    for run in RUNS:
        agree(lambda: open_source(path), run)


@pytest.mark.parametrize("damage", [(30, 31), (36, 37), (30, 50), (0, 2), (80, 90)])
@pytest.mark.parametrize("every", [1, 2])
def test_what_stands_in_for_a_bad_frame_is_the_same(damage, every, tmp_path) -> None:
    path = film(tmp_path, "mjpeg")
    data = bytearray(path.read_bytes())
    movie = data.index(b"movi")  # the header names the stream too, and so does the index behind
    starts = [at for at in range(movie, len(data)) if data[at : at + 4] == b"00dc"][:COUNT]
    for number in range(*damage):
        size = int.from_bytes(data[starts[number] + 4 : starts[number] + 8], "little")
        data[starts[number] + 8 : starts[number] + 8 + size] = bytes(size)
    path.write_bytes(data)

    def opened() -> FrameSource:
        return open_source(path, skip_bad=True, every=every)

    for run in [(0, 3), (30, 33), (31, 32), (36, 38), (40, 41), (44, 45), (15, 17)]:
        agree(opened, (min(run[0], opened().length - 1), min(run[1], opened().length)))
    source = opened()
    chosen = mask(source.length, (5, 6), (14, 37))
    list(source.pick(chosen))
    numbers = {every * number for number in np.flatnonzero(chosen)}
    assert {bad.index for bad in source.bad} == numbers & set(range(*damage))
    if numbers & set(range(*damage)):
        with pytest.raises(FrameError, match=f"frame {min(numbers & set(range(*damage)))} "):
            list(open_source(path, every=every).pick(chosen))


def test_frames_that_are_lost_between_are_nobodys_matter(tmp_path) -> None:
    times = [index / 10 for index in range(COUNT) if index not in (20, 21, 50)]
    path = odd_files.write_stream(
        tmp_path / "film.mkv",
        [odd_files.picture(round(at * 10)) for at in times],
        times,
        codec="libx264",
        form="matroska",
        options={"bf": "2", "g": "12"},
    )
    for run in [(19, 23), (22, 24), (50, 52), (60, 62), (20, 21)]:
        agree(lambda: open_source(path, skip_bad=True), run)
    source = open_source(path, skip_bad=True)
    list(source.pick(mask(source.length, (60, 62))))
    assert not source.bad


def test_pictures_of_a_folder(tmp_path) -> None:
    folder = odd_files.write_pictures(
        tmp_path / "film", [odd_files.picture(index) for index in range(30)]
    )
    (folder / "011.png").unlink()
    (folder / "012.png").write_bytes(b"no picture")
    for run in [(0, 2), (10, 14), (12, 13), (11, 12), (20, 22)]:
        agree(lambda: open_source(folder, skip_bad=True, fps=Fraction(10)), run)


def test_groups_of_pictures_by_hand() -> None:
    # In the order of decoding: I0 P3 B1 B2 | I6 B4 B5 P9 B7 B8 | I12 B10 B11
    keys = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], bool)
    index_of = np.array([0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11])

    def needed(*numbers: int):
        return packets_needed(
            keys, index_of, mask(13, *((number, number + 1) for number in numbers))
        )

    single = needed(7)  # its own group alone; 4 and 5 refer to the one before
    assert np.flatnonzero(single.packets).tolist() == [4, 5, 6, 7, 8, 9]
    assert np.flatnonzero(single.leading).tolist() == [5, 6]
    assert np.flatnonzero(single.frames).tolist() == [6, 7, 8, 9]
    assert np.flatnonzero(single.begins).tolist() == [6]
    spanning = needed(5)  # both groups
    assert (
        np.flatnonzero(spanning.packets).tolist() == list(range(10)) and not spanning.leading.any()
    )
    assert np.flatnonzero(spanning.begins).tolist() == [0]
    several = needed(1, 12)
    assert np.flatnonzero(several.packets).tolist() == [0, 1, 2, 3, 10, 11, 12]
    assert np.flatnonzero(several.frames).tolist() == [0, 1, 2, 3, 12]
    assert not needed().packets.any()

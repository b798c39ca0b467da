"""Streams of packets: times and order, what counts as a frame, packets without a picture."""

from __future__ import annotations

import math
from types import SimpleNamespace

import av
import numpy as np
import pytest

from benchmarks import odd_files
from mpn.video.packets import packets_of
from mpn.video.sources import open_source
from tests.helpers.streams import B_FRAMES, COUNT, pictures, shown, stream, whole

# --- Times and order


@pytest.mark.parametrize(
    "suffix, form",
    [
        (".mp4", "mp4"),
        (".avi", "avi"),
        (".mkv", "matroska"),
        (".ts", "mpegts"),
        (".m2ts", "mpegts"),
        (".asf", "asf"),
        (".3gp", "3gp"),
        (".mov", "mov"),
    ],
)
@pytest.mark.parametrize("options", [{}, B_FRAMES])
def test_frames_come_in_order_and_at_their_times(tmp_path, suffix, form, options):
    assert whole(stream(tmp_path / f"a{suffix}", form=form, options=options))


@pytest.mark.parametrize(
    "suffix, codec, pixels", [(".m4v", "mpeg4", "yuv420p"), (".mjpeg", "mjpeg", "yuvj420p")]
)
def test_a_stream_without_times_has_no_rate(tmp_path, suffix, codec, pixels):
    path = stream(tmp_path / f"a{suffix}", form=suffix[1:], codec=codec, pixels=pixels)
    source = open_source(path)
    frames = shown(source)
    assert [number for *_, number in frames] == list(range(COUNT)) and source.length == COUNT
    assert source.fps is None and math.isnan(frames[-1][1])
    assert [time for _, time, _ in shown(open_source(path, fps=5))][-1] == (COUNT - 1) / 5


@pytest.mark.parametrize("begin", [0, 7.25, 3600])
def test_times_are_those_from_the_first_frame(tmp_path, begin):
    seconds = [begin + at for at in (0, 0.1, 0.3, 0.35, 0.6, 1.4, 1.5, 1.8)]
    path = odd_files.write_stream(tmp_path / "a.mkv", pictures(8), seconds, form="matroska")
    source = open_source(path)
    assert [time for _, time, _ in shown(source)] == pytest.approx(
        [at - begin for at in seconds], abs=1e-9
    )
    assert source.bad == [] and source.notes == [
        "its frame rate varies; times are those of the stream"
    ]


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_late_frame_is_counted_once_whoever_asks(tmp_path, suffix, skip_bad):
    seconds = [0.04 * k + 0.035 * (k % 15 == 9) for k in range(COUNT)]
    form = {".mkv": "matroska", ".mp4": "mp4"}[suffix]
    path = odd_files.write_stream(tmp_path / f"a{suffix}", pictures(), seconds, form=form)
    source = open_source(path, skip_bad=skip_bad)
    frames = shown(source)
    assert [number for *_, number in frames] == list(range(COUNT)) and source.length == COUNT
    assert [time for _, time, _ in frames] == pytest.approx(seconds, abs=1e-6)
    assert source.fps == 25 and source.bad == []


def test_a_camera_that_is_slower_at_night_makes_up_nothing(tmp_path):
    seconds = [0.1 * k if k < 25 else 2.5 + 0.2 * (k - 25) for k in range(COUNT)]
    path = odd_files.write_stream(tmp_path / "a.mkv", pictures(), seconds, form="matroska")
    source = open_source(path, skip_bad=True)
    assert [number for *_, number in shown(source)] == list(range(COUNT))
    assert source.position[1] == pytest.approx(seconds[-1]) and source.bad == []


def test_a_pause_leaves_the_rate_and_the_times_as_they_are(tmp_path):
    seconds = [0.1 * k + 500 * (k >= 15) for k in range(COUNT)]
    source = open_source(odd_files.write_stream(tmp_path / "a.mp4", pictures(), seconds))
    assert source.fps == 10 and source.length == COUNT
    assert [time for _, time, _ in shown(source)] == pytest.approx(seconds)
    assert source.notes == ["its times have a gap of 500.1 s, taken for a pause of the recorder"]
    late = open_source(tmp_path / "a.mp4", start=501.5)
    assert late.length == 25 and shown(late)[0][::2] == (15, 15)


def test_recordings_that_are_joined_follow_each_other(tmp_path):
    recording = stream(tmp_path / "a.ts", form="mpegts").read_bytes()
    (tmp_path / "both.ts").write_bytes(recording + recording)
    frames = shown(open_source(tmp_path / "both.ts"))
    assert [number for *_, number in frames] == [*range(COUNT), *range(COUNT)]
    assert [time for _, time, _ in frames] == pytest.approx([k / 10 for k in range(2 * COUNT)])


class Faulty:
    """A container whose reads fail now and then, as those of damaged files do."""

    def __init__(self, *reads):
        self.reads = list(reads)

    def demux(self):
        while self.reads:
            read = self.reads.pop(0)
            if isinstance(read, Exception):
                raise read
            yield SimpleNamespace(size=read)


@pytest.mark.parametrize(
    "error", [av.error.InvalidDataError(0, "damage"), OSError(5, "Input/output error")]
)
def test_reading_goes_on_behind_what_cannot_be_read(error):
    sizes = [packet.size for packet in packets_of(Faulty(1, error, error, 2, 0, error, 3))]
    assert sizes == [1, 2, 3]
    for_ever = Faulty(*[error] * 1000, 1)
    assert list(packets_of(for_ever)) == [] and for_ever.reads


def test_a_track_that_turns_up_on_the_way_is_passed_over():
    assert [packet.size for packet in packets_of(Faulty(1, 2, IndexError()))] == [1, 2]


# --- Frames that do not count, and such as do


@pytest.mark.parametrize("options", [{}, B_FRAMES])
@pytest.mark.parametrize("first, count", [(13, None), (0, 20), (5, 20)])
def test_what_an_edit_list_leaves_out_is_not_missed(tmp_path, first, count, options):
    path = stream(tmp_path / "a.mp4", options=options)
    delay = 2 if options else 0  # B-frames are shown later: the times begin with as many ticks
    odd_files.set_mp4_edit(path, first + delay // 2, count)
    source = open_source(path)
    numbers = [number for *_, number in shown(source)]
    expected = list(range(first, COUNT if count is None else first + count))
    assert numbers == expected or (options and abs(len(numbers) - len(expected)) <= 2)
    assert source.length == len(numbers) and source.bad == [] and source.notes == []


@pytest.mark.parametrize(
    "edits, expected",
    [
        ([(0, 10), (30, 8)], [*range(10), *range(30, 38)]),
        ([(30, 10), (0, 8)], [*range(30, 40), *range(8)]),  # back in time
        ([(5, 10), (5, 10)], [*range(5, 15)] * 2),
    ],
)
def test_an_edit_list_of_several_stretches(tmp_path, edits, expected):
    path = stream(tmp_path / "a.mp4")
    odd_files.set_mp4_edits(path, edits)
    source = open_source(path)
    frames = shown(source)
    assert [number for *_, number in frames] == expected
    assert [time for _, time, _ in frames] == pytest.approx(np.arange(len(expected)) / 10)
    assert source.length == len(expected) and source.bad == [] and source.fps == 10


@pytest.mark.parametrize("options", [{}, B_FRAMES])
def test_a_stream_that_begins_inside_a_group_of_pictures(tmp_path, options):
    data = stream(tmp_path / "a.ts", form="mpegts", options=options).read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    (tmp_path / "b.ts").write_bytes(b"".join(packets[:2] + packets[len(packets) // 6 :]))
    source = open_source(tmp_path / "b.ts")
    frames = shown(source)
    numbers = [number for *_, number in frames]
    assert numbers == list(range(numbers[0], COUNT)) and numbers[0] % 12 in (0, 11, 10)
    assert frames[0][:2] == (0, 0) and source.length == len(numbers) and source.bad == []
    assert "it begins inside a group of pictures" in source.notes[0]
    assert "truncated" not in str(source.notes)


def test_pictures_that_are_only_referred_to_are_no_frames(tmp_path):
    path = stream(tmp_path / "a.webm", codec="libvpx", options={"auto-alt-ref": "0", "qmax": "20"})

    def hidden_too(data, at, key):
        return [(data, at), *([(bytes([data[0] & ~0x10]) + data[1:], at + 1)] if key else [])]

    assert whole(odd_files.remux(path, tmp_path / "b.webm", hidden_too))


def test_a_packet_a_field_is_not_a_packet_a_frame(tmp_path):
    # As FFmpeg gives the interlaced H.264 of camcorders: every second packet has no frame.
    path = stream(tmp_path / "a.mkv", form="matroska", codec="mpeg2video", options={"r": "25"})
    user_data = b"\x00\x00\x01\xb2" + b"no picture" * 3
    remuxed = odd_files.remux(
        path, tmp_path / "b.mkv", lambda data, at, key: [(data, at), (user_data, at + 20)]
    )
    source = open_source(remuxed)
    assert [number for *_, number in shown(source)] == list(range(COUNT))
    assert source.length == COUNT and source.bad == [] and source.fps == open_source(path).fps


# --- Packets without a picture


def packed(path, whole_file, stubs):
    """Copy an .avi as DivX packs it: a packet of one byte, a placeholder, before each of these."""
    with av.open(str(whole_file)) as source, av.open(str(path), "w") as film:
        video = source.streams.video[0]
        track = film.add_stream_from_template(video)
        packets = []
        for number, packet in enumerate(packets_of(source, video)):
            data = bytes(packet)
            if number == 0:  # its headers say that it is packed
                picture = b"\x00\x00\x01\xb6"
                data = data.replace(picture, b"\x00\x00\x01\xb2DivX503b1393p" + picture, 1)
            packets += [(b"\x7f", False)] * (number in stubs) + [(data, packet.is_keyframe)]
        for clock, (data, key) in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = track, video.time_base
            packet.pts = packet.dts = clock
            packet.is_keyframe = key
            film.mux(packet)
    return path


@pytest.mark.parametrize("stubs", [(1,), (1, 2), (3, 4, 20), (COUNT - 1,)])
@pytest.mark.parametrize("options", [{}, B_FRAMES])
def test_placeholders_of_packed_streams_are_no_lost_frames(tmp_path, stubs, options):
    original = stream(tmp_path / "whole.avi", codec="mpeg4", options=options)
    path = packed(tmp_path / "packed.avi", original, stubs)
    with av.open(str(path)) as film:
        assert sum(p.size == 1 for p in film.demux(film.streams.video[0])) == len(stubs)
    source = open_source(path)
    assert [number for _, _, number in shown(source)] == list(range(COUNT))
    assert (source.length, source.bad) == (COUNT, [])

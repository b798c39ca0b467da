"""Odd video files: a small scene written as video or pictures, and whole files damaged by hand.

The bytes of files that OpenCV wrote are changed: frames lost or overwritten, headers that lie.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

RATE, SIZE = 10, (96, 144)  # frames/s, (height, width)
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "MJPG", ".mov": "mp4v", ".webm": "VP80"}


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw frame `index` of the scene, uint8 (H, W, 3): a slope of grey with two moving squares."""
    height, width = size
    slope = np.linspace(60, 160, width)[None, :] + np.linspace(0, 40, height)[:, None]
    frame = np.repeat(slope.astype(np.uint8)[:, :, None], 3, 2)
    side = max(2, height // 6)
    for row, speed, colour in ((height // 4, 2, (40, 60, 220)), (height // 2, -3, (220, 200, 40))):
        left = (speed * index) % max(1, width - side)
        frame[row : row + side, left : left + side] = colour
    return frame


def write_video(path: Path, pictures: Sequence[np.ndarray], fps: float = RATE) -> Path:
    """Write a video file of pictures of one even size; single-channel ones make a grey video."""
    height, width = pictures[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), fourcc, fps, (width, height), isColor=pictures[0].ndim == 3)
    if not writer.isOpened():
        raise OSError(f"this OpenCV cannot write {path}")
    for image in pictures:
        writer.write(image)
    writer.release()
    return path


def write_stream(
    path: Path,
    pictures: Sequence[np.ndarray],
    seconds: Sequence[float] | None = None,
    *,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    form: str | None = None,
    shape: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video file with PyAV, which can say when each picture is shown.

    Args:
        path: where to.
        pictures: uint8 (H, W, 3) BGR, or whatever array PyAV knows as `pixels`.
        seconds: when each is shown; default: at `RATE`.
        codec: name of FFmpeg's encoder.
        pixels: its pixel format.
        form: of the container, where it is not that of the suffix.
        shape: how many times wider than tall a pixel is.
        options: of the encoder; by default high quality and a key frame every 12 pictures.
    """
    times = [index / RATE for index in range(len(pictures))] if seconds is None else seconds
    options = {"g": "12", "qmin": "1", "qmax": "3", "b": "4M"} | (options or {})
    with path.open("wb") as file, av.open(file, "w", format=form or path.suffix[1:]) as container:
        stream = container.add_stream(codec, RATE, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        tick = Fraction(1, 1000) if seconds is not None else Fraction(1, RATE)
        stream.codec_context.time_base = tick
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        for picture, at in zip(pictures, times):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24" if picture.ndim == 3 else pixels)
            frame.time_base, frame.pts = tick, round(at / tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_pictures(folder: Path, pictures: Sequence[np.ndarray], suffix: str = ".png") -> Path:
    """Write a folder of numbered pictures."""
    folder.mkdir(parents=True)
    for index, image in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:03d}{suffix}"), image)
    return folder


# --- Changes to the bytes of whole files


def _mp4_box(
    data: bytes, path: Sequence[bytes], start: int = 0, end: int | None = None
) -> list[int]:
    """Find where the boxes of a path such as (moov, trak) begin, the outermost first."""
    at, end = start, len(data) if end is None else end
    while at < end:
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == path[0]:
            return [at] if len(path) == 1 else [at, *_mp4_box(data, path[1:], at + 8, at + size)]
        at += size
    raise ValueError(f"no {path[0]!r} box")


def set_mp4_rotation(path: Path, degrees: int) -> None:
    """Let an .mp4 say that it is to be turned clockwise by 90, 180 or 270 degrees."""
    set_mp4_matrix(path, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees])


def set_mp4_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Let an .mp4 say where a point goes: (x, y) to (a x + c y, b x + d y), with (a, b, c, d)."""
    data = bytearray(path.read_bytes())
    a, b, c, d = matrix
    at = _mp4_box(data, (b"moov", b"trak", b"tkhd"))[-1] + 8 + 40
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def set_mp4_intervals(path: Path, intervals: Sequence[int]) -> None:
    """Give an .mp4 (its index at the end, as OpenCV writes it) other intervals between frames.

    Args:
        path: of the file.
        intervals: for each frame, the last too, how long it is shown, in intervals of the file as
            it was.
    """
    data = bytearray(path.read_bytes())
    boxes = _mp4_box(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"))
    at = boxes[-1]
    size = int.from_bytes(data[at : at + 4], "big")
    tick = int.from_bytes(data[at + 20 : at + 24], "big")
    table = b"".join(struct.pack(">II", 1, steps * tick) for steps in intervals)
    new = struct.pack(">I4sII", 16 + len(table), b"stts", 0, len(intervals)) + table
    for box in boxes[:-1]:
        data[box : box + 4] = (
            int.from_bytes(data[box : box + 4], "big") + len(new) - size
        ).to_bytes(4, "big")
    data[at : at + size] = new
    mdhd = _mp4_box(data, (b"moov", b"trak", b"mdia", b"mdhd"))[-1]
    data[mdhd + 24 : mdhd + 28] = (sum(intervals) * tick).to_bytes(4, "big")
    edits = _mp4_box(data, (b"moov", b"trak", b"edts"))[-1]
    data[edits + 4 : edits + 8] = b"free"  # it holds the old length
    path.write_bytes(data)


def set_mp4_edit(path: Path, first: int, count: int | None = None) -> None:
    """Let an .mp4 of equal intervals leave frames out: `first` before, all after `count`."""
    data = path.read_bytes()
    stts = _mp4_box(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"))[-1]
    frames = int.from_bytes(data[stts + 16 : stts + 20], "big")
    set_mp4_edits(path, [(first, count or frames - first)])


def set_mp4_edits(path: Path, edits: Sequence[tuple[int | None, int]]) -> None:
    """Let an .mp4 of equal intervals (its index at the end) show these of its frames.

    Args:
        path: of the file.
        edits: one after the other: the first frame, None for a pause, and how many.
    """
    data = bytearray(path.read_bytes())
    mdhd = _mp4_box(data, (b"moov", b"trak", b"mdia", b"mdhd"))[-1]
    stts = _mp4_box(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"))[-1]
    mvhd = _mp4_box(data, (b"moov", b"mvhd"))[-1]
    *boxes, elst = _mp4_box(data, (b"moov", b"trak", b"edts", b"elst"))
    media, movie = (int.from_bytes(data[at + 20 : at + 24], "big") for at in (mdhd, mvhd))
    tick = int.from_bytes(data[stts + 20 : stts + 24], "big")
    table = b"".join(
        struct.pack(
            ">Iii", count * tick * movie // media, -1 if first is None else first * tick, 1 << 16
        )
        for first, count in edits
    )
    new = struct.pack(">I4sII", 16 + len(table), b"elst", 0, len(edits)) + table
    size = int.from_bytes(data[elst : elst + 4], "big")
    duration = sum(count for _, count in edits) * tick * movie // media
    struct.pack_into(">I", data, mvhd + 24, duration)
    for box in boxes:
        length = int.from_bytes(data[box : box + 4], "big") + len(new) - size
        data[box : box + 4] = length.to_bytes(4, "big")
    data[elst : elst + size] = new
    path.write_bytes(data)


def remux(
    path: Path, target: Path, change: Callable[[bytes, int, bool], list[tuple[bytes, int]]]
) -> Path:
    """Write the packets of a video anew to an .mkv or .webm, changed.

    Args:
        path: of the video.
        target: where to.
        change: from a packet's bytes, its time in milliseconds and whether it is a key frame to
            packets in its place with their times.
    """
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                for data, at in change(bytes(packet), packet.pts, packet.is_keyframe):
                    new = av.Packet(data)
                    new.stream, new.time_base, new.pts, new.dts = stream, packet.time_base, at, at
                    new.is_keyframe = packet.is_keyframe
                    container.mux(new)
    return target


def _avi_frames(data: bytes) -> list[tuple[int, int]]:
    """Find where every frame of an .avi begins, and how long it is."""
    at, frames = data.index(b"movi") + 4, []
    while data[at : at + 4] != b"idx1":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"00dc":
            frames.append((at + 8, size))
        at += 8 + size + size % 2
    return frames


def break_avi(path: Path, frames: Sequence[int]) -> None:
    """Overwrite frames of an .avi with zeros."""
    data = bytearray(path.read_bytes())
    for at, size in (_avi_frames(data)[index] for index in frames):
        data[at : at + size] = bytes(size)
    path.write_bytes(data)


def break_mp4(path: Path, frames: Sequence[int]) -> None:
    """Overwrite frames of an .mp4 as OpenCV writes it (frames one after the other) with zeros."""
    data = bytearray(path.read_bytes())
    table = _mp4_box(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"))[-1] + 20
    count = int.from_bytes(data[table - 4 : table], "big")
    sizes = struct.unpack_from(f">{count}I", data, table)
    at = _mp4_box(data, (b"mdat",))[-1] + 8
    for index in frames:
        begin = at + sum(sizes[:index])
        data[begin : begin + sizes[index]] = bytes(sizes[index])
    path.write_bytes(data)


def _mkv_blocks(data: bytes, at: int, end: int) -> Iterator[int]:
    """Find where the blocks of an .mkv begin: one byte of kind, then the length."""
    while at < end:
        kind = 8 - data[at].bit_length() + 1
        bits = 8 - data[at + kind].bit_length() + 1
        size = int.from_bytes(data[at + kind : at + kind + bits], "big") - (1 << 7 * bits)
        body = at + kind + bits
        # the segment, a cluster
        if data[at : at + kind] in (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"):
            yield from _mkv_blocks(data, body, min(end, body + size))
        elif data[at] == 0xA3:
            yield at
        at = body + size


def drop_mkv(path: Path, frames: Sequence[int]) -> None:
    """Take frames out of an .mkv, as a recorder does that did not get them; it stays whole."""
    data = bytearray(path.read_bytes())
    blocks = list(_mkv_blocks(data, 0, len(data)))
    for frame in frames:
        data[blocks[frame]] = 0xEC  # to be passed over
    path.write_bytes(data)


def set_avi_header(path: Path, *, count: int | None = None, rate: int | None = None) -> None:
    """Let the header of an .avi say another number of frames, or another rate (and so times)."""
    data = bytearray(path.read_bytes())
    header = data.index(b"strh") + 8
    if rate is not None:
        data[header + 20 : header + 28] = struct.pack("<II", 1, rate)
    for at in (data.index(b"avih") + 8 + 16, header + 32) if count is not None else ():
        data[at : at + 4] = struct.pack("<I", count)
    path.write_bytes(data)


def set_mkv_rate(path: Path, rate: float) -> None:
    """Let the header of an .mkv say another frame rate; its times stay."""
    data = bytearray(path.read_bytes())
    # DefaultDuration, in nanoseconds, after one byte of length
    at = data.index(b"\x23\xe3\x83") + 3
    length = data[at] & 0x0F
    data[at + 1 : at + 1 + length] = round(1e9 / rate).to_bytes(length, "big")
    path.write_bytes(data)


def cut(path: Path, share: float) -> None:
    """Leave the first part of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def write_sound(path: Path) -> None:
    """Write a file that holds sound and no picture."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", 8000)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))

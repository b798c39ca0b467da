"""Inputs as they come: odd ones of every kind are made, and `mpn score` is run on each.

Made with OpenCV, by changing the bytes of whole files, and, where `ffmpeg` is at hand, with that
(what is not made is said). Each is four seconds of two squares that move, unless it says otherwise.

    python -m benchmarks.odd_inputs FOLDER                     (some minutes: each input is a run of
    its own) python -m benchmarks.odd_inputs FOLDER --only broken       (no table; those whose name
    has that in it) python -m benchmarks.odd_inputs FOLDER --make-only
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.common import RESULTS, ROOT, commit, machine

COUNT, RATE, SIZE = 40, 10, (96, 144)  # frames, frames/s, (height, width)
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "MJPG", ".mov": "mp4v", ".webm": "VP80"}
BROKEN = (12, 13, 27)


class Input(NamedTuple):
    """One input: the path or pattern to score, what it is, options, what it is made with (None:
    OpenCV)."""

    path: str
    what: str
    options: tuple[str, ...] = ()
    ffmpeg: tuple[str, ...] | None = None


# --- Footage


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Frame `index` of the scene: uint8 (H, W, 3), a slope of grey with two squares on their
    way."""
    height, width = size
    slope = np.linspace(60, 160, width)[None, :] + np.linspace(0, 40, height)[:, None]
    frame = np.repeat(slope.astype(np.uint8)[:, :, None], 3, 2)
    side = max(2, height // 6)
    for row, speed, colour in ((height // 4, 2, (40, 60, 220)), (height // 2, -3, (220, 200, 40))):
        left = (speed * index) % max(1, width - side)
        frame[row : row + side, left : left + side] = colour
    return frame


def write_video(path: Path, pictures: Sequence[np.ndarray], fps: float = RATE) -> Path:
    """A video file of pictures of one even size; single-channel ones make a grey video."""
    height, width = pictures[0].shape[:2]
    fourcc = cv2.VideoWriter_fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), fourcc, fps, (width, height), isColor=pictures[0].ndim == 3)
    if not writer.isOpened():
        raise OSError(f"this OpenCV cannot write {path}")
    for one in pictures:
        writer.write(one)
    writer.release()
    return path


def write_pictures(folder: Path, pictures: Sequence[np.ndarray], suffix: str = ".png") -> Path:
    """A folder of numbered pictures."""
    folder.mkdir(parents=True)
    for index, one in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:03d}{suffix}"), one)
    return folder


# --- Changes to the bytes of whole files


def _mp4_box(
    data: bytes, path: Sequence[bytes], start: int = 0, end: int | None = None
) -> list[int]:
    """Where the boxes of a path such as (moov, trak) begin, the outermost first."""
    at, end = start, len(data) if end is None else end
    while at < end:
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == path[0]:
            return [at] if len(path) == 1 else [at, *_mp4_box(data, path[1:], at + 8, at + size)]
        at += size
    raise ValueError(f"no {path[0]!r} box")


def set_mp4_rotation(path: Path, degrees: int) -> None:
    """Lets an .mp4 say that it is to be turned clockwise by 90, 180 or 270 degrees."""
    data = bytearray(path.read_bytes())
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    at = _mp4_box(data, (b"moov", b"trak", b"tkhd"))[-1] + 8 + 40
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def set_mp4_intervals(path: Path, intervals: Sequence[int]) -> None:
    """Gives an .mp4 (its index at the end, as OpenCV writes it) other intervals between frames.

    intervals: for each frame, the last too, how long it is shown, in intervals of the file as it
    was.
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


def _avi_frames(data: bytes) -> list[tuple[int, int]]:
    """(where its content begins, how long it is) of every frame of an .avi."""
    at, found = data.index(b"movi") + 4, []
    while data[at : at + 4] != b"idx1":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"00dc":
            found.append((at + 8, size))
        at += 8 + size + size % 2
    return found


def break_avi(path: Path, frames: Sequence[int]) -> None:
    """Overwrites frames of an .avi with zeros."""
    data = bytearray(path.read_bytes())
    for at, size in (_avi_frames(data)[index] for index in frames):
        data[at : at + size] = bytes(size)
    path.write_bytes(data)


def break_mp4(path: Path, frames: Sequence[int]) -> None:
    """Overwrites frames of an .mp4 as OpenCV writes it (frames one after the other) with zeros."""
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
    """Where the blocks of an .mkv as OpenCV writes it begin: one byte of kind, then the length."""
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
    """Takes frames out of an .mkv, as a recorder does that did not get them: the file stays a whole
    one."""
    data = bytearray(path.read_bytes())
    blocks = list(_mkv_blocks(data, 0, len(data)))
    for frame in frames:
        data[blocks[frame]] = 0xEC  # to be passed over
    path.write_bytes(data)


def set_avi_header(path: Path, *, count: int | None = None, rate: int | None = None) -> None:
    """Lets the header of an .avi say another number of frames, or another frame rate: its times
    follow from that."""
    data = bytearray(path.read_bytes())
    header = data.index(b"strh") + 8
    if rate is not None:
        data[header + 20 : header + 28] = struct.pack("<II", 1, rate)
    for at in (data.index(b"avih") + 8 + 16, header + 32) if count is not None else ():
        data[at : at + 4] = struct.pack("<I", count)
    path.write_bytes(data)


def set_mkv_rate(path: Path, rate: float) -> None:
    """Lets the header of an .mkv say another frame rate; its times stay."""
    data = bytearray(path.read_bytes())
    # DefaultDuration, in nanoseconds, after one byte of length
    at = data.index(b"\x23\xe3\x83") + 3
    length = data[at] & 0x0F
    data[at + 1 : at + 1 + length] = round(1e9 / rate).to_bytes(length, "big")
    path.write_bytes(data)


def cut(path: Path, share: float) -> None:
    """Leaves the first part of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


# --- What is made

INPUTS = (
    Input("usual.mp4", "MPEG-4 in .mp4"),
    Input("usual.avi", "Motion JPEG in .avi"),
    Input("usual.mkv", "Motion JPEG in .mkv"),
    Input("usual.mov", "MPEG-4 in .mov"),
    Input("usual.webm", "VP8 in .webm"),
    Input("frames", "a folder of .jpg, no frame rate"),
    Input("frames", "the same with a frame rate", ("--fps", "12.5")),
    Input("pattern/cam*.mp4", "a pattern: two of the three videos in its folder"),
    Input("mixed", "a folder: two good videos, a text, an empty file, one cut short"),
    Input("recordings", "folders of videos in a folder"),
    Input("portrait.mp4", "portrait"),
    Input("odd_size", "pictures of 143x97"),
    Input("grey.avi", "a grey video"),
    Input("grey_pictures", "grey pictures"),
    Input("alpha_pictures", "pictures with transparency"),
    Input("16_bit_pictures", "16-bit .png"),
    Input("10_in_16_bit_pictures", "16-bit .png that hold 10 bits"),
    Input("variable.mp4", "variable frame rate: 20 frames 0.1 s apart, then 0.3 s"),
    Input("rotated.mp4", "lies on its side, with rotation metadata"),
    Input("broken.avi", f"frames {BROKEN} overwritten, Motion JPEG"),
    Input("broken.mp4", f"frames {BROKEN} overwritten, MPEG-4"),
    Input("dropped.mkv", f"frames {BROKEN} were never recorded"),
    Input("ends_early.avi", "cut off at 60 %"),
    Input("cut_index.mp4", "cut off at 60 %, its index was at the end"),
    Input("count_high.avi", "its header says 500 frames"),
    Input("count_low.avi", "its header says 10 frames"),
    Input("rate_lie.mkv", "its header says 50 frames/s, its times 10"),
    Input("rate_absurd.avi", "its header says 90,000 frames/s"),
    Input("missing_picture", "one number missing, one picture cut short"),
    Input("two_frames.mp4", "two frames"),
    Input("text.mp4", "a text called .mp4"),
    Input("empty.mp4", "0 bytes"),
    Input("tiny", "pictures of 4x4"),
    Input("usual.mp4", "every third frame", ("--every", "3")),
    Input("usual.mp4", "from 1 s to 3 s", ("--start", "1", "--end", "3")),
    Input(
        "usual.mp4",
        "from 1 s on, another rate, every second frame",
        ("--start", "1", "--fps", "5", "--every", "2"),
    ),
    Input("usual.mp4", "from beyond its end", ("--start", "60")),
    Input("nothing*.mp4", "a pattern that matches nothing"),
    Input(
        "10_bit.mp4", "H.264 with 10 bits", ffmpeg=("-c:v", "libx264", "-pix_fmt", "yuv420p10le")
    ),
    Input(
        "hevc_10_bit.mkv",
        "H.265 with 10 bits",
        ffmpeg=("-c:v", "libx265", "-pix_fmt", "yuv420p10le"),
    ),
    Input(
        "alpha.webm", "VP9 with transparency", ffmpeg=("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")
    ),
    Input(
        "odd_size.mp4",
        "H.264 of 143x97",
        ffmpeg=("-vf", "scale=143:97", "-c:v", "libx264", "-pix_fmt", "yuv444p"),
    ),
    Input(
        "variable.webm",
        "variable frame rate, VP9",
        ffmpeg=("-vf", "select='lt(n,20)+not(mod(n,3))'", "-vsync", "vfr", "-c:v", "libvpx-vp9"),
    ),
    Input(
        "b_frames.avi",
        "H.264 with B-frames in .avi",
        ffmpeg=("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    ),
    Input("transport.ts", "H.264 in .ts", ffmpeg=("-c:v", "libx264", "-pix_fmt", "yuv420p")),
    Input("usual.wmv", "Windows Media", ffmpeg=("-c:v", "wmv2")),
    Input(
        "late.mkv",
        "begins at 5 s",
        ffmpeg=("-output_ts_offset", "5", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    ),
)


def make_with_opencv(folder: Path) -> None:
    """Everything that needs no ffmpeg."""
    frames = [picture(index) for index in range(COUNT)]
    for suffix in CODECS:
        write_video(folder / f"usual{suffix}", frames)
    write_video(folder / "portrait.mp4", [picture(index, SIZE[::-1]) for index in range(COUNT)])
    write_video(folder / "grey.avi", [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames])
    write_video(folder / "two_frames.mp4", frames[:2])
    (folder / "text.mp4").write_text("this is not a video\n" * 50)
    (folder / "empty.mp4").touch()

    def changed(
        name: str, change: Callable[..., None], *arguments: object, **named: object
    ) -> None:
        made = folder / name
        shutil.copy(folder / f"usual{made.suffix}", made)
        change(made, *arguments, **named)

    changed("variable.mp4", set_mp4_intervals, [1] * 20 + [3] * (COUNT - 20))
    write_video(
        folder / "rotated.mp4", [cv2.rotate(f, cv2.ROTATE_90_COUNTERCLOCKWISE) for f in frames]
    )
    set_mp4_rotation(folder / "rotated.mp4", 90)
    changed("broken.avi", break_avi, BROKEN)
    changed("broken.mp4", break_mp4, BROKEN)
    changed("dropped.mkv", drop_mkv, BROKEN)
    changed("ends_early.avi", cut, 0.6)
    changed("cut_index.mp4", cut, 0.6)
    changed("count_high.avi", set_avi_header, count=500)
    changed("count_low.avi", set_avi_header, count=10)
    changed("rate_lie.mkv", set_mkv_rate, 50)
    changed("rate_absurd.avi", set_avi_header, rate=90_000)
    _make_folders(folder, frames)


def _make_folders(folder: Path, frames: list[np.ndarray]) -> None:
    write_pictures(folder / "frames", frames, ".jpg")
    write_pictures(folder / "tiny", [frame[:4, :4] for frame in frames])
    write_pictures(folder / "odd_size", [picture(index, (97, 143)) for index in range(COUNT)])
    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    write_pictures(folder / "grey_pictures", grey, ".jpg")
    write_pictures(
        folder / "alpha_pictures", [np.dstack([frame, one]) for frame, one in zip(frames, grey)]
    )
    write_pictures(folder / "16_bit_pictures", [frame.astype(np.uint16) * 257 for frame in frames])
    write_pictures(
        folder / "10_in_16_bit_pictures", [frame.astype(np.uint16) * 4 for frame in frames]
    )
    gap = write_pictures(folder / "missing_picture", frames, ".jpg")
    (gap / "012.jpg").unlink()
    cut(gap / "027.jpg", 0.5)
    for name in (
        "pattern/cam1.mp4",
        "pattern/cam2.mp4",
        "pattern/other.mp4",
        "mixed/a.mp4",
        "mixed/b.avi",
        "recordings/monday/1.mp4",
        "recordings/monday/2.mp4",
        "recordings/tuesday/early/1.avi",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"usual{Path(name).suffix}", folder / name)
    for source, name in (
        ("text.mp4", "c_text.mp4"),
        ("empty.mp4", "d_empty.mp4"),
        ("ends_early.avi", "e_early.avi"),
    ):
        shutil.copy(folder / source, folder / "mixed" / name)


def make_with_ffmpeg(folder: Path, one: Input) -> str | None:
    """Makes one input with ffmpeg from the folder of frames; why not, or None."""
    if shutil.which("ffmpeg") is None:
        return "not made: no ffmpeg"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-framerate",
        str(RATE),
        "-i",
        str(folder / "frames" / "%03d.jpg"),
    ]
    done = subprocess.run(
        [*command, *one.ffmpeg, str(folder / one.path)], capture_output=True, text=True
    )
    return None if done.returncode == 0 else "not made: this ffmpeg cannot"


# --- Scoring


def score(folder: Path, one: Input, out: Path, checkpoint: Path) -> list[str]:
    """What `mpn score` makes of one input, as the table has it."""
    command = [sys.executable, "-m", "mpn", "score", str(folder / one.path), *one.options]
    command += ["--checkpoint", str(checkpoint), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    summaries = [json.loads(path.read_text()) for path in sorted(out.glob("**/events.json"))]
    frames = " + ".join(str(summary["frames"]) for summary in summaries)
    rates = sorted({f"{summary['fps']:.4g}" for summary in summaries})
    return [str(done.returncode), frames or "-", ", ".join(rates) or "-", _said(done, folder, out)]


# What the command prints of every source: not worth a place in the table.
USUAL_LINES = re.compile(
    r"results in|: preset \w+, frames of|^\s+(threshold|highest|event) |^.*:$|^source +frames|^\S+ "
    r"+\d+ +[\d:.]+ +\d+ "
)


def _said(done: subprocess.CompletedProcess, folder: Path, out: Path) -> str:
    """What is said beyond the usual, in one line, without the folders' names."""
    lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
    lines = [line.strip() for line in lines if line.strip() and not USUAL_LINES.search(line)]
    text = "; ".join(dict.fromkeys(lines)).replace(f"{out}/", "").replace(f"{folder}/", "")
    return text.replace(str(folder), "FOLDER").replace("|", "/") or "-"


def report(rows: Sequence[Sequence[str]]) -> str:
    """The table and what it holds for."""
    about = machine()
    lines = [
        "# Inputs as they come",
        "",
        f"`python -m benchmarks.odd_inputs FOLDER`, {datetime.date.today().isoformat()}, commit "
        f"{commit()}, OpenCV {cv2.__version__}, torch {about['torch']}. Each input is {COUNT} "
        f"frames at {RATE} frames/s unless it says otherwise; `mpn score INPUT` with the "
        "options in the second column. Exit code 0: scored, 1: not.",
        "",
        "| input | what it is | exit code | frames | frame rate | what was said |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Makes the inputs, scores each, writes the table."""
    own = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own.add_argument(
        "folder", type=Path, help="where the inputs are made; must be empty or missing"
    )
    own.add_argument(
        "--checkpoint", type=Path, default=ROOT / "mpn" / "models" / "demo.safetensors"
    )
    own.add_argument(
        "--only", default="", metavar="TEXT", help="score only inputs whose name has this in it"
    )
    own.add_argument("--make-only", action="store_true", help="make the inputs and score none")
    own.add_argument("--results", type=Path, default=RESULTS, help="folder of odd_inputs.md")
    options = own.parse_args()
    folder = options.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        own.error(f"{folder} is not empty")
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    make_with_opencv(inputs)
    reasons = {one.path: make_with_ffmpeg(inputs, one) for one in INPUTS if one.ffmpeg}
    if options.make_only:
        return
    rows = []
    for number, one in enumerate(one for one in INPUTS if options.only in one.path):
        what = one.what + (f" (`{' '.join(one.options)}`)" if one.options else "")
        reason = reasons.get(one.path)
        found = (
            ["-", "-", "-", reason]
            if reason
            else score(inputs, one, folder / "out" / str(number), options.checkpoint.resolve())
        )
        rows.append([f"`{one.path}`", what, *found])
        print(" | ".join(rows[-1]), flush=True)
    if options.only:
        return
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / "odd_inputs.md"
    path.write_text(report(rows))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()

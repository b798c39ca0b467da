"""Damaged video files: each gives frames or one of our own errors, and no crash and no hang.

    python -m benchmarks.fuzz_videos            (2,000 files)
    python -m benchmarks.fuzz_videos --quick    (40 files)

Whole files of five containers and several codecs are damaged by bits flipped, a cut, blocks
swapped, blocks overwritten with zeros or with bytes from elsewhere in the file, and are read in a
process each, so that a crash of the decoder would be seen. What is read must hold together: as many
frames as the source says, all of one size, frame numbers that rise by one and times that never
fall.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import av

from benchmarks.common import parser, write_result
from benchmarks.odd_files import picture, write_stream
from mpn.errors import MpnError
from mpn.video.sources import open_source

FILES = 2_000
QUICK_FILES = 40
COUNT = 60  # frames of a whole file
MAX_SECONDS = 60.0  # seconds that reading one may take
B_FRAMES = {"bf": "2"}
KINDS = ("bits", "cut", "swapped", "zeros", "copied")


def make(folder: Path) -> dict[str, bytes]:
    """Write the whole files, name -> bytes."""
    scene = [picture(index) for index in range(COUNT)]
    good = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    made = {
        "h264.mp4": {"codec": good, "options": B_FRAMES},
        "mpeg4.mp4": {},
        "h264.mkv": {"codec": good, "form": "matroska", "options": B_FRAMES},
        "mjpeg.mkv": {"codec": "mjpeg", "pixels": "yuvj420p", "form": "matroska"},
        "h264.ts": {"codec": good, "form": "mpegts", "options": B_FRAMES},
        "mpeg2.ts": {"codec": "mpeg2video", "form": "mpegts", "options": {"strict": "-2"}},
        "mpeg4.avi": {"options": B_FRAMES},
        "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
        "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "0", "qmax": "20"}},
    }
    files = {}
    for name, options in made.items():
        seconds = [index / 25 for index in range(COUNT)] if name == "mpeg2.ts" else None
        path = write_stream(folder / name, scene, seconds, **options)
        files[name] = path.read_bytes()
    return files


def damaged(data: bytes, kind: str, chance: random.Random) -> bytes:
    """Damage the bytes of a file in one of the `KINDS`."""
    file = bytearray(data)
    if kind == "cut":
        return bytes(file[: chance.randrange(len(file))])
    if kind == "bits":
        for _ in range(2 ** chance.randrange(8)):
            file[chance.randrange(len(file))] ^= 1 << chance.randrange(8)
        return bytes(file)
    for _ in range(chance.randrange(1, 4)):
        size = 2 ** chance.randrange(4, 13)
        first, second = (chance.randrange(max(1, len(file) - size)) for _ in range(2))
        block, other = file[first : first + size], file[second : second + size]
        if kind == "zeros":
            file[first : first + size] = bytes(len(block))
        else:
            file[first : first + size] = other
        if kind == "swapped":
            file[second : second + size] = block
    return bytes(file)


def read(path: Path) -> str:
    """Read a file to its end and say what came: whole, noted, patched or refused."""
    try:
        source = open_source(path, repeat_broken=True)
        count, latest = 0, float("-inf")
        for frame in source.frames():
            index, seconds = source.position
            if index != count or seconds < latest or frame.shape != (*source.size, 3):
                raise AssertionError(f"frame {count}: {index}, {seconds} s, {frame.shape}")
            count, latest = count + 1, latest if seconds != seconds else seconds
        if count != source.length:
            raise AssertionError(f"{count} frames of {source.length}")
    except MpnError:
        return "refused"
    return "patched" if source.bad else "noted" if source.notes else "whole"


def _read_alone(path: Path, answer) -> None:
    try:
        answer.send(read(path))
    except BaseException:
        answer.send("failed: " + traceback.format_exc())


def read_in_process(path: Path) -> str:
    """Read a file in a process of its own: what came, or "crashed" or "hung"."""
    context = multiprocessing.get_context("fork")  # this process has no threads
    answers, answer = context.Pipe(duplex=False)
    process = context.Process(target=_read_alone, args=(path, answer))
    process.start()
    answer.close()
    came = "hung"
    if answers.poll(MAX_SECONDS):
        try:
            came = answers.recv()
        except EOFError:
            came = "crashed"
    process.join(0 if came == "hung" else 10)
    if process.is_alive():
        process.kill()
        process.join()
    return f"crashed: {process.exitcode}" if came == "crashed" else came


def main() -> None:
    """Damage, read and count."""
    arguments = parser(__doc__)
    arguments.add_argument("--seed", type=int, default=0, help="of the damage")
    arguments.add_argument("--keep", type=Path, help="folder for files that crash, hang or fail")
    args = arguments.parse_args()
    total = QUICK_FILES if args.quick else FILES
    counts: dict[str, Counter[str]] = {}
    failures = []
    longest = 0.0
    with tempfile.TemporaryDirectory(prefix="mpn-fuzz-") as folder:
        files = make(Path(folder))
        for number in range(total):
            name = list(files)[number % len(files)]
            kind = KINDS[number // len(files) % len(KINDS)]
            chance = random.Random(args.seed * 1_000_003 + number)
            path = Path(folder) / f"{number}-{kind}-{name}"
            path.write_bytes(damaged(files[name], kind, chance))
            began = time.monotonic()
            came = read_in_process(path)
            longest = max(longest, time.monotonic() - began)
            word = came.split(":")[0]
            counts.setdefault(name, Counter())[word] += 1
            if word in ("crashed", "hung", "failed"):
                failures.append({"file": path.name, "came": came})
                print(path.name, came, flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / path.name).write_bytes(path.read_bytes())
            path.unlink()
    for name, count in counts.items():
        print(f"{name:10} {dict(count)}")
    print(f"{total} files, {len(failures)} failures, the longest {longest:.1f} s")
    result = {
        "files": total,
        "seed": args.seed,
        "damage": list(KINDS),
        "came": {name: dict(count) for name, count in counts.items()},
        "failures": failures,
        "longest_seconds": round(longest, 1),
    }
    write_result("fuzz_videos", args, result)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()

"""Two readers of video files on the same odd inputs: which of them are read right, how fast.

Readers are checkouts: each is run where it is, on the same folder, and the table is made of both.

    python -m benchmarks.reader make FOLDER
    python -m benchmarks.reader read FOLDER --name PyAV       (in each checkout; FOLDER/PyAV.json)
    python -m benchmarks.reader table FOLDER OpenCV PyAV      (benchmarks/results/reader.md)

An input is right if the number of frames, the rate, the time of the last frame, the size and the
numbers of unusable frames are what the file was made with, and what must be said is said. Each is
read in a process of its own: a reader that crashes is wrong.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import odd_inputs
from benchmarks.common import RESULTS, commit, machine
from benchmarks.odd_files import SIZE, picture, write_stream
from benchmarks.odd_videos import COUNT, VIDEOS, Video, make_videos

PERIOD = 0.1  # seconds between frames of the usual inputs
LOST = list(odd_inputs.BROKEN)
# What must come of the files of `benchmarks.odd_inputs` that are not simply 40 frames at 10 a
# second: frames, rate, time of the last, unusable ones.
TRUTHS: dict[str, tuple[Any, ...]] = {
    "variable.mp4": (40, 5, 7.7, []),
    "variable.webm": (27, None, None, []),  # its mean depends on where it ends
    "broken.avi": (40, 10, 3.9, LOST),
    "broken.mp4": (40, 10, 3.9, LOST),
    "dropped.mkv": (40, 10, 3.9, LOST),
    "ends_early.avi": (None, 10, None, None),
    "count_high.avi": (40, 10, 3.9, [40]),
    "rate_absurd.avi": (40, None, None, []),
    "two_frames.mp4": (2, 10, 0.1, []),
    "cut_index.mp4": (0, None, None, []),
    "text.mp4": (0, None, None, []),
    "empty.mp4": (0, None, None, []),
}
SPEED = "speed.mp4"
REPEATS = 5
READ = """
import json, sys, time
from mpn.errors import MpnError
from mpn.video.sources import open_source
began = time.process_time()
try:
    source = open_source(sys.argv[1], repeat_broken=True)
    count = sum(1 for _ in source.frames())
    answer = {"count": count, "rate": float(source.fps) if source.fps else None,
              "last": source.position[1], "size": list(source.size),
              "bad": [bad.index for bad in source.bad], "said": "; ".join(source.notes),
              "per_second": count / (time.process_time() - began)}
except MpnError as error:
    answer = {"count": 0, "said": str(error).split(": ", 1)[-1]}
print(json.dumps(answer))
"""


def files(folder: Path) -> list[tuple[str, str]]:
    """List the inputs that are files, by name and in words, without doubles."""
    named = {case.path: case.what for case in odd_inputs.INPUTS if (folder / case.path).is_file()}
    return [*named.items(), *((video.name, video.what) for video in VIDEOS)]


def make(folder: Path) -> None:
    """Make the inputs, and 1,000 frames of 1280x720 to measure the speed with."""
    folder.mkdir(parents=True)
    odd_inputs.make_with_opencv(folder)
    for case in odd_inputs.INPUTS:
        if case.ffmpeg:
            odd_inputs.make_with_ffmpeg(folder, case)
    make_videos(folder)
    scene = [picture(index, (720, 1280)) for index in range(1000)]
    write_stream(folder / SPEED, scene, codec="libx264", options={"bf": "2"})


def read(folder: Path, name: str) -> None:
    """Read all inputs with this checkout's reader, each in a process of its own."""
    answers = {}
    for file, _ in files(folder):
        command = [sys.executable, "-c", READ, str(folder / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        try:
            answers[file] = json.loads(done.stdout)
        except ValueError:
            last = done.stderr.strip().splitlines()[-1:] or [f"died, exit code {done.returncode}"]
            answers[file] = {"count": 0, "crashed": last[0]}
        print(ascii(file), answers[file], flush=True)
    command = [sys.executable, "-c", READ, str(folder / SPEED)]
    runs = [subprocess.run(command, capture_output=True, text=True) for _ in range(REPEATS)]
    answers[SPEED] = max(json.loads(run.stdout)["per_second"] for run in runs)
    (folder / f"{name}.json").write_text(json.dumps(answers))


def is_right(file: str, answer: dict[str, Any]) -> bool:
    """Say whether what came of a file is what it was made with."""
    if "crashed" in answer:
        return False
    video = next((video for video in VIDEOS if video.name == file), None)
    if video is not None:
        return _as_made(video, answer)
    count, rate, last, bad = TRUTHS.get(file, (COUNT, 10, 3.9, []))
    if not count and count is not None:  # it must be refused
        return answer["count"] == 0
    sides = {"portrait.mp4": SIZE[::-1], "odd_size.mp4": (97, 143)}
    return (
        count in (None, answer["count"])
        and (rate is None or _near(answer["rate"], rate))
        and (last is None or _near(answer["last"], last))
        and bad in (None, answer["bad"])
        and tuple(answer["size"]) == sides.get(file, SIZE)
    )


def _as_made(video: Video, answer: dict[str, Any]) -> bool:
    if video.noted not in answer["said"]:
        return False
    if video.count is None:
        return answer["count"] == 0
    return (
        answer["count"] == video.count
        and (answer["rate"] is None if video.rate is None else _near(answer["rate"], video.rate))
        and (video.last is None or _near(answer["last"], video.last))
        and tuple(answer["size"]) == video.size
        and answer["bad"] == []
    )


def _near(value: float | None, expected: float) -> bool:
    return value is not None and math.isclose(value, expected, rel_tol=0.02, abs_tol=0.005)


def _words(file: str, answer: dict[str, Any]) -> str:
    if "crashed" in answer:
        return f"**crashed**: {answer['crashed'][:60]}"
    if not answer["count"]:
        words = f"refused: {answer['said'][:60]}"
    else:
        rate = "no rate" if answer["rate"] is None else f"{answer['rate']:.4g}/s"
        words = f"{answer['count']} frames, {rate}, to {answer['last']:.4g} s"
        if answer["bad"]:
            words += f", unusable {answer['bad'][:4]}"
    return words if is_right(file, answer) else f"**wrong**: {words}"


def table(folder: Path, names: list[str]) -> str:
    """Compose the table of several readers."""
    read_by = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    rows = []
    for file, description in files(folder):
        words = [_words(file, read_by[name][file]).replace("|", "/") for name in names]
        shown = file.encode("utf-8", "backslashreplace").decode()
        rows.append(f"| `{shown}` | {description} | {' | '.join(words)} |")
    total = len(rows)
    right = [
        sum(is_right(file, read_by[name][file]) for file, _ in files(folder)) for name in names
    ]
    speeds = [f"{read_by[name][SPEED]:.0f}" for name in names]
    return "\n".join(
        [
            "# Two readers of video files",
            "",
            f"`python -m benchmarks.reader`, {datetime.date.today().isoformat()}, commit {commit()}"
            f", torch {machine()['torch']}. Readers: "
            + ", ".join(names)
            + ". What is right is said in `benchmarks/reader.py`.",
            "",
            f"| | | {' | '.join(names)} |",
            "|---|---|" + "---|" * len(names),
            f"| **right** | of {total} | {' | '.join(map(str, right))} |",
            f"| frames/s of processor time | 1,000 frames of 1280x720 H.264, opening included, the "
            f"best of {REPEATS} | {' | '.join(speeds)} |",
            *rows,
        ]
    )


DECISION = """
## What was decided

PyAV reads video files, and OpenCV no longer does. What OpenCV gives - a frame or none, and one
time - does not tell a late frame from a lost one, an edit list from a file cut short, or an assumed
rate from a known one; packets do. The code is longer, since it does more (`mpn/video/stream.py`,
`packets.py` and `timing.py` have 859 lines, `stream.py` and `timing.py` had 513), and decoding
takes more processor time. The pixels are the same to a level or two
(`tests/video/test_packets.py`).
"""


def main() -> None:
    """Make, read or compare."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("what", choices=("make", "read", "table"))
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("names", nargs="*", help="of the readers in the table")
    arguments.add_argument("--name", default="reader", help="of this checkout's reader")
    options = arguments.parse_args()
    if options.what == "make":
        make(options.folder)
    elif options.what == "read":
        read(options.folder, options.name)
    else:
        text = table(options.folder, options.names)
        (RESULTS / "reader.md").write_text(f"{text}\n{DECISION}")
        print(text)


if __name__ == "__main__":
    main()

"""How `mpn score` grows: with the picture, batch, threads, number of videos, and length.

    python -m benchmarks.growth --checkpoint CHECKPOINT     (CHECKPOINT needs a place model)

The command as a user runs it, in fresh processes, no report: a video of 300 frames of 360x240, and
from there one thing changed at a time. All cases in turn, so that what else the machine does meets
them alike. Frames a second without the command's start (one that scores a second of the same
videos), milliseconds of processor time of a frame, and the resident set's high-water mark. About
five minutes a round on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.adapt_speed import FRAMES, write_clip
from benchmarks.common import ROOT, parser, print_table, shown, spread, write_result
from mpn.cli import positive
from mpn.model.checkpoint import load_checkpoint

FPS = 10  # of the videos
USUAL = {"size": (360, 240), "batch": 8, "threads": 2, "videos": 1, "times": 1}
CASES: dict[str, Mapping[str, Any]] = {
    "as usual": {},
    "180x120": {"size": (180, 120)},
    "720x480": {"size": (720, 480)},
    "1920x1080": {"size": (1920, 1080)},
    "batch 1": {"batch": 1},
    "batch 2": {"batch": 2},
    "batch 4": {"batch": 4},
    "batch 16": {"batch": 16},
    "1 thread": {"threads": 1},
    "4 videos": {"videos": 4},
    "16 videos": {"videos": 16},
    "4 times as long": {"times": 4},
    "16 times as long": {"times": 16},
}
QUICK = ("as usual", "180x120", "batch 1", "4 videos")


class Spent(NamedTuple):
    """What a command took: seconds on the clock, of the processors, and MiB at the most."""

    wall: float
    cpu: float
    mib: float


def longer(clip: Path, times: int) -> Path:
    """Write a video so many times after itself, without coding it again."""
    path = clip.with_name(f"{clip.stem}-{times}.mp4")
    if times == 1 or path.exists():
        return clip if times == 1 else path
    listed = clip.with_suffix(".txt")
    listed.write_text(f"file '{clip}'\n" * times)
    command = ["ffmpeg", "-loglevel", "error", "-f", "concat", "-safe", "0", "-i", str(listed)]
    subprocess.run([*command, "-c", "copy", str(path)], check=True)
    return path


def score(videos: Sequence[Path], checkpoint: Path, case: Mapping[str, Any], end: int) -> Spent:
    """Score the first `end` frames of each video in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "mpn", "score", *map(str, videos), "--out", out]
        command += ["--no-report", "--checkpoint", str(checkpoint), "--end", f"{end / FPS:g}"]
        command += ["--batch-size", str(case["batch"]), "--threads", str(case["threads"])]
        began = time.perf_counter()
        with open(Path(out) / "log", "w") as log:
            child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
            _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit((Path(out) / "log").read_text()[-2000:])
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(name: str, checkpoint: Path, clips: Mapping[tuple[int, int], Path]) -> dict[str, float]:
    """Run a case once, and its start."""
    case = USUAL | CASES[name]
    clip = longer(clips[case["size"]], case["times"])
    videos = [clip.with_name(f"{k}-{clip.name}") for k in range(case["videos"])]
    for video in videos:
        if not video.exists():
            video.hardlink_to(clip)
    length = FRAMES * case["times"]
    start = score(videos, checkpoint, case, FPS)
    spent = score(videos, checkpoint, case, length)
    frames = (length - FPS) * len(videos)
    return {
        "frames_per_second": frames / (spent.wall - start.wall),
        "cpu_ms_a_frame": 1000 * (spent.cpu - start.cpu) / frames,
        "peak_mib": spent.mib,
        "start_seconds": start.wall,
    }


def main() -> None:
    """Runs all cases in turn, prints and writes growth.json."""
    made = parser(__doc__)
    made.add_argument("--checkpoint", type=Path, required=True)
    made.add_argument("--repeats", type=positive, default=3)
    args = made.parse_args()
    if not load_checkpoint(args.checkpoint).places:
        raise SystemExit(f"{args.checkpoint} has no place model, so motion would cost nothing")
    names = QUICK if args.quick else tuple(CASES)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        sizes = {(USUAL | CASES[name])["size"] for name in names}
        clips = {
            size: write_clip(Path(folder) / f"{size[0]}x{size[1]}.mp4", size) for size in sizes
        }
        for _ in range(1 if args.quick else args.repeats):
            for name in names:
                taken[name].append(measure(name, args.checkpoint.resolve(), clips))
                print(name, taken[name][-1], file=sys.stderr, flush=True)
    spreads = {
        name: {key: spread([run[key] for run in runs]) for key in runs[0]}
        for name, runs in taken.items()
    }
    columns = list(next(iter(spreads.values())))
    rows = [[name, *(shown(case[key], 1) for key in columns)] for name, case in spreads.items()]
    print_table(["mpn score", *columns], rows)
    usual = {key: list(value) if key == "size" else value for key, value in USUAL.items()}
    result = {"usual": usual, "frames": FRAMES, "load_average_before": load, "cases": spreads}
    write_result("growth", args, result)


if __name__ == "__main__":
    main()

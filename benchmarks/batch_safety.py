"""A night's recordings in one folder, some of them broken: all others are scored, whatever happens.

    python -m benchmarks.batch_safety            (some minutes)
    python -m benchmarks.batch_safety --quick    (16 recordings)

200 short recordings, of which 40 are broken in ten ways. `mpn score FOLDER` is left alone once;
then it is killed (SIGKILL) in the middle, and the same command is given again. Wanted: every result
of the second equal to that of the first, to the byte; every broken recording named once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, goal, parser, print_goals, write_result
from benchmarks.odd_files import (
    break_avi,
    cut,
    picture,
    write_pictures,
    write_sound,
    write_stream,
    write_video,
)
from benchmarks.score_jobs import write_tiny_model

COUNT = 30  # frames of a recording
GOOD, BROKEN_EACH = 160, 4
QUICK_GOOD, QUICK_BROKEN_EACH = 6, 1
SUFFIXES = (".mp4", ".avi", ".mkv", ".ts")
TABLES = ("scores.csv", "events.json", "*_regions.csv")  # of a result


def scene(number: int) -> list[np.ndarray]:
    """Recording `number`: the scene from another moment on, and so each unlike the others."""
    return [picture(7 * number + index) for index in range(COUNT)]


# --- Ways to be broken; each is given a path without suffix, and gives that of what it wrote


def _empty(path: Path) -> Path:
    path.with_suffix(".mp4").touch()
    return path.with_suffix(".mp4")


def _text(path: Path) -> Path:
    path.with_suffix(".avi").write_text("404 not found\n" * 30)
    return path.with_suffix(".avi")


def _noise(path: Path) -> Path:
    path.with_suffix(".mkv").write_bytes(np.random.default_rng(0).bytes(9_000))
    return path.with_suffix(".mkv")


def _without_index(path: Path) -> Path:
    made = write_video(path.with_suffix(".mp4"), scene(0))
    cut(made, 0.6)
    return made


def _without_beginning(path: Path) -> Path:
    made = write_stream(path.with_suffix(".mkv"), scene(0), form="matroska")
    made.write_bytes(bytes(3_000) + made.read_bytes()[3_000:])
    return made


def _sound(path: Path) -> Path:
    write_sound(path.with_suffix(".mp4"))
    return path.with_suffix(".mp4")


def _playlist(path: Path) -> Path:
    path.with_suffix(".ts").write_text("ffconcat version 1.0\nfile a.ts\n")
    return path.with_suffix(".ts")


def _every_frame_lost(path: Path) -> Path:
    made = write_video(path.with_suffix(".avi"), scene(0))
    break_avi(made, range(COUNT))
    return made


def _speck(path: Path) -> Path:
    return write_pictures(path, [frame[:8, :8] for frame in scene(0)])


def _cut_pictures(path: Path) -> Path:
    for file in write_pictures(path, scene(0)[:8]).iterdir():
        cut(file, 0.5)
    return path


WAYS: dict[str, Callable[[Path], Path]] = {
    "0 bytes": _empty,
    "a text": _text,
    "noise": _noise,
    "cut before its index": _without_index,
    "its beginning is zeros": _without_beginning,
    "sound alone": _sound,
    "a playlist": _playlist,
    "every frame overwritten": _every_frame_lost,
    "pictures of 8x8": _speck,
    "pictures cut short": _cut_pictures,
}


def write_batch(folder: Path, good: int, broken_each: int) -> list[Path]:
    """Write recordings and broken ones among them; gives the broken ones."""
    folder.mkdir(parents=True)
    for number in range(good):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        form = {".mkv": "matroska", ".ts": "mpegts"}.get(suffix)
        write_stream(folder / f"{number:03d}{suffix}", scene(number), form=form)
    step = max(1, good // (broken_each * len(WAYS)))
    return [
        make(folder / f"{(way + turn * len(WAYS)) * step:03d}-broken{way}")
        for turn in range(broken_each)
        for way, make in enumerate(WAYS.values())
    ]


# --- Scoring


def command(folder: Path, out: Path, model: Path) -> list[str]:
    """The command line that is given twice."""
    words = ["score", str(folder), "--checkpoint", str(model), "--out", str(out), "--no-report"]
    return [sys.executable, "-m", "mpn", *words, "--threads", "1"]


def finished(out: Path) -> int:
    """How many recordings are scored to their end."""
    states = [json.loads(path.read_text()) for path in out.glob("*/state.json")]
    return sum(state["state"]["complete"] for state in states)


def kill_in_the_middle(words: list[str], out: Path, count: int) -> int:
    """Start a command and kill it once `count` recordings are scored; gives how many are."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(words, env=environment, **quiet)
    while process.poll() is None and finished(out) < count:
        time.sleep(0.02)
    process.kill()
    process.wait()
    return finished(out)


def unlike(out: Path, other: Path) -> list[str]:
    """Results of which a table is not the same in two folders, to the byte, or is missing."""
    differing = []
    for folder in sorted(path.parent for path in out.glob("*/events.json")):
        tables = [path for pattern in TABLES for path in folder.glob(pattern)]
        twins = [other / folder.name / path.name for path in tables]
        if len(tables) < len(TABLES) or any(
            not twin.exists() or twin.read_bytes() != path.read_bytes()
            for path, twin in zip(tables, twins)
        ):
            differing.append(folder.name)
    return differing


def named(out: Path, printed: str) -> Counter[str]:
    """How often each recording is named as not scored: in summary.json and in what was printed."""
    summary = json.loads((out / "summary.json").read_text())
    count = Counter(entry["source"] for entry in summary if not entry["scored"])
    lines = [line.partition(" not scored: ") for line in printed.splitlines()]
    count.update(f"printed {source.strip()}" for source, words, _ in lines if words)
    return count


def main() -> None:
    """Make the batch, score it, and score it with a kill."""
    args = parser(__doc__).parse_args()
    good, each = (QUICK_GOOD, QUICK_BROKEN_EACH) if args.quick else (GOOD, BROKEN_EACH)
    work = Path(tempfile.mkdtemp(prefix="mpn-batch-"))
    broken = write_batch(work / "batch", good, each)
    model = write_tiny_model(work / "tiny.safetensors")
    alone, killed = work / "alone", work / "killed"
    done = subprocess.run(command(work / "batch", alone, model), capture_output=True, cwd=ROOT)
    reached = kill_in_the_middle(command(work / "batch", killed, model), killed, good // 2)
    again = subprocess.run(
        command(work / "batch", killed, model), capture_output=True, cwd=ROOT, text=True
    )
    differ = unlike(alone, killed)
    count = named(killed, again.stdout)
    once = [path for path in broken if count[str(path)] == count[f"printed {path}"] == 1]
    left = [str(path) for path in killed.glob("**/*.part")]
    result = {
        "recordings": good + len(broken),
        "broken": dict.fromkeys(WAYS, each),
        "exit_codes": [done.returncode, again.returncode],
        "scored_when_killed": reached,
        "differ": differ,
        "named": sum(count.values()),
        "left_behind": left,
        "goals": {
            "results equal to those of the run left alone": goal(
                finished(alone) - len(differ), good
            ),
            "broken recordings named once in summary.json and once in print": goal(
                len(once), len(broken)
            ),
            "anything else named": goal(sum(count.values()) - 2 * len(once), 0, at_most=True),
        },
    }
    print_goals(result["goals"])
    write_result("batch_safety", args, result, threads=1)


if __name__ == "__main__":
    main()

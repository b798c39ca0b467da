"""Scoring as an operator does it: 100,000 frames with flat memory, ten SIGKILLs without a trace.

    python -m benchmarks.score_jobs memory --work FOLDER     (some minutes; with --model
                                                              demo half an hour on one core)
    python -m benchmarks.score_jobs kills --work FOLDER      (about 5 minutes)

memory: one made clip again and again in a .mp4 of 100,000 frames; resident size of `mpn score`
while it runs, with a network of 32x48 pixels unless --model says otherwise (what a network needs
does not depend on how many frames there are). Wanted: the mean over the last tenth of the frames
within 5 % of that over the second tenth.

kills: a video of 6,000 frames is scored once without a stop, then again with ten SIGKILLs at random
moments (start-up included), each followed by the same command. Wanted: the same scores.csv, to the
byte.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.common import ROOT, goal, parser, print_goals, write_result
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from mpn.model.network import build_model
from mpn.scoring.parts import COLUMNS

MODEL = ROOT / "mpn" / "models" / "demo.safetensors"
CLIP = 500  # frames that are shown again and again
RATE = 25.0
SIZE = (160, 240)


def write_video(path: Path, frames: int) -> Path:
    """A grey ground with squares that move over it, `CLIP` frames in a loop."""
    generator = np.random.default_rng(0)
    ground = cv2.GaussianBlur(generator.integers(60, 180, SIZE).astype(np.uint8), (0, 0), 2)
    loop = []
    for number in range(CLIP):
        frame = ground.copy()
        for walker in range(4):
            left = (number * (walker + 1) // 2 + 50 * walker) % (SIZE[1] - 12)
            frame[30 * walker + 20 : 30 * walker + 44, left : left + 12] = 220
        loop.append(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, SIZE[::-1])
    for number in range(frames):
        writer.write(loop[number % CLIP])
    writer.release()
    return path


def write_tiny_model(path: Path) -> Path:
    """An untrained model of 32x48 pixels, calibrated on some made scores."""
    torch.manual_seed(0)
    network = build_model("small", height=32, width=48, channels=4)
    generator = np.random.default_rng(0)
    normal = {column.name: [generator.normal(1, 0.1, 500)] for column in COLUMNS}
    save_checkpoint(path, Checkpoint(network, fps=RATE, normal=normal))
    return path


def command(video: Path, out: Path, model: Path = MODEL) -> list[str]:
    """The job's command line."""
    return [
        sys.executable,
        "-m",
        "mpn",
        "score",
        str(video),
        "--checkpoint",
        str(model),
        "--out",
        str(out),
        "--threads",
        "1",
    ]


def rows(table: Path) -> int:
    """Whole rows of a table so far."""
    return max(0, table.read_bytes().count(b"\n") - 1) if table.exists() else 0


def resident(process: subprocess.Popen) -> int:
    """Resident bytes of a process (Linux)."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096


def memory(work: Path, frames: int, model: Path | None) -> dict:
    """Resident size over the frames."""
    video = write_video(work / "long.mp4", frames)
    out = work / "memory"
    chosen = model or write_tiny_model(work / "tiny.safetensors")
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(video, out, chosen), **quiet)
    samples: list[tuple[int, int]] = []
    began = time.monotonic()
    while process.poll() is None:
        try:
            samples.append((rows(out / "long" / "scores.csv"), resident(process)))
        except (OSError, IndexError):  # it has just ended
            break
        time.sleep(0.5 if frames > 10_000 else 0.05)
    if process.wait() != 0:
        raise SystemExit(f"mpn score ended with exit code {process.returncode}")
    mean = {
        tenth: float(
            np.mean([size for count, size in samples if tenth - 1 <= 10 * count / frames < tenth])
        )
        for tenth in (2, 10)
    }
    share = abs(mean[10] / mean[2] - 1)
    return {
        "model": "untrained, 32x48" if model is None else model.name,
        "frames": frames,
        "rows": rows(out / "long" / "scores.csv"),
        "seconds": time.monotonic() - began,
        "mebibytes": {f"tenth {tenth}": round(size / 2**20, 1) for tenth, size in mean.items()},
        "samples": len(samples),
        "goals": {"last tenth against second tenth, % off": goal(100 * share, 5, at_most=True)},
    }


def kills(work: Path, frames: int, count: int) -> dict:
    """The table after SIGKILLs at random moments against one of a run left alone."""
    video = write_video(work / "video.mp4", frames)
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    began = time.monotonic()
    subprocess.run(command(video, work / "whole"), check=True, **quiet)
    alone = time.monotonic() - began
    generator, moments = random.Random(0), []
    table = work / "killed" / "video" / "scores.csv"
    for _ in range(count):
        # Short enough that the job is never finished before the last kill.
        wait = generator.uniform(0.2, max(1.0, 1.5 * alone / count))
        process = subprocess.Popen(command(video, work / "killed"), **quiet)
        time.sleep(wait)
        ended = process.poll() is not None
        process.kill()
        process.wait()
        moments.append(
            {"seconds": round(wait, 2), "rows_there": rows(table), "had_finished": ended}
        )
    subprocess.run(command(video, work / "killed"), check=True, **quiet)
    same = table.read_bytes() == (work / "whole" / "video" / "scores.csv").read_bytes()
    others = [path.name for path in (work / "killed").iterdir() if path.name != "video"]
    return {
        "frames": frames,
        "kills": moments,
        "seconds_left_alone": round(alone, 1),
        "left_behind": others,
        "goals": {
            "the same table, to the byte": goal(float(same), 1),
            "kills in the midst of the job": goal(
                sum(not moment["had_finished"] for moment in moments), count
            ),
        },
    }


def main() -> None:
    """Runs one part and writes its result."""
    arguments = parser(__doc__)
    arguments.add_argument("part", choices=("memory", "kills"))
    arguments.add_argument("--model", type=Path, help="of the memory (default: a tiny one)")
    arguments.add_argument(
        "--work", type=Path, help="for videos and results (default: a temporary folder)"
    )
    args: argparse.Namespace = arguments.parse_args()
    work = args.work or Path(tempfile.mkdtemp(prefix="mpn-score-jobs-"))
    work.mkdir(parents=True, exist_ok=True)
    if args.part == "memory":
        result = memory(work, 2_000 if args.quick else 100_000, args.model)
    else:
        result = kills(work, 600 if args.quick else 6_000, 2 if args.quick else 10)
    print_goals(result["goals"])
    write_result(f"score_jobs-{args.part}", args, result, threads=1)


if __name__ == "__main__":
    main()

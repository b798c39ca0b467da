"""What motion costs: `mpn score` with it and with --no-motion, as a user runs it, no report.

    python -m benchmarks.motion_cost CHECKPOINT

On a 360x240 and a 1920x1080 video of 300 frames, in fresh processes, with motion and without in
turn. Frames per second of the whole command, decoding included, and without its start (a command
that scores a second of the video); the processor's seconds too, which depend less on what else is
running. CHECKPOINT needs a place model. About four minutes on two cores.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.adapt_speed import FRAMES, write_clip
from benchmarks.common import ROOT, parser, print_table, shown, spread, write_result
from mpn.model.checkpoint import load_checkpoint

SIZES = ((360, 240), (1920, 1080))  # (width, height)
WAYS = {"with motion": [], "--no-motion": ["--no-motion"]}
FPS = START_FRAMES = 10  # of the videos; frames of a second


class Spent(NamedTuple):
    """What a command took: seconds on the clock, and of all processors together."""

    wall: float
    cpu: float


def score(video: Path, checkpoint: Path, given: Sequence[str], threads: int) -> Spent:
    """Score a video in a fresh process.

    Args:
        video: to be scored.
        checkpoint: of the model.
        given: further options.
        threads: of PyTorch.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "mpn", "score", str(video), "--out", out, "--no-report"]
        command += ["--checkpoint", str(checkpoint), *given]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall, cpu)


def measure(
    video: Path, checkpoint: Path, frames: int, repeats: int, threads: int
) -> dict[str, Any]:
    """Time the first `frames` of a video.

    Returns:
        Way -> spreads of "seconds", "cpu_seconds", "frames_per_second" (whole command),
        "frames_per_second_running" and "cpu_milliseconds_per_frame" (both without the start);
        "start_seconds"; "motion_share_wall" and "motion_share_cpu": of the running command's time
        with motion, pair by pair.
    """
    spent: dict[str, list[Spent]] = {way: [] for way in WAYS}
    end, starts = ["--end", f"{frames / FPS:g}"], []
    for _ in range(repeats):
        starts.append(score(video, checkpoint, ["--no-motion", "--end", "1"], threads))
        for way, options in WAYS.items():
            spent[way].append(score(video, checkpoint, [*options, *end], threads))
    running = {
        way: [Spent(a.wall - b.wall, a.cpu - b.cpu) for a, b in zip(spent[way], starts)]
        for way in WAYS
    }
    figures: dict[str, Any] = {"start_seconds": spread([run.wall for run in starts])}
    for way in WAYS:
        figures[way] = {
            "seconds": spread([run.wall for run in spent[way]]),
            "cpu_seconds": spread([run.cpu for run in spent[way]]),
            "frames_per_second": spread([frames / run.wall for run in spent[way]]),
            "frames_per_second_running": spread(
                [(frames - START_FRAMES) / run.wall for run in running[way]]
            ),
            "cpu_milliseconds_per_frame": spread(
                [1000 * run.cpu / (frames - START_FRAMES) for run in running[way]]
            ),
        }
    both = list(zip(running["with motion"], running["--no-motion"]))
    for name in Spent._fields:
        figures[f"motion_share_{name}"] = spread(
            [1 - getattr(without, name) / getattr(moving, name) for moving, without in both]
        )
    return figures


def main() -> None:
    """Time both videos, print, write motion_cost.json."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument(
        "--frames", type=int, default=FRAMES, help=f"only the first so many (default: {FRAMES})"
    )
    args = arguments.parse_args()
    model = load_checkpoint(args.checkpoint)
    if not model.places:
        raise SystemExit(f"{args.checkpoint} has no place model, so nothing to compare")
    load, figures = os.getloadavg()[0], {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES[:1] if args.quick else SIZES:
            name = f"{size[0]}x{size[1]}"
            video = write_clip(Path(folder) / f"{name}.mp4", size)
            repeats = 1 if args.quick else args.repeats
            figures[name] = measure(
                video, args.checkpoint.resolve(), args.frames, repeats, args.threads
            )
    rows = [
        [
            f"{name}, {way}",
            shown(entry[way]["frames_per_second"], 1),
            shown(entry[way]["frames_per_second_running"], 1),
            shown(entry[way]["cpu_milliseconds_per_frame"], 1),
            shown(entry["motion_share_cpu"]) if way == "with motion" else "",
        ]
        for name, entry in figures.items()
        for way in WAYS
    ]
    header = [
        f"mpn score, {args.frames} frames",
        "frames/s, all",
        "frames/s, running",
        "CPU ms a frame",
    ]
    print_table([*header, "motion's share of it"], rows)
    print(f"load before: {load:.2f}, after: {os.getloadavg()[0]:.2f}")
    checkpoint = {"path": args.checkpoint.name, "sha256": model.sha256}
    loads = {"before": load, "after": os.getloadavg()[0]}
    result = {
        "checkpoint": checkpoint,
        "frames": args.frames,
        "load_average": loads,
        "videos": figures,
    }
    write_result("motion_cost", args, result, args.threads)


if __name__ == "__main__":
    main()

"""How long `mpn adapt` takes on 300 frames, as a user runs it: a fresh process, with decoding.

python -m benchmarks.adapt_speed    (about two minutes on two cores, nothing else running)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

import cv2

from benchmarks.common import (
    ROOT,
    goal,
    parser,
    print_goals,
    print_table,
    shown,
    spread,
    write_result,
)
from mpn.datasets.demo.dataset import scene_clips

FRAMES, SECONDS = 300, 30.0


def write_clip(path: Path, size: tuple[int, int] = (360, 240)) -> Path:
    """A generated camera's normal footage, 300 frames at 10 a second; `size`: (width, height)."""
    clips = scene_clips(7, 0, training=3, validation=1, testing=1, length=FRAMES // 3).training
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, size)
    for frame in chain.from_iterable(clip.frames() for clip in clips):
        writer.write(cv2.resize(frame.image, size))
    writer.release()
    return path


def main() -> None:
    """Time all methods in turn, print and write adapt_speed.json."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    args = arguments.parse_args()
    methods = {
        "place (default)": [],
        "adam, 300 steps": ["--method", "adam"],
        "meta, 5 steps": ["--method", "meta"],
    }
    if args.quick:
        methods = {"meta, 5 steps": methods["meta, 5 steps"]}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mp4")
        for _ in range(1 if args.quick else args.repeats):
            for name, options in methods.items():
                began = time.perf_counter()
                command = [sys.executable, "-m", "mpn", "adapt", str(clip), *options, "--force"]
                subprocess.run(
                    [*command, "--out", f"{folder}/a.camera.safetensors"], cwd=ROOT, check=True
                )
                seconds[name].append(time.perf_counter() - began)
    rows = {name: spread(values) for name, values in seconds.items()}
    print_table(
        ["mpn adapt, 300 frames", "seconds"], [[name, shown(row, 1)] for name, row in rows.items()]
    )
    goals = {
        "seconds with the default steps": goal(
            next(iter(rows.values()))["median"], SECONDS, at_most=True
        )
    }
    print_goals(goals)
    write_result("adapt_speed", args, {"frames": FRAMES, "seconds": rows, "goals": goals})


if __name__ == "__main__":
    main()

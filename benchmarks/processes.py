"""A step of training in two processes of one thread, and in one process of two threads.

Both train `small` (its own size, batch and precision) on the same random uint8 clips, taken in
turns; each run's first steps are left out, and of the next ten the median is taken.

    python -m benchmarks.processes            (about ten minutes on two cores)
    python -m benchmarks.processes --quick
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import ROOT, parser, print_table, shown, spread, write_result
from mpn.cli import SPINS
from mpn.datasets.windows import Clip
from mpn.model.config import get_config
from mpn.model.device import use_bfloat16
from mpn.training.distributed import joined
from mpn.training.pretraining import Training, TrainingOptions

LEFT_OUT, COUNTED = 3, 10
CASES = {"one process, two threads": (1, 2), "two processes, one thread each": (2, 1)}


class Steps(Training):
    """A training that ends with its last step."""

    def finish(self) -> Path:
        """Calibrate nothing, write no model."""
        return self.folder


def run_case(case: dict[str, Any]) -> None:
    """Train; the first process prints the seconds of its steps."""
    torch.set_num_threads(case["threads"])
    config = get_config("small", **({"height": 64, "width": 96} if case["quick"] else {}))
    precision = "bfloat16" if use_bfloat16("auto") else "float32"
    options = TrainingOptions(epochs=1, precision=precision)
    windows = (LEFT_OUT + COUNTED) * options.batch_size // 2
    generator = np.random.default_rng(0)
    shape = (windows + config.window, *config.size, config.colours)
    clips = (
        [  # one of them is held out
            Clip(f"{n}", "scene", generator.integers(0, 256, shape, np.uint8)) for n in range(3)
        ]
        + [Clip("3", "scene", generator.integers(0, 256, (8, *shape[1:]), np.uint8))]
    )
    with joined() as processes, tempfile.TemporaryDirectory() as folder:
        training = Steps(clips, config, options, folder)
        training.run()
        if processes.first:
            print(json.dumps(list(training.durations)[LEFT_OUT:][:COUNTED]))


def measure(count: int, threads: int, quick: bool) -> list[float]:
    """Seconds of the steps of one run."""
    case = json.dumps({"threads": threads, "quick": quick})
    start = [sys.executable]
    if count > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        start += ["--nproc-per-node", str(count)]
    command = [*start, "-m", "benchmarks.processes", "--case", case]
    # As `mpn train` has it.
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": SPINS}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Take the cases in turns."""
    made = parser(__doc__)
    made.add_argument("--rounds", type=int, default=3, help="of both cases (default: 3)")
    made.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    args = made.parse_args()
    if args.case:
        run_case(args.case)
        return
    medians: dict[str, list[float]] = {name: [] for name in CASES}
    steps: dict[str, list[list[float]]] = {name: [] for name in CASES}
    for _ in range(1 if args.quick else args.rounds):
        for name, (count, threads) in CASES.items():
            durations = measure(count, threads, args.quick)
            steps[name].append([round(seconds, 3) for seconds in durations])
            medians[name].append(float(np.median(durations)))
            print(f"{name}: {medians[name][-1]:.3f} s", flush=True)
    rows = [[name, shown(spread(values), 3)] for name, values in medians.items()]
    print_table(["median of ten steps, s (lowest-highest of the runs)", ""], rows)
    write_result(
        "processes",
        args,
        {"seconds": {name: spread(values) for name, values in medians.items()}, "steps": steps},
    )


if __name__ == "__main__":
    main()

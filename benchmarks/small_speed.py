"""Speed of `small`: training samples/s, and scoring frames/s from a 360x240 video file.

Training is a whole `mpn.training.pretraining.Training` run on random uint8 clips: loader with
pseudo-anomalies, forward, backward, clipping, Adam, logging, saving. Scoring is `score_frames` over
`open_source(...).frames(...)` of an mp4v file that is made for it (moving figures on a textured
ground, some noise). The time until the first line of the log, and a first short pass over the file,
are not counted.

    python -m benchmarks.small_speed            (about 8 minutes on two cores, nothing else running)
    python -m benchmarks.small_speed --quick
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import (
    goal,
    machine,
    parser,
    print_goals,
    print_table,
    shown,
    spread,
    write_result,
)
from mpn.bench import write_film
from mpn.datasets.windows import Clip
from mpn.model.config import get_config
from mpn.model.device import use_bfloat16
from mpn.model.engines import TorchEngine
from mpn.model.network import build_model
from mpn.scoring.scores import score_frames
from mpn.training.pretraining import Training, TrainingOptions
from mpn.video.sources import open_source

SAMPLES_PER_SECOND, FRAMES_PER_SECOND = 25.0, 60.0
CLIPS = 8  # one of them is held out


def training_rates(steps: int, precision: str, size: tuple[int, int] | None) -> list[float]:
    """Samples/s between the lines of a training's log, the first stretch left out."""
    options = TrainingOptions(epochs=1, precision=precision)
    small = (
        get_config("small") if size is None else get_config("small", height=size[0], width=size[1])
    )
    windows = -(-(steps * options.batch_size) // (CLIPS - 1))
    generator = np.random.default_rng(0)
    shape = (windows + small.window, *small.size, small.colours)
    clips = [
        Clip(f"{n:02d}", "scene", generator.integers(0, 256, shape, np.uint8)) for n in range(CLIPS)
    ]
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        Training(clips, small, options, folder).run(lambda line: times.append(line["seconds"]))
    # A last line may close a shorter stretch.
    times = times[: steps // Training.log_every]
    return [
        Training.log_every * options.batch_size / (after - before)
        for before, after in zip(times, times[1:])
    ]


def scoring_rate(engine: TorchEngine, path: Path, batch_size: int) -> float:
    """Frames of the file a second, from opening it to its last score."""
    began = time.perf_counter()
    source = open_source(path)
    network = engine.network
    frames = source.frames(network.config.size, network.config.grey)
    scored = sum(1 for _ in score_frames(network, frames, batch_size=batch_size, engine=engine))
    return (scored + network.config.window) / (time.perf_counter() - began)


def measure_scoring(frames: int, repeats: int) -> list[dict[str, Any]]:
    """Every precision and batch size, taken in turn."""
    torch.manual_seed(0)
    # as mpn.Detector has it
    network = build_model("small").eval().to(memory_format=torch.channels_last)
    engines = {name: TorchEngine(network, name == "bfloat16") for name in ("float32", "bfloat16")}
    settings = [(precision, batch) for precision in engines for batch in (1, 4, 8)]
    rates: dict[tuple[str, int], list[float]] = {setting: [] for setting in settings}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_film(path, frames)
        for precision, batch in settings:
            warm_up = islice(
                open_source(path).frames(network.config.size, network.config.grey), 4 + 2 * batch
            )
            list(score_frames(network, warm_up, batch_size=batch, engine=engines[precision]))
        for _ in range(repeats):
            for precision, batch in settings:
                rates[precision, batch].append(scoring_rate(engines[precision], path, batch))
    return [
        {"what": "scoring", "precision": precision, "batch": batch, "per_second": spread(measured)}
        for (precision, batch), measured in rates.items()
    ]


def _options() -> argparse.Namespace:
    """Read the command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--frames", type=int, help="of the video (default 600; quick: 24)")
    arguments.add_argument(
        "--repeats", type=int, help="passes over the video (default 5; quick: 2)"
    )
    arguments.add_argument(
        "--steps",
        type=int,
        help=f"of each training, 3 x {Training.log_every} at least (default 200)",
    )
    arguments.add_argument(
        "--threads", type=int, help="of torch (default: its own choice, the cores)"
    )
    return arguments.parse_args()


def main() -> None:
    """Measure, print, write small_speed.json."""
    args = _options()
    logging.getLogger("mpn").setLevel(logging.ERROR)
    if args.threads:
        torch.set_num_threads(args.threads)
    state = machine()
    steps = max(3 * Training.log_every, args.steps or (0 if args.quick else 200))
    rows = []
    for precision in ("bfloat16", "float32"):
        rates = training_rates(steps, precision, (32, 48) if args.quick else None)
        rows.append(
            {
                "what": "training",
                "precision": precision,
                "batch": TrainingOptions(epochs=1).batch_size,
                "per_second": spread(rates),
            }
        )
    rows += measure_scoring(
        args.frames or (24 if args.quick else 600), args.repeats or (2 if args.quick else 5)
    )

    print_table(
        ["small", "precision", "batch", "samples or frames/s"],
        [
            [row["what"], row["precision"], str(row["batch"]), shown(row["per_second"], 1)]
            for row in rows
        ],
    )
    print()
    # Judged as it comes, not by the best of the rows: `--precision auto` and the default batch
    # sizes.
    precision = "bfloat16" if use_bfloat16("auto") else "float32"
    usual = {"training": TrainingOptions(epochs=1).batch_size, "scoring": 4}
    usual_rates = {
        row["what"]: row["per_second"]["median"]
        for row in rows
        if row["batch"] == usual[row["what"]] and row["precision"] == precision
    }
    goals = {
        f"training, samples/s ({precision})": goal(usual_rates["training"], SAMPLES_PER_SECOND),
        f"scoring, frames/s ({precision}, batch {usual['scoring']})": goal(
            usual_rates["scoring"], FRAMES_PER_SECOND
        ),
    }
    print_goals(goals)
    result = {
        "steps": steps,
        "preset": get_config("small").to_dict(),
        "goals": goals,
        "cases": rows,
        "load_average_before": state["load_average_before"],
    }
    write_result("small_speed", args, result, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()

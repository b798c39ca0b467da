"""Twenty SIGKILLs at random moments of a training, resumed each time: the same weights to the bit?

A small frames-layout folder is generated and `small` (at a small frame size) is trained on it by
`mpn.training.pretraining.train`, saving its state every 0.2 s instead of every 30. First once
without interruption; then the same run is started, killed at a random moment of its life (start-up,
loading and saving included) and resumed, again and again; when it ends by itself, its model is
compared and another run is begun, until all kills are spent. After every kill whatever `state.pt`
and `model.safetensors` there is must load.

    python -m benchmarks.kill_resume            (about 5 minutes on two cores)
    python -m benchmarks.kill_resume --quick    (three kills)
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.common import ROOT, machine, parser, write_result
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips
from mpn.errors import CheckpointError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.config import get_config
from mpn.model.state import load_state
from mpn.training import pretraining
from mpn.training.run_folder import MODEL, STATE

SAVE_SECONDS = 0.2
CLIPS = 4
# What the child says on its standard output when the training begins.
READY = "training"


def write_clips(folder: Path, frames: int, size: tuple[int, int]) -> None:
    """A frames layout: squares that move over noise."""
    generator = np.random.default_rng(0)
    for clip in range(CLIPS):
        place = folder / "training" / "frames" / f"{clip:02d}"
        place.mkdir(parents=True)
        ground = generator.integers(80, 160, size).astype(np.uint8)
        for number in range(frames):
            frame = ground.copy()
            left = (number * (clip + 1)) % size[1]
            frame[size[0] // 3 : size[0] // 2, left : left + 8] = 230
            cv2.imwrite(str(place / f"{number:03d}.png"), frame)


def child(task: dict[str, Any]) -> None:
    """One life of the run: starts it, or resumes it where there is a state."""
    pretraining.Training.save_seconds = SAVE_SECONDS
    small = get_config("small", height=task["size"][0], width=task["size"][1])
    clips = load_clips(recognise(task["data"]).training, small.size, small.grey)
    options = pretraining.TrainingOptions(epochs=task["epochs"], batch_size=4, seed=3)
    folder = Path(task["run"])
    print(READY, flush=True)
    pretraining.train(clips, small, options, folder, resume=(folder / STATE).exists())


def start(task: dict[str, Any]) -> subprocess.Popen:
    """Start the child process; it writes into said.txt and errors.txt beside the run folder."""
    folder = Path(task["run"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.kill_resume", "--child", json.dumps(task)]
    with (
        (folder.parent / "said.txt").open("w") as output,
        (folder.parent / "errors.txt").open("w") as errors,
    ):
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=errors)


def run_to_end(task: dict[str, Any]) -> tuple[float, float]:
    """Seconds until the training began and until the process had ended, uninterrupted."""
    began = time.monotonic()
    process = start(task)
    output = Path(task["run"]).parent / "said.txt"
    ready = None
    while process.poll() is None:
        if ready is None and READY in output.read_text():
            ready = time.monotonic() - began
        time.sleep(0.02)
    check_ended(process, task)
    whole = time.monotonic() - began
    return ready if ready is not None else whole, whole


def check_ended(process: subprocess.Popen, task: dict[str, Any]) -> None:
    """Raises SystemExit unless the child ended well."""
    if process.returncode:
        errors = (Path(task["run"]).parent / "errors.txt").read_text()[-2000:]
        raise SystemExit(f"a run ended with exit code {process.returncode}:\n{errors}")


def inspect(task: dict[str, Any]) -> dict[str, Any]:
    """What a kill left behind; `broken` says why a file cannot be read, None where all can."""
    folder = Path(task["run"])
    state, model = folder / STATE, folder / MODEL
    unfinished = list(folder.glob(".*.part")) if folder.exists() else []
    for part in unfinished:  # a killed writer cannot tidy up; twenty of them would fill the disk
        part.unlink()
    step, broken = None, None
    try:
        if model.exists():
            load_checkpoint(model)
        step = load_state(state)["step"] if state.exists() else None
    except CheckpointError as error:
        broken = str(error)
    training_began = READY in (folder.parent / "said.txt").read_text()
    if model.exists():
        moment = "after the model was written"
    elif not state.exists():
        moment = (
            "in training, before the first save"
            if training_began
            else "at start-up, before the first save"
        )
    else:
        moment = "in training" if training_began else "at start-up of a resumed run"
    return {
        "moment": moment,
        "step_saved": step,
        "unfinished_files": len(unfinished),
        "broken": broken,
    }


def contents(run: Path) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Weights and held-out scores of a run's model, and the log without its times."""
    checkpoint = load_checkpoint(run / MODEL)
    tensors = dict(checkpoint.network.state_dict())
    tensors |= {
        f"normal.{name}.{n}": torch.from_numpy(part)
        for name, parts in checkpoint.normal.items()
        for n, part in enumerate(parts)
    }
    lines = [json.loads(line) for line in (run / pretraining.LOG).read_text().splitlines()]
    return tensors, [(line["step"], line["losses"], line["gradient_norm"]) for line in lines]


def compare(run: Path, reference: Path) -> dict[str, bool]:
    """Whether two finished runs hold the same, bit for bit."""
    (ours, our_log), (expected, expected_log) = contents(run), contents(reference)
    weights = ours.keys() == expected.keys() and all(
        torch.equal(ours[name], expected[name]) for name in ours
    )
    return {"same_weights": weights, "same_log": our_log == expected_log}


def kill_runs(
    base: dict[str, Any], folder: Path, kills: int, times: tuple[float, float], seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, bool]]]:
    """Kill and resume until the kills are spent and the run at hand has ended.

    Returns:
        Kills and comparisons.
    """
    generator = random.Random(seed)
    ready, whole = times
    # So that a run lives through several kills: on average one in a sixth of its training.
    longest = ready + (whole - ready) / 3
    outcomes, compared = [], []
    while True:
        task = base | {"run": str(folder / f"killed{len(compared)}" / "run")}
        process = start(task)
        if len(outcomes) < kills:
            delay = generator.uniform(0, longest)
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                outcomes.append({"after_seconds": round(delay, 3)} | inspect(task))
                print(
                    f"kill {len(outcomes):2d} after {delay:5.2f} s, {outcomes[-1]['moment']}",
                    flush=True,
                )
                if outcomes[-1]["broken"]:
                    return outcomes, compared
                continue
        process.wait()
        check_ended(process, task)
        compared.append(compare(Path(task["run"]), folder / "whole" / "run"))
        if len(outcomes) == kills:
            return outcomes, compared


def _options() -> argparse.Namespace:
    """Read the command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--kills", type=int, help="how many (default 20; quick: 3)")
    arguments.add_argument("--epochs", type=int, help="of the training (default 12; quick: 2)")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments.add_argument("--child", help="one life of a run, as JSON (used by the script itself)")
    return arguments.parse_args()


def main() -> None:
    """Run it all, print, write kill_resume.json.

    The exit code is 1 where weights differ or a file is broken.
    """
    args = _options()
    if args.child:
        child(json.loads(args.child))
        return
    kills = args.kills or (3 if args.quick else 20)
    size = (32, 48) if args.quick else (64, 96)
    with tempfile.TemporaryDirectory(prefix="mpn-kills-") as temporary:
        folder = Path(temporary)
        write_clips(folder / "data", 12 if args.quick else 44, size)
        base = {
            "data": str(folder / "data"),
            "size": size,
            "epochs": args.epochs or (2 if args.quick else 12),
        }
        times = run_to_end(base | {"run": str(folder / "whole" / "run")})
        steps = load_state(folder / "whole" / "run" / STATE)["step"]
        print(
            f"uninterrupted: {steps} steps, {times[0]:.1f} s of start-up, "
            f"{times[1] - times[0]:.1f} s of training"
        )
        outcomes, compared = kill_runs(base, folder, kills, times, args.seed)
    broken = [kill["broken"] for kill in outcomes if kill["broken"]]
    same = (
        bool(compared) and not broken and all(all(comparison.values()) for comparison in compared)
    )
    moments = dict(Counter(kill["moment"] for kill in outcomes))
    torn = sum(kill["unfinished_files"] for kill in outcomes)
    print(f"\n{len(outcomes)} kills in {len(compared)} runs:")
    for moment, count in sorted(moments.items()):
        print(f"  {count:2d}  {moment}")
    print(f"  {torn} of them in the middle of writing a file")
    if same:
        print(
            "no broken checkpoint; final weights and log equal to the uninterrupted run's, bit "
            "for bit"
        )
    else:
        print(f"FAILED: broken {broken or 'none'}; compared {compared}")
    result = {
        "kills": len(outcomes),
        "runs": len(compared),
        "moments": moments,
        "while_writing": torn,
        "broken_checkpoints": len(broken),
        "steps": steps,
        "startup_seconds": times[0],
        "training_seconds": times[1] - times[0],
        "same": same,
        "comparisons": compared,
        "each": outcomes,
        "load_average_before": machine()["load_average_before"],
    }
    write_result("kill_resume", args, result, threads=torch.get_num_threads())
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()

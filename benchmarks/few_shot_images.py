"""Few-shot images: the methods of `mpn.meta` on characters never seen, and learn2learn's beside.

The learners of `examples/few_shot_images.py` are trained on episodes of a hundred drawn characters
and judged on episodes of forty others, 5 ways with 1 and with 5 shots: accuracy with its 95 %
interval over the test episodes, processor time of an outer step, resident memory. Hyperparameters
were chosen on characters of another seed.

With `--learn2learn PYTHON`, the interpreter of an environment that has learn2learn 0.2.0
(docs/meta-learning.md says how to make one), its MAML and MetaSGD are trained from the same weights
on the same episodes in the same order with the same step sizes. The losses of the first outer steps
have to agree to rounding, in float32 and in float64; later ones may drift apart, as rounding does.

    python -m benchmarks.few_shot_images --learn2learn l2l/bin/python
    python -m benchmarks.few_shot_images --quick
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import (
    ROOT,
    goal,
    parser,
    peak_memory,
    print_goals,
    print_table,
    shown,
    spread,
    write_result,
)
from examples.characters import Tasks, draw_characters
from examples.few_shot_images import (
    LEARNING_RATE,
    METHODS,
    STEP_SIZE,
    TEST_CLASSES,
    TRAINING_CLASSES,
    Learner,
)

WAYS = 5
COMPARED = ("maml", "meta-sgd")
FIRST = 10  # outer steps whose losses are compared, in either precision
# Needed: largest relative difference of these losses; growth of memory from the 100th step on.
ALLOWED, GROWTH = {"float32": 1e-3, "float64": 1e-9}, 1.02
MEMORY_STEPS = 1000


def mean_and_interval(values: np.ndarray) -> dict[str, float]:
    """The mean over episodes in %, and half its 95 % interval."""
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return {"mean": 100 * float(values.mean()), "half_width_95": 100 * half}


def shown_mean(found: dict[str, float]) -> str:
    return f"{found['mean']:.1f} +- {found['half_width_95']:.1f}"


def train(
    learner: Learner, tasks: Tasks, steps: int, outer: int
) -> tuple[list[float], list[float]]:
    """Take outer steps of `outer` tasks each.

    Returns:
        The mean query loss of each step, and its milliseconds of processor time without drawing.
    """
    losses, milliseconds = [], []
    for step in range(steps):
        ready = [tasks[outer * step + k] for k in range(outer)]
        began = time.process_time()
        losses.append(learner.train(ready))
        milliseconds.append(1000 * (time.process_time() - began))
    return losses, milliseconds


def measure(
    method: str, drawn: tuple[Tasks, Tasks], args: Any, losses: dict[str, list[float]]
) -> dict[str, Any]:
    """Train and judge one method; its losses are kept in `losses`."""
    learner = Learner(method, WAYS)
    losses[method], milliseconds = train(learner, drawn[0], args.steps, args.tasks)
    each = learner.accuracies(drawn[1], args.episodes)
    return {"accuracy": mean_and_interval(each), "outer_step_cpu_ms": spread(milliseconds)}


def resident(tasks: Tasks, steps: int) -> dict[str, float]:
    """Resident MiB along outer steps of second-order MAML, one task each."""
    learner, sizes = Learner("maml", WAYS), {}
    for part in range(10):
        for step in range(part * steps // 10, (part + 1) * steps // 10):
            learner.train([tasks[step]])
        with peak_memory() as memory:
            pass
        sizes[str((part + 1) * steps // 10)] = memory["before"] / 2**20
    return sizes


def weights_of(learner: Learner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in learner.network.state_dict().items()}


def first_losses(method: str, tasks: Tasks, weights: dict[str, Tensor], outer: int) -> list[float]:
    """The losses of the first outer steps in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        learner = Learner(method, WAYS)
        learner.network.load_state_dict(weights)
        return train(learner, tasks, FIRST, outer)[0]
    finally:
        torch.set_default_dtype(torch.float32)


def as_arrays(tasks: Tasks, count: int, name: str) -> dict[str, np.ndarray]:
    """Images, and numbers of the classes and items of the first `count` episodes."""
    episodes = [tasks.sampler.episode(number) for number in range(count)]
    return {
        f"{name}_images": tasks.images.numpy(),
        f"{name}_classes": np.array([[int(way) for way in e.ways] for e in episodes]),
        f"{name}_support": np.array([e.support for e in episodes]),
        f"{name}_query": np.array([e.query for e in episodes]),
    }


def of_learn2learn(drawn: tuple[Tasks, Tasks], args: Any) -> dict[str, Any]:
    """What `benchmarks.few_shot_learn2learn` finds on the same episodes, in its own environment."""
    weights = weights_of(Learner(COMPARED[0], WAYS))
    arrays = {
        **as_arrays(drawn[0], args.steps * args.tasks, "training"),
        **as_arrays(drawn[1], args.episodes, "test"),
        **{f"weights/{name}": value.numpy() for name, value in weights.items()},
    }
    settings = {
        "methods": COMPARED,
        "tasks": args.tasks,
        "first": FIRST,
        "step_size": STEP_SIZE,
        "learning_rate": LEARNING_RATE,
    }
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "episodes.npz"), **arrays)
        module = [args.learn2learn, "-m", "benchmarks.few_shot_learn2learn"]
        command = [*module, f"{folder}/episodes.npz", f"{folder}/found.json", json.dumps(settings)]
        subprocess.run(command, cwd=ROOT, check=True)
        return json.loads(Path(folder, "found.json").read_text())


def furthest(ours: list[float], theirs: list[float]) -> float:
    """The largest relative difference of any of the losses."""
    return float(np.max(np.abs(np.divide(ours, theirs) - 1)))


def compare(
    ours: dict[str, Any], losses: dict[str, list[float]], drawn: tuple[Tasks, Tasks], args: Any
) -> dict[str, Any]:
    """Accuracy and first losses of both, by method."""
    reference, result = of_learn2learn(drawn, args), {}
    weights = weights_of(Learner(COMPARED[0], WAYS))
    for method in COMPARED:
        both = {  # ours and theirs
            "float32": (losses[method][:FIRST], reference[method]["losses"][:FIRST]),
            "float64": (
                first_losses(method, drawn[0], weights, args.tasks),
                reference[method]["first_losses_float64"],
            ),
        }
        apart = {precision: furthest(*pair) for precision, pair in both.items()}
        result[method] = {
            "learn2learn": mean_and_interval(np.array(reference[method]["accuracies"])),
            "mpn": ours[method]["accuracy"],
            "learn2learn_outer_step_cpu_ms": spread(reference[method]["milliseconds"]),
            "first_losses_mpn_and_learn2learn": both,
            "largest_relative_difference": apart,
            "the_same_over_all_steps": furthest(losses[method], reference[method]["losses"]),
            # What it looks like where the algorithms do differ.
            "the_same_of_first_order_maml": furthest(losses["fomaml"][:FIRST], both["float32"][1]),
        }
    return {"version": reference["version"], "torch": reference["torch"], **result}


def goals(found: dict[str, Any], memory: dict[str, float]) -> dict[str, Any]:
    """What has to hold, as numbers."""
    along = list(memory.values())
    needed = {
        "resident memory, last / first tenth": goal(along[-1] / along[0], GROWTH, at_most=True)
    }
    for shots, both in found.items():
        for method in COMPARED:
            entry = both[method]
            label = f"{method}, {shots}, beside learn2learn"
            for precision, apart in entry["largest_relative_difference"].items():
                needed[f"{label}: first losses apart, {precision}"] = goal(
                    apart, ALLOWED[precision], at_most=True
                )
            apart = abs(entry["mpn"]["mean"] - entry["learn2learn"]["mean"])
            half = min(entry[side]["half_width_95"] for side in ("mpn", "learn2learn"))
            needed[f"{label}: accuracies apart, in half intervals"] = goal(
                apart / half, 1.0, at_most=True
            )
    return needed


def _options() -> argparse.Namespace:
    """Read the command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, help="outer steps (default 1000; quick: 12)")
    arguments.add_argument("--tasks", type=int, default=2, help="of an outer step (default 2)")
    arguments.add_argument("--episodes", type=int, help="test episodes (default 300; quick: 10)")
    arguments.add_argument("--learn2learn", metavar="PYTHON", help="interpreter that has it")
    args = arguments.parse_args()
    args.steps = args.steps or (12 if args.quick else 1000)
    args.episodes = args.episodes or (10 if args.quick else 300)
    return args


def main() -> None:
    """Trains and judges all, prints, writes few_shot_images.json."""
    args = _options()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    began = time.process_time()
    images = draw_characters(TRAINING_CLASSES + TEST_CLASSES)
    # First, while no memory that larger tasks leave behind can hide growth.
    steps = 20 if args.quick else MEMORY_STEPS
    memory = resident(Tasks(images[:TRAINING_CLASSES], WAYS, 1, seed=0), steps)
    methods: dict[str, Any] = {}
    compared: dict[str, Any] = {}
    for shots in (1, 5):
        name, losses = f"{WAYS} ways, {shots} shot{'s' * (shots > 1)}", {}
        drawn = (
            Tasks(images[:TRAINING_CLASSES], WAYS, shots, seed=0),
            Tasks(images[TRAINING_CLASSES:], WAYS, shots, seed=1),
        )
        methods[name] = {}
        for method in METHODS:
            methods[name][method] = figures = measure(method, drawn, args, losses)
            print(f"{name}, {method}: {shown_mean(figures['accuracy'])} %", flush=True)
        if args.learn2learn:
            compared[name] = compare(methods[name], losses, drawn, args)
    print_table(
        ["accuracy in %", *methods, "ms of an outer step, 1 shot"],
        [
            [
                method,
                *(shown_mean(by_method[method]["accuracy"]) for by_method in methods.values()),
                shown(next(iter(methods.values()))[method]["outer_step_cpu_ms"], 0),
            ]
            for method in METHODS
        ]
        + [
            [
                f"{method}, learn2learn",
                *(shown_mean(by_method[method]["learn2learn"]) for by_method in compared.values()),
                shown(next(iter(compared.values()))[method]["learn2learn_outer_step_cpu_ms"], 0),
            ]
            for method in COMPARED * bool(compared)
        ],
    )
    print("resident MiB after outer steps:", {at: round(size) for at, size in memory.items()})
    result = {
        "outer_steps": args.steps,
        "tasks_of_a_step": args.tasks,
        "test_episodes": args.episodes,
        "cpu_seconds": round(time.process_time() - began, 1),
        "methods": methods,
        "learn2learn": compared,
        "resident_mib": memory,
        "goals": goals(compared, memory),
    }
    print_goals(result["goals"])
    write_result("few_shot_images", args, result, threads=1)


if __name__ == "__main__":
    main()

"""Sinusoid regression as in the MAML paper (Finn et al., ICML 2017, section 5.1).

A task is a sine wave of its own amplitude (0.1-5) and phase (0-pi); ten points of it, x in [-5, 5],
are to be enough to know it. MAML trains a network for one gradient step of size 0.01 (second
order); for comparison the same network is trained on the points of all waves together, and
fine-tuned with the step size that was best on waves of its own, for every number of steps another.
Both see equally many points. Judged on unseen waves, by the mean squared error over the whole
range.

    python -m benchmarks.sinusoid            (about four minutes of one thread)
    python -m benchmarks.sinusoid --quick    (seconds; hardly trained)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.common import goal, parser, print_goals, print_table, spread, write_result
from mpn.meta import maml

AMPLITUDES, PHASES, RANGE = (0.1, 5.0), (0.0, torch.pi), (-5.0, 5.0)
HIDDEN, SHOTS, TASKS, STEP_SIZE, LEARNING_RATE = 40, 10, 25, 0.01, 1e-3
SHOWN_STEPS = (0, 1, 2, 5, 10)
# Step sizes that the pre-trained network may choose from, on as many waves of its own as it is
# judged on.
CHOICES = (0.0003, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1)
# Needed: times that one step divides MAML's error; at most so many the other's; and MAML ahead
# after ten.
SEVERAL_FOLD, NOT_SEVERAL, AHEAD = 3.0, 1.5, 3.0


class Waves(NamedTuple):
    """Tasks: ten points to adapt on and ten for the outer loop, (tasks, 10, 1), 100 to test on."""

    support: tuple[Tensor, Tensor]
    query: tuple[Tensor, Tensor]
    judged: tuple[Tensor, Tensor]


def draw(tasks: int, generator: torch.Generator) -> Waves:
    """Waves y = amplitude * sin(x - phase) and points on them, all uniform."""
    amplitude, phase = (
        low + (high - low) * torch.rand(tasks, 1, 1, generator=generator)
        for low, high in (AMPLITUDES, PHASES)
    )
    even = torch.linspace(*RANGE, 100).reshape(1, -1, 1).expand(tasks, -1, -1)
    points = [
        RANGE[0] + (RANGE[1] - RANGE[0]) * torch.rand(tasks, SHOTS, 1, generator=generator)
        for _ in range(2)
    ]
    return Waves(*((x, amplitude * torch.sin(x - phase)) for x in (*points, even)))


def network(seed: int) -> tuple[nn.Module, maml.Params]:
    """The paper's: two hidden layers of 40 ReLUs; and its parameters as leaves."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(1, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
    )
    return module, dict(module.named_parameters())


def train(
    seed: int, steps: int, gradients: Callable[[nn.Module, maml.Params, Waves], Any]
) -> maml.Params:
    """Train by Adam on the gradients that `gradients` leaves in the parameters.

    25 waves a step, the same waves for a seed.
    """
    module, params = network(seed)
    optimizer = torch.optim.Adam(params.values(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        gradients(module, params, draw(TASKS, generator))
        optimizer.step()
    return {name: p.detach() for name, p in params.items()}


def of_each_task(params: maml.Params, tasks: int) -> maml.Params:
    """Parameters that every task has for itself, so that the gradient of a sum is that of each."""
    return {name: p.expand(tasks, *p.shape) for name, p in params.items()}


def each_error(module: nn.Module, values: maml.Params, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean squared error of every task, (tasks,), by parameters of its own."""
    predict = torch.func.vmap(
        lambda weights, x: functional_call(module, weights, (x,), strict=True)
    )
    return (predict(values, batch[0]) - batch[1]).square().mean(dim=(1, 2))


def meta_gradients(module: nn.Module, params: maml.Params, waves: Waves) -> None:
    """All 25 tasks at once, differentiated through the step."""
    loss_fn = partial(each_error, module)
    adapted = maml.adapt(
        lambda values, batch: loss_fn(values, batch).sum(),
        of_each_task(params, TASKS),
        waves.support,
        step_sizes=STEP_SIZE,
    )
    loss_fn(adapted, waves.query).mean().backward()


def maml_one_by_one(module: nn.Module, params: maml.Params, waves: Waves) -> None:
    """The same, one task after the other."""
    tasks = [
        (tuple(x[k] for x in waves.support), tuple(x[k] for x in waves.query)) for k in range(TASKS)
    ]
    maml.accumulate(maml.functional_loss(module, F.mse_loss), params, tasks, step_sizes=STEP_SIZE)


def pretrain(module: nn.Module, params: maml.Params, waves: Waves) -> None:
    """The error on all points of all waves, as if they were one data set."""
    x, y = (torch.cat(pair) for pair in zip(waves.support, waves.query))
    F.mse_loss(module(x), y).backward()


def errors(params: maml.Params, waves: Waves, step_size: float) -> Tensor:
    """Compute the mean squared error of every wave after each number of gradient steps.

    Returns:
        (11, tasks); a step is on the wave's ten points.
    """
    module, _ = network(0)
    each = partial(each_error, module)
    values = of_each_task(params, len(waves.support[0]))
    by_step = []
    with torch.no_grad():
        for step in range(SHOWN_STEPS[-1] + 1):
            if step:
                values = maml.adapt(
                    lambda v, b: each(v, b).sum(), values, waves.support, step_sizes=step_size
                )
            by_step.append(each(values, waves.judged))
    return torch.stack(by_step)


def best_sizes(params: maml.Params, waves: Waves) -> dict[int, float]:
    """The one of `CHOICES` with the smallest mean error, for every number of steps."""
    means = torch.stack([errors(params, waves, size).mean(dim=1) for size in CHOICES]).nan_to_num(
        torch.inf
    )
    return {step: CHOICES[int(means[:, step].argmin())] for step in SHOWN_STEPS}


def judge(
    params: maml.Params, waves: Waves, sizes: dict[int, float]
) -> dict[str, dict[str, float]]:
    """Evaluate each number of steps: step size, mean error over waves, half its 95 % interval."""
    results = {}
    for step, size in sizes.items():
        each = errors(params, waves, size)[step]
        half = 1.96 * float(each.std()) / len(each) ** 0.5
        results[str(step)] = {"step_size": size, "mean": float(each.mean()), "half_width_95": half}
    return results


def cpu_milliseconds(
    gradients: Callable[[nn.Module, maml.Params, Waves], Any], steps: int
) -> dict[str, Any]:
    """Measure the CPU time of one outer step of one thread, without the optimiser's.

    What else runs does not change it much.
    """
    module, params = network(0)
    waves, milliseconds = draw(TASKS, torch.Generator().manual_seed(0)), []
    for _ in range(steps):
        began = time.process_time()
        gradients(module, params, waves)
        milliseconds.append(1000 * (time.process_time() - began))
    return spread(milliseconds)


def goals(means: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """What the paper found, as numbers."""
    first, other = (
        {step: result["mean"] for step, result in means[name].items()}
        for name in ("maml", "pretrained")
    )
    further = [str(step) for step in SHOWN_STEPS[1:]]
    falls = [first[a] / first[b] for a, b in zip(further, further[1:])]
    return {
        "MAML: one step divides the error by": goal(first["0"] / first["1"], SEVERAL_FOLD),
        "MAML: further steps (2, 5, 10) divide it by, the least": goal(min(falls), 1.0),
        "pre-trained: one step divides the error by": goal(
            other["0"] / other["1"], NOT_SEVERAL, at_most=True
        ),
        "pre-trained / MAML after ten steps": goal(other["10"] / first["10"], AHEAD),
    }


def main() -> None:
    """Trains both, judges, prints, writes sinusoid.json."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, help="outer steps (default 40000; quick: 300)")
    arguments.add_argument(
        "--tasks", type=int, default=600, help="unseen waves that are judged (default 600)"
    )
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    torch.set_num_threads(1)
    steps = args.steps or (300 if args.quick else 40_000)
    speed = {
        name: cpu_milliseconds(way, 50)
        for name, way in (("together", meta_gradients), ("one by one", maml_one_by_one))
    }
    began = time.process_time()
    trained = {
        "maml": train(args.seed, steps, meta_gradients),
        "pretrained": train(args.seed, steps, pretrain),
    }
    seconds = time.process_time() - began
    tuning, unseen = (
        draw(args.tasks, torch.Generator().manual_seed(10**6 + args.seed + k)) for k in range(2)
    )
    sizes = {
        "maml": dict.fromkeys(SHOWN_STEPS, STEP_SIZE),
        "pretrained": best_sizes(trained["pretrained"], tuning),
    }
    judged = {name: judge(params, unseen, sizes[name]) for name, params in trained.items()}
    print_table(
        ["mean squared error after steps", *map(str, SHOWN_STEPS)],
        [
            [
                name,
                *(
                    f"{result['mean']:.3f} +- {result['half_width_95']:.3f}"
                    for result in judged[name].values()
                ),
            ]
            for name in judged
        ],
    )
    print(
        f"\n{steps} outer steps of {TASKS} waves for either network, {seconds:.0f} s of one "
        f"thread; one of MAML: {speed['together']['median']:.1f} ms all tasks together, "
        f"{speed['one by one']['median']:.1f} ms one by one"
    )
    reached = goals(judged)
    print_goals(reached)
    result = {
        "outer_steps": steps,
        "seed": args.seed,
        "unseen_waves": args.tasks,
        "cpu_seconds": round(seconds, 1),
        "mean_squared_error": judged,
        "outer_step_cpu_ms": speed,
        "goals": reached,
    }
    write_result("sinusoid", args, result, threads=1)


if __name__ == "__main__":
    main()

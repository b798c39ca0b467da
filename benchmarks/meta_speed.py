"""Speed and memory of one outer step of meta-training, ours beside the published way.

The step: 4 tasks of 4 support and 4 query windows, one inner step of Meta-SGD with second-order
gradients, then Adam; preset `base` at 128x128, prototype heads and head adapted (113,731 numbers),
encoder and decoder frozen. Published: the written-out unit, one task at a time, the whole forward
in the inner and in the outer loop. Ours: encoder and decoder once per task, outside the graph, then
`mpn.meta.maml.accumulate`; beside it bfloat16. They are first checked to give the same
gradients. Every case runs in fresh processes, the rounds take the cases in turn. Then resident
memory over 1,000 outer steps, of a tiny network, and over fewer, of `small`.

    python -m benchmarks.meta_speed            (about 12 minutes on two cores, nothing else running)
    python -m benchmarks.meta_speed --quick    (32x32, few steps: half a minute)
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from benchmarks.common import (
    goal,
    in_fresh_process,
    machine,
    parser,
    peak_memory,
    print_goals,
    print_table,
    shown,
    spread,
    write_result,
)

if TYPE_CHECKING:
    import torch

OURS, PUBLISHED = "ours", "published"  # forms of `benchmarks.outer_step`
CASES = ((OURS, "float32"), (PUBLISHED, "float32"), (OURS, "bfloat16"))
FASTER, OF_MEMORY, GROWTH = 3.0, 0.5, 1.02
# Largest difference of a gradient, relative to the largest magnitude of its tensor (as for the
# parity tests).
ALLOWED = {"float64": 1e-9, "float32": 1e-3}


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Peak memory of one outer step, then seconds of as many as asked for, in this process."""
    import torch

    from benchmarks.outer_step import OuterStep

    if case["threads"]:
        torch.set_num_threads(case["threads"])
    torch.set_flush_denormal(True)
    step = OuterStep(case["form"], case["precision"], case["size"])
    tasks = step.tasks()
    # Kernels, threads and the optimiser's state are there before memory is looked at.
    step.run([tuple(tuple(x[:1, :, :16, :16] for x in batch) for batch in task) for task in tasks])
    step.optimizer.step()
    with peak_memory() as memory:
        step.run(tasks)
        step.optimizer.step()
    seconds = []
    for _ in range(case["steps"]):
        began = time.perf_counter()
        step.run(tasks)
        step.optimizer.step()
        seconds.append(time.perf_counter() - began)
    return {
        "seconds": seconds,
        "extra_bytes": memory["extra"],
        "peak_bytes": memory["peak"],
        "threads": torch.get_num_threads(),
    }


def agreement(size: int) -> dict[str, float]:
    """Find the largest difference of any gradient from the published way's.

    It is relative to its tensor's largest magnitude.

    Raises:
        SystemExit: float64 or float32 is beyond `ALLOWED`; bfloat16 is for information.
    """
    from benchmarks.outer_step import OuterStep

    def gradients(form: str, precision: str) -> dict[str, torch.Tensor]:
        step = OuterStep(form, precision, size)
        step.run(step.tasks())
        return {
            f"{kind} {name}": leaf.grad.double()
            for kind, leaves in (("parameter", step.params), ("step size", step.sizes))
            for name, leaf in leaves.items()
        }

    largest = {}
    for precision in ("float64", "float32", "bfloat16"):
        expected = gradients(PUBLISHED, "float64" if precision == "float64" else "float32")
        differences = {
            name: float((value - expected[name]).abs().max() / expected[name].abs().max())
            for name, value in gradients(OURS, precision).items()
        }
        worst = max(differences, key=lambda name: differences[name])
        if not differences[worst] <= ALLOWED.get(precision, float("inf")):
            raise SystemExit(
                f"{OURS} in {precision}: the gradient by {worst} differs from the "
                f"published way's by {differences[worst]:.1e}, "
                f"{ALLOWED[precision]:.0e} allowed"
            )
        largest[f"{OURS}, {precision}"] = differences[worst]
    return largest


def resident(case: dict[str, Any]) -> dict[str, Any]:
    """Measure resident MiB after some outer steps of `small`.

    First block and pseudo-anomaly head are adapted, all is trained.
    """
    import torch

    from mpn.meta import maml
    from mpn.model.losses import loss_terms, total_loss
    from mpn.model.network import build_model
    from mpn.model.parameters import target_names

    if case["threads"]:
        torch.set_num_threads(case["threads"])
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    network = build_model("small", **case["options"])
    config, parameters = network.config, dict(network.named_parameters())
    weights = config.training.loss_weights
    params = {
        name: parameters[name]
        for name in target_names(network, ("encoder.block1.", "pseudo_head."))
    }
    frozen = {name: p for name, p in parameters.items() if name not in params}
    sizes = {name: torch.full_like(p, 1e-3).requires_grad_() for name, p in params.items()}
    loss_fn = maml.functional_loss(
        network, lambda *values: total_loss(loss_terms(*values, weights), weights), frozen
    )
    optimizer = torch.optim.Adam([*parameters.values(), *sizes.values()], lr=1e-5)

    def batch() -> tuple[torch.Tensor, ...]:
        window = torch.rand(2, config.window * config.colours, *config.size) * 2 - 1
        return window, window[:, -config.colours :].clone(), torch.rand(2, *config.size) > 0.9

    mebibytes = {}
    for number in range(1, max(case["at"]) + 1):
        optimizer.zero_grad()
        tasks = (([batch(), batch()], batch()) for _ in range(2))
        maml.accumulate(loss_fn, params, tasks, step_sizes=sizes, steps=2, count=2)
        optimizer.step()
        if number in case["at"]:
            with peak_memory() as memory:
                pass
            mebibytes[str(number)] = memory["before"] / 2**20
    return mebibytes


def report(rows: list[dict[str, Any]], grown: dict[str, dict[str, float]]) -> None:
    """Prints both tables."""
    print_table(
        ["one outer step", "precision", "seconds", "extra MiB", "peak MiB"],
        [
            [
                row["form"],
                row["precision"],
                shown(row["seconds"]),
                f"{row['extra_mib']['median']:.0f}",
                f"{row['peak_mib']['median']:.0f}",
            ]
            for row in rows
        ],
    )
    print()
    print_table(
        ["resident memory", "MiB after so many outer steps"],
        [
            [name, ", ".join(f"{size:.0f} ({step})" for step, size in sizes.items())]
            for name, sizes in grown.items()
        ],
    )


def compare(rows: list[dict[str, Any]], grown: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The goals, and how much faster each of ours is than the published way."""
    published = next(row for row in rows if row["form"] == PUBLISHED)
    seconds, memory = (published[name]["median"] for name in ("seconds", "extra_mib"))
    faster, of_memory = {}, {}
    for row in (row for row in rows if row is not published):
        name = f"{row['form']}, {row['precision']}"
        faster[name] = seconds / row["seconds"]["median"]
        of_memory[name] = row["extra_mib"]["median"] / memory
    ours = f"{OURS}, float32"
    goals = {
        "float32: times faster than published": goal(faster[ours], FASTER),
        "float32: part of the published way's extra memory": goal(
            of_memory[ours], OF_MEMORY, at_most=True
        ),
    }
    for name, sizes in grown.items():
        first, *_, last = sizes.values()
        goals[f"resident memory of {name}: last / first"] = goal(last / first, GROWTH, at_most=True)
    return {"times_faster": faster, "part_of_extra_memory": of_memory, "goals": goals}


def _options() -> argparse.Namespace:
    """Read the command line."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--rounds", type=int, help="times that every case is measured (default 3; quick: 2)"
    )
    arguments.add_argument(
        "--steps", type=int, default=2, help="timed outer steps a case and round (default 2)"
    )
    arguments.add_argument(
        "--threads", type=int, help="of torch (default: its own choice, the cores)"
    )
    arguments.add_argument(
        "--case", help="one case as JSON, in this process; prints JSON (used by the script itself)"
    )
    return arguments.parse_args()


def main() -> None:
    """Measure, print, write meta_speed.json."""
    args = _options()
    if args.case:
        case = json.loads(args.case)
        run = {
            "agreement": lambda settings: agreement(settings["size"]),
            "resident": resident,
            "step": measure,
        }[case["kind"]]
        print(json.dumps(run(case)))
        return
    agreed = in_fresh_process("meta_speed", {"kind": "agreement", "size": 32})
    state = machine()
    how = {"size": 32 if args.quick else 128, "threads": args.threads, "steps": args.steps}
    cases = [{"form": form, "precision": precision, **how} for form, precision in CASES]
    measured: list[list[dict[str, Any]]] = [[] for _ in cases]
    for _ in range(args.rounds or (2 if args.quick else 3)):
        for number, case in enumerate(cases):
            measured[number].append(in_fresh_process("meta_speed", case | {"kind": "step"}))
    rows = []
    for case, rounds in zip(cases, measured):
        seconds = spread([s for result in rounds for s in result["seconds"]])
        row = case | {"threads": rounds[0]["threads"], "seconds": seconds}
        for name in ("extra", "peak"):
            mib = [result[f"{name}_bytes"] / 2**20 for result in rounds]
            row[f"{name}_mib"] = spread(mib)
        rows.append(row)
    tiny = {"channels": 4, "height": 32, "width": 48}
    small, at = ({**tiny, "channels": 8}, [2, 4]) if args.quick else ({}, [10, 25, 40])
    runs = {
        "a tiny network": (tiny, [5, 20] if args.quick else [100, 550, 1000]),
        "small": (small, at),
    }
    grown = {
        name: in_fresh_process(
            "meta_speed",
            {"kind": "resident", "options": options, "at": at, "threads": args.threads},
        )
        for name, (options, at) in runs.items()
    }
    report(rows, grown)
    compared = compare(rows, grown)
    print_goals(compared["goals"])
    result = {
        "rounds": len(measured[0]),
        "load_average_before": state["load_average_before"],
        "largest_relative_difference_of_gradients": agreed,
        **compared,
        "cases": rows,
        "resident_mib_after_steps": grown,
    }
    write_result("meta_speed", args, result, threads=rows[0]["threads"])


if __name__ == "__main__":
    main()

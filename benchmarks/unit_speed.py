"""Speed and memory of the `base` forward at 256x256, beside the unit as it was published.

Every case runs in fresh processes; rounds take the cases in turn, so that a slower minute of the
machine hits all alike. `channels-last` is how `mpn.Detector` runs the network, `plain` how the
published code does. The published unit treats a batch at once; `frame by frame` is it in a loop
over the batch, for comparison. Beside them: attention to keys in the unit's place.

    python -m benchmarks.unit_speed            (about 15 minutes on two cores, nothing else running)
    python -m benchmarks.unit_speed --quick    (64x64, two rounds: seconds)
"""

from __future__ import annotations

import json
import time
from typing import Any

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

OURS, WRITTEN_OUT, FRAME_BY_FRAME = "ours", "written out", "written out, frame by frame"
ATTENTION = "attention to keys of the window"  # in the unit's place, see `mpn.model.units`
PLAIN, CHANNELS_LAST = "plain", "channels-last"
# The published code's own rate on two cores in float32, frames/s; outside it the comparison is
# void.
PUBLISHED_RATE = (0.9, 1.1)
FASTER, LESS_MEMORY = 2.0, 4.0


def cases(size: int, threads: int | None) -> list[dict[str, Any]]:
    """Everything that is measured, as arguments of `measure`."""
    entries = []
    for precision in ("float32", "bfloat16"):
        for batch in (1, 8):
            forms = [OURS, ATTENTION, WRITTEN_OUT] + ([FRAME_BY_FRAME] if batch > 1 else [])
            for form in forms:
                for layout in (PLAIN, CHANNELS_LAST):
                    entries.append(
                        {
                            "form": form,
                            "layout": layout,
                            "precision": precision,
                            "batch": batch,
                            "size": size,
                            "threads": threads,
                        }
                    )
    return entries


def measure(case: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One part of one case, in this process, which has held nothing of that size before.

    "unit": what the unit needs beyond its input, the decoder's features: the peak above what there
    was before it ran; its outputs count. "forward": peak memory of the whole forward, then its
    frames/s.
    """
    import torch

    from benchmarks.written_out import write_out
    from mpn.model.network import build_model

    if case["threads"]:
        torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    size, batch = case["size"], case["batch"]
    layout = torch.channels_last if case["layout"] == CHANNELS_LAST else torch.contiguous_format
    bfloat16 = case["precision"] == "bfloat16"
    unit_name = "attention" if case["form"] == ATTENTION else "prototype"
    network = build_model("base", height=size, width=size, unit=unit_name).eval()
    if case["form"] in (WRITTEN_OUT, FRAME_BY_FRAME):
        write_out(network, frame_by_frame=case["form"] == FRAME_BY_FRAME)
    network.to(memory_format=layout)
    unit = case["part"] == "unit"
    run = network.prototype if unit else network
    dtype = torch.bfloat16 if unit and bfloat16 else torch.float32
    data = torch.empty(
        (batch, 128 if unit else 12, size, size), dtype=dtype, memory_format=layout
    ).uniform_(-1, 1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        run(data[:1, :, :32, :32])  # kernels and threads are there before memory is looked at
        with peak_memory() as memory:
            output = run(data)
        del output
        if unit:
            return {"unit_extra_bytes": memory["extra"]}
        rates = []
        until = time.perf_counter() + seconds
        while len(rates) < 3 or time.perf_counter() < until:
            began = time.perf_counter()
            run(data)
            rates.append(batch / (time.perf_counter() - began))
    return {
        "frames_per_second": rates,
        "forward_extra_bytes": memory["extra"],
        "peak_bytes": memory["peak"],
        "threads": torch.get_num_threads(),
    }


def summarise(
    measured: list[list[dict[str, Any]]], chosen: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Median and spread of every case: over all forwards for speed, over rounds for memory."""
    rows = []
    for case, rounds in zip(chosen, measured):
        row = dict(case) | {"threads": rounds[0]["threads"]}
        row["frames_per_second"] = spread(
            [rate for run in rounds for rate in run["frames_per_second"]]
        )
        for name in ("unit_extra", "forward_extra", "peak"):
            row[f"{name}_mib"] = spread([run[f"{name}_bytes"] / 2**20 for run in rounds])
        rows.append(row)
    return rows


def find(
    rows: list[dict[str, Any]], name: str, form: str, layout: str, precision: str, batch: int
) -> float:
    """The median of one figure of one case."""
    case = {"form": form, "layout": layout, "precision": precision, "batch": batch}
    return next(
        row[name]["median"] for row in rows if all(row[key] == value for key, value in case.items())
    )


def compare(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare ours with the written-out form: `plain` layout, whole batch, as published."""
    speed, memory = "frames_per_second", "unit_extra_mib"
    rate = find(rows, speed, WRITTEN_OUT, PLAIN, "float32", 1)
    ratios = {}
    for precision in ("float32", "bfloat16"):
        for batch in (1, 8):
            mine = find(rows, speed, OURS, CHANNELS_LAST, precision, batch)
            less = find(rows, memory, OURS, CHANNELS_LAST, precision, batch)
            for layout in (PLAIN, CHANNELS_LAST):
                ratios[f"{precision}, batch {batch}, against written out ({layout})"] = {
                    "times_faster": mine / find(rows, speed, WRITTEN_OUT, layout, precision, batch),
                    "times_less_unit_memory": find(
                        rows, memory, WRITTEN_OUT, layout, precision, batch
                    )
                    / less,
                }
    mine = find(rows, speed, OURS, CHANNELS_LAST, "float32", 1)
    unit = find(rows, memory, WRITTEN_OUT, PLAIN, "float32", 8) / find(
        rows, memory, OURS, CHANNELS_LAST, "float32", 8
    )
    return {
        "yardstick_frames_per_second": rate,
        "valid": PUBLISHED_RATE[0] <= rate <= PUBLISHED_RATE[1],
        "ratios": ratios,
        "goals": {
            "float32, batch 1: times faster": goal(mine / rate, FASTER),
            "float32, batch 8: times less extra memory of the unit": goal(unit, LESS_MEMORY),
        },
    }


def report(rows: list[dict[str, Any]], comparison: dict[str, Any]) -> None:
    """Prints the table, the ratios and the goals."""
    print_table(
        [
            "unit",
            "layout",
            "precision",
            "batch",
            "frames/s",
            "peak MiB",
            "forward, extra MiB",
            "unit, extra MiB",
        ],
        [
            [
                row["form"],
                row["layout"],
                row["precision"],
                str(row["batch"]),
                shown(row["frames_per_second"]),
                *(
                    f"{row[name]['median']:.0f}"
                    for name in ("peak_mib", "forward_extra_mib", "unit_extra_mib")
                ),
            ]
            for row in rows
        ],
    )
    print()
    print_table(
        ["ours (channels-last)", "times faster", "times less unit memory"],
        [
            [name, f"{ratio['times_faster']:.2f}", f"{ratio['times_less_unit_memory']:.2f}"]
            for name, ratio in comparison["ratios"].items()
        ],
    )
    low, high = PUBLISHED_RATE
    verdict = "the comparison stands" if comparison["valid"] else "THE COMPARISON IS VOID"
    print(
        "\nwritten out, plain, float32, batch 1: "
        f"{comparison['yardstick_frames_per_second']:.2f} frames/s; the published code runs "
        f"{low}-{high} on two cores: {verdict}"
    )
    print_goals(comparison["goals"])


def main() -> None:
    """Measures, prints, writes unit_speed.json."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--rounds", type=int, help="times that every case is measured (default 3; quick: 2)"
    )
    arguments.add_argument(
        "--seconds", type=float, help="of forwards a case and round, three at least (default 5)"
    )
    arguments.add_argument(
        "--threads", type=int, help="of torch (default: its own choice, the cores)"
    )
    arguments.add_argument(
        "--case", help="one case as JSON, in this process; prints JSON (used by the script itself)"
    )
    args = arguments.parse_args()
    if args.case:
        case = json.loads(args.case)
        print(json.dumps(measure(case, case.pop("seconds"))))
        return
    rounds = args.rounds or (2 if args.quick else 3)
    seconds = args.seconds if args.seconds is not None else (0.0 if args.quick else 5.0)
    # Before anything is timed, and in another process: this one stays small.
    agreement = in_fresh_process("written_out", {"size": 64})
    chosen = cases(64 if args.quick else 256, args.threads)
    state = machine()
    measured: list[list[dict[str, Any]]] = [[] for _ in chosen]
    for _ in range(rounds):
        for number, case in enumerate(chosen):
            parts = [
                in_fresh_process("unit_speed", case | {"part": part, "seconds": seconds})
                for part in ("unit", "forward")
            ]
            measured[number].append(parts[0] | parts[1])
    rows = summarise(measured, chosen)
    comparison = compare(rows)
    report(rows, comparison)
    result = {
        "rounds": rounds,
        "seconds": seconds,
        "load_average_before": state["load_average_before"],
        "largest_relative_difference_of_outputs": agreement,
        **comparison,
        "cases": rows,
    }
    write_result("unit_speed", args, result, threads=rows[0]["threads"])


if __name__ == "__main__":
    main()

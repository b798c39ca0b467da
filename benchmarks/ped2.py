"""Ped2: trainings, evaluations and the table of the results, step by step.

    python -m benchmarks.ped2 train data/ped2 --minutes 55
        four trainings, one after the other: two seeds, with and without the pseudo-anomaly head
    python -m benchmarks.ped2 evaluate data/ped2
        reads the test split once a run, and notes that
    python -m benchmarks.ped2 table
        the table, from the runs' metrics.json

The runs lie in --runs (default: runs/ped2), RECIPE-SEED each. A finished training or evaluation is
not repeated, one that was interrupted goes on. Every reading of the test split is appended to
results/readings.csv.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import (
    ROOT,
    goal,
    log_reading,
    parser,
    print_goals,
    print_table,
    write_result,
)
from mpn.scoring.parts import LABELS

PROTOCOLS = {"absolute": "absolute", "causal": "causal", "paper": "paper's protocol"}
RECIPES = {"without-head": ["--no-pseudo-head"], "with-head": []}
# Ped2's pictures don't say how fast they were taken (frames/s).
RATE = ["--fps", "10"]
STATE, MODEL, METRICS = "state.pt", "model.safetensors", Path("evaluation") / "metrics.json"
ROWS = {
    **LABELS,
    "score": "sum, each in units of normal frames",
    "paper_pair": "the paper's pair",
}
# Without the head the score is its only part, the error.
LEFT_OUT = {"without-head": {"score"}, "with-head": set()}
# (recipe, column, protocol): frame AUC in % to reach, mean over the seeds.
GOALS = {
    ("without-head", "psnr_db", "paper"): 95.0,
    ("without-head", "score", "causal"): 93.0,
    ("with-head", "score", "causal"): 97.0,
}
# At the end of a training, on held-out normal frames: (limit, at most).
PROTOTYPES = {
    "prototype_cosine": (0.5, True),
    "query_to_mean": (0.9, True),
    "assignment_entropy": (0.9, True),
    "usage_entropy": (0.7, False),
}


def runs(args: argparse.Namespace) -> Iterator[tuple[str, int, Path]]:
    """(recipe, seed, run folder), seed by seed."""
    for seed in args.seeds:
        for recipe in args.recipes:
            yield recipe, seed, args.runs / f"{recipe}-{seed}"


def call(*words: str) -> None:
    """Runs one of the repository's programs, saying so; stops here where it fails."""
    print("$ python " + " ".join(words), flush=True)
    code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
    if code:
        raise SystemExit(
            f"it ended with exit code {code}; what is finished is kept, start again to go on"
        )


def train(args: argparse.Namespace) -> None:
    """The trainings that are not finished yet."""
    for recipe, seed, folder in runs(args):
        if (folder / MODEL).exists():
            print(f"{folder}: trained already")
            continue
        resume = ["--resume"] if (folder / STATE).exists() else []
        length = ["--epochs", "1"] if args.quick else ["--minutes", f"{args.minutes:g}"]
        call(
            "train.py",
            str(args.data.resolve()),
            "--preset",
            "small",
            *RECIPES[recipe],
            *RATE,
            *length,
            "--seed",
            str(seed),
            "--out",
            str(folder.resolve()),
            *(["--size", "32x48"] if args.quick else []),
            *resume,
        )


def evaluate(args: argparse.Namespace) -> None:
    """The evaluations that are not there yet, of the trainings that are."""
    for recipe, seed, folder in runs(args):
        if not (folder / MODEL).exists():
            print(f"{folder}: not trained yet")
        elif (folder / METRICS).exists():
            print(f"{folder}: evaluated already")
        else:
            call(
                "evaluate.py",
                str(args.data.resolve()),
                *RATE,
                "--checkpoint",
                str((folder / MODEL).resolve()),
                "--out",
                str((folder / METRICS).parent.resolve()),
                *(["--no-baselines"] if args.quick else []),
            )
            metrics = json.loads((folder / METRICS).read_text())
            if not args.quick:
                log_reading(f"small {recipe}", seed, reading(metrics))


def reading(metrics: dict[str, Any]) -> str:
    """All frame AUCs of a reading in one field."""
    return "frame AUC % " + "; ".join(
        f"{column} "
        + " ".join(f"{protocol} {100 * entry[protocol]['micro_auc']:.2f}" for protocol in entry)
        for column, entry in metrics["scores"].items()
    )


def collect(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Collect frame AUC in % by column and protocol of every run that is evaluated.

    With baselines, training and prototypes.
    """
    from mpn.model.checkpoint import load_checkpoint

    results: dict[str, dict[str, Any]] = {}
    for recipe, seed, folder in runs(args):
        if not (folder / METRICS).exists():
            print(f"{folder}: not evaluated yet, left out")
            continue
        metrics = json.loads((folder / METRICS).read_text())
        training = load_checkpoint(folder / MODEL).training
        results[folder.name] = {
            "recipe": recipe,
            "seed": seed,
            "scores": _auc(metrics["scores"]),
            "baselines": _auc(metrics["baselines"]),
            "training": {
                name: training[name]
                for name in ("steps", "seconds", "windows", "threads", "options")
            },
            "prototypes": training["collapse"],
        }
    if not results:
        raise SystemExit("no run is evaluated yet: python -m benchmarks.ped2 train, then evaluate")
    return results


def _auc(entries: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {
        name: {protocol: 100 * figures["micro_auc"] for protocol, figures in entry.items()}
        for name, entry in entries.items()
    }


def cell(values: list[float]) -> str:
    """Mean and, with several values, the range: 96.6 (96.4-96.8)."""
    if not values:
        return "-"
    text = f"{statistics.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ({min(values):.1f}-{max(values):.1f})"


def table_rows(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Compose the table's cells: the baselines, one for all runs, then both recipes' columns."""
    every = list(found.values())
    rows = [
        [f"no learning: {name.replace('_', ' ')}", *(cell([entry[p]]) for p in PROTOCOLS)]
        for name, entry in every[0]["baselines"].items()
    ]
    for recipe in RECIPES:
        scores = [run["scores"] for run in every if run["recipe"] == recipe]
        for column, title in ROWS.items():
            if scores and column in scores[0] and column not in LEFT_OUT[recipe]:
                rows.append(
                    [
                        f"{recipe.replace('-', ' the ')}: {title}",
                        *(
                            cell(
                                [
                                    run_scores[column][p]
                                    for run_scores in scores
                                    if p in run_scores[column]
                                ]
                            )
                            for p in PROTOCOLS
                        ),
                    ]
                )
    return rows


def table(args: argparse.Namespace) -> None:
    """Prints the table (as Markdown with --markdown), goals and prototypes; writes ped2.json."""
    results = collect(args)
    rows = table_rows(results)
    seeds = sorted({run["seed"] for run in results.values()})
    header = [
        f"frame AUC (micro), %, mean (range) over seeds {', '.join(map(str, seeds))}",
        *PROTOCOLS.values(),
    ]
    if args.markdown:
        for line in [header, ["---"] * len(header), *rows]:
            print("| " + " | ".join(line) + " |")
    else:
        print_table(header, rows)
    goals = {}
    for (recipe, column, protocol), needed in GOALS.items():
        values = [
            run["scores"][column][protocol] for run in results.values() if run["recipe"] == recipe
        ]
        if values:
            name = f"{recipe.replace('-', ' the ')}, {column} ({protocol})"
            goals[name] = goal(statistics.mean(values), needed)
    for name, (limit, at_most) in PROTOTYPES.items():
        # Of every run, not of their mean: the worst counts.
        values = [run["prototypes"][name] for run in results.values()]
        goals[f"prototypes, {name}, worst run"] = goal(
            (max if at_most else min)(values), limit, at_most=at_most
        )
    print()
    print_goals(goals)
    write_result("ped2", args, {"goals": goals, "table": [header, *rows], "runs": results})


def main() -> None:
    """Parses the verb and runs it."""
    arguments = parser(__doc__)
    verbs = arguments.add_subparsers(dest="verb", required=True, metavar="train | evaluate | table")
    for name, function, text in (
        ("train", train, "train what is not trained yet"),
        ("evaluate", evaluate, "evaluate what is not evaluated yet"),
        ("table", table, "the table of what there is"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(run=function)
        verb.add_argument(
            "--runs",
            type=Path,
            help="folder of the runs (default: runs/ped2; quick: runs/ped2-quick)",
        )
        verb.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="default: 0 1")
        verb.add_argument(
            "--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: both"
        )
        if name != "table":
            verb.add_argument("data", type=Path, metavar="DATA", help="Ped2's folder")
        if name == "train":
            verb.add_argument(
                "--minutes", type=float, default=55.0, help="of each training (default: 55)"
            )
        if name == "table":
            verb.add_argument("--markdown", action="store_true", help="for the README")
    args = arguments.parse_args()
    args.runs = args.runs or Path("runs/ped2-quick" if args.quick else "runs/ped2")
    args.run(args)


if __name__ == "__main__":
    main()

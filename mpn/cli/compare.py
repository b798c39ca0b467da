"""The verb `mpn compare`: say of scores of several systems whether one is better than another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mpn.cli import UsageError, from_zero, new_parser
from mpn.cli.data import open_data
from mpn.datasets.layouts import LAYOUTS
from mpn.evaluation.comparison import compare, format_comparison
from mpn.evaluation.comparison_inputs import Truth, read_systems, scores_in, systems_of
from mpn.evaluation.frame_metrics import metrics_text, wrapped, write_metrics
from mpn.evaluation.result import SCORE
from mpn.evaluation.test_set import open_set
from mpn.model.file_format import library_versions
from mpn.scoring.protocols import PROTOCOLS

EXAMPLES = """  mpn compare runs/evaluate-mine runs/evaluate-theirs
  mpn compare "runs/mine-*" theirs --data data/ped2    several seeds; anyone's
  mpn compare mine=runs/a,runs/b theirs=runs/c --protocol paper --score pair"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "compare",
        "Is one system better than another? Micro AUC of each on the same frames, and the "
        "difference of every pair with its paired 95 % interval over videos, and over seeds where "
        "there are several.",
        EXAMPLES,
    )
    verb.add_argument(
        "systems",
        nargs="+",
        metavar="SYSTEM",
        help="a folder that evaluate wrote, or of anyone's score files; several seeds: a pattern "
        "in quotes, or NAME=FOLDER,FOLDER,...",
    )
    verb.add_argument(
        "--data",
        metavar="DATA",
        help="the data set that was scored (default: labels.csv of evaluate)",
    )
    verb.add_argument(
        "--layout", choices=LAYOUTS, help="layout of DATA (default: recognised from the tree)"
    )
    verb.add_argument(
        "--labels",
        type=Path,
        help="label file or folder (without --data: as labels.csv is written)",
    )
    verb.add_argument("--protocol", choices=PROTOCOLS, default="causal", help="default: causal")
    verb.add_argument(
        "--score",
        default=SCORE,
        metavar="COLUMN",
        help="column of the score files, or pair, the paper's pair of psnr_db and compactness "
        "(default: score)",
    )
    verb.add_argument("--out", type=Path, metavar="FILE", help="write the comparison there as JSON")
    verb.add_argument("--seed", type=from_zero, default=0, help="of the resampling (default: 0)")
    verb.add_argument(
        "--json", action="store_true", help="print the comparison as JSON instead of the table"
    )
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    if len(options.systems) < 2:
        raise UsageError(
            f"{options.systems[0]}: one system only, expected two or more (several seeds of one, "
            "as NAME=FOLDER,FOLDER or a pattern in quotes, are one system)"
        )
    if options.layout and not options.data:
        raise UsageError("--layout: only with --data")
    systems = systems_of(options.systems)
    truth = _labels_of_set(options) if options.data else None
    truth, runs, notes = read_systems(systems, truth, options.labels)
    result = compare(
        truth.frames, runs, protocol=options.protocol, score=options.score, seed=options.seed
    )
    result["notes"] = notes + result["notes"]
    facts = {"labels": truth.facts, "seed": options.seed, "versions": library_versions()}
    facts["folders"] = {
        name: [str(scores_in(folder)) for folder in folders] for name, folders in systems.items()
    }
    if options.out:
        write_metrics(options.out, result, facts)
    if options.json:
        print(metrics_text(result, facts), end="")
        return
    print(format_comparison(result), end="")
    counts = f"{truth.facts['anomalous']} of {truth.facts['frames']} frames anomalous"
    print(wrapped(f"labels: {truth.facts['source']}, {counts}"))
    print(f"  sha256 {truth.facts['sha256']}")
    if options.out:
        print(f"result: {options.out}")


def _labels_of_set(options: argparse.Namespace) -> Truth:
    """Read the labels of DATA's test videos."""
    tree = open_data(argparse.Namespace(data=options.data, layout=options.layout, fps=None))
    labels = open_set(tree, options.labels).labels
    for note in labels.notes:
        print(note, file=sys.stderr)
    facts = {"source": str(labels.source), "kind": labels.kind, "sha256": labels.sha256}
    facts |= {"frames": labels.total, "anomalous": labels.anomalous}
    return Truth(labels.frames, facts, str(tree.root))

"""What each part of a score is worth: every part alone, and every part left out, on a labelled set.

    python -m benchmarks.ablation CHECKPOINT DATA --fps 10

The set's videos are scored once; the same columns are combined with some of the weights at 0. Frame
AUC (micro, causal) with the difference from the whole score, paired over videos. Made for the
choice set; of a test split a line goes into results/readings.csv by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common import parser, print_table, write_result
from benchmarks.few_shot_common import open_model
from mpn.datasets.layouts import recognise
from mpn.evaluation.test_set import open_set
from mpn.metrics import bootstrap_interval, frame_auc, paired_bootstrap
from mpn.scoring import protocols
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.parts import MOTION_PARTS, PLACE_PARTS
from mpn.scoring.scores import combine

WHOLE = "whole score"
Columns = Mapping[str, Mapping[str, np.ndarray]]  # video -> column -> (T,)


def variants(weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Name the combinations: the whole, without each part and group of parts, and each alone."""
    used = [name for name, weight in weights.items() if weight]
    groups = {name: [name] for name in used}
    groups["motion"] = [name for name in used if name in MOTION_PARTS]
    groups["network"] = [name for name in used if name not in PLACE_PARTS]
    groups = {name: members for name, members in groups.items() if 0 < len(members) < len(used)}
    combinations = {WHOLE: {name: weights[name] for name in used}}
    for name, members in groups.items():
        combinations[f"without {name}"] = {
            part: weights[part] for part in used if part not in members
        }
    for name, members in groups.items():
        combinations[f"{name} alone"] = {part: weights[part] for part in members}
    return combinations


def compare(
    detector: Detector, columns: Columns, labels: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Compute frame AUC of every combination, and its difference from the whole score.

    Args:
        detector: gives weights and units.
        columns: of the videos.
        labels: video -> bool (T,).
    """
    window = detector.config.window
    truth = {name: values[window:] for name, values in labels.items()}
    figures: dict[str, dict[str, Any]] = {}
    whole: dict[str, np.ndarray] = {}
    for name, weights in variants(detector.weights).items():
        scores = {
            video: protocols.exponential(combine(parts, weights, detector.normal))[window:]
            for video, parts in columns.items()
        }
        whole = whole or scores
        figures[name] = {
            "auc": frame_auc(truth, scores),
            "interval": bootstrap_interval(truth, scores, frame_auc)._asdict(),
        }
        if scores is not whole:
            figures[name]["minus_whole"] = paired_bootstrap(truth, scores, whole)._asdict()
    return figures


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the table."""
    rows = []
    for name, entry in found.items():
        low, high = (100 * entry["interval"][key] for key in ("low", "high"))
        pair = entry.get("minus_whole")
        difference = "{value:+.1f} ({low:+.1f} to {high:+.1f})"
        rows.append(
            [
                name,
                f"{100 * entry['auc']:.1f} ({low:.1f}-{high:.1f})",
                difference.format(**{key: 100 * pair[key] for key in ("value", "low", "high")})
                if pair
                else "",
            ]
        )
    print_table(["frame AUC, causal, %", "95 % over videos", "minus the whole score"], rows)


def main() -> None:
    """Score the set, print the table, write ablation-LABEL.json."""
    arguments = parser(__doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("data", type=Path, metavar="DATA", help="a labelled set")
    arguments.add_argument("--fps", type=float, help="where the videos do not say")
    arguments.add_argument("--label", help="of the result file (default: the folder's name)")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    args = arguments.parse_args()
    detector = open_model(args.checkpoint, args)
    test = open_set(recognise(args.data), fps=args.fps)
    columns, labels = {}, {}
    for name, source in tqdm(list(test.sources.items())[: 2 if args.quick else None], disable=None):
        rows = [result.parts for result in detector.score(source)]
        columns[name] = columns_of(rows, detector.columns)
        labels[name] = test.labels.frames[name]
    combinations = compare(detector, columns, labels)
    show(combinations)
    facts = {
        "checkpoint": {"path": str(args.checkpoint), "sha256": detector.checkpoint.sha256},
        "data": str(args.data),
        "frames": sum(len(values) for values in labels.values()),
        "anomalous": int(sum(values.sum() for values in labels.values())),
        "weights": dict(detector.weights),
        "combinations": combinations,
    }
    write_result(f"ablation-{args.label or args.data.name}", args, facts)


if __name__ == "__main__":
    main()

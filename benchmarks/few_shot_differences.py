"""What the rows of a few-shot table have above speed alone, or above another table's method.

    python -m benchmarks.few_shot_differences RESULT.json --data DATA
    python -m benchmarks.few_shot_differences RESULT.json --minus OTHER.json METHOD

RESULT.json and OTHER.json are what a `few_shot_*` wrote, DATA the data set. Speed alone (PROTOCOL
section 3; nothing learned) is judged camera by camera as the table is, and its frame AUC (causal)
taken from each row's of the same camera; with --minus it is the other table's, of the same camera,
draw and K. The interval is over cameras, or over draws where there is one camera.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import print_table
from benchmarks.few_shot_common import causal
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.evaluation.baselines import flow_speed
from mpn.metrics import frame_auc
from mpn.video.sources import open_source

WINDOW = 4  # frames at a clip's beginning that are not judged
RESAMPLES = 2000


def speed_by_camera(data: Path) -> dict[str, float]:
    """Compute the frame AUC of speed alone, causal, of every camera of a test split.

    Args:
        data: the data set.

    Returns:
        Scene -> AUC in [0, 1].
    """
    tree = recognise(data)
    sources = {video.name: open_source(video.path) for video in tree.testing}
    scores = {name: flow_speed(source.frames()) for name, source in sources.items()}
    labels = load_labels(tree, {name: len(values) for name, values in scores.items()}).frames
    aucs = {}
    for scene in dict.fromkeys(video.scene for video in tree.testing):
        names = [video.name for video in tree.testing if video.scene == scene]
        aucs[scene] = frame_auc(
            {name: labels[name][WINDOW:] for name in names},
            {name: causal({"score": scores[name]})[WINDOW:] for name in names},
        )
    return aucs


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % interval of a mean by bootstrap.

    Args:
        differences: float (n,).
    """
    generator = np.random.default_rng(0)
    drawn = generator.choice(differences, (RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def scores(result: Path) -> list[dict[str, Any]]:
    """Read the rows of a few-shot table, the first that the file has."""
    return next(iter(json.loads(result.read_text())["rows"].values()))


def shown(rows: Sequence[dict[str, Any]], other: Callable[[dict[str, Any]], float | None]) -> None:
    """Print, for each method and K, the mean difference to what `other` gives for a row.

    Args:
        rows: of a table.
        other: the frame AUC that a row is compared with; None where there is none.
    """
    cameras, table = len({row["scene"] for row in rows}), []
    for method, shots in dict.fromkeys((row["method"], row["shots"]) for row in rows):
        by_unit: dict[object, list[float]] = {}
        for row in rows:
            if (row["method"], row["shots"]) != (method, shots) or (auc := other(row)) is None:
                continue
            unit = row["scene"] if cameras > 1 else row["draw"]
            by_unit.setdefault(unit, []).append(row["figures"]["score"] - auc)
        if not by_unit:
            continue
        differences = 100 * np.array([np.mean(values) for values in by_unit.values()])
        low, high = interval(differences)
        table.append([method, str(shots), f"{differences.mean():+.1f} ({low:+.1f} to {high:+.1f})"])
    if not table:
        raise SystemExit("the tables have no camera, draw and K in common")
    print_table(["method", "K", "difference of the score, 95 %"], table)


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--data", type=Path, help="minus speed alone on this data set")
    which.add_argument("--minus", nargs=2, metavar=("OTHER.json", "METHOD"))
    args = parser.parse_args()
    rows = scores(args.result)
    if args.data:
        speed = speed_by_camera(args.data)
        mean = 100 * np.mean(list(speed.values()))
        print(f"speed alone, causal, mean of {len(speed)} cameras: {mean:.1f}")
        shown(rows, lambda row: speed[row["scene"]])
        return
    path, method = args.minus
    others = {
        (row["scene"], row["draw"], row["shots"]): row["figures"]["score"]
        for row in scores(Path(path))
        if row["method"] == method
    }
    shown(rows, lambda row: others.get((row["scene"], row["draw"], row["shots"])))


if __name__ == "__main__":
    main()

"""Speed alone on the cameras of a few-shot table, and what the table's rows have above it.

    python -m benchmarks.speed_alone RESULT.json DATA

RESULT.json is what `few_shot_generated` or `few_shot_ped2` wrote, DATA the data set. Speed alone
(PROTOCOL section 3; nothing learned) is judged camera by camera as the table is, and its frame AUC
(causal) taken from each row's of the same camera; the interval is over cameras, or over draws where
there is one camera.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

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


def main() -> None:
    """Print speed alone and the differences to it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    speed = speed_by_camera(args.data)
    rows = next(iter(json.loads(args.result.read_text())["rows"].values()))
    print(
        f"speed alone, causal, mean of {len(speed)} cameras: "
        f"{100 * np.mean(list(speed.values())):.1f}"
    )
    table = []
    for method, shots in dict.fromkeys((row["method"], row["shots"]) for row in rows):
        own = [row for row in rows if (row["method"], row["shots"]) == (method, shots)]
        by_unit: dict[object, list[float]] = {}
        for row in own:
            unit = row["scene"] if len(speed) > 1 else row["draw"]
            by_unit.setdefault(unit, []).append(row["figures"]["score"] - speed[row["scene"]])
        differences = 100 * np.array([np.mean(values) for values in by_unit.values()])
        low, high = interval(differences)
        table.append([method, str(shots), f"{differences.mean():+.1f} ({low:+.1f} to {high:+.1f})"])
    print_table(["method", "K", "score minus speed alone, 95 %"], table)


if __name__ == "__main__":
    main()

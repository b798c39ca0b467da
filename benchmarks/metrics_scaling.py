"""Time and memory of every metric at 10^4, 10^5 and 10^6 frames, in 20 and in 1,000 videos.

    python -m benchmarks.metrics_scaling              (long: the matrix at a million frames)
    python -m benchmarks.metrics_scaling --quick      (2,000 frames, seconds)
    python -m benchmarks.metrics_scaling --only "frame_auc" "pixel metrics"

Every case runs in a fresh process. Frame metrics: the figure by itself, then with its 95 % interval
(1,000 draws of videos). Scores are normal deviates, so hardly any are tied; with "tied" they have
two decimals. Memory is what was needed beyond the labels and scores, all of them together. A part
of mpn that is not there is left out and named.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.common import (
    goal,
    in_fresh_process,
    parser,
    peak_memory,
    print_goals,
    print_table,
    shown,
    spread,
    write_result,
)

METRICS = ("frame_auc", "macro_auc", "padded_macro_auc", "equal_error_rate", "average_precision")
CURVES = ("roc_points", "precision_recall_points")
FRAMES, VIDEOS, DRAWS = (10_000, 100_000, 1_000_000), (20, 1000), 1000
# Avenue's number of test frames, Ped2's size of frame and of map
MASKED, MASK, MAP = 15_000, (240, 360), (57, 89)
ANOMALOUS = 0.2  # share of the frames
FPS = 25.0
MODULES = {
    "protocol matrix": "mpn.evaluation.protocol_matrix",
    "region metrics": "mpn.metrics.regions",
    "pixel metrics": "mpn.metrics.pixels",
}
Maps = dict[str, np.ndarray]
Steps = Iterator[tuple[str, Callable[[], object]]]


def made(
    frames: int, videos: int, *, decimals: int | None = None, shift: float = 1.0
) -> tuple[Maps, Maps]:
    """Make labels and scores of videos of one length.

    Each has one stretch of anomalous frames, scored `shift` higher.
    """
    generator = np.random.default_rng(0)
    length = frames // videos
    labels, scores = {}, {}
    for number in range(videos):
        y = np.zeros(length, dtype=bool)
        start = int(generator.integers(0, max(1, round(length * (1 - ANOMALOUS)))))
        y[start : start + max(1, round(length * ANOMALOUS))] = True
        s = generator.normal(size=length) + shift * y
        labels[f"{number:04d}"], scores[f"{number:04d}"] = (
            y,
            s if decimals is None else s.round(decimals),
        )
    return labels, scores


def cases(quick: bool, most: int) -> list[dict[str, Any]]:
    """Everything that is measured."""
    draws = 20 if quick else DRAWS
    entries = []
    for frames in (2_000,) if quick else tuple(count for count in FRAMES if count <= most):
        for videos in VIDEOS:
            names = [*METRICS, *CURVES, "operator_metrics", "protocol matrix"]
            size = {"frames": frames, "videos": videos, "draws": draws}
            entries += [{"what": name} | size for name in names]
            entries += [{"what": f"{name}, tied"} | size for name in METRICS if "macro" not in name]
        entries.append({"what": "region metrics", "frames": frames, "videos": 20, "draws": draws})
    masked = 60 if quick else MASKED
    return [*entries, {"what": "pixel metrics", "frames": masked, "videos": 20, "draws": draws}]


def missing(what: str) -> str | None:
    """The module that a case needs and that is not there."""
    module = MODULES.get(what)
    return module if module and importlib.util.find_spec(module) is None else None


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Measure one case in this process: seconds of each of its steps, peak memory over all."""
    steps = {
        "protocol matrix": matrix_steps,
        "region metrics": region_steps,
        "pixel metrics": pixel_steps,
    }
    seconds = {}
    prepared = list(steps.get(case["what"], frame_steps)(case))
    with peak_memory() as memory:
        for name, step in prepared:
            began = time.perf_counter()
            step()
            seconds[name] = time.perf_counter() - began
    return {"seconds": seconds, "extra_bytes": memory["extra"]}


def frame_steps(case: dict[str, Any]) -> Steps:
    """A function of mpn.metrics, and its interval where it has one."""
    from mpn import metrics

    name, _, tied = case["what"].partition(", ")
    labels, scores = made(case["frames"], case["videos"], decimals=2 if tied else None)
    function = getattr(metrics, name)
    if name == "operator_metrics":
        yield "figure", lambda: function(labels, scores, 2.0, FPS)
        return
    yield "figure", lambda: function(labels, scores)
    if name in METRICS:
        yield (
            "with interval",
            lambda: metrics.bootstrap_interval(labels, scores, function, draws=case["draws"]),
        )


def matrix_steps(case: dict[str, Any]) -> Steps:
    """The matrix of a region score and the paper's parts, beside one baseline."""
    from mpn.evaluation.protocol_matrix import protocol_matrix

    labels, scores = made(case["frames"], case["videos"])
    series = {
        name: {"score": s, "psnr_db": 30 - s, "compactness": np.exp(s)}
        for name, s in scores.items()
    }
    _, other = made(case["frames"], case["videos"], shift=0.3)
    yield "figure", lambda: protocol_matrix(labels, series, {"baseline": other}, case["draws"], 0)


def region_steps(case: dict[str, Any]) -> Steps:
    """Give the steps of RBDC and TBDC.

    A found region a frame, a true one in every anomalous frame, a track a video.
    """
    from mpn.metrics.regions import (
        Region,
        TrueRegion,
        criteria_intervals,
        region_and_track_criteria,
    )

    labels, scores = made(case["frames"], case["videos"])
    generator = np.random.default_rng(1)
    truth, regions = [], []
    for video, y in labels.items():
        left = generator.integers(0, 100, len(y)).tolist()
        truth += [TrueRegion(video, int(k), 1, (50, left[k], 40, 20)) for k in np.flatnonzero(y)]
        regions += [
            Region(video, k, (55, at + 5, 40, 20), float(scores[video][k]))
            for k, at in enumerate(left)
        ]
    frames = {video: len(y) for video, y in labels.items()}
    yield "figure", lambda: region_and_track_criteria(truth, regions, frames)
    yield "with interval", lambda: criteria_intervals(truth, regions, frames, draws=case["draws"])


def pixel_steps(case: dict[str, Any]) -> Steps:
    """Pixel AUC and the UCSD criterion, maps and masks made as they are needed."""
    from mpn.metrics.pixels import PixelMetrics

    generator = np.random.default_rng(1)
    maps = generator.gamma(2.0, size=(64, *MAP)).astype(np.float32)
    mask = np.zeros(MASK, dtype=bool)
    mask[100:150, 100:130] = True
    figures = PixelMetrics()

    def update() -> None:
        labels, _ = made(case["frames"], case["videos"])
        for video, y in labels.items():
            for k, anomalous in enumerate(y):
                grid = maps[k % len(maps)] * np.float32(generator.uniform(0.9, 1.1))
                figures.update(video, grid, mask if anomalous else np.zeros_like(mask))

    yield "figure", update
    yield "with interval", lambda: figures.compute(draws=case["draws"])


def table_row(row: dict[str, Any]) -> list[str]:
    """One line of the table; the last step is named after what it does beside the figure."""
    seconds = row["seconds"]
    return [
        row["what"],
        f"{row['frames']:,}",
        f"{row['videos']:,}",
        shown(seconds["figure"]),
        shown(seconds["with interval"]) if "with interval" in seconds else "",
        shown(row["extra_mib"], 0),
    ]


def goals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare with the goals: a million frames in seconds, and memory bounded.

    An interval within half a minute, pixels within ten minutes.
    """
    frame = [row for row in rows if row["what"] not in MODULES and row["frames"] == FRAMES[-1]]
    reached = {}
    if frame:
        reached["frame metrics, 1,000,000 frames, s"] = goal(
            max(row["seconds"]["figure"]["median"] for row in frame), 10, at_most=True
        )
        drawn = [
            row["seconds"]["with interval"]["median"]
            for row in frame
            if "with interval" in row["seconds"]
        ]
        if drawn:
            reached["with their intervals, s"] = goal(max(drawn), 30, at_most=True)
        reached["their memory, MiB"] = goal(
            max(row["extra_mib"]["median"] for row in frame), 2048, at_most=True
        )
    for row in rows:
        if row["what"] == "pixel metrics" and row["frames"] == MASKED:
            minutes = sum(figure["median"] for figure in row["seconds"].values()) / 60
            reached[f"pixel metrics, {MASKED:,} masked frames, minutes"] = goal(
                minutes, 10, at_most=True
            )
            reached["their memory, MiB "] = goal(row["extra_mib"]["median"], 2048, at_most=True)
    return reached


def main() -> None:
    """Measures every case, prints the table and writes the result."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", metavar="NAME", help="only these metrics")
    arguments.add_argument(
        "--most", type=int, default=FRAMES[-1], metavar="FRAMES", help="no case of more frames"
    )
    arguments.add_argument(
        "--rounds", type=int, default=1, help="how often each case is measured (default 1)"
    )
    arguments.add_argument("--case", help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.case:
        print(json.dumps(measure(json.loads(args.case))))
        return
    rows, left_out = [], {}
    chosen = cases(args.quick, args.most)
    unknown = sorted(set(args.only or ()) - {case["what"] for case in chosen})
    if unknown:
        arguments.error(
            f"--only {unknown[0]!r}: one of {', '.join(sorted({case['what'] for case in chosen}))}"
        )
    for case in chosen:
        if args.only and case["what"] not in args.only:
            continue
        absent = missing(case["what"])
        if absent:
            left_out[case["what"]] = f"left out: there is no {absent}"
            continue
        measured = [in_fresh_process("metrics_scaling", case) for _ in range(args.rounds)]
        seconds = {
            step: spread([run["seconds"][step] for run in measured])
            for step in measured[0]["seconds"]
        }
        rows.append(
            case
            | {
                "seconds": seconds,
                "extra_mib": spread([run["extra_bytes"] / 2**20 for run in measured]),
            }
        )
    print_table(
        ["metric", "frames", "videos", "figure, s", "with interval, s", "memory, MiB"],
        [table_row(row) for row in rows],
    )
    for metric, why in left_out.items():
        print(f"{metric}: {why}")
    reached = goals(rows)
    print_goals(reached)
    write_result("metrics_scaling", args, {"rows": rows, "left_out": left_out, "goals": reached})


if __name__ == "__main__":
    main()

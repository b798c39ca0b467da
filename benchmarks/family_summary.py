"""What `benchmarks.family` says of its rows: means over seeds, which are close, what differs."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy.stats import t as student

from benchmarks.common import print_table
from mpn.io.atomic import write_atomically

# By row and seed: figures, parameters and facts of the training, as `family.row_of` gives them.
Found = dict[str, dict[int, dict[str, Any]]]
Point = tuple[float, float, str]  # frames a second, frame AUC in %, the row's name


def closest(found: Found, within: float) -> list[str]:
    """Name the first row, and those whose scores come within so many points of the best.

    Args:
        found: all rows, with one seed each.
        within: in points of frame AUC, in the mean of the sets.
    """
    means = {}
    for name, runs in found.items():
        figures = next(iter(runs.values()))["figures"]
        means[name] = statistics.fmean(figures[key] for key in figures if key.endswith(" score"))
    best = max(means.values())
    return [name for name in found if name == next(iter(found)) or means[name] >= best - within]


def differences(found: Found) -> dict[str, dict[str, dict[str, float]]]:
    """Compute each row's difference from the first, paired by seed, for rows of several seeds.

    Returns:
        By row and column: mean and half the 95 % interval, by Student's t.
    """
    first = next(iter(found.values()))
    differing: dict[str, dict[str, dict[str, float]]] = {}
    for name, runs in list(found.items())[1:]:
        seeds = sorted(set(runs) & set(first))
        if len(seeds) < 2:
            continue
        width = float(student.ppf(0.975, len(seeds) - 1)) / len(seeds) ** 0.5
        differing[name] = {}
        for key in runs[seeds[0]]["figures"]:
            by_seed = [runs[seed]["figures"][key] - first[seed]["figures"][key] for seed in seeds]
            half = width * statistics.stdev(by_seed)
            differing[name][key] = {"mean": statistics.fmean(by_seed), "half_width_95": half}
    return differing


def table(found: Found, fast: Mapping[str, Mapping[str, float]]) -> None:
    """Print what was found: a row a network, means of its seeds; then the differences."""
    figures = list(next(iter(next(iter(found.values())).values()))["figures"])
    header = ["network", "seeds", *figures, "bf16 frames/s", "fp32", "parameters", "steps"]
    rows = []
    for name, runs in found.items():
        first = next(iter(runs.values()))
        means = [statistics.fmean(run["figures"][key] for run in runs.values()) for key in figures]
        rows.append(
            [
                name,
                str(len(runs)),
                *(f"{mean:.1f}" for mean in means),
                f"{fast[name]['bfloat16']:.0f}",
                f"{fast[name]['float32']:.0f}",
                f"{first['parameters']:,}",
                str(first["training"]["steps"]),
            ]
        )
    print_table(header, rows)
    differing = differences(found)
    if differing:
        shown = [
            [
                name,
                *(
                    f"{intervals[key]['mean']:+.1f} +- {intervals[key]['half_width_95']:.1f}"
                    for key in intervals
                ),
            ]
            for name, intervals in differing.items()
        ]
        print_table(["less the first, paired by seed", *figures], shown)


def _label_heights(points: list[Point]) -> list[tuple[Point, float]]:
    """Choose where names stand beside their points, none on another one that is near."""
    gap = 0.04 * (max(y for _, y, _ in points) - min(y for _, y, _ in points))
    placed: list[tuple[Point, float]] = []
    for point in sorted(points, key=lambda one: one[1]):
        near = [height for (x, _, _), height in placed if 1 / 3 < x / point[0] < 3]
        placed.append((point, max([point[1], *(height + gap for height in near)])))
    return placed


def draw_costs(found: Found, fast: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw what rows find of the demo set over what they cost; a line joins those none beats.

    Args:
        found: by row and seed.
        fast: frames a second of one core, by row and precision.
        path: of the PNG; written whole.
    """
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    for column, axes in zip(("demo pseudo", "demo score"), figure.subplots(1, 2), strict=True):
        points: list[Point] = []
        for name, runs in found.items():
            y = statistics.fmean(run["figures"][column] for run in runs.values())
            points.append((fast[name]["bfloat16"], y, name))
            axes.plot(points[-1][0], y, "o", color="#1f77b4")
        labels = _label_heights(points)
        for (x, y, name), height in labels:
            line = {"arrowstyle": "-", "alpha": 0.3, "linewidth": 0.6}
            axes.annotate(name, (x, y), (x * 1.2, height), va="center", fontsize=8, arrowprops=line)
        best = [
            point
            for point in points
            if not any(o[0] > point[0] and o[1] > point[1] for o in points)
        ]
        axes.plot(
            *zip(*(point[:2] for point in sorted(best)), strict=True), color="#1f77b4", alpha=0.4
        )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("network alone, bfloat16, frames/s of a core")
        axes.set_ylabel("frame AUC, %")
        axes.set_title("its pseudo-anomaly head" if column == "demo pseudo" else "the whole score")
        axes.margins(0.45, 0.15)
        axes.set_ylim(top=max(axes.get_ylim()[1], *(height + 0.2 for _, height in labels)))
    with io.BytesIO() as drawn:
        figure.savefig(drawn, dpi=110)
        write_atomically(path, drawn.getvalue())

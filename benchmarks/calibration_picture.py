"""The picture of `benchmarks.calibration`: promised against observed false alarms an hour.

Both axes are logarithmic.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpn.io.atomic import write_atomically

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"  # told apart with any colour vision
RANGE = (0.3, 1500.0)  # of both axes, an hour


def draw(path: Path, result: Mapping[str, Any]) -> None:
    """Draw a panel for the checkpoint's own thresholds and one for each amount of footage."""
    # the first is as little footage as (a) has
    thresholds, fits = result["own"], result["refitted"][1:]
    figure = Figure((4.0 * (1 + len(fits)), 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 1 + len(fits), sharex=True, sharey=True)
    _frame(
        panels[0],
        "(a) the checkpoint's own: "
        f"{thresholds['frames_behind'] / result['footage']['fps'] / 60:.1f} minutes",
    )
    _promises(panels[0], thresholds["promises"])
    for panel, fit in zip(panels[1:], fits):
        _frame(panel, f"(b) thresholds from {fit['minutes_behind']:.0f} minutes")
        _splits(panel, fit)
    panels[0].set_ylabel("observed false alarms an hour")
    for panel in panels:
        panel.set_xlabel("promised false alarms an hour")
        panel.legend(loc="upper left", fontsize=8, frameon=False)
    hours = result["footage"]["hours"]
    figure.suptitle(
        f"Thresholds on {hours:.1f} hours of other normal footage of the demo set's cameras",
        fontsize=11,
    )
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def _frame(panel: Axes, title: str) -> None:
    ends = np.array(RANGE)
    panel.set(xscale="log", yscale="log", xlim=RANGE, ylim=RANGE, aspect="equal")
    panel.set_title(title, fontsize=10)
    panel.plot(ends, ends, color="black", linewidth=0.8)
    panel.fill_between(
        ends, ends / 2, ends * 2, color=GREY, alpha=0.2, linewidth=0, label="factor of two"
    )
    ticks = [1, 6, 60, 360]
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.set_yticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.grid(alpha=0.25)


def _promises(panel: Axes, promises: list[dict[str, Any]]) -> None:
    """Draw observed rates with their exact intervals.

    Beside them stands what the threshold's own interval would have given.
    """
    for number, promise in enumerate(promises):
        rate, observed = promise["rate"], promise["observed"]
        low, high = (max(x, RANGE[0] / 2) for x in promise["observed_interval"])
        ends = [max(x, RANGE[0] / 2) for x in promise["observed_at_interval"]]
        first = number == 0
        panel.plot(
            [rate] * 2,
            ends,
            color=ORANGE,
            linewidth=6,
            alpha=0.3,
            solid_capstyle="butt",
            label="anywhere in the threshold's 95 % interval" if first else None,
        )
        panel.plot([rate] * 2, [low, high], color=BLUE, linewidth=1.5)
        hollow = {"markerfacecolor": "white"} if promise["extrapolated"] else {}
        panel.plot(
            rate,
            max(observed, RANGE[0]),
            "o" if observed else "v",
            color=BLUE,
            markersize=6,
            **hollow,
        )
    panel.plot([], [], "o-", color=BLUE, label="observed, 95 % interval")
    panel.plot([], [], "o", color=BLUE, markerfacecolor="white", label="threshold extrapolated")


def _splits(panel: Axes, fit: Mapping[str, Any]) -> None:
    """Draw a dot a split, side by side, and their median.

    A split without any false alarm stands at the lower edge.
    """
    for number, (rate, row) in enumerate(fit["rates"].items()):
        ratios = np.array(row["ratios"])
        across = float(rate) * np.geomspace(0.85, 1.18, len(ratios))
        observed = np.maximum(float(rate) * ratios, RANGE[0])
        extrapolated = row["extrapolated"] * 2 > row["splits"]
        hollow = {"facecolors": "none", "edgecolors": BLUE} if extrapolated else {"color": BLUE}
        panel.scatter(across, observed, s=12, alpha=0.7, **hollow)
        median = max(float(rate) * row["ratio"]["median"], RANGE[0])
        label = f"median of {row['splits']} splits" if number == 0 else None
        panel.plot(
            [across[0] / 1.1, across[-1] * 1.1],
            [median] * 2,
            color=ORANGE,
            linewidth=2,
            label=label,
        )
    panel.scatter([], [], s=12, color=BLUE, label="one split")
    panel.scatter(
        [], [], s=12, facecolors="none", edgecolors=BLUE, label="one split, mostly extrapolated"
    )

"""Score curves as pictures: one PNG a video, labelled intervals shaded. No torch.

Figures are drawn on matplotlib's Agg canvas without pyplot, so nothing global is changed and no
display is needed. Colours are from Okabe and Ito's set, which readers with any colour vision can
tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpn.errors import DataError
from mpn.io.atomic import write_atomically
from mpn.io.runs import intervals
from mpn.io.text import printable
from mpn.scoring.parts import PART_NAMES

SCORE_COLOUR = "#0072B2"  # blue
THRESHOLD_COLOUR = "#000000"
LABEL_COLOUR = "#E69F00"  # orange, the shading of labelled intervals
PART_STYLES = (  # told apart by dashes too
    ("#D55E00", "-"),
    ("#009E73", "--"),
    ("#CC79A7", "-."),
    ("#56B4E9", ":"),
    ("#000000", (0, (5, 1))),
)
_SIZE = (10.0, 3.2)  # inches; the parts' panel adds half of its height
_DPI = 110


def plot_scores(
    path: str | Path,
    scores: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    threshold: float | None = None,
    fps: float | Fraction | None = None,
    title: str,
    parts: Mapping[str, np.ndarray] | None = None,
    parts_label: str = "parts",
) -> None:
    """Draw one video's score curve as PNG, written whole or not at all.

    Args:
        path: where to.
        scores: (T,), NaN where there is none (drawn as a gap).
        labels: bool (T,), shaded where True.
        threshold: drawn as a dashed line.
        fps: adds an axis in seconds.
        title: of the picture.
        parts: name -> (T,), thin lines in a panel below, on one scale.
        parts_label: names that scale.

    Raises:
        DataError: lengths differ.
        MpnError: the file cannot be written.
    """
    others = {"labels": labels, **(parts or {})}
    for name, values in others.items():
        if values is not None and len(values) != len(scores):
            raise DataError(f"{title}: {len(scores)} scores but {len(values)} of {name}")
    figure = _figure(
        np.asarray(scores, np.float64), labels, threshold, fps, title, parts or {}, parts_label
    )
    picture = BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    write_atomically(path, picture.getvalue())


def plot_all(
    folder: str | Path,
    series: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, np.ndarray] | None = None,
    *,
    threshold: float | None = None,
    fps: Mapping[str, float | Fraction | None] | float | Fraction | None = None,
    score: str = "score",
    parts: tuple[str, ...] = PART_NAMES,
    units: Mapping[str, tuple[float, float]] | None = None,
) -> list[Path]:
    """Draw every video with `plot_scores`, as FOLDER/VIDEO.png, and return the paths written.

    Args:
        folder: where to.
        series: video -> column -> (T,).
        labels: video -> bool (T,).
        threshold: as in `plot_scores`.
        fps: one for all, or video -> fps.
        score: the column of the curve.
        parts: columns of the panel below, where present.
        units: part -> (mean, standard deviation) on normal frames (`Calibration.parts`), which puts
            the parts on one scale.

    Raises:
        DataError: lengths differ.
        MpnError: a file cannot be written.
    """
    written = []
    label = "parts" if units is None else "parts (units of\nnormal frames)"
    for name, columns in series.items():
        path = Path(folder) / f"{name}.png"
        plot_scores(
            path,
            columns[score],
            None if labels is None else labels[name],
            threshold=threshold,
            fps=fps.get(name) if isinstance(fps, Mapping) else fps,
            title=name,
            parts={
                part: _standardised(columns[part], part, units) for part in parts if part in columns
            },
            parts_label=label,
        )
        written.append(path)
    return written


def _standardised(
    values: np.ndarray, part: str, units: Mapping[str, tuple[float, float]] | None
) -> np.ndarray:
    mean, deviation = (units or {}).get(part, (0.0, 1.0))
    return (np.asarray(values, np.float64) - mean) / deviation


def _figure(
    scores: np.ndarray,
    labels: np.ndarray | None,
    threshold: float | None,
    fps: float | Fraction | None,
    title: str,
    parts: Mapping[str, np.ndarray],
    parts_label: str,
) -> Figure:
    ratios = [2, 1] if parts else [1]
    height = _SIZE[1] * (1.5 if parts else 1.0)
    figure = Figure(figsize=(_SIZE[0], height), dpi=_DPI, layout="constrained")
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    frame = np.arange(len(scores))
    panels[0].plot(frame, scores, color=SCORE_COLOUR, linewidth=1.6, label="score_raw")
    if threshold is not None:
        panels[0].axhline(
            threshold,
            color=THRESHOLD_COLOUR,
            linestyle="--",
            linewidth=1.1,
            label=f"threshold {threshold:.3g}",
        )
    panels[0].set_ylabel("score_raw")
    for k, (name, values) in enumerate(parts.items()):
        colour, dashes = PART_STYLES[k % len(PART_STYLES)]
        panels[1].plot(frame, values, color=colour, linestyle=dashes, linewidth=0.9, label=name)
    if parts:
        panels[1].set_ylabel(parts_label)
    for k, panel in enumerate(panels):
        _dress(panel, labels, len(scores), named=k == 0)
    panels[-1].set_xlabel("frame")
    if fps:
        rate = float(fps)
        seconds = panels[0].secondary_xaxis(
            "top", functions=(lambda x: x / rate, lambda x: x * rate)
        )
        seconds.set_xlabel("seconds")
    figure.suptitle(printable(title), fontsize="medium", parse_math=False)  # a name may have a $
    return figure


def _dress(panel: Axes, labels: np.ndarray | None, length: int, *, named: bool) -> None:
    for k, (start, end) in enumerate(intervals(labels) if labels is not None else []):
        # A frame's value stands at its number: half a frame on either side belongs to it.
        panel.axvspan(
            start - 0.5,
            end - 0.5,
            color=LABEL_COLOUR,
            alpha=0.28,
            linewidth=0,
            label="labelled anomalous" if named and k == 0 else None,
        )
    panel.set_xlim(-0.5, max(length, 1) - 0.5)
    panel.grid(alpha=0.3, linewidth=0.6)
    panel.spines[["right"]].set_visible(False)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")

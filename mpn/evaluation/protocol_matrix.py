"""The protocol matrix: every score under every normalisation and smoothing, on the same frames. No
torch.

One set of scores gives a dozen figures, depending on choices that have nothing to do with the
model. The matrix shows them side by side, says which of them a live camera could have had, and what
the paper's protocol adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpn.errors import DataError
from mpn.evaluation.frame_metrics import (
    MAIN,
    Aligned,
    Series,
    aligned,
    facts_of,
    figures,
    write_metrics,
)
from mpn.io.text import align, column_widths, is_known, percent, percent_range
from mpn.metrics import intervals
from mpn.metrics.inputs import paired
from mpn.scoring import protocols
from mpn.scoring.protocols import CELLS, NORMALISATIONS, SCORES, SMOOTHINGS, Cell

HEADINGS = {
    "micro_auc": "frame AUC (micro)",
    "macro_auc": "macro AUC",
    "padded_macro_auc": "padded macro AUC",
    "equal_error_rate": "equal error rate",
    "average_precision": "average precision",
}
TITLES = {"region": "score (region score)", "pair": "paper's pair", "psnr": "PSNR"}
NORMALISED = {"absolute": "absolute", "min-max": "per-video min-max"}
SMOOTHED = {"off": "off", "causal": "causal", "paper": "paper's"}
# Baselines that are no live score whatever is done with them, and why.
_NEVER_LIVE = {"nearness_to_middle": "needs the length of the video, so its end"}
_ALL_CELLS = [
    (normalisation, smoothing) for normalisation in NORMALISATIONS for smoothing in SMOOTHINGS
]


def protocol_matrix(
    labels: Mapping[str, np.ndarray],
    series: Series,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """{region score, the paper's pair, PSNR} x {absolute, per-video min-max} x {smoothing off,
    causal, the paper's}.

    Arguments, frames left out and errors are those of `mpn.evaluation.frame_metrics.evaluate`: the
    region score is the column `score`; the pair and PSNR are there where `psnr_db` and
    `compactness` are.

    Returns:
        cells: one dict a cell: score ("region", "pair", "psnr"), normalisation, smoothing, live
            (whether a camera could have had it, if need be some frames late), why (in words),
            delay_frames (mean lag), lookahead_frames (later frames that it waits for; NaN = all of
            the video), the five figures as shares, NaN where undefined, and interval, of micro_auc,
            95 % over videos.
        baselines: the same with `baseline` in place of `score`, and region_minus_this: the
            difference of micro AUC to the region score in the same cell, paired over videos.
        gap: what the paper's protocol adds to the causal one, by `score` or `baseline`: value, low,
            high of the difference of micro AUC, paired over videos.
        Beside these what was evaluated: frames, anomalous, videos ..., and the bootstrap's draws
            and seed.
    """
    data = aligned(labels, series, baselines)
    there = set(next(iter(data.series.values())))
    absent = [score for score, columns in SCORES.items() if not set(columns) <= there]
    result = {
        name: value
        for name, value in facts_of(labels, data).items()
        if name not in ("main", "protocols")
    }
    result |= {
        "bootstrap": {"draws": draws, "seed": seed},
        "absent": absent,
        "cells": [],
        "baselines": [],
        "gap": [],
    }
    weights = intervals.draw_weights(intervals.draw_videos(len(data.truth), draws, seed))
    region: dict[tuple[str, str], _Judged] = {}
    for score in SCORES:
        if score not in absent:
            judged = {
                key: _judge(data.truth, _scores(data, score, *key), weights) for key in _ALL_CELLS
            }
            region = region or judged  # the first
            result["cells"] += [{"score": score} | _cell(key, own) for key, own in judged.items()]
            result["gap"].append(
                {"score": score} | _difference(judged[CELLS["paper"]], judged[CELLS["causal"]])
            )
    for baseline, values in data.baselines.items():
        judged = {
            key: _judge(data.truth, _baseline_scores(values, *key), weights) for key in _ALL_CELLS
        }
        for key, own in judged.items():
            cell = {"baseline": baseline} | _cell(key, own)
            if baseline in _NEVER_LIVE:
                cell |= {"live": False, "why": _NEVER_LIVE[baseline], "lookahead_frames": math.nan}
            result["baselines"].append(cell | {"region_minus_this": _difference(region[key], own)})
        result["gap"].append(
            {"baseline": baseline} | _difference(judged[CELLS["paper"]], judged[CELLS["causal"]])
        )
    return result


class _Judged(NamedTuple):
    """The figures of one score in one cell, and its micro AUC in each resampling, (draws,)."""

    figures: dict[str, float]
    drawn: np.ndarray
    videos: int


def _judge(
    truth: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray], weights: np.ndarray
) -> _Judged:
    return _Judged(
        figures(truth, scores), intervals.drawn_auc(paired(truth, scores), weights), len(truth)
    )


def _scores(data: Aligned, score: str, normalisation: str, smoothing: str) -> dict[str, np.ndarray]:
    """One score of every video in one cell."""
    found = {}
    for name, columns in data.series.items():
        try:
            found[name] = protocols.series_of(score, columns, normalisation, smoothing)
        except DataError as error:
            raise DataError(f"video {name!r}: {error}") from None
    return found


def _baseline_scores(
    values: Mapping[str, np.ndarray], normalisation: str, smoothing: str
) -> dict[str, np.ndarray]:
    return {
        name: protocols.series_of(MAIN, {MAIN: x}, normalisation, smoothing)
        for name, x in values.items()
    }


def _cell(key: tuple[str, str], judged: _Judged) -> dict[str, Any]:
    described = protocols.cell(*key)
    ahead = math.nan if described.lookahead_frames is None else described.lookahead_frames
    interval = intervals.interval_of(judged.figures["micro_auc"], judged.drawn, judged.videos)
    return (
        described._asdict()
        | {"lookahead_frames": ahead}
        | judged.figures
        | {"interval": interval._asdict()}
    )


def _difference(one: _Judged, other: _Judged) -> dict[str, Any]:
    """The difference of two micro AUCs with its interval, both on the same drawn videos."""
    value = one.figures["micro_auc"] - other.figures["micro_auc"]
    return intervals.interval_of(value, one.drawn - other.drawn, one.videos)._asdict()


def write_matrix(
    path: str | Path, matrix: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> None:
    """matrix.json: the matrix with `extra` (label file, checkpoint, versions ...) beside it, as
    `write_metrics`."""
    write_metrics(path, matrix, extra)


def format_matrix(matrix: Mapping[str, Any], figure: str = "micro_auc") -> str:
    """One figure of the matrix as plain text, in per cent with one decimal; "-" where undefined.

    Of the micro AUC intervals and the gap are shown too.
    """
    rows = [["smoothing", *(SMOOTHED[s] for _, s in _ALL_CELLS)], *_rows(matrix, figure)]
    rows.append(["a live camera has it", *(_live(protocols.cell(*key)) for key in _ALL_CELLS)])
    title = f"{HEADINGS[figure]}, %"
    first, *widths = column_widths([[title], *rows])
    # A normalisation's name stands over the columns of its smoothings.
    span = [
        sum(part) + 2 * (len(part) - 1)
        for part in (widths[: len(SMOOTHINGS)], widths[len(SMOOTHINGS) :])
    ]
    lines = [
        "  ".join(
            [title.ljust(first), *(NORMALISED[n].center(k) for n, k in zip(NORMALISATIONS, span))]
        )
    ]
    lines += align(rows, [first, *widths])
    lines.insert(2, "-" * max(map(len, lines)))
    if figure == "micro_auc":
        lines += ["", *_gap_lines(matrix)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown_matrix(matrix: Mapping[str, Any], figure: str = "micro_auc") -> str:
    """One figure of the matrix as a table for a README, in per cent with one decimal; "-" where
    undefined."""
    names = [
        f"{NORMALISED[n]}, {SMOOTHED[s] if s != 'off' else 'no'} smoothing" for n, s in _ALL_CELLS
    ]
    rows = [[f"{HEADINGS[figure]}, %", *names]]
    rows += [
        row if len(row) > 1 else [row[0], *[""] * len(_ALL_CELLS)] for row in _rows(matrix, figure)
    ]
    rows.append(["a live camera has it", *(_live(protocols.cell(*key)) for key in _ALL_CELLS)])
    lines = [f"| {' | '.join(cell.strip() for cell in row)} |" for row in rows]
    lines.insert(1, f"|---|{'---:|' * len(_ALL_CELLS)}")
    return "\n".join(lines) + "\n"


def _rows(matrix: Mapping[str, Any], figure: str) -> Iterator[list[str]]:
    """The rows of a table: a title and a text a cell."""
    for score in dict.fromkeys(cell["score"] for cell in matrix["cells"]):
        cells = {
            (c["normalisation"], c["smoothing"]): c for c in matrix["cells"] if c["score"] == score
        }
        yield [TITLES[score], *(percent(cells[key][figure]) for key in _ALL_CELLS)]
        if figure == "micro_auc":
            intervals = [cells[key]["interval"] for key in _ALL_CELLS]
            yield [
                "  95 % interval",
                *(percent_range(x["low"], x["high"], to="-") for x in intervals),
            ]
    names = dict.fromkeys(cell["baseline"] for cell in matrix["baselines"])
    if names:
        yield ["no learning:"]
    for name in names:
        cells = {
            (c["normalisation"], c["smoothing"]): c
            for c in matrix["baselines"]
            if c["baseline"] == name
        }
        never = " (not live)" * (name in _NEVER_LIVE)
        yield [
            f"  {name.replace('_', ' ')}{never}",
            *(percent(cells[key][figure]) for key in _ALL_CELLS),
        ]


def _live(cell: Cell) -> str:
    """Whether a live camera has it, in two words."""
    if not cell.live:
        return "no"
    late = cell.lookahead_frames or cell.delay_frames
    return (
        f"{late:.0f} late"
        if late == round(late) and late
        else f"{late:.1f} late"
        if late
        else "yes"
    )


def _gap_lines(matrix: Mapping[str, Any]) -> Iterator[str]:
    """The gap in words, and what the table's words mean."""
    parts = []
    for gap in matrix["gap"]:
        name = TITLES[gap["score"]] if "score" in gap else gap["baseline"].replace("_", " ")
        between = percent_range(gap["low"], gap["high"], signed=True)
        between = f" ({between})" if is_known(gap["low"]) else ""
        parts.append(f"{name} {percent(gap['value'], signed=True)}{between}")
    yield (
        "the paper's protocol (min-max, its filter) minus the causal one, points of AUC, 95 % "
        "paired over videos:"
    )
    yield from (f"  {part}" for part in parts)
    yield (
        '"late": by so many frames, on average (causal) or always (the paper\'s filter waits for '
        "them);"
    )
    yield (
        '"no": per-video min-max needs the lowest and highest score of the whole video, so its end'
    )
    if matrix["absent"]:
        columns = sorted({column for score in matrix["absent"] for column in SCORES[score]})
        names = " and ".join(TITLES[score] for score in matrix["absent"])
        yield f"without {names}: the scores have no columns {', '.join(columns)}"

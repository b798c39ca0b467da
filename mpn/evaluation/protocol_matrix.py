"""The protocol matrix: every score under every normalisation and smoothing, on the same frames.

No torch.

One set of scores gives a dozen figures, depending on choices that have nothing to do with the
model. The matrix shows them side by side, says which of them a live camera could have had, and what
the paper's protocol adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from mpn.errors import DataError
from mpn.evaluation.frame_metrics import (
    Aligned,
    Series,
    aligned,
    count_frames,
    score_metrics,
    wrapped,
)
from mpn.evaluation.result import SCORE, MatrixCell, ProtocolGap, ProtocolMatrix, ScoreMetrics
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
SMOOTHED = {"off": "off", "causal": "causal", "gaussian15": "paper's"}
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
) -> ProtocolMatrix:
    """Evaluate {region score, the paper's pair, PSNR} under every normalisation and smoothing.

    Arguments, frames left out and errors are those of
    `mpn.evaluation.frame_metrics.evaluate_scores`: the region score is the column `score`; the pair
    and PSNR are there where `psnr_db` and `compactness` are. All differences are paired over
    videos.
    """
    data = aligned(labels, series, baselines)
    columns = set(next(iter(data.series.values())))
    absent = [score for score, needed in SCORES.items() if not set(needed) <= columns]
    matrix = ProtocolMatrix(
        [], absent=absent, counts=count_frames(labels, data), n_resamples=draws, seed=seed
    )
    weights = intervals.draw_weights(intervals.draw_videos(len(data.truth), draws, seed))
    region: _Cells = {}
    for score in SCORES:
        if score not in absent:
            cells = {
                key: _evaluated(data.truth, _scores(data, score, *key), weights)
                for key in _ALL_CELLS
            }
            region = region or cells  # the first
            matrix.cells.extend(_cell(score, key, evaluated) for key, evaluated in cells.items())
            matrix.gaps.append(_gap(score, cells))
    for baseline, values in data.baselines.items():
        cells = {
            key: _evaluated(data.truth, _baseline_scores(values, *key), weights)
            for key in _ALL_CELLS
        }
        for key, evaluated in cells.items():
            cell = _cell(baseline, key, evaluated, is_baseline=True)
            if baseline in _NEVER_LIVE:
                never_live = cell.cell._replace(
                    live=False, why=_NEVER_LIVE[baseline], lookahead_frames=None
                )
                cell = replace(cell, cell=never_live)
            difference = _difference(region[key], evaluated)
            matrix.baselines.append(replace(cell, region_minus_this=difference))
        matrix.gaps.append(_gap(baseline, cells, is_baseline=True))
    return matrix


class _Evaluated(NamedTuple):
    """The metrics of one score in one cell, and its micro AUC in each resampling, (draws,)."""

    metrics: ScoreMetrics
    resampled: np.ndarray
    videos: int


_Cells: TypeAlias = "dict[tuple[str, str], _Evaluated]"


def _evaluated(
    truth: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray], weights: np.ndarray
) -> _Evaluated:
    resampled = intervals.drawn_auc(paired(truth, scores), weights)
    return _Evaluated(score_metrics(truth, scores), resampled, len(truth))


def _scores(data: Aligned, score: str, normalisation: str, smoothing: str) -> dict[str, np.ndarray]:
    """Return one score of every video in one cell."""
    scores = {}
    for name, columns in data.series.items():
        try:
            scores[name] = protocols.series_of(score, columns, normalisation, smoothing)
        except DataError as error:
            raise DataError(f"video {name!r}: {error}") from None
    return scores


def _baseline_scores(
    values: Mapping[str, np.ndarray], normalisation: str, smoothing: str
) -> dict[str, np.ndarray]:
    return {
        name: protocols.series_of(SCORE, {SCORE: x}, normalisation, smoothing)
        for name, x in values.items()
    }


def _cell(
    name: str, key: tuple[str, str], evaluated: _Evaluated, is_baseline: bool = False
) -> MatrixCell:
    interval = intervals.interval_of(
        evaluated.metrics.micro_auc, evaluated.resampled, evaluated.videos
    )
    return MatrixCell(name, is_baseline, protocols.cell(*key), evaluated.metrics, interval)


def _gap(name: str, cells: _Cells, is_baseline: bool = False) -> ProtocolGap:
    difference = _difference(cells[CELLS["paper"]], cells[CELLS["causal"]])
    return ProtocolGap(name, is_baseline, difference)


def _difference(first: _Evaluated, second: _Evaluated) -> intervals.Interval:
    """Compute the difference of two micro AUCs with its interval.

    Both are on the same resampled videos.
    """
    value = first.metrics.micro_auc - second.metrics.micro_auc
    return intervals.interval_of(value, first.resampled - second.resampled, first.videos)


def format_matrix(matrix: ProtocolMatrix, metric: str = "micro_auc") -> str:
    """Write one figure of the matrix as plain text, in per cent with one decimal.

    "-" where undefined. Of the micro AUC intervals and the gap are shown too.
    """
    rows = [["smoothing", *(SMOOTHED[s] for _, s in _ALL_CELLS)], *_rows(matrix, metric)]
    rows.append(["a live camera has it", *(_live(protocols.cell(*key)) for key in _ALL_CELLS)])
    title = f"{HEADINGS[metric]}, %"
    first, *widths = column_widths([[title], *rows])
    # A normalisation's name stands over the columns of its smoothings.
    span = [
        sum(part) + len(part) - 1 for part in (widths[: len(SMOOTHINGS)], widths[len(SMOOTHINGS) :])
    ]
    lines = [
        " ".join(
            [title.ljust(first), *(NORMALISED[n].center(k) for n, k in zip(NORMALISATIONS, span))]
        )
    ]
    lines += align(rows, [first, *widths], gap=" ")
    lines.insert(2, "-" * max(map(len, lines)))
    if metric == "micro_auc":
        lines += ["", *(wrapped(line, "    ") for line in _gap_lines(matrix))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rows(matrix: ProtocolMatrix, metric: str) -> Iterator[list[str]]:
    """Yield the rows of a table: a title and a text a cell."""
    for score in dict.fromkeys(cell.name for cell in matrix.cells):
        cells = matrix.of(score)
        yield [TITLES[score], *(percent(cells[key].metrics.value(metric)) for key in _ALL_CELLS)]
        if metric == "micro_auc":
            ranges = [cells[key].interval for key in _ALL_CELLS]
            yield [
                "  95 % interval",
                *(f"{_short(x.low)}-{_short(x.high)}" for x in ranges),
            ]
    names = dict.fromkeys(baseline.name for baseline in matrix.baselines)
    if names:
        yield ["no learning:"]
    for name in names:
        cells = matrix.of(name)
        never = "*" * (name in _NEVER_LIVE)
        yield [
            f"{name.replace('_', ' ')}{never}",
            *(percent(cells[key].metrics.value(metric)) for key in _ALL_CELLS),
        ]


def _live(cell: Cell) -> str:
    """Say whether a live camera has it, in two words."""
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


def _gap_lines(matrix: ProtocolMatrix) -> Iterator[str]:
    """Yield the gap in words, and what the table's words mean."""
    parts = []
    for gap in matrix.gaps:
        name = gap.name.replace("_", " ") if gap.is_baseline else TITLES[gap.name]
        value, low, high = gap.difference[:3]
        between = "" if not is_known(low) else f" ({percent_range(low, high, signed=True)})"
        parts.append(f"{name} {percent(value, signed=True)}{between}")
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
    never = [
        name for name in _NEVER_LIVE if any(baseline.name == name for baseline in matrix.baselines)
    ]
    yield from (f"* {name.replace('_', ' ')}: {_NEVER_LIVE[name]}" for name in never)
    if matrix.absent:
        columns = sorted({column for score in matrix.absent for column in SCORES[score]})
        names = " and ".join(TITLES[score] for score in matrix.absent)
        yield f"without {names}: the scores have no columns {', '.join(columns)}"


def _short(value: float) -> str:
    """Write per cent in four characters at most, so that the table fits a terminal."""
    return percent(value).removesuffix(".0") if value > 0.9995 else percent(value)

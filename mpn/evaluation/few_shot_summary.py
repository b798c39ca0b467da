"""Figures, differences and their table from scores after adaptation (`mpn.evaluation.few_shot`).

No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mpn.evaluation.frame_metrics import PAIR, evaluate_scores
from mpn.evaluation.result import SCORE
from mpn.io.text import format_rows
from mpn.scoring.parts import PART_NAMES, PARTS, PSNR

LEVEL = 0.95  # of every interval
UNADAPTED = "unadapted"
TEST_PREFIX = "test_prefix"  # the protocol of the paper, "paper" in files of version 0.1
# The same network, its score in the units of the checkpoint's own normal footage: nothing of the
# camera was seen.
BASE_UNITS = "unadapted, base units"


class Key(NamedTuple):
    """What was scored: `shots` is K, `draw` counts from 0."""

    scene: str
    protocol: str
    method: str
    shots: int
    draw: int


def key_of(entry: Mapping[str, Any]) -> Key:
    """Read a key from an entry of a JSON file, the paper's protocol under its old name too."""
    key = Key(*(entry[name] for name in Key._fields))
    return key._replace(protocol=TEST_PREFIX) if key.protocol == "paper" else key


@dataclass(frozen=True)
class FewShotRow:
    """The scores of one camera's test videos by one network.

    Attributes:
        scene, protocol, method, shots, draw: see `Key`.
        columns: video -> column ("score", its parts and the diagnostics) -> float64 (T,), NaN for
            the first frames, which have no score or are the support; a series of
            `mpn.evaluation.frame_metrics`.
        seconds_to_adapt: wall time, decoding left out; 0 for K = 0, the mean of the videos with
            test_prefix.
    """

    scene: str
    protocol: str
    method: str
    shots: int
    draw: int
    columns: dict[str, dict[str, np.ndarray]]
    seconds_to_adapt: float

    @property
    def key(self) -> Key:
        """Return the key of what was scored."""
        return Key(self.scene, self.protocol, self.method, self.shots, self.draw)


class Record(NamedTuple):
    """The figures of one row, by name; NaN where undefined."""

    scene: str
    protocol: str
    method: str
    shots: int
    draw: int
    seconds: float
    figures: dict[str, float]


class Figure(NamedTuple):
    """How a figure is shown: its title, what it is multiplied by, and decimals."""

    title: str
    scale: float = 100.0
    digits: int = 1


FIGURES: dict[str, Figure] = {
    SCORE: Figure("frame AUC, region score, causal, %"),
    **{part.name: Figure(f"frame AUC, {part.label}, causal, %") for part in PARTS},
    PSNR.name: Figure(f"frame AUC, {PSNR.label}, paper's protocol, %"),
    PAIR: Figure("frame AUC, the paper's pair, paper's protocol, %"),
}


def record_of(row: FewShotRow, labels: Mapping[str, np.ndarray]) -> Record:
    """Compute the figures of `FIGURES` of one row.

    Args:
        row: the scores.
        labels: video -> bool (T,), of other scenes too.
    """
    truth = {video: labels[video] for video in row.columns}
    scores = evaluate_scores(truth, row.columns, draws=1).scores
    protocols = dict.fromkeys((SCORE, *PART_NAMES), "causal") | {PSNR.name: "paper", PAIR: "paper"}
    figures = {
        name: scores[name][protocol].micro_auc
        for name, protocol in protocols.items()
        if name in scores
    }
    return Record(*row.key, row.seconds_to_adapt, figures)


def summarise(rows: Sequence[FewShotRow], labels: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Compute the figures of `FIGURES` over scenes and draws, see `summarise_records`."""
    return summarise_records([record_of(row, labels) for row in rows])


def summarise_records(
    records: Sequence[Record], *, resamplings: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compute means, deviations and paired differences of figures, by protocol.

    A figure of one draw is its mean over the scenes; of these, mean and deviation over the draws in
    which no scene is missing. Differences are paired by scene and draw (K = 0 has one draw, which
    is paired with all): every method minus unadapted, and the first method minus each other; 95 %
    by resampling scenes, where there are several, and within each the draws.

    Returns:
        protocol -> {"scenes", "shots", "methods", "seconds": method -> K -> mean; "figures": name
        -> method -> K -> {"mean", "deviation", "draws"}; "differences": name -> "A - B" -> K ->
        {"mean", "low", "high", "scenes", "draws"}}. NaN where undefined.
    """
    summary: dict[str, Any] = {}
    for protocol in dict.fromkeys(record.protocol for record in records):
        of_protocol = [record for record in records if record.protocol == protocol]
        counts = sorted({record.shots for record in of_protocol})
        methods = list(dict.fromkeys(record.method for record in of_protocol))
        summary[protocol] = entry = {
            "scenes": list(dict.fromkeys(record.scene for record in of_protocol)),
            "shots": counts,
            "methods": methods,
            "seconds": {
                method: {
                    k: float(
                        np.mean(
                            [r.seconds for r in of_protocol if (r.method, r.shots) == (method, k)]
                        )
                    )
                    for k in counts
                    if any((r.method, r.shots) == (method, k) for r in of_protocol)
                }
                for method in methods
            },
            "figures": {},
            "differences": {},
        }
        for name in dict.fromkeys(name for record in of_protocol for name in record.figures):
            table = _table(of_protocol, name)
            entry["figures"][name] = {
                method: {k: _mean(table[method, k]) for k in counts if (method, k) in table}
                for method in methods
            }
            entry["differences"][name] = _differences(table, methods, counts, resamplings, seed)
    return summary


# (method, K) -> draw -> a figure of every scene, (scenes,).
Table = dict[tuple[str, int], dict[int, np.ndarray]]


def _table(records: Sequence[Record], name: str) -> Table:
    """Make the table of one figure.

    Of the scenes where it is defined at all, and of the draws in which it is for all of these.
    """
    defined = [record for record in records if np.isfinite(record.figures.get(name, np.nan))]
    scenes = list(dict.fromkeys(record.scene for record in defined))
    table: Table = {}
    for key in dict.fromkeys((record.method, record.shots) for record in records):
        by_draw = {
            (r.draw, r.scene): r.figures[name] for r in defined if (r.method, r.shots) == key
        }
        table[key] = {
            draw: np.array([by_draw[draw, scene] for scene in scenes], np.float64)
            for draw in sorted({draw for draw, _ in by_draw})
            if all((draw, scene) in by_draw for scene in scenes)
        }
    return table


def _mean(by_draw: Mapping[int, np.ndarray]) -> dict[str, float]:
    draws = np.array([values.mean() for values in by_draw.values()])
    return {
        "mean": float(draws.mean()) if len(draws) else float("nan"),
        "deviation": float(draws.std(ddof=1)) if len(draws) > 1 else float("nan"),
        "draws": len(draws),
    }


def _differences(
    table: Table, methods: Sequence[str], counts: Sequence[int], resamplings: int, seed: int
) -> dict[str, dict[int, dict[str, float]]]:
    adapted = [method for method in methods if method not in (UNADAPTED, BASE_UNITS)]
    pairs = [(method, UNADAPTED) for method in adapted] + [
        (adapted[0], method) for method in adapted[1:]
    ]
    by_pair: dict[str, dict[int, dict[str, float]]] = {}
    for first, second in pairs:
        for k in [k for k in counts if k]:
            minuend, subtrahend = table.get((first, k), {}), table.get((second, k), {})
            if second == UNADAPTED:
                subtrahend = dict.fromkeys(minuend, table.get((UNADAPTED, 0), {}).get(0))
            both = [
                minuend[draw] - subtrahend[draw]
                for draw in minuend
                if subtrahend.get(draw) is not None
            ]
            if both:
                difference = paired_difference(np.stack(both, axis=1), resamplings, seed)
                by_pair.setdefault(f"{first} - {second}", {})[k] = difference
    return by_pair


def paired_difference(
    differences: np.ndarray, resamplings: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Compute the mean of differences (scenes, draws) with its 95 % percentile bootstrap interval.

    Scenes are drawn with replacement, and for each its draws: what a new scene would give, not a
    new draw of these scenes, counts. With one scene only draws can vary; with a single difference
    the interval is NaN.
    """
    scenes, draws = differences.shape
    low = high = float("nan")
    if scenes * draws > 1:
        generator = np.random.default_rng(seed)
        which = generator.integers(0, scenes, (resamplings, scenes, 1))
        drawn = differences[which, generator.integers(0, draws, (resamplings, scenes, draws))].mean(
            axis=(1, 2)
        )
        low, high = (float(q) for q in np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return {
        "mean": float(differences.mean()),
        "low": low,
        "high": high,
        "scenes": scenes,
        "draws": draws,
    }


def format_few_shot_table(
    summary: Mapping[str, Any], figures: Mapping[str, Figure] = FIGURES
) -> str:
    """Write the summary as the paper prints it: a row a method, a column a K.

    Mean +- deviation over the draws; then the differences with their intervals. "-" where there is
    none.
    """
    lines = []
    for protocol, entry in summary.items():
        counts = entry["shots"]
        several = f"{len(entry['scenes'])} cameras, " if len(entry["scenes"]) > 1 else ""
        rows = [
            [
                f"{protocol} protocol, {several}mean +- deviation over draws",
                *(f"K = {k}" for k in counts),
            ]
        ]
        for name, figure in figures.items():
            if name not in entry["figures"]:
                continue
            rows.append([figure.title, *[""] * len(counts)])
            for method, cells in entry["figures"][name].items():
                rows.append([f"  {method}", *(_cell(cells.get(k), figure) for k in counts)])
            for title, cells in entry["differences"][name].items():
                rows.append(
                    [f"  {title}, 95 %", *(_interval(cells.get(k), figure) for k in counts)]
                )
        adapted = {
            method: cells for method, cells in entry["seconds"].items() if any(cells.values())
        }
        rows += [["seconds to adapt", *[""] * len(counts)]] if adapted else []
        rows += [
            [f"  {method}", *(f"{cells[k]:.1f}" if k in cells else "" for k in counts)]
            for method, cells in adapted.items()
        ]
        lines += format_rows(rows[0], rows[1:]).splitlines()
        lines.append("")
    return "\n".join(lines)


def _cell(entry: Mapping[str, float] | None, figure: Figure) -> str:
    if entry is None:
        return ""
    if not np.isfinite(entry["mean"]):
        return "-"
    text = f"{figure.scale * entry['mean']:.{figure.digits}f}"
    if np.isfinite(entry["deviation"]):
        text += f" +- {figure.scale * entry['deviation']:.{figure.digits}f}"
    return text


def _interval(entry: Mapping[str, float] | None, figure: Figure) -> str:
    if entry is None:
        return ""
    mean, low, high = (
        f"{figure.scale * entry[name]:+.{figure.digits}f}" for name in ("mean", "low", "high")
    )
    return f"{mean} ({low} to {high})" if np.isfinite(entry["low"]) else mean

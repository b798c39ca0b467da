"""Comparison of systems on the same frames: which is better.

Scores of several in, differences with intervals out. No torch.

A system is a detector with its settings; several seeds of it are runs of one system. Scores are
compared under one protocol, by the micro AUC. An interval comes from drawing videos with
replacement, the same videos for all, and within each system its runs with replacement: so a
difference counts only if it holds over videos and over seeds.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from mpn import metrics
from mpn.errors import DataError, LabelError
from mpn.evaluation.frame_metrics import wrapped
from mpn.evaluation.result import SCORE, SCORE_RAW
from mpn.io.text import format_rows, percent, percent_range
from mpn.metrics import intervals
from mpn.metrics.inputs import paired
from mpn.scoring import protocols

Run = Mapping[str, Mapping[str, np.ndarray]]  # video -> column -> float64 (T,)
INTERVAL = "95 %, bootstrap over videos, and over the runs of each system"
FEW_RUNS = 5  # below, drawing runs says too little about how far seeds spread


def compare(
    labels: Mapping[str, np.ndarray],
    systems: Mapping[str, Mapping[str, Run]],
    *,
    protocol: str = "causal",
    score: str = SCORE,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute the micro AUC of every system and all differences, with 95 % intervals.

    Args:
        labels: video -> bool (T,).
        systems: name -> run's name -> its series: video -> column -> (T,), NaN before the first
            score. Every run has the videos of `labels` and a value for each of their frames.
        protocol: of `mpn.scoring.protocols.PROTOCOLS`.
        score: a column, or "pair" (the paper's).
        draws: how often videos (and runs) are resampled.
        seed: of the resampling.

    Returns:
        systems: a dict each: name, runs, each (the runs' micro AUC), micro_auc and macro_auc
        (means), lowest, highest, interval. differences: a dict a pair: a, b, value (a - b), low,
        high, better (the name of the better one, None where they are not told apart), verdict.
        Metrics are shares, NaN where undefined. notes, and what was compared.

    Raises:
        DataError: videos, frames or the score are missing somewhere.
        LabelError: no labels.
    """
    if protocol not in protocols.CELLS:
        raise ValueError(f"protocol {protocol!r}, expected one of {', '.join(protocols.PROTOCOLS)}")
    columns = _columns_of(score, systems)
    _check_all(labels, systems, columns)
    first, notes = _common_frames(labels, systems, columns)
    truth = {video: np.asarray(labels[video])[start:] for video, start in first.items()}
    weights = intervals.draw_weights(intervals.draw_videos(len(truth), draws, seed))
    entries, resampled = [], {}
    for system, runs in systems.items():
        pairs = [paired(truth, _shown(run, first, columns, protocol)) for run in runs.values()]
        aucs = np.stack([intervals.drawn_auc(run, weights) for run in pairs], axis=1)
        by_name = [seed, zlib.crc32(system.encode())]  # whatever the order of the systems
        resampled[system] = _over_runs(aucs, by_name)
        entries.append(_system(system, list(runs), pairs, resampled[system]))
    differences = _differences(entries, resampled, len(truth))
    return {
        "protocol": protocol,
        "score": score,
        "frames": sum(map(len, truth.values())),
        "anomalous": int(sum(y.sum() for y in truth.values())),
        "videos": len(truth),
        "dropped_frames": sum(map(len, labels.values())) - sum(map(len, truth.values())),
        "systems": entries,
        "differences": differences,
        "interval": INTERVAL,
        "bootstrap": {"draws": draws, "seed": seed},
        "notes": notes + _cautions(entries, truth),
    }


def _differences(
    entries: Sequence[dict[str, Any]], resampled: Mapping[str, np.ndarray], videos: int
) -> list[dict[str, Any]]:
    """Describe the difference of every pair of systems."""
    return [
        _difference(a, b, resampled[a["name"]] - resampled[b["name"]], videos)
        for a, b in combinations(entries, 2)
    ]


def _check_all(
    labels: Mapping[str, np.ndarray],
    systems: Mapping[str, Mapping[str, Run]],
    columns: tuple[str, ...],
) -> None:
    """Raise a DataError that names the run in which something is missing."""
    for system, runs in systems.items():
        for name, run in runs.items():
            _check(labels, run, columns, f"{system}, {name}" if len(runs) > 1 else system)


def _columns_of(score: str, systems: Mapping[str, Mapping[str, Run]]) -> tuple[str, ...]:
    """Return the columns that a score is made of: its own, where every run has one of that name."""
    if score == SCORE_RAW:  # what is read as the score, see `score_csv`
        score = SCORE
    runs = [run for system in systems.values() for run in system.values()]
    if not runs:
        raise DataError("no system to compare")
    common = set.intersection(*(set(next(iter(run.values()), {})) for run in runs))
    columns = (score,) if score in common else protocols.SCORES.get(score, (score,))
    if not set(columns) <= common:
        raise DataError(
            f"not every run has the column {' and '.join(columns)}; all have: "
            f"{', '.join(sorted(common)) or 'none'}"
        )
    return columns


def _check(
    labels: Mapping[str, np.ndarray], run: Run, columns: tuple[str, ...], where: str
) -> None:
    """Check that a run's videos and frames are those of the labels."""
    if not labels:
        raise LabelError("no labelled videos, so nothing to compare on")
    missing, extra = ([v for v in a if v not in b] for a, b in ((labels, run), (run, labels)))
    if missing or extra:
        problem = (
            f"no scores of {missing[0]!r}"
            if missing
            else f"scores of {extra[0]!r}, which has no labels"
        )
        raise DataError(
            f"{where}: {problem}; {len(missing)} of {len(labels)} videos are missing and "
            f"{len(extra)} too many; only scores of the same videos can be compared"
        )
    for video, truth in labels.items():
        for column in columns:
            if column not in run[video]:
                raise DataError(
                    f"{where}: video {video!r} has no column {column!r}, as other videos have"
                )
            if np.shape(run[video][column]) != np.shape(truth):
                raise DataError(
                    f"{where}: video {video!r} has {np.size(run[video][column])} frames, its "
                    f"labels {np.size(truth)}; only scores of the same frames can be compared"
                )


def _common_frames(
    labels: Mapping[str, np.ndarray],
    systems: Mapping[str, Mapping[str, Run]],
    columns: tuple[str, ...],
) -> tuple[dict[str, int], list[str]]:
    """Find the first frame of each video that every run has a score of, and remarks about it."""
    first: dict[str, int] = {}
    starts: dict[str, set[int]] = {}
    for video, truth in labels.items():
        for system, runs in systems.items():
            for run in runs.values():
                scored = np.all([~np.isnan(run[video][column]) for column in columns], axis=0)
                start = int(np.argmax(scored)) if scored.any() else len(truth)
                first[video] = max(first.get(video, 0), start)
                starts.setdefault(system, set()).add(start)
    without = [video for video, start in first.items() if start >= len(labels[video])]
    notes = []
    if without:
        notes.append(
            f"left out: {len(without)} of {len(labels)} videos "
            f"({', '.join(without[:5])}), of which some run has no score"
        )
    if len(set(map(frozenset, starts.values()))) > 1:
        each = "; ".join(f"{system} from frame {min(frames)}" for system, frames in starts.items())
        notes.append(
            f"scores begin at different frames ({each}): those that all have are "
            "compared, and filters begin there"
        )
    if len(without) == len(labels):
        raise DataError("no frame has a score of every run, so there is nothing to compare")
    return {video: start for video, start in first.items() if video not in without}, notes


def _shown(
    run: Run, first: Mapping[str, int], columns: tuple[str, ...], protocol: str
) -> dict[str, np.ndarray]:
    """Return a run's score under the protocol, on the common frames, higher = more anomalous."""
    result = {}
    for video, start in first.items():
        cut = {column: np.asarray(run[video][column], np.float64)[start:] for column in columns}
        if columns == protocols.PAIR_COLUMNS:
            score = protocols.PAIR
        else:  # by a name that stands for nothing else
            (column,), score = columns, SCORE
            cut = {SCORE: -cut[column] if column in protocols.TURNED else cut[column]}
        try:
            result[video] = protocols.series_of(score, cut, *protocols.CELLS[protocol])
        except DataError as error:
            raise DataError(f"video {video!r}: {error}") from None
    return result


def _over_runs(values: np.ndarray, seed: list[int]) -> np.ndarray:
    """Compute the mean over runs in every draw, (draws,), from (draws, runs).

    It is of as many runs, drawn with replacement.
    """
    picks = np.random.default_rng(seed).integers(0, values.shape[1], size=values.shape)
    return np.take_along_axis(values, picks, axis=1).mean(axis=1)


def _system(name: str, runs: list[str], pairs: list, drawn: np.ndarray) -> dict[str, Any]:
    split = [([y for y, _ in run], [s for _, s in run]) for run in pairs]
    each = [metrics.frame_auc(*run) for run in split]
    mean = float(np.mean(each))
    return {
        "name": name,
        "runs": runs,
        "each": each,
        "micro_auc": mean,
        "lowest": min(each),
        "highest": max(each),
        "macro_auc": float(np.mean([metrics.macro_auc(*run).value for run in split])),
        "interval": intervals.interval_of(mean, drawn, len(pairs[0]))._asdict(),
    }


def _difference(
    a: Mapping[str, Any], b: Mapping[str, Any], drawn: np.ndarray, videos: int
) -> dict[str, Any]:
    interval = intervals.interval_of(a["micro_auc"] - b["micro_auc"], drawn, videos)
    better = a["name"] if interval.low > 0 else b["name"] if interval.high < 0 else None
    if better is None:
        verdict = f"{a['name']} and {b['name']} are not told apart"
        if math.isnan(interval.low):
            verdict += ": there is no interval"
    else:
        verdict = f"{better} is better than {b['name'] if better == a['name'] else a['name']}"
    return {
        "a": a["name"],
        "b": b["name"],
        **interval._asdict(),
        "better": better,
        "verdict": verdict,
    }


def _cautions(entries: list[dict[str, Any]], truth: Mapping[str, np.ndarray]) -> list[str]:
    """Say what speaks against trusting the intervals."""
    notes = []
    if len(truth) == 1:
        notes.append("one video only: an interval needs several")
    joined = np.concatenate(list(truth.values()))
    if joined.all() or not joined.any():
        notes.append(
            f"all {len(joined)} frames are {'anomalous' if joined.all() else 'normal'}: "
            "the AUC is undefined"
        )
    few = [entry["name"] for entry in entries if 1 < len(entry["runs"]) < FEW_RUNS]
    if few:
        notes.append(
            f"fewer than {FEW_RUNS} runs of {', '.join(few)}: the interval understates "
            "how far seeds spread"
        )
    if any(len(entry["runs"]) == 1 for entry in entries) and len(entries) > 1:
        notes.append(
            "one run of a system says nothing about other seeds of it: its interval is "
            "over videos alone"
        )
    pairs = len(entries) * (len(entries) - 1) // 2
    if pairs > 1:
        notes.append(
            f"{pairs} pairs are compared, each at 95 %: one in twenty equal pairs would "
            "seem different"
        )
    return notes


def format_comparison(result: Mapping[str, Any]) -> str:
    """Write the result of `compare` as plain text, in per cent with one decimal.

    "-" where undefined.
    """
    columns = ["system", "runs", "AUC", "lowest to highest", "95 % interval", "macro AUC"]
    rows = []
    for entry in result["systems"]:
        several = len(entry["runs"]) > 1
        spread = percent_range(entry["lowest"], entry["highest"]) if several else ""
        between = percent_range(entry["interval"]["low"], entry["interval"]["high"])
        cells = [percent(entry["micro_auc"]), spread, between, percent(entry["macro_auc"])]
        rows.append([entry["name"], str(len(entry["runs"])), *cells])
    head = (
        f"frame AUC (micro), %, of {result['score']} by the {result['protocol']} protocol: "
        f"{result['frames']} frames, {result['anomalous']} anomalous, {result['videos']} videos"
    )
    lines = [wrapped(head), "", format_rows(columns, rows)]
    for entry in result["differences"]:
        a, b, value, low, high = (entry[name] for name in ("a", "b", "value", "low", "high"))
        if entry["better"] == b:  # the better one first
            a, b, value, low, high = b, a, -value, -high, -low
        points, between = percent(value, signed=True), percent_range(low, high, signed=True)
        difference = f"{a} minus {b} {points} points (95 % {between})"
        lines.append(wrapped(f"{entry['verdict']}: {difference}"))
    lines += [wrapped(f"note: {note}") for note in result["notes"]]
    return "\n".join(lines) + "\n"

"""Labels and score columns in, the figures of every protocol out; score files in and out. No torch.

A series is video -> column -> float64 (T,), one number a frame, NaN at the start where there is no score
yet. Columns are higher = more anomalous, except `psnr_db`, which is turned here and nowhere else.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpn import metrics, protocols
from mpn.errors import DataError, LabelError
from mpn.files import read_npy, write_atomically

MAIN = "score"  # the column that gets intervals and stands first in every table
PAIR = "paper_pair"  # made here of psnr_db and compactness, under the paper's protocol only
TURNED = ("psnr_db",)  # higher = more normal: minus these is evaluated
SUFFIXES = (".csv", ".npy", ".txt")

_TITLES = {
    MAIN: "score (region score)",
    "error": "largest patch, absolute error",
    "pseudo": "largest patch, pseudo-anomaly head",
    "psnr_db": "PSNR",
    "compactness": "compactness",
    PAIR: "paper's pair",
}
_HEADINGS = {"absolute": "absolute", "causal": "causal", "paper": "paper's protocol"}

Series = Mapping[str, Mapping[str, np.ndarray]]


def evaluate(
    labels: Mapping[str, np.ndarray],
    series: Series,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, Any]:
    """Every score column under every protocol, on the same frames, beside the baselines.

    labels: video -> bool (T,); series: video -> column -> (T,), `score` among them; baselines: name ->
    video -> (T,), higher = more anomalous. Figures are shares in [0, 1], NaN where undefined. Each entry
    of result["scores"][column][protocol] and result["baselines"][name][protocol] has micro_auc, macro_auc,
    padded_macro_auc, equal_error_rate and average_precision; `score` also interval, and a baseline
    score_minus_this, both 95 % over videos (`draws` resamplings from `seed`).

    The first frames, which have no score, are left out before anything is smoothed, for all columns
    and baselines alike; videos without any score are left out and named.

    Raises DataError for missing videos, columns or gaps, LabelError for lengths that don't fit.
    """
    start, left_out = _starts(labels, series)
    truth = {name: np.asarray(labels[name])[first:] for name, first in start.items()}
    columns = list(series[next(iter(start))])
    turned = {
        column: {
            name: (-1.0 if column in TURNED else 1.0) * np.asarray(series[name][column], np.float64)[first:]
            for name, first in start.items()
        }
        for column in columns
    }
    shown = {
        column: {protocol: protocols.apply(protocol, turned[column]) for protocol in protocols.PROTOCOLS}
        for column in columns
    }
    if {"psnr_db", "compactness"} <= set(columns):
        pairs = {
            name: protocols.paper_pair(-turned["psnr_db"][name], turned["compactness"][name]) for name in start
        }
        shown[PAIR] = {"paper": pairs}
    result = _facts(labels, truth, start, left_out) | {"bootstrap": {"draws": draws, "seed": seed}}
    result["scores"] = {
        column: {protocol: _figures(truth, scores) for protocol, scores in by_protocol.items()}
        for column, by_protocol in shown.items()
    }
    for protocol, scores in shown[MAIN].items():
        interval = metrics.bootstrap_interval(truth, scores, draws=draws, seed=seed)
        result["scores"][MAIN][protocol]["interval"] = interval._asdict()
    result["baselines"] = {}
    for baseline, values in (baselines or {}).items():
        cut = {name: _baseline(baseline, values, name, len(labels[name]))[start[name] :] for name in start}
        result["baselines"][baseline] = entry = {}
        for protocol in protocols.PROTOCOLS:
            scores = protocols.apply(protocol, cut)
            difference = metrics.paired_bootstrap(truth, shown[MAIN][protocol], scores, draws=draws, seed=seed)
            entry[protocol] = _figures(truth, scores) | {"score_minus_this": difference._asdict()}
    return result


def _starts(labels: Mapping[str, np.ndarray], series: Series) -> tuple[dict[str, int], list[str]]:
    """First frame with all scores of each video, and the videos that have none."""
    missing = [name for name in labels if name not in series]
    if missing or not labels:
        raise DataError(f"no scores for {len(missing)} of {len(labels)} labelled videos: {missing[:3]}")
    columns = set(series[next(iter(labels))])
    start, left_out = {}, []
    for name, truth in labels.items():
        if set(series[name]) != columns or MAIN not in columns:
            raise DataError(
                f"video {name!r} has columns {sorted(series[name])}, expected {sorted(columns | {MAIN})}"
            )
        first = 0
        for column, values in series[name].items():
            if np.shape(values) != np.shape(truth):
                raise LabelError(
                    f"video {name!r}: {np.size(truth)} labels but {np.size(values)} values of {column!r}"
                )
            scored = np.flatnonzero(~np.isnan(values))
            first = max(first, int(scored[0]) if len(scored) else len(truth))
        if first < len(truth):
            start[name] = first
        else:
            left_out.append(name)
    if not start:
        raise DataError(f"none of {len(labels)} videos has a scored frame; are they longer than a window?")
    return start, left_out


def _baseline(baseline: str, values: Mapping[str, np.ndarray], name: str, length: int) -> np.ndarray:
    if name not in values:
        raise DataError(f"baseline {baseline!r} has no scores for video {name!r}")
    if np.shape(values[name]) != (length,):
        raise LabelError(
            f"video {name!r}: {length} labels but {np.size(values[name])} values of baseline {baseline!r}"
        )
    return np.asarray(values[name], np.float64)


def _facts(
    labels: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    start: Mapping[str, int],
    left_out: list[str],
) -> dict[str, Any]:
    """What was evaluated and how, in numbers and words."""
    dropped = sum(start.values()) + sum(len(labels[name]) for name in left_out)
    each = sorted(set(start.values()))
    words = f"the first {' or '.join(map(str, each))} frames of a video, which have no score, and their labels"
    return {
        "frames": sum(len(y) for y in truth.values()),
        "anomalous": int(sum(np.asarray(y).sum() for y in truth.values())),
        "videos": len(truth),
        "videos_with_both_classes": sum(bool(y.any() and not y.all()) for y in truth.values()),
        "dropped_frames": dropped,
        "dropped": words if dropped else "none",
        "videos_without_scores": left_out,
        "main": MAIN,
        "turned": dict.fromkeys(TURNED, "minus this is evaluated (higher = more normal)"),
        "protocols": protocols.DESCRIPTIONS,
        "interval": "95 %, bootstrap over videos",
    }


def _figures(truth: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {
        "micro_auc": metrics.frame_auc(truth, scores),
        "macro_auc": metrics.macro_auc(truth, scores).value,
        "padded_macro_auc": metrics.padded_macro_auc(truth, scores),
        "equal_error_rate": metrics.equal_error_rate(truth, scores),
        "average_precision": metrics.average_precision(truth, scores),
    }


def format_table(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` as plain text, in per cent with one decimal; "-" where undefined."""
    main = result["scores"][MAIN]
    of = f"{result['videos_with_both_classes']} of {result['videos']} videos"
    rows: list[tuple[str, list[str]]] = [("frame AUC (micro), %", list(_HEADINGS.values()))]
    rows += [_row(_TITLES.get(name, name), entry, "micro_auc") for name, entry in result["scores"].items()]
    rows += [("score:", [])]
    rows += [("  95 % interval", [_range(main[protocol]["interval"]) for protocol in _HEADINGS])]
    rows += [
        _row(f"  macro AUC ({of})", main, "macro_auc"),
        _row("  padded macro AUC", main, "padded_macro_auc"),
        _row("  equal error rate", main, "equal_error_rate"),
        _row("  average precision", main, "average_precision"),
    ]
    if result["baselines"]:
        rows += [("no learning:", [])]
        rows += [
            _row(f"  {name.replace('_', ' ')}", entry, "micro_auc")
            for name, entry in result["baselines"].items()
        ]
    first = max(len(title) for title, _ in rows)
    widths = [max(len(cells[k]) for _, cells in rows if cells) for k in range(len(_HEADINGS))]
    lines = [
        "  ".join([title.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths))]).rstrip()
        for title, cells in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    counts = f"{result['frames']} frames, {result['anomalous']} anomalous, {result['videos']} videos"
    left_out = f"left out: {result['dropped_frames']} frames ({result['dropped']})"
    lines += ["", f"{counts}; {left_out}" if result["dropped_frames"] else counts]
    for protocol, words in result["protocols"].items():
        lines.append(
            f"{_HEADINGS[protocol]}: normalisation {words['normalisation']}; smoothing {words['smoothing']}; "
            f"mean delay {words['delay_frames']:.1f} frames"
        )
    return "\n".join(lines) + "\n"


def _row(title: str, entry: Mapping[str, Mapping[str, float]], figure: str) -> tuple[str, list[str]]:
    return title, [_percent(entry[name][figure]) if name in entry else "" for name in _HEADINGS]


def _percent(value: float) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def _range(interval: Mapping[str, float]) -> str:
    return f"{_percent(interval['low'])} to {_percent(interval['high'])}"


def write_metrics(path: str | Path, result: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
    """metrics.json: the result with `extra` (label file, checkpoint, versions ...) beside it; NaN is null.

    Written whole or not at all. Raises ValueError where extra would hide a figure, MpnError where the
    file cannot be written.
    """
    both = sorted(set(result) & set(extra or {}))
    if both:
        raise ValueError(f"{both} are in the result already")
    text = json.dumps(_plain({**result, **(extra or {})}), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text + "\n")


def _plain(value: Any) -> Any:
    """JSON's types only."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating, Fraction)):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(value)


def write_scores(path: str | Path, columns: Mapping[str, np.ndarray], fps: float | Fraction | None) -> None:
    """scores/<video>.csv: frame (from 0), time (seconds, nan when fps is unknown), then the columns.

    Numbers are written so that reading gives the same float64 again; no score is `nan`. Written whole or
    not at all. Raises DataError for columns of several lengths, MpnError where it cannot be written.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"columns for {path} must be of one length, found {lengths}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "time", *columns])
    values = [np.asarray(column, np.float64).tolist() for column in columns.values()]
    for frame, row in enumerate(zip(*values)):
        time = math.nan if fps is None else float(frame / Fraction(fps))
        writer.writerow([frame, repr(time), *map(repr, row)])
    write_atomically(path, text.getvalue())


def read_scores(
    folder: str | Path, lengths: Mapping[str, int] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Anyone's scores: one file a video, named after it, as series for `evaluate`.

    VIDEO.csv with a header: `score` is required, `frame` (from 0) optional, `time` ignored, other columns
    are evaluated too; rows may begin at any frame, those before get NaN. VIDEO.npy (T,) or VIDEO.txt, one
    value a line, hold `score` alone. Higher = more anomalous. lengths: video -> frames; with it those
    videos must be there and fit. Raises DataError naming file and line; nothing is unpickled.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of score files (VIDEO.csv, .npy or .txt)")
    if lengths is None:
        names: Iterable[str] = sorted({x.stem for x in folder.iterdir() if x.suffix in SUFFIXES})
    else:
        names = lengths
    series = {name: _read_video(folder, name, None if lengths is None else lengths[name]) for name in names}
    if not series:
        raise DataError(f"{folder} holds no score files (VIDEO.csv, .npy or .txt)")
    return series


def _read_video(folder: Path, name: str, length: int | None) -> dict[str, np.ndarray]:
    found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) != 1:
        files = " and ".join(path.name for path in found) or "no file"
        raise DataError(
            f"video {name!r}: found {files} in {folder}, expected one of {name}.csv, {name}.npy, {name}.txt"
        )
    path = found[0]
    columns = {".csv": _read_csv, ".npy": _read_npy, ".txt": _read_txt}[path.suffix](path, length)
    count = len(columns[MAIN])
    if length is not None and count != length:
        raise DataError(
            f"{path}: {count} scores, but the video has {length} frames; write nan where there is no score"
        )
    return columns


def _read_npy(path: Path, _length: int | None) -> dict[str, np.ndarray]:
    values = read_npy(path)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise DataError(f"{path}: expected one number a frame (T,), found {values.dtype} {values.shape}")
    values = values.astype(np.float64)
    if np.isinf(values).any():
        raise DataError(f"{path}: the score of frame {np.flatnonzero(np.isinf(values))[0]} is infinite")
    return {MAIN: values}


def _read_txt(path: Path, _length: int | None) -> dict[str, np.ndarray]:
    lines = _text(path).rstrip().split("\n")
    return {MAIN: np.array([_value(path, k, line) for k, line in enumerate(lines, 1)])}


def _read_csv(path: Path, length: int | None) -> dict[str, np.ndarray]:
    rows = [row for row in enumerate(csv.reader(io.StringIO(_text(path))), 1) if row[1]]
    header = [name.strip() for name in rows[0][1]] if rows else []
    if MAIN not in header or len(set(header)) != len(header):
        raise DataError(f"{path}: the first line is {','.join(header)!r}, expected column names with {MAIN!r}")
    frames: list[int] = []
    values: list[list[float]] = []
    kept = [k for k, name in enumerate(header) if name not in ("frame", "time")]
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(row)} values, expected {len(header)}")
        frame = _value(path, line, row[header.index("frame")]) if "frame" in header else len(frames)
        if frames and frame != frames[-1] + 1 or not frame >= 0 or frame != int(frame):
            expected = f"{frames[-1] + 1}" if frames else "a whole number from 0"
            raise DataError(f"{path}, line {line}: frame {frame:g}, expected {expected}")
        if length is not None and frame >= length:
            raise DataError(f"{path}, line {line}: frame {frame:g}, but the video has {length} frames (from 0)")
        frames.append(int(frame))
        values.append([_value(path, line, row[k]) for k in kept])
    if not frames:
        raise DataError(f"{path}: no scores below the header")
    table = np.array(values)
    before = np.full(frames[0], np.nan)
    return {header[k]: np.concatenate([before, table[:, column]]) for column, k in enumerate(kept)}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None


def _value(path: Path, line: int, text: str) -> float:
    """A number, or NaN for an empty field; infinity is refused."""
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        raise DataError(f"{path}, line {line}: {text.strip()!r} is not a number") from None
    if math.isinf(value):
        raise DataError(f"{path}, line {line}: infinite, expected a finite number or nan")
    return value

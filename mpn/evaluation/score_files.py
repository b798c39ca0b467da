"""Score files in and out: scores/<video>.csv of ours, and anyone's in the forms that people have.

No torch.

Scores are higher = more anomalous, one number a frame; nan stands only before the first score of a
video. What can be told without doubt is read and said (another delimiter, columns and rows in
another order, names that differ in case); everything else is refused in one line that names the
file and where in it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mpn import metrics
from mpn.errors import DataError
from mpn.evaluation.result import SCORE
from mpn.evaluation.score_csv import LARGEST, number, read_csv
from mpn.io.atomic import read_npy, write_atomically
from mpn.video.paths import VIDEO_SUFFIXES, natural_key, visible

SUFFIXES = (".csv", ".npy", ".txt")
REGIONS = "_regions"  # VIDEO_regions.csv beside VIDEO.csv is no video's scores
LABELS = "labels.csv"  # video,start,end: no video's scores either
SHOWN = 5  # names that a message lists; it counts the others


def write_scores(path: str | Path, columns: Mapping[str, np.ndarray], times: np.ndarray) -> None:
    """Write scores/<video>.csv: frame (from 0), time, then the columns.

    Numbers are written so that reading gives the same float64 again; no score is `nan`. Written
    whole or not at all.

    Args:
        path: of the file.
        columns: (T,) each.
        times: (T,), seconds of each frame, NaN where unknown.

    Raises:
        DataError: columns of several lengths.
        MpnError: it cannot be written.
    """
    columns = {"time": times} | dict(columns)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"columns for {path} must be of one length, found {lengths}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", *columns])
    values = [np.asarray(column, np.float64).tolist() for column in columns.values()]
    for frame, row in enumerate(zip(*values)):
        writer.writerow([frame, *map(repr, row)])
    write_atomically(path, text.getvalue())


def read_scores(
    folder: str | Path, lengths: Mapping[str, int] | None = None, notes: list[str] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Read anyone's scores: one file a video, named after it, as series for `evaluate`.

    VIDEO.csv with a header: `score` is required, `frame` (from 0) optional, `time` ignored, other
    columns are evaluated too; where there is a `score_raw`, the score before smoothing, it is what
    is given as `score`; rows may begin at any frame, those before get NaN. VIDEO.npy (T,) or
    VIDEO.txt, one value a line, hold `score` alone. Higher = more anomalous. nan stands for "no
    score yet", at the start only.

    Args:
        folder: of the files.
        lengths: video -> frames; with it those videos must be there and fit, and files of others
            are left out.
        notes: what was read otherwise than it stood there, or is odd, is appended, a sentence each.

    Returns:
        video -> column -> float64 (T,), in the order of `lengths`, or in natural order.

    Raises:
        DataError: naming file and line; nothing is unpickled.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of score files (VIDEO.csv, .npy or .txt)")
    files = [path for path in visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]
    tables = {path.stem for path in files}
    files = [path for path in files if path.stem.removesuffix(REGIONS) not in tables - {path.stem}]
    files = [path for path in files if path.name != LABELS or "labels" in (lengths or {})]
    remarks_on: dict[str, list[str]] = {}
    paths = (
        _all_files(folder, files)
        if lengths is None
        else _files_of(folder, files, list(lengths), remarks_on)
    )
    series = {}
    for name, path in paths.items():
        series[name], remarks = _read(path, None if lengths is None else lengths[name])
        for remark in remarks:
            remarks_on.setdefault(remark, []).append(path.name)
        _check_length(path, len(series[name][SCORE]), None if lengths is None else lengths[name])
    if notes is not None:
        notes += [f"{folder}: {names_of(names)}: {text}" for text, names in remarks_on.items()]
        notes += _constant(folder, series)
    return series


def names_of(names: Sequence[str]) -> str:
    """Write some names and how many there are, for a sentence: "2 files (a.csv, b.csv)"."""
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return names[0] if len(names) == 1 else f"{len(names)} files ({shown})"


def _all_files(folder: Path, files: list[Path]) -> dict[str, Path]:
    """Return every score file by the name of its video, in natural order."""
    paths: dict[str, Path] = {}
    for path in files:
        if path.stem in paths:
            raise _twice(folder, path.stem, [paths[path.stem], path])
        paths[path.stem] = path
    if not paths:
        below = f"; {folder / 'scores'} may be meant" if (folder / "scores").is_dir() else ""
        raise DataError(f"{folder} holds no score files (VIDEO.csv, .npy or .txt){below}")
    return paths


def _files_of(
    folder: Path, files: list[Path], names: list[str], remarks_on: dict[str, list[str]]
) -> dict[str, Path]:
    """Find the score file of each named video.

    What was found under another spelling, or is of no video, is said.
    """
    exact: dict[str, list[Path]] = {}
    loose: dict[str, list[Path]] = {}
    for path in files:
        exact.setdefault(path.stem, []).append(path)
        loose.setdefault(_spelling(path.stem), []).append(path)
    alike = Counter(map(_spelling, names))
    paths, missing = {}, []
    for name in names:
        candidates = exact.get(name, [])
        if not candidates and alike[_spelling(name)] == 1:
            candidates = [path for path in loose.get(_spelling(name), []) if path.stem not in names]
        if len(candidates) > 1:
            raise _twice(folder, name, candidates)
        if candidates:
            paths[name] = candidates[0]
        else:
            missing.append(name)
    if missing:
        shown = ", ".join(map(repr, missing[:SHOWN])) + (", ..." if len(missing) > SHOWN else "")
        below = f"; {folder / 'scores'} may be meant" if (folder / "scores").is_dir() else ""
        raise DataError(
            f"video {missing[0]!r}: found no file in {folder}, expected one of {missing[0]}.csv, "
            f"{missing[0]}.npy, {missing[0]}.txt; {len(missing)} of {len(names)} test videos have "
            f"none ({shown}){below}"
        )
    other = [path.name for name, path in paths.items() if path.stem != name]
    if other:
        remarks_on["taken for the test video whose name is spelt otherwise"] = other
    extra = [path.name for path in files if path not in paths.values()]
    if extra:
        remarks_on["of no test video, left out"] = extra
    return paths


def _spelling(name: str) -> str:
    """Return what names of one video have in common.

    Without case, a video's suffix, and zeros before numbers.
    """
    stem = Path(name).stem if Path(name).suffix.lower() in VIDEO_SUFFIXES else name
    return re.sub(r"0*(\d+)", r"\1", stem.casefold())


def _twice(folder: Path, name: str, paths: list[Path]) -> DataError:
    files = " and ".join(
        path.name for path in sorted(paths, key=lambda path: natural_key(path.name))
    )
    return DataError(
        f"video {name!r}: found {files} in {folder}, expected one of {name}.csv, "
        f"{name}.npy, {name}.txt"
    )


def _read(path: Path, length: int | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the columns of one file and what is to be said about it."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _read_npy(path)
    text = _text(path)
    if not text.strip():
        raise DataError(f"{path}: is empty, expected one score a frame")
    return read_csv(path, text, length) if suffix == ".csv" else (_read_txt(path, text), [])


def _check_length(path: Path, count: int, length: int | None) -> None:
    if length is not None and count != length:
        raise DataError(
            f"{path}: {count} scores, but the video has {length} frames (from 0); write nan where "
            "there is no score yet"
        )


def _read_npy(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    values = read_npy(path)
    remarks = []
    if values.ndim == 2 and 1 in values.shape:
        remarks.append("a single row or column of numbers, taken as one number a frame")
        values = values.ravel()
    if values.ndim != 1 or values.dtype.kind not in "iufb":
        raise DataError(
            f"{path}: expected one number a frame (T,), found {values.dtype} {values.shape}"
        )
    values = values.astype(np.float64)
    if not values.size:
        raise DataError(f"{path}: is empty, expected one score a frame")
    scored = np.flatnonzero(~np.isnan(values))
    bad = (
        np.flatnonzero(~(np.abs(values[scored[0] :]) <= LARGEST)) + scored[0]
        if len(scored)
        else scored
    )
    if len(bad):
        problem = "nan" if np.isnan(values[bad[0]]) else f"infinite or beyond {LARGEST:g}"
        raise DataError(
            f"{path}: the score of frame {bad[0]} is {problem}, expected a finite number for every "
            f"frame from the first score (frame {scored[0]}) on"
        )
    return {SCORE: values}, remarks


def _read_txt(path: Path, text: str) -> dict[str, np.ndarray]:
    values, first = [], 0
    for line, word in enumerate(text.rstrip().split("\n"), 1):
        values.append(number(path, line, word, SCORE))
        if not math.isnan(values[-1]):
            first = first or line
        elif first:
            raise DataError(
                f"{path}, line {line}: no score ({word.strip() or 'empty'}) after the "
                f"first one (line {first}), expected a number for every frame from "
                "there on"
            )
    return {SCORE: np.array(values)}


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return (
            data.decode("utf-16" if wide else "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None


def _constant(folder: Path, series: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Return what is to be said about videos in which every frame has the same score."""
    names = metrics.constant_videos({name: columns[SCORE] for name, columns in series.items()})
    if not names:
        return []
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return [
        f"{folder}: in {len(names)} of {len(series)} videos ({shown}) every frame has the same "
        "score: nothing stands out there, such a video's own AUC is 50"
    ]

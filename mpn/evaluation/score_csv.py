"""Reader of a table of scores as people have it, into columns.

Any delimiter, columns and rows in any order. No torch.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mpn.errors import DataError
from mpn.evaluation.result import SCORE, SCORE_RAW

KNOWN = (SCORE, "frame", "time")  # also found with capitals
JOB_HEADER = ["frame", "time", SCORE, "raw"]  # of a table that `mpn score` wrote
BOX = ("top", "left", "height", "width")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LARGEST = 1e300  # of a score's size: the spread of larger ones is infinite
LATEST = 10_000_000  # frame that a table may begin with where the video's length is not known


def read_csv(path: Path, text: str, length: int | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the columns of VIDEO.csv, see `mpn.evaluation.score_files.read_scores`.

    Args:
        path: of the file, for messages.
        text: what it holds, lines ending in newlines, not blank.
        length: frames of the video, where they are known.

    Returns:
        column -> float64 (T,), NaN before the first score, and what was read otherwise than it
        stood there.

    Raises:
        DataError: naming the line.
    """
    delimiter, rows = _rows(path, text)
    header, remarks = _header(path, rows[0][1])
    if delimiter != ",":
        remarks.append(f"{DELIMITERS[delimiter]} between the columns")
    body = rows[1:] if SCORE in header else rows
    if SCORE not in header:  # one column of numbers without a name
        header = [SCORE]
    lines = [line for line, _ in body]
    uneven = next(((line, row) for line, row in body if len(row) != len(header)), None)
    if uneven:
        raise DataError(
            f"{path}, line {uneven[0]}: {len(uneven[1])} values, expected {len(header)}"
        )
    if not body:
        raise DataError(f"{path}: no scores below the header")
    columns_of_rows = zip(*(row for _, row in body))
    texts: dict[str, list[str]] = dict(zip(header, map(list, columns_of_rows)))
    if delimiter != "," and any("," in text for column in texts.values() for text in column):
        texts = {
            name: [text.replace(",", ".") for text in column] for name, column in texts.items()
        }
        remarks.append("decimal commas")
    first, order = 0, np.arange(len(lines))
    if "frame" in texts:
        frames = _numbers(path, lines, texts["frame"], "frame")
        first, order = _order(path, lines, frames, length)
        if (np.diff(order) < 0).any():
            remarks.append("rows not in the order of their frames, sorted")
    texts = _unsmoothed(texts, remarks)
    return _columns(path, texts, [lines[k] for k in order], order, first, remarks), remarks


def _unsmoothed(texts: Mapping[str, list[str]], remarks: list[str]) -> dict[str, list[str]]:
    """Return the columns with the score before smoothing as `score`.

    Protocols do their own smoothing.
    """
    columns = dict(texts)
    if SCORE_RAW in columns:
        columns[SCORE] = columns.pop(SCORE_RAW)
    elif list(columns)[: len(JOB_HEADER)] == JOB_HEADER:  # as `mpn score` once wrote it
        columns[SCORE] = columns.pop("raw")
        remarks.append("the column 'raw', the score before smoothing, taken as the score")
    else:
        return columns
    if set(BOX) <= set(columns):  # where the largest patch was: no scores
        columns = {name: column for name, column in columns.items() if name not in BOX}
    return columns


def _rows(path: Path, text: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the delimiter, and each row with the number of its line.

    Blank lines at the ends are left out.
    """
    blank = len(text) - len(text.lstrip("\n "))
    before = text.count("\n", 0, blank)
    try:
        delimiter = _delimiter(text[blank:].split("\n", 1)[0])
        reader = csv.reader(io.StringIO(text[blank:].rstrip("\n ")), delimiter=delimiter)
        return delimiter, [(before + reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from None


def _delimiter(line: str) -> str:
    """Find what stands between the columns, from the header.

    Of those that give a column called score, the one with the most columns.
    """
    fields = {mark: next(csv.reader([line], delimiter=mark), []) for mark in DELIMITERS}
    with_score = [
        mark
        for mark, names in fields.items()
        if SCORE in [name.strip().casefold() for name in names]
    ]
    return max(with_score, key=lambda mark: len(fields[mark]), default=",")


def _header(path: Path, row: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns' names, and what is to be said about them.

    A score without header gives the row as it is.
    """
    header, remarks = [" ".join(name.split()) for name in row], []
    plain = [name.casefold() if name.casefold() in KNOWN else name for name in header]
    if plain != header:
        header = plain
        remarks.append("names of columns spelt with capitals")
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise DataError(
            f"{path}: the first line has the column {twice[0]!r} twice, expected "
            "column names once each"
        )
    if SCORE in header:
        return header, remarks
    shown = ",".join(header)[:80]
    try:
        numbers = [float(name) for name in header]
    except ValueError:
        raise DataError(
            f"{path}: the first line is {shown!r}, expected column names with {SCORE!r}"
        ) from None
    if len(numbers) == 1:
        return header, ["no header, its one column taken as the score"]
    raise DataError(
        f"{path}: has no header, the first line is {shown!r}; expected column names with {SCORE!r}"
    )


def _order(
    path: Path, lines: list[int], frames: np.ndarray, length: int | None
) -> tuple[int, np.ndarray]:
    """Return the first frame of the rows and the order that sorts them, int (T,).

    Every frame from there on stands once.
    """
    odd = np.flatnonzero(~((frames >= 0) & (frames == np.floor(frames))))
    if len(odd):
        raise DataError(
            f"{path}, line {lines[odd[0]]}: frame {frames[odd[0]]:g}, expected a whole "
            "number from 0"
        )
    limit = LATEST + len(frames) if length is None else length
    late = np.flatnonzero(frames >= limit)
    if len(late):
        has = (
            f"but the video has {length} frames (from 0)"
            if length is not None
            else "no video is that long"
        )
        raise DataError(f"{path}, line {lines[late[0]]}: frame {frames[late[0]]:.0f}, {has}")
    order = np.argsort(frames, kind="stable")
    steps = np.flatnonzero(np.diff(frames[order]) != 1)
    if len(steps):
        before, after = order[steps[0]], order[steps[0] + 1]
        if frames[before] == frames[after]:
            raise DataError(
                f"{path}, line {lines[after]}: frame {frames[after]:.0f} stands in line "
                f"{lines[before]} already; expected one row a frame"
            )
        raise DataError(
            f"{path}, line {lines[after]}: frame {frames[after]:.0f}, expected "
            f"{frames[before] + 1:.0f}: {len(steps)} gaps, expected a row for every frame from the "
            "first on"
        )
    return int(frames[order[0]]), order


def _columns(
    path: Path,
    texts: Mapping[str, list[str]],
    lines: list[int],
    order: np.ndarray,
    first: int,
    remarks: list[str],
) -> dict[str, np.ndarray]:
    """Return the columns of numbers in the order of the frames, NaN before `first`.

    What is left out is added to `remarks`.
    """
    columns = {}
    for name in [SCORE, *(name for name in texts if name not in KNOWN)]:
        column = [texts[name][int(k)] for k in order]
        if not name:
            remarks.append("a column without a name, left out")
            continue
        words = {text.strip().casefold() for text in column} - {"", "nan"}
        if (
            name != SCORE
            and not any(map(_is_number, words))
            and (words or not np.isnan(columns[SCORE]).all())
        ):
            remarks.append(f"no numbers in the column {name!r}, left out")
            continue
        values = _numbers(path, lines, column, name)
        scored = np.flatnonzero(~np.isnan(values))
        gaps = np.flatnonzero(np.isnan(values[scored[0] :])) + scored[0] if len(scored) else scored
        if len(gaps):
            raise DataError(
                f"{path}, line {lines[gaps[0]]}: no {name} ({column[gaps[0]].strip() or 'empty'}) "
                f"after the first one (line {lines[scored[0]]}), expected a number for every frame "
                "from there on"
            )
        columns[name] = np.concatenate([np.full(first, np.nan), values])
    return {name: columns[name] for name in texts if name in columns}


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _numbers(path: Path, lines: Sequence[int], texts: Sequence[str], column: str) -> np.ndarray:
    """Read texts as float64 (T,); what is no number is named with its line."""
    try:
        values = np.array(list(map(float, texts)))
    except ValueError:
        values = None
    if values is None or (np.abs(values) > LARGEST).any():
        values = np.array([number(path, line, text, column) for line, text in zip(lines, texts)])
    return values


def number(path: Path, line: int, text: str, column: str) -> float:
    """Read a number of a text file, NaN for an empty field.

    Raises:
        DataError: anything else, and infinity and what is as good as infinite; names line and
            column.
    """
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        shown = text.strip() if len(text) < 40 else f"{text.strip()[:40]}..."
        raise DataError(f"{path}, line {line}: {shown!r} is not a number ({column})") from None
    if abs(value) > LARGEST:
        raise DataError(
            f"{path}, line {line}: {text.strip()[:40]} is infinite or beyond {LARGEST:g} "
            f"({column}), expected a finite number or nan"
        )
    return value

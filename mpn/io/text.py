"""Numbers in words for a person: percentages, plurals, times, tables; and JSON for a program."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from fractions import Fraction
from typing import Any, TypeGuard

import numpy as np

UNKNOWN = "-"


def is_known(value: float | None) -> TypeGuard[float]:
    """Say whether `value` is a number: not None, NaN or infinite."""
    return value is not None and math.isfinite(value)


def printable(name: str) -> str:
    """Write out as \\udcXX what a file's name has that is no UTF-8, and few formats take."""
    return name.encode(errors="backslashreplace").decode()


# --- Percentages and plurals


def percent(share: float | None, *, signed: bool = False, unit: bool = False) -> str:
    """Write a share as per cent with one decimal.

    Args:
        share: 1 is all; None, NaN and infinity become "-".
        signed: with the sign also of a positive number, as a difference has it.
        unit: with " %" behind it.

    Returns:
        Such as "97.3", "+0.4", "97.3 %".
    """
    if not is_known(share):
        return UNKNOWN
    return f"{100 * share:{'+' if signed else ''}.1f}{' %' if unit else ''}"


def percent_range(
    low: float | None,
    high: float | None,
    *,
    to: str = " to ",
    signed: bool = False,
    unit: bool = False,
) -> str:
    """Write two shares as `percent` does, such as "95.1 to 98.2".

    Args:
        low: the first share.
        high: the second.
        to: what stands between them.
        signed: see `percent`.
        unit: see `percent`.
    """
    return to.join(percent(end, signed=signed, unit=unit) for end in (low, high))


def plural(number: float, word: str, spec: str = ",") -> str:
    """Write a number with a regular noun: "1 frame", "1,200 frames".

    Args:
        number: how many.
        word: the noun for one.
        spec: how the number is written, as in a format string; by default thousands are marked.
    """
    return f"{number:{spec}} {word}{'s' * (number != 1)}"


def ordinal(number: int) -> str:
    """Write a number's place in a row: "1st", "2nd", "3rd", "4th", "11th"."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    teens = number // 10 % 10 == 1
    return f"{number:,}{'th' if teens else ends.get(number % 10, 'th')}"


# --- Times


def clock(seconds: float) -> str:
    """Write a moment of a video to the tenth of a second: "0:07.5", "2:03:07.5"."""
    tenths = round(seconds * 10)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 / 10:04.1f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def utc(seconds: float) -> str:
    """Write Unix seconds as UTC in ISO 8601, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float | None) -> str:
    """Write how long something lasts: "4.2 s", "3 min 20 s", "2 h 5 min", or "-" if unknown."""
    if not is_known(seconds):
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


# --- Tables


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Measure the widest cell of each column; rows may be of different lengths."""
    columns = max((len(row) for row in rows), default=0)
    return [max(len(row[k]) for row in rows if k < len(row)) for k in range(columns)]


def align(
    rows: Sequence[Sequence[str]],
    widths: Sequence[int] | None = None,
    *,
    gap: str = "  ",
    names: bool = True,
) -> list[str]:
    """Pad cells to columns, a line a row.

    Args:
        rows: texts; a row may be shorter than others.
        widths: characters of each column; None measures them.
        gap: between two columns.
        names: the first column holds names and stands to the left, the others to the right;
            without, all stand to the right.

    Returns:
        The lines, without spaces at their ends.
    """
    widths = column_widths(rows) if widths is None else widths
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        if names and cells:
            cells[0] = row[0].ljust(widths[0])
        lines.append(gap.join(cells).rstrip())
    return lines


def format_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table: names to the left, numbers to the right, a line under the head.

    Args:
        head: texts of the first row.
        rows: texts of the others.
    """
    lines = align([head, *rows])
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines) + "\n"


# --- JSON


def finite(value: float | None) -> float | None:
    """Return a number as JSON has it: None for NaN and infinity, which it lacks."""
    return float(value) if is_known(value) else None


def plain(value: Any) -> Any:
    """Return a value in JSON's types only.

    Mappings become dicts with str keys, tuples, sets and arrays lists, NumPy's and exact numbers
    those of Python, numbers that are not finite None, and anything else its str.

    Args:
        value: anything.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating, Fraction)):
        return finite(float(value))
    return value if value is None else str(value)


def json_text(value: Any, *, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """Write `value` as JSON, made `plain` first, so that every program can read it.

    Args:
        value: see `plain`.
        indent: spaces a level; None writes one line.
        ensure_ascii: whether letters beyond ASCII are escaped.
    """
    return json.dumps(plain(value), allow_nan=False, indent=indent, ensure_ascii=ensure_ascii)

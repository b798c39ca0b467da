"""Compare two folders of results number by number: a refactoring is to change none.

    python -m benchmarks.compare_results BEFORE AFTER

BEFORE and AFTER are folders that `evaluate` or `mpn score` wrote. Compared are all metrics.json,
matrix.json and events.json, all tables (.csv) and heat maps (.bin) in BEFORE, each with the file of
the same name in AFTER, to the last digit. Versions, times and paths are not compared.

A key that has another name in AFTER is found by its numbers: it is listed as renamed, for a person
to look at, and so are words that differ and what is new in AFTER. The column with the score before
smoothing, `score` in the tables that `evaluate` once wrote and `raw` in those of `mpn score`, is
compared with `score_raw`.

The exit code is 1 where a number differs or is missing in AFTER, and each such place is listed.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCUMENTS = ("metrics.json", "matrix.json", "events.json")
# Keys at the top of a document that say how it was made.
HOW_MADE = {"versions", "threads", "date", "commit", "command"}
RAW = "score_raw"
MAX_LISTED = 20  # places of a kind


@dataclass
class Comparison:
    """What a comparison came to.

    Attributes:
        numbers: how many were compared.
        differences: a line for each number that differs or is missing.
        notes: a line for each thing that a person may want to look at.
    """

    numbers: int = 0
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Comparison) -> None:
        """Take over what another comparison came to."""
        self.numbers += other.numbers
        self.differences += other.differences
        self.notes += other.notes


def compare_values(before: Any, after: Any, place: str) -> Comparison:
    """Compare two values of JSON documents.

    Args:
        before: a number, text, True, False, None, list or dict.
        after: the value in its place.
        place: its name for the lines of the result.
    """
    result = Comparison()
    if isinstance(before, dict) and isinstance(after, dict):
        return _compare_dicts(before, after, place)
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            result.differences.append(f"{place}: {len(before)} entries, {len(after)} after")
        for index, (old, new) in enumerate(zip(before, after)):
            result.add(compare_values(old, new, f"{place}[{index}]"))
        return result
    if isinstance(before, str) and isinstance(after, str):
        if before != after:
            result.notes.append(f"{place}: {before!r} is {after!r} after")
        return result
    result.numbers = 1
    if not _same(before, after):
        result.differences.append(f"{place}: {before!r} is {after!r} after")
    return result


def _same(before: Any, after: Any) -> bool:
    """Tell whether two single values are the same; NaN is NaN, and True is not 1."""
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    if isinstance(before, float) and isinstance(after, float) and math.isnan(before):
        return math.isnan(after)
    return before == after


def _compare_dicts(before: Mapping[str, Any], after: Mapping[str, Any], place: str) -> Comparison:
    result = Comparison()
    for name in [name for name in before if name in after]:
        result.add(compare_values(before[name], after[name], f"{place}.{name}"))
    removed = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    for name in removed:
        old = before[name]
        if not _count_numbers(old):  # words
            result.notes.append(f"{place}.{name}: is not there after")
            continue
        for new_name in added:
            renamed = compare_values(old, after[new_name], f"{place}.{name}")
            if _count_numbers(old) == renamed.numbers and not renamed.differences:
                renamed.notes.append(f"{place}.{name}: is called {new_name!r} after")
                result.add(renamed)
                added.remove(new_name)
                break
        else:
            result.differences.append(f"{place}.{name}: is not there after")
    result.notes += [f"{place}.{name}: is new" for name in added]
    return result


def _count_numbers(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count_numbers, value.values()))
    if isinstance(value, list):
        return sum(map(_count_numbers, value))
    return not isinstance(value, str)


def compare_documents(before: Path, after: Path, place: str) -> Comparison:
    """Compare two JSON files."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in (before, after)]
    old, new = (
        {name: value for name, value in document.items() if name not in HOW_MADE}
        for document in documents
    )
    return compare_values(old, new, place)


def read_table(path: Path) -> dict[str, list[str]]:
    """Read a table by its columns, the score before smoothing as `score_raw` whatever its name.

    Raises:
        ValueError: a row has more or fewer cells than the header.
    """
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    columns = {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True))}
    columns = columns or {name: [] for name in header}
    if RAW not in columns and "raw" in columns:
        columns[RAW] = columns.pop("raw")
    # Beside them in the tables of regions stands the score of a region, which has one name.
    elif RAW not in columns and "score" in columns and "track" not in columns:
        columns[RAW] = columns.pop("score")
    return columns


def compare_tables(before: Path, after: Path, place: str) -> Comparison:
    """Compare two tables column by column; cells that are numbers as numbers."""
    old, new = read_table(before), read_table(after)
    result = Comparison()
    for name, cells in old.items():
        if name not in new:
            result.differences.append(f"{place}: there is no column {name!r} after")
            continue
        if len(cells) != len(new[name]):
            result.differences.append(f"{place}, {name}: {len(cells)} rows, {len(new[name])} after")
        for row, (cell, new_cell) in enumerate(zip(cells, new[name])):
            result.numbers += 1
            if cell != new_cell and not _same(_number(cell), _number(new_cell)):
                result.differences.append(
                    f"{place}, {name}, row {row}: {cell!r} is {new_cell!r} after"
                )
    result.notes += [f"{place}: column {name!r} is new" for name in new if name not in old]
    return result


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def compare_bytes(before: Path, after: Path, place: str) -> Comparison:
    """Compare two files byte by byte."""
    if before.read_bytes() == after.read_bytes():
        return Comparison(before.stat().st_size)
    return Comparison(differences=[f"{place}: other bytes after"])


def compare_folders(before: Path, after: Path) -> Comparison:
    """Compare all results in a folder, and below it, with those of the same names in another."""
    result = Comparison()
    for path in sorted(before.rglob("*")):
        compare = _comparer(path)
        if compare is None:
            continue
        name = path.relative_to(before)
        if (after / name).is_file():
            result.add(compare(path, after / name, str(name)))
        else:
            result.differences.append(f"{name}: is not there after")
    if not result.numbers and not result.differences:
        result.differences.append(f"{before}: holds no results to compare")
    return result


def _comparer(path: Path) -> Callable[[Path, Path, str], Comparison] | None:
    """Choose how a file is compared, None where it is no result."""
    if path.name in DOCUMENTS:
        return compare_documents
    return {".csv": compare_tables, ".bin": compare_bytes}.get(path.suffix)


def _print(lines: Iterable[str], head: str) -> None:
    lines = list(lines)
    if lines:
        print(f"{head} ({len(lines)}):")
        print("\n".join(f"  {line}" for line in lines[:MAX_LISTED]))
        if len(lines) > MAX_LISTED:
            print(f"  ... and {len(lines) - MAX_LISTED} more")


def main(arguments: list[str] | None = None) -> int:
    """Compare two folders, print what differs, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    result = compare_folders(options.before, options.after)
    _print(result.notes, "to look at")
    _print(result.differences, "different")
    print(f"{result.numbers:,} values compared, {len(result.differences):,} differences")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())

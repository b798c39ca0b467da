"""Numbers in words, tables and JSON: values by hand, and what holds of any."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpn.io.text import (
    align,
    clock,
    column_widths,
    duration,
    finite,
    format_rows,
    is_known,
    json_text,
    ordinal,
    percent,
    percent_range,
    plain,
    plural,
    utc,
)

UNDEFINED = [None, math.nan, math.inf, -math.inf, np.float32("nan")]
cells = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9)


@pytest.mark.parametrize(
    ("share", "options", "text"),
    [
        (0.97318, {}, "97.3"),
        (1, {}, "100.0"),
        (np.float64(0.5), {}, "50.0"),
        (0.004, {"signed": True}, "+0.4"),
        (-0.004, {"signed": True}, "-0.4"),
        (-0.25, {}, "-25.0"),
        (0.5, {"unit": True}, "50.0 %"),
        (0.5, {"unit": True, "signed": True}, "+50.0 %"),
    ],
)
def test_shares_in_per_cent(share: float, options: dict[str, bool], text: str) -> None:
    assert percent(share, **options) == text


@pytest.mark.parametrize("value", UNDEFINED)
def test_what_is_undefined_is_a_dash_and_null(value: float | None) -> None:
    assert not is_known(value)
    assert percent(value) == percent(value, signed=True, unit=True) == "-"
    assert duration(value) == "-"
    assert finite(value) is None and json_text(value) == "null"


def test_ranges_of_shares() -> None:
    assert percent_range(0.951, 0.982) == "95.1 to 98.2"
    assert percent_range(0.951, 0.982, to="-") == "95.1-98.2"
    assert percent_range(-0.01, 0.02, signed=True) == "-1.0 to +2.0"
    assert percent_range(0.1, 1, unit=True) == "10.0 % to 100.0 %"
    assert percent_range(math.nan, None) == "- to -"


@pytest.mark.parametrize(
    ("number", "spec", "text"),
    [
        (0, ",", "0 frames"),
        (1, ",", "1 frame"),
        (2, ",", "2 frames"),
        (1200, ",", "1,200 frames"),
        (1200, "d", "1200 frames"),
        (1.0, "g", "1 frame"),
        (0.5, "g", "0.5 frames"),
    ],
)
def test_plurals(number: float, spec: str, text: str) -> None:
    assert plural(number, "frame", spec) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (10, "10th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (112, "112th"),
        (1003, "1,003rd"),
    ],
)
def test_places_in_a_row(number: int, text: str) -> None:
    assert ordinal(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (7.46, "0:07.5"),
        (59.97, "1:00.0"),
        (3599.96, "1:00:00.0"),
        (7387.5, "2:03:07.5"),
    ],
)
def test_moments(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@given(st.integers(0, 10**6))
def test_a_moment_can_be_read_back(tenths: int) -> None:
    parts = [float(part) for part in clock(tenths / 10).split(":")]
    assert all(part < 60 for part in parts[1:])
    seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    assert seconds == pytest.approx(tenths / 10)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.21, "3.2 s"),
        (59, "59 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_moment_of_the_world() -> None:
    # date -u -d @1700000000.25 +%FT%T.%3NZ
    assert utc(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
    assert utc(0) == "1970-01-01T00:00:00.000Z"


def test_a_table_by_hand() -> None:
    rows = [["causal", "97.3", ""], ["the paper's", "8.0", "5"]]
    assert format_rows(["frame AUC", "%", "runs"], rows) == (
        "frame AUC       %  runs\n"
        "-----------------------\n"
        "causal       97.3\n"
        "the paper's   8.0     5\n"
    )


def test_columns_of_given_widths_short_rows_and_no_names() -> None:
    rows = [["no learning:"], ["  speed", "5"], ["x", "12345", "6"]]
    assert column_widths(rows) == [12, 5, 1]
    assert align(rows) == ["no learning:", "  speed           5", "x             12345  6"]
    assert align([["a", "b"]], (3, 4), gap="|") == ["a  |   b"]
    assert align([["a", "b"], ["ccc", "d"]], names=False) == ["  a  b", "ccc  d"]
    assert column_widths([]) == [] and align([]) == [] and align([[]]) == [""]


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n))))
def test_cells_stand_in_columns_of_their_widest(rows: list[list[str]]) -> None:
    lines = align(rows, gap=" | ")
    widths = column_widths(rows)
    for row, line in zip(rows, lines, strict=True):
        line = line.ljust(sum(widths) + 3 * (len(widths) - 1))
        start = 0
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            assert line[start : start + width] == (
                cell + " " * (width - len(cell)) if number == 0 else f"{cell:>{width}}"
            )
            start += width + 3


def test_json_of_our_types() -> None:
    value = {
        1: np.float32(0.5),
        "share": Fraction(1, 4),
        "flags": np.array([True, False]),
        "table": (np.int64(3), [math.nan, -math.inf]),
        "names": {"one"},
        "none": None,
        "yes": True,
    }
    expected = {
        "1": 0.5,
        "share": 0.25,
        "flags": [True, False],
        "table": [3, [None, None]],
        "names": ["one"],
        "none": None,
        "yes": True,
    }
    assert plain(value) == expected and json.loads(json_text(value)) == expected
    assert json_text([True, 1, 1.0]) == "[true, 1, 1.0]"
    assert json_text("Straße") == '"Stra\\u00dfe"'
    assert json_text({"a": "ß"}, indent=1, ensure_ascii=False) == '{\n "a": "ß"\n}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    )
)
def test_anything_becomes_json_that_every_program_reads(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = json_text(value)
    assert json.loads(text, parse_constant=refuse) == plain(value)
    assert not re.search(r"\b(NaN|Infinity)\b", re.sub(r'"(\\.|[^"\\])*"', "", text))

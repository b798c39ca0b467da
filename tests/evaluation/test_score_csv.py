"""Tables of scores as people have them: what is read, what is said about it, and what is
refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.evaluation.score_files import read_scores

NAN = float("nan")
PLAIN = "frame,score,psnr_db\n0,0.5,30\n1,0.25,31\n2,1e-3,32.5\n"


def read(folder: Path, text: str | bytes) -> tuple[dict[str, np.ndarray], list[str]]:
    """The columns of v.csv with this text, a video of three frames, and the notes."""
    (folder / "v.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    notes: list[str] = []
    return read_scores(folder, {"v": 3}, notes)["v"], notes


def pairs(columns: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """The columns as lists."""
    return {name: values.tolist() for name, values in columns.items()}


WANTED = {"score": [0.5, 0.25, 1e-3], "psnr_db": [30.0, 31.0, 32.5]}


def test_a_plain_table(tmp_path: Path) -> None:
    columns, notes = read(tmp_path, PLAIN)
    assert pairs(columns) == WANTED and notes == []


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        "\n" + PLAIN + "\n\n",
        '"frame","score","psnr_db"\n"0","0.5","30"\n"1","0.25","31"\n"2","1e-3","32.5"\n',
        "frame, score, psnr_db\n0, 0.5, 30\n1, 0.25, 31\n2, 1e-3, 32.5\n",
        "psnr_db,time,score\n30,nan,0.5\n31,0.1,0.25\n32.5,text,1e-3",
    ],
    ids=[
        "CRLF",
        "CR",
        "BOM",
        "UTF-16",
        "blank lines around",
        "quotes",
        "blanks",
        "order of columns",
    ],
)
def test_what_makes_no_difference(tmp_path: Path, text: str | bytes) -> None:
    columns, notes = read(tmp_path, text)
    assert pairs(columns) == WANTED and notes == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN.replace(",", ";"), "semicolons between the columns"),
        (PLAIN.replace(",", "\t"), "tabs between the columns"),
        (PLAIN.replace(",", ";").replace(".", ","), "decimal commas"),
        (
            PLAIN.replace("score", "Score").replace("frame", "FRAME"),
            "names of columns spelt with capitals",
        ),
        (
            "frame,score,psnr_db\n2,1e-3,32.5\n0,0.5,30\n1,0.25,31\n",
            "rows not in the order of their frames, sorted",
        ),
        (
            ",frame,score,psnr_db\n0,0,0.5,30\n1,1,0.25,31\n2,2,1e-3,32.5\n",
            "a column without a name, left out",
        ),
        (
            "score,psnr_db,video\n0.5,30,v\n0.25,31,v\n1e-3,32.5,v\n",
            "no numbers in the column 'video', left out",
        ),
        (
            "score,psnr_db,note\n0.5,30,\n0.25,31,\n1e-3,32.5,\n",
            "no numbers in the column 'note', left out",
        ),
    ],
)
def test_what_is_read_otherwise_than_it_stands_is_said(
    tmp_path: Path, text: str, expected: str
) -> None:
    columns, notes = read(tmp_path, text)
    assert pairs(columns) == WANTED
    assert any(f"v.csv: {expected}" in note for note in notes)


def test_the_same_of_many_files_is_said_once(tmp_path: Path) -> None:
    for name in "abcdefg":
        (tmp_path / f"{name}.csv").write_text("frame;score\n0;1\n1;2\n")
    notes: list[str] = []
    read_scores(tmp_path, notes=notes)
    assert notes == [
        f"{tmp_path}: 7 files (a.csv, b.csv, c.csv, d.csv, e.csv, ...): semicolons between the "
        "columns"
    ]


def test_one_column_of_numbers_needs_no_header(tmp_path: Path) -> None:
    columns, notes = read(tmp_path, "0.5\n0.25\n1\n")
    assert pairs(columns) == {"score": [0.5, 0.25, 1.0]}
    assert len(notes) == 1 and "no header, its one column taken as the score" in notes[0]


def test_rows_may_begin_late_and_gaps_before_the_first_score_stay(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, "frame,score\n2,7\n")[0]["score"], [NAN, NAN, 7.0])
    columns, _ = read(tmp_path, "frame,score,psnr_db\n0,nan,\n1,,30\n2,1,31\n")
    np.testing.assert_array_equal(columns["score"], [NAN, NAN, 1.0])
    np.testing.assert_array_equal(columns["psnr_db"], [NAN, 30.0, 31.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score\n1\nx\n2\n", r"v\.csv, line 3: 'x' is not a number \(score\)"),
        ("score\n1\ninf\n2\n", "line 3: inf is infinite"),
        ("score\n1\n2\n1e400\n", "line 4: 1e400 is infinite or beyond"),
        ("score,psnr_db\n1,2\n3,4\n5,high\n", r"line 4: 'high' is not a number \(psnr_db\)"),
        ("error\n1\n", "first line is 'error', expected .*'score'"),
        ("frame score\n0 1\n", "first line is 'frame score', expected .*'score'"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("score,score\n1,2\n", "has the column 'score' twice"),
        ("score,Score\n1,2\n", "has the column 'score' twice"),
        ("score,error,error\n1,2,3\n", "has the column 'error' twice"),
        ("0,0.5\n1,0.25\n2,1\n", "has no header, the first line is '0,0.5'"),
        ("score\n", "no scores below"),
        ("frame,score\n0,1\n2,1\n", "line 3: frame 2, expected 1: 1 gaps"),
        ("frame,score\n2,1\n0,1\n", "line 2: frame 2, expected 1: 1 gaps"),
        ("frame,score\n0,1\n1,1\n1,2\n", "line 4: frame 1 stands in line 3 already"),
        ("frame,score\n-1,1\n", "line 2: frame -1, expected a whole number"),
        ("frame,score\n0.5,1\n", "line 2: frame 0.5, expected a whole number"),
        ("frame,score\nnan,1\n", "line 2: frame nan, expected a whole number"),
        ("frame,score\n0,1,2\n", "line 2: 3 values, expected 2"),
        ("score\n0,5\n", "line 2: 2 values, expected 1"),
        ("frame,score\n0,1\n\n1,2\n2,3\n", "line 3: 0 values, expected 2"),
        ("frame,score\n1,1\n2,1\n3,1\n", "line 4: frame 3, but the video has 3 frames"),
        ("score\n1\n2\n", "2 scores, but the video has 3 frames"),
        ("frame,score\n0,1\n1,1\n", "2 scores, but the video has 3 frames"),
        (
            "frame,score\n0,1\n1,nan\n2,1\n",
            r"line 3: no score \(nan\) after the first one \(line "
            r"2\)",
        ),
        (
            "frame,score\n2,\n1,1\n0,1\n",
            r"line 2: no score \(empty\) after the first one \(line "
            r"4\)",
        ),
        (
            "score,error\n1,1\n2,\n3,2\n",
            r"line 3: no error \(empty\) after the first one \(line "
            r"2\)",
        ),
        ("score;error\n1.234,5;1\n", r"line 2: '1\.234\.5' is not a number"),
        ("score\n" + "1" * 200_000, "cannot be read as CSV"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_frame_number_beyond_reason_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("frame,score\n1000000000000,1\n")
    with pytest.raises(DataError, match="line 2: frame 1000000000000, no video is that long"):
        read_scores(tmp_path)


def test_the_score_before_smoothing_is_what_is_evaluated(tmp_path: Path) -> None:
    columns, notes = read(
        tmp_path, "frame,time,score,score_raw,error\n0,0,1,5,2\n1,1,2,6,3\n2,2,3,7,4\n"
    )
    assert pairs(columns) == {"score": [5.0, 6.0, 7.0], "error": [2.0, 3.0, 4.0]} and notes == []


def test_tables_of_version_0_1(tmp_path: Path) -> None:
    # as `mpn score` wrote them, the first frame without a place
    table = "frame,time,score,raw,error,top,left,height,width\n0,0,nan,nan,nan,,,,\n"
    columns, notes = read(tmp_path, table + "1,1,2,6,3,1,2,3,4\n2,2,3,7,4,1,2,3,4\n")
    assert list(columns) == ["score", "error"]
    np.testing.assert_array_equal(columns["score"], [NAN, 6.0, 7.0])
    assert len(notes) == 1 and "the score before smoothing" in notes[0]
    # as `evaluate` wrote them: the score is the one before smoothing
    columns, notes = read(tmp_path, "frame,time,score,error\n0,0,1,2\n1,1,2,3\n2,2,3,4\n")
    assert pairs(columns) == {"score": [1.0, 2.0, 3.0], "error": [2.0, 3.0, 4.0]} and notes == []
    # someone else's column of that name is a column like others
    columns, _ = read(tmp_path, "score,raw\n1,2\n2,3\n3,4\n")
    assert pairs(columns) == {"score": [1.0, 2.0, 3.0], "raw": [2.0, 3.0, 4.0]}

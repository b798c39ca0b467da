"""Score files there and back, and whatever people put in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.evaluation.score_files import read_scores, write_scores

NAN = float("nan")


def test_scores_come_back_bit_for_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    series = {
        name: {
            "score": generator.normal(size=30) * 10.0**power,
            "psnr_db": generator.uniform(20, 40, 30),
        }
        for name, power in (("02", 0), ("01", -12), ("10", 7))
    }
    for name, columns in series.items():
        columns["score"][:4] = NAN
        write_scores(tmp_path / f"{name}.csv", columns, np.arange(30) / 25)
    back = read_scores(tmp_path, dict.fromkeys(series, 30))
    assert list(back) == ["02", "01", "10"]
    assert list(read_scores(tmp_path)) == ["01", "02", "10"]
    for name, columns in series.items():
        assert list(back[name]) == ["score", "psnr_db"]
        for key, values in columns.items():
            np.testing.assert_array_equal(back[name][key], values)
    text = (tmp_path / "01.csv").read_text().splitlines()
    assert text[0] == "frame,time,score,psnr_db"
    assert text[2].split(",")[:3] == ["1", "0.04", "nan"]
    assert float(text[6].split(",")[2]) == series["01"]["score"][5]
    write_scores(tmp_path / "x.csv", {"score": np.zeros(2)}, np.full(2, NAN))
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == "0,nan,0.0"
    with pytest.raises(DataError, match="one length"):
        write_scores(tmp_path / "y.csv", {"score": np.zeros(2), "error": np.zeros(3)}, np.zeros(2))


def test_all_three_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,score\n2,0.5\n3,1e-3\n\n")
    np.save(tmp_path / "b.npy", np.array([1, 2, 3], dtype=np.int32))
    (tmp_path / "c.txt").write_text("nan\r\n0.25\r\n-1\r\n")
    (tmp_path / "notes.md").write_text("not scores")
    (tmp_path / "._a.csv").write_bytes(b"\x00\x05")
    notes: list[str] = []
    series = read_scores(tmp_path, notes=notes)
    assert list(series) == ["a", "b", "c"]
    np.testing.assert_array_equal(series["a"]["score"], [NAN, NAN, 0.5, 1e-3])
    np.testing.assert_array_equal(series["b"]["score"], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(series["c"]["score"], [NAN, 0.25, -1.0])
    assert notes == []
    assert list(read_scores(tmp_path, {"b": 3})) == ["b"]


def test_missing_videos_are_named_and_counted(tmp_path: Path) -> None:
    (tmp_path / "02.txt").write_text("1\n2\n")
    with pytest.raises(
        DataError,
        match=r"'01': found no file .*01\.csv, 01\.npy, 01\.txt; 2 of 3 "
        r".*'01', '03'",
    ):
        read_scores(tmp_path, {"01": 2, "02": 2, "03": 2})
    with pytest.raises(
        DataError,
        match=r"9 of 10 test videos have none \('v0', 'v1', 'v3', 'v4', "
        r"'v5', \.\.\.\)",
    ):
        (tmp_path / "v2.txt").write_text("1\n2\n")
        read_scores(tmp_path, {f"v{k}": 2 for k in range(10)})


def test_files_of_no_video_are_left_out_and_said(tmp_path: Path) -> None:
    for name in ("01", "02", "average", "03"):
        (tmp_path / f"{name}.txt").write_text("1\n2\n")
    (tmp_path / "broken.csv").write_text("no scores at all")
    notes: list[str] = []
    assert list(read_scores(tmp_path, {"02": 2, "01": 2}, notes)) == ["02", "01"]
    assert len(notes) == 1
    assert "3 files (03.txt, average.txt, broken.csv): of no test video, left out" in notes[0]


def test_our_own_other_tables_are_no_scores(tmp_path: Path) -> None:
    (tmp_path / "01.csv").write_text("score\n1\n2\n")
    (tmp_path / "01_regions.csv").write_text(
        "frame,time,track,score,top,left,height,width\n1,nan,0,3,0,0,8,8\n"
    )
    (tmp_path / "labels.csv").write_text("video,start,end\n01,0,1\n")
    notes: list[str] = []
    assert (
        list(read_scores(tmp_path, notes=notes))
        == list(read_scores(tmp_path, {"01": 2}, notes))
        == ["01"]
    )
    assert notes == []
    (tmp_path / "odd_regions.csv").write_text("score\n1\n2\n")  # of a video that is called so
    assert list(read_scores(tmp_path)) == ["01", "odd_regions"]


@pytest.mark.parametrize(
    ("file", "video"),
    [
        ("test001.csv", "Test001"),
        ("TEST001.CSV", "Test001"),
        ("Test1.csv", "Test001"),
        ("Test001.avi.csv", "Test001"),
        ("7.csv", "07"),
        ("01_0014.csv", "1_14"),
    ],
)
def test_a_name_spelt_otherwise_is_taken_and_said(tmp_path: Path, file: str, video: str) -> None:
    (tmp_path / file).write_text("score\n1\n2\n")
    notes: list[str] = []
    assert list(read_scores(tmp_path, {video: 2}, notes)) == [video]
    assert (
        len(notes) == 1
        and f"{file}: taken for the test video whose name is spelt otherwise" in notes[0]
    )


def test_a_name_that_may_be_of_two_videos_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("score\n1\n")
    (tmp_path / "1.csv").write_text("score\n2\n")
    with pytest.raises(DataError, match="'A': found no file"):
        read_scores(tmp_path, {"a": 1, "A": 1})
    (tmp_path / "01.csv").write_text("score\n3\n")
    with pytest.raises(DataError, match=r"'001': found 01\.csv and 1\.csv"):
        read_scores(tmp_path, {"001": 1})
    assert read_scores(tmp_path, {"01": 1, "1": 1})["01"]["score"] == [3.0]  # each its own


def test_constant_scores_are_allowed_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nan\n0.5\n0.5\n0.5\n")
    (tmp_path / "b.txt").write_text("0.5\n0.5\n0.5\n0.6\n")
    notes: list[str] = []
    series = read_scores(tmp_path, {"a": 4, "b": 4}, notes)
    np.testing.assert_array_equal(series["a"]["score"], [NAN, 0.5, 0.5, 0.5])
    assert len(notes) == 1 and "in 1 of 2 videos (a) every frame has the same score" in notes[0]


def test_a_video_without_any_score_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("score,psnr_db\nnan,\nnan,nan\n")
    notes: list[str] = []
    columns = read_scores(tmp_path, {"a": 2}, notes)["a"]
    assert set(columns) == {"score", "psnr_db"} and all(
        np.isnan(values).all() for values in columns.values()
    )
    assert notes == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("v.txt", "1\n2\nthree\n", r"v\.txt, line 3: 'three' is not a number"),
        ("v.txt", "1\n2\n", "2 scores, but the video has 3 frames .* write nan"),
        ("v.txt", "1\n2\n3\n4\n", "4 scores, but the video has 3 frames"),
        ("v.txt", "", "is empty"),
        ("v.txt", " \n\n", "is empty"),
        ("v.txt", "1\nnan\n3\n", r"line 2: no score \(nan\) after the first one \(line 1\)"),
        ("v.txt", "nan\n1\n\n2\n", r"line 3: no score \(empty\) after the first one \(line 2\)"),
        ("v.txt", "1\n-inf\n3\n", "line 2: -inf is infinite"),
        ("v.txt", "1\n2\n1e999\n", "line 3: 1e999 is infinite or beyond 1e[+]300"),
        ("v.txt", "1\n2\n" + "9" * 5000 + "\n", "line 3: 9{40} is infinite or beyond"),
        ("v.txt", "1 2 3\n", "line 1: '1 2 3' is not a number"),
    ],
)
def test_text_files_that_do_not_fit(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_scores(tmp_path, {"v": 3})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_npy_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    for values, message in (
        (np.zeros((3, 2)), r"one number a frame \(T,\), found float64 \(3, 2\)"),
        (np.zeros(3, complex), "found complex128"),
        (np.array(["a", "b"]), "holds <U1; expected an array of numbers"),
        (np.array([0.0, np.inf]), "frame 1 is infinite"),
        (np.array([1.0, 1e301]), "frame 1 is infinite or beyond"),
        (
            np.array([np.nan, 0.0, np.nan, 1.0]),
            r"frame 2 is nan, .* from the first score \(frame "
            r"1\) on",
        ),
        (np.zeros(0), "is empty"),
        (np.array(3.0), "one number a frame"),
    ):
        np.save(path, values)
        with pytest.raises(DataError, match=message):
            read_scores(tmp_path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled Python objects, which are never loaded"):
        read_scores(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read as .npy"):
        read_scores(tmp_path)


@pytest.mark.parametrize("shape", [(4, 1), (1, 4)])
def test_a_row_or_column_of_an_array_is_one_number_a_frame(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    np.save(tmp_path / "v.npy", np.array([0.5, 0.25, 3, 1], np.float32).reshape(shape))
    notes: list[str] = []
    assert read_scores(tmp_path, {"v": 4}, notes)["v"]["score"].tolist() == [0.5, 0.25, 3.0, 1.0]
    assert len(notes) == 1 and "v.npy: a single row or column of numbers" in notes[0]


def test_folders_that_do_not_serve(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder of score files"):
        read_scores(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no score files"):
        read_scores(tmp_path)
    (tmp_path / "scores").mkdir()
    for lengths in (None, {"v": 1}):
        with pytest.raises(DataError, match=r"scores may be meant"):
            read_scores(tmp_path, lengths)
    (tmp_path / "v.csv").write_text("score\n1\n")
    (tmp_path / "v.txt").write_text("1\n")
    with pytest.raises(DataError, match=r"found v\.csv and v\.txt"):
        read_scores(tmp_path)
    with pytest.raises(DataError, match=r"found v\.csv and v\.txt"):
        read_scores(tmp_path, {"v": 1})
    (tmp_path / "v.csv").unlink()
    (tmp_path / "v.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_scores(tmp_path)

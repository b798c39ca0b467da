"""mpn evaluate --scores on what people have: a clear line, or read and said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.cli.conftest import Cli, Outcome

NAMES, LENGTH = ("01", "02", "03"), 24


@pytest.fixture
def scores() -> np.ndarray:
    """(3, 24) scores of the three test videos."""
    return np.random.default_rng(0).normal(size=(3, LENGTH)).round(3)


@pytest.fixture
def evaluated(cli: Cli, tree: Path, tmp_path: Path) -> Callable[[], Outcome]:
    """evaluated() judges what lies in theirs/."""
    (tmp_path / "theirs").mkdir()
    quick = ("--no-baselines", "--no-places", "--no-report")
    return lambda: cli("evaluate", tree, "--scores", "theirs", "--out", "out", *quick)


def auc(scores: np.ndarray) -> float:
    """Micro AUC of scores (3, 24) by scikit-learn."""
    labels = np.zeros((3, LENGTH), bool)
    labels[0, 10:18] = labels[2, 14:20] = True
    return roc_auc_score(labels.ravel(), scores.ravel())


def found(folder: Path) -> float:
    """Micro AUC that was written."""
    return json.loads((folder / "out" / "metrics.json").read_text())["scores"]["score"]["absolute"][
        "micro_auc"
    ]


def write(folder: Path, name: str, values: np.ndarray, mark: str = ",", comma: str = ".") -> None:
    """A table with a frame column."""
    rows = [f"{frame}{mark}{value}".replace(".", comma) for frame, value in enumerate(values)]
    (folder / "theirs" / f"{name}.csv").write_text("\n".join([f"frame{mark}score", *rows]) + "\n")


def test_tables_of_several_kinds_give_the_figures_of_plain_ones(
    evaluated: Callable[[], Outcome], scores: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path, "1", scores[0], ";", ",")
    (tmp_path / "theirs" / "02.CSV").write_text(
        "Score\tframe\n" + "".join(f"{scores[1, k]}\t{k}\n" for k in reversed(range(LENGTH)))
    )
    np.save(tmp_path / "theirs" / "03.npy", scores[2][:, None])
    (tmp_path / "theirs" / "04.txt").write_text("1\n")
    result = evaluated()
    assert result.code == 0, result.err
    assert found(tmp_path) == pytest.approx(auc(scores), abs=1e-12)
    for said in (
        "1.csv: taken for the test video whose name is spelt otherwise",
        "1.csv: semicolons",
        "1.csv: decimal commas",
        "02.CSV: tabs",
        "02.CSV: rows not in the order",
        "03.npy: a single row or column",
        "04.txt: of no test video, left out",
    ):
        assert said in result.err, said


def test_constant_scores_are_said_and_worth_half(
    evaluated: Callable[[], Outcome], tmp_path: Path
) -> None:
    for name in NAMES:
        write(tmp_path, name, np.full(LENGTH, 0.1))
    result = evaluated()
    assert result.code == 0, result.err
    assert "in 3 of 3 videos (01, 02, 03) every frame has the same score" in result.err
    assert found(tmp_path) == 0.5


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda text: text.replace("\n7,", "\n7,#"), "02.csv, line 9: '#"),
        (lambda text: re.sub(r"\n7,.*", "\n7,inf", text), "02.csv, line 9: inf is infinite"),
        (
            lambda text: re.sub(r"\n7,.*", "\n7,nan", text),
            "02.csv, line 9: no score (nan) after the first",
        ),
        (
            lambda text: text.replace("score", "anomaly"),
            "first line is 'frame,anomaly', expected column names with",
        ),
        (
            lambda text: text.rsplit("\n", 2)[0] + "\n",
            "02.csv: 23 scores, but the video has 24 frames",
        ),
        (lambda text: text + "24,0\n", "02.csv, line 26: frame 24, but the video has 24 frames"),
        (lambda text: text + "5,0\n", "02.csv, line 26: frame 5 stands in line 7 already"),
        (lambda text: "", "02.csv: is empty"),
    ],
)
def test_one_bad_table_among_good_ones(
    evaluated: Callable[[], Outcome],
    scores: np.ndarray,
    tmp_path: Path,
    change: Callable[[str], str],
    line: str,
) -> None:
    for name, values in zip(NAMES, scores):
        write(tmp_path, name, values)
    path = tmp_path / "theirs" / "02.csv"
    path.write_text(change(path.read_text()))
    assert line in evaluated().error()
    assert not (tmp_path / "out").exists()


def test_missing_videos(
    evaluated: Callable[[], Outcome], scores: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path, "02", scores[1])
    assert "video '01': found no file in theirs" in (error := evaluated().error())
    assert "2 of 3 test videos have none ('01', '03')" in error

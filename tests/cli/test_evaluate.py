"""mpn evaluate: figures agree with the score files, and the score files with the figures."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpn.scoring.detector import Detector
from tests.cli.conftest import Cli
from tests.helpers.small_model import footage, write_footage

NAMES = ["01", "02", "03"]
PLAIN = ("--precision", "float32")
QUICK = ("--no-baselines", "--no-report")


def truth() -> np.ndarray:
    """Labels of the three test videos without the four frames that have no score."""
    labels = np.zeros((3, 24), bool)
    labels[0, 10:18] = labels[2, 14:20] = True
    return labels[:, 4:].ravel()


def column(folder: Path, name: str) -> np.ndarray:
    """One column of scores/*.csv, all videos, from frame 4 on."""
    values = []
    for video in NAMES:
        with (folder / f"{video}.csv").open() as file:
            values += [float(row[name]) for row in csv.DictReader(file)][4:]
    return np.array(values)


@pytest.fixture(scope="module")
def evaluated(tree: Path, still: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results' folder of one evaluation, not to be changed."""
    from mpn.cli import run

    out = tmp_path_factory.mktemp("evaluated") / "results"
    arguments = [str(tree), "--checkpoint", str(still), "--out", str(out), "--fps", "10", *PLAIN]
    assert run("evaluate", arguments) == 0
    return out


def test_metrics_agree_with_the_score_files(evaluated: Path) -> None:
    found = json.loads((evaluated / "metrics.json").read_text())
    assert (found["frames"], found["anomalous"], found["videos"]) == (60, 14, 3)
    for name, sign in (
        ("score", 1),
        ("error", 1),
        ("pseudo", 1),
        ("psnr_db", -1),
        ("compactness", 1),
    ):
        written = "score_raw" if name == "score" else name
        expected = roc_auc_score(truth(), sign * column(evaluated / "scores", written))
        assert found["scores"][name]["absolute"]["micro_auc"] == pytest.approx(
            expected, abs=1e-9
        ), name
    # The intruder jumps every frame, and the model expects that nothing does.
    assert found["scores"]["error"]["absolute"]["micro_auc"] > 0.9
    assert set(found["baselines"]) >= {"frame_difference"} or found["baselines"]


def test_an_unknown_rate_is_taken_from_the_model(
    cli: Cli, evaluated: Path, tree: Path, still: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    quick = ("--no-baselines", "--out", out, *PLAIN)
    outcome = cli("evaluate", tree, "--checkpoint", still, *quick)
    errors = outcome.err
    assert outcome.code == 0 and "frame rate unknown, 10 frames/s assumed" in errors
    with_rate, without = (
        json.loads((folder / "metrics.json").read_text())["alarms"] for folder in (evaluated, out)
    )
    assert with_rate == without and with_rate[0]["events_found"] > 0


def test_metrics_name_what_they_depend_on(evaluated: Path, tree: Path, still: Path) -> None:
    found = json.loads((evaluated / "metrics.json").read_text())
    assert found["data"] == {"root": str(tree), "layout": "frames"}
    assert found["labels"]["source"].endswith("labels.csv") and found["labels"]["anomalous"] == 14
    assert (
        found["labels"]["sha256"]
        == hashlib.sha256((tree / "testing" / "labels.csv").read_bytes()).hexdigest()
    )
    assert found["checkpoint"]["sha256"] == hashlib.sha256(still.read_bytes()).hexdigest()
    assert found["precision"] == "float32" and found["recipe"]["smoothing"] == 0.3


def test_score_files_have_a_row_a_frame(evaluated: Path) -> None:
    with (evaluated / "scores" / "01.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(24))
    assert [float(row["time"]) for row in rows] == pytest.approx(
        [frame / 10 for frame in range(24)]
    )
    assert [row["score"] for row in rows[:4]] == ["nan"] * 4
    assert np.isfinite([float(row["score"]) for row in rows[4:]]).all()
    smooth = float(rows[4]["score_raw"])  # the causal filter written out
    for row in rows[4:]:
        smooth = 0.3 * float(row["score_raw"]) + 0.7 * smooth
        assert float(row["score"]) == pytest.approx(smooth, rel=1e-6)


def test_every_video_has_a_picture(evaluated: Path) -> None:
    pictures = sorted((evaluated / "curves").glob("*.png"))
    assert [picture.stem for picture in pictures] == NAMES
    assert all(cv2.imread(str(picture)).std() > 0 for picture in pictures)


def test_its_own_scores_give_the_same_figures(
    cli: Cli, evaluated: Path, tree: Path, tmp_path: Path
) -> None:
    result = cli("evaluate", tree, "--scores", evaluated / "scores", "--out", "again", *QUICK)
    assert result.code == 0, result.err
    one, two = (
        json.loads((out / "metrics.json").read_text()) for out in (evaluated, tmp_path / "again")
    )
    assert two["scores"] == one["scores"]
    assert two["baselines"] == {} and two["scores_from"] == str(evaluated / "scores")
    assert "scores/" not in result.out.splitlines()[-1]  # none were written


def test_anyones_scores_as_npy_and_txt(cli: Cli, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(3, 24))
    np.save(tmp_path / "theirs" / "01.npy", scores[0])
    (tmp_path / "theirs" / "02.txt").write_text("\n".join(map(repr, scores[1].tolist())) + "\n")
    np.save(tmp_path / "theirs" / "03.npy", scores[2])
    result = cli("evaluate", tree, "--scores", "theirs", "--out", "results", *QUICK, "--json")
    assert result.code == 0, result.err
    labels = np.zeros((3, 24), bool)
    labels[0, 10:18] = labels[2, 14:20] = True
    found = json.loads(result.out)
    assert found["frames"] == 72
    expected = roc_auc_score(labels.ravel(), scores.ravel())
    assert found["scores"]["score"]["absolute"]["micro_auc"] == pytest.approx(expected, abs=1e-12)
    assert found == json.loads((tmp_path / "results" / "metrics.json").read_text())


def test_what_matters_first_is_printed(cli: Cli, evaluated: Path, tree: Path) -> None:
    scores = ("--scores", evaluated / "scores", "--out", "again", "--no-report")
    result = cli("evaluate", tree, *scores)
    assert result.code == 0, result.err
    found = json.loads((evaluated / "metrics.json").read_text())
    main = found["scores"]["score"]
    lines = result.out.splitlines()
    for words, entry in (("as a live camera", main["causal"]), ("the paper's", main["paper"])):
        (line,) = [line for line in lines if words in line]
        interval = entry["interval"]
        between = f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f}"
        assert line.endswith(between) and f" {100 * entry['micro_auc']:.1f} " in line
    aucs = {name: entry["causal"]["micro_auc"] for name, entry in found["baselines"].items()}
    best = max(aucs, key=lambda name: aucs[name])
    (line,) = [line for line in lines if line.startswith("best without learning")]
    assert best.replace("_", " ") in line and line.endswith(f"{100 * aucs[best]:.1f}")
    assert len(lines) <= 15
    # paths are as long as they are
    told = [line for line in lines if "/" not in line and "sha256" not in line]
    assert max(map(len, told)) <= 80


def test_the_table_shows_the_figures(cli: Cli, evaluated: Path, tree: Path) -> None:
    scores = ("--scores", evaluated / "scores", "--out", "again", *QUICK)
    result = cli("evaluate", tree, *scores, "--verbose")
    found = json.loads((evaluated / "metrics.json").read_text())
    row = next(line for line in result.out.splitlines() if line.startswith("PSNR"))
    shares = [
        found["scores"]["psnr_db"][name]["micro_auc"] for name in ("absolute", "causal", "paper")
    ]
    assert row.split()[1:] == [f"{100 * share:.1f}" for share in shares]
    assert "14 of 72 frames anomalous" in " ".join(result.out.split())
    tables = result.out[: result.out.index("labels: ")]
    assert max(map(len, tables.splitlines())) <= 80


def test_a_test_video_shorter_than_a_window_is_left_out(
    cli: Cli, tree: Path, still: Path, tmp_path: Path
) -> None:
    shutil.copytree(tree, tmp_path / "set")
    write_footage(tmp_path / "set" / "testing" / "frames" / "04", footage(3))
    result = cli("evaluate", "set", "--checkpoint", still, "--out", "results", *QUICK, *PLAIN)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert found["videos_without_scores"] == ["04"] and found["videos"] == 3


def test_interrupted_it_keeps_the_videos_that_are_scored(
    cli: Cli, tree: Path, still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Detector.score

    def interrupted(self: Detector, source, **options):
        if source.name == "03":
            raise KeyboardInterrupt
        return score(self, source, **options)

    monkeypatch.setattr(Detector, "score", interrupted)
    assert cli("evaluate", tree, "--checkpoint", still, "--out", "results", *PLAIN).code == 130
    assert sorted(file.name for file in (tmp_path / "results" / "scores").iterdir()) == [
        "01.csv",
        "02.csv",
    ]


def test_a_released_model_that_is_not_here_is_one_line(
    cli: Cli, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpn.model.released.REPOSITORY_FOLDER", tmp_path / "nothing")
    error = cli("evaluate", tree, "--checkpoint", "ped2").error()
    assert "'ped2'" in error and "take demo" in error


def test_the_released_model_is_the_default(
    cli: Cli, tree: Path, still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(still, tmp_path / "demo.safetensors")
    monkeypatch.setattr("mpn.model.released.PACKAGED_FOLDER", tmp_path)
    result = cli("evaluate", tree, *QUICK, *PLAIN)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "runs" / "evaluate-street" / "metrics.json").read_text())
    assert found["checkpoint"]["path"] == str(tmp_path / "demo.safetensors")


def test_the_preset_that_is_asked_for(cli: Cli, tree: Path, still: Path) -> None:
    assert (
        cli("evaluate", tree, "--checkpoint", still, "--preset", "small", *QUICK, *PLAIN).code == 0
    )

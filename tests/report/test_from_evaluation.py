"""The report of an evaluation shows what the other files say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

import mpn
from mpn.cli import run
from mpn.scoring.events import events
from mpn.scoring.parts import PSEUDO
from tests.helpers.small_model import PROTOTYPES
from tests.report.test_page import Walk, data_of, floats

NAMES = ["01", "02", "03"]
LABELS = [[[10, 18]], [], [[14, 20]]]
WINDOW = 4


@pytest.fixture(scope="module")
def out(still: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "results"
    arguments = [
        str(tree),
        "--checkpoint",
        str(still),
        "--out",
        str(folder),
        "--fps",
        "10",
        "--precision",
        "float32",
    ]
    assert (
        run("evaluate", [*arguments, "--false-alarms-per-hour", "360", "--inside", "02:5,02:23"])
        == 0
    )
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "report.html").read_text("utf-8")


def test_every_video_with_its_labels_events_and_film(page: str, still: Path, tree: Path) -> None:
    traces = data_of(page)["traces"]
    assert [trace["name"] for trace in traces] == NAMES
    assert [trace["labels"] for trace in traces] == LABELS
    detector = mpn.load(still, precision="float32")
    threshold = detector.calibration(10).threshold(360).value
    for trace in traces:
        folder = tree / "testing" / "frames" / trace["name"]
        scores = np.array([one.score for one in detector.score(folder)])
        np.testing.assert_allclose(floats(trace["scores"]), scores, rtol=1e-6)
        assert trace["threshold"] == pytest.approx(threshold)
        found = events(scores, threshold, 10)
        assert [(one["start"], one["end"], one["peak"]) for one in trace["events"]] == [
            (one.start, one.end, one.peak_frame) for one in found
        ]
        assert trace["film"]["rows"] == [[0, 1, 24]] and trace["film"]["element"]
    assert any(trace["events"] for trace in traces)
    shown = floats(traces[0]["regions"]).reshape(-1, 7)
    assert (shown[:, 2] > threshold).all() and len(shown)


def test_the_curves_are_of_the_causal_scores(page: str, out: Path) -> None:
    truth, scores = [], []
    for name, stretches in zip(NAMES, LABELS):
        with (out / "scores" / f"{name}.csv").open() as file:
            raw = [float(row["score_raw"]) for row in csv.DictReader(file)][WINDOW:]
        smooth = [raw[0]]  # the filter written out
        for value in raw[1:]:
            smooth.append(0.3 * value + 0.7 * smooth[-1])
        label = np.zeros(24, bool)
        for start, end in stretches:
            label[start:end] = True
        truth.append(label[WINDOW:])
        scores.append(smooth)
    roc = {curve["name"]: curve for curve in data_of(page)["roc"]}
    assert roc["score"]["area"] == pytest.approx(
        roc_auc_score(np.concatenate(truth), np.concatenate(scores))
    )
    shown = {PSEUDO.title}  # the error's curve is not drawn, and there is no place model
    assert set(roc) == {"score", "PSNR", "speed alone"} | shown
    x, y = floats(roc["score"]["x"]), floats(roc["score"]["y"])
    assert auc(x, y) == pytest.approx(roc["score"]["area"], abs=0.01)


def test_figures_facts_and_matrix_stand_on_the_page(page: str, out: Path) -> None:
    metrics, matrix = (
        json.loads((out / name).read_text()) for name in ("metrics.json", "matrix.json")
    )
    assert (
        metrics["labels"]["sha256"] == matrix["labels"]["sha256"]
        and metrics["labels"]["sha256"] in page
    )
    cells = [" ".join(text.split()) for _, text in Walk(page).all("td")]
    causal = metrics["scores"]["score"]["causal"]
    assert (
        f"{100 * causal['micro_auc']:.1f}" in cells
        and f"{100 * causal['equal_error_rate']:.1f}" in cells
    )
    live = {(cell["normalisation"], cell["smoothing"]): cell["live"] for cell in matrix["cells"]}
    assert live[("absolute", "causal")] and not live[("min-max", "gaussian15")]
    assert "alarms" in metrics and len(metrics["alarms"]) == 4
    shown = data_of(page)["reliability"]
    assert [(one["rate"], one["episodes"]) for one in shown] == [
        (one["promised_per_hour"], one["false_alarms"]) for one in metrics["alarms"]
    ]


def test_a_look_inside_is_of_frames_that_have_a_window(page: str) -> None:
    activations = data_of(page)["insides"]
    # as asked for
    assert [(NAMES[one["trace"]], one["row"]) for one in activations[:2]] == [("02", 5), ("02", 23)]
    assert 3 <= len(activations) <= 6 and all(one["row"] >= WINDOW for one in activations)
    # Frames and suspicion, encodings, two a prototype, and how alike prototypes are.
    pictures = 4 + 6 + 2 * PROTOTYPES + 1
    assert page.count("data:image/png;base64,") == pictures * len(activations)


def test_without_a_model_there_are_curves_only(tree: Path, out: Path, tmp_path: Path) -> None:
    arguments = [
        str(tree),
        "--scores",
        str(out / "scores"),
        "--out",
        str(tmp_path / "again"),
        "--no-baselines",
    ]
    assert run("evaluate", arguments) == 0
    data = data_of((tmp_path / "again" / "report.html").read_text("utf-8"))
    assert data["insides"] == [] and data["reliability"] == []
    assert all(trace["threshold"] is None and trace["events"] == [] for trace in data["traces"])
    first = data_of((out / "report.html").read_text("utf-8"))["traces"]
    for one, other in zip(data["traces"], first):  # smoothed as a live camera has it
        np.testing.assert_allclose(floats(one["scores"]), floats(other["scores"]), rtol=1e-5)


def test_none_if_none_is_wanted_and_nothing_left_behind(
    tree: Path, out: Path, tmp_path: Path
) -> None:
    arguments = [
        str(tree),
        "--scores",
        str(out / "scores"),
        "--out",
        str(tmp_path / "again"),
        "--no-report",
    ]
    assert run("evaluate", [*arguments, "--no-baselines"]) == 0
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "curves",
        "labels.csv",
        "matrix.json",
        "metrics.json",
    ]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("07:5", "07: is no test video; expected one of 01, 02, 03"),
        ("01:3", "01:3: expected a frame from 4 to 23"),
    ],
)
def test_a_look_inside_at_nothing(
    tree: Path,
    still: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    inside: str,
    words: str,
) -> None:
    arguments = [
        str(tree),
        "--checkpoint",
        str(still),
        "--out",
        str(tmp_path / "out"),
        "--inside",
        inside,
    ]
    assert run("evaluate", arguments) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""mpn demo: all of it in one go, on a demo set and a network of a thousandth the size."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpn.cli.demo import video_to_show
from mpn.datasets.demo.dataset import write_demo, write_unseen_camera
from mpn.model.checkpoint import load_checkpoint
from mpn.model.config import CONFIGS
from tests.cli.conftest import Cli


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One camera, a few dozen frames a clip; a network of 4 channels for frames of 32x48."""
    made = functools.partial(
        write_demo,
        scenes=1,
        training=2,
        validation=1,
        testing=2,
        length=44,
        test_length=24,
        size=(80, 120),
    )
    monkeypatch.setattr("mpn.cli.data.write_demo", made)
    unseen = functools.partial(
        write_unseen_camera, training=2, testing=1, length=90, test_length=40, size=(80, 120)
    )
    monkeypatch.setattr("mpn.cli.demo.write_unseen_camera", unseen)
    monkeypatch.setitem(
        CONFIGS, "small", replace(CONFIGS["small"], height=32, width=48, channels=4, prototypes=4)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_demo_runs_and_runs_again(cli: Cli, tmp_path: Path) -> None:
    first = cli("demo", "--minutes", 0.001)
    assert first.code == 0, first.err
    out = tmp_path / "runs" / "demo"
    (shown,) = (out / "score").iterdir()
    video = json.loads((shown / "events.json").read_text())
    assert (video["frames"], video["fps"], video["complete"]) == (24, 10, True)
    assert (shown / "overlay.webm").stat().st_size > 0
    assert json.loads((out / "evaluate" / "metrics.json").read_text())["videos"] == 2
    for place in (
        "runs/demo/evaluate/report.html",
        f"runs/demo/score/{shown.name}/report.html",
        "runs/demo/camera-05.camera.html",
        "runs/demo/train/model.safetensors",
        "runs/demo/details.txt",
        "data/demo",
        "data/demo_unseen",
    ):
        assert place in first.out and (tmp_path / place).exists()
    assert len(first.out.strip().splitlines()) < 20
    # What the demo's model is not advised for: it knows no camera of the user's.
    assert "--checkpoint" not in first.out and "mpn score YOUR_VIDEO " in first.out
    assert "mpn adapt YOUR_NORMAL_FOOTAGE --out CAMERA.camera.safetensors" in first.out
    assert max(map(len, (first.out + first.err).splitlines())) <= 80
    details = (out / "details.txt").read_text()
    assert "$ mpn train demo --minutes 0.001" in details and "score (region score)" in details
    weights = load_checkpoint(out / "train" / "model.safetensors")
    assert weights.fps == 10
    camera = load_checkpoint(out / "camera-05.camera.safetensors").camera
    assert camera["base"]["sha256"] == weights.sha256
    for row, folder in (
        ("four cameras, trained on", "evaluate"),
        ("a fifth camera, as it comes", "camera-05-before"),
        ("the fifth, adapted to it", "camera-05-after"),
    ):
        metrics = json.loads((out / folder / "metrics.json").read_text())
        shown = next(line for line in first.out.splitlines() if line.startswith(row))
        auc = metrics["scores"]["score"]["causal"]["micro_auc"]
        expected = "-" if auc is None else f"{100 * auc:.1f}"
        assert shown.removeprefix(row).split()[0] == expected
    files = {path: path.stat().st_mtime_ns for path in out.rglob("metrics.json")}

    again = cli("demo", "--minutes", 0.001)
    assert again.code == 0, again.err
    assert "going on with what is there" in again.err and "evaluating" not in again.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("metrics.json")} == files
    assert len(list(out.glob("*.camera.safetensors"))) == 1  # adapted once
    table = first.out.index("frame AUC")
    assert again.out[again.out.index("frame AUC") :] == first.out[table:]
    assert (
        load_checkpoint(out / "train" / "model.safetensors").training["steps"]
        == weights.training["steps"]
    )


def test_the_video_that_is_shown_is_normal_for_the_most_part(tmp_path: Path) -> None:
    (tmp_path / "test_frame_mask").mkdir()
    for name, anomalous in (("a", 8), ("b", 0), ("c", 3), ("d", 5)):
        np.save(tmp_path / "test_frame_mask" / f"{name}.npy", np.arange(10) < anomalous)
    videos = [tmp_path / "frames" / name for name in "abcd"]
    assert video_to_show(videos).name == "c"
    assert video_to_show(videos[1:2]).name == "b"  # nothing is anomalous
    assert video_to_show([tmp_path / "frames" / "without"]).name == "without"


def test_an_interrupt_while_footage_is_made_says_that_it_is_not_kept(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mpn.datasets.demo.dataset.clip_writer", interrupted)
    stopped = cli("demo")
    assert stopped.code == 130 and not (tmp_path / "data/demo").exists()
    assert stopped.err.splitlines()[-1].startswith("interrupted; data/demo was being made, ")
    assert "is kept whole or not at all: the same command makes it anew" in stopped.err


@pytest.mark.usefixtures("small")
def test_another_length_of_training_is_another_run(cli: Cli, tmp_path: Path) -> None:
    run = ("--out", "runs/demo/train")
    assert cli("train", "demo", "--minutes", 0.001, *run).code == 0
    model = tmp_path / "runs" / "demo" / "train" / "model.safetensors"
    before = model.read_bytes()
    error = cli("demo", "--minutes", 0.002).error()
    assert "minutes 0.001, here 0.002" in error and "another --out" in error
    assert model.read_bytes() == before


@pytest.mark.usefixtures("small")
def test_train_and_evaluate_take_the_demo_set_by_default(cli: Cli, tmp_path: Path) -> None:
    trained = cli("train", "--epochs", 1, "--precision", "float32")
    model = "runs/demo-small-0/model.safetensors"
    assert trained.out == f"written: {model}; next: mpn evaluate demo --checkpoint {model}\n"
    assert "data/demo: frames layout, 2 training and 2 test videos" in trained.err
    evaluated = cli(
        "evaluate", "--checkpoint", "runs/demo-small-0/model.safetensors", "--no-baselines"
    )
    assert evaluated.code == 0, evaluated.err
    rows = (tmp_path / "runs" / "evaluate-demo" / "scores" / "01_01.csv").read_text().splitlines()
    assert rows[11].startswith("10,1.0,")  # its 10 frames a second are known


@pytest.mark.usefixtures("small")
def test_a_folder_called_demo_is_the_users(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert "demo: is empty" in cli("train", "demo").error()
    assert not (tmp_path / "data").exists()

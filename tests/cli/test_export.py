"""The verb `mpn export`, and --engine of the verbs that score."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from mpn.model.checkpoint import load_checkpoint, save_checkpoint
from mpn.model.engines import GRAPH_ENGINES
from tests.cli.conftest import PLAIN
from tests.helpers.moving import cells, place_of
from tests.helpers.small_model import footage, write_footage


def test_a_model_is_exported(cli, still, tmp_path):
    onnx = pytest.importorskip("onnx")
    outcome = cli("export", still, "still.onnx")
    assert outcome.code == 0
    assert "in: windows, float32 (batch, 4, 32, 48): 4 grey frames" in outcome.out
    assert "out: prediction, compactness, pseudo_logits" in outcome.out
    onnx.checker.check_model(onnx.load(tmp_path / "still.onnx"))


def test_what_a_camera_knows_beside_its_network_is_said_not_to_be_in_it(cli, still, tmp_path):
    pytest.importorskip("onnx")
    place = place_of([cells(2.0, 4)] * 30, [np.zeros((120, 160, 3), np.uint8)] * 3)
    knowing = replace(load_checkpoint(still), places={"hall": place})
    save_checkpoint(tmp_path / "hall.safetensors", knowing)
    outcome = cli("export", "hall.safetensors", "hall.onnx")
    assert outcome.code == 0 and "not in it: what is normal at each place" in outcome.out
    assert "not in it" not in cli("export", still, "still.onnx").out


def test_a_file_that_is_there_is_not_replaced_unasked(cli, still, tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "mine.onnx").write_bytes(b"of a week's work")
    assert "mine.onnx is there already" in cli("export", still, "mine.onnx").error()
    assert (tmp_path / "mine.onnx").read_bytes() == b"of a week's work"
    assert cli("export", still, "mine.onnx", "--force").code == 0
    assert (tmp_path / "mine.onnx").stat().st_size > 1000


def test_another_ending_is_wrong_use(cli, still, tmp_path):
    outcome = cli("export", still, "still.pt")
    assert outcome.code == 2 and ".onnx was expected" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", GRAPH_ENGINES)
def test_scores_are_the_same_by_every_engine_and_are_not_gone_on_with_by_another(
    cli, still, tmp_path, engine
):
    pytest.importorskip("onnx")
    pytest.importorskip(engine)
    write_footage(tmp_path / "clip", footage(16, intruder=(8, 12)))
    score = ("score", "clip", "--checkpoint", still, "--no-report", *PLAIN)

    def rows(*options: str) -> np.ndarray:
        assert cli(*score, *options).code == 0
        with (tmp_path / "runs/score/clip/scores.csv").open() as file:
            return np.array([float(row["score_raw"]) for row in csv.DictReader(file)])

    def engine_of_results() -> str:
        state = json.loads((tmp_path / "runs/score/clip/state.json").read_text())
        return state["identity"]["engine"]

    plain = rows()
    assert engine_of_results() == "torch"
    np.testing.assert_allclose(rows("--engine", engine), plain, atol=1e-3)
    assert engine_of_results() == engine

"""mpn train, from a folder to a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import mpn
from mpn.cli.train import parser
from mpn.cli.train_network import chosen_preset
from mpn.datasets.windows import Sample
from mpn.model.checkpoint import load_checkpoint
from mpn.model.state import load_state
from mpn.training.pretraining import Training
from tests.cli.conftest import TINY, Cli
from tests.helpers.small_model import footage, write_footage


def test_a_folder_becomes_a_model(cli: Cli, tree: Path, tmp_path: Path) -> None:
    result = cli("train", tree, *TINY, "--out", "run", "--seed", 3, "--fps", 10)
    assert result.code == 0, result.err
    model = "run/model.safetensors"
    assert result.out == f"written: {model}; next: mpn evaluate {tree} --checkpoint {model}\n"
    found = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert found.config == mpn.get_config("small", height=32, width=48, channels=4)
    assert found.fps == 10
    # Four clips of 14 frames: one is held out, its last 10 frames have scores; three have 10
    # windows each.
    assert {name: [len(part) for part in parts] for name, parts in found.normal.items()} == {
        "error": [10],
        "pseudo": [10],
        "speed": [10],
        "direction": [10],
    }
    # The place model is of all four clips, less the first frame of each, which has no motion.
    assert {name: place.frames for name, place in found.places.items()} == {"street": 52}
    assert found.score_config["speed_score_weight"] == 0.7
    assert found.training["windows"] == 30 and found.training["steps"] == 30 // 8
    assert found.training["options"]["seed"] == 3
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 3 and all(np.isfinite(list(lines[-1]["losses"].values())))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["preset"]["channels"] == 4
    assert not list((tmp_path / "run").glob(".*"))  # nothing temporary is left


def test_what_was_recognised_is_said(cli: Cli, tree: Path) -> None:
    said = cli("train", tree, *TINY, "--out", "run").err
    assert f"{tree}: frames layout, 4 training and 3 test videos, 1 scene" in said
    assert "56 frames; the run goes to run" in said


def test_without_out_the_run_is_named_after_data_preset_and_seed(cli: Cli, tree: Path) -> None:
    said = cli("train", tree, *TINY, "--seed", 2).out
    assert said.startswith("written: runs/street-small-2/model.safetensors; next: mpn evaluate ")


def test_without_test_videos_the_next_is_to_score(cli: Cli, tmp_path: Path) -> None:
    for seed in range(2):
        write_footage(tmp_path / "cam" / f"{seed}", footage(14, seed=seed))
    said = cli("train", "cam", *TINY, "--out", "run").out
    model = "run/model.safetensors"
    assert said == f"written: {model}; next: mpn score VIDEO --checkpoint {model}\n"


def test_one_seed_gives_one_model(cli: Cli, tree: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("train", tree, *TINY, "--out", name, "--seed", seed).code == 0
    a, b, c = (
        load_checkpoint(tmp_path / name / "model.safetensors").network.state_dict()
        for name in "abc"
    )
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_a_run_is_not_overwritten(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli("train", tree, *TINY, "--out", "run").code == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    error = cli("train", tree, *TINY, "--out", "run").error()
    assert "run holds a run already" in error and "--resume" in error
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_finished_run_that_is_resumed_ends_with_the_same_weights(
    cli: Cli, tree: Path, tmp_path: Path
) -> None:
    model = tmp_path / "run" / "model.safetensors"
    assert cli("train", tree, *TINY, "--out", "run").code == 0
    before = load_checkpoint(model).network.state_dict()
    assert cli("train", tree, *TINY, "--out", "run", "--resume").code == 0
    after = load_checkpoint(model).network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_an_interrupted_run_goes_on_to_the_same_end(
    cli: Cli, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpn.training.pretraining import Training

    assert cli("train", tree, *TINY, "--out", "alone").code == 0
    step = Training.train_step

    def interrupted(self: Training, sample: object) -> dict[str, float]:
        if self.step == 2:
            raise KeyboardInterrupt
        return step(self, sample)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "train_step", interrupted)
        result = cli("train", tree, *TINY, "--out", "run")
    assert result.code == 130 and "Traceback" not in result.err
    assert load_state(tmp_path / "run" / "state.pt")["step"] == 2
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert cli("train", tree, *TINY, "--out", "run", "--resume").code == 0
    alone, resumed = (
        load_checkpoint(tmp_path / name / "model.safetensors").network for name in ("alone", "run")
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(alone.state_dict().values(), resumed.state_dict().values())
    )


def test_footage_too_short_to_hold_any_out_gives_a_model_without_thresholds(
    cli: Cli, tmp_path: Path
) -> None:
    # an eighth of it, 2 frames, is held out: no window
    write_footage(tmp_path / "plain", footage(12))
    assert cli("train", "plain", *TINY, "--out", "run").code == 0
    detector = mpn.load(tmp_path / "run" / "model.safetensors", precision="float32")
    assert detector.calibration(10) is None
    assert np.isfinite([result.score for result in detector.score(tmp_path / "plain")][4:]).all()
    scored = cli(
        "score", "plain", "--checkpoint", "run/model.safetensors", "--precision", "float32"
    )
    assert scored.code == 0 and "knows no normal scores" in scored.err


def test_options_of_the_network() -> None:
    given = ["--size", "64X48", "--colour", "bgr", "--no-pseudo-head"]
    found = chosen_preset(parser().parse_args(given))
    assert (found.height, found.width, found.grey, found.pseudo_head) == (64, 48, False, False)
    assert found.channels == mpn.get_config("small").channels
    assert found.training == mpn.get_config("small").training


def test_loss_weights_change_those_that_are_named() -> None:
    found = chosen_preset(parser().parse_args(["--loss-weights", "frame=10, usage=0"]))
    usual = mpn.get_config("small").training.loss_weights
    assert found.training.loss_weights == {**usual, "frame": 10.0, "usage": 0.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("frame", "'frame': NAME=WEIGHT was expected"),
        ("fame=1", "there is no loss term 'fame'; there are frame, untampered"),
        ("frame=-1", "loss weight frame is -1.0: a number from 0 up"),
        ("frame=nan", "loss weight frame is nan: a number from 0 up"),
    ],
)
def test_loss_weights_that_cannot_be(cli: Cli, given: str, said: str) -> None:
    result = cli("train", "data", "--loss-weights", given)
    assert result.code == 2 and said in result.err


def test_the_share_without_terms_of_the_prototypes_can_be_chosen(cli: Cli) -> None:
    for given, wanted in ([], 0.5), (["--prototypes-after", "0"], 0), (["--preset", "base"], 0):
        assert chosen_preset(parser().parse_args(given)).training.prototypes_after == wanted
    error = cli("train", "data", "--prototypes-after", 1).error()
    assert "prototypes_after 1.0: a share of the training from 0 up, below 1" in error


def test_another_unit_is_trained_and_scores(cli: Cli, tree: Path, tmp_path: Path) -> None:
    for out, unit in (("a", ["attention", "--keys", "learned"]), ("n", ["none"])):
        result = cli("train", tree, *TINY, "--out", out, "--fps", 10, "--unit", *unit)
        assert result.code == 0, result.err
        detector = mpn.load(tmp_path / out / "model.safetensors", precision="float32")
        assert detector.config.unit == unit[0]
        scores = [result.score for result in detector.score(tree / "training" / "frames" / "01")]
        assert np.isfinite(scores[4:]).all()
    wrong = cli("train", tree, *TINY, "--keys", "window")
    assert wrong.code == 2 and "only with --unit attention" in wrong.err


def test_a_teacher_is_part_of_the_run(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert cli("train", tree, *TINY, "--out", "base", "--unit", "none").code == 0
    base = "base/model.safetensors"
    words = ("--teacher", base, "--teacher-weights", "frame=2,features=0.5")
    result = cli("train", tree, *TINY, "--out", "run", *words)
    assert result.code == 0, result.err
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert {"teacher_frame", "teacher_features"} < set(line["losses"])
    said = load_checkpoint(tmp_path / "run" / "model.safetensors").training["options"]["teacher"]
    assert said["weights"] == {"frame": 2, "features": 0.5}
    for wrong, message in (
        (("--teacher-weights", "frame=1"), "only with --teacher"),
        (("--teacher", base, "--teacher-weights", "frame"), "NAME=WEIGHT was expected"),
        (("--teacher", base, "--teacher-weights", "maps=0"), "are 0"),
    ):
        found = cli("train", tree, *TINY, *wrong)
        assert found.code == 2 and message in found.err, found.err
    assert (
        "sees grey frames"
        in cli("train", tree, *TINY, "--colour", "bgr", "--teacher", base).error()
    )


PRETEXT = (*TINY, "--out", "run", "--pretext", "--pretext-epochs", 1)


@pytest.mark.parametrize("half", ["pretext", "training"])
def test_a_chain_interrupted_in_either_half_goes_on_to_the_same_end(
    cli: Cli, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    assert cli("train", tree, *PRETEXT).code == 0
    whole = load_checkpoint(tmp_path / "run" / "model.safetensors")
    first = load_checkpoint(tmp_path / "run" / "pretext" / "model.safetensors")
    assert whole.training["options"]["start"] == first.sha256
    shutil.rmtree(tmp_path / "run")

    step = Training.train_step

    def interrupted(run: Training, sample: Sample) -> dict[str, float]:
        if run.title == half and run.step == 2:
            raise KeyboardInterrupt
        return step(run, sample)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "train_step", interrupted)
        assert cli("train", tree, *PRETEXT).code == 130
    assert cli("train", tree, *PRETEXT, "--resume").code == 0
    again = load_checkpoint(tmp_path / "run" / "model.safetensors").network.state_dict()
    assert all(torch.equal(again[name], one) for name, one in whole.network.state_dict().items())
    wrong = cli("train", tree, *TINY, "--pretext-epochs", 1)
    assert wrong.code == 2 and "only with --pretext" in wrong.err


def test_movers_of_the_footage_and_of_others(cli: Cli, tree: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "lane", footage(12, seed=5))
    movers = ["--pseudo-kind", "movers", "--movers-from", "lane"]
    assert cli("train", tree, *TINY, *movers, "--out", "run").code == 0
    options = load_checkpoint(tmp_path / "run" / "model.safetensors").training["options"]
    assert options["pseudo_kind"] == "movers" and options["movers_from"]


def test_footage_to_cut_movers_from_is_for_movers_only(cli: Cli, tree: Path) -> None:
    outcome = cli("train", tree, *TINY, "--movers-from", "lane")
    assert outcome.code == 2 and "only with --pseudo-kind movers or both" in outcome.err


def test_a_size_that_does_not_divide_names_the_nearest(cli: Cli, tree: Path) -> None:
    error = cli("train", tree, "--size", "100x160").error()
    assert "96x160 and 112x160" in error


def test_a_device_that_is_not_there(cli: Cli, tree: Path, tmp_path: Path) -> None:
    assert "device 'abacus'" in cli("train", tree, *TINY, "--device", "abacus").error()
    if not torch.cuda.is_available():
        assert "only cpu" in cli("train", tree, *TINY, "--device", "cuda").error()
    assert not (tmp_path / "runs").exists()


def test_a_tree_without_training_videos(cli: Cli, tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "testing", tmp_path / "set" / "testing")
    assert "no training videos" in cli("train", "set", *TINY).error()


def test_a_way_to_compile_is_kept_beside_the_run(
    cli: Cli, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpn.model.compiled.BACKEND", "eager")  # a compiler takes minutes
    assert cli("train", tree, *TINY, "--out", "run", "--compile").code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["compiled"] == "inductor" and config["device"] == "cpu"
    # It is of the machine, not of the run, which goes on without it.
    assert cli("train", tree, *TINY, "--out", "run", "--resume").code == 0

"""mpn train --meta, from folders to a model that can be adapted."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mpn.cli.train import _validation_scenes
from mpn.model.checkpoint import load_checkpoint
from mpn.training.meta_training import MetaTraining
from tests.cli.conftest import TINY, Cli
from tests.helpers.small_model import footage, write_footage

pytestmark = pytest.mark.usefixtures("few_tasks_for_sizes")

META = ("--meta", "--meta-steps", "3", "--shots", "1,2", "--inner-steps", "2")


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cameras of one clip each, in the scenes layout."""
    root = tmp_path_factory.mktemp("data") / "cameras"
    for number, name in enumerate(("gate", "hall", "yard")):
        write_footage(root / name / "a", footage(60, seed=number, intruder=(0, 60)))
    return root


def test_folders_become_a_model_that_can_be_adapted(
    cli: Cli, cameras: Path, tree: Path, tmp_path: Path
) -> None:
    result = cli("train", cameras, *TINY, *META, "--validation-scenes", "hall", "--out", "run")
    assert result.code == 0, result.err
    model = "run/model.safetensors"
    assert result.out == f"written: {model}; next: mpn adapt NORMAL_FOOTAGE --checkpoint {model}\n"
    found = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert found.meta.targets == ("encoder.block1.", "encoder.block2.", "pseudo_head.")
    assert found.meta.steps == 2
    # too short to be seen at a lower rate too
    assert found.training["meta"]["scenes"] == ["gate", "yard"]
    # The scene that is validated on was not pre-trained on either.
    first = load_checkpoint(tmp_path / "run" / "pretraining" / "model.safetensors")
    assert first.meta is None and len(first.training["clips"]) == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert sum("validation" in line for line in lines) == 2
    assert any(
        not torch.equal(a, b)
        for a, b in zip(first.network.parameters(), found.network.parameters())
    )


def test_it_begins_with_a_model_that_is_there(cli: Cli, cameras: Path, tmp_path: Path) -> None:
    assert cli("train", cameras, *TINY, "--out", "first").code == 0
    given = (
        "--checkpoint",
        "first/model.safetensors",
        "--targets",
        "last",
        "--algorithm",
        "maml",
        "--second-order",
    )
    result = cli("train", cameras, *META, *given, "--out", "run")
    assert result.code == 0, result.err
    assert not (tmp_path / "run" / "pretraining").exists()
    found = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert found.meta.targets == ("prototype.", "head.", "pseudo_head.")
    assert found.training["meta"]["options"]["algorithm"] == "maml"
    assert found.training["meta"]["options"]["second_order"] is True


def test_options_of_a_pre_training_that_there_is_not_are_wrong_use(cli: Cli, cameras: Path) -> None:
    given = ("--channels", 4, "--prototypes-after", 0, "--no-pseudo-head", "--minutes", 1)
    result = cli("train", cameras, "--meta", "--checkpoint", "demo", *given)
    named = "--channels, --prototypes-after, --no-pseudo-head, --minutes: only where there is a pre"
    assert result.code == 2 and named in " ".join(result.err.split())


@pytest.mark.slow
def test_interrupted_in_either_half_it_goes_on_to_the_same_end(
    cli: Cli, cameras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (cameras, *TINY, *META, "--validation-scenes", "hall")
    assert cli("train", *arguments, "--out", "alone").code == 0
    step = MetaTraining.train_step

    def interrupted(self: MetaTraining, **options: bool) -> object:
        if self.step == 1:
            raise KeyboardInterrupt
        return step(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(
            "mpn.training.pretraining.Training.train_step",
            lambda self, sample: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        assert cli("train", *arguments, "--out", "run").code == 130
    with monkeypatch.context() as patch:
        patch.setattr(MetaTraining, "train_step", interrupted)
        assert cli("train", *arguments, "--out", "run", "--resume").code == 130
    assert cli("train", *arguments, "--out", "run", "--resume").code == 0
    alone, resumed = (
        load_checkpoint(tmp_path / name / "model.safetensors").network for name in ("alone", "run")
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(alone.state_dict().values(), resumed.state_dict().values())
    )


def test_a_run_is_not_overwritten(cli: Cli, cameras: Path) -> None:
    assert cli("train", cameras, *TINY, *META, "--out", "run").code == 0
    assert "run holds a run already" in cli("train", cameras, *TINY, *META, "--out", "run").error()


def test_options_of_meta_training_without_it_are_wrong_use(cli: Cli, cameras: Path) -> None:
    result = cli("train", cameras, *TINY, "--inner-steps", "2")
    assert result.code == 2 and "--inner-steps: only with --meta" in result.err


def test_a_loss_term_that_there_is_not_is_wrong_use(cli: Cli, cameras: Path) -> None:
    result = cli("train", cameras, *TINY, *META, "--without", "usage,psuedo")
    assert result.code == 2
    assert "--without: there is no loss term 'psuedo'; there are frame, " in result.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--validation-scenes", "attic"), "no scene is called attic; there are gate, hall, yard"),
        (("--targets", "encoder.block7."), "encoder.block7."),
        (("--shots", "40"), "40"),
    ],
)
def test_what_cannot_be_is_one_line(
    cli: Cli, cameras: Path, given: tuple[str, ...], words: str
) -> None:
    assert words in cli("train", cameras, *TINY, *META, *given, "--out", "run").error()


def test_scenes_to_validate_on() -> None:
    clips = [SimpleNamespace(scene=f"gate{number}") for number in range(9)]

    def chosen(named: tuple[str, ...] | None) -> tuple[str, ...]:
        return _validation_scenes(argparse.Namespace(validation_scenes=named), clips)  # type: ignore

    assert chosen(None) == ("gate7",) and chosen(("none",)) == ()
    assert chosen(("gate1", "gate2")) == ("gate1", "gate2")

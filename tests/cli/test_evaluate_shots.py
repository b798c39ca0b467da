"""mpn evaluate --shots: a data set's cameras as new ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.odd_files import write_stream
from mpn.adaptation.inner_loop import Adaptation
from mpn.datasets.windows import Clip
from mpn.errors import DataError
from mpn.evaluation.few_shot import METHODS
from mpn.model.checkpoint import Checkpoint, MetaInfo, load_checkpoint, save_checkpoint
from mpn.model.parameters import target_names
from tests.cli.conftest import Cli
from tests.helpers.small_model import footage

TARGETS = ("encoder.block1.", "pseudo_head.")


@pytest.fixture(scope="module")
def learned(still: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The still model with step sizes, as meta-training leaves them."""
    base = load_checkpoint(still)
    own = dict(base.network.named_parameters())
    sizes = {name: torch.full_like(own[name], 1e-4) for name in target_names(base.network, TARGETS)}
    path = tmp_path_factory.mktemp("model") / "learned.safetensors"
    save_checkpoint(
        path,
        Checkpoint(base.network, fps=10.0, normal=base.normal, meta=MetaInfo(TARGETS, sizes, 2, 2)),
    )
    return path


def shown(cli: Cli, *arguments: object) -> dict:
    result = cli("evaluate", *arguments, "--precision", "float32", "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_every_k_draw_and_method_is_there(
    cli: Cli, tree: Path, learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "fine-tuning", Adaptation(method="adam", steps=5))
    given = ("--checkpoint", learned, "--shots", "2,0,1", "--draws", 2, "--out", "few")
    found = shown(cli, tree, *given)
    assert found == json.loads((tmp_path / "few" / "few_shot.json").read_text())
    cases = {(record["method"], record["shots"], record["draw"]) for record in found["records"]}
    adapted = {
        (method, k, draw)
        for method in ("place", "meta", "fine-tuning")
        for k in (1, 2)
        for draw in (0, 1)
    }
    assert cases == adapted | {("unadapted", 0, 0), ("unadapted, base units", 0, 0)}
    assert found["summary"]["clean"]["shots"] == [0, 1, 2]
    assert found["methods"]["meta"]["steps"] == 2 and found["methods"]["fine-tuning"]["steps"] == 5
    assert found["labels"]["anomalous"] == 14
    assert found["checkpoint"]["sha256"] == load_checkpoint(learned).sha256


def test_unadapted_in_base_units_is_what_evaluate_gives(
    cli: Cli, tree: Path, learned: Path
) -> None:
    few = shown(cli, tree, "--checkpoint", learned, "--shots", "0", "--out", "few")
    plain = shown(cli, tree, "--checkpoint", learned, "--no-baselines", "--out", "plain")
    own = next(r["figures"] for r in few["records"] if r["method"] == "unadapted, base units")
    assert own["score"] == pytest.approx(plain["scores"]["score"]["causal"]["micro_auc"])
    assert own["psnr_db"] == pytest.approx(plain["scores"]["psnr_db"]["paper"]["micro_auc"])


def test_the_table_names_protocol_and_methods(cli: Cli, tree: Path, learned: Path) -> None:
    given = ("--shots", "0,1", "--draws", 1, "--few-shot-protocol", "both", "--no-fine-tuning")
    result = cli("evaluate", tree, "--checkpoint", learned, *given, "--precision", "float32")
    assert result.code == 0, result.err
    assert "clean protocol" in result.out and "test_prefix protocol" in result.out
    assert "meta - unadapted" in result.out and "fine-tuning" not in result.out
    assert result.out.endswith("results: runs/few-shot-street/few_shot.json\n")


def test_a_model_that_was_not_meta_trained_is_fine_tuned(cli: Cli, tree: Path, still: Path) -> None:
    found = shown(cli, tree, "--checkpoint", still, "--shots", "1", "--draws", 1)
    assert {record["method"] for record in found["records"]} == {"place", "fine-tuning"}
    assert found["methods"]["fine-tuning"]["steps"] == 100


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--draws", 3), "--draws: only with --shots"),
        (("--shots", "-1"), "from 0 up"),
        (("--shots", "1", "--few-shot-protocol", "paper"), "is called test_prefix now"),
    ],
)
def test_wrong_use(cli: Cli, tree: Path, given: tuple, words: str) -> None:
    result = cli("evaluate", tree, *given)
    assert result.code == 2 and words in result.err


def test_more_shots_than_windows_is_one_line(cli: Cli, tree: Path, learned: Path) -> None:
    error = cli("evaluate", tree, "--checkpoint", learned, "--shots", "90").error()
    assert "90 windows" in error


def test_deep_video_is_shown_as_the_normal_footage_is(
    cli: Cli, learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is hotter than any of it is as bright as can be, and nothing else is darker for it."""
    shown_to: list[list[Clip]] = []

    def few_shot(detector, training, testing, **how):
        shown_to.extend([training, testing])
        raise DataError("seen enough")

    monkeypatch.setattr("mpn.cli.few_shots.few_shot", few_shot)
    warm = 7000 + 5 * footage(12)[..., 1].astype(np.uint16)
    hot = warm.copy()
    hot[6:, :20, :20] = 9000
    for name, film in (("training_videos", warm), ("testing_videos", hot)):
        (tmp_path / "set" / name).mkdir(parents=True)
        write_stream(
            tmp_path / "set" / name / "01.mkv",
            list(film),
            codec="ffv1",
            pixels="gray16le",
            form="matroska",
            options={"g": "1"},
        )
    (tmp_path / "set" / "labels.csv").write_text("video,start,end\n01,6,12\n")
    error = cli("evaluate", "set", "--checkpoint", learned, "--shots", 1).error()
    assert "seen enough" in error
    ((normal,), (tested,)) = shown_to
    assert tested.levels == normal.levels and tested.frames[6:, :10, :10].min() == 255
    assert np.array_equal(tested.frames[:6], normal.frames[:6])

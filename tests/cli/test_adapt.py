"""mpn adapt: a camera file out of normal footage, and what it prints."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import mpn
from mpn.adaptation.made_motion import Made
from mpn.cli.adapt_text import made_anomaly_lines
from mpn.model.checkpoint import MetaInfo, load_checkpoint, save_checkpoint
from mpn.model.parameters import target_names
from tests.cli.conftest import PLAIN, Cli
from tests.helpers.small_model import footage, write_footage, write_model
from tests.helpers.verbs import Outcome, outcome_in

FEW = ("--shots", 3, "--method", "adam", "--steps", 20, *PLAIN)
QUICK = (*FEW, "--steps", 5)  # where nobody asks how well it was adapted


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The still model with step sizes, as if it were meta-trained; not to be changed."""
    path = write_model(tmp_path_factory.mktemp("learned") / "learned.safetensors")
    plain = load_checkpoint(path)
    sizes = {name: torch.tensor(0.05) for name in target_names(plain.network, ("pseudo_head.",))}
    save_checkpoint(path, replace(plain, meta=MetaInfo(("pseudo_head.",), sizes, steps=2, batch=4)))
    return path


@pytest.fixture(scope="session")
def lobby(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 frames of normal footage; not to be changed."""
    return write_footage(tmp_path_factory.mktemp("footage") / "lobby", footage(120, seed=5))


@pytest.fixture(scope="module")
def adapted(
    learned: Path, lobby: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """The model adapted to the lobby, in a folder of its own; not to be changed."""
    folder = tmp_path_factory.mktemp("adapted")
    result = outcome_in(folder, "adapt", lobby, "--checkpoint", learned, *FEW)
    assert result.code == 0, result.err
    return folder / "lobby.camera.safetensors", result


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_camera_file_is_written_and_scored_with(
    cli: Cli, adapted: tuple[Path, Outcome], lobby: Path, tmp_path: Path
) -> None:
    camera, result = adapted
    assert files(camera.parent) == ["lobby.camera.html", "lobby.camera.safetensors"]
    assert camera.stat().st_size < 1_000_000
    lines = result.out.splitlines()
    words = " ".join(result.out.split())  # where a line breaks depends on the folder's length
    assert words.startswith(f"{lobby}: 120 frames at 10 frames/s")
    assert "by adam on 3 windows in 20 steps" in words
    assert "windows end at frames 23, 62, 100" in lines
    assert all(len(line) < 80 for line in lines if str(lobby.parent) not in line)
    head = next(k for k, line in enumerate(lines) if line.split()[:2] == ["before", "after"])
    assert [line.split()[0] for line in lines[head + 1 : head + 6]] == [
        "prediction",
        "loss",
        "threshold,",
        "false",
        "time",
    ]
    assert "written: lobby.camera.safetensors (0.0" in result.out
    assert lines[-1] == "next: mpn score VIDEO --checkpoint lobby.camera.safetensors"

    # What it names next works, and finds what was not there before.
    write_footage(tmp_path / "today", footage(60, intruder=(30, 50), seed=9))
    scored = cli("score", "today", "--checkpoint", camera, "--no-report", *PLAIN)
    assert scored.code == 0, scored.err
    events = json.loads((tmp_path / "runs" / "score" / "today" / "events.json").read_text())
    assert events["events"] and 30 <= events["events"][0]["start"] <= 34
    assert events["threshold"]["hours"] == pytest.approx(load_normal(camera) / 36000)


def load_normal(path: Path) -> int:
    return sum(map(len, load_checkpoint(path).normal["error"]))


def test_the_figures_as_json(
    cli: Cli, adapted: tuple[Path, Outcome], learned: Path, lobby: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    shutil.copy(adapted[0], tmp_path / "x" / "a.camera.safetensors")
    table = adapted[1]
    result = cli(
        "adapt", lobby, "--checkpoint", learned, *FEW, "--out", "x/a.camera.safetensors", "--json"
    )
    assert result.code == 0 and len(result.out.splitlines()) == 1
    told = json.loads(result.out)
    assert (
        told["file"] == "x/a.camera.safetensors"
        and told["earlier_version"] == "x/a.v1.camera.safetensors"
    )
    assert told["bytes"] == (tmp_path / "x" / "a.camera.safetensors").stat().st_size
    assert told["windows"] == [[0, 23], [0, 62], [0, 100]] and told["options"]["shots"] == 3
    for side in ("before", "after"):
        for name, digits in (("psnr_db", 2), ("loss", 5), ("threshold", 2)):
            assert f"{told[side][name]:.{digits}f}" in table.out
    detector = mpn.load(tmp_path / "x" / "a.camera.safetensors")
    assert told["after"]["threshold"] == detector.calibration(10).threshold(1).value
    assert detector.checkpoint.camera["adapted_on"]["windows"] == told["windows"]


def test_evaluate_takes_a_camera_file(
    cli: Cli, adapted: tuple[Path, Outcome], tree: Path, tmp_path: Path
) -> None:
    camera, _ = adapted
    result = cli("evaluate", tree, "--checkpoint", camera, "--no-baselines", "--out", "e", *PLAIN)
    assert result.code == 0, result.err
    facts = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert facts["checkpoint"]["sha256"] == load_checkpoint(camera).sha256


def test_options_reach_the_adaptation(cli: Cli, still: Path, lobby: Path, tmp_path: Path) -> None:
    adam = (
        "--method",
        "adam",
        "--steps",
        3,
        "--learning-rate",
        0.0001,
        "--seed",
        4,
        "--targets",
        "first",
    )
    result = cli(
        "adapt", lobby, "--checkpoint", still, *FEW, *adam, "--false-alarms-per-hour", 6, "--json"
    )
    assert result.code == 0, result.err
    told = json.loads(result.out)
    used = told["options"]
    assert (used["method"], used["steps"], used["learning_rate"], used["seed"]) == (
        "adam",
        3,
        0.0001,
        4,
    )
    assert (
        used["targets"] == ["encoder.block1.", "pseudo_head."]
        and used["false_alarms_per_hour"] == 6
    )
    own = load_checkpoint(tmp_path / "lobby.camera.safetensors")
    assert {name.rsplit(".", 2)[0] for name in own.camera["tensors"]} == {
        "encoder.block1",
        "pseudo_head",
    }
    assert told["after"]["threshold"] == mpn.load(own.path).calibration(10).threshold(6).value


def test_what_would_be_found_is_said() -> None:
    auc = {"score": 0.925, "speed": 0.5}
    seen = [Made("twice as fast", 20, 15, auc), Made("elsewhere", 20, 1, auc)]
    text = "\n".join(made_anomaly_lines(SimpleNamespace(made=seen)))
    assert [" ".join(line.split()) for line in text.splitlines()] == [
        "what moves here, altered for up to 2 s, 20 times each:",
        "twice as fast elsewhere",
        "found at that threshold 75.0 % 5.0 %",
        "told from normal frames, AUC 92.5 92.5",
        "speed for its place 50.0 50.0",
    ]
    (line,) = made_anomaly_lines(SimpleNamespace(made=[seen[1]]))[-1:]
    assert "most of it would be missed: more minutes of normal footage lower it" in line
    (line,) = made_anomaly_lines(SimpleNamespace(made=[], options={"method": "place"}))
    assert "is not known" in line and "too little of it does for long enough" in line
    (line,) = made_anomaly_lines(
        SimpleNamespace(made=[], options={"method": "adam"}, windows=[(0, 9)])
    )
    assert "not tried out" in line and "leave --shots out" in line
    (line,) = made_anomaly_lines(SimpleNamespace(made=[], options={"method": "adam"}, windows=[]))
    assert "too little of it does for long enough" in line
    unknown = [Made("elsewhere", 20, None, auc)]  # there is no threshold
    assert "found at" not in "\n".join(made_anomaly_lines(SimpleNamespace(made=unknown)))


def test_by_default_all_footage_makes_the_place_model_and_the_network_stays(
    cli: Cli, still: Path, lobby: Path, tmp_path: Path
) -> None:
    result = cli("adapt", lobby, "--checkpoint", still, *PLAIN)
    assert result.code == 0, result.err
    words = " ".join(result.out.split())
    assert "12.0 s are too little" in words and "half a minute or more" in words
    assert "what would be found is not known" in words
    assert "adapted by place on all of it" in result.out and "each judged by the" in result.out
    assert "loss" not in result.out and "windows end" not in result.out
    own, base = load_checkpoint(tmp_path / "lobby.camera.safetensors"), load_checkpoint(still)
    assert own.camera["tensors"] == []
    for name, tensor in base.network.state_dict().items():
        assert torch.equal(tensor, own.network.state_dict()[name])
    (place,) = own.places.values()
    assert place.frames == 119  # of 120 the first has no motion
    assert set(own.normal) == {"speed", "direction"}  # the network has not seen the camera
    asked = cli("adapt", lobby, "--checkpoint", still, "--network", *PLAIN)
    assert asked.code == 0, asked.err
    own = load_checkpoint(tmp_path / "lobby.camera.safetensors")
    assert set(own.normal) == {"error", "pseudo", "speed", "direction"}
    few = cli("adapt", lobby, "--checkpoint", still, "--shots", 3, *PLAIN)
    assert "by place on 3 windows" in few.out
    (place,) = load_checkpoint(tmp_path / "lobby.camera.safetensors").places.values()
    assert place.frames == 15  # three windows of four frames and a target
    wrong = cli("adapt", lobby, "--checkpoint", still, "--steps", 3, *PLAIN)
    assert wrong.code == 2 and "place takes no step" in wrong.err


def test_the_strangest_moments_are_shown_and_can_be_left_out(
    cli: Cli, still: Path, tmp_path: Path
) -> None:
    # Twice as fast as everything else, for a second and a half; by hand that is no normal footage.
    write_footage(tmp_path / "lobby", footage(180, intruder=(100, 115), seed=5))
    adapt = ("adapt", "lobby", "--checkpoint", still, *PLAIN)
    result = cli(*adapt, "--json")
    assert result.code == 0, result.err
    first = json.loads(result.out)["moments"][0]
    assert 98 <= first["frame"] <= 118 and first["start"] <= first["frame"] < first["stop"]
    shown = cli(*adapt)
    option = f"--without {first['start']}-{first['stop'] - 1}"
    assert option in " ".join(shown.out.split())
    left = cli(*adapt, *option.split(), "--json")
    assert left.code == 0, left.err
    told = json.loads(left.out)
    assert told["without"] == [option.split()[1]]
    lost = set(range(first["start"], first["stop"]))
    assert all(lost.isdisjoint(range(one["start"], one["stop"])) for one in told["moments"])
    (place,) = load_checkpoint(tmp_path / "lobby.camera.safetensors").places.values()
    assert place.frames == 179 - len(lost)


@pytest.mark.parametrize("frames", ["9", "9-", "20-10", "a-b", "1-2,,3-4"])
def test_frames_to_leave_out_are_two_numbers(cli: Cli, lobby: Path, frames: str) -> None:
    result = cli("adapt", lobby, "--without", frames)
    assert result.code == 2 and "FIRST-LAST was expected" in result.err


def test_frames_that_are_not_there_are_said(cli: Cli, still: Path, lobby: Path) -> None:
    result = cli("adapt", lobby, "--checkpoint", still, "--without", "100-130", *PLAIN)
    assert result.code == 1 and "has frames 0 to 119" in " ".join(result.err.split())


def test_a_model_without_step_sizes_is_adapted_by_adam(cli: Cli, still: Path, lobby: Path) -> None:
    result = cli("adapt", lobby, "--checkpoint", still, *FEW, "--steps", 1)
    assert result.code == 0, result.err
    assert "by adam on 3 windows in 1 steps" in result.out


def test_a_whole_model(cli: Cli, learned: Path, lobby: Path, tmp_path: Path) -> None:
    same = ("adapt", lobby, "--checkpoint", learned, *QUICK, "--targets", "first")
    assert cli(*same).code == 0 == cli(*same, "--standalone").code
    paths = (tmp_path / "lobby.safetensors", tmp_path / "lobby.camera.safetensors")
    whole, camera = map(load_checkpoint, paths)
    assert whole.camera is None and whole.meta is None and camera.camera
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, camera.network.state_dict()[name])
    assert [clip.tolist() for clip in whole.normal["error"]] == [
        clip.tolist() for clip in camera.normal["error"]
    ]


def test_versions_and_rollback(
    cli: Cli, adapted: tuple[Path, Outcome], learned: Path, lobby: Path, tmp_path: Path
) -> None:
    arguments = ("adapt", lobby, "--checkpoint", learned, *QUICK, "--out", "a.camera.safetensors")
    assert "earlier one" not in adapted[1].out
    first = shutil.copy(adapted[0], tmp_path / "a.camera.safetensors").read_bytes()
    assert "; the earlier one is now a.v1.camera.safetensors" in cli(*arguments, "--seed", 1).out
    second = (tmp_path / "a.camera.safetensors").read_bytes()
    assert first != second and (tmp_path / "a.v1.camera.safetensors").read_bytes() == first
    page = tmp_path / "a.camera.html"
    page.write_text("of the later one")
    result = cli("adapt", "--rollback", "--out", "a.camera.safetensors")
    assert result.code == 0
    assert (
        "is what a.v1.camera.safetensors was; what was there is now a.replaced1.camera.safetensors"
        in result.out
    )
    assert (tmp_path / "a.camera.safetensors").read_bytes() == first
    assert (tmp_path / "a.replaced1.camera.safetensors").read_bytes() == second
    assert "What is usual here" in page.read_text("utf-8")  # of what is in use
    assert (
        "no earlier version" in cli("adapt", "--rollback", "--out", "a.camera.safetensors").error()
    )


def test_a_folder_of_clips_names_them(cli: Cli, learned: Path, tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_footage(tmp_path / "days" / name, footage(60, seed=int(name)))
    result = cli("adapt", "days", "--checkpoint", learned, "--shots", 2, *PLAIN)
    assert result.code == 0, result.err
    assert "windows end at frames 1:32, 2:32" in result.out and "days: 120 frames" in result.out


def test_a_worse_model_is_written_on_request_only(
    cli: Cli, lobby: Path, learned: Path, tmp_path: Path
) -> None:
    base = load_checkpoint(learned)
    sizes = {name: torch.full_like(size, -0.5) for name, size in base.meta.step_sizes.items()}
    save_checkpoint(
        tmp_path / "b.safetensors", replace(base, meta=replace(base.meta, step_sizes=sizes))
    )
    before = (tmp_path / "b.safetensors").read_bytes()
    meta = ("--checkpoint", "b.safetensors", "--shots", 3, "--method", "meta", *PLAIN)
    error = cli("adapt", lobby, *meta).error()
    assert "so nothing is kept" in error and "--force" in error
    assert files(tmp_path) == ["b.safetensors"]
    assert cli("adapt", lobby, *meta, "--force", "--no-report").code == 0
    assert files(tmp_path) == ["b.safetensors", "lobby.camera.safetensors"]
    assert (tmp_path / "b.safetensors").read_bytes() == before


def test_the_released_model_is_the_default(
    cli: Cli, learned: Path, lobby: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpn.model.released.PACKAGED_FOLDER", tmp_path / "package")
    monkeypatch.setattr("mpn.model.released.REPOSITORY_FOLDER", tmp_path / "nothing")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "demo.safetensors").write_bytes(learned.read_bytes())
    packaged = cli("adapt", lobby, *PLAIN)  # meta does not come with the package
    assert packaged.code == 0
    assert "meta is not here, so demo is taken" in packaged.err
    assert "model demo: preset small" in packaged.err
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "meta.safetensors").write_bytes(learned.read_bytes())
    whole = cli("adapt", lobby, *PLAIN)
    assert whole.code == 0
    assert "not here" not in whole.err and "model meta: preset" in whole.err
    assert np.isfinite(
        load_checkpoint(tmp_path / "lobby.camera.safetensors").normal["speed"][0]
    ).all()


def test_motion_alone_is_learned_without_the_network(
    cli: Cli, still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_footage(tmp_path / "hall", footage(120, seed=5))
    monkeypatch.setattr("mpn.model.network.Network.forward", lambda *_: pytest.fail("asked"))
    result = cli("adapt", "hall", "--checkpoint", still, "--no-network", *PLAIN)
    assert result.code == 0, result.err
    own = load_checkpoint(tmp_path / "hall.camera.safetensors")
    assert set(own.normal) == {"speed", "direction"}
    scored = cli("score", "hall", "--checkpoint", "hall.camera.safetensors", *PLAIN)
    assert scored.code == 0
    assert "learned from this very recording" in " ".join(scored.err.split())
    wrong = cli("adapt", "hall", "--checkpoint", still, "--no-network", "--method", "adam", *PLAIN)
    assert wrong.code == 2 and "adam trains the network" in wrong.err

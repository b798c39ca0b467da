"""`mpn teach` as a user calls it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture(scope="module", autouse=True)
def quick(known_flow: None, small_pictures: None) -> None:
    """What is taught is told by its motion: here the flow is the product's."""


def test_teach_list_take_over_and_forget(cli: Cli, hall: Path, tmp_path: Path):
    for name in ("base", "hall.camera"):
        shutil.copy(hall / f"{name}.safetensors", tmp_path)
    shutil.copy(hall / "hall.camera.safetensors", tmp_path / "yard.camera.safetensors")
    camera, events = "hall.camera.safetensors", hall / "out" / "events.json"
    assert cli("teach", camera, "--list").out == f"{camera} was taught nothing\n"

    result = cli("teach", camera, f"{events}#1,2", "--normal")
    assert result.code == 0 and result.out.count("taught: normal (day, frame") == 2
    assert "next: mpn score VIDEO --checkpoint hall.camera.safetensors" in result.out
    assert cli("teach", camera, f"{events}#3", "--name", "bar").code == 0
    listed = [line.split() for line in cli("teach", camera, "--list").out.splitlines()]
    assert [line[:2] for line in listed[1:]] == [["1", "normal"], ["2", "normal"], ["3", "bar"]]

    result = cli("score", hall / "day", "--fps", 10, "--checkpoint", camera, "--threshold", 30)
    assert result.code == 0 and "1 event" in result.out and "; like bar (0.0" in result.out
    assert "like bar (0.0" in (tmp_path / "runs" / "score" / "day" / "report.html").read_text()

    assert "1 event" in cli("teach", "yard.camera.safetensors", "--from", camera).out
    assert "forgotten: bar" in cli("teach", camera, "--forget", "#3").out
    assert cli("teach", camera, "--forget", "normal").out.count("normal (day") == 2
    assert "was taught nothing" in cli("teach", camera, "--list").out
    assert "bar" in cli("teach", "yard.camera.safetensors", "--list").out
    versions = sorted(path.name for path in tmp_path.glob("hall.v*"))
    assert versions == [f"hall.v{n}.camera.safetensors" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.camera.safetensors"],
        ["a.camera.safetensors", "events.json#1"],
        ["a.camera.safetensors", "--normal"],
        ["a.camera.safetensors", "events.json", "--normal"],
        ["a.camera.safetensors", "events.json#", "--normal"],
        ["a.camera.safetensors", "#3", "--normal"],
        ["a.camera.safetensors", "events.json#x", "--normal"],
        ["a.camera.safetensors", "events.json#1", "--normal", "--name", "car"],
        ["a.camera.safetensors", "events.json#1", "--list"],
        ["a.camera.safetensors", "--from", "b.camera.safetensors", "--name", "car"],
        ["a.camera.safetensors", "--from", "b.camera.safetensors", "--list"],
    ],
)
def test_wrong_use(cli: Cli, arguments: list[str]):
    assert cli("teach", *arguments).code == 2


def test_errors_are_a_line(cli: Cli, hall: Path, still: Path):
    events = hall / "out" / "events.json"
    assert (
        "no event #9"
        in cli("teach", hall / "hall.camera.safetensors", f"{events}#9", "--normal").error()
    )
    assert "no camera file" in cli("teach", still, f"{events}#1", "--normal").error()
    assert "no checkpoint" in cli("teach", "gone.safetensors", "--list").error()

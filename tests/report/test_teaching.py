"""A camera taught from its report: the file changes, and what cannot be taught is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mpn.adaptation.camera_file import read_camera
from mpn.errors import CheckpointError, DataError, MpnError
from mpn.report.teaching import CameraTeacher
from tests.helpers.served import serving, write_results
from tests.report.test_server import ask


@pytest.fixture(scope="module", autouse=True)
def quick() -> None:
    """What is taught is told by its motion: here the flow is the product's."""


@pytest.fixture
def camera(hall: Path, tmp_path: Path) -> Path:
    """A copy of the camera file, with its base beside it."""
    for name in ("base", "hall.camera"):
        shutil.copy(hall / f"{name}.safetensors", tmp_path)
    return tmp_path / "hall.camera.safetensors"


@pytest.fixture
def peaks(hall: Path) -> list[int]:
    events = json.loads((hall / "out" / "events.json").read_text())["events"]
    return [event["peak_frame"] for event in events]


def test_a_click_changes_the_camera_file(
    hall: Path, camera: Path, peaks: list[int], tmp_path: Path
) -> None:
    results = write_results(tmp_path / "out")
    for name in ("events.json", "state.json", "scores.csv"):
        shutil.copy(hall / "out" / name, results)
    before = camera.read_bytes()
    teacher = CameraTeacher(results, camera)
    assert teacher.taught() == []
    with serving(results, teacher) as server:
        lesson = {"event": 3, "frame": peaks[2], "name": " bar "}
        status, text = ask(server, json.dumps(lesson).encode())
        assert status == 200 and text.startswith("Taught: event 3 is bar (")
        assert f"mpn score VIDEO --checkpoint {camera}" in text
        (known,) = read_camera(camera).taught
        assert (known.name, known.source, known.frame) == ("bar", "day", peaks[2])
        assert teacher.taught() == [(peaks[2], "bar")]
        assert camera.with_name("hall.v1.camera.safetensors").read_bytes() == before

        for lesson, words in (
            ({"event": 4, "frame": 5, "name": None}, "there is no event #4, it has 3 events"),
            ({"event": 0, "frame": 5, "name": None}, "there is no event #0"),
            ({"event": 1, "frame": 5, "name": None}, "scored again since"),
            ({"event": 1, "frame": peaks[0], "name": "normal"}, "is no name"),
        ):
            status, text = ask(server, json.dumps(lesson).encode())
            assert status == 409 and words in text
        assert teacher.taught() == [(peaks[2], "bar")]


def test_the_recording_has_gone(hall: Path, camera: Path, peaks: list[int], tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(hall / "out", results)
    state = json.loads((results / "state.json").read_text())
    state["identity"]["source"] = str(tmp_path / "gone")
    (results / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match=r"its recording .*gone is gone; put it back"):
        CameraTeacher(results, camera).teach(1, peaks[0], None)


def test_a_camera_file_that_goes_meanwhile(hall: Path, camera: Path, peaks: list[int]) -> None:
    teacher = CameraTeacher(hall / "out", camera)
    camera.unlink()
    assert teacher.taught() == []
    with pytest.raises(CheckpointError):
        teacher.teach(1, peaks[0], None)


def test_only_a_camera_file_is_taught(hall: Path) -> None:
    with pytest.raises(MpnError, match="is no camera file"):
        CameraTeacher(hall / "out", hall / "base.safetensors")
    with pytest.raises(CheckpointError):
        CameraTeacher(hall / "out", hall / "gone.camera.safetensors")

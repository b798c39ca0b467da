"""`mpn report` as a user calls it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from mpn.jobs.state import EVENTS
from mpn.report.server import ReportServer
from tests.cli.conftest import PLAIN, Cli
from tests.helpers.served import write_results
from tests.helpers.small_model import footage, write_footage


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "runs" / "score" / "hall", camera=None)


def changed(folder: Path, **values: object) -> None:
    """Change events.json; None takes an entry out."""
    summary = json.loads((folder / EVENTS).read_text()) | values
    kept = {name: value for name, value in summary.items() if value is not None}
    (folder / EVENTS).write_text(json.dumps(kept))


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as it serves: what Python makes of the signal, which whoever runs the tests
    may have ignored (a shell does in the background)."""

    def interrupt(server: ReportServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ReportServer, "service_actions", interrupt)


def test_the_events_are_listed(cli: Cli, results: Path) -> None:
    by_folder, by_file = cli("report", results), cli("report", results / "events.json")
    assert by_folder.code == 0 and by_folder.out == by_file.out
    lines = by_folder.out.splitlines()
    assert lines[0] == "hall.mp4: 2 events"
    assert lines[1].startswith("  event 1: 0:01.6 - 0:02.8 (1.2 s), peak ")
    assert any(line.startswith("  event 2: 0:04.0") for line in lines)
    assert "report.html" in by_folder.out


def test_results_of_an_earlier_version_or_of_a_stop(cli: Cli, results: Path) -> None:
    (results / "report.html").unlink()
    events = json.loads((results / EVENTS).read_text())["events"]
    for event in events:
        del event["reason"], event["like"]
    changed(results, camera=None, complete=False, events=events)
    result = cli("report", results)
    assert result.code == 0 and "2 events so far" in result.out and "look at" not in result.out


def test_a_page_without_a_camera_is_shown_until_ctrl_c(
    cli: Cli, results: Path, interrupted: None
) -> None:
    changed(results, camera=None)
    result = cli("report", results, "--serve")
    assert result.code == 0 and result.out.endswith("\nended\n")
    assert "http://127.0.0.1:" in result.out
    assert "no camera file is known (--camera FILE" in result.err


def test_a_page_of_an_earlier_version_is_shown(cli: Cli, results: Path, interrupted: None) -> None:
    page = results / "report.html"
    page.write_text(page.read_text().replace('id="teach"', ""))
    result = cli("report", results, "--serve")
    assert result.code == 0 and "is of an earlier version" in result.err


def test_what_there_is_no_report_of(cli: Cli, results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("gone", "empty"):
        for more in ((), ("--serve",)):
            error = cli("report", tmp_path / name, *more).error()
            assert f"{name}: has no events.json; the folder that mpn score wrote" in error
    assert f"there is {results}" in cli("report", results.parent).error()
    assert "has no events.json" in cli("report", results / "report.html").error()
    (results / "report.html").unlink()
    assert "has no report.html" in cli("report", results, "--serve").error()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "7",
        '{"source": "a"}',
        '{"source": "a", "events": 7}',
        '{"source": "a", "events": {}}',
        "[" * 100_000,
        '{"source": "a", "events": [7]}',
        '{"source": "a", "events": [{"start": 1}]}',
        '{"events": []}',
        "\ufeff{}",
    ],
)
def test_events_that_are_none(cli: Cli, results: Path, text: str) -> None:
    (results / EVENTS).write_text(text, encoding="utf-8")
    assert "is no events.json as mpn score writes it" in cli("report", results).error()


@pytest.mark.parametrize(
    ("name", "value"),
    [("start_seconds", "x"), ("peak_score", None), ("region", [1, 2]), ("region", "abcd")],
)
def test_an_event_whose_numbers_are_none(cli: Cli, results: Path, name: str, value: object) -> None:
    events = json.loads((results / EVENTS).read_text())["events"]
    events[1][name] = value
    changed(results, events=events)
    assert "is no events.json as mpn score writes it" in cli("report", results).error()


def test_a_camera_file_that_is_gone_or_none(cli: Cli, results: Path, still: Path) -> None:
    changed(results, camera="/gone/hall.camera.safetensors")
    assert "hall.camera.safetensors that scored it is gone" in (
        cli("report", results, "--serve").error()
    )
    assert cli("report", results).code == 0
    assert "is no camera file" in cli("report", results, "--serve", "--camera", still).error()
    assert "no checkpoint" in cli("report", results, "--serve", "--camera", "gone.st").error()


def test_a_second_server_on_a_port(cli: Cli, results: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = cli("report", results, "--serve", "--port", port).error()
    assert f"port {port} of 127.0.0.1 cannot be used (Address already in use)" in error
    assert "give another --port" in error
    assert "port 70000" in cli("report", results, "--serve", "--port", 70000).error()


@pytest.mark.parametrize(
    "arguments", [["--port", "80"], ["--camera", "a"], ["--serve", "--port", "-1"], ["b"]]
)
def test_wrong_use(cli: Cli, results: Path, arguments: list[str]) -> None:
    assert cli("report", results, *arguments).code == 2


def test_of_a_camera_file_its_page_is_written(cli: Cli, still: Path, tmp_path: Path) -> None:
    write_footage(tmp_path / "hall", footage(120, seed=5))
    made = cli("adapt", "hall", "--checkpoint", still, *PLAIN)
    assert made.code == 0, made.err
    page = tmp_path / "hall.camera.html"
    first = page.read_bytes()
    assert "look at: hall.camera.html" in made.out and b"What is usual here" in first
    page.unlink()
    result = cli("report", "hall.camera.safetensors")
    assert result.code == 0 and page.read_bytes() == first
    assert "--serve is for" in cli("report", "hall.camera.safetensors", "--serve").err
    assert "has learned no camera" in cli("report", still).error()
    assert "none.camera.safetensors" in cli("report", "none.camera.safetensors").error()

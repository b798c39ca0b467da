"""`mpn watch`: its config checked, an example, and cameras watched from the command line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpn.cli.watch import Progress, status_line, stopped_line
from mpn.errors import MpnError
from mpn.live.config import EXAMPLE, WatchConfig
from mpn.live.status import CameraStatus, Output, State
from tests.cli.conftest import Cli
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_film, write_model


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A base and a film of eight seconds, in which somebody races at the end."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    write_model(tmp_path / "base.safetensors", normal=False, pseudo_head=False, **size)
    films = recording(200, fast=(185, 200))
    noise = np.random.default_rng(0).integers(-2, 3, (len(films), *SIZE, 1))
    films = np.clip(films.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return write_film(tmp_path / "street.avi", films, 25.0)


def test_the_example_is_a_config(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = cli("watch", "--example")
    assert shown.code == 0 and shown.out == EXAMPLE
    (tmp_path / "watch.yaml").write_text(shown.out)
    # As a package is installed: without the repository's models.
    monkeypatch.setattr("mpn.model.released.REPOSITORY_FOLDER", tmp_path / "gone")
    checked = cli("watch", "--check", "watch.yaml")
    assert checked.code == 0 and "cameras: entrance, yard, lab\n" in checked.out
    assert "no camera was contacted" in checked.out
    assert not (tmp_path / "runs").exists()


def test_a_config_with_mistakes_opens_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "watch.yaml").write_text(
        "cameras: {a: {url: 'rtsp://u:s3cret@h/x', colour: 1}, b: {url: 'ftp://x'}}\n"
    )
    for arguments in (("--check", "watch.yaml"), ("watch.yaml",)):
        refused = cli("watch", *arguments)
        assert "watch.yaml: 2 mistakes" in refused.error()
        lines = refused.err.splitlines()
        assert any("cameras.a.colour: " in one for one in lines[:-1])
        assert any("cameras.b.url: " in one for one in lines[:-1])
        assert "s3cret" not in refused.err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "CONFIG or URL is missing"),
        (("a.yaml", "b.mp4"), "give it alone"),
        (("--check", "b.mp4"), "is of a config"),
        (("--loop", "a.yaml"), "an entry of each camera"),
    ],
)
def test_wrong_use(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    refused = cli("watch", *arguments)
    assert refused.code == 2 and words in refused.err


def test_a_camera_is_learned_and_watched(cli: Cli, street: Path) -> None:
    base = ("--checkpoint", "base.safetensors", "--precision", "float32", "--threads", "1")
    minutes = ("--learning-minutes", "0.1")
    watched = cli("watch", street, *base, *minutes, "--json", "--seconds", "60")
    assert watched.code == 0, watched.err
    assert "learns for 0.1 min" in watched.err and "alarms above" in watched.err
    assert "street.avi" not in watched.out
    assert (street.parent / "runs/watch/camera-1/camera-1.camera.safetensors").is_file()
    for line in watched.out.splitlines():
        alarm = json.loads(line)
        assert alarm["camera"] == "camera-1" and alarm["phase"] in ("begin", "end")
    again = cli("watch", street, *base, "--seconds", "2", "--no-network", "--freeze")
    assert again.code == 0 and "learns for" not in again.err and "alarms above" in again.err


class Stops:
    """An output that asks for the end as a service manager does, or as Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.numbers = [number]

    def alarm(self, alarm: object) -> None:
        pass

    def status(self, cameras: object) -> None:
        if self.numbers:
            os.kill(os.getpid(), self.numbers.pop())

    def close(self, seconds: float) -> None:
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_ends_with_what_is_kept(
    cli: Cli, street: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stops = Stops(number)
    monkeypatch.setattr("mpn.live.outputs.config.open_outputs", lambda *_, **__: [stops])
    rate = ("--false-alarms-per-hour", "0.5", "--seconds", "60")
    stopped = cli("watch", street, "--checkpoint", "base.safetensors", *rate)
    assert stopped.code == 0
    assert stopped.err.splitlines()[-1] == stopped_line(["camera-1"])
    assert stopped_line(["camera-1"]).endswith("is kept; camera-1 begins its first minutes again")
    assert stopped_line([]) == "stopped; the same command goes on, what was learned is kept"


def test_a_rate_of_false_alarms_goes_before_that_of_the_config(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[WatchConfig] = []
    monkeypatch.setattr("mpn.live.loop.Watch", lambda config, *_, **__: read.append(config))
    (tmp_path / "watch.yaml").write_text(
        "model: demo\nfalse_alarms_per_hour: 2\noutputs: {page: null}\n"
        "cameras: {a: {url: /dev/video0}, b: {url: /dev/video1, false_alarms_per_hour: 3}}\n"
    )
    rate = ("--false-alarms-per-hour", "0.5")
    for arguments in (("watch.yaml",), ("watch.yaml", *rate), ("/dev/video0", *rate)):
        with pytest.raises(AttributeError):  # (there is nothing to watch)
            cli("watch", *arguments)
    assert [one.false_alarms_per_hour for one in read] == [2, 0.5, 0.5]
    assert read[1].cameras["b"].false_alarms_per_hour == 3
    assert "a number above 0" in cli("watch", "x", "--false-alarms-per-hour", "0").err


def test_whether_the_network_is_asked_goes_before_what_the_config_says(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bool | None] = []
    monkeypatch.setattr("mpn.live.loop.Watch", lambda config, *_, **__: read.append(config.network))
    begin = "model: demo\noutputs: {page: null}\ncameras: {a: {url: /dev/video0}}\n"
    (tmp_path / "plain.yaml").write_text(begin)
    (tmp_path / "asks.yaml").write_text(f"{begin}network: true\n")
    for source in ("/dev/video0", "plain.yaml", "asks.yaml"):
        for option in ((), ("--network",), ("--no-network",)):
            with pytest.raises(AttributeError):  # (there is nothing to watch)
                cli("watch", source, *option)
    assert read == [None, True, False, None, True, False, True, True, False]


def test_addresses_with_mistakes_open_nothing(cli: Cli, tmp_path: Path) -> None:
    refused = cli("watch", "gone.mp4", "ftp://x", "--checkpoint", "demo")
    assert refused.error() == "mpn watch: 2 mistakes, nothing was opened; mend them"
    assert "camera-1.url: gone.mp4 is not there" in refused.err and "protocol 'ftp'" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_said(cli: Cli, street: Path) -> None:
    assert (
        "nothing.safetensors" in cli("watch", street, "--checkpoint", "nothing.safetensors").error()
    )


def test_it_stops_where_nobody_reads_what_it_says() -> None:
    reader, writer = os.pipe()
    stopped: list[None] = []
    with os.fdopen(writer, "w") as stream:
        progress = Progress(stream, lambda: stopped.append(None))
        progress.status({})
        assert not stopped
        os.close(reader)  # as head does behind its last line
        progress.status({})
    assert stopped


def test_a_file_has_no_reader_that_could_go(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        Progress(stream, lambda: pytest.fail("was stopped")).status({})


def test_where_a_camera_stands_in_a_line() -> None:
    status = CameraStatus(
        "yard", "rtsp://h/1", State.DISCONNECTED, "Connection refused; tried again"
    )
    line = status_line(status)
    assert line.startswith("yard ") and "disconnected" in line and "tried again" in line
    watching = CameraStatus(
        "yard", "x", State.WATCHING, fps=9.8, score=1.25, threshold=3.5, lag=0.1
    )
    assert "score   1.25 of 3.50" in status_line(watching)
    assert status_line(watching).endswith("0 events")
    assert status_line(replace(watching, events=1)).endswith(" 1 event")


def test_the_page_teaches_the_cameras_that_are_watched(
    cli: Cli, street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Callable[[str, str | None], str]] = []

    def opened(config: object, out: Path, *, teach: Any, announce: object) -> list[Output]:
        given.append(teach)
        return []

    monkeypatch.setattr("mpn.live.outputs.config.open_outputs", opened)
    watched = cli("watch", street, "--checkpoint", "base.safetensors", "--seconds", "1")
    assert watched.code == 0, watched.err
    (teach,) = given
    with pytest.raises(MpnError, match="camera-1 is still learning"):
        teach("camera-1-20231114T221320Z-1", None)
    with pytest.raises(MpnError, match=r"no event 'x' .* \(camera-1\)"):
        teach("x", None)

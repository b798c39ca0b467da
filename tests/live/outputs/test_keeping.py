"""What is kept of clips and snapshots, and what is never touched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mpn.live.outputs.keeping import Keeper
from mpn.live.outputs.settings import KeepConfig
from tests.helpers.fake_cameras import alarm
from tests.live.outputs.conftest import until

DAY, GIGABYTE = 86_400.0, 1e9
NOW = 1_790_000_000.0
PLENTY = (10**13, 10**14)


def write(path: Path, days: float = 0.0, size: int = 4096) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - days * DAY,) * 2)
    return path


def keeper(
    out: Path, room: Callable[[Path], tuple[int, int]] = lambda _: PLENTY, **config: float
) -> Keeper:
    own = Keeper(KeepConfig(**config), out, room, lambda: NOW)
    own.close(5)  # its thread: the tests look themselves
    return own


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob("*") if not path.is_dir())


def test_what_is_too_old_goes_and_the_rest_stays(tmp_path: Path) -> None:
    for camera in ("lobby", "yard"):
        for days in (1, 13, 15, 40):
            write(tmp_path / camera / "events" / f"{camera}-{days}.webm", days)
            write(tmp_path / camera / "events" / f"{camera}-{days}.jpg", days)
            write(tmp_path / camera / "events" / f"{camera}-{days}.examples.json", days)
    write(tmp_path / "events.jsonl", 100)
    write(tmp_path / "lobby" / "camera.safetensors", 100)
    write(tmp_path / "lobby" / "events" / "notes.txt", 100)
    write(tmp_path / "lobby" / "events" / "notes.json", 100)
    write(tmp_path / "lobby" / "events" / "deeper" / "a.webm", 100)
    write(tmp_path / "lobby" / "a.webm", 100)
    own = keeper(tmp_path, days=14)
    left = {f"{camera}-{days}" for camera in ("lobby", "yard") for days in (1, 13)}
    others = {"events.jsonl", "camera.safetensors", "notes.txt", "notes.json", "a.webm"}
    suffixes = ("webm", "jpg", "examples.json")
    assert set(names(tmp_path)) == others | {f"{one}.{end}" for one in left for end in suffixes}
    assert names(tmp_path).count("a.webm") == 2 and own.removed == 12


def test_above_so_many_bytes_the_oldest_of_all_cameras_go(tmp_path: Path) -> None:
    for number, camera in enumerate(["lobby", "yard"] * 5):
        write(tmp_path / camera / "events" / f"{number}.webm", 10 - number, 40_960)
    own = keeper(tmp_path, gigabytes=4 * 40_960 / GIGABYTE)
    assert names(tmp_path) == ["6.webm", "7.webm", "8.webm", "9.webm"]
    assert own.kept_bytes == 4 * 40_960


def test_a_full_disk_is_said_and_gets_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        write(tmp_path / "lobby" / "events" / f"{number}.webm", 6 - number, 40_960)
    free = [int(1.5 * GIGABYTE) - 50_000]
    room = lambda _: (free[0], 10**12)  # noqa: E731
    own = keeper(tmp_path, room, free_gigabytes=1.5)
    assert names(tmp_path) == ["2.webm", "3.webm", "4.webm", "5.webm"]  # two make the room
    free[0] = 2 * 10**9
    own.sweep()
    assert len(names(tmp_path)) == 4
    said = [record.message for record in caplog.records]
    assert "its disk is full" in said[0] and "there is room on its disk again" in said[-1]
    # Of a small disk no more than a twentieth is kept free.
    own.room = lambda _: (600_000, 10**7)
    own.sweep()
    assert len(names(tmp_path)) == 4


def test_no_link_is_followed(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    precious = write(elsewhere / "events" / "a.webm", 100)
    write(elsewhere / "b.webm", 100)
    (out / "yard").mkdir(parents=True)
    (out / "lobby" / "events").mkdir(parents=True)
    (out / "gate").symlink_to(elsewhere)  # a camera's folder
    (out / "yard" / "events").symlink_to(elsewhere / "events")
    (out / "lobby" / "events" / "c.webm").symlink_to(precious)
    os.link(precious, out / "lobby" / "events" / "d.webm")  # a name of ours: it may go
    keeper(out, days=1)
    assert precious.exists() and (elsewhere / "b.webm").exists()
    assert (out / "lobby" / "events" / "c.webm").is_symlink()
    assert not (out / "lobby" / "events" / "d.webm").exists()


def test_a_folder_that_is_swapped_for_a_link_while_it_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    precious = write(elsewhere / "a.webm")
    mine = write(out / "lobby" / "events" / "a.webm", 100)
    own = keeper(out, days=1000)
    found = own._files

    def swapped(handle: int) -> list:
        files = list(found(handle))
        mine.parent.rename(tmp_path / "away")
        mine.parent.symlink_to(elsewhere)
        return files

    monkeypatch.setattr(own, "_files", swapped)
    own.config = KeepConfig(days=1)
    own.sweep()
    assert precious.exists()


def test_files_of_an_event_that_goes_on_stay(tmp_path: Path) -> None:
    said = alarm(1)
    film = write(tmp_path / "lobby" / "events" / f"{said.id}.webm", 100)
    own = Keeper(KeepConfig(days=200), tmp_path, lambda _: PLENTY, lambda: NOW)
    own.alarm(said)
    until(lambda: own.kept_bytes)
    own.config = KeepConfig(days=1)
    own.sweep()
    assert film.exists()
    own.alarm(replace(said, phase="end"))  # it looks at once
    until(lambda: not film.exists())
    own.close(5)


def test_no_folder_yet(tmp_path: Path) -> None:
    own = keeper(tmp_path / "none")
    own.sweep()
    assert own.kept_bytes == 0


def test_it_ends_at_once(tmp_path: Path) -> None:
    own = Keeper(KeepConfig(), tmp_path)
    started = time.monotonic()
    own.close(5)
    assert time.monotonic() - started < 2 and not own._thread.is_alive()

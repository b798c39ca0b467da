"""events.jsonl and status.json: whole lines, whatever the end of the program or the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mpn.errors import MpnError
from mpn.live.outputs import journal as module
from mpn.live.outputs.journal import JOURNAL, STATUS, Journal, repair
from mpn.live.status import State
from tests.helpers.fake_cameras import alarm, scores, status
from tests.live.outputs.conftest import until


def lines(out: Path) -> list[dict]:
    text = (out / JOURNAL).read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def test_an_alarm_is_a_line_when_it_was_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "out")
    journal.alarm(alarm(1, rarity=float("nan")))
    journal.alarm(alarm(1, "end", camera="Büro"))
    first, second = lines(tmp_path / "new" / "out")  # before anything was closed
    journal.close(5)
    assert (first["id"], first["phase"], first["peak_score"]) == (alarm(1).id, "begin", 3.471)
    assert first["rarity"] is None and first["at"].endswith("Z")
    assert second["camera"] == "Büro" and second["snapshot"] is None


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        (b"", b""),
        (b'{"id": "b", "camera', b""),
        (b'{"id": "b"}', b'{"id": "b"}\n'),  # only its end is missing
        (b"\x00" * 512, b""),
        (b"12", b""),
    ],
)
def test_a_torn_last_line_is_repaired(tmp_path: Path, tail: bytes, left: bytes) -> None:
    whole = b'{"id": "a"}\n'
    (tmp_path / JOURNAL).write_bytes(whole + tail)
    journal = Journal(tmp_path)
    journal.alarm(alarm(7))
    journal.close(5)
    content = (tmp_path / JOURNAL).read_bytes()
    assert content.startswith(whole + left) and len(lines(tmp_path)) == 2 + bool(left)


def test_a_journal_that_is_all_torn(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b'{"id"')
    repair(tmp_path / JOURNAL)
    assert (tmp_path / JOURNAL).read_bytes() == b""
    repair(tmp_path / "none")


def test_states_are_written_whole_and_not_more_often_than_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = module.write_atomically
    monkeypatch.setattr(
        module, "write_atomically", lambda *both: (written.append(both), write(*both))
    )
    journal = Journal(tmp_path)
    for score in range(50):
        journal.status({"lobby": status(score=float(score), recent=scores(1e9))})
    until(lambda: written)
    journal.status({"lobby": status(state=State.FROZEN, detail="since 3 s")})
    journal.close(5)
    assert len(written) <= 3
    cameras = json.loads((tmp_path / STATUS).read_text())["cameras"]
    assert cameras["lobby"]["state"] == "frozen" and cameras["lobby"]["detail"] == "since 3 s"
    assert "recent" not in cameras["lobby"]


def test_a_full_disk_loses_no_line_and_tears_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    journal = Journal(tmp_path)
    journal.alarm(alarm(1))
    full, write = [True], os.write

    def half(handle: int, data: bytes) -> int:
        if not full[0]:
            return write(handle, data)
        if len(data) > 100:
            return write(handle, bytes(data[:100]))  # the last block of the disk
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", half)
    journal.alarm(alarm(2))
    journal.alarm(alarm(3))
    assert [line["id"] for line in lines(tmp_path)] == [alarm(1).id]
    full[0] = False
    until(lambda: len(lines(tmp_path)) == 3)
    journal.close(5)
    assert [line["id"] for line in lines(tmp_path)] == [alarm(n).id for n in (1, 2, 3)]
    said = [record.message for record in caplog.records]
    assert sum("No space left" in line for line in said) == 1
    assert any("nothing is missing" in line for line in said)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MpnError, match="another --out"):
        Journal(tmp_path / "file" / "out")


WRITER = """
import sys
from pathlib import Path
from mpn.live.outputs.journal import Journal
from tests.helpers.fake_cameras import alarm
journal = Journal(Path(sys.argv[1]))
for number in range(100_000):
    journal.alarm(alarm(number))
    print(number, flush=True)
"""


def test_killed_at_any_moment_all_that_was_taken_stands(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        taken = [writer.stdout.readline() for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
        taken += writer.stdout.readlines()
    last = int([line for line in taken if line.endswith("\n")][-1])
    Journal(tmp_path).close(5)
    found = [line["id"] for line in lines(tmp_path)]
    assert found[: last + 1] == [alarm(number).id for number in range(last + 1)]
    assert len(found) <= last + 2

"""The queue on disk: in order, bounded, over restarts and kills; and who takes it away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mpn.live.outputs.courier import Backoff, Courier, LaterError, RefusedError
from mpn.live.outputs.outbox import Message, Outbox
from mpn.live.outputs.settings import QueueConfig
from tests.live.outputs.conftest import until

DAY = 86_400.0
QUICK = Backoff(first=0.01, longest=0.02)


class Clock:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def outbox(folder: Path, clock: Clock | None = None, **limits: float) -> Outbox:
    return Outbox(folder, QueueConfig(**limits), "there", clock or Clock())


def taken(box: Outbox) -> list:
    """All that is in it, in order, taken out."""
    found = []
    while (message := box.first()) is not None:
        found.append(message.content["n"])
        box.done(message)
    return found


def test_in_order_and_over_a_restart(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    for n in range(12):
        box.put({"n": n})
    first = box.first()
    assert first is not None and first.id == outbox(tmp_path).first().id  # the same id again
    box.done(first)
    again = outbox(tmp_path)
    again.put({"n": 12})
    assert len(again) == 12 and taken(again) == list(range(1, 13))
    assert list(tmp_path.iterdir()) == [] and again.delivered == 12 and again.dropped == 0


def test_too_many_and_too_old_go_oldest_first_and_are_counted(tmp_path: Path) -> None:
    clock = Clock()
    box = outbox(tmp_path, clock, messages=3, days=1)
    for n in range(5):
        box.put({"n": n})
    assert box.dropped == 2 and len(list(tmp_path.iterdir())) == 3
    clock.now += 0.9 * DAY
    box.put({"n": 5})
    clock.now += 0.2 * DAY
    assert taken(box) == [5] and box.dropped == 5


def test_what_is_no_message_is_dropped_and_does_not_stop_the_others(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    for n in range(5):
        box.put({"n": n})
    files = sorted(tmp_path.iterdir())
    files[0].write_bytes(b"")  # the power failed
    files[1].write_text('{"id": "x", "made": 1}')
    files[2].write_text('{"id": "x", "made": 1e9, "content": [1]}')
    (tmp_path / "00000000000000000009.part").write_text("{")  # killed while it was written
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / f"{8:020d}.json").symlink_to(files[4])
    again = outbox(tmp_path)
    assert len(again) == 5 and taken(again) == [3, 4] and again.dropped == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{8:020d}.json", "notes.txt"]


def test_a_full_disk_holds_messages_in_memory_and_writes_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box = outbox(tmp_path)
    box.put({"n": 0})
    write = Path.write_bytes

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    box.put({"n": 1})
    box.put({"n": 2})
    assert len(list(tmp_path.iterdir())) == 1
    assert [record.message for record in caplog.records if "No space left" in record.message]
    monkeypatch.setattr(Path, "write_bytes", write)
    box.sync()
    assert taken(outbox(tmp_path)) == [0, 1, 2]


def test_waiting_grows_up_to_a_limit_and_is_never_the_same() -> None:
    backoff = Backoff(first=1, longest=300)
    for failures, longest in ((1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (5000, 300)):
        chosen = [backoff.seconds(failures) for _ in range(50)]
        assert longest / 2 <= min(chosen) < max(chosen) <= longest
    assert backoff.seconds(1, asked=60) == 60 and backoff.seconds(1, asked=1e9) == 300


def test_delivered_in_order_however_often_it_fails(tmp_path: Path) -> None:
    box, got, failures = outbox(tmp_path), [], [5]

    def deliver(message: Message) -> None:
        if message.content["n"] == 1 and failures[0]:
            failures[0] -= 1
            raise (LaterError("busy") if failures[0] % 2 else ValueError("anything"))
        if message.content["n"] == 2:
            raise RefusedError("never")
        got.append(message.content["n"])

    courier = Courier(box, deliver, QUICK)
    courier.start()
    for n in range(5):
        box.put({"n": n})
        courier.wake()
    until(lambda: not len(box))
    courier.close(1)
    assert got == [0, 1, 3, 4] and failures == [0]
    assert (box.delivered, box.dropped) == (4, 1)


def test_the_end_waits_no_longer_than_it_may_and_keeps_the_rest(tmp_path: Path) -> None:
    box, stuck = outbox(tmp_path), threading.Event()
    courier = Courier(box, lambda _: stuck.wait(20), QUICK)
    courier.start()
    for n in range(3):
        box.put({"n": n})
    courier.wake()
    courier.close(0.05)
    assert taken(outbox(tmp_path)) == [0, 1, 2]
    stuck.set()


def test_at_the_end_what_waits_for_a_later_try_is_tried_once_more(tmp_path: Path) -> None:
    box, there, got = outbox(tmp_path), [False], []

    def deliver(message: Message) -> None:
        if not there[0]:
            raise LaterError("down")
        got.append(message.content["n"])

    courier = Courier(box, deliver, Backoff(first=500, longest=500))
    courier.start()
    box.put({"n": 0})
    box.put({"n": 1})
    courier.wake()
    until(lambda: courier._failures)
    there[0] = True
    courier.close(5)
    assert got == [0, 1]


def test_a_folder_that_cannot_be_read_for_a_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, got, fails = outbox(tmp_path), [], [3]
    read = Path.read_bytes

    def flaky(path: Path) -> bytes:
        if fails[0]:
            fails[0] -= 1
            raise OSError(24, "Too many open files")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", flaky)
    box.put({"n": 0})
    courier = Courier(box, lambda message: got.append(message.content["n"]), QUICK)
    courier.start()
    until(lambda: got)
    courier.close(1)
    assert got == [0] and box.dropped == 0


WRITER = """
import sys
from pathlib import Path
from mpn.live.outputs.courier import Courier
from mpn.live.outputs.outbox import Outbox
from mpn.live.outputs.settings import QueueConfig
box = Outbox(Path(sys.argv[1]), QueueConfig(), "there")
file = open(sys.argv[2], "a")
def deliver(message):
    file.write(f"{message.content['n']} {message.id}\\n")
    file.flush()
courier = Courier(box, deliver)
courier.start()
for n in range(int(sys.argv[3]), 100_000):
    box.put({"n": n})
    print(n, flush=True)
    courier.wake()
"""


def test_killed_again_and_again_nothing_that_was_taken_is_lost(tmp_path: Path) -> None:
    folder, there = tmp_path / "box", tmp_path / "there"
    last = -1
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(there), str(last + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(60)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        last = int([line for line in lines if line.endswith("\n")][-1])
    got = [line.split() for line in there.read_text().splitlines()]
    rest = outbox(folder)
    while (message := rest.first()) is not None:
        got.append([str(message.content["n"]), message.id])
        rest.done(message)
    ids: dict[int, set[str]] = {}
    for n, id_ in got:
        ids.setdefault(int(n), set()).add(id_)
    assert set(range(last + 1)) <= set(ids)
    # What came twice came with the same id; the one that was being put at a kill is put anew.
    assert sum(len(found) > 1 for found in ids.values()) <= 1
    assert os.listdir(folder) == []

"""A folder that one program at a time writes into, a file that one at a time changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpn.errors import MpnError
from mpn.io import locking
from mpn.io.atomic import write_atomically
from mpn.io.locking import file_lock, folder_lock

HOLD = """
import sys, time
from mpn.io.locking import folder_lock
with folder_lock(sys.argv[1], shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path, how: str = "alone") -> subprocess.Popen[str]:
    """Start another program that holds a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), how],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_program_is_refused_and_a_kill_leaves_nothing_behind(tmp_path):
    process = hold(tmp_path / "out")
    message = "out: another mpn is writing there; .* another --out"
    with pytest.raises(MpnError, match=message), folder_lock(tmp_path / "out"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with folder_lock(tmp_path / "out"):
        assert os.listdir(tmp_path / "out") == []


def test_a_folder_that_nothing_came_into_is_not_left_behind(tmp_path):
    with folder_lock(tmp_path / "runs" / "a"):
        assert (tmp_path / "runs" / "a").is_dir()
    assert list(tmp_path.iterdir()) == []
    with folder_lock(tmp_path / "runs" / "b"):
        (tmp_path / "runs" / "b" / "x").touch()
    assert (tmp_path / "runs" / "b" / "x").exists()


def test_some_may_share_what_one_would_have_for_itself(tmp_path):
    process = hold(tmp_path, "shared")
    with folder_lock(tmp_path, shared=True):
        pass
    with pytest.raises(MpnError, match="another mpn"), folder_lock(tmp_path):
        pass
    process.kill()
    process.wait()


def test_a_file_system_without_locks_is_no_reason_to_stop(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locking.fcntl, "flock", refuse)
    with folder_lock(tmp_path):
        pass


def test_a_folder_that_may_not_be_written_is_said(shared_tmp, as_nobody):
    refused = pytest.raises(MpnError, match="cannot write .*Permission denied")
    with as_nobody(), refused, folder_lock(shared_tmp / "deeper" / "out"):
        pass


def test_a_program_that_is_about_to_end_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "kept").touch()
    lock, slept = folder_lock(tmp_path), []
    lock.__enter__()

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            lock.__exit__(None, None, None)

    monkeypatch.setattr(locking.time, "sleep", sleep)
    with folder_lock(tmp_path, patience=600.0):
        assert len(slept) == 3
        with pytest.raises(MpnError, match="another mpn is writing there"), folder_lock(tmp_path):
            pass
    assert len(slept) == 3  # without patience nobody waits


def test_nobody_s_change_of_a_file_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "LOOK_AGAIN", 0.001)
    path = tmp_path / "count"
    write_atomically(path, b"0")

    def count(_: int) -> None:
        for _ in range(10):
            with file_lock(path, patience=60.0):
                write_atomically(path, str(int(path.read_bytes()) + 1).encode())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert path.read_bytes() == b"40"


def test_a_file_that_another_goes_on_changing_is_refused_and_one_that_is_not_there_is_free(
    tmp_path,
):
    path = tmp_path / "camera"
    with file_lock(path, patience=0.0):
        path.write_bytes(b"new")
    refused = pytest.raises(MpnError, match="camera: another mpn is changing it")
    with file_lock(path, patience=0.0), refused, file_lock(path, patience=0.0):
        pass
    with file_lock(path, patience=0.0):
        pass

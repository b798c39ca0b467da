"""Alarms and states as files: OUT/events.jsonl, a line an alarm, and OUT/status.json.

A line is with the system when `alarm` returns, so that it stands when the program is killed then;
a thread brings it to the disk, where it stands when the power fails.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from mpn.errors import MpnError
from mpn.io.atomic import make_folder, write_atomically
from mpn.io.text import json_text, utc
from mpn.live.status import Alarm, CameraStatus

log = logging.getLogger(__name__)

JOURNAL, STATUS = "events.jsonl", "status.json"
STATUS_SECONDS = 1.0  # between two writings of status.json
RETRY_SECONDS = 1.0  # until the disk is tried again
MAX_WAITING = 10_000  # lines that wait for a disk with room; then the oldest go
TAIL_BYTES = 1 << 20  # of the journal's end that are looked through for a torn line


def status_dict(status: CameraStatus) -> dict[str, Any]:
    """Return a camera's status as JSON values, without its recent scores."""
    values = {field.name: getattr(status, field.name) for field in fields(status)}
    del values["recent"]
    return values | {"state": status.state.value}


def whole_line(line: bytes) -> bool:
    """Say whether a line of the journal, without its end, is one JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def repair(path: Path) -> None:
    """Cut a torn last line off a journal, or end one that only lacks its end.

    Args:
        path: of the journal; nothing is done where there is none.

    Raises:
        MpnError: it cannot be read or written.
    """
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            tail = file.read()
            if not tail or tail.endswith(b"\n"):
                return
            torn = tail.rpartition(b"\n")[2]
            if whole_line(torn):
                file.write(b"\n")
            else:
                file.truncate(size - len(torn))
                log.warning("%s: its last line was torn (%d bytes), and is cut", path, len(torn))
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise MpnError(f"cannot repair {path}: {error.strerror}; give another --out") from error


class _Lines:
    """A file that whole lines are appended to: a line that did not fit leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.handle = os.open(path, flags, 0o666)

    def append(self, line: bytes) -> None:
        """Append a line; OSError where it cannot be, and the file is as it was."""
        size = os.fstat(self.handle).st_size
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self.handle, left) :]
        except OSError:
            os.ftruncate(self.handle, size)
            raise

    def sync(self) -> None:
        os.fsync(self.handle)

    def close(self) -> None:
        handle, self.handle = self.handle, -1  # its number may be another file's by the next call
        if handle >= 0:
            os.close(handle)


class Journal:
    """Writes alarms to OUT/events.jsonl and states to OUT/status.json.

    Args:
        out: the folder; made where it is missing.

    Raises:
        MpnError: the folder cannot be written into.
    """

    def __init__(self, out: Path) -> None:
        make_folder(out)
        self.path, self.status_path = out / JOURNAL, out / STATUS
        repair(self.path)
        try:
            self._lines = _Lines(self.path)
        except OSError as error:
            raise MpnError(
                f"cannot write {self.path}: {error.strerror}; give another --out"
            ) from error
        self._changed = Condition()
        self._waiting: deque[bytes] = deque()
        self._cameras: dict[str, Any] | None = None
        self._unsynced = self._closing = self._failing = False
        self._thread = Thread(target=self._run, name="mpn journal", daemon=True)
        self._thread.start()

    def alarm(self, alarm: Alarm) -> None:
        """Append a line."""
        line = json_text({"at": utc(time.time()), **alarm.to_dict()}).encode() + b"\n"
        with self._changed:
            self._waiting.append(line)
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                log.error("%s: the disk has no room for long; its oldest line is lost", self.path)
            self._append()
            self._changed.notify()

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Take where the cameras stand, for the next writing of status.json."""
        statuses = {name: status_dict(status) for name, status in cameras.items()}
        with self._changed:
            self._cameras = statuses
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write what waits, and let go of the file."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._lines.close()

    def _append(self) -> None:
        """Append the lines that wait; those that do not fit go on waiting."""
        try:
            while self._waiting:
                self._lines.append(self._waiting[0])
                self._waiting.popleft()
                self._unsynced = True
        except OSError as error:
            self._complain(error.strerror or str(error))
        else:
            self._recovered()

    def _complain(self, why: str) -> None:
        if not self._failing:
            log.error("%s: cannot be written (%s); tried again each second", self.path, why)
        self._failing = True

    def _recovered(self) -> None:
        if self._failing:
            log.warning("%s: can be written again, and nothing is missing", self.path)
        self._failing = False

    def _run(self) -> None:
        """Bring lines to the disk, and states into their file."""
        written = float("-inf")
        while True:
            with self._changed:
                if not (self._closing or self._unsynced):
                    self._changed.wait(RETRY_SECONDS)
                if self._waiting:
                    self._append()
                sync, self._unsynced = self._unsynced, False
                closing, cameras = self._closing, self._cameras
                due = closing or time.monotonic() - written >= STATUS_SECONDS
                if due:
                    self._cameras = None
            if sync:
                self._sync()
            if due and cameras is not None:
                written = time.monotonic()
                self._write_status(cameras)
            if closing:
                return

    def _sync(self) -> None:
        try:
            self._lines.sync()
        except OSError as error:
            log.error("%s: not brought to the disk (%s)", self.path, error.strerror)

    def _write_status(self, cameras: dict[str, Any]) -> None:
        content = {"written": utc(time.time()), "cameras": cameras}
        try:
            write_atomically(self.status_path, json_text(content, indent=1) + "\n")
        except MpnError as error:
            log.debug("%s", error)  # the next is due in a second

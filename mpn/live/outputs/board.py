"""What the page shows: where the cameras stand, and the latest events with their files.

The loop writes it, the page's server reads it, each in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mpn.io.text import plain
from mpn.live.outputs.journal import JOURNAL, whole_line
from mpn.live.outputs.keeping import EVENTS
from mpn.live.status import Alarm, CameraStatus

log = logging.getLogger(__name__)

MAX_ENTRIES = 1000  # alarms that the page knows
SNAPSHOTS, CLIPS = ("jpg", "jpeg", "png"), ("webm",)
FILE_NAME = re.compile(r"[^/\x00]{1,255}")


@dataclass(frozen=True)
class Entry:
    """An alarm as the page shows it.

    Attributes:
        number: its line in the journal, from 1 on.
        said: JSON values.
    """

    number: int
    said: Mapping[str, Any]


class Board:
    """Where everything stands.

    Args:
        out: the folder of the journal and of the cameras' clips and snapshots.

    Attributes:
        cameras: by name.
        told: monotonic seconds of the last word from the loop, None before the first.
        closing: whether nothing more will come.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.cameras: Mapping[str, CameraStatus] = {}
        self.told: float | None = None
        self.closing = False
        self._lock = Lock()
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._files: dict[tuple[str, str], Path] = {}  # (snapshot or clip, alarm) -> file
        self._taught: dict[str, str] = {}  # alarm -> what it is
        self._taught_number = 0
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._number = self._read_journal()

    # --- What the loop writes

    def add(self, alarm: Alarm) -> None:
        """Add an alarm."""
        values = plain(alarm.to_dict())
        with self._lock:
            self._number += 1
            self._entries.append(Entry(self._number, _for_page(values)))
            for kind, path in (("snapshot", alarm.snapshot), ("clip", alarm.clip)):
                if path is not None:
                    self._files[kind, alarm.id] = path
            self._forget()
        self._notify()

    def tell(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Take where the cameras stand."""
        self.cameras, self.told = dict(cameras), time.monotonic()
        self._notify()

    def mark_taught(self, alarm: str, what: str) -> None:
        """Keep in mind that an alarm was taught, for all pages that are open."""
        with self._lock:
            self._taught[alarm] = what
            self._taught_number += 1
            self._forget()
        self._notify()

    def close(self) -> None:
        """Let all who listen go."""
        self.closing = True
        self._notify()

    # --- What the page reads

    def entries(self, after: int = 0, before: int | None = None, limit: int = 100) -> list[Entry]:
        """List alarms, oldest first.

        Args:
            after: only later ones.
            before: only earlier ones.
            limit: the latest of these.
        """
        with self._lock:
            entries = [
                entry
                for entry in self._entries
                if entry.number > after and (before is None or entry.number < before)
            ]
        return entries[-limit:]

    @property
    def last_number(self) -> int:
        """Return the number of the latest alarm, 0 before the first."""
        return self._number

    def taught(self) -> tuple[int, dict[str, str]]:
        """Return what was taught, by alarm, and a number that grows with it."""
        with self._lock:
            return self._taught_number, dict(self._taught)

    def alarm(self, name: str) -> Mapping[str, Any] | None:
        """Find what was said last of an alarm, None where there is none of that id."""
        with self._lock:
            return next(
                (entry.said for entry in reversed(self._entries) if entry.said["id"] == name), None
            )

    def file(self, kind: str, alarm: str) -> Path | None:
        """Find the snapshot or the clip of an alarm.

        Nothing that was asked for becomes part of a path: the alarm is looked up, and its file has
        to be a file within the folder, reached by no link.

        Args:
            kind: "snapshot" or "clip".
            alarm: its id.
        """
        values = self.alarm(alarm)
        if values is None:
            return None
        with self._lock:
            path = self._files.get((kind, alarm))
        name = values.get(kind)
        if path is None and isinstance(name, str):
            path = self._search(name)
        allowed = SNAPSHOTS if kind == "snapshot" else CLIPS
        if path is None or path.suffix[1:].lower() not in allowed:
            return None
        try:
            real = path.resolve(strict=True)
            inside = real.is_relative_to(self.out.resolve()) and not path.is_symlink()
        except OSError:
            return None
        return real if inside and real.is_file() else None

    def _search(self, name: str) -> Path | None:
        """Find a file that the journal names, among those of all cameras."""
        if not FILE_NAME.fullmatch(name):
            return None
        try:
            with os.scandir(self.out) as listing:
                folders = [item.path for item in listing if item.is_dir(follow_symlinks=False)]
        except OSError:
            return None
        for folder in folders:
            path = Path(folder, EVENTS, name)
            if path.is_file():
                return path
        return None

    # --- Who waits for news

    def listen(self) -> asyncio.Event:
        """Return an event that is set whenever there is news; for a coroutine, until `leave`."""
        event = asyncio.Event()
        with self._lock:
            self._listeners[event] = asyncio.get_running_loop()
        return event

    def leave(self, event: asyncio.Event) -> None:
        """Listen no more."""
        with self._lock:
            self._listeners.pop(event, None)

    @property
    def listening(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    def _notify(self) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for event, loop in listeners:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # the server is gone
                self.leave(event)

    # --- What was

    def _forget(self) -> None:
        """Forget what belongs to alarms that are no longer shown; the lock is held."""
        if len(self._files) > 4 * MAX_ENTRIES or len(self._taught) > 2 * MAX_ENTRIES:
            shown = {entry.said["id"] for entry in self._entries}
            self._files = {key: path for key, path in self._files.items() if key[1] in shown}
            self._taught = {alarm: name for alarm, name in self._taught.items() if alarm in shown}

    def _read_journal(self) -> int:
        """Read the latest alarms of earlier runs, and return how many there are in all."""
        number = 0
        tail: deque[tuple[int, bytes]] = deque(maxlen=MAX_ENTRIES)
        try:
            with (self.out / JOURNAL).open("rb") as file:
                for number, line in enumerate(file, 1):
                    tail.append((number, line))
        except FileNotFoundError:
            return 0
        except OSError as error:
            log.warning("%s: cannot be read (%s)", self.out / JOURNAL, error.strerror)
        for line_number, line in tail:
            values = json.loads(line) if whole_line(line) else {}
            if all(isinstance(values.get(key), str) for key in ("id", "camera", "phase")):
                self._entries.append(Entry(line_number, _for_page(values)))
        self._end_old()
        return number

    def _end_old(self) -> None:
        """Show events of earlier runs as over, also those whose end was never told."""
        over = {entry.said["id"] for entry in self._entries if entry.said["phase"] != "begin"}
        self._entries = deque(
            (
                entry
                if entry.said["id"] in over
                else Entry(entry.number, {**entry.said, "phase": "end", "interrupted": True})
                for entry in self._entries
            ),
            maxlen=MAX_ENTRIES,
        )


def _for_page(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of an alarm: tracks can be long."""
    return {name: value for name, value in values.items() if name not in ("tracks", "at")}

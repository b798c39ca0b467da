"""Messages for a network, kept on disk until they are acknowledged: one file each.

What `put` has taken stands when the program is killed then; a thread brings it to the disk, where
it stands when the power fails. A message is gone only when its destination has acknowledged it,
has refused it, or when there are too many or it is too old; the last three are counted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mpn.errors import MpnError
from mpn.io.atomic import check_writable, make_folder
from mpn.io.text import json_text, plural
from mpn.live.outputs.settings import QueueConfig

log = logging.getLogger(__name__)

NAME = re.compile(r"[0-9]{20}\.json")
PART = ".part"  # of a message that is being written


@dataclass(frozen=True)
class Message:
    """A message.

    Attributes:
        id: the same at every try, so that a second copy is known as one.
        made: Unix seconds.
        content: JSON values.
        number: its place in the outbox.
    """

    id: str
    made: float
    content: Mapping[str, Any]
    number: int


class Outbox:
    """A queue on disk.

    Args:
        folder: of the messages; made where it is missing. One program at a time uses it.
        limits: how many messages are kept, and how long.
        name: of the destination, for the log.
        clock: gives Unix seconds.

    Attributes:
        dropped: messages that were too many, too old, refused or unreadable, since the start.
        delivered: messages acknowledged since the start.

    Raises:
        MpnError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        limits: QueueConfig,
        name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_writable(folder / "x")
        make_folder(folder)
        self.folder, self.limits, self.name, self.clock = folder, limits, name, clock
        self.dropped = self.delivered = 0
        self._lock = Lock()
        self._unsynced: set[int] = set()
        self._held: dict[int, bytes] = {}  # what the disk had no room for
        self._failing = False
        try:
            self._numbers = deque(sorted(self._earlier_messages()))
        except OSError as error:
            raise MpnError(f"{folder} cannot be read: {error.strerror}") from error
        self._next = self._numbers[-1] + 1 if self._numbers else 1
        if self._numbers:
            waiting = plural(len(self._numbers), "message")
            log.info("%s: %s of an earlier run are sent first", name, waiting)

    def _earlier_messages(self) -> list[int]:
        """List the messages of earlier runs; what was being written when it ended goes."""
        numbers = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(PART):
                    os.unlink(entry.path)
                elif NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    numbers.append(int(entry.name[:20]))
        return numbers

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._numbers)

    def put(self, content: Mapping[str, Any]) -> None:
        """Take a message; never raises for the disk's sake, and waits for no disk.

        Args:
            content: JSON values.
        """
        message = {"id": uuid.uuid4().hex, "made": self.clock(), "content": content}
        data = json_text(message).encode()
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._write(number, data)
            self._numbers.append(number)
            while len(self._numbers) > self.limits.messages:
                self._drop(self._numbers[0], "more wait than are kept")

    def first(self) -> Message | None:
        """Return the oldest message, None where there is none; those that are too old go.

        Raises:
            OSError: it cannot be read now.
        """
        while True:
            with self._lock:
                if not self._numbers:
                    return None
                number = self._numbers[0]
                message = self._read(number)
                if message is None:
                    self._drop(number, "it cannot be read")
                elif self.clock() - message.made > self.limits.days * 86_400:
                    self._drop(number, "it is too old")
                else:
                    return message

    def done(self, message: Message) -> None:
        """Take out a message that was acknowledged."""
        with self._lock:
            if self._take_out(message.number):
                self.delivered += 1

    def refuse(self, message: Message, why: str) -> None:
        """Drop a message that its destination will never take."""
        with self._lock:
            self._drop(message.number, why)

    def sync(self) -> None:
        """Bring what was taken to the disk; for a thread that may wait."""
        with self._lock:
            for number, data in list(self._held.items()):
                self._write(number, data)
            numbers, self._unsynced = self._unsynced, set()
        synced = [self._sync(self._path(number)) for number in numbers]
        if any(synced):
            self._sync(self.folder)

    def _sync(self, path: Path) -> bool:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False  # delivered meanwhile
        try:
            os.fsync(handle)
        except OSError as error:
            log.error("%s: not brought to the disk (%s)", path, error.strerror)
        finally:
            os.close(handle)
        return True

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:020d}.json"

    def _write(self, number: int, data: bytes) -> None:
        """Write a message whole, or hold it in memory where the disk does not take it."""
        path = self._path(number)
        part = path.with_suffix(PART)
        try:
            part.write_bytes(data)
            os.replace(part, path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._held[number] = data
            if not self._failing:
                log.error(
                    "%s: cannot be written (%s): messages are held in memory, and lost if mpn ends",
                    self.folder,
                    error.strerror,
                )
            self._failing = True
        else:
            self._held.pop(number, None)
            self._unsynced.add(number)
            self._failing = False

    def _read(self, number: int) -> Message | None:
        """Read a message; None for one that is torn (the power failed), changed or taken away."""
        try:
            data = self._held.get(number) or self._path(number).read_bytes()
            values = json.loads(data)
            message = Message(str(values["id"]), float(values["made"]), values["content"], number)
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return message if isinstance(message.content, dict) else None

    def _drop(self, number: int, why: str) -> None:
        if self._take_out(number):
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, 8th ...
                log.warning(
                    "%s: a message is dropped, %s (%d so far)", self.name, why, self.dropped
                )

    def _take_out(self, number: int) -> bool:
        """Take a message out; False where it is gone already."""
        try:
            self._numbers.remove(number)  # it is the first, or nearly so
        except ValueError:
            return False
        self._held.pop(number, None)
        self._unsynced.discard(number)
        with suppress(OSError):
            self._path(number).unlink(missing_ok=True)
        return True

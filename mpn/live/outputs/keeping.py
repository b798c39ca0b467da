"""Clips and snapshots of events, kept for so many days and up to so many bytes: oldest go first.

They lie in OUT/CAMERA/events. No link is followed, neither of a folder nor of a file, and nothing
goes but what has the name of a clip or a snapshot; what the journal says stays.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple

from mpn.io.text import plural
from mpn.live.outputs.settings import KeepConfig
from mpn.live.status import Alarm, CameraStatus

log = logging.getLogger(__name__)

EVENTS = "events"
# Clips, snapshots, and beside them what a camera is taught an event by.
MEDIA = re.compile(r".+\.(webm|jpe?g|png|examples\.json|part)", re.DOTALL)
SWEEP_SECONDS = 15.0  # a full disk waits no longer for room
GIGABYTE = 1e9
MAX_FREE = 0.05  # of a disk that is kept free, however small it is
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Kept(NamedTuple):
    """A file that is kept."""

    changed: float  # Unix seconds
    size: int  # bytes on the disk
    camera: str  # the folder
    name: str


@contextmanager
def _opened(name: str | Path, above: int | None = None) -> Iterator[int]:
    """Open a folder, which is no link."""
    handle = os.open(name, FOLDER, dir_fd=above)
    try:
        yield handle
    finally:
        os.close(handle)


def room_of(folder: Path) -> tuple[int, int]:
    """Return the bytes that others than root can still write there, and those of the whole disk."""
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize


class Keeper:
    """Keeps the folder of clips and snapshots within its limits, in a thread of its own.

    Args:
        config: the limits.
        out: the folder that has the cameras' folders.
        room: returns the bytes that are free on the disk of a folder, and all that it has.
        clock: gives Unix seconds.

    Attributes:
        kept_bytes: of clips and snapshots at the last look.
        removed: files, since the start.
    """

    def __init__(
        self,
        config: KeepConfig,
        out: Path,
        room: Callable[[Path], tuple[int, int]] = room_of,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config, self.out, self.room, self.clock = config, out, room, clock
        self.kept_bytes = self.removed = 0
        self._going_on: set[str] = set()  # alarms whose files are still being written
        self._full = False
        self._lock = Lock()
        self._wake, self._closing = Event(), False
        self._thread = Thread(target=self._run, name="mpn keeping", daemon=True)
        self._thread.start()

    def alarm(self, alarm: Alarm) -> None:
        """Look soon: an event that is over has brought new files."""
        with self._lock:
            if alarm.phase == "begin":
                self._going_on.add(alarm.id)
            else:
                self._going_on.discard(alarm.id)
                self._wake.set()

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Nothing depends on the cameras' states."""

    def close(self, seconds: float) -> None:
        """End."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closing:
            try:
                self.sweep()
            except Exception:  # the next look may do better, and nothing else would look
                log.exception("%s: clips and snapshots were not looked through", self.out)
            self._wake.wait(SWEEP_SECONDS)
            self._wake.clear()

    def sweep(self) -> None:
        """Look once, and remove what is too old, too much, or stands where room is needed."""
        with suppress(FileNotFoundError), _opened(self.out) as out:
            files = sorted(self._files(out))
            total = sum(file.size for file in files)
            too_old = self.clock() - self.config.days * 86_400
            most = self.config.gigabytes * GIGABYTE
            free, whole = self.room(self.out)
            wanting = min(self.config.free_gigabytes * GIGABYTE, MAX_FREE * whole) - free
            self._say_room(wanting > 0)
            gone = made = 0
            for file in files:
                if not (file.changed < too_old or total > most or made < wanting):
                    break
                if self._is_going_on(file.name):
                    continue
                if self._remove(out, file):
                    gone, made, total = gone + 1, made + file.size, total - file.size
            self.kept_bytes, self.removed = total, self.removed + gone
            if gone:
                size = f"{made / 1e6:.1f} MB"
                count = plural(gone, "file")
                log.info("%s: %s of clips and snapshots removed (%s)", self.out, count, size)

    def _say_room(self, full: bool) -> None:
        if full and not self._full:
            log.warning("%s: its disk is full: the oldest clips and snapshots make room", self.out)
        if self._full and not full:
            log.warning("%s: there is room on its disk again", self.out)
        self._full = full

    def _is_going_on(self, name: str) -> bool:
        """Say whether a file is of an event that is not over."""
        with self._lock:
            return any(name.startswith(alarm) for alarm in self._going_on)

    def _files(self, out: int) -> Iterator[_Kept]:
        """Find the clips and snapshots in OUT/CAMERA/events."""
        for camera in os.listdir(out):
            try:
                with _opened(camera, out) as folder, _opened(EVENTS, folder) as events:
                    yield from self._files_of(camera, events)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT):
                    log.warning("%s: cannot be read (%s)", self.out / camera, error.strerror)

    def _files_of(self, camera: str, events: int) -> Iterator[_Kept]:
        for name in os.listdir(events):
            if not MEDIA.fullmatch(name):
                continue
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=events, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield _Kept(status.st_mtime, status.st_blocks * 512, camera, name)

    def _remove(self, out: int, file: _Kept) -> bool:
        """Remove a file, in the folder that it was found in or in none."""
        try:
            with _opened(file.camera, out) as folder, _opened(EVENTS, folder) as events:
                os.unlink(file.name, dir_fd=events)
        except FileNotFoundError:
            return False
        except OSError as error:
            where = self.out / file.camera / EVENTS / file.name
            log.warning("%s: cannot be removed (%s)", where, error.strerror)
            return False
        return True

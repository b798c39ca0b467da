"""Cameras taught by their events while they are watched: what is taught counts from the next frame.

The camera file is what counts: it is read, taught and written as by `mpn teach`, and the running
camera takes over what it says; also where `mpn teach` itself has written it meanwhile.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from mpn.adaptation.camera_file import changing, read_camera, write_taught
from mpn.errors import DataError, MpnError
from mpn.io.text import plural
from mpn.live.camera import LiveCamera
from mpn.live.events import FOLDER
from mpn.live.examples import examples_path, read_examples
from mpn.live.status import Alarm, CameraStatus
from mpn.model.taught import checked_name

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
OF_EVENT = re.compile(r"-[0-9]{8}T[0-9]{6}Z-[0-9]{1,12}")  # what follows the camera in its id


class Teacher:
    """Teaches cameras that are watched, one at a time; as an output it looks after their files.

    Attributes:
        cameras: that are watched; none before the watch begins.
    """

    def __init__(self) -> None:
        self.cameras: Sequence[LiveCamera] = ()
        self._lock = threading.Lock()
        self._versioned: set[Path] = set()  # files whose state before this watch is a version
        self._stamps: dict[str, Stamp] = {}  # of the files whose teaching the cameras know
        self._pool = ThreadPoolExecutor(1, "teaching")
        self._look: Future[None] | None = None

    # --- As an output

    def alarm(self, alarm: Alarm) -> None:
        """Do nothing: an event teaches nothing by itself."""

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Let cameras whose file was changed by another program know what they were taught there.

        Args:
            cameras: where they stand.
        """
        if self._look is not None and not self._look.done():
            return
        changed = [
            camera for camera in self.cameras if _is_known(camera) and self._has_changed(camera)
        ]
        self._look = self._pool.submit(self._read, changed) if changed else None

    def close(self, seconds: float) -> None:
        """Look no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _has_changed(self, camera: LiveCamera) -> bool:
        """Say whether a camera's file is another than it was; at the first look it is not."""
        stamp = _stamp_of(camera.camera_file)
        return stamp is not None and self._stamps.setdefault(camera.name, stamp) != stamp

    def _read(self, cameras: Sequence[LiveCamera]) -> None:
        """Read again what cameras were taught."""
        for camera in cameras:
            with self._lock:
                stamp = _stamp_of(camera.camera_file)
                if stamp is None:
                    continue
                self._stamps[camera.name] = stamp
                try:
                    taught = read_camera(camera.camera_file).taught
                except MpnError as error:
                    log.warning("%s: knows what it was taught before: %s", camera.name, error)
                    continue
                camera.detector.remember(taught)
            events = plural(len(taught), "event")
            log.info("%s: its file was changed: knows %s by teaching", camera.name, events)

    # --- Teaching

    def teach(self, alarm: str, name: str | None) -> str:
        """Teach the camera of an event; in any thread.

        Args:
            alarm: id of the event.
            name: what it shows; None for something normal.

        Returns:
            What was done, in a line.

        Raises:
            MpnError: there is no such event, its camera is still learning, no examples of it are
                kept, the name cannot be one, or the camera file cannot be read or written.
        """
        try:
            name = None if name is None else checked_name(name)
        except ValueError as error:
            raise MpnError(f"{error}; give another name") from error
        camera = self._camera_of(alarm)
        if not _is_known(camera):
            raise MpnError(f"{camera.name} is still learning: teach an event of the time after it")
        examples_file = _file_in_folder(examples_path(camera.folder / FOLDER, alarm))
        examples = None if examples_file is None else read_examples(examples_file)
        if examples is None:
            raise DataError(
                f"{alarm}: no examples of it are kept, so it cannot be taught (it is of the first "
                "minutes, in which the camera was learned, or too old): teach a later event of "
                "that kind"
            )
        examples = replace(examples, name=name, source=alarm)
        path = camera.camera_file
        with self._lock, changing(path):
            checkpoint = read_camera(path)
            # An event that was taught before is taught anew, also if its peak has moved since.
            others = [taught for taught in checkpoint.taught if taught.source != alarm]
            keep = path.resolve() not in self._versioned
            written = write_taught(path, checkpoint, [*others, examples], keep=keep)
            self._versioned.add(path.resolve())
            if (stamp := _stamp_of(path)) is not None:
                self._stamps[camera.name] = stamp
            camera.detector.remember(written.taught)
        count = plural(len(examples.embeddings), "example")
        verdict = "is normal" if name is None else f"is told as {name}"
        sentence = (
            f"Taught: what is like this event {verdict} at {camera.name} from now on ({count}). "
            f"Taken back by: mpn teach {path} --list, --forget"
        )
        log.info("%s: %s", alarm, sentence)
        return sentence

    def _camera_of(self, alarm: str) -> LiveCamera:
        """Find the camera of an event by its id."""
        for camera in self.cameras:
            rest = alarm.removeprefix(camera.name)
            if rest != alarm and OF_EVENT.fullmatch(rest):
                return camera
        names = ", ".join(camera.name for camera in self.cameras) or "none yet"
        raise DataError(
            f"there is no event {alarm[:100]!r} of a camera that is watched here ({names})"
        )


def _file_in_folder(path: Path) -> Path | None:
    """Find a file among those of its folder, reached by no link; None where it is not there."""
    try:
        with os.scandir(path.parent) as files:
            named = (entry for entry in files if entry.name == path.name)
            return next(
                (Path(entry.path) for entry in named if entry.is_file(follow_symlinks=False)), None
            )
    except OSError:
        return None


def _is_known(camera: LiveCamera) -> bool:
    """Say whether a camera is judged by its own file."""
    return camera.learning is None and camera.threshold is not None


def _stamp_of(path: Path) -> Stamp | None:
    """Tell a state of a file from others; None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

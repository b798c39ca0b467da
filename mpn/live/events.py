"""The events of one camera as its frames come: told when they begin, and again when they are over.

What has begun is written down beside the events, so that one that a crash leaves open is ended by
the next start.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mpn.errors import MpnError
from mpn.io.atomic import make_folder, write_atomically
from mpn.io.text import json_text, plain, utc
from mpn.jobs.outputs import regions_above
from mpn.jobs.state import FoundEvent, SeenTrack, with_seen
from mpn.jobs.summary import UNREADABLE, describe_event
from mpn.live.clips import KeptFrame, Look, Ring, write_clip, write_snapshot
from mpn.live.examples import (
    FindSights,
    OpenExamples,
    examples_path,
    write_examples,
)
from mpn.live.often import WORDS, Often
from mpn.live.status import Alarm
from mpn.scoring.calibration import Calibration
from mpn.scoring.events import Event, EventFinder
from mpn.scoring.reasons import short
from mpn.scoring.regions import Tracker, track_gap
from mpn.scoring.result import Result

log = logging.getLogger(__name__)

OPEN = "open.json"  # the event that has begun
HOLD_SECONDS = 3.0  # what comes within them of an event goes on with it
WRITE_SECONDS = 10.0  # between two of its writings while it lasts
FOLDER = "events"  # of snapshots and clips, in the camera's
TellAlarm = Callable[[Alarm], None]


class Events:
    """Finds a camera's events, and tells of them.

    Args:
        camera: its name.
        folder: of the camera.
        look: of its pictures; has the threshold.
        tell: called with each alarm, in a thread of `pool`.
        pool: writes snapshots and clips; of one thread, so that alarms come in order.
        counts: False while the camera still learns.
        calibration: of its normal footage, for how rare an event is.
        number: of the latest event that was told.
        sights: finds the regions of a frame, for examples to teach the camera by; None: none are
            kept.
        per_hour: false alarms an hour that its threshold is for; None while it still learns.
    """

    def __init__(
        self,
        camera: str,
        folder: Path,
        look: Look,
        tell: TellAlarm,
        pool: Executor,
        *,
        counts: bool = True,
        calibration: Calibration | None = None,
        number: int = 0,
        sights: FindSights | None = None,
        per_hour: float | None = None,
    ) -> None:
        self.camera, self.folder, self.look = camera, folder, look
        self.counts, self._calibration = counts, calibration
        self._often = Often(per_hour) if per_hour else None
        self._tell, self._pool = tell, pool
        self._finder = EventFinder(look.threshold, look.fps, hold_seconds=HOLD_SECONDS)
        self._tracker = Tracker(track_gap(look.fps))
        self._ring = Ring()
        self._examples = OpenExamples(sights) if sights else None
        self._tracks: tuple[SeenTrack, ...] = ()
        self._walls: tuple[float, float] = (math.nan, math.nan)  # of the open event
        self._id: str | None = None  # of the event that was told
        self._best: KeptFrame | None = None
        self._written = 0.0
        self.count = 0
        self.number = number
        make_folder(folder / FOLDER)

    @property
    def open(self) -> bool:
        """Say whether an event has begun and is not over."""
        return self._finder.open is not None

    @property
    def complaint(self) -> str:
        """Return what is to be said of how many there are lately, else ""."""
        return WORDS if self._often is not None and self._often.too_many() else ""

    def update(self, result: Result, size: tuple[int, int], jpeg: bytes, wall: float) -> None:
        """Take the next frame.

        Args:
            result: of the frame; a score of NaN is not above the threshold.
            size: (height, width) of the camera's frames.
            jpeg: its picture, see `mpn.live.clips.jpeg_of`.
            wall: Unix seconds of its arrival.
        """
        look, was_open = self.look, self.open
        above = result.score > look.threshold
        regions = []
        if above:
            regions = regions_above(result, look.threshold, look.patch, look.network_size, size)
        tracked = self._tracker.update(result.frame, regions)
        reason, like = (result.reason, result.like) if above else (None, None)
        if reason is not None and not reason.facts:  # smoothing alone holds the score up
            reason = None
        over = self._finder.update(
            result.frame, result.score, result.region, result.time, reason, like, raw=result.raw
        )
        event = self._finder.open
        begins = event is not None and event.start == result.frame
        if was_open and (event is None or begins):
            self._end(over)
        if begins:
            self._tracks, self._walls = (), (wall, wall)
            self._ring.begin()
            if self._examples is not None:
                self._examples.begin()
        if above:
            self._walls = self._walls[0], wall
            self._tracks = with_seen(self._tracks, result.frame, tracked)
        frame = KeptFrame(
            jpeg,
            size,
            result.time,
            result.score,
            result.map.astype(np.float16) if above and result.map is not None else None,
            tuple(region.box for region in tracked),
            _words(event) if event is not None else "",
        )
        self._ring.add(frame)
        if event is None:
            return
        if self._examples is not None:
            self._examples.add(event, result)
        if event.peak_frame == result.frame:
            self._best = frame
        if event.frames < self._finder.min_frames:
            return
        if self._id is None:
            self._begin(event)
        elif wall - self._written >= WRITE_SECONDS:
            self._write_open(event, wall)

    def set_threshold(self, value: float) -> None:
        """Take another threshold, while no event is open.

        Args:
            value: of the score.
        """
        self.look = replace(self.look, threshold=value)
        self._finder.threshold = value

    def finish(self) -> None:
        """End the event that is open: the camera stops, or its picture can't be judged."""
        if self.open:
            self._end(self._finder.finish())

    # --- What is told

    def _begin(self, event: Event) -> None:
        started = datetime.fromtimestamp(self._walls[0], timezone.utc)
        self.number += 1
        self.count += 1
        if self._often is not None and self._often.add(self._walls[0]):
            log.warning("%s: %s", self.camera, WORDS)
        name = self._id = f"{self.camera}-{started:%Y%m%dT%H%M%SZ}-{self.number}"
        self._write_open(event, self._walls[1])
        fields, best, path = self._fields(event, None), self._best, self._path(name, ".jpg")

        def tell_begin() -> None:
            snapshot = write_snapshot(path, best) if best else None
            self._tell(Alarm(name, self.camera, "begin", fields, snapshot))

        self._pool.submit(tell_begin)

    def _end(self, over: list[Event]) -> None:
        frames, name, best = self._ring.end(), self._id, self._best
        self._id = self._best = None
        if not over or name is None:
            return
        fields, look = self._fields(over[0], self._walls[1]), self.look
        keep_examples = self._keep_examples(over[0], name)

        def tell_end() -> None:
            keep_examples()
            snapshot = write_snapshot(self._path(name, ".jpg"), best) if best else None
            clip = write_clip(self._path(name, ".webm"), frames, look)
            self._tell(Alarm(name, self.camera, "end", fields, snapshot, clip))

        self._pool.submit(tell_end)

    def _keep_examples(self, event: Event, name: str) -> Callable[[], None]:
        """Choose the examples of an event; what is returned writes them, where there are any."""
        examples = self._examples.of(event, name) if self._examples is not None else None
        if examples is None:
            return lambda: None
        return partial(write_examples, examples_path(self.folder / FOLDER, name), examples)

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / FOLDER / f"{name}{suffix}"

    def _write_open(self, event: Event, wall: float) -> None:
        """Keep what is known of the open event, so that a crash does not leave it open."""
        self._written = wall
        fields = self._fields(event, self._walls[1])
        entry = json_text({"id": self._id, "camera": self.camera, "fields": fields})
        keep_examples = self._keep_examples(event, self._id or "")

        def written() -> None:
            keep_examples()
            try:
                write_atomically(self.folder / OPEN, entry)
            except MpnError as error:
                log.warning("%s: %s", self.camera, error)

        self._pool.submit(written)

    def _fields(self, event: Event, ended: float | None) -> dict[str, Any]:
        described = describe_event(FoundEvent(event, self._tracks), self._calibration)
        return plain(described) | {
            "started": utc(self._walls[0]),
            "ended": None if ended is None else utc(ended),
            "threshold": self.look.threshold,
            "counts": self.counts,
        }


def end_left_open(folder: Path) -> Alarm | None:
    """End the event that an earlier run has left open, when it was killed.

    Args:
        folder: of the camera.

    Returns:
        Its end, as far as it is known, with "interrupted"; None where there is none.
    """
    path = folder / OPEN
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        name, camera, fields = str(entry["id"]), str(entry["camera"]), dict(entry["fields"])
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.warning("%s: cannot be read (%s): left out", path, error)
        path.unlink(missing_ok=True)
        return None
    snapshot = folder / FOLDER / f"{Path(name).name}.jpg"
    ended = fields.get("ended") or fields.get("started")
    return Alarm(
        name,
        camera,
        "end",
        fields | {"ended": ended, "interrupted": True},
        snapshot if snapshot.is_file() else None,
    )


def forget_open(folder: Path, name: str) -> None:
    """Take away what was written when an event began: its end was told.

    Args:
        folder: of the camera.
        name: of the event; where another has begun since, that stays.
    """
    path = folder / OPEN
    try:
        if json.loads(path.read_text(encoding="utf-8"))["id"] == name:
            path.unlink()
    except UNREADABLE:
        pass


def _words(event: Event) -> str:
    """Say in a few words why an event stands out, ASCII."""
    words = [short(event.reason)] if event.reason is not None and event.reason.facts else []
    words += [event.like.words] if event.like is not None else []
    return ", ".join(words).encode("ascii", "replace").decode()

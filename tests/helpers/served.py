"""Results as `mpn score` leaves them, made up; and their page, served to a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from mpn.errors import DataError
from mpn.report.model import Report, Teaching
from mpn.report.page import write_report
from mpn.report.server import ReportServer
from mpn.scoring.events import Event
from tests.helpers import pages

CAMERA = "/cameras/the hall.camera.safetensors"
FIRST = 1000  # frame of the first row: events are known by frames, not by rows


def write_results(folder: Path, camera: str | None = CAMERA, **summary: Any) -> Path:
    """Write events.json with two events, and report.html of them."""
    trace = pages.trace("hall.mp4", labels=False)
    trace.first = FIRST
    events = [
        Event(
            FIRST + row.start,
            FIRST + row.end,
            row.start_seconds,
            row.end_seconds,
            FIRST + row.peak,
            row.score,
            row.box,
        )
        for row in trace.events
    ]
    trace.events = [
        row._replace(number=number, frame=event.peak_frame, why="moves right at 8.0 px a frame")
        for number, (row, event) in enumerate(zip(trace.events, events), 1)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    content = {"source": "hall.mp4", "complete": True, "camera": camera, **summary}
    content["events"] = [event.to_dict() for event in events]
    (folder / "events.json").write_text(json.dumps(content))
    report = Report("score", "hall.mp4", traces=[trace])
    report.by_itself = summary.get("judged_by") == "itself"
    report.teaching = Teaching(camera, str(folder / "events.json"))
    write_report(folder / "report.html", report)
    return folder


class Notebook:
    """Stands for a camera: writes down what it is taught, and refuses what is called a ghost."""

    def __init__(self) -> None:
        self.camera = Path(CAMERA)
        self.lessons: list[tuple[int, int, str | None]] = []

    def taught(self) -> list[tuple[int, str | None]]:
        return [(frame, name) for _, frame, name in self.lessons]

    def teach(self, number: int, frame: int, name: str | None) -> str:
        if name == "ghost":
            raise DataError("there are no ghosts")
        self.lessons.append((number, frame, name))
        return f"Taught {number}"


@contextmanager
def serving(folder: Path, teacher: Any) -> Iterator[ReportServer]:
    """Serve a page from another thread."""
    with ReportServer(folder, teacher) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()

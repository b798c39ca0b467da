"""The page over all recordings of a run: what stands out most in any of them, each with a picture.

It holds its pictures, has no script of its own, and leads to the recordings' own pages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from markupsafe import Markup

from mpn.errors import MpnError
from mpn.io.atomic import write_atomically
from mpn.io.text import clock, plural
from mpn.jobs.examples import ListedEvent, listed_event
from mpn.jobs.summary import strangeness
from mpn.report.from_job import REPORT
from mpn.report.page import asset, data_uri, policy, templates
from mpn.scoring.memory import Likeness
from mpn.video.overlay import RED

OVERVIEW = "index.html"
MAX_MOMENTS = 24  # moments with a picture
WIDTH = 320  # pixels of a picture
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]


@dataclass(frozen=True)
class Scored:
    """A recording that was scored.

    Attributes:
        path: of the recording.
        folder: of its results.
        summary: its events.json.
        highest: score and second of its highest frame, None without scores.
    """

    path: Path
    folder: Path
    summary: Mapping[str, Any]
    highest: tuple[float, float] | None


def write_overview(path: Path, scored: Sequence[Scored], left_out: Mapping[str, str]) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        path: index.html in the folder that holds the recordings' folders.
        scored: the recordings.
        left_out: name of what could not be scored -> why.

    Raises:
        MpnError: it cannot be written.
    """
    moments = _moments(scored)
    theme = asset("theme.js")
    style = asset("base.css") + asset("overview.css")
    page = (
        templates()
        .get_template("overview.html.j2")
        .render(
            title=plural(len(scored), "recording"),
            by_itself=any(recording.summary.get("judged_by") == "itself" for recording in scored),
            count=sum(len(recording.summary["events"]) for recording in scored),
            moments=[_moment(recording, number, path.parent) for recording, number in moments],
            recordings=[_recording(recording, path.parent) for recording in scored],
            left_out=left_out,
            policy=policy([theme], style),
            theme=Markup(theme),
            style=Markup(style),
        )
    )
    # Names of files may hold bytes that are no text: they become question marks.
    write_atomically(path, page.encode("utf-8", "replace"))
    return path


def _moments(scored: Sequence[Scored]) -> list[tuple[Scored, int]]:
    """Pick what stands out most, as recordings and the numbers of their events."""
    ranked = [
        (strangeness(event, recording.summary["threshold"]["value"]), recording, number)
        for recording in scored
        if recording.summary["threshold"]
        for number, event in enumerate(recording.summary["events"], 1)
    ]
    ranked.sort(key=lambda each: -each[0])
    return [(recording, number) for _, recording, number in ranked[:MAX_MOMENTS]]


def _moment(recording: Scored, number: int, root: Path) -> dict[str, Any]:
    event = recording.summary["events"][number - 1]
    reason, like = event.get("reason"), event.get("like")
    lasts = event["end_seconds"] - event["start_seconds"]
    return {
        "recording": recording.path.name,
        "href": f"{_address(recording.folder, root)}#event-{number}",
        "number": number,
        "when": clock(event["start_seconds"]),
        "lasts": f"{lasts:.1f} s",
        "score": f"{event['peak_score']:.2f}",
        "why": reason["sentence"] if reason else "",
        "like": Likeness(like["name"], like["distance"]).words if like else "",
        "picture": _picture(recording.folder, number),
    }


def _recording(recording: Scored, root: Path) -> dict[str, Any]:
    summary = recording.summary
    return {
        "name": str(recording.path),
        "href": _address(recording.folder, root),
        "length": clock(summary["frames"] / summary["fps"]),
        "events": len(summary["events"]),
        "highest": "-" if recording.highest is None else f"{recording.highest[0]:.2f}",
        "notes": summary["notes"],
    }


def _address(folder: Path, root: Path) -> str:
    """Name a recording's own page, or its folder where there is none, as seen from this one."""
    page = folder / REPORT
    target = page if page.is_file() else folder
    return quote(os.path.relpath(target, root))


def _picture(folder: Path, number: int) -> str | None:
    """Draw the frame that shows an event best; None where the recording cannot be read again."""
    try:
        listed = listed_event(folder, number)
        frame = _frame(listed)
    except (MpnError, OSError):
        return None
    if frame is None:
        return None
    height, width = frame.shape[:2]
    scale = WIDTH / width
    small = cv2.resize(frame, (WIDTH, max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    if listed.event.region is not None:
        top, left, tall, wide = (round(side * scale) for side in listed.event.region)
        cv2.rectangle(small, (left, top), (left + wide, top + tall), RED, 2)
    return data_uri(cv2.imencode(".jpg", small, QUALITY)[1].tobytes(), "jpeg")


def _frame(listed: ListedEvent) -> np.ndarray | None:
    """Read the peak frame of an event again, uint8 (H, W, 3)."""
    source = listed.options.open(listed.path)
    number = (listed.event.peak_frame - listed.first_frame) // listed.options.every
    wanted = np.zeros(source.length, bool)
    if not 0 <= number < len(wanted):
        return None
    wanted[number] = True
    return next((frame for _, frame in source.pick(wanted)), None)

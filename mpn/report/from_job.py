"""The report.html of a scored source."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpn.errors import DataError, MpnError
from mpn.io.atomic import scratch_folder
from mpn.io.locking import folder_lock
from mpn.io.text import percent
from mpn.jobs import Outcome, ScoreJob
from mpn.jobs.state import EVENTS
from mpn.jobs.summary import frames_text, strangeness
from mpn.report.model import EventRow, Highlight, Report, Teaching, Trace
from mpn.report.page import write_report
from mpn.report.traces import FILM_FRAMES, add_films, box_of, look_into
from mpn.scoring.detector import Detector
from mpn.scoring.events import Event
from mpn.scoring.heat_file import read_heat
from mpn.scoring.reasons import sentence
from mpn.scoring.region_table import read_regions, regions_name
from mpn.scoring.regions import Box
from mpn.video.frame_source import FrameSource

REPORT = "report.html"


def run_with_report(job: ScoreJob, inside: Sequence[int] = ()) -> Outcome:
    """Run a job, or go on with it, and make its report if one is wanted and is not there yet.

    Args:
        job: the source and the folder of its results.
        inside: frames whose insides the report shows, beside those that it chooses itself; it is
            then made again.

    Raises:
        MpnError: another program writes into the folder; and as `ScoreJob.run`.
    """
    with folder_lock(job.folder):
        page = job.folder / REPORT
        if not job.state.count:  # a page of other results
            with suppress(OSError):
                page.unlink()
        outcome = job.run()
        if job.options.report and (inside or not page.is_file()):
            try:
                report_job(job.folder, job.detector, job.open(), outcome.summary, inside)
            except MpnError as error:  # the results themselves are there
                outcome.notes.append(f"{REPORT} could not be made: {error}")
    return outcome


def report_job(
    folder: Path,
    detector: Detector,
    source: FrameSource,
    summary: dict[str, Any],
    inside: Sequence[int] = (),
) -> Path:
    """Write FOLDER/report.html from a finished job's files.

    Args:
        folder: with scores.csv, NAME_regions.csv and heat.bin.
        detector: that scored it.
        source: opened as it was for scoring.
        summary: what events.json holds.
        inside: frames whose insides are shown beside those that are chosen here.

    Raises:
        DataError: a file of the job is missing or broken.
        MpnError: the page cannot be written.
    """
    trace, rows = _trace(folder, source, summary)
    report = Report("score", source.path.name, by_itself=summary.get("judged_by") == "itself")
    report.traces, report.notes = [trace], list(summary["notes"])
    report.teaching = Teaching(summary.get("camera"), str((folder / EVENTS).resolve()))
    report.facts, report.highlights = _facts(summary), _highlights(summary, trace)
    report.further = [
        (path.name, path.name)
        for path in sorted(folder.iterdir())
        if path.suffix in (".csv", ".webm")
    ]
    report.further.append(("events.json", "events.json"))
    heat = summary.get("heat")
    maps = read_heat(folder / heat["file"], tuple(heat["shape"])) if heat else None
    with scratch_folder(folder, ".report-") as scratch:
        trace.name = source.name
        add_films([trace], {source.name: source}, {source.name: maps}, scratch, FILM_FRAMES)
        asked_rows, missing = _rows_with_insides(inside, rows, detector.config.window)
        report.notes += missing
        report.activations = look_into(
            detector,
            [trace],
            {source.name: source},
            {source.name: asked_rows} if asked_rows else None,
        )
        return write_report(folder / REPORT, report)


def _trace(
    folder: Path, source: FrameSource, summary: dict[str, Any]
) -> tuple[Trace, dict[int, int]]:
    """Read the source's scores, events and regions, and frame -> row of the scores."""
    frames, times, scores = read_table(folder / "scores.csv")
    rows = {frame: row for row, frame in enumerate(frames.tolist())}
    threshold = summary["threshold"]["value"] if summary["threshold"] else None
    trace = Trace(
        source.path.name,
        scores,
        summary["fps"],
        threshold=threshold,
        size=tuple(summary["frame_size"]),
    )
    trace.first = int(frames[0]) if len(frames) else 0
    rises = np.isfinite(times).all() and (np.diff(times) >= 0).all()
    trace.times = times if rises else None  # some containers count time backwards
    steps = np.unique(np.diff(frames))
    trace.step = int(steps[0]) if len(steps) == 1 else 1  # every n-th frame
    numbered = [
        (number, event)
        for number, event in enumerate(summary["events"], 1)
        if event["start"] in rows and event["peak_frame"] in rows
    ]
    trace.events = [
        _event(event, rows)._replace(number=number, frame=event["peak_frame"])
        for number, event in numbered
    ]
    if threshold is not None and summary.get("judged_by") == "itself":
        trace.events = [
            row._replace(strangeness=strangeness(event, threshold))
            for row, (_, event) in zip(trace.events, numbered)
        ]
    trace.regions = _regions(folder / regions_name(source.path), rows, threshold)
    return trace, rows


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a scores.csv as `mpn score` writes it.

    Returns:
        Frame numbers int64 (T,), seconds and scores float64 (T,).

    Raises:
        DataError: it cannot be read, or is not such a table.
    """
    try:
        with path.open(newline="") as file:
            rows = [
                (int(row["frame"]), float(row["time"]), float(row["score"]))
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path}: not as mpn score writes it ({error}); score the source again"
        ) from error
    columns = list(zip(*rows)) or [(), (), ()]
    return (
        np.array(columns[0], np.int64),
        np.array(columns[1], np.float64),
        np.array(columns[2], np.float64),
    )


def _rows_with_insides(
    frames: Sequence[int], rows: dict[int, int], window: int
) -> tuple[list[int], list[str]]:
    """Return frames as rows of the scores, and a note of those that have no insides to show."""
    without = [frame for frame in frames if rows.get(frame, -1) < window]
    notes = [
        f"no look inside at frame {frame}: it was not scored, or has no {window} frames before it"
        for frame in without
    ]
    return [rows[frame] for frame in frames if frame not in without], notes


def _event(values: dict[str, Any], rows: dict[int, int]) -> EventRow:
    """Read an event of events.json, its frames as rows of the scores."""
    event = Event.from_dict(values)
    start, peak = rows[event.start], rows[event.peak_frame]
    last = max(
        (rows[frame] for frame in range(event.start, event.end) if frame in rows), default=start
    )
    return EventRow(
        start,
        last + 1,
        peak,
        event.peak_score,
        values.get("rarer_than_one_in"),
        bool(values.get("beyond_normal_footage")),
        box_of(event.region),
        event.start_seconds,
        event.end_seconds,
        "; ".join(
            ([sentence(event.reason)] if event.reason else [])
            + ([event.like.words] if event.like else [])
        ),
    )


def _regions(
    path: Path, rows: dict[int, int], threshold: float | None
) -> list[tuple[int, int, float, Box]]:
    """Read what the table of regions has above the threshold, frames as rows of the scores."""
    return [
        (rows[region.frame], region.track, region.score, region.box)
        for region in (read_regions(path) if path.is_file() else [])
        if region.frame in rows and (threshold is None or region.score > threshold)
    ]


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("Source", summary["source"]),
        (
            "Frames",
            f"{frames_text(summary)}, {summary['frame_size'][1]} x {summary['frame_size'][0]} "
            "pixels",
        ),
        ("Frame rate", f"{summary['fps']:g} frames/s"),
        ("Model", f"SHA-256 {summary['checkpoint_sha256']}"),
        ("Score", ", ".join(f"{name} {value:g}" for name, value in summary["recipe"].items())),
    ]
    threshold = summary["threshold"]
    if threshold is not None and threshold["false_alarms_per_hour"] is not None:
        low, high = threshold["interval"]
        words = (
            f"{threshold['value']:.3g} (95 %: {low:.3g} to {high:.3g}), for "
            f"{threshold['false_alarms_per_hour']:g} "
        )
        words += (
            f"false alarms per hour; from {60 * threshold['hours']:.1f} minutes of normal footage"
        )
        words += ", extrapolated: take it as a rough guide" if threshold["extrapolated"] else ""
        facts.insert(3, ("Threshold", words))
    elif threshold is not None and summary.get("judged_by") == "itself":
        words = (
            f"by itself: each moment by what the rest of {60 * threshold['hours']:.1f} minutes of "
            f"this camera shows at the same place; listed above {threshold['value']:.3g}"
        )
        facts.insert(3, ("Judged", words))
    elif threshold is not None:
        facts.insert(3, ("Threshold", f"{threshold['value']:.3g}, as given"))
    return facts


def _highlights(summary: dict[str, Any], trace: Trace) -> list[Highlight]:
    by_itself = summary.get("judged_by") == "itself"
    above = sum(event.end - event.start for event in trace.events) / max(len(trace.scores), 1)
    seconds = float(len(trace.scores) / Fraction(summary["fps"]))
    highlights = [
        Highlight("Moments", str(len(trace.events)), "the strangest of this recording")
        if by_itself
        else Highlight("Events", str(len(trace.events)), "stretches above the threshold"),
        Highlight(
            "Time in them" if by_itself else "Time in events",
            percent(above, unit=True),
            f"of {seconds / 60:.1f} minutes",
        ),
    ]
    scored = trace.scores[np.isfinite(trace.scores)]
    if len(scored):
        rarest = max((event.one_in or math.nan for event in trace.events), default=math.nan)
        among = "frames of this camera" if by_itself else "normal frames"
        words = "" if math.isnan(rarest) else f"rarer than 1 in {rarest:,.0f} {among}"
        highlights.append(Highlight("Highest score", f"{scored.max():.3g}", words))
    return highlights

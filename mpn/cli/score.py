"""mpn score: videos in; scores, events and, if wanted, overlay videos out."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mpn.cli import (
    UsageError,
    above_zero,
    from_zero_float,
    new_parser,
    number,
    positive,
    whole_numbers,
)
from mpn.cli.model import add_model, open_detector
from mpn.errors import DataError, MpnError, SizeError
from mpn.io.atomic import write_atomically
from mpn.jobs import OVERLAYS, JobOptions, Outcome, ScoreJob, belongs_to
from mpn.report.from_job import REPORT, report_job
from mpn.scoring.detector import Detector
from mpn.video.overlay import clock
from mpn.video.sources import find_sources

EXAMPLES = """  python -m mpn score lobby.mp4
  python -m mpn score recordings/ --checkpoint lobby.camera.safetensors --overlay events
  python -m mpn score frames/01 --fps 10 --false-alarms-per-hour 0.5"""
SUMMARY = "summary.json"


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser(
        "score",
        "Scores video files, folders of frames, or folders of either, of any length; the best "
        "results come from a model trained on the same camera, or adapted to it (python -m mpn "
        "adapt). The same command again goes on where it was stopped, and leaves out what is "
        "finished.",
        EXAMPLES,
    )
    own.add_argument(
        "source",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="video, folder of frames, folder of those, or a pattern",
    )
    add_model(own)
    own.add_argument(
        "--out", type=Path, default=Path("runs/score"), help="results (default: runs/score)"
    )
    alarm = own.add_mutually_exclusive_group()
    alarm.add_argument(
        "--false-alarms-per-hour",
        type=above_zero,
        default=1.0,
        metavar="RATE",
        help="sets the threshold (default: 1)",
    )
    alarm.add_argument(
        "--threshold", type=number, metavar="SCORE", help="a threshold of your own instead"
    )
    own.add_argument(
        "--overlay",
        choices=OVERLAYS,
        nargs="?",
        const="all",
        default="off",
        help="videos with curve, heat and boxes: a clip of every event, or overlay.webm of all "
        "(default: off)",
    )
    own.add_argument(
        "--no-report", action="store_true", help="leave report.html out (quicker, and less disk)"
    )
    own.add_argument(
        "--inside",
        type=whole_numbers,
        default=(),
        metavar="FRAME,...",
        help="frames whose insides the report shows, beside those that it chooses",
    )
    own.add_argument(
        "--fps", type=above_zero, help="frames per second, instead of what the source says"
    )
    own.add_argument(
        "--start", type=from_zero_float, metavar="SECONDS", help="where to begin in each source"
    )
    own.add_argument(
        "--end", type=above_zero, metavar="SECONDS", help="where to stop in each source"
    )
    own.add_argument("--every", type=positive, default=1, metavar="N", help="only every n-th frame")
    own.add_argument(
        "--strict",
        action="store_true",
        help="stop at a frame or a source that can't be read, instead of going on and saying so",
    )
    own.add_argument(
        "--json", action="store_true", help="print a JSON line a source instead of the summary"
    )
    return own


@dataclass
class _Entry:
    """A source, and what came of it: an outcome, or why there is none."""

    path: Path
    folder: Path
    outcome: Outcome | None = None
    reason: str = ""


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    if options.start is not None and options.end is not None and options.end <= options.start:
        raise UsageError(f"--end {options.end:g} is not after --start {options.start:g}")
    detector = open_detector(options)
    found, missing = _sources(options)
    entries = [
        _Entry(path, folder)
        for path, folder in zip(found, _folders(options.out, options.source, found))
    ]
    if not entries:
        raise DataError("; ".join(one.reason for one in missing))
    with _stopped_by_sigterm():
        for entry in tqdm(
            entries, desc="sources", unit="source", disable=None if len(entries) > 1 else True
        ):
            _score(detector, entry, options)
            if entry.reason and len(entries + missing) > 1:
                tqdm.write(f"left out: {entry.reason}", file=sys.stderr)
    entries += missing
    if len(entries) > 1:
        write_atomically(
            options.out / SUMMARY,
            json.dumps([_line_of(entry) for entry in entries], indent=1) + "\n",
        )
        if not options.json:
            print(_total(entries, options.out))
    if all(entry.outcome is None for entry in entries):
        raise DataError(
            entries[0].reason
            if len(entries) == 1
            else f"none of the {len(entries)} sources could be read"
        )


def _sources(options: argparse.Namespace) -> tuple[list[Path], list[_Entry]]:
    """What the arguments stand for, and the arguments that stand for nothing."""
    found: list[Path] = []
    missing = []
    for source in options.source:
        try:
            found += [path for path in find_sources(source, deep=True) if path not in found]
        except DataError as error:
            if options.strict:
                raise
            missing.append(_Entry(source, options.out, reason=str(error)))
            if len(options.source) > 1:
                print(f"left out: {error}", file=sys.stderr)
    return found, missing


def _folders(out: Path, given: list[Path], paths: list[Path]) -> list[Path]:
    """A folder for each source's results, named after it and its place below what was given; what
    would share one, or find another source's results there, gets a number."""
    taken: list[Path] = []
    for path in paths:
        root = next((one for one in given if one in path.parents), path.parent)
        place = path.relative_to(root)
        name = place if path.is_dir() else place.with_suffix("")
        if str(name) in ("", "."):  # "score ." in a folder of frames
            name = Path(path.resolve().name)
        free = (
            out / name if n == 1 else out / name.with_name(f"{name.name}-{n}")
            for n in range(1, 100_000)
        )
        taken.append(
            next(folder for folder in free if folder not in taken and belongs_to(folder, path))
        )
    return taken


def _score(detector: Detector, entry: _Entry, options: argparse.Namespace) -> None:
    """Scores one source and prints what came of it; the others go on where it cannot be read."""
    names = (
        "false_alarms_per_hour",
        "threshold",
        "overlay",
        "fps",
        "start",
        "end",
        "every",
        "strict",
    )
    wanted = JobOptions(
        **{name: getattr(options, name) for name in names}, report=not options.no_report
    )
    shown: list[dict[str, Any]] = []

    def on_event(event: dict[str, Any]) -> None:
        if not shown and not options.json:
            tqdm.write(f"{entry.path}:")
        shown.append(event)
        if not options.json:
            tqdm.write(event_line(len(shown), event))

    try:
        job = ScoreJob(detector, entry.path, entry.folder, wanted, on_event)
        entry.outcome = run_with_report(job, options.inside)
    except (DataError, SizeError) as error:
        if options.strict:
            raise
        entry.reason = str(error)
        return
    for note in entry.outcome.notes:
        tqdm.write(f"{entry.path}: {note}", file=sys.stderr)
    tqdm.write(json.dumps(entry.outcome.summary) if options.json else _text(entry))


def run_with_report(job: ScoreJob, inside: Sequence[int] = ()) -> Outcome:
    """Run a job, or go on with it, and make its report if one is wanted and is not there yet.

    Args:
        job: the source and the folder of its results.
        inside: frames whose insides the report shows, beside those that it chooses itself; it is
            then made again.
    """
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


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does, with everything so far kept."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: whoever runs us there sees to signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def event_line(number: int, event: dict[str, Any]) -> str:
    """An event for a person: when, how long, where, how high."""
    text = (
        f"  event {number}: {clock(event['start_seconds'])} - {clock(event['end_seconds'])} "
        f"({event['end_seconds'] - event['start_seconds']:.1f} s), peak {event['peak_score']:.2f} "
        f"at frame {event['peak_frame']}"
    )
    if event["region"]:
        top, left, height, width = event["region"]
        text += f", at x {left}-{left + width}, y {top}-{top + height}"
    if "rarer_than_one_in" in event:
        beyond = " (higher than any of them)" if event["beyond_normal_footage"] else ""
        text += f", rarer than 1 in {event['rarer_than_one_in']:.0f} normal frames{beyond}"
    return text


def _text(entry: _Entry) -> str:
    """A source's summary for a person."""
    summary, done = entry.outcome.summary, entry.outcome.done_before
    text = (
        f"{entry.path}: {summary['frames']} frames, {clock(summary['frames'] / summary['fps'])} "
        "long"
    )
    if done:
        text += (
            ", scored before" if done == summary["frames"] else f", {done} of them scored before"
        )
    lines = [f"{text}; results in {entry.folder}"]
    threshold = summary["threshold"]
    if threshold:
        note = ""
        if threshold["extrapolated"]:
            minutes = threshold["hours"] * 60
            note = (
                f" (extrapolated from {minutes:.1f} minutes of normal footage: take it as a rough "
                "guide)"
            )
        lines.append(f"  threshold {threshold['value']:.2f}{note}; {len(summary['events'])} events")
    if entry.outcome.highest:
        lines.append(
            f"  highest score {entry.outcome.highest[0]:.2f} at {clock(entry.outcome.highest[1])}"
        )
    ended = [bad for bad in summary["bad_frames"] if bad["index"] >= summary["frames"]]
    if bad := [one for one in summary["bad_frames"] if one not in ended]:
        lines.append(
            f"  {len(bad)} frames could not be used and were replaced by the one before, the "
            f"first: frame {bad[0]['index']} ({bad[0]['name']}) {bad[0]['reason']}"
        )
    lines += [f"  frame {one['index']} ({one['name']}) {one['reason']}" for one in ended]
    if (entry.folder / REPORT).is_file():
        lines.append(f"  look at: {entry.folder / REPORT}")
    return "\n".join(lines)


def _line_of(entry: _Entry) -> dict[str, Any]:
    """A source's entry in summary.json."""
    if entry.outcome is None:
        return {"source": str(entry.path), "scored": False, "reason": entry.reason}
    summary = entry.outcome.summary
    highest = entry.outcome.highest[0] if entry.outcome.highest else None
    return {
        "source": str(entry.path),
        "scored": True,
        "folder": str(entry.folder),
        "frames": summary["frames"],
        "seconds": summary["frames"] / summary["fps"],
        "events": len(summary["events"]),
        "highest_score": highest,
        "bad_frames": len(summary["bad_frames"]),
        "notes": summary["notes"],
    }


def _total(entries: list[_Entry], out: Path) -> str:
    """All sources in a table, and what was left out and why."""
    scored = [entry for entry in entries if entry.outcome]
    width = max(len(str(entry.path)) for entry in entries)
    lines = [f"\n{'source':{width}} {'frames':>8} {'length':>10} {'events':>7} {'highest':>8}"]
    for entry in scored:
        one = _line_of(entry)
        highest = "-" if one["highest_score"] is None else f"{one['highest_score']:.2f}"
        lines.append(
            f"{entry.path!s:{width}} {one['frames']:>8} {clock(one['seconds']):>10} "
            f"{one['events']:>7} {highest:>8}"
        )
    lines += [
        f"{entry.path!s:{width}} not scored: {entry.reason}"
        for entry in entries
        if not entry.outcome
    ]
    lines.append(f"{len(scored)} of {len(entries)} sources scored; {out / SUMMARY}")
    return "\n".join(lines)

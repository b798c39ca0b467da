"""The verb `mpn score`: write scores, events and, if wanted, overlay videos of videos."""

from __future__ import annotations

import argparse
import errno
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
    fit,
    from_zero_float,
    new_parser,
    number,
    positive,
    whole_numbers,
)
from mpn.cli.model import add_model, open_detector
from mpn.errors import DataError, MpnError, SizeError
from mpn.io.atomic import write_atomically
from mpn.io.locking import folder_lock
from mpn.io.text import align, clock, plural
from mpn.jobs import OVERLAYS, JobOptions, Outcome, ScoreJob, belongs_to
from mpn.report.from_job import REPORT, report_job
from mpn.scoring.detector import Detector
from mpn.video.footage import describe_left_out, footage_of, sources_of
from mpn.video.paths import result_name

EXAMPLES = """  mpn score lobby.mp4
  mpn score recordings/ --checkpoint lobby.camera.safetensors --overlay events
  mpn score frames/01 --fps 10 --false-alarms-per-hour 0.5"""
SUMMARY = "summary.json"
ROOM = 8  # bytes for a number behind a name


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "score",
        "Scores video files, folders of frames, or folders of either, of any length; the best "
        "results come from a model trained on the same camera, or adapted to it (mpn "
        "adapt). The same command again goes on where it was stopped, and leaves out what is "
        "finished.",
        EXAMPLES,
    )
    verb.add_argument(
        "source",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="video, folder of frames, folder of those, or a pattern",
    )
    add_model(verb)
    verb.add_argument(
        "--out", type=Path, default=Path("runs/score"), help="results (default: runs/score)"
    )
    alarm = verb.add_mutually_exclusive_group()
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
    verb.add_argument(
        "--overlay",
        choices=OVERLAYS,
        nargs="?",
        const="all",
        default="off",
        help="videos with curve, heat and boxes: a clip of every event, or overlay.webm of all "
        "(default: off)",
    )
    verb.add_argument(
        "--no-report", action="store_true", help="leave report.html out (quicker, and less disk)"
    )
    verb.add_argument(
        "--inside",
        type=whole_numbers,
        default=(),
        metavar="FRAME,...",
        help="frames whose insides the report shows, beside those that it chooses",
    )
    _add_source_options(verb)
    return verb


def _add_source_options(verb: argparse.ArgumentParser) -> None:
    """Add which frames of a source are scored, and what happens to bad ones."""
    verb.add_argument(
        "--fps", type=above_zero, help="frames per second, instead of what the source says"
    )
    verb.add_argument(
        "--start", type=from_zero_float, metavar="SECONDS", help="where to begin in each source"
    )
    verb.add_argument(
        "--end", type=above_zero, metavar="SECONDS", help="where to stop in each source"
    )
    verb.add_argument(
        "--every", type=positive, default=1, metavar="N", help="only every n-th frame"
    )
    verb.add_argument(
        "--strict",
        action="store_true",
        help="stop at a frame or a source that can't be read, instead of going on and saying so",
    )
    verb.add_argument(
        "--json", action="store_true", help="print a JSON line a source instead of the summary"
    )


@dataclass
class _Entry:
    """A source, and what came of it: an outcome, or why there is none."""

    path: Path
    folder: Path
    outcome: Outcome | None = None
    reason: str = ""


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    if options.start is not None and options.end is not None and options.end <= options.start:
        raise UsageError(f"--end {options.end:g} is not after --start {options.start:g}")
    detector = open_detector(options)
    sources, missing = _sources(options)
    entries = [
        _Entry(path, folder)
        for path, folder in zip(sources, _folders(options.out, options.source, sources))
    ]
    if not entries:
        raise DataError("; ".join(entry.reason for entry in missing))
    # Of several sources the summary is written too: such a run has all of --out for itself.
    alone = folder_lock(options.out, shared=len(entries) == 1)
    with _stopped_by_sigterm(), alone:
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
    """List what the arguments stand for, and the arguments that stand for nothing."""
    sources: list[Path] = []
    missing = []
    for source in options.source:
        try:
            footage = footage_of(source)
            for line in describe_left_out(footage.left_out, source):
                print(f"{source}: {line}", file=sys.stderr)
            known = set(sources)
            sources += [path for path in sources_of(source, footage) if path not in known]
        except DataError as error:
            if options.strict:
                raise
            missing.append(_Entry(source, options.out, reason=str(error)))
            if len(options.source) > 1:
                print(f"left out: {error}", file=sys.stderr)
    return sources, missing


def _folders(out: Path, given: list[Path], paths: list[Path]) -> list[Path]:
    """Choose a folder for each source's results, named after it and its place below what was given.

    What would share one, or find another source's results there, gets a number.
    """
    taken: list[Path] = []
    for path in paths:
        root = next((folder for folder in given if folder in path.parents), path.parent)
        relative = path.relative_to(root)
        name = relative if path.is_dir() else relative.with_suffix("")
        if str(name) in ("", "."):  # "score ." in a folder of frames
            name = Path(path.resolve().name)
        name = Path(*(result_name(part, ROOM) for part in name.parts))
        free = (
            out / name if n == 1 else out / name.with_name(f"{name.name}-{n}")
            for n in range(1, 100_000)
        )
        taken.append(
            next(folder for folder in free if folder not in taken and belongs_to(folder, path))
        )
    return taken


def _score(detector: Detector, entry: _Entry, options: argparse.Namespace) -> None:
    """Score one source and print what came of it; the others go on where it cannot be read."""
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
            tqdm.write(fit(event_line(len(shown), event)))

    try:
        job = ScoreJob(detector, entry.path, entry.folder, wanted, on_event)
        entry.outcome = run_with_report(job, options.inside)
    except (DataError, SizeError) as error:
        if options.strict:
            raise
        entry.reason = str(error)
        return
    except OSError as error:  # of this source, such as one that may not be read; not a full disk
        if options.strict or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        entry.reason = f"{entry.path}: {error.strerror or error}"
        return
    for note in entry.outcome.notes:
        tqdm.write(fit(f"{entry.path}: {note}"), file=sys.stderr)
    tqdm.write(
        json.dumps(entry.outcome.summary) if options.json else fit(_text(entry.outcome, entry))
    )


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


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM stop as Ctrl-C does, with everything so far kept."""

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
    """Describe an event for a person: when, how long, where, how high; and why, in a second line.

    Args:
        number: of the event.
        event: its entry in events.json.
    """
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
    return text + (f"\n    {event['reason']['sentence']}" if event["reason"] else "")


def _text(outcome: Outcome, entry: _Entry) -> str:
    """Write a source's summary for a person."""
    summary, done = outcome.summary, outcome.done_before
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
        lines.append(
            f"  threshold {threshold['value']:.2f}{note}; {plural(len(summary['events']), 'event')}"
        )
    if outcome.highest:
        score, seconds = outcome.highest
        lines.append(f"  highest score {score:.2f} at {clock(seconds)}")
    ended = [bad for bad in summary["bad_frames"] if bad["index"] >= summary["frames"]]
    if replaced := [bad for bad in summary["bad_frames"] if bad not in ended]:
        lines.append(
            f"  {len(replaced)} frames could not be used and were replaced by the one before, the "
            f"first: frame {replaced[0]['index']} ({replaced[0]['name']}) {replaced[0]['reason']}"
        )
    lines += [f"  frame {bad['index']} ({bad['name']}) {bad['reason']}" for bad in ended]
    if (entry.folder / REPORT).is_file():
        lines.append(f"  look at: {entry.folder / REPORT}")
    return "\n".join(lines)


def _line_of(entry: _Entry) -> dict[str, Any]:
    """Make a source's entry in summary.json."""
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
    """List all sources in a table, and what was left out and why."""
    scored = [entry for entry in entries if entry.outcome]
    width = max(len(str(entry.path)) for entry in entries)
    rows = [["source", "frames", "length", "events", "highest"]]
    for entry in scored:
        line = _line_of(entry)
        highest = "-" if line["highest_score"] is None else f"{line['highest_score']:.2f}"
        numbers = [str(line["frames"]), clock(line["seconds"]), str(line["events"]), highest]
        rows.append([str(entry.path), *numbers])
    lines = ["", *align(rows, (width, 8, 10, 7, 8), gap=" ")]
    lines += [
        f"{entry.path!s:{width}} not scored: {entry.reason}"
        for entry in entries
        if not entry.outcome
    ]
    lines.append(f"{len(scored)} of {len(entries)} sources scored; {out / SUMMARY}")
    return "\n".join(lines)

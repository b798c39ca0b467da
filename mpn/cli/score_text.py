"""What `mpn score` says of its results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mpn.cli import fit
from mpn.io.text import align, clock, plural
from mpn.jobs import Outcome
from mpn.jobs.summary import behind_the_end, frames_text, strangeness
from mpn.report.from_job import REPORT
from mpn.scoring.memory import Likeness

SUMMARY = "summary.json"


@dataclass
class Entry:
    """A source, and what came of it: an outcome, or why there is none."""

    path: Path
    folder: Path
    outcome: Outcome | None = None
    reason: str = ""


class Teller:
    """Prints what comes of a source as it comes.

    Args:
        entry: the source.
        by_itself: whether it is judged by itself.
        as_json: print one JSON line at the end instead.
    """

    def __init__(self, entry: Entry, *, by_itself: bool, as_json: bool) -> None:
        self._entry, self._as_json, self._count = entry, as_json, 0
        self._frames = "frames of this camera" if by_itself else "normal frames"

    def event(self, event: dict[str, Any]) -> None:
        """Print an event that is over.

        Args:
            event: its entry in events.json.
        """
        if self._as_json:
            return
        if not self._count:
            tqdm.write(f"{self._entry.path}:")
        self._count += 1
        tqdm.write(fit(event_line(self._count, event, self._frames)))

    def outcome(self, outcome: Outcome) -> None:
        """Print what came of the source.

        Args:
            outcome: of scoring it.
        """
        for note in outcome.notes:
            tqdm.write(fit(f"{self._entry.path}: {note}"), file=sys.stderr)
        tqdm.write(
            json.dumps(outcome.summary)
            if self._as_json
            else fit(outcome_text(outcome, self._entry))
        )


def event_line(number: int, event: dict[str, Any], frames: str = "normal frames") -> str:
    """Describe an event for a person: when, how long, where, how high; and why, in a second line.

    Args:
        number: of the event.
        event: its entry in events.json.
        frames: what it is rarer among.
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
        text += f", rarer than 1 in {event['rarer_than_one_in']:.0f} {frames}{beyond}"
    why = why_text(event)
    return text + (f"\n    {why}" if why else "")


def why_text(event: Mapping[str, Any]) -> str:
    """Say why an event stands out, and what it is like, as far as that is known.

    Args:
        event: its entry in events.json.
    """
    phrases = [reason["sentence"]] if (reason := event.get("reason")) else []
    if like := event.get("like"):
        phrases.append(Likeness(like["name"], like["distance"]).words)
    return "; ".join(phrases)


def strangest(entries: Sequence[Entry], moments: int) -> list[tuple[Entry, dict[str, Any]]]:
    """Pick the strangest moments of recordings of one camera, the strangest first.

    Args:
        entries: the recordings that were scored.
        moments: how many at the most.
    """
    ranked = [
        (strangeness(event, entry.outcome.summary["threshold"]["value"]), entry, event)
        for entry in entries
        if entry.outcome
        for event in entry.outcome.summary["events"]
    ]
    ranked.sort(key=lambda moment: -moment[0])
    return [(entry, event) for _, entry, event in ranked[:moments]]


def strangest_text(
    entries: Sequence[Entry], moments: int, *, named: bool, camera: int | None = None
) -> str:
    """List the strangest moments for a person.

    Args:
        entries: the recordings of one camera that were scored.
        moments: how many at the most.
        named: say of which recording each is.
        camera: its number, where there are several.
    """
    whose = f"camera {camera}: " if camera else ""
    chosen = strangest(entries, moments)
    if not chosen:
        return f"{whose}nothing stands out"
    count = (
        f"{len(chosen)} strangest moments, the strangest first (by how high and how long)"
        if chosen[1:]
        else "strangest moment"
    )
    lines = [f"{whose}the {count}:"]
    for number, (entry, event) in enumerate(chosen, 1):
        where = f"{entry.path}, " if named else ""
        lasts = event["end_seconds"] - event["start_seconds"]
        times = f"{clock(event['start_seconds'])} - {clock(event['end_seconds'])} ({lasts:.1f} s)"
        rarity = f"rarer than 1 in {event['rarer_than_one_in']:.0f} frames of this camera"
        name = f"event {_number_of(entry, event)}"  # as mpn teach and mpn report call it
        lines.append(
            f"  {number:2}. {where}{times}, {name}, score {event['peak_score']:.2f}, {rarity}"
        )
        if why := why_text(event):
            lines.append(f"      {why}")
    return "\n".join(lines)


def _number_of(entry: Entry, event: dict[str, Any]) -> int:
    """Return an event's number in its events.json, which is in the order of time."""
    return entry.outcome.summary["events"].index(event) + 1 if entry.outcome else 0


def outcome_text(outcome: Outcome, entry: Entry) -> str:
    """Write a source's summary for a person.

    Args:
        outcome: of scoring it.
        entry: the source.
    """
    summary, done = outcome.summary, outcome.done_before
    text = f"{entry.path}: {frames_text(summary)}, {clock(summary['frames'] / summary['fps'])} long"
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
        events = plural(len(summary["events"]), "event")
        if summary["judged_by"] == "itself":
            lines.append(f"  judged by itself: {events} above {threshold['value']:.2f}")
        else:
            lines.append(f"  threshold {threshold['value']:.2f}{note}; {events}")
    if outcome.highest:
        score, seconds = outcome.highest
        lines.append(f"  highest score {score:.2f} at {clock(seconds)}")
        usual = (threshold or {}).get("highest_normal")
        if usual is not None and score > usual and not summary["events"]:
            # A threshold that little footage is extrapolated to may lie above any anomaly.
            lines[-1] += (
                f": stranger than all normal footage, which has {usual:.2f} at the most; a higher "
                "--false-alarms-per-hour lists it"
            )
    ended = behind_the_end(summary)
    if replaced := [bad for bad in summary["bad_frames"] if bad not in ended]:
        first, many = replaced[0], len(replaced) > 1
        lines.append(
            f"  {plural(len(replaced), 'frame')} could not be used and {'were' if many else 'was'} "
            f"replaced by the one before{', the first' * many}: frame {first['index']} "
            f"({first['name']}) {first['reason']}"
        )
    lines += [f"  frame {bad['index']} ({bad['name']}) {bad['reason']}" for bad in ended]
    if (entry.folder / REPORT).is_file():
        lines.append(f"  look at: {entry.folder / REPORT}")
    return "\n".join(lines)


def line_of(entry: Entry) -> dict[str, Any]:
    """Make a source's entry in summary.json.

    Args:
        entry: the source and what came of it.
    """
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


def total_text(entries: list[Entry], out: Path, page: Path | None = None) -> str:
    """List all sources in a table, and what was left out and why.

    Args:
        entries: all sources.
        out: folder of the results.
        page: over all of them, None without.
    """
    scored = [entry for entry in entries if entry.outcome]
    width = max(len(str(entry.path)) for entry in entries)
    rows = [["source", "scored", "length", "events", "highest"]]
    for entry in scored:
        line = line_of(entry)
        highest = "-" if line["highest_score"] is None else f"{line['highest_score']:.2f}"
        numbers = [f"{line['frames']:,}", clock(line["seconds"]), str(line["events"]), highest]
        rows.append([str(entry.path), *numbers])
    lines = ["", *align(rows, (width, 8, 10, 7, 8), gap=" ")]
    lines += [
        f"{entry.path!s:{width}} not scored: {entry.reason}"
        for entry in entries
        if not entry.outcome
    ]
    lines.append(f"{len(scored)} of {len(entries)} sources scored; {out / SUMMARY}")
    if page is not None:
        lines.append(f"look at: {page}")
    return "\n".join(lines)

"""The verb `mpn score`: write scores, events and, if wanted, overlay videos of videos."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
from mpn.cli.model import add_model, open_base, open_detector
from mpn.cli.score_by_itself import score_by_themselves
from mpn.cli.score_hands import Hands, Here
from mpn.cli.score_options import add_by_itself, add_ray, check_ray, check_usage
from mpn.cli.score_ray import workers
from mpn.cli.score_text import SUMMARY, Entry, line_of, total_text
from mpn.errors import DataError
from mpn.io.atomic import write_atomically
from mpn.io.locking import folder_lock
from mpn.jobs import OVERLAYS, belongs_to
from mpn.report.overview import OVERVIEW, Scored, write_overview
from mpn.scoring.detector import Detector
from mpn.video.footage import describe_left_out, footage_of, sources_of
from mpn.video.paths import result_name

EXAMPLES = """  mpn score lobby.mp4
  mpn score recordings/ --checkpoint lobby.camera.safetensors --overlay events
  mpn score frames/01 --fps 10 --checkpoint ped2 --false-alarms-per-hour 0.5"""
ROOM = 8  # bytes for a number behind a name


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "score",
        "Scores video files, folders of frames, or folders of either, of any length. Without "
        "--checkpoint the recordings of each camera are judged by themselves: in two passes, what "
        "is unlike the rest at the same place, the strangest first. With one, by what the model "
        "knows of the camera: one trained there, or adapted to it (mpn adapt). The same command "
        "again goes on where it was stopped, and leaves out what is finished.",
        EXAMPLES,
    )
    verb.add_argument(
        "source",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="video, folder of frames, folder of those, or a pattern",
    )
    add_model(verb, "none, judged by itself")
    verb.add_argument(
        "--out",
        type=Path,
        default=Path("runs/score"),
        help="results, each recording's in a folder of its name there (default: runs/score)",
    )
    alarm = verb.add_mutually_exclusive_group()
    alarm.add_argument(
        "--false-alarms-per-hour",
        type=above_zero,
        metavar="RATE",
        help="sets the threshold of a model (default: 1)",
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
    add_by_itself(verb)
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
        "--every",
        type=positive,
        metavar="N",
        help="only every n-th frame (default: all; see --fps-limit)",
    )
    verb.add_argument(
        "--strict",
        action="store_true",
        help="stop at a frame or a source that can't be read, instead of going on and saying so",
    )
    verb.add_argument(
        "--json", action="store_true", help="print a JSON line a source instead of the summary"
    )
    add_ray(verb)


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    if options.start is not None and options.end is not None and options.end <= options.start:
        raise UsageError(f"--end {options.end:g} is not after --start {options.start:g}")
    by_itself = options.checkpoint is None
    check_usage(options, by_itself)
    check_ray(options)
    detector = open_base(options) if by_itself else open_detector(options)
    sources, missing = _sources(options)
    entries = [
        Entry(path, folder)
        for path, folder in zip(sources, _folders(options.out, options.source, sources))
    ]
    if not entries:
        raise DataError("; ".join(entry.reason for entry in missing))
    # Of several sources the summary is written too: such a run has all of --out for itself.
    alone = folder_lock(options.out, shared=len(entries) == 1)
    # Ray, where it is wanted, takes SIGTERM for itself: ours comes after it.
    with _hands(detector, options) as hands, _stopped_by_sigterm(), alone:
        if by_itself:
            score_by_themselves(hands, entries, options)
        else:
            hands.score(entries)
        for entry in entries:
            if entry.reason and len(entries + missing) > 1:
                tqdm.write(fit(f"left out: {entry.reason}"), file=sys.stderr)
    entries += missing
    if len(entries) > 1:
        write_atomically(
            options.out / SUMMARY,
            json.dumps([line_of(entry) for entry in entries], indent=1) + "\n",
        )
        page = None if options.no_report else _overview(entries, options.out)
        if not options.json:
            print(total_text(entries, options.out, page))
    if all(entry.outcome is None for entry in entries):
        raise DataError(
            entries[0].reason
            if len(entries) == 1
            else f"none of the {len(entries)} sources could be read"
        )


def _overview(entries: Sequence[Entry], out: Path) -> Path:
    """Write the page over all recordings."""
    scored = [
        Scored(entry.path, entry.folder, entry.outcome.summary, entry.outcome.highest)
        for entry in entries
        if entry.outcome
    ]
    left_out = {str(entry.path): entry.reason for entry in entries if not entry.outcome}
    return write_overview(out / OVERVIEW, scored, left_out)


@contextmanager
def _hands(detector: Detector, options: argparse.Namespace) -> Iterator[Hands]:
    """Choose who does the work."""
    if options.ray is None:
        yield Here(detector, options)
        return
    with workers(detector, options) as hands:
        yield hands


def _sources(options: argparse.Namespace) -> tuple[list[Path], list[Entry]]:
    """List what the arguments stand for, and the arguments that stand for nothing."""
    sources: list[Path] = []
    missing = []
    for source in options.source:
        try:
            footage = footage_of(source)
            for line in describe_left_out(footage.left_out, source):
                print(f"{source}: {line}", file=sys.stderr)
            earlier = set(sources)
            sources += [path for path in sources_of(source, footage) if path not in earlier]
        except DataError as error:
            if options.strict:
                raise
            missing.append(Entry(source, options.out, reason=str(error)))
            if len(options.source) > 1:
                print(fit(f"left out: {error}"), file=sys.stderr)
    return sources, missing


def _folders(out: Path, arguments: list[Path], paths: list[Path]) -> list[Path]:
    """Choose a folder for each source's results, named after it and its place below what was given.

    What would share one, or find another source's results there, gets a number.
    """
    folders: list[Path] = []
    taken: set[Path] = set()  # an archive has many
    for path in paths:
        root = next((folder for folder in arguments if folder in path.parents), path.parent)
        relative = path.relative_to(root)
        name = relative if path.is_dir() else relative.with_suffix("")
        if str(name) in ("", "."):  # "score ." in a folder of frames
            name = Path(path.resolve().name)
        name = Path(*(result_name(part, ROOM) for part in name.parts))
        free = (
            out / name if n == 1 else out / name.with_name(f"{name.name}-{n}")
            for n in range(1, 100_000)
        )
        folder = next(
            candidate
            for candidate in free
            if candidate not in taken and belongs_to(candidate, path)
        )
        folders.append(folder)
        taken.add(folder)
    return folders


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

"""The verb `mpn teach`: tell a camera what is normal there, or what things are called."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpn.api import forget, teach, teach_from
from mpn.cli import UsageError, fit, new_parser
from mpn.io.text import align, plural
from mpn.model.checkpoint import load_checkpoint
from mpn.model.taught import Taught

EXAMPLES = """  mpn teach lobby.camera.safetensors runs/score/lobby/events.json#3 --normal
  mpn teach lobby.camera.safetensors runs/score/lobby/events.json#2,5 --name cyclist
  mpn teach lobby.camera.safetensors --list
  mpn teach lobby.camera.safetensors --forget cyclist
  mpn teach yard.camera.safetensors --from lobby.camera.safetensors"""
NORMAL = "normal"


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "teach",
        "Teaches a camera by events that mpn score found: with --normal, that kind of false alarm "
        "goes quiet at this camera; with --name, later events tell the nearest name. The earlier "
        "camera file is kept as a version.",
        EXAMPLES,
    )
    verb.add_argument("camera", type=Path, metavar="CAMERA", help="the camera file")
    verb.add_argument(
        "event",
        nargs="*",
        metavar="EVENTS#N",
        help="events.json and the numbers of events in it, from 1, as the terminal and the report "
        "number them: runs/score/lobby/events.json#3 or ...#3,5",
    )
    group = verb.add_mutually_exclusive_group()
    group.add_argument("--normal", action="store_true", help="the events are normal here")
    group.add_argument("--name", help="what the events show")
    group.add_argument("--list", action="store_true", help="say what the camera was taught")
    group.add_argument(
        "--forget",
        metavar="WHAT",
        help="a name, normal, or a number of --list; it then scores as if never taught",
    )
    verb.add_argument(
        "--from",
        dest="other",
        type=Path,
        metavar="OTHER",
        help="take over the names of another camera file (with --normal: what is normal there)",
    )
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    _check_usage(options)
    if options.list:
        print(fit(_listed(options.camera, load_checkpoint(options.camera).taught)))
        return
    if options.forget is not None:
        number = options.forget.removeprefix("#")
        selection = int(number) if number.isdecimal() else options.forget
        gone = forget(options.camera, selection)
        print(f"forgotten: {', '.join(map(_described, gone))}")
    elif options.other is not None:
        fresh = teach_from(options.camera, options.other, normal=options.normal)
        print(f"taken over: {plural(len(fresh), 'event')} of {options.other}")
    else:
        for path, numbers in map(_event, options.event):
            for event in teach(options.camera, path, numbers, name=options.name):
                print(f"taught: {_described(event)}, {plural(len(event.embeddings), 'example')}")
    print(f"written: {options.camera}; next: mpn score VIDEO --checkpoint {options.camera}")


def _check_usage(options: argparse.Namespace) -> None:
    """Refuse what contradicts itself; raises UsageError."""
    teaches = options.normal or options.name is not None
    if options.list or options.forget is not None or options.other is not None:
        if options.event or (options.other and not options.normal and teaches):
            raise UsageError("--list, --forget and --from take no events, and --from no --name")
        if options.other and (options.list or options.forget is not None):
            raise UsageError("--from, --list and --forget are three different things to ask for")
    elif not options.event or not teaches:
        raise UsageError(
            "what is to be taught? EVENTS.json#NUMBER with --normal or --name NAME; or --list, "
            "--forget WHAT, --from OTHER"
        )
    for text in options.event:
        _event(text)


def _event(text: str) -> tuple[Path, list[int]]:
    """Read EVENTS.json#3,5."""
    path, mark, numbers = text.rpartition("#")
    words = numbers.split(",")
    if not mark or not path or not all(word.isdecimal() and word.isascii() for word in words):
        raise UsageError(
            f"{text}: which events? EVENTS.json#NUMBER or EVENTS.json#NUMBER,NUMBER was expected"
        )
    return Path(path), [int(word) for word in words]


def _described(event: Taught) -> str:
    return f"{event.name or NORMAL} ({event.source}, frame {event.frame})"


def _listed(path: Path, taught: Sequence[Taught]) -> str:
    """Write what a camera was taught as a table."""
    if not taught:
        return f"{path} was taught nothing"
    rows = [
        [
            str(number),
            event.name or NORMAL,
            str(len(event.embeddings)),
            f"{event.source}, {event.frame}",
        ]
        for number, event in enumerate(taught, 1)
    ]
    head = ["", "what", "examples", "recording, frame"]
    return "\n".join(align([head, *rows]))

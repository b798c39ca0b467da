"""The verb `mpn report`: list the events of a recording that was scored; serve its page."""

from __future__ import annotations

import argparse
import json
import webbrowser
from pathlib import Path
from typing import Any

from mpn.cli import fit, from_zero, new_parser
from mpn.cli.score_text import event_line
from mpn.errors import DataError
from mpn.io.text import plural
from mpn.jobs.state import EVENTS
from mpn.report.from_job import REPORT
from mpn.report.server import ReportServer

EXAMPLES = """  mpn report runs/score/lobby
  mpn report runs/score/lobby --serve --camera lobby.camera.safetensors"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "report",
        "Lists the events of a recording that mpn score has scored. With --serve its report is "
        "shown from a server on this machine (loopback alone), where a click teaches the camera "
        "that an event is normal, or what it is called.",
        EXAMPLES,
    )
    verb.add_argument("results", type=Path, metavar="RESULTS", help="the folder mpn score wrote")
    verb.add_argument("--serve", action="store_true", help="serve report.html until Ctrl-C")
    verb.add_argument(
        "--camera",
        type=Path,
        metavar="FILE",
        help="the camera file that is taught (default: the one that scored it)",
    )
    verb.add_argument(
        "--port", type=from_zero, default=0, help="of the server (default: one that is free)"
    )
    verb.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    folder: Path = options.results.parent if options.results.name == EVENTS else options.results
    summary = _summary(folder)
    if not options.serve:
        frames = "frames of this camera" if summary["judged_by"] == "itself" else "normal frames"
        print(fit(f"{summary['source']}: {plural(len(summary['events']), 'event')}"))
        for number, event in enumerate(summary["events"], 1):
            print(fit(event_line(number, event, frames)))
        if (folder / REPORT).is_file():
            print(f"look at: {folder / REPORT}; mpn report {folder} --serve to teach by a click")
        return
    camera = options.camera or _camera_of(summary)

    def teach(number: int, name: str | None) -> str:
        if camera is None:
            raise DataError(
                "which camera is to be taught is not known: stop the server, and give --camera "
                "FILE (mpn score --save or mpn adapt makes one)"
            )
        from mpn.api import teach  # imports torch

        taught = teach(camera, folder / EVENTS, number, name=name)
        examples = plural(sum(len(one.embeddings) for one in taught), "example")
        said = f"{camera} was taught event {number}: {name or 'normal'}, {examples}"
        print(said)
        return f"{said}. The next mpn score --checkpoint {camera} knows it."

    with ReportServer(folder, teach, options.port) as server:
        print(f"serving {folder / REPORT} at {server.url}; Ctrl-C ends it", flush=True)
        if not options.no_browser:
            webbrowser.open(server.url)
        server.serve_forever()


def _summary(folder: Path) -> dict[str, Any]:
    """Read events.json."""
    path = folder / EVENTS
    try:
        summary = json.loads(path.read_text("utf-8"))
        return {"judged_by": "model", **summary, "events": list(summary["events"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); the folder that mpn score wrote for a recording "
            "was expected, such as runs/score/lobby"
        ) from error


def _camera_of(summary: dict[str, Any]) -> Path | None:
    """Name the camera file that scored a recording, where that is known and still there."""
    name = summary.get("camera")
    return Path(name) if isinstance(name, str) and Path(name).is_file() else None

"""The verb `mpn report`: list the events of a scored recording, serve its page; show a camera."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mpn.cli import UsageError, fit, from_zero, new_parser
from mpn.cli.model import load_model
from mpn.cli.score_text import event_line
from mpn.errors import DataError
from mpn.io.text import plural
from mpn.jobs.state import EVENTS
from mpn.jobs.summary import read_summary
from mpn.report.camera_page import MODEL_SUFFIX, page_of, write_camera_page
from mpn.report.from_job import REPORT
from mpn.report.server import ReportServer
from mpn.report.teaching import CameraTeacher

EXAMPLES = """  mpn report runs/score/lobby
  mpn report runs/score/lobby --serve
  mpn report runs/score/lobby --serve --camera lobby.camera.safetensors
  mpn report lobby.camera.safetensors"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "report",
        "Lists the events of a recording that mpn score has scored. With --serve its report is "
        "shown by a server that this machine alone can reach, and a click there teaches the "
        "camera that an event is normal, or what it is called. Of a camera file it writes the page "
        "of what the camera has learned: what is usual where.",
        EXAMPLES,
    )
    verb.add_argument(
        "results",
        type=Path,
        metavar="RESULTS",
        help="the folder mpn score wrote; or a camera file",
    )
    verb.add_argument("--serve", action="store_true", help="serve report.html until Ctrl-C")
    verb.add_argument(
        "--camera",
        type=Path,
        metavar="FILE",
        help="the camera file that is taught (default: the one the recording was scored with)",
    )
    verb.add_argument(
        "--port", type=from_zero, default=0, help="of the server (default: 0, one that is free)"
    )
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    if not options.serve and (options.camera or options.port):
        raise UsageError("--camera and --port are for --serve")
    if options.results.suffix == MODEL_SUFFIX:
        _show_camera(options)
        return
    folder: Path = options.results.parent if options.results.name == EVENTS else options.results
    summary = read_summary(folder)
    if options.serve:
        _serve(folder, options.camera or _camera_of(folder, summary), options.port)
    else:
        print(fit(_listed(folder, summary)))


def _show_camera(options: argparse.Namespace) -> None:
    """Write the page of a camera file, or of a model that knows cameras by place."""
    if options.serve:
        raise UsageError("--serve is for the results of mpn score, not for a camera file")
    file: Path = options.results
    page = write_camera_page(page_of(file), load_model(file), file.name)
    print(f"look at: {page}")


def _listed(folder: Path, summary: dict[str, Any]) -> str:
    """List the events as a text."""
    frames = "frames of this camera" if summary["judged_by"] == "itself" else "normal frames"
    lines = [f"{summary['source']}: {plural(len(summary['events']), 'event')}"]
    if not summary.get("complete", True):
        lines[0] += " so far: it was not scored to its end"
    lines += [event_line(n, event, frames) for n, event in enumerate(summary["events"], 1)]
    if (folder / REPORT).is_file():
        lines.append(f"look at: {folder / REPORT}; mpn report {folder} --serve teaches by a click")
    return "\n".join(lines)


def _camera_of(folder: Path, summary: dict[str, Any]) -> Path | None:
    """Name the camera file that scored a recording, None where it was none; it has to be there."""
    name = summary.get("camera")
    if not isinstance(name, str):
        return None
    if not Path(name).is_file():
        raise DataError(
            f"{folder / EVENTS}: the camera file {name} that scored it is gone; --camera FILE "
            "names the one to teach"
        )
    return Path(name)


def _serve(folder: Path, camera: Path | None, port: int) -> None:
    """Serve the page until Ctrl-C."""
    teacher = CameraTeacher(folder, camera) if camera else None
    with ReportServer(folder, teacher, port) as server:
        if not server.can_teach():
            print(
                f"{folder / REPORT} is of an earlier version, without buttons to teach: delete it, "
                "and the same mpn score command again makes it anew",
                file=sys.stderr,
            )
        elif teacher is None:
            print(
                "nothing can be taught: no camera file is known (--camera FILE; mpn score --save "
                "and mpn adapt make one)",
                file=sys.stderr,
            )
        else:
            print(f"a click teaches {teacher.camera}")
        print(f"look at: {server.url} (on this machine alone); Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
        print()
        if server.busy.locked():
            print("ending when what is being taught is written; Ctrl-C again breaks it off")
    print("ended")

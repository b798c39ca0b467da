"""The verb `mpn watch`: watch live cameras, and tell at once when something is unusual."""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mpn.cli import UsageError, above_zero, new_parser
from mpn.errors import DataError, MpnError
from mpn.io.locking import folder_lock
from mpn.io.text import json_text, plural
from mpn.model.engines import ENGINES

if TYPE_CHECKING:
    from mpn.live.config import WatchConfig
    from mpn.live.status import Alarm, CameraStatus, Output

log = logging.getLogger(__name__)

INSTALL = "pip install 'mpn[live]'"
CLOSE_SECONDS = 10.0  # for what is on its way when it is stopped
CONFIGS = (".yaml", ".yml")
LINE_SECONDS = 60.0  # between two lines on a camera, where there is no terminal
EXAMPLES = """  mpn watch --example > watch.yaml
  mpn watch --check watch.yaml
  mpn watch watch.yaml
  mpn watch rtsp://192.168.1.20/stream2 /dev/video0 --out runs/watch"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "watch",
        "Watches live cameras (RTSP, RTMP, HTTP, HLS, USB, or files as if they were) and tells at "
        "once when something is unusual. A camera that is not known yet is learned in its first "
        "minutes, which should be normal ones. Stop it with Ctrl-C; the same command goes on.",
        EXAMPLES,
    )
    verb.add_argument(
        "source",
        nargs="*",
        metavar="CONFIG|URL",
        help="a YAML file, or addresses of cameras, which are called camera-1 and on",
    )
    verb.add_argument("--example", action="store_true", help="print an example of a config")
    verb.add_argument("--check", action="store_true", help="check the config, and open no camera")
    verb.add_argument(
        "--out", type=Path, help="of URLs: events and what is learned (default: runs/watch)"
    )
    verb.add_argument("--checkpoint", metavar="MODEL", help="the base, instead of the config's")
    verb.add_argument(
        "--learning-minutes", type=above_zero, metavar="M", help="of a new camera (default: 5)"
    )
    verb.add_argument(
        "--false-alarms-per-hour",
        type=above_zero,
        metavar="RATE",
        help="sets the threshold of cameras that the config gives no own rate (default: 1)",
    )
    verb.add_argument(
        "--freeze", action="store_true", help="don't go on learning after the first minutes"
    )
    verb.add_argument(
        "--network",
        action=argparse.BooleanOptionalAction,
        help="let the network have a say in the score of cameras that are learned here, too, which "
        "then take three times as long; --no-network: of none (default: as each camera's file "
        "says; motion alone judges a camera that is learned here)",
    )
    verb.add_argument("--loop", action="store_true", help="of URLs: files begin again at their end")
    verb.add_argument(
        "--seconds", type=above_zero, help="stop after so long (default: when it is told to)"
    )
    verb.add_argument("--device", default="cpu", help="cpu or cuda")
    verb.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    verb.add_argument("--engine", choices=ENGINES, default="torch", help="what runs the network")
    verb.add_argument("--json", action="store_true", help="print alarms as JSON lines")
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    try:
        from mpn.live import config as configs
        from mpn.live.outputs.config import close_outputs, open_outputs
    except ImportError as error:
        raise MpnError(f"{error.name} is not installed, which live cameras need: {INSTALL}") from (
            error
        )
    if options.example:
        print(configs.EXAMPLE, end="")
        return
    config = _config(options)
    if options.check:
        cameras = ", ".join(config.cameras)
        print(f"{options.source[0]}: nothing is wrong; no camera was contacted; cameras: {cameras}")
        return
    from mpn.live.loop import Watch
    from mpn.live.teaching import Teacher

    teacher = Teacher()
    progress = Progress(sys.stderr)
    outputs: list[Output] = [progress, teacher]
    if options.json:
        outputs.append(_JsonLines(sys.stdout))
    with folder_lock(config.out):
        outputs += open_outputs(config.outputs, config.out, teach=teacher.teach, announce=log.info)
        try:
            watch = Watch(
                config,
                outputs,
                device=options.device,
                precision=options.precision,
                engine=options.engine,
                threads=options.threads,
            )
            teacher.cameras = watch.cameras
            progress.unread = watch.stop
            with _stopped_by_signals(watch.stop) as signals:
                watch.run(options.seconds)
        finally:
            close_outputs(outputs, CLOSE_SECONDS)
        if signals:
            new = [camera.name for camera in watch.cameras if not camera.camera_file.is_file()]
            log.info("%s", stopped_line(new))


def _config(options: argparse.Namespace) -> WatchConfig:
    """Read the config, or make it of addresses; options on the command line go before it."""
    from mpn.live.config import config_of_urls, read_config
    from mpn.live.outputs.config import OutputsConfig, check_outputs

    sources: Sequence[str] = options.source
    if not sources:
        raise UsageError("CONFIG or URL is missing; mpn watch --example prints a config")
    overrides: dict[str, Any] = {}
    if options.checkpoint is not None:
        # Paths of a config are taken from its folder, those of the command line from here.
        overrides["model"] = _from_here(options.checkpoint)
    for name in ("learning_minutes", "false_alarms_per_hour", "network"):
        if getattr(options, name) is not None:
            overrides[name] = getattr(options, name)
    if options.freeze:
        overrides["freeze"] = True
    configs = [source for source in sources if source.endswith(CONFIGS)]
    if configs and len(sources) > 1:
        raise UsageError(f"{configs[0]} is a config: give it alone, with all cameras in it")
    if options.out is not None:
        overrides["out"] = options.out.absolute() if configs else options.out
    if options.check and not configs:
        raise UsageError("--check is of a config (.yaml), not of addresses")
    if options.loop and configs:
        raise UsageError("--loop is of URLs; in a config it is an entry of each camera")
    try:
        if configs:
            return read_config(Path(configs[0]), check_outputs, **overrides)
        return config_of_urls(sources, loop=options.loop, outputs=OutputsConfig(), **overrides)
    except DataError as error:
        _refuse(str(error).splitlines(), sources[0])
        raise


def _from_here(model: str) -> str:
    return str(Path(model).absolute()) if Path(model).is_file() else model


def _refuse(lines: Sequence[str], source: str) -> None:
    """Raise DataError where there are mistakes, a line each; several are said one by one."""
    if len(lines) == 1:
        raise DataError(lines[0])
    for line in lines:
        log.error("%s", line)
    if lines:
        where, again = "", ""
        if source.endswith(CONFIGS):
            where, again = f"{source}: ", ", mpn watch --check looks again"
        raise DataError(f"{where}{len(lines)} mistakes, nothing was opened; mend them{again}")


def stopped_line(new: Sequence[str]) -> str:
    """Say that watching was stopped, and what the same command goes on with.

    Args:
        new: cameras that are not learned yet: of their first minutes nothing is kept.
    """
    line = "stopped; the same command goes on, what was learned is kept"
    if not new:
        return line
    again = "begins its first minutes again" if len(new) == 1 else "begin their first minutes again"
    return f"{line}; {', '.join(new)} {again}"


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """End cleanly on SIGTERM and Ctrl-C; at the second Ctrl-C at once. Gives the signals so far."""
    signals: list[int] = []

    def on_signal(number: int, _: object) -> None:
        log.info("stopping: open events are ended, what was learned is written down")
        signals.append(number)
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else first)
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    first = signal.getsignal(signal.SIGINT)
    before = [
        (number, signal.signal(number, on_signal)) for number in (signal.SIGTERM, signal.SIGINT)
    ]
    try:
        yield signals
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _JsonLines:
    """Prints each alarm as a line of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def alarm(self, alarm: Alarm) -> None:
        if self._stream is None:
            return
        try:
            print(json_text(alarm.to_dict()), file=self._stream, flush=True)
        except OSError as error:  # its reader has gone; watching goes on
            log.warning("alarms are printed no more: %s", error.strerror)
            self._stream = None

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        pass

    def close(self, seconds: float) -> None:
        pass


def _has_no_reader(stream: TextIO) -> bool:
    """Say whether a stream is a pipe that nobody reads any more; no file and no terminal is."""
    try:
        number = stream.fileno()
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            return False
    except (OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))


class Progress:
    """Shows where the cameras stand: a line each that changes on a terminal, else one now and then.

    Args:
        stream: stderr.
        unread: called where nobody reads it any more, as behind `2>&1 | head`. (A line that is
            logged is no way to find out: logging passes over what it cannot write.)
    """

    def __init__(self, stream: TextIO, unread: Callable[[], None] = lambda: None) -> None:
        self.unread = unread
        self._stream, self._live = stream, stream.isatty()
        self._lines, self._told_at = 0, time.monotonic()

    def alarm(self, alarm: Alarm) -> None:
        """Say an alarm in a line."""
        reason = alarm.fields.get("reason") or {}
        words = reason.get("sentence") or f"score {alarm.fields.get('peak_score', 0):.3g}"
        learning = "" if alarm.fields.get("counts", True) else " (still learning)"
        self._forget()
        log.info("%s: %s %s%s: %s", alarm.camera, alarm.phase, alarm.id, learning, words)

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Show where the cameras stand."""
        if _has_no_reader(self._stream):
            self.unread()
            return
        lines = [status_line(status) for status in cameras.values()]
        if self._live:
            self._forget()
            self._stream.write("".join(f"{line[:120]}\n" for line in lines))
            self._stream.flush()
            self._lines = len(lines)
            return
        if time.monotonic() - self._told_at >= LINE_SECONDS:
            self._told_at = time.monotonic()
            for line in lines:
                log.info("%s", line)

    def close(self, seconds: float) -> None:
        """Do nothing: the last lines stay."""

    def _forget(self) -> None:
        """Take the lines of a terminal away, for others in their place."""
        if self._live and self._lines:
            self._stream.write(f"\x1b[{self._lines}A\x1b[J")
        self._lines = 0


def status_line(status: CameraStatus) -> str:
    """Say where a camera stands, in a line."""
    score = "-" if status.score is None else f"{status.score:.2f}"
    level = "-" if status.threshold is None else f"{status.threshold:.2f}"
    words = f"  {status.detail}" if status.detail else ""
    return (
        f"{status.camera:14} {status.state.value:12} {status.fps:4.1f} fps  score {score:>6} of "
        f"{level}  lag {status.lag:.2f} s  {status.frames} scored, {status.dropped} dropped, "
        f"{plural(status.events, 'event')}{words}"
    )

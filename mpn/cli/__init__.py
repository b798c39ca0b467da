"""The command line: each verb is a module that reads its arguments and makes one library call."""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import keyword
import logging
import math
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from mpn.cli.starting import sign_of_life
from mpn.errors import MpnError
from mpn.version import __version__

# verb: what it does, in a line of the help
VERBS = {
    "demo": "see all of it on generated footage, in about five minutes",
    "score": "score videos: when something is unusual, where, and how sure",
    "watch": "watch live cameras: tell at once when something is unusual",
    "report": "list the events of a scored recording; serve its page, to teach",
    "adapt": "adapt a model to a new camera from a little of its normal footage",
    "teach": "tell a camera what is normal there, or what things are called",
    "train": "train a model on folders of normal footage",
    "evaluate": "measure a model, or anyone's scores, on a labelled test set",
    "compare": "say whether one system is better than another, with intervals",
    "doctor": "say what is wrong with a folder or a video, and how to mend it",
    "bench": "measure how quick a model is on this machine, in a minute",
    "export": "write a model's network as an ONNX file, for other programs",
    "import": "turn the paper authors' weights into a model of mpn, safely",
}
# These write as they go; all others at their end, if at all.
GOING_ON = ("demo", "score", "watch", "train", "evaluate")
OVERVIEW = "\n".join(
    [
        "Video anomaly detection with the Meta Prototype Network.",
        "",
        "usage: mpn COMMAND [options]     mpn COMMAND --help: its options, with examples",
        "",
        *(f"  {verb:10} {text}" for verb, text in VERBS.items()),
        "",
        "first steps:",
        "  mpn demo                    trains, evaluates, scores and adapts: look at it",
        "  mpn score VIDEO             of any camera, judged by itself",
        "  mpn adapt NORMAL_FOOTAGE    makes a camera file for your camera; then:",
        "  mpn score VIDEO --checkpoint NAME.camera.safetensors",
        "",
        "mpn --version shows the version.",
    ]
)
# So often a thread of torch looks for work before it sleeps. By default it looks for milliseconds,
# and beside another job on the same cores the threads mostly wait for one another.
SPINS = "1000"
# What several processes started by torchrun do together.
SHARED = ("train",)
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
COLUMNS = 79  # of a terminal of 80
LONGEST_LINE = 2000  # letters of an error's line
# Generators take seeds of up to 64 bits; counts are multiplied, and must stay below them. Above the
# threads of any machine libraries end the process.
HIGHEST_SEED, HIGHEST_COUNT, MAX_THREADS = 2**63 - 1, 10**9, 1024


class UsageError(Exception):
    """Options that contradict each other, where argparse can't see it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mpn VERB ...` and return its exit code.

    Args:
        arguments: without the program's name; default: those of the process.
    """
    _prepare_streams()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(OVERVIEW)
        return DONE
    if arguments[0] == "--version":
        print(f"mpn {__version__}")
        return DONE
    if arguments[0] not in VERBS:
        print(f"mpn: {_unknown(arguments[0])}", file=sys.stderr)
        return WRONG_USE
    return run(arguments[0], arguments[1:])


def _prepare_streams() -> None:
    """Let the terminal show any name: what it has no letters for is escaped, not an error.

    Names of files need not be UTF-8, and terminals are narrower still (PYTHONIOENCODING=latin-1).
    A stream that the caller has closed (`2>&-`) is None: what is written there goes nowhere.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the process ends)
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _sleep_while_waiting() -> None:
    """Let torch's threads sleep while they wait, unless the environment says how; before torch."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _unknown(word: str) -> str:
    """Say what was meant instead of a command, as far as that can be guessed."""
    similar = difflib.get_close_matches(word, VERBS, n=1)
    guess = f"did you mean {similar[0]}?" if similar else f"there are {', '.join(VERBS)}"
    return f"no command is called {word!r}; {guess} (mpn --help says what each does)"


def run(verb: str, arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    Errors are one line on stderr, with --debug a traceback.

    Args:
        verb: one of `VERBS`.
        arguments: of the verb; default: those of the process.
    """
    if verb in SHARED and "WORLD_SIZE" in os.environ and os.environ.get("RANK", "0") != "0":
        hush()
    _prepare_streams()
    _sleep_while_waiting()
    try:
        with sign_of_life(f"mpn {verb}"):  # it imports torch
            module = importlib.import_module(f"mpn.cli.{verb}{'_' * keyword.iskeyword(verb)}")
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was begun", file=sys.stderr)
        return INTERRUPTED
    parser: argparse.ArgumentParser = module.parser()
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser.add_argument(
        "--threads", type=thread_count, metavar="N", help="processor threads (default: all)"
    )
    options = parser.parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return guarded(module.main, options, f"mpn {verb}")


def hush() -> None:
    """Say nothing more: the first of several processes says the same (`mpn.cli.processes`)."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)


def guarded(action: Callable[..., None], options: argparse.Namespace, name: str) -> int:
    """Run a verb; what it raises becomes a line on stderr and an exit code.

    Args:
        action: the verb's main function.
        options: what it is given.
        name: how the line on stderr begins.
    """
    try:
        if options.threads:
            import cv2
            import torch

            torch.set_num_threads(options.threads)
            cv2.setNumThreads(options.threads)
        action(options)
        sys.stdout.flush()
        return DONE
    except KeyboardInterrupt as interrupt:
        hint = "what was written so far, if anything, is kept"
        # Who was interrupted may know better what is kept.
        hint = str(interrupt) or (hint if name.split()[-1] in GOING_ON else "")
        _say(f"\ninterrupted{'; ' * bool(hint)}{hint}")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has gone, as with `| head`
        _let_go(sys.stdout)
        return DONE
    except UsageError as error:
        _say(f"{name}: {error}")
        return WRONG_USE
    except (MpnError, OSError, MemoryError) as error:
        if options.debug:
            traceback.print_exc()
        else:
            _say(f"{name}: {_line(error)}")
        return FAILED
    finally:
        try:
            sys.stderr.flush()
        except BrokenPipeError:
            _let_go(sys.stderr)


def _say(text: str) -> None:
    """Print a line on stderr; where nobody reads it, the exit code alone says it."""
    with suppress(BrokenPipeError):
        print(text, file=sys.stderr)


def _let_go(stream: TextIO) -> None:
    """Let a stream that nobody reads write nowhere: the interpreter flushes it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _line(error: Exception) -> str:
    """Say what happened in one line: the system's errors come without a word on what to do."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return _plain(f"{where}{error.strerror} (--debug shows where it happened)")
    text = _plain(" ".join(str(error).split("\n")).strip())
    return text or f"{type(error).__name__} (--debug shows where it happened)"


def _plain(text: str) -> str:
    """Write what files and folders say so that it fills no terminal, and none obeys it."""
    text = text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class _PlainFormatter(logging.Formatter):
    """Writes what is logged as `_plain` does, line by line."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(_plain(line) for line in super().format(record).split("\n"))


def fit(text: str) -> str:
    """Break the lines that are longer than a terminal's 80 columns; the rest of one is indented.

    What a name in them tells the terminal to do is written out.
    """
    lines = []
    for line in map(_plain, text.rstrip("\n").split("\n")):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        broken = textwrap.wrap(
            line,
            COLUMNS,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += [line] if len(line) <= COLUMNS else broken
    return "\n".join(lines)


def positive(text: str) -> int:
    """Read a whole number above 0, for argparse."""
    return _whole(text, 1, HIGHEST_COUNT)


def from_zero(text: str) -> int:
    """Read a whole number from 0 up, such as a seed, for argparse."""
    return _whole(text, 0, HIGHEST_SEED)


def thread_count(text: str) -> int:
    """Read a number of processor threads, for argparse."""
    return _whole(text, 1, MAX_THREADS)


def _whole(text: str, lowest: int, highest: int) -> int:
    begin = "above 0" if lowest else "from 0 up"
    expected = f"a whole number {begin}, at most {highest:,},"
    return int(_checked(text, int, expected, lambda value: lowest <= value <= highest))


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers from 0 up, separated by commas, for argparse: each once, in order."""
    return tuple(sorted({from_zero(word.strip()) for word in text.split(",")}))


def above_zero(text: str) -> float:
    """Read a number above 0, for argparse."""
    return _checked(text, float, "a number above 0", lambda value: value > 0)


def from_zero_float(text: str) -> float:
    """Read a number from 0 up, for argparse."""
    return _checked(text, float, "a number from 0 up", lambda value: value >= 0)


def number(text: str) -> float:
    """Read a finite number, for argparse."""
    return _checked(text, float, "a number", lambda value: True)


def _checked(text: str, kind: type, expected: str, fits: Callable[[float], bool]) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if (kind is float and not math.isfinite(value)) or not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r}: {expected} was expected")
    return value


def new_parser(verb: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Make a verb's parser, with its examples below the options.

    Args:
        verb: its name.
        description: what it does.
        examples: commands and what they are for.
    """
    return argparse.ArgumentParser(
        prog=f"mpn {verb}",
        description=fit(description),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

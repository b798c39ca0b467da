"""The command line: each verb is a module that reads its arguments and makes one library call."""

from __future__ import annotations

import argparse
import importlib
import keyword
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from mpn.errors import MpnError

# verb: what it does, in a line of the help
VERBS = {
    "demo": "train, evaluate and score on the embedded demo set, in one go",
    "train": "train on a folder of normal footage",
    "evaluate": "figures on a labelled test set",
    "score": "score videos: when, where and how sure",
    "adapt": "adapt a model to a new camera from a handful of its frames",
    "compare": "is one system better than another? differences with 95 % intervals",
    "doctor": "look at a folder or video and say what is wrong with it, and how to mend it",
    "import": "turn weights that the paper's authors' code saved into a model of mpn, safely",
}
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
# Generators take seeds of up to 64 bits.
HIGHEST_SEED = 2**63 - 1


class UsageError(Exception):
    """Options that contradict each other, where argparse can't see it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """`mpn VERB ...`; the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verbs = "\n".join(f"  {verb:10} {text}" for verb, text in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="mpn",
        usage="mpn VERB [options]   (mpn VERB --help for each)",
        description="Video anomaly detection with the Meta Prototype Network.",
        epilog=f"verbs:\n{verbs}\n\nexample:\n  mpn score video.mp4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB")
    if not arguments:
        parser.print_help()
        return DONE
    chosen = parser.parse_args(arguments[:1]).verb
    return run(chosen, arguments[1:])


def run(verb: str, arguments: Sequence[str] | None = None) -> int:
    """One verb with its arguments; the exit code. Errors are one line on stderr, a traceback with
    --debug."""
    module = importlib.import_module(f"mpn.cli.{verb}{'_' * keyword.iskeyword(verb)}")
    parser: argparse.ArgumentParser = module.parser()
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="processor threads (default: all)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    return guarded(module.main, options, f"mpn {verb}")


def guarded(action: Callable[..., None], options: argparse.Namespace, name: str) -> int:
    """Runs a verb; what it raises becomes a line on stderr, which begins with `name`, and an exit
    code."""
    try:
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        action(options)
        sys.stdout.flush()
        return DONE
    except KeyboardInterrupt:
        print("\ninterrupted; what was written so far is kept", file=sys.stderr)
        return INTERRUPTED
    except (
        BrokenPipeError
    ):  # the reader of stdout has gone, as with `| head`; the interpreter flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return WRONG_USE
    except (MpnError, OSError, MemoryError) as error:
        if options.debug:
            traceback.print_exc()
        else:
            print(f"{name}: {_line(error)}", file=sys.stderr)
        return FAILED


def _line(error: Exception) -> str:
    """What happened, in one line. The system's own errors come without a word on what to do."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror} (--debug shows where it happened)"
    text = " ".join(str(error).split("\n")).strip()
    return text or f"{type(error).__name__} (--debug shows where it happened)"


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    return _checked(text, int, "a whole number above 0", lambda value: value > 0)


def from_zero(text: str) -> int:
    """A whole number from 0 up, such as a seed, for argparse."""
    return _checked(text, int, "a whole number from 0 up", lambda value: 0 <= value <= HIGHEST_SEED)


def whole_numbers(text: str) -> tuple[int, ...]:
    """Whole numbers from 0 up separated by commas, each once, in order, for argparse."""
    return tuple(sorted({from_zero(word.strip()) for word in text.split(",")}))


def above_zero(text: str) -> float:
    """A number above 0, for argparse."""
    return _checked(text, float, "a number above 0", lambda value: value > 0)


def from_zero_float(text: str) -> float:
    """A number from 0 up, for argparse."""
    return _checked(text, float, "a number from 0 up", lambda value: value >= 0)


def number(text: str) -> float:
    """A finite number, for argparse."""
    return _checked(text, float, "a number", lambda value: True)


def _checked(text: str, kind: type, expected: str, fits: Callable[[float], bool]) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r}: {expected} was expected")
    return value


def new_parser(verb: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A verb's parser: description, examples below the options."""
    return argparse.ArgumentParser(
        prog=f"mpn {verb}",
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

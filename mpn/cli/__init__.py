"""The command line: each verb is a module that reads its arguments and makes one library call."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Sequence

from mpn.errors import MpnError

# verb: what it does, in a line of the help
VERBS = {
    "demo": "train, evaluate and score on the embedded demo set, in one go",
    "train": "train on a folder of normal footage",
    "evaluate": "figures on a labelled test set",
    "score": "score videos: when, where and how sure",
}
DONE, FAILED, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m mpn VERB ...`; the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verbs = "\n".join(f"  {verb:10} {text}" for verb, text in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="mpn",
        usage="python -m mpn VERB [options]   (python -m mpn VERB --help for each)",
        description="Video anomaly detection with the Meta Prototype Network.",
        epilog=f"verbs:\n{verbs}\n\nexample:\n  python -m mpn score video.mp4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB")
    if not arguments:
        parser.print_help()
        return DONE
    chosen = parser.parse_args(arguments[:1]).verb
    return run(chosen, arguments[1:])


def run(verb: str, arguments: Sequence[str] | None = None) -> int:
    """One verb with its arguments; the exit code. Errors are one line on stderr, a traceback with --debug."""
    module = importlib.import_module(f"mpn.cli.{verb}")
    parser: argparse.ArgumentParser = module.parser()
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser.add_argument("--threads", type=positive, help="processor threads (default: all)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    return guarded(module.main, options, parser)


def guarded(action: Callable[..., None], options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Runs a verb; what it raises becomes a line on stderr and an exit code."""
    try:
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        action(options)
        return DONE
    except KeyboardInterrupt:
        print("\ninterrupted; what was written so far is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has gone, as with `| head`
        sys.stderr.close()
        return DONE
    except MpnError as error:
        if options.debug:
            raise
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return FAILED


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number above 0 was expected")
    return value


def above_zero(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number above 0 was expected")
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

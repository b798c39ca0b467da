"""The processes of a training on the command line: their run folder, and each thing said once."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mpn.cli import FAILED, UsageError
from mpn.errors import MpnError
from mpn.io.locking import folder_lock
from mpn.training.distributed import FAILURES, ElsewhereError, Processes, restarts
from mpn.training.run_folder import STATE, check_folder

log = logging.getLogger(__name__)

# Seconds in which programs that those of an earlier start had started have ended too.
LAST_BREATH = 15.0


def hold_folder(options: argparse.Namespace, out: Path, first: Path, held: ExitStack) -> None:
    """Check the run folder, and hold it; after a restart by torchrun `options` say --resume.

    Args:
        options: of the verb.
        out: the run folder.
        first: that of what is trained first.
        held: as long as this.

    Raises:
        MpnError: it holds another run, or none to resume, or another program holds it.
    """
    restarted = restarts() > 0
    if restarted and any((folder / STATE).exists() for folder in (out, first)):
        log.info("torchrun has started the training anew: it goes on from the last state")
        options.resume = True
    if not options.resume:
        check_folder(out, False)
    check_folder(out if options.checkpoint else first, options.resume)
    held.enter_context(folder_lock(out, patience=LAST_BREATH if restarted else 0.0))


@contextmanager
def one_voice(processes: Processes) -> Iterator[None]:
    """Let one process tell what went wrong in a `with` block, with the usual exit code in all.

    Others than the first are silent (`mpn.cli.hush`) but for what they alone know.

    Args:
        processes: of the training.

    Raises:
        SystemExit: with the exit code of a failure, where another one tells.
    """
    try:
        yield
    except UsageError:  # the same in all
        raise
    except ElsewhereError:
        raise SystemExit(FAILED) from None
    except FAILURES as error:
        if not processes.takes_the_word():
            raise SystemExit(FAILED) from None
        if processes.first:
            raise
        _speak()
        raise MpnError(f"process {processes.rank} of {processes.count}: {error}") from error
    except Exception:  # a mistake of ours, with its traceback
        _speak()
        raise


def _speak() -> None:
    """Undo `mpn.cli.hush`."""
    sys.stderr = sys.__stderr__

"""Verbs of the command line, run inside the test's process."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpn.cli import run


@dataclass
class Outcome:
    """What a run of a verb left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """The line of a failed run: the only one of its kind, the last, without a traceback; exit
        code 1."""
        assert self.code == 1, (self.code, self.out, self.err)
        assert "Traceback" not in self.out + self.err
        lines = self.err.strip().splitlines()
        errors = [line for line in lines if line.startswith("mpn ")]
        assert len(errors) == 1 and lines[-1] == errors[0], self.err
        return errors[0]


def outcome_in(folder: Path, verb: str, *arguments: object) -> Outcome:
    """Run a verb in a folder, for what several tests look at."""
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        code = run(verb, [str(argument) for argument in arguments])
    root.handlers[:], root.level = before
    return Outcome(code, out.getvalue(), err.getvalue())

"""Runs a verb inside the test's process, in a folder of its own."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpn.cli import run
from tests.helpers.small_model import write_model, write_tree

TINY = ("--size", "32x48", "--channels", "4", "--epochs", "1", "--precision", "float32")
PLAIN = ("--precision", "float32", "--fps", "10")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


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


Cli = Callable[..., Outcome]


def outcome_in(folder: Path, verb: str, *arguments: object) -> Outcome:
    """Run a verb in a folder, for what several tests look at."""
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        code = run(verb, [str(argument) for argument in arguments])
    root.handlers[:], root.level = before
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """cli(verb, *arguments) -> Outcome, run in tmp_path."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def call(verb: str, *arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            code = run(verb, [str(argument) for argument in arguments])
        except SystemExit as error:
            code = error.code
        return Outcome(code, *capfd.readouterr())

    yield call
    root.handlers[:], root.level = before


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of `tests.helpers.small_model`; not to be changed."""
    return write_model(tmp_path_factory.mktemp("model") / "still.safetensors")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of `tests.helpers.small_model`; not to be changed."""
    return write_tree(tmp_path_factory.mktemp("data") / "street")

"""Runs a verb inside the test's process, in a folder of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mpn.cli import run
from tests.helpers.verbs import Outcome

TINY = ("--size", "32x48", "--channels", "4", "--epochs", "1", "--precision", "float32")
PLAIN = ("--precision", "float32", "--fps", "10")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


Cli = Callable[..., Outcome]


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


@pytest.fixture(scope="module", autouse=True)
def quick(coarse_flow: None, small_pictures: None) -> None:
    """What a verb does with motion and pictures is asked here, not what they show."""

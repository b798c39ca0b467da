"""The sign of life while libraries are loaded."""

from __future__ import annotations

import io
import sys
import time
from types import SimpleNamespace

import pytest

from mpn.cli import main, new_parser
from mpn.cli.starting import sign_of_life

SAID = "mpn score: starting ..."
SOON, NEVER = 0.0, 3600.0


class Terminal(io.StringIO):
    """A stream that says it is one, and what can be read on it."""

    def isatty(self) -> bool:
        return True

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + 20
        while text not in self.getvalue():
            assert time.monotonic() < end, self.getvalue()
            time.sleep(0.001)

    def lines(self) -> list[str]:
        """A carriage return goes back to the line's begin; what is written then covers the old."""
        found = []
        for line in self.getvalue().split("\n"):
            cells: list[str] = []
            for part in line.split("\r"):
                cells[: len(part)] = part
            found.append("".join(cells).rstrip())
        return found


def on_terminal(monkeypatch: pytest.MonkeyPatch, patience: float = SOON) -> Terminal:
    """Make stderr a terminal; within a test, for pytest sets it anew behind the fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("mpn.cli.starting.PATIENCE", patience)
    return terminal


def loading(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> Terminal:
    """Let the verb's module load until something was said on the terminal, then be there or not."""
    terminal = on_terminal(monkeypatch)
    verb = SimpleNamespace(
        parser=lambda: new_parser("score", "Scores.", "  mpn score a.mp4"),
        main=lambda options: print("it begins", file=sys.stderr),
    )

    def load(name: str) -> SimpleNamespace:
        terminal.wait_for(SAID)
        assert terminal.lines() == [SAID]
        if error:
            terminal.write("^C" * isinstance(error, KeyboardInterrupt))
            raise error
        return verb

    monkeypatch.setattr("mpn.cli.importlib.import_module", load)
    return terminal


def test_it_is_gone_when_the_verb_begins(monkeypatch) -> None:
    terminal = loading(monkeypatch)
    assert main(["score"]) == 0
    assert terminal.lines() == ["it begins", ""]


def test_help_leaves_nothing_of_it(monkeypatch, capsys) -> None:
    terminal = loading(monkeypatch)
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert terminal.lines() == [""] and "starting" not in capsys.readouterr().out


def test_wrong_use_stands_alone(monkeypatch) -> None:
    terminal = loading(monkeypatch)
    with pytest.raises(SystemExit):
        main(["score", "--nonsense"])
    assert terminal.lines()[0].startswith("usage: mpn score")
    assert not any("starting" in line for line in terminal.lines())


def test_ctrl_c_leaves_nothing_of_it(monkeypatch) -> None:
    terminal = loading(monkeypatch, KeyboardInterrupt())
    assert main(["score", "a.mp4"]) == 130
    assert terminal.lines() == ["", "interrupted; nothing was begun", ""]


def test_an_error_leaves_nothing_of_it(monkeypatch) -> None:
    terminal = loading(monkeypatch, ImportError("a broken library"))
    with pytest.raises(ImportError, match="a broken library"):
        main(["score", "a.mp4"])
    assert terminal.lines() == [""]


def test_what_is_quick_needs_no_word(monkeypatch) -> None:
    terminal = on_terminal(monkeypatch, NEVER)
    with sign_of_life("mpn score"):
        pass
    assert terminal.getvalue() == ""


def test_nothing_is_said_where_stderr_is_no_terminal(monkeypatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    with sign_of_life("mpn score"):
        time.sleep(0.05)
    assert terminal.getvalue() == ""


def test_a_terminal_that_was_closed_is_no_error(monkeypatch) -> None:
    def closed(text: str) -> int:
        tried.append(text)
        raise OSError(5, "Input/output error")

    terminal, tried = on_terminal(monkeypatch), list[str]()
    monkeypatch.setattr(terminal, "write", closed)
    with sign_of_life("mpn score"):
        end = time.monotonic() + 20
        while not tried and time.monotonic() < end:
            time.sleep(0.001)
    assert len(tried) == 2

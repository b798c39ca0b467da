"""How far a training is, where there is no terminal."""

from __future__ import annotations

import sys

import pytest

from mpn.cli.training_lines import INTERVAL, training_lines

LINE = {"step": 1200, "seconds": 90.0, "epoch": 2.46, "losses": {"frame": 0.00123456}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is; to be set. There is no terminal, wherever pytest writes to."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    return [100.0]


def test_a_line_a_minute(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tell = training_lines(lambda: clock[0])
    for seconds in (1.0, INTERVAL - 1, INTERVAL, INTERVAL + 1, 2 * INTERVAL):
        clock[0] = 100.0 + seconds
        tell(LINE)
    assert [record.getMessage() for record in caplog.records] == [
        "step 1,200 after 1.5 minutes, 2.5 epochs; frame 0.001235"
    ] * 2


def test_meta_training_has_no_epochs(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tell = training_lines(lambda: clock[0])
    clock[0] += INTERVAL
    tell({"step": 3, "seconds": 6.0, "before": 0.5, "after": 0.25})
    assert caplog.messages == ["step 3 after 0.1 minutes"]


def test_on_a_terminal_the_bar_says_it(
    clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    tell = training_lines(lambda: clock[0])
    clock[0] += INTERVAL
    tell(LINE)
    assert not caplog.records

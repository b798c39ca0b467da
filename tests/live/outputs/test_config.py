"""All outputs of a config, opened and closed together."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mpn.errors import DataError, MpnError
from mpn.live.outputs.config import (
    OutputsConfig,
    check_outputs,
    close_outputs,
    open_outputs,
)
from mpn.live.outputs.journal import JOURNAL, Journal
from mpn.live.outputs.page import Page
from mpn.live.outputs.webhook import Webhook
from mpn.live.status import Output
from tests.helpers.fake_cameras import alarm, status
from tests.live.outputs.asking import ask
from tests.live.outputs.conftest import Receiver, until

NOBODY = "http://127.0.0.1:9/"  # the port of discard


def config(**values: Any) -> OutputsConfig:
    return OutputsConfig.model_validate({"page": {"port": 0}, **values})


def one_of(outputs: list[Output], kind: type) -> Any:
    return next(one for one in outputs if isinstance(one, kind))


def test_an_alarm_goes_everywhere(receiver: Receiver, tmp_path: Path) -> None:
    said: list[str] = []
    wanted = config(webhooks=[{"url": receiver.url}, {"url": NOBODY}])
    outputs = open_outputs(wanted, tmp_path, announce=said.append)
    assert isinstance(outputs[0], Journal)
    page = one_of(outputs, Page)
    assert said == [f"page: {page.url}"]
    for output in outputs:
        output.alarm(alarm(1))
        output.status({"lobby": status()})
    until(lambda: receiver.got)
    figures = ask(page, "/metrics").text
    assert f'mpn_outbox_messages{{destination="webhook 2 {NOBODY[:-1]}"}} 1.0' in figures
    assert ask(page, "/alarms").json()["alarms"][0]["id"] == alarm(1).id
    for _ in range(2):  # the loop closes them, and so may who opened them
        close_outputs(outputs, 2)
    for output in outputs:  # what comes too late harms nobody
        output.alarm(alarm(2))
        output.status({"lobby": status()})
    assert (tmp_path / JOURNAL).read_text().count("\n") == 1


def test_what_waits_is_sent_to_its_own_destination_also_when_others_are_gone(
    receiver: Receiver, tmp_path: Path
) -> None:
    wanted = config(page=None, webhooks=[{"url": NOBODY}, {"url": f"{receiver.url}&b"}])
    receiver.answers = [500] * 1000
    outputs = open_outputs(wanted, tmp_path)
    outputs[2].alarm(alarm(1))
    outputs[3].alarm(alarm(2))
    close_outputs(outputs, 1)
    receiver.answers, receiver.got = [], []
    outputs = open_outputs(config(page=None, webhooks=[{"url": f"{receiver.url}&b"}]), tmp_path)
    until(lambda: not len(one_of(outputs, Webhook).outbox))
    close_outputs(outputs, 1)
    assert [alarm(2).id.encode() in body for _, body in receiver.got] == [True]


def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    before = threading.active_count()
    outputs = open_outputs(config(), tmp_path / "a", announce=lambda _: None)
    port = one_of(outputs, Page).port
    with pytest.raises(MpnError, match="give another port"):
        open_outputs(config(page={"port": port}, webhooks=[{"url": NOBODY}]), tmp_path / "b")
    close_outputs(outputs, 2)
    with pytest.raises(DataError, match="no variable MPN_NONE"):
        open_outputs(config(webhooks=[{"url": NOBODY, "secret_env": "MPN_NONE"}]), tmp_path / "c")
    until(lambda: threading.active_count() <= before)


def test_the_end_of_all_takes_no_longer_than_that_of_one(tmp_path: Path) -> None:
    class Slow:
        def close(self, seconds: float) -> None:
            time.sleep(seconds)

    started = time.monotonic()
    close_outputs([Slow() for _ in range(20)], 0.2)  # type: ignore[misc]
    assert time.monotonic() - started < 2


def test_events_of_an_earlier_run_are_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for said in (alarm(1), alarm(1, "end"), alarm(2)):
        journal.alarm(said)
    journal.close(5)
    outputs = open_outputs(config(), tmp_path, announce=lambda _: None)
    shown = ask(one_of(outputs, Page), "/alarms").json()["alarms"]
    close_outputs(outputs, 2)
    assert [(one["phase"], one.get("interrupted")) for one in shown] == [
        ("begin", None),
        ("end", None),
        ("end", True),
    ]


def test_what_outputs_need_and_do_not_find_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MPN_NOT_SET", raising=False)
    monkeypatch.setenv("MPN_SET", "x" * 20)
    asked = {
        "webhooks": [
            {"url": "http://127.0.0.1:1/a", "secret_env": "MPN_SET"},
            {"url": "http://127.0.0.1:1/b", "secret_env": "MPN_NOT_SET"},
        ],
        "mqtt": {"host": "a", "tls": True, "ca": str(tmp_path / "gone.pem")},
    }
    known, lines = check_outputs(asked)
    assert isinstance(known, OutputsConfig) and len(lines) == 2
    assert "webhooks.1" in lines[0] and "MPN_NOT_SET" in lines[0]
    assert "mqtt.ca" in lines[1] and "gone.pem" in lines[1]
    assert check_outputs({}) == (OutputsConfig(), [])
    # A file is looked for in the config's folder.
    (tmp_path / "own.pem").write_text("x")
    beside = {"mqtt": {"host": "a", "tls": True, "ca": "own.pem"}}
    known, lines = check_outputs(beside, tmp_path)
    assert known is not None and known.mqtt is not None and lines == []
    assert known.mqtt.ca == tmp_path / "own.pem"
    # Beside what is wrong in the same section, not only once that is mended.
    wrong, lines = check_outputs({**asked, "page": {"port": -1}, "fax": 1})
    places = [line.partition(": ")[0].removeprefix("outputs.") for line in lines]
    expected = ["page.port", "fax", "webhooks.1.secret_env", "mqtt.ca"]
    assert wrong is None and sorted(places) == sorted(expected)

"""Webhooks against a server that fails, hangs, refuses, redirects, goes away and comes back."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mpn.errors import DataError
from mpn.live.outputs.courier import Backoff
from mpn.live.outputs.settings import WebhookConfig
from mpn.live.outputs.webhook import Webhook, server_of, signature
from mpn.live.status import State
from tests.helpers.fake_cameras import alarm, status
from tests.live.outputs.conftest import Receiver, until

QUICK = Backoff(first=0.01, longest=0.05)
SECRET = "s3cret-of-the-hook"


def hook(receiver: Receiver, folder: Path, **config: Any) -> Webhook:
    known = {"url": receiver.url, "secret": SECRET, "timeout": 5.0}
    return Webhook(WebhookConfig(**(known | config)), folder, backoff=QUICK)


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in receiver.got]


def test_a_signature_worked_out_elsewhere() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
    expected = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    assert signature("key", "1700000000", b'{"a":1}') == f"sha256={expected}"


def test_an_alarm_arrives_signed(receiver: Receiver, tmp_path: Path) -> None:
    webhook = hook(receiver, tmp_path, headers={"Authorization": "Bearer abc"})
    before = time.time()
    webhook.alarm(alarm(1, camera="Büro"))
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    ((headers, body),) = receiver.got
    said = json.loads(body.decode())
    assert (said["kind"], said["camera"], said["phase"]) == ("event", "Büro", "begin")
    stamp = headers["X-Mpn-Timestamp"]
    assert before - 1 <= int(stamp) <= time.time()
    by_hand = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Mpn-Signature"] == f"sha256={by_hand}"
    assert headers["Authorization"] == "Bearer abc"
    assert headers["Content-Type"] == "application/json" and len(headers["X-Mpn-Delivery"]) == 32


def test_500_then_200(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [500, 503, 429, 408, 301]
    webhook = hook(receiver, tmp_path)
    webhook.alarm(alarm(1))
    webhook.alarm(alarm(2))
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    assert [said["id"] for said in bodies(receiver)] == [alarm(1).id] * 6 + [alarm(2).id]
    deliveries = [headers["X-Mpn-Delivery"] for headers, _ in receiver.got]
    assert len(set(deliveries[:6])) == 1 and deliveries[6] != deliveries[0]
    assert (webhook.outbox.delivered, webhook.outbox.dropped) == (2, 0)


@pytest.mark.parametrize("code", [400, 401, 404, 410, 422])
def test_what_is_refused_is_dropped_and_said_without_secrets(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [code]
    webhook = hook(receiver, tmp_path)
    webhook.alarm(alarm(1))
    webhook.alarm(alarm(2))
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    assert [said["id"] for said in bodies(receiver)] == [alarm(1).id, alarm(2).id]
    assert (webhook.outbox.delivered, webhook.outbox.dropped) == (1, 1)
    assert f"answered {code}" in caplog.text
    assert "topsecret" not in caplog.text and SECRET not in caplog.text


def test_a_redirect_is_not_followed_and_a_hint_given(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [302]
    webhook = hook(receiver, tmp_path)
    webhook.alarm(alarm(1))
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    assert len(receiver.got) == 2 and all(body for _, body in receiver.got)  # no GET between
    assert "redirect, which is not followed" in caplog.text


def test_a_server_that_hangs_is_given_up_and_asked_again(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [0]
    webhook = hook(receiver, tmp_path, timeout=0.2)
    started = time.monotonic()
    webhook.alarm(alarm(1))
    assert time.monotonic() - started < 0.1  # the loop does not wait
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    assert len(receiver.got) == 2 and "no answer within 0.2 s" in caplog.text


def test_a_wait_that_is_asked_for(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers, receiver.retry_after = [503], "1"
    webhook = Webhook(
        WebhookConfig(url=receiver.url), tmp_path, backoff=Backoff(first=0.01, longest=0.3)
    )
    started = time.monotonic()
    webhook.alarm(alarm(1))
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    assert 0.3 <= time.monotonic() - started < 3  # no longer than the longest of all waits
    assert "X-Mpn-Signature" not in receiver.got[0][0]


def test_what_is_sent_can_be_chosen(receiver: Receiver, tmp_path: Path) -> None:
    webhook = hook(receiver, tmp_path, send=["end", "state"], only_counting=True)
    webhook.status({"lobby": status(state=State.STARTING)})
    webhook.alarm(alarm(1))
    webhook.alarm(alarm(1, "end"))
    webhook.alarm(alarm(2, "end", counts=False))
    webhook.status({"lobby": status()})
    webhook.status({"lobby": status(score=9.0)})
    webhook.status({"lobby": status(state=State.COVERED, detail="no detail left")})
    webhook.status({"lobby": status(state=State.COVERED, detail="no detail at all")})
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    kinds = [(said["kind"], said.get("phase") or said.get("state")) for said in bodies(receiver)]
    assert kinds == [("event", "end"), ("state", "watching"), ("state", "covered")]
    assert bodies(receiver)[2]["detail"] == "no detail left"


def test_nobody_there_then_a_restart_and_a_server(receiver: Receiver, tmp_path: Path) -> None:
    port = int(receiver.server_address[1])
    receiver.stop()
    webhook = hook(receiver, tmp_path)
    for number in range(3):
        webhook.alarm(alarm(number))
    webhook.close(0.2)
    again = Receiver(port)
    webhook = hook(again, tmp_path)
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    assert [said["id"] for said in bodies(again)] == [alarm(number).id for number in range(3)]
    again.stop()


WATCHER = """
import sys
from pathlib import Path
from mpn.live.outputs.courier import Backoff
from mpn.live.outputs.settings import WebhookConfig
from mpn.live.outputs.webhook import Webhook
from tests.helpers.fake_cameras import alarm
hook = Webhook(WebhookConfig(url=sys.argv[1]), Path(sys.argv[2]), backoff=Backoff(0.01, 0.02))
for number in range(int(sys.argv[3]), int(sys.argv[3]) + 40):
    hook.alarm(alarm(number))
    print(number, flush=True)
sys.stdin.read()
"""


def test_killed_while_it_sends_nothing_is_lost(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [200, 500, 200, 200, 0]  # the fifth gets no answer: it is killed meanwhile
    command = [sys.executable, "-c", WATCHER, receiver.url, str(tmp_path), "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdout is not None
        taken = [int(watcher.stdout.readline()) for _ in range(40)]
        until(lambda: len(receiver.got) >= 5)
        watcher.send_signal(signal.SIGKILL)
    assert taken == list(range(40))
    webhook = hook(receiver, tmp_path)
    until(lambda: not len(webhook.outbox))
    webhook.close(1)
    order = list(dict.fromkeys(said["id"] for said in bodies(receiver)))
    assert order == [alarm(number).id for number in range(40)]
    copies = {headers["X-Mpn-Delivery"] for headers, _ in receiver.got}
    assert len(copies) == 40 and len(receiver.got) <= 43  # 500, the kill: twice, as the same


def test_an_address_in_the_log_is_its_server_alone() -> None:
    assert server_of("https://hooks.example.org/T0/secret?key=1") == "https://hooks.example.org"
    assert server_of("http://127.0.0.1:80/x") == "http://127.0.0.1:80"


def test_what_the_environment_and_files_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    with pytest.raises(DataError, match="no variable HOOK"):
        Webhook(WebhookConfig(url="http://127.0.0.1:9", secret_env="HOOK"), tmp_path)
    with pytest.raises(DataError, match="PEM file"):
        Webhook(WebhookConfig(url="https://127.0.0.1:9", ca=tmp_path / "none.pem"), tmp_path)

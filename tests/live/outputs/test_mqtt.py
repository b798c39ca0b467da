"""MQTT against a real broker on loopback: killed, started again, refusing, with Home Assistant."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from mpn.errors import DataError
from mpn.live.outputs.courier import Backoff
from mpn.live.outputs.home_assistant import announcements, topic_name
from mpn.live.outputs.mqtt import Mqtt
from mpn.live.outputs.settings import MqttConfig
from mpn.live.status import State
from tests.helpers.fake_cameras import alarm, status, with_files
from tests.live.outputs.conftest import until

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
QUICK = Backoff(first=0.05, longest=0.1)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Broker:
    """A mosquitto that can be killed and started again on its port; it keeps nothing on disk."""

    def __init__(self, folder: Path, more: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\n{more}\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self.answers)

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Listener:
    """Hears all that is published."""

    def __init__(self, broker: Broker) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _, __, m: self.got.append((m.topic, m.payload, m.retain))
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.hears = threading.Event()
        self.client.on_subscribe = lambda *_: self.hears.set()
        self.client.on_disconnect = lambda *_: self.hears.clear()
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def of(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.got) if name == topic]

    def last(self, topic: str) -> bytes | None:
        return (self.of(topic) or [None])[-1]

    def events(self, camera: str = "lobby") -> list[tuple[str, str]]:
        said = map(json.loads, self.of(f"mpn/{camera}/events"))
        return [(one["id"], one["phase"]) for one in said]

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    own = Broker(tmp_path)
    own.start()
    yield own
    own.kill()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    own = Listener(broker)
    yield own
    own.stop()


def output(broker: Broker, folder: Path, **config: Any) -> Mqtt:
    own = Mqtt(MqttConfig(host="127.0.0.1", port=broker.port, **config), folder, backoff=QUICK)
    own._client.reconnect_delay_set(1, 1)
    return own


@needs_broker
def test_states_are_retained_and_the_end_is_told(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    mqtt = output(broker, tmp_path / "box")
    mqtt.status({"lobby": status(score=1.23456789), "Hof 2": status("Hof 2")})
    until(lambda: listener.last("mpn/lobby/status"))
    late = Listener(broker)  # what is retained is there for who comes later
    yard = f"mpn/{topic_name('Hof 2')}"
    until(lambda: late.last(f"{yard}/event") and late.last("mpn/lobby/status"))
    said = json.loads(late.last("mpn/lobby/status") or b"")
    assert (said["state"], said["score"], said["fps"]) == ("watching", 1.2346, 9.94)
    assert "recent" not in said and "10.0.0.7" in said["source"]
    assert late.last("mpn/availability") == b"online" and late.last("mpn/lobby/event") == b"OFF"
    assert all(retained for _, _, retained in late.got)
    mqtt.close(3)
    until(lambda: late.last("mpn/availability") == b"offline")
    late.stop()
    assert not mqtt._client.is_connected()


@needs_broker
def test_scores_come_now_and_then_and_a_state_at_once(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    mqtt = output(broker, tmp_path / "box", every=3600)
    for score in range(20):
        mqtt.status({"lobby": status(score=float(score))})
    mqtt.status({"lobby": status(state=State.FROZEN)})
    until(lambda: b'"frozen"' in (listener.last("mpn/lobby/status") or b""))
    mqtt.close(3)
    assert len(listener.of("mpn/lobby/status")) <= 2


@needs_broker
def test_an_event_from_its_beginning_to_its_end(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    mqtt = output(broker, tmp_path / "box")
    mqtt.status({"lobby": status()})
    begun = with_files(alarm(1), tmp_path / "out", seed=1)
    mqtt.alarm(begun)
    until(lambda: listener.last("mpn/lobby/event") == b"ON")
    assert begun.snapshot is not None
    until(lambda: listener.last("mpn/lobby/snapshot") == begun.snapshot.read_bytes())
    mqtt.alarm(alarm(2, counts=False))
    first = begun.snapshot.read_bytes()
    over = replace(with_files(alarm(1), tmp_path / "out", seed=2), phase="end")  # another picture
    mqtt.alarm(over)
    until(lambda: listener.last("mpn/lobby/event") == b"OFF")
    until(lambda: len(listener.events()) == 3)
    until(lambda: listener.last("mpn/lobby/snapshot") not in (None, first))
    mqtt.close(3)
    ids = [(alarm(1).id, "begin"), (alarm(2).id, "begin"), (alarm(1).id, "end")]
    assert listener.events() == ids
    latest = json.loads(listener.last("mpn/lobby/latest") or b"")
    assert latest["reason"]["sentence"].startswith("moves right") and "tracks" not in latest


@needs_broker
def test_the_broker_is_killed_and_comes_back(
    broker: Broker,
    listener: Listener,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mqtt = output(broker, tmp_path / "box")
    mqtt.status({"lobby": status()})
    mqtt.alarm(alarm(0))
    until(lambda: len(listener.events()) == 1 and not len(mqtt.outbox))
    broker.kill()
    until(lambda: not mqtt._client.is_connected() and not listener.hears.is_set())
    reconnect = mqtt._client.reconnect

    def once_it_is_heard() -> object:
        """Come back after the listener: a broker keeps nothing for who was not there."""
        if not listener.hears.is_set():
            raise OSError("not yet")
        return reconnect()

    monkeypatch.setattr(mqtt._client, "reconnect", once_it_is_heard)
    for number in range(1, 6):
        mqtt.alarm(alarm(number, "begin"))
        mqtt.alarm(alarm(number, "end"))
    mqtt.alarm(alarm(0, "end"))
    assert len(mqtt.outbox) >= 10 and len(list((tmp_path / "box").iterdir())) >= 10
    listener.got.clear()
    broker.start()
    until(lambda: not len(mqtt.outbox) and len(listener.events()) >= 11, 15)
    # In order, and of an event that is over by now no ON.
    expected = [(alarm(n).id, phase) for n in range(1, 6) for phase in ("begin", "end")]
    assert listener.events() == [*expected, (alarm(0).id, "end")]
    until(lambda: listener.last("mpn/lobby/event") == b"OFF")
    assert b"ON" not in listener.of("mpn/lobby/event")
    # The broker has forgotten all that was retained: it is told again.
    until(lambda: listener.last("mpn/availability") == b"online")
    until(lambda: listener.last("homeassistant/sensor/mpn_lobby/score/config"))
    mqtt.close(3)
    said = [record.message for record in caplog.records]
    (again,) = [line for line in said if "delivers again" in line]
    tries = int(again.rpartition("after ")[2].split()[0])
    # However long it takes: the first try, the second, the fourth, the eighth ... are told.
    assert 1 <= sum("not delivered" in line for line in said) <= 1 + math.log2(tries)
    lost, unreachable = (sum(w in line for line in said) for w in ("lost", "cannot be reached"))
    assert lost == 1 and unreachable <= 1  # none, where the first attempt to come back succeeds


@needs_broker
def test_a_restart_without_the_broker(broker: Broker, tmp_path: Path) -> None:
    broker.kill()
    mqtt = output(broker, tmp_path / "box")
    mqtt.alarm(alarm(1))
    started = time.monotonic()
    mqtt.close(1)
    assert time.monotonic() - started < 2.5
    broker.start()
    listener = Listener(broker)
    until(listener.client.is_connected)
    time.sleep(0.05)
    mqtt = output(broker, tmp_path / "box")
    until(lambda: listener.events() == [(alarm(1).id, "begin")])
    mqtt.close(3)
    listener.stop()


@needs_broker
def test_who_ends_without_a_word_is_told_to_be_offline(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    mqtt = output(broker, tmp_path / "box")
    until(lambda: listener.last("mpn/availability") == b"online")
    # As a kill does it: the connection ends without a DISCONNECT.
    mqtt._client._reconnect_on_failure = False
    mqtt._client.socket().shutdown(socket.SHUT_RDWR)
    until(lambda: listener.last("mpn/availability") == b"offline")
    mqtt.close(1)


@needs_broker
def test_home_assistant_that_starts_is_told_of_the_cameras_again(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    mqtt = output(broker, tmp_path / "box")
    mqtt.status({"lobby": status()})
    topic = "homeassistant/binary_sensor/mpn_lobby/event/config"
    until(lambda: listener.of(topic))
    listener.client.publish("homeassistant/status", b"online")
    until(lambda: len(listener.of(topic)) == 2)
    mqtt.close(3)


@needs_broker
def test_a_password_that_is_refused_is_said_once_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    own = Broker(tmp_path, "allow_anonymous false")
    own.start()
    mqtt = output(own, tmp_path / "box", user="mpn", password="pw-of-the-broker")
    try:
        mqtt.alarm(alarm(1))
        until(lambda: "refused" in caplog.text)
    finally:
        mqtt.close(0.2)
        own.kill()
    assert "pw-of-the-broker" not in caplog.text and len(mqtt.outbox) == 1
    assert caplog.text.lower().count("not authorized") == 1


def test_a_refusal_is_said_once_however_often_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker says no, and then hangs up, which is no news."""
    tries = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    link, _ = server.accept()
                    link.recv(1000)
                    link.sendall(bytes([0x20, 2, 0, 5]))  # CONNACK: not authorized
                    link.close()
                    tries.append(link)

        threading.Thread(target=refuse, daemon=True).start()
        port = server.getsockname()[1]
        mqtt = Mqtt(MqttConfig(host="127.0.0.1", port=port), tmp_path / "box", QUICK)
        try:
            until(lambda: len(tries) > 2, 15)
        finally:
            mqtt.close(0.2)
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1 and "refused: Not authorized" in said[0]


def test_why_a_broker_cannot_be_reached_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = MqttConfig(host="127.0.0.1", port=free_port())
    mqtt = Mqtt(config, tmp_path / "box", QUICK)
    try:
        until(lambda: "cannot be reached (Connection refused)" in caplog.text)
    finally:
        mqtt.close(0.2)
    error = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED")
    error.verify_message = "self-signed certificate"
    try:  # as paho calls it
        raise error
    except OSError:
        mqtt._on_connect_fail(mqtt._client, None)
    trust = "its certificate is not trusted: self-signed certificate; `ca` names who signed it"
    assert f"cannot be reached ({trust})" in caplog.text


def test_what_home_assistant_is_told() -> None:
    config = MqttConfig(host="b", topic="house/mpn")
    said = dict(announcements(config, "Hof 2"))
    assert len(said) == 5
    own = topic_name("Hof 2")
    kinds = {topic.split("/")[1]: values for topic, values in said.items()}
    assert set(kinds) == {"binary_sensor", "sensor", "camera"}
    assert kinds["binary_sensor"]["state_topic"] == f"house/mpn/{own}/event"
    assert kinds["camera"]["topic"] == f"house/mpn/{own}/snapshot"
    assert all(values["availability_topic"] == "house/mpn/availability" for values in said.values())
    devices = {json.dumps(values["device"]) for values in said.values()}
    assert len(devices) == 1 and '"name": "Hof 2"' in devices.pop()
    assert len({values["unique_id"] for values in said.values()}) == 5
    for topic in said:
        # https://www.home-assistant.io/integrations/mqtt/#discovery-topic
        prefix, component, node, thing, end = topic.split("/")
        assert (prefix, end) == ("homeassistant", "config") and component
        assert all(c.isascii() and (c.isalnum() or c in "_-") for c in node + thing)
    assert not dict(announcements(config.model_copy(update={"snapshots": False}), "a")).keys() & {
        "homeassistant/camera/house_mpn_a/snapshot/config"
    }


def test_names_of_cameras_in_topics_do_not_meet() -> None:
    names = ["lobby", "Lobby", "hall 1", "hall/1", "hall_1", "hall+1", "hall#1", "ä", "ö", "日本"]
    found = [topic_name(name) for name in names]
    assert len(set(found)) == len(names) and found[0] == "lobby"
    assert not set("".join(found)) & set("+#/ $")


def test_what_is_missing_is_said_before_anything_opens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no variable MPN_NONE"):
        Mqtt(MqttConfig(host="b", user="u", password_env="MPN_NONE"), tmp_path)
    with pytest.raises(DataError, match="give a PEM file"):
        Mqtt(MqttConfig(host="b", tls=True, ca=tmp_path / "none"), tmp_path)

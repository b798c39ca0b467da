"""Events and states to an MQTT broker, QoS 1; cameras as devices of Home Assistant.

States are retained, and only the latest of each counts: after a time without the broker it is sent
once. Events are messages that wait in the outbox until the broker has acknowledged them.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from mpn.errors import DataError
from mpn.io.text import json_text
from mpn.live.outputs.courier import Backoff, Courier, LaterError
from mpn.live.outputs.home_assistant import (
    BIRTH,
    OFF,
    ON,
    Topics,
    announcements,
    availability_topic,
)
from mpn.live.outputs.journal import status_dict
from mpn.live.outputs.outbox import Message, Outbox
from mpn.live.outputs.settings import MqttConfig, secret_of
from mpn.live.status import Alarm, CameraStatus

log = logging.getLogger(__name__)

QOS = 1
ACKNOWLEDGED_SECONDS = 10.0  # for a message's acknowledgement
LONGEST_RECONNECT = 60  # seconds between two tries
MAX_IN_PAHO = 1000  # messages under way; more wait here
RETRY_SECONDS = 1.0
REFUSED = "refused"  # how a trouble begins that the broker has said itself
SNAPSHOT_BYTES = 4_000_000  # no larger picture is published


class Retained:
    """The latest of each retained topic, published in a thread of its own.

    Args:
        mqtt: publishes them.
    """

    def __init__(self, mqtt: Mqtt) -> None:
        self._mqtt = mqtt
        self._changed = Condition()
        self._values: dict[str, bytes | Path] = {}
        self._dirty: dict[str, None] = {}  # in the order in which they changed
        self._closing = False
        self._thread = Thread(target=self._run, name="mpn mqtt states", daemon=True)
        self._thread.start()

    def set(self, topic: str, value: bytes | Path) -> None:
        """Set what a topic says from now on; nothing is sent where it says so already."""
        with self._changed:
            # (a picture of the same name may be another one by now)
            if self._values.get(topic) != value or isinstance(value, Path):
                self._values[topic] = value
                self._dirty[topic] = None
                self._changed.notify()

    def again(self) -> None:
        """Publish all topics once more: the broker, or who listens there, has begun anew."""
        with self._changed:
            self._dirty = dict.fromkeys(self._values)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """End, once what has changed is published or the time is over."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._dirty and not self._closing:
                    self._changed.wait()
                work = [(topic, self._values[topic]) for topic in self._dirty]
                self._dirty.clear()
                closing = self._closing
            left = [topic for topic, value in work if not self._published(topic, value)]
            if closing:
                return
            if left:
                with self._changed:
                    self._dirty = dict.fromkeys([*left, *self._dirty])
                    self._changed.wait(RETRY_SECONDS)

    def _published(self, topic: str, value: bytes | Path) -> bool:
        """Publish a topic, and live on whatever comes of it."""
        try:
            return self._publish(topic, value)
        except Exception:
            log.exception("%s: %s was not published", self._mqtt.name, topic)
            return True

    def _publish(self, topic: str, value: bytes | Path) -> bool:
        """Publish a topic; True also where its picture is gone, and nothing is left to publish."""
        if isinstance(value, Path):
            try:
                with value.open("rb") as file:
                    payload = file.read(SNAPSHOT_BYTES + 1)
            except OSError:
                return True
            if len(payload) > SNAPSHOT_BYTES:
                return True
        else:
            payload = value
        return self._mqtt.publish(topic, payload, retain=True) is not None


class Mqtt:
    """Tells a broker of alarms and states.

    Args:
        config: of the broker.
        folder: of the messages that wait.
        backoff: between tries of a message.

    Attributes:
        outbox: the events that wait.

    Raises:
        DataError: the password's variable is not set, or the authority's file cannot be read.
        MpnError: the folder cannot be used.
    """

    def __init__(self, config: MqttConfig, folder: Path, backoff: Backoff | None = None) -> None:
        self.config = config
        port = config.port or (8883 if config.tls else 1883)
        self.name = f"mqtt {config.host}:{port}"
        self._client = self._make_client(folder)
        self.outbox = Outbox(folder, config.queue, self.name)
        self._going_on: dict[str, set[str]] = {}  # camera -> alarms that count and are not over
        # camera -> when and what state was set last
        self._last_states: dict[str, tuple[float, Any]] = {}
        self._lock = Lock()
        self._trouble = ""
        self._closed = False
        # Not a lock: paho calls back while it holds one of its own, which `publish` takes too.
        self._acknowledged: dict[int, None] = {}  # changed by paho's thread alone
        self._acknowledgement = Event()
        self._pending: tuple[str, int] | None = None  # message and its number at paho
        self._retained = Retained(self)
        self._courier = Courier(self.outbox, self._deliver, backoff or Backoff(longest=60))
        self._courier.start()
        self._client.connect_async(config.host, port, config.keepalive)
        self._client.loop_start()

    def _make_client(self, folder: Path) -> paho.Client:
        config = self.config
        identity = f"{socket.gethostname()} {folder.resolve()}"
        made = f"mpn-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=config.client_id or made)
        if config.user is not None:
            password = secret_of(config.password, config.password_env, self.name)
            client.username_pw_set(config.user, password)
        if config.tls:
            try:
                client.tls_set(ca_certs=str(config.ca) if config.ca else None)
            except OSError as error:
                raise DataError(
                    f"{self.name}: ca {config.ca} cannot be read ({error}); give a PEM file"
                ) from error
        client.will_set(availability_topic(config.topic), "offline", qos=QOS, retain=True)
        client.reconnect_delay_set(1, LONGEST_RECONNECT)
        client.max_queued_messages_set(MAX_IN_PAHO)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    # --- What the loop says

    def alarm(self, alarm: Alarm) -> None:
        """Put an alarm into the outbox, and set its camera's event."""
        topics = Topics.of(self.config.topic, alarm.camera)
        values = alarm.to_dict()
        self.outbox.put({"topic": topics.events, "event": values})
        self._courier.wake()
        with self._lock:
            going_on = self._going_on.setdefault(alarm.camera, set())
            if alarm.phase != "begin":
                going_on.discard(alarm.id)
            elif alarm.fields.get("counts") is not False:
                going_on.add(alarm.id)
            on = bool(going_on)
        # (tracks can be long, and Home Assistant keeps attributes in its database)
        latest = {name: value for name, value in values.items() if name != "tracks"}
        self._retained.set(topics.latest, json_text(latest).encode())
        if self.config.snapshots and alarm.snapshot is not None:
            self._retained.set(topics.snapshot, alarm.snapshot)
        self._retained.set(topics.event, (ON if on else OFF).encode())

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Set the cameras' states: at once where one changed, else its score now and then."""
        now = time.monotonic()
        for name, status in cameras.items():
            kind = (status.state, status.detail, status.alarms_from, status.threshold)
            last = self._last_states.get(name)
            if last is None:
                self._announce(name)
            elif last[1] == kind and now - last[0] < self.config.every:
                continue
            self._last_states[name] = (now, kind)
            topic = Topics.of(self.config.topic, name).status
            self._retained.set(topic, json_text(_rounded(status)).encode())

    def close(self, seconds: float) -> None:
        """Send what can be sent within so many seconds, say offline, and go; once."""
        if self._closed:
            return
        self._closed = True
        end = time.monotonic() + seconds
        connected = self._client.is_connected()
        self._courier.close(seconds / 2 if connected else 0.0)
        self._retained.close(max(0.0, end - time.monotonic()))
        if connected:
            number = self.publish(availability_topic(self.config.topic), b"offline", retain=True)
            self._wait_for(number, end)
        self._client.disconnect()
        # `loop_stop` waits for a broker that does not answer, as long as that takes.
        stop = Thread(target=self._client.loop_stop, name="mpn mqtt end", daemon=True)
        stop.start()
        stop.join(max(0.0, end - time.monotonic()))

    def _announce(self, camera: str) -> None:
        """Set what is said of a camera once."""
        if self.config.home_assistant:
            for topic, values in announcements(self.config, camera):
                self._retained.set(topic, json_text(values).encode())
        with self._lock:
            on = bool(self._going_on.get(camera))
        topic = Topics.of(self.config.topic, camera).event
        self._retained.set(topic, (ON if on else OFF).encode())

    # --- What goes to the broker

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int | None:
        """Publish if the broker is there.

        Args:
            topic: of the message.
            payload: of the message.
            retain: whether the broker keeps it.

        Returns:
            The message's number at paho, None where it was not taken.
        """
        if not self._client.is_connected():
            return None
        info = self._client.publish(topic, payload, qos=QOS, retain=retain)
        return None if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else info.mid

    def _deliver(self, message: Message) -> None:
        """Publish an event; returns when the broker has acknowledged it."""
        # What paho has taken it sends itself after a new connection: once more would be twice.
        if self._pending is None or self._pending[0] != message.id:
            topic, event = message.content["topic"], message.content["event"]
            number = self.publish(topic, json_text(event).encode(), retain=False)
            if number is None:
                raise LaterError("not connected")
            self._pending = (message.id, number)
        if not self._wait_for(self._pending[1], time.monotonic() + ACKNOWLEDGED_SECONDS):
            raise LaterError(f"not acknowledged within {ACKNOWLEDGED_SECONDS:g} s")
        self._pending = None

    def _wait_for(self, number: int | None, end: float) -> bool:
        """Wait for an acknowledgement up to a moment (monotonic seconds)."""
        while number is not None and number not in self._acknowledged:
            self._acknowledgement.clear()
            if number in self._acknowledged:
                break
            # Looked at twice a second: another waiting thread may have cleared what was for this.
            self._acknowledgement.wait(min(0.5, max(0.0, end - time.monotonic())))
            if time.monotonic() >= end:
                return number in self._acknowledged
        return number is not None

    # --- What paho says, in its thread

    def _on_connect(self, client: paho.Client, _: Any, __: Any, code: Any, ___: Any) -> None:
        if code.is_failure:
            return self._say_trouble(f"{REFUSED}: {code}")
        log.log(
            logging.WARNING if self._trouble else logging.INFO,
            "%s: connected",
            self.name,
        )
        self._trouble = ""
        if self.config.home_assistant:
            client.subscribe(f"{self.config.discovery}/status", QOS)
        self._retained.set(availability_topic(self.config.topic), b"online")
        self._retained.again()
        return self._courier.wake(again=True)

    def _on_connect_fail(self, _: paho.Client, __: Any) -> None:
        # paho doesn't say why, but calls while it handles the error.
        error = sys.exc_info()[1]
        reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {reason}; `ca` names who signed it"
        self._say_trouble(f"cannot be reached ({reason})" if reason else "cannot be reached")

    def _on_disconnect(self, _: paho.Client, __: Any, ___: Any, code: Any, ____: Any) -> None:
        # A broker that has refused hangs up, at each try: what it said is the trouble.
        if code.is_failure and not self._trouble.startswith(REFUSED):
            self._say_trouble(f"connection lost: {code}")

    def _say_trouble(self, trouble: str) -> None:
        """Say what is wrong once, not at each try."""
        if trouble != self._trouble:
            log.warning("%s: %s; tried again, events wait on disk", self.name, trouble)
        self._trouble = trouble

    def _on_publish(self, _: paho.Client, __: Any, number: int, code: Any, ____: Any) -> None:
        self._acknowledged[number] = None
        while len(self._acknowledged) > 2 * MAX_IN_PAHO:
            del self._acknowledged[next(iter(self._acknowledged))]
        self._acknowledgement.set()

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        """Announce the cameras again to a Home Assistant that has just started."""
        if message.payload == BIRTH.encode():
            self._retained.again()


def _rounded(status: CameraStatus) -> dict[str, Any]:
    """Return a status with numbers that people read."""
    values = status_dict(status)
    digits = {"score": 4, "threshold": 4, "fps": 2, "lag": 3}
    for name, places in digits.items():
        if values[name] is not None:
            values[name] = round(values[name], places)
    return values

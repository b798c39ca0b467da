"""Events as POSTs of JSON to a server, signed.

Headers of a request:

    Content-Type       application/json
    X-Mpn-Delivery     the message's id, the same at every try
    X-Mpn-Timestamp    Unix seconds of this try
    X-Mpn-Signature    sha256=HEX, HMAC-SHA256 of "TIMESTAMP.BODY" by the secret

An answer of 2xx acknowledges the message; 4xx drops it, but for 408 and 429; anything else, and
no answer, is tried again. Redirects are not followed: they could lead a secret elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from mpn.errors import DataError
from mpn.io.text import json_text
from mpn.live.outputs.courier import Backoff, Courier, LaterError, RefusedError
from mpn.live.outputs.outbox import Message, Outbox
from mpn.live.outputs.settings import WebhookConfig, secret_of
from mpn.live.status import Alarm, CameraStatus, State
from mpn.version import __version__

AGAIN = (408, 429)  # of 4xx: not the message's fault
ANSWER_BYTES = 4096  # of an answer that are read


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Sign a request.

    Args:
        secret: that both sides know.
        timestamp: the value of X-Mpn-Timestamp.
        body: of the request.

    Returns:
        The value of X-Mpn-Signature.
    """
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def server_of(url: str) -> str:
    """Name the server of an address: no path or query, which may hold what nobody may read."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def _opener(ca: Path | None) -> OpenerDirector:
    """Make what sends requests: http and https alone, by the environment's proxies."""
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise DataError(
            f"webhook: ca {ca} cannot be read ({error}): a PEM file was expected"
        ) from error
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(context=context),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class Webhook:
    """Tells a server of alarms, and of states where that is asked for.

    Args:
        config: of the server.
        folder: of the messages that wait.
        name: for the log and the metrics; of its server if None.
        backoff: between tries.

    Raises:
        DataError: the secret's variable is not set, or the authority's file cannot be read.
        MpnError: the folder cannot be used.
    """

    def __init__(
        self,
        config: WebhookConfig,
        folder: Path,
        name: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.config, self.name = config, name or f"webhook {server_of(config.url)}"
        self._secret = secret_of(config.secret, config.secret_env, self.name)
        self._opener = _opener(config.ca)
        self._states: dict[str, State] = {}
        self.outbox = Outbox(folder, config.queue, self.name)
        self._courier = Courier(self.outbox, self._deliver, backoff)
        self._courier.start()

    def alarm(self, alarm: Alarm) -> None:
        """Put an alarm into the outbox."""
        if alarm.phase not in self.config.send:
            return
        if self.config.only_counting and alarm.fields.get("counts") is False:
            return
        self.outbox.put({"kind": "event", **alarm.to_dict()})
        self._courier.wake()

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Put a camera's state into the outbox where it has changed."""
        if "state" not in self.config.send:
            return
        for name, status in cameras.items():
            before = self._states.get(name)
            self._states[name] = status.state
            # A camera that comes up as it should is no news.
            if before is status.state or (before is None and status.state is State.STARTING):
                continue
            values = {"camera": name, "state": status.state.value, "detail": status.detail}
            self.outbox.put({"kind": "state", **values, "since": status.since})
            self._courier.wake()

    def close(self, seconds: float) -> None:
        """Send what can be sent within so many seconds; the rest waits for the next start."""
        self._courier.close(seconds)

    def _request(self, message: Message) -> Request:
        body = json_text(message.content, ensure_ascii=False).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"mpn/{__version__}",
            **{name: value.get_secret_value() for name, value in self.config.headers.items()},
            "X-Mpn-Delivery": message.id,
            "X-Mpn-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["X-Mpn-Signature"] = signature(self._secret, timestamp, body)
        return Request(self.config.url, body, headers, method="POST")

    def _deliver(self, message: Message) -> None:
        """Send a message once; returns when it is acknowledged."""
        try:
            answer = self._opener.open(self._request(message), timeout=self.config.timeout)
            with answer, suppress(OSError, http.client.HTTPException):
                answer.read(ANSWER_BYTES)  # it is acknowledged already
        except HTTPError as error:
            with error:
                reason, retry_after = f"answered {error.code}", error.headers.get("Retry-After", "")
            if 400 <= error.code < 500 and error.code not in AGAIN:
                raise RefusedError(reason) from None
            if 300 <= error.code < 400:
                reason += ", a redirect, which is not followed: give its target as url"
            seconds = (
                float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None
            )
            raise LaterError(reason, seconds) from None
        except TimeoutError:
            raise LaterError(f"no answer within {self.config.timeout:g} s") from None
        except URLError as error:
            raise LaterError(str(error.reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise LaterError(type(error).__name__) from None

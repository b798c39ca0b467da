"""What the tests of the page ask its server, over real connections."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import Message
from itertools import islice
from typing import Any, NamedTuple

from mpn.errors import DataError
from mpn.live.outputs.page import Page

TOKEN = "a-token-of-the-tests"
NO_HOST = "127.0.0.1"


class Teacher:
    def __init__(self) -> None:
        self.lessons: list[tuple[str, str | None]] = []

    def __call__(self, alarm: str, name: str | None) -> str:
        if name == "ghost":
            raise DataError("there are no ghosts")
        self.lessons.append((alarm, name))
        return f"Taught: {name or 'normal here'}"


class Answer(NamedTuple):
    status: int
    headers: Message
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


def line_to(page: Page) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)


def ask(
    page: Page,
    path: str = "/",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
) -> Answer:
    with closing(line_to(page)) as line:
        line.request(method, path, content, headers or {})
        answer = line.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def teach(page: Page, body: Any, **headers: str | None) -> Any:
    own = {
        "Origin": f"http://127.0.0.1:{page.port}",
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name: value for name, value in own.items() if value is not None}
    return ask(page, "/teach", "POST", content=content, headers=sent)


def raw(page: Page, request: bytes) -> bytes:
    """What comes back for exactly these bytes."""
    with socket.create_connection(("127.0.0.1", page.port), 10) as line:
        line.sendall(request)
        line.settimeout(10)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return answer


@contextmanager
def streaming(page: Page, **headers: str) -> Iterator[Iterator[tuple[str, str | None, Any]]]:
    """The stream's events as they come: kind, id, values."""
    line = line_to(page)
    line.request("GET", "/events", headers=headers)
    answer = line.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")

    def read() -> Iterator[tuple[str, str | None, Any]]:
        fields: dict[str, str] = {}
        while text := answer.readline().decode():
            if text.strip():
                name, _, value = text.strip().partition(": ")
                fields[name] = value
            elif "event" in fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
                fields = {}

    yield read()
    answer.close()
    line.close()


def events(page: Page, count: int, **headers: str) -> list[tuple[str, str | None, Any]]:
    """The first events of the stream."""
    with streaming(page, **headers) as found:
        return list(islice(found, count))

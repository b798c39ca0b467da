"""What the tests of outputs share: a receiver of webhooks, waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from mpn.live.outputs.metrics import Metrics
from mpn.live.outputs.page import Page
from mpn.live.outputs.settings import PageConfig


def until(true: Callable[[], object], seconds: float = 8.0) -> None:
    """Waits for something to be true."""
    last = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < last, "still not so"
        time.sleep(0.01)


class Receiver(ThreadingHTTPServer):
    """A server that answers posts as it is told, and keeps them.

    Attributes:
        answers: statuses of the next posts; then 200. 0: no answer, while the test lasts.
        got: headers and body of each post, in order.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.over = Event()
        self.retry_after: str | None = None
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook?key=topsecret"
        self._thread = Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers.items()), body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 0:
            self.server.over.wait()
            return
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.server.url)
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def serve(out: Path) -> Iterator[Callable[..., Page]]:
    opened: list[Page] = []

    def make(teach: Any = None, **config: Any) -> Page:
        out.mkdir(exist_ok=True)
        metrics = Metrics()
        page = Page(PageConfig(port=0, **config), out, metrics, teach)
        opened.append(page)
        return page

    yield make
    for page in opened:
        page.close(5)

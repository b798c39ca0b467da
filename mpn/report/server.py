"""A report served to a browser on this machine, which can then teach the camera by a click.

A page from a file can run nothing; one from here may ask for one thing, an event to be taught. The
server listens on the loopback address alone, answers requests that name it by that address (a page
of elsewhere that has its own name point here does not), gives nothing but the report and its files,
and teaches only where the page's token comes along, which other pages cannot read.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import unquote, urlsplit

from mpn.errors import DataError, MpnError
from mpn.report.from_job import REPORT

HOST = "127.0.0.1"
LONGEST_REQUEST = 10_000  # bytes
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".webm": "video/webm",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
}
# Teaches an event by its number in events.json, as normal or by a name; says what was done.
Teach = Callable[[int, "str | None"], str]


class ReportServer(ThreadingHTTPServer):
    """Serves the report of a folder that `mpn score` wrote.

    Args:
        folder: of the results.
        teach: what a click does; its errors are told on the page.
        port: 0 for any that is free.

    Attributes:
        url: of the page.
        token: that a request to teach has to bring.

    Raises:
        DataError: the folder has no report.
        MpnError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, folder: Path, teach: Teach, port: int = 0) -> None:
        if not (folder / REPORT).is_file():
            raise DataError(
                f"{folder}: has no {REPORT}; the folder that mpn score wrote for a recording was "
                "expected, and without --no-report"
            )
        self.folder, self.teach, self.token = folder, teach, secrets.token_urlsafe(16)
        self.teaching = Lock()  # a camera file is written by one at a time
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise MpnError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); give another --port"
            ) from error
        self.url = f"http://{HOST}:{self.server_port}/"

    def page(self) -> bytes:
        """Return the report as it is served: it knows the token, and may ask this server."""
        text = (self.folder / REPORT).read_text("utf-8", "replace")
        head, mark, rest = text.partition("</head>")
        head = head.replace("connect-src 'none'", "connect-src 'self'", 1)
        return f'{head}<meta name="mpn-token" content="{self.token}">\n{mark}{rest}'.encode()

    def file(self, name: str) -> Path | None:
        """Find a file of the report by its name in the page, None for anything else.

        Args:
            name: the path of a request.
        """
        files = [*self.folder.iterdir(), *self.folder.glob(f"{Path(REPORT).stem}-files/*")]
        shown = {
            f"/{path.relative_to(self.folder).as_posix()}": path
            for path in files
            if path.suffix in KINDS and path.is_file() and not path.is_symlink()
        }
        return shown.get(name)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a connection may be silent

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        name = unquote(urlsplit(self.path).path)
        if name in ("/", f"/{REPORT}"):
            self._answer(HTTPStatus.OK, self.server.page(), KINDS[".html"])
        elif (path := self.server.file(name)) is not None:
            self._send_file(path)
        else:
            self._say(HTTPStatus.NOT_FOUND, "there is no such file in this report")

    def do_POST(self) -> None:
        if not self._is_for_us():
            return None
        if urlsplit(self.path).path != "/teach":
            return self._say(HTTPStatus.NOT_FOUND, "only an event can be taught")
        if not hmac.compare_digest(
            self.headers.get("X-Mpn-Token", "").encode(), self.server.token.encode()
        ):
            return self._say(HTTPStatus.FORBIDDEN, "load the page again: it is of another run")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_REQUEST:
            return self._say(HTTPStatus.BAD_REQUEST, "not a request of the report's page")
        try:
            asked = json.loads(self.rfile.read(int(length)))
            number, name = asked["event"], asked["name"]
            if type(number) is not int or not (name is None or isinstance(name, str)):
                raise ValueError(asked)
        except (ValueError, KeyError, TypeError):
            return self._say(HTTPStatus.BAD_REQUEST, "not a request of the report's page")
        try:
            with self.server.teaching:
                said = self.server.teach(number, name)
        except MpnError as error:
            return self._say(HTTPStatus.CONFLICT, str(error))
        return self._say(HTTPStatus.OK, said)

    def _is_for_us(self) -> bool:
        """Say whether the request names this server by its address; else answer it."""
        port = self.server.server_port
        if self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}"):
            return True
        self.close_connection = True
        self._say(HTTPStatus.FORBIDDEN, f"this is {HOST}, and nothing else")
        return False

    def _send_file(self, path: Path) -> None:
        """Send a file, or the part of it that a browser asks for to jump within a film."""
        content, kind = path.read_bytes(), KINDS[path.suffix]
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part is None:
            return self._answer(HTTPStatus.OK, content, kind)
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        if first > last:
            return self._say(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "there is no such part")
        return self._answer(
            HTTPStatus.PARTIAL_CONTENT,
            content[first : last + 1],
            kind,
            {"Content-Range": f"bytes {first}-{last}/{len(content)}"},
        )

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, json.dumps({"text": text}).encode(), KINDS[".json"])

    def _answer(
        self, status: HTTPStatus, content: bytes, kind: str, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests: what was taught is said by whoever teaches."""

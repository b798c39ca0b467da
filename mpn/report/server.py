"""A report served to a browser on this machine, which can then teach the camera by a click.

A page from a file can run nothing; one from here may ask for one thing, an event to be taught. The
server listens on the loopback address alone and answers requests that name it by that address (a
page of elsewhere that has its own name point here does not). A token, new each time, is part of
the address that is printed, and goes with a request to teach: other users of the machine, and other
pages, do not know it. Nothing is given but the report and its files.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import shutil
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import unquote

from markupsafe import escape

from mpn.errors import DataError, MpnError
from mpn.jobs.state import EVENTS
from mpn.report.from_job import REPORT
from mpn.report.page import NO_CONNECTION
from mpn.report.teaching import CameraTeacher

HOST = "127.0.0.1"
LONGEST_REQUEST = 10_000  # bytes
TEACH = "teach"
PAGE, TEXT, JSON = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"
KINDS = {".webm": "video/webm", ".csv": "text/csv; charset=utf-8", ".json": JSON}
NOT_OURS = "not a request of the report's page"


class ReportServer(ThreadingTCPServer):
    """Serves the report of a folder that `mpn score` wrote; for a `with` block.

    Args:
        folder: of the results.
        teacher: does what a click asks for; None where no camera file is known.
        port: 0 for any that is free.

    Attributes:
        url: of the page, with the token.
        token: what every request has to know.
        busy: held while an event is taught: a camera file is written by one at a time.

    Raises:
        DataError: the folder has no report.
        MpnError: the port cannot be used.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, teacher: CameraTeacher | None, port: int = 0) -> None:
        self.folder, self.teacher, self.token = folder, teacher, secrets.token_urlsafe(16)
        self.busy = Lock()
        if not (folder / REPORT).is_file():
            raise DataError(
                f"{folder}: has no {REPORT}; the same mpn score command again makes it, without "
                "--no-report"
            )
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise MpnError(
                f"port {port} of {HOST} cannot be used ({why}); give another --port, or none for "
                "one that is free"
            ) from error
        self.port = int(self.server_address[1])
        self.url = f"http://{HOST}:{self.port}/{self.token}/"

    def page(self) -> bytes:
        """Return the report as it is served: it knows the token, and may ask this server."""
        teacher = self.teacher
        facts = {
            "token": self.token,
            "camera": str(teacher.camera) if teacher else None,
            "taught": teacher.taught() if teacher else [],
        }
        head, end, rest = (self.folder / REPORT).read_bytes().partition(b"</head>")
        head = head.replace(_bytes(NO_CONNECTION), _bytes(NO_CONNECTION.replace("none", "self")), 1)
        mark = b'<meta name="mpn-served" content="%b">\n' % _bytes(json.dumps(facts))
        return head + mark + end + rest

    def can_teach(self) -> bool:
        """Say whether the page has buttons to teach: those of earlier versions have none."""
        return b'id="teach"' in (self.folder / REPORT).read_bytes()

    def teach(self, number: int, frame: int, name: str | None) -> str:
        """Teach an event.

        Args:
            number: of the event.
            frame: of its peak.
            name: what it shows; None for something normal.

        Raises:
            MpnError: it cannot be taught.
        """
        if self.teacher is None:
            raise DataError(
                "no camera file is known: end the server, and start it with --camera FILE"
            )
        return self.teacher.teach(number, frame, name)

    def files(self) -> dict[str, Path]:
        """List what the page links to, by its name there; no link out of the folder is in it."""
        beside = self.folder / f"{Path(REPORT).stem}-files"
        paths = [self.folder / EVENTS, *beside.glob("*.webm")]
        paths += [path for suffix in (".csv", ".webm") for path in self.folder.glob(f"*{suffix}")]
        inside = self.folder.resolve()
        return {
            path.relative_to(self.folder).as_posix(): path
            for path in paths
            if path.is_file() and path.resolve().is_relative_to(inside)
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that have gone before the answer."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Wait for what is being taught, begin nothing any more, and let go of the port."""
        self.busy.acquire()
        super().server_close()


def _bytes(text: str) -> bytes:
    """Write a text as it stands in an attribute of the page."""
    return escape(text).encode()


class _Wanted(NamedTuple):
    """What the page asks to be taught."""

    number: int
    frame: int
    name: str | None


class _RefusedError(Exception):
    """A request that is not answered."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "mpn", ""
    timeout = 30  # seconds that a connection may be silent

    @property
    def reports(self) -> ReportServer:
        assert isinstance(self.server, ReportServer)
        return self.server

    def do_GET(self) -> None:
        try:
            name = self._name()
            if name in ("", REPORT):
                return self._answer(HTTPStatus.OK, self.reports.page(), PAGE)
            path = self.reports.files().get(name)
            if path is None:
                raise _RefusedError(HTTPStatus.NOT_FOUND, "there is no such file in this report")
            return self._send_file(path)
        except FileNotFoundError:
            text = f"{REPORT} is gone; while the recording is scored again there is none"
            return self._answer(HTTPStatus.NOT_FOUND, text.encode(), TEXT)
        except _RefusedError as refused:
            return self._answer(refused.status, str(refused).encode(), TEXT)

    def do_POST(self) -> None:
        try:
            request = self._teach_request()
        except _RefusedError as refused:
            return self._say(refused.status, str(refused))
        with self.reports.busy:
            try:
                status, answer = HTTPStatus.OK, self.reports.teach(*request)
            except (MpnError, OSError) as error:
                status, answer = HTTPStatus.CONFLICT, " ".join(str(error).split())
            return self._say(status, answer)

    def _name(self) -> str:
        """Return what is asked for, of someone who names this server by its whole address."""
        port = self.reports.port
        _, token, name = (*self.path.partition("?")[0].split("/", 2), "", "")[:3]
        here = self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")
        if not here or not self._is_token(token):
            raise _RefusedError(
                HTTPStatus.FORBIDDEN, "load the whole address that mpn report has printed last"
            )
        return unquote(name)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.reports.token.encode())

    def _teach_request(self) -> _Wanted:
        """Read a request to teach; all that is not the page's own is refused."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, NOT_OURS)
        if int(length) > LONGEST_REQUEST:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, NOT_OURS)
        # Read before it is judged: what is left unread would cut the answer off.
        content = self.rfile.read(int(length))
        if self._name() != TEACH:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "only an event can be taught")
        if self.headers.get("Origin") != f"http://{self.headers['Host']}":
            raise _RefusedError(HTTPStatus.FORBIDDEN, NOT_OURS)
        if not self._is_token(self.headers.get("X-Mpn-Token", "")):
            raise _RefusedError(HTTPStatus.FORBIDDEN, NOT_OURS)
        if self.headers.get_content_type() != JSON:
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, NOT_OURS)
        try:
            document = json.loads(content)
            request = _Wanted(document["event"], document["frame"], document["name"])
            whole = type(request.number) is int and type(request.frame) is int
            if not whole or not isinstance(request.name, str | None):
                raise ValueError(document)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, NOT_OURS) from error
        return request

    def _send_file(self, path: Path) -> None:
        """Send a file, or from where on a browser asks for it, to jump within a film."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            part = re.fullmatch(r"bytes=([0-9]{1,15})-([0-9]{0,15})", self.headers.get("Range", ""))
            if part is None:
                file.seek(0)
                self._begin(HTTPStatus.OK, size, KINDS[path.suffix])
                return shutil.copyfileobj(file, self.wfile)
            first, last = int(part[1]), min(int(part[2] or size), size - 1)
            if first > last:
                where = {"Content-Range": f"bytes */{size}"}
                return self._begin(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, TEXT, where)
            where = {"Content-Range": f"bytes {first}-{last}/{size}"}
            self._begin(HTTPStatus.PARTIAL_CONTENT, last + 1 - first, KINDS[path.suffix], where)
            file.seek(first)
            left = last + 1 - first
            while left and (block := file.read(min(left, 1 << 16))):
                self.wfile.write(block)
                left -= len(block)
        return None

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, json.dumps({"text": text}).encode(), JSON)

    def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self._begin(status, len(content), kind)
        self.wfile.write(content)

    def _begin(
        self,
        status: HTTPStatus,
        length: int,
        kind: str,
        extra_headers: dict[str, str] | None = None,
    ) -> None:
        """Send what comes before the content."""
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(length),
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            **(extra_headers or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests: what was taught is said by whoever teaches."""

"""The report served on this machine: what is given, and what is refused to whom."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mpn.errors import DataError, MpnError
from mpn.report.server import LONGEST_REQUEST, ReportServer
from tests.helpers.served import Notebook, serving, write_results

LESSON = {"event": 2, "frame": 1106, "name": None}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "out")


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def server(results: Path, notebook: Notebook) -> Iterator[ReportServer]:
    with serving(results, notebook) as running:
        yield running


def answer(request: Request | str) -> tuple[int, bytes]:
    """The status and what came with it."""
    try:
        with urlopen(request, timeout=10) as reply:
            return reply.status, reply.read()
    except HTTPError as error:
        return error.code, error.read()


def ask(server: ReportServer, body: bytes = b"", **changed: str | None) -> tuple[int, str]:
    """Ask as the page does, but for some headers; None leaves one out."""
    headers = {
        "Host": f"127.0.0.1:{server.port}",
        "Origin": f"http://127.0.0.1:{server.port}",
        "X-Mpn-Token": server.token,
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    sent = {name: value for name, value in headers.items() if value is not None}
    body = body or json.dumps(LESSON).encode()
    status, said = answer(Request(f"{server.url}teach", body, sent, method="POST"))
    return status, json.loads(said)["text"]


def test_the_page_knows_what_it_needs_and_may_ask_this_server(
    server: ReportServer, results: Path, notebook: Notebook
) -> None:
    notebook.lessons.append((1, 1056, "<a 'cyclist'>"))
    status, page = answer(server.url)
    assert status == 200 and answer(f"{server.url}report.html")[1] == page
    text, written = page.decode(), (results / "report.html").read_text()
    for policy, here in ((text, "self"), (written, "none")):
        assert f"connect-src &#39;{here}&#39;" in policy.partition("</head>")[0]
    assert server.token in text and server.token not in written
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", server.url)
    assert text.count("mpn-served") == written.count("mpn-served") + 1
    assert "<a 'cyclist'>" not in text and "&lt;a &#39;cyclist&#39;&gt;" in text


def test_an_event_is_taught(server: ReportServer, notebook: Notebook) -> None:
    assert ask(server) == (200, "Taught 2")
    named = json.dumps({**LESSON, "name": "cyclist"}).encode()
    localhost = f"localhost:{server.port}"
    assert ask(server, named, Host=localhost, Origin=f"http://{localhost}") == (200, "Taught 2")
    assert notebook.lessons == [(2, 1106, None), (2, 1106, "cyclist")]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"X_Mpn_Token": None}, 403),
        ({"X_Mpn_Token": "guess"}, 403),
        ({"X_Mpn_Token": "\u00e9"}, 403),
        ({"X_Mpn_Token": ""}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Origin": None}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": None}, 415),
        ({"Content_Length": "1e3"}, 411),
        ({"Content_Length": "9" * 5000}, 411),
    ],
)
def test_what_the_page_would_not_send_is_refused(
    server: ReportServer, notebook: Notebook, changed: dict[str, str | None], status: int
) -> None:
    assert ask(server, **changed)[0] == status
    assert notebook.lessons == []


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[" * 9000,
        b"[1]",
        b'{"event": 1, "frame": 2}',
        b'{"event": "1", "frame": 2, "name": null}',
        b'{"event": true, "frame": 2, "name": null}',
        b'{"event": 1, "frame": 2.5, "name": null}',
        b'{"event": 1, "frame": 2, "name": ["a"]}',
        b"\xff\xfe",
    ],
)
def test_a_lesson_that_is_none(server: ReportServer, notebook: Notebook, body: bytes) -> None:
    assert ask(server, body) == (400, "not a request of the report's page")
    assert notebook.lessons == []


def test_a_long_request_is_not_read(server: ReportServer, notebook: Notebook) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", "/teach")
    connection.putheader("Content-Length", str(LONGEST_REQUEST + 1))
    connection.endheaders()  # nothing of it is sent, and the answer is there
    assert connection.getresponse().status == 413
    connection.close()
    longest = json.dumps(LESSON).encode().ljust(LONGEST_REQUEST)
    assert ask(server, longest)[0] == 200 and len(notebook.lessons) == 1


def test_nothing_else_can_be_asked_for(server: ReportServer, notebook: Notebook) -> None:
    token = {"X-Mpn-Token": server.token, "Origin": f"http://127.0.0.1:{server.port}"}
    body = json.dumps(LESSON).encode()
    bare = f"http://127.0.0.1:{server.port}/"
    for url, method, status in (
        (server.url, "POST", 404),
        (f"{server.url}events.json", "POST", 404),
        (f"{server.url}teach", "GET", 404),
        (f"{server.url}teach", "PUT", 501),
        (f"{server.url}teach", "OPTIONS", 501),
        (f"{bare}teach", "POST", 403),
        (f"{bare}{server.token[:-1]}/teach", "POST", 403),
    ):
        content = {"Content-Type": "application/json", **token}
        request = Request(url, body, content, method=method)
        assert answer(request)[0] == status, (url, method)
    assert notebook.lessons == []


def test_what_cannot_be_taught_is_said(server: ReportServer) -> None:
    ghost = json.dumps({**LESSON, "name": "ghost"}).encode()
    assert ask(server, ghost) == (409, "there are no ghosts")


def test_without_a_camera_file_nothing_is_taught(results: Path) -> None:
    with serving(results, None) as server:
        status, text = ask(server)
    assert status == 409 and "--camera FILE" in text


def test_a_full_disk_is_said(
    server: ReportServer, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notebook, "teach", full)
    status, text = ask(server)
    assert status == 409 and "No space left" in text


def test_the_files_of_the_page_and_no_others(
    server: ReportServer, results: Path, tmp_path: Path
) -> None:
    films = results / "report-files"
    films.mkdir()
    for name in ("scores.csv", "a b.csv", "state.json", "heat.bin", "overlay.webm", "x.html"):
        (results / name).write_bytes(name.encode())
    (films / "film-000.webm").write_bytes(b"film")
    (films / "other.txt").write_bytes(b"text")
    (tmp_path / "secret.csv").write_bytes(b"secret")
    (results / "link.csv").symlink_to(tmp_path / "secret.csv")
    for name, content in (
        ("scores.csv", b"scores.csv"),
        ("a%20b.csv", b"a b.csv"),
        ("overlay.webm", b"overlay.webm"),
        ("report-files/film-000.webm", b"film"),
        ("events.json", (results / "events.json").read_bytes()),
    ):
        assert answer(server.url + name) == (200, content)
    for name in (
        "state.json",
        "heat.bin",
        "x.html",
        "link.csv",
        "report-files/other.txt",
        "report-files",
        "../secret.csv",
        "%2e%2e/secret.csv",
        "..%2fsecret.csv",
        "report-files/../../secret.csv",
        "/" + str(tmp_path / "secret.csv"),
        "scores.csv%00",
        "%ff",
    ):
        status, said = answer(server.url + name)
        assert status == 404 and b"secret" not in said, name


def test_without_the_token_nothing_is_given(server: ReportServer) -> None:
    wrong = ["", "x", "/", server.token[:-1], f"{server.token[:-1]}/", "x/events.json", "%ff/"]
    for path in [*wrong, "events.json", "report.html", f"x/{server.token}/"]:
        status, said = answer(f"http://127.0.0.1:{server.port}/{path}")
        assert status == 403 and server.token.encode() not in said, path


def test_a_folder_of_films_that_is_a_link_elsewhere(server: ReportServer, results: Path) -> None:
    elsewhere = results.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film-000.webm").write_bytes(b"film")
    (results / "report-files").symlink_to(elsewhere)
    assert answer(f"{server.url}report-files/film-000.webm")[0] == 404


def test_a_page_of_another_name_that_points_here_gets_nothing(server: ReportServer) -> None:
    for path in ("", "events.json"):
        request = Request(server.url + path, headers={"Host": f"evil.example:{server.port}"})
        status, said = answer(request)
        assert status == 403 and server.token.encode() not in said


def test_a_part_of_a_film(server: ReportServer, results: Path) -> None:
    film = bytes(range(256)) * 600  # more than is sent at once
    (results / "overlay.webm").write_bytes(film)
    for asked, status, part in (
        ("bytes=0-", 206, film),
        ("bytes=100000-", 206, film[100000:]),
        ("bytes=5-9", 206, film[5:10]),
        ("bytes=5-999999", 206, film[5:]),
        ("bytes=999999-", 416, b""),
        ("bytes=-5", 200, film),
        ("bytes=" + "9" * 5000 + "-", 200, film),
    ):
        request = Request(f"{server.url}overlay.webm", headers={"Range": asked})
        assert answer(request) == (status, part), asked


def test_other_pages_may_not_show_it(server: ReportServer) -> None:
    with urlopen(server.url, timeout=10) as reply:
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert reply.headers["Access-Control-Allow-Origin"] is None
        assert "Python" not in reply.headers["Server"]


def test_while_it_is_scored_again_there_is_no_page(server: ReportServer, results: Path) -> None:
    (results / "report.html").unlink()
    status, said = answer(server.url)
    assert status == 404 and b"scored again" in said


def test_it_listens_on_this_machine_alone(server: ReportServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(OSError), socket.create_connection(("::1", server.port), 2):
        pass


def test_one_lesson_at_a_time_and_none_is_broken_off(results: Path) -> None:
    begun, go_on, inside, most = threading.Event(), threading.Event(), [0], [0]

    class Slow(Notebook):
        def teach(self, number: int, frame: int, name: str | None) -> str:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            begun.set()
            assert go_on.wait(10)
            inside[0] -= 1
            return super().teach(number, frame, name)

    slow = Slow()
    with serving(results, slow) as server:
        askers = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
        for asker in askers:
            asker.start()
        assert begun.wait(10)
        assert answer(server.url)[0] == 200  # the page is there meanwhile
        threading.Timer(0.1, go_on.set).start()
        for asker in askers:
            asker.join()
        go_on.clear()
        begun.clear()
        answers: list[tuple[int, str]] = []
        last = threading.Thread(target=lambda: answers.append(ask(server)))
        last.start()
        assert begun.wait(10)
        threading.Timer(0.1, go_on.set).start()
    assert len(slow.lessons) == 4 and most[0] == 1  # closing has waited for the last
    last.join()
    assert answers == [(200, "Taught 2")]


def test_a_port_that_is_taken(server: ReportServer, results: Path) -> None:
    with pytest.raises(MpnError, match=f"port {server.port} of 127.0.0.1 cannot be used"):
        ReportServer(results, None, server.port)
    with pytest.raises(MpnError, match="port 70000 of 127.0.0.1 cannot be used"):
        ReportServer(results, None, 70000)


def test_the_port_is_free_again_at_the_end(results: Path) -> None:
    with serving(results, None) as server:
        port = server.port
        answer(server.url)
    with ReportServer(results, None, port) as again:
        assert again.port == port


def test_a_folder_without_a_page(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no report\.html"):
        ReportServer(tmp_path, None)


def test_pages_of_earlier_versions_have_no_buttons(results: Path) -> None:
    with ReportServer(results, None) as server:
        assert server.can_teach()
    page = results / "report.html"
    page.write_text(page.read_text().replace('id="teach"', ""))
    with ReportServer(results, None) as server:
        assert not server.can_teach()

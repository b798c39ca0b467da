"""The page's server: who gets what, and who gets nothing; asked over real connections."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from email.message import Message
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mpn.errors import DataError, MpnError
from mpn.live.outputs import web
from mpn.live.outputs.guard import LONGEST_BODY
from mpn.live.outputs.journal import JOURNAL, Journal
from mpn.live.outputs.metrics import Metrics
from mpn.live.outputs.page import Page
from mpn.live.outputs.settings import PageConfig
from mpn.live.status import State
from tests.helpers.fake_cameras import alarm, scores, status, with_files

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


# --- What is given


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(serve: Any) -> None:
    page = serve()
    answer = ask(page)
    assert answer.status == 200 and page.url == f"http://127.0.0.1:{page.port}/"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = answer.text
    assert "://" not in text and "onclick" not in text and "<style" not in text
    assert text.count("<script") == 2 and text.count('src="assets/') == 2
    for name, content in web.assets().items():
        got = ask(page, f"/assets/{name}")
        assert got.status == 200 and got.content == content
        assert b"://" not in content.replace(b"https://html.spec", b"")


def test_an_open_page_is_told_and_told_what_it_missed(serve: Any, out: Path) -> None:
    page = serve()
    page.status({"lobby": status(recent=scores(1e9, 5))})
    for number in (1, 2, 3):
        page.alarm(alarm(number))
    hello, *alarms, taught, cameras = events(page, 6)
    assert hello == ("hello", None, {"anew": True})
    assert [(kind, id_, said["number"]) for kind, id_, said in alarms] == [
        ("alarm", str(n), n) for n in (1, 2, 3)
    ]
    assert alarms[0][2]["id"] == alarm(1).id and "tracks" not in alarms[0][2]
    assert taught == ("taught", None, {})
    (lobby,) = cameras[2]["cameras"]
    assert abs(cameras[2]["at"] - time.time()) < 10
    assert lobby["state"] == "watching" and len(lobby["points"]) == 10 and lobby["anew"]
    missed = events(page, 2, **{"Last-Event-ID": "2"})
    assert missed[0][2] == {"anew": False} and missed[1][1] == "3"
    for wrong in ("99", "x", "-1", "9" * 400):  # of another journal, or none
        assert events(page, 2, **{"Last-Event-ID": wrong})[0][2] == {"anew": True}, wrong


def test_only_newer_scores_are_sent_again(serve: Any) -> None:
    page = serve()
    page.status({"lobby": status(recent=((1.0, 0.5), (2.0, float("nan"))))})
    with streaming(page) as found:
        cameras = (said["cameras"] for kind, _, said in found if kind == "cameras")
        assert next(cameras)[0]["points"] == [[1.0, 0.5], [2.0, None]]
        page.status({"lobby": status(recent=((1.0, 0.5), (2.0, 0.6), (3.0, 0.71239)))})
        (lobby,) = next(cameras)
        assert lobby["points"] == [[3.0, 0.7124]] and not lobby["anew"]


def test_numbers_of_alarms_are_lines_of_the_journal_over_restarts(serve: Any, out: Path) -> None:
    journal, page = Journal(out), serve()
    for number in range(3):
        for output in (journal, page):
            output.alarm(alarm(number))
    journal.close(5)
    with (out / JOURNAL).open("a") as file:
        file.write("damaged by hand\n")
    again = serve()
    again.alarm(alarm(7))
    found = [(int(id_ or 0), said["id"]) for kind, id_, said in events(again, 5) if kind == "alarm"]
    assert found == [(1, alarm(0).id), (2, alarm(1).id), (3, alarm(2).id), (5, alarm(7).id)]
    older = ask(again, "/alarms?before=3").json()["alarms"]
    assert [one["number"] for one in older] == [1, 2]


def test_clips_and_snapshots_also_in_parts_and_after_a_restart(serve: Any, out: Path) -> None:
    said = with_files(alarm(1, "end", camera="Hof 2"), out)
    assert said.clip is not None and said.snapshot is not None
    journal, page = Journal(out), serve()
    journal.alarm(said)
    journal.close(5)
    page.alarm(said)
    for own in (page, serve()):
        path = f"/clips/{said.id}".replace(" ", "%20")
        whole = ask(own, path)
        assert whole.headers["Content-Type"] == "video/webm"
        assert whole.content == said.clip.read_bytes()
        part = ask(own, path, headers={"Range": "bytes=5-14"})
        assert part.status == 206 and part.content == said.clip.read_bytes()[5:15]
        picture = ask(own, path.replace("clips", "snapshots"))
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert picture.content == said.snapshot.read_bytes()
    said.clip.unlink()  # no longer kept
    assert ask(page, path).status == 404


def test_an_event_is_taught_and_all_pages_hear_of_it(serve: Any) -> None:
    teacher = Teacher()
    page = serve(teacher)
    page.alarm(alarm(1, "end"))
    answer = teach(page, {"alarm": alarm(1).id, "name": None})
    assert (answer.status, answer.json()["text"]) == (200, "Taught: normal here")
    assert teach(page, {"alarm": alarm(1).id, "name": " cyclist "}).status == 200
    assert teacher.lessons == [(alarm(1).id, None), (alarm(1).id, "cyclist")]
    assert events(page, 3)[2] == ("taught", None, {alarm(1).id: "cyclist"})
    ghost = teach(page, {"alarm": alarm(1).id, "name": "ghost"})
    assert (ghost.status, ghost.json()["text"]) == (409, "there are no ghosts")


def test_without_a_teacher_the_command_is_told(serve: Any, out: Path) -> None:
    page = serve()
    page.alarm(with_files(alarm(1, "end"), out))
    answer = teach(page, {"alarm": alarm(1).id, "name": "a'; rm -rf ~"})
    text = answer.json()["text"]
    assert answer.status == 409 and "mpn teach" in text
    assert """--name='a'"'"'; rm -rf ~'""" in text and f"{alarm(1).id}.webm" in text


def test_health(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    page = serve()
    assert ask(page, "/healthz").status == 503  # not a word from the loop yet
    page.status({"a": status("a"), "b": status("b", State.LEARNING)})
    assert (ask(page, "/healthz").status, ask(page, "/healthz").text) == (200, "ok\n")
    page.status({"a": status("a"), "b": status("b", State.COVERED)})
    ill = ask(page, "/healthz")
    assert ill.status == 503 and ill.text.splitlines()[1:] == ["b: covered"]
    assert ask(page, "/healthz?cameras=no").status == 200  # the loop lives
    page.status({"a": status("a")})
    page.board.told = time.monotonic() - 60
    silent = ask(page, "/healthz")
    assert silent.status == 503 and "no word" in silent.text
    assert ask(page, "/healthz?cameras=no").status == 503


def test_figures_on_loopback(serve: Any, out: Path) -> None:
    metrics = Metrics()
    metrics.status({"lobby": status()})
    page = Page(PageConfig(port=0), out, metrics)
    assert 'mpn_camera_frames_total{camera="lobby"} 2982.0' in ask(page, "/metrics").text
    page.close(5)
    without = Page(PageConfig(port=0), out)
    assert ask(without, "/metrics").status == 404
    without.close(5)


# --- What is refused


@pytest.fixture
def guarded(serve: Any, out: Path) -> Page:
    page = serve(Teacher(), token=TOKEN)
    page.alarm(with_files(alarm(1, "end"), out))
    page.status({"lobby": status(state=State.FROZEN)})
    return page


PATHS = [
    "/",
    "/events",
    "/alarms",
    "/metrics",
    "/assets/watch.js",
    "/teach",
    "/x",
    "//",
    "/?token=",
]


def test_a_stranger_gets_nothing(guarded: Page) -> None:
    media = [f"/clips/{alarm(1).id}", f"/snapshots/{alarm(1).id}"]
    for path in [*PATHS, *media, f"/?token={TOKEN[:-1]}", f"/events?token={TOKEN}"]:
        for method in ("GET", "HEAD", "POST"):
            answer = ask(guarded, path, method)
            assert answer.status == 401, (method, path)
            assert "lobby" not in answer.text and TOKEN not in str(answer.headers)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for headers in (
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Cookie": f"mpn_{guarded.port}={TOKEN}"},  # the cookie is not the token
        {"Cookie": f"mpn_{guarded.port}="},
        {"X-Forwarded-For": "127.0.0.1"},
    ):
        assert ask(guarded, "/", headers=headers).status == 401, headers
    health = ask(guarded, "/healthz")
    assert health.status == 503 and "lobby" not in health.text  # names are no stranger's
    assert health.text == "1 of 1 cameras are not watched\n"


def test_the_token_lets_in_and_leaves_the_address(guarded: Page) -> None:
    answer = ask(guarded, f"/?token={TOKEN}")
    assert answer.status == 303 and TOKEN not in answer.headers["Location"]
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie and "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
    known = {"Cookie": cookie.partition(";")[0]}
    assert ask(guarded, "/", headers=known).status == 200
    assert ask(guarded, f"/?token={TOKEN}", headers=known).status == 303
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, "/metrics", headers=bearer).status == 200
    assert ask(guarded, "/healthz", headers=bearer).text.endswith("lobby: frozen\n")
    body = {"alarm": alarm(1).id, "name": None}
    assert teach(guarded, body, Cookie=known["Cookie"]).status == 200


def test_where_others_can_come_a_token_is_made(serve: Any) -> None:
    page = serve(host="0.0.0.0")
    assert page.token and f"?token={page.token}" in page.url and len(page.token) >= 32
    assert ask(page).status == 401
    assert ask(page, f"/?token={page.token}").status == 303
    assert serve(host="0.0.0.0").token != page.token
    told = serve(host="0.0.0.0", token=TOKEN)
    assert TOKEN not in told.url  # who chose it knows it
    assert serve(hosts=("cameras.lan",)).token


def test_names_of_elsewhere_that_point_here_get_nothing(serve: Any) -> None:
    page = serve()
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "",
        "[",
        "localhost@x",
    ):
        assert ask(page, headers={"Host": host}).status in (400, 403), host
    for host in ("localhost:9000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert ask(page, headers={"Host": host}).status == 200, host
    behind = serve(hosts=("cameras.lan",), token=TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(behind, headers={"Host": "Cameras.lan", **bearer}).status == 200
    assert ask(behind, headers={"Host": "evil.example", **bearer}).status == 403


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Origin": None}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": None}, 415),
    ],
)
def test_posts_of_other_origins(serve: Any, changed: dict[str, str | None], code: int) -> None:
    teacher = Teacher()
    page = serve(teacher)
    page.alarm(alarm(1, "end"))
    assert teach(page, {"alarm": alarm(1).id, "name": None}, **changed).status == code
    assert teacher.lessons == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 400),
        (b"[" * 9000, 400),
        (b"\xff\xfe", 400),
        (b"[1]", 400),
        ({"alarm": "a"}, 400),
        ({"alarm": 1, "name": None}, 400),
        ({"alarm": "a", "name": ["x"]}, 400),
        ({"alarm": alarm(1).id, "name": " "}, 400),
        ({"alarm": alarm(1).id, "name": "x" * 41}, 400),
        ({"alarm": alarm(1).id, "name": "a\nb"}, 400),
        ({"alarm": "../../etc/passwd", "name": None}, 404),
        (b" " * (LONGEST_BODY + 1), 413),
    ],
)
def test_lessons_that_are_none(serve: Any, body: Any, code: int) -> None:
    teacher = Teacher()
    page = serve(teacher)
    page.alarm(alarm(1, "end"))
    assert teach(page, body).status == code
    assert teacher.lessons == []


def test_long_posts_are_not_read(serve: Any) -> None:
    page = serve(Teacher())
    head = "POST /teach HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n"
    # Nothing of it is sent, and the answer is there.
    for length in (b"Content-Length: 1000000000\r\n", b"Content-Length: 99999999999999\r\n"):
        assert b" 413 " in raw(page, head.encode() + length + b"\r\n").split(b"\r\n")[0]
    chunked = raw(page, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
    assert b" 411 " in chunked.split(b"\r\n")[0]
    assert ask(page, "/" + "x" * 20_000).status == 404
    assert ask(page, "/?x=" + "x" * 5_000).status == 414
    assert ask(page).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods(serve: Any, method: str) -> None:
    assert ask(serve(), "/", method).status == 405


def test_no_path_leads_out_of_the_folder(serve: Any, out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.webm"
    secret.write_bytes(b"secret")
    page = serve()
    linked = with_files(alarm(1, "end"), out)
    outside = replace(alarm(2, "end"), clip=secret, snapshot=out / JOURNAL)
    assert linked.clip is not None
    linked.clip.unlink()
    linked.clip.symlink_to(secret)
    for said in (linked, outside):
        page.alarm(said)
    (out / JOURNAL).write_text(
        "".join(
            json.dumps({"id": name, "camera": "a", "phase": "end", "clip": path}) + "\n"
            for name, path in (("up", "../../../secret.webm"), ("abs", str(secret)), ("dot", ".."))
        )
    )
    again = serve()  # from a journal that names what it should not
    (out / "gate").mkdir()
    (out / "gate" / "events").symlink_to(tmp_path)
    for path in (
        f"/clips/{alarm(1).id}",
        f"/clips/{alarm(2).id}",
        f"/snapshots/{alarm(2).id}",
        "/clips/up",
        "/clips/abs",
        "/clips/dot",
        "/clips/..%2f..%2fsecret.webm",
        "/clips/%2e%2e%2f%2e%2e%2fsecret.webm",
        "/clips/..",
        "/clips/",
        "/clips/secret.webm",
        "/assets/..%2fweb.py",
        "/assets/../web.py",
        "/assets/%00",
        "/assets/",
        "/assets/.",
        f"/{secret}",
        "/..%5c..%5csecret.webm",
    ):
        for own in (page, again):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer = raw(own, request.encode())
            assert answer.split(b"\r\n")[0].split()[1] in (b"404", b"400"), path
            assert b"\r\n\r\nsecret" not in answer


def test_pages_are_not_without_number(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_PAGES", 2)
    page = serve()
    with streaming(page) as first, streaming(page) as second:
        next(first), next(second)
        assert ask(page, "/events").status == 503


# --- Beginning and end


def test_a_port_that_is_taken(serve: Any, out: Path) -> None:
    page = serve()
    with pytest.raises(MpnError, match="give another port"):
        Page(PageConfig(port=page.port), out)


def test_a_second_watcher_that_asks_for_no_port(
    serve: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = serve().port
    config = PageConfig()
    monkeypatch.setitem(config.__dict__, "port", taken)  # the usual one
    second = Page(config, out)
    assert second.port != taken and ask(second).status == 200
    second.close(5)


def test_a_token_of_the_environment(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGE", "short")
    with pytest.raises(DataError, match="16 or more"):
        Page(PageConfig(port=0, token_env="PAGE"), out)
    monkeypatch.setenv("PAGE", TOKEN)
    page = Page(PageConfig(port=0, token_env="PAGE"), out)
    assert page.token == TOKEN and ask(page).status == 401
    page.close(5)


def test_the_end_does_not_wait_for_open_pages(serve: Any) -> None:
    page = serve()
    with streaming(page) as found:
        next(found)
        started = time.monotonic()
        page.close(5)
        assert time.monotonic() - started < 3 and not page._thread.is_alive()
        assert list(found) is not None  # the stream is at its end

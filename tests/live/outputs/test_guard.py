"""The page's server: who gets nothing, and what is not taken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mpn.live.outputs import web
from mpn.live.outputs.guard import LONGEST_BODY
from mpn.live.outputs.journal import JOURNAL
from mpn.live.outputs.page import Page
from mpn.live.status import State
from tests.helpers.fake_cameras import alarm, status, with_files
from tests.live.outputs.asking import TOKEN, Teacher, ask, raw, streaming, teach


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
    monkeypatch.setattr(web, "MAX_PAGES", 2)
    page = serve()
    with streaming(page) as first, streaming(page) as second:
        next(first), next(second)
        assert ask(page, "/events").status == 503

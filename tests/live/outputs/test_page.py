"""The page's server: what it gives to whom it knows."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from mpn.errors import DataError, MpnError
from mpn.live.outputs import web
from mpn.live.outputs.journal import JOURNAL, Journal
from mpn.live.outputs.metrics import Metrics
from mpn.live.outputs.page import Page
from mpn.live.outputs.settings import PageConfig
from mpn.live.status import State
from tests.helpers.fake_cameras import alarm, scores, status, with_files
from tests.live.outputs.asking import TOKEN, Teacher, ask, events, streaming, teach


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


def test_who_hangs_up_within_a_post_is_no_error(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    page = serve(Teacher())
    host = f"127.0.0.1:{page.port}"
    head = f"POST /teach HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", page.port), 10) as line:
        line.sendall(head.encode())
        ask(page, "/healthz")  # what was sent before is being read by now
    ask(page, "/healthz")
    page.close(5)  # what is on its way comes to its end
    assert [record.getMessage() for record in caplog.records] == []


def test_without_a_teacher_the_command_is_told(serve: Any, out: Path) -> None:
    page = serve()
    page.alarm(with_files(alarm(1, "end"), out))
    answer = teach(page, {"alarm": alarm(1).id, "name": "a'; rm -rf ~"})
    text = answer.json()["text"]
    assert answer.status == 409 and "mpn teach" in text
    assert """--name='a'"'"'; rm -rf ~'""" in text


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
        list(found)  # the stream comes to its end

"""The page's answers: itself, what it loads, its stream, clips, teaching, health, figures."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp

import mpn.report
from mpn.errors import MpnError
from mpn.io.text import json_text
from mpn.live.outputs.board import Board
from mpn.live.outputs.guard import HEALTH, Access, Guard
from mpn.live.outputs.metrics import CONTENT_TYPE, Metrics
from mpn.live.outputs.stream import alarm_fields, stream
from mpn.live.status import State

log = logging.getLogger(__name__)

# What a click asks for: the alarm's id and what it shows, None for something normal. It returns
# what was done, in words, and raises MpnError where it cannot be done.
Teach = Callable[[str, str | None], str]

MAX_PAGES = 64  # that are open at the same time
SILENT_SECONDS = 30.0  # without a word from the loop, after which it is taken to hang
BODY_SECONDS = 10.0  # for a post to arrive
LONGEST_NAME = 40  # characters of what an event is called
HEALTHY = (State.WATCHING, State.LEARNING, State.ENDED)
MEDIA_TYPES = {
    ".webm": "video/webm",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
}
ASSET_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_HERE = Path(__file__).parent
# Colours and basic forms are those of the report.
_OF_REPORT = Path(mpn.report.__file__).parent / "assets"
SHARED_ASSETS = ("base.css", "theme.js")
NOT_OURS = "not a request of the page"


class _Lesson(NamedTuple):
    """What the page asks to be taught."""

    alarm: str
    name: str | None


@lru_cache(maxsize=1)
def assets() -> dict[str, bytes]:
    """Read all that the page loads, by name."""
    page_assets = (_HERE / "assets").iterdir()
    paths = [*page_assets, *(_OF_REPORT / name for name in SHARED_ASSETS)]
    return {path.name: path.read_bytes() for path in paths if path.suffix in ASSET_TYPES}


def how_to_teach(name: str | None) -> str:
    """Tell the commands that teach a camera where a click cannot.

    The clip does not do: the score is drawn into it.

    Args:
        name: what the event shows, None for something normal.
    """
    option = "--normal" if name is None else f"--name={shlex.quote(name)}"
    return (
        "This watcher cannot teach by a click. With a recording of that time and the camera's "
        "file, in a terminal: mpn score RECORDING --checkpoint CAMERA_FILE; then mpn teach "
        f"CAMERA_FILE runs/score/RECORDING/events.json#NUMBER {option}"
    )


class Site:
    """Answers of one watcher.

    Args:
        board: what is shown.
        access: who may come.
        metrics: of /metrics; None for none.
        teach: see `Teach`; None: the page tells the commands.
    """

    def __init__(
        self, board: Board, access: Access, metrics: Metrics | None, teach: Teach | None
    ) -> None:
        self.board, self.access, self.metrics, self.teach = board, access, metrics, teach
        self._teaching = asyncio.Lock()

    def app(self) -> ASGIApp:
        """Return what a server runs."""
        routes = [
            Route("/", self._page),
            Route("/assets/{name}", self._asset),
            Route("/events", self._events),
            Route("/alarms", self._alarms),
            Route("/snapshots/{alarm}", self._snapshot),
            Route("/clips/{alarm}", self._clip),
            Route("/teach", self._teach, methods=["POST"]),
            Route(HEALTH, self._health),
        ]
        if self.metrics is not None:
            routes.append(Route("/metrics", self._metrics))
        return Guard(Starlette(routes=routes), self.access)

    async def _page(self, request: Request) -> Response:
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        page = environment.get_template("watch.html.j2").render(longest_name=LONGEST_NAME)
        return Response(page, media_type="text/html")

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = assets().get(name)
        if content is None:
            return _missing()
        return Response(content, media_type=ASSET_TYPES[Path(name).suffix])

    async def _events(self, request: Request) -> Response:
        if self.board.listening >= MAX_PAGES:
            return PlainTextResponse("too many pages are open", 503)
        last = request.headers.get("last-event-id") or request.query_params.get("after")
        content = stream(self.board, _number(last))
        return StreamingResponse(
            content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _alarms(self, request: Request) -> Response:
        before = _number(request.query_params.get("before"))
        alarms = [alarm_fields(entry) for entry in self.board.entries(before=before)]
        return _json({"alarms": alarms})

    async def _snapshot(self, request: Request) -> Response:
        return await self._media("snapshot", request)

    async def _clip(self, request: Request) -> Response:
        return await self._media("clip", request)

    async def _media(self, kind: str, request: Request) -> Response:
        path = await run_in_threadpool(self.board.file, kind, request.path_params["alarm"])
        if path is None:
            return _missing()
        headers = {"Cache-Control": "private, max-age=3600"}
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix.lower()], headers=headers)

    async def _teach(self, request: Request) -> Response:
        try:
            lesson = _lesson(await asyncio.wait_for(request.body(), BODY_SECONDS))
        except (ValueError, KeyError, TypeError, RecursionError, ClientDisconnect):
            return _text_answer(NOT_OURS, 400)  # (who has hung up does not read it)
        except asyncio.TimeoutError:
            return _text_answer(NOT_OURS, 408)
        if self.board.alarm(lesson.alarm) is None:
            return _text_answer("there is no such event any more", 404)
        if self.teach is None:
            return _text_answer(how_to_teach(lesson.name), 409)
        async with self._teaching:  # a camera file is written by one at a time
            try:
                text = await run_in_threadpool(self.teach, *lesson)
            except (MpnError, OSError) as error:
                return _text_answer(" ".join(str(error).split()), 409)
        self.board.mark_taught(lesson.alarm, lesson.name or "normal")
        return _text_answer(text, 200)

    async def _health(self, request: Request) -> Response:
        """Say whether all cameras are watched; which are not is told to who knows the token.

        With ?cameras=no: whether the loop lives, for what would start it again otherwise.
        """
        told_at, cameras = self.board.told, self.board.cameras
        if told_at is None:
            return PlainTextResponse("starting\n", 503)
        silent = time.monotonic() - told_at
        if silent > SILENT_SECONDS:
            return PlainTextResponse(f"no word from the cameras for {silent:.0f} s\n", 503)
        ill = {
            name: status.state.value
            for name, status in cameras.items()
            if status.state not in HEALTHY
        }
        if not ill or request.query_params.get("cameras") == "no":
            return PlainTextResponse("ok\n")
        text = f"{len(ill)} of {len(cameras)} cameras are not watched\n"
        if self.access.knows_token(request):
            text += "".join(f"{name}: {state}\n" for name, state in ill.items())
        return PlainTextResponse(text, 503)

    async def _metrics(self, request: Request) -> Response:
        assert self.metrics is not None
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _number(text: str | None) -> int | None:
    """Read a number of an alarm, None where it is none."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else None


def _lesson(body: bytes) -> _Lesson:
    """Read a request to teach; ValueError, KeyError or TypeError for anything else."""
    document = json.loads(body)
    alarm, name = document["alarm"], document["name"]
    if not isinstance(alarm, str) or not isinstance(name, str | None):
        raise TypeError(document)
    if name is not None:
        name = name.strip()
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise ValueError(name)
    return _Lesson(alarm, name)


def _json(values: Any, status: int = 200) -> Response:
    return Response(json_text(values), status, media_type="application/json")


def _text_answer(text: str, status: int) -> Response:
    return JSONResponse({"text": text}, status)


def _missing() -> Response:
    return PlainTextResponse("there is no such thing here", 404)

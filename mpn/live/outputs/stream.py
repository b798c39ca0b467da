"""What an open page is sent as it happens: server-sent events, each with JSON values.

    event: cameras   where the cameras stand, and when that was (Unix seconds, by the clock here):
                     all of each at first, then only newer scores
    event: alarm     an event that began or is over, with the id of its line in the journal, so that
                     a browser that was cut off asks for what it has missed (Last-Event-ID)
    event: taught    what was taught, by alarm

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from mpn.io.text import json_text
from mpn.live.outputs.board import Board, Entry
from mpn.live.outputs.journal import status_dict
from mpn.live.status import CameraStatus

FIRST_ALARMS = 100  # that a page gets when it is opened
MAX_MISSED = 1000
HEARTBEAT_SECONDS = 15.0  # of silence, after which proxies would cut the line
CALM_SECONDS = 0.2  # news of so long go together
RETRY_MILLISECONDS = 2000  # until a browser tries again
DIGITS = 4  # of a score


def _brief(value: float) -> float | None:
    """Round a score to some significant digits."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


class Cameras:
    """What one page has been sent of the cameras.

    Args:
        board: where they stand.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._until: dict[str, float] = {}  # camera -> the time of the last score sent

    def news(self) -> list[dict[str, Any]]:
        """Return where the cameras stand, each with the scores that are new to the page."""
        cameras = self.board.cameras
        self._until = {name: self._until[name] for name in cameras if name in self._until}
        return [self._status_of(name, status) for name, status in cameras.items()]

    def _status_of(self, name: str, status: CameraStatus) -> dict[str, Any]:
        until = self._until.get(name)
        points = [
            (round(at, 2), _brief(score))
            for at, score in status.recent
            if until is None or at > until
        ]
        if status.recent:
            self._until[name] = status.recent[-1][0]
        return {**status_dict(status), "points": points, "anew": until is None}


def message(kind: str, values: Any, number: int | None = None) -> bytes:
    """Write a server-sent event."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json_text(values)}\n\n".encode()


def alarm_message(entry: Entry) -> bytes:
    """Write an alarm as a server-sent event."""
    return message("alarm", alarm_fields(entry), entry.number)


def alarm_fields(entry: Entry) -> Mapping[str, Any]:
    """Return what the page reads of an alarm."""
    return {**entry.said, "number": entry.number}


async def stream(board: Board, after: int | None) -> AsyncIterator[bytes]:
    """Yield server-sent events until the page goes or the board closes.

    Args:
        board: where everything stands.
        after: the last alarm that the page knows; None: it knows none.
    """
    news = board.listen()
    try:
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        cameras, taught_number, told_at = Cameras(board), -1, None
        # What a browser knows of another folder, or of a journal that was taken away, is not ours.
        last_known = after if after is not None and after <= board.last_number else None
        yield message("hello", {"anew": last_known is None})
        limit = FIRST_ALARMS if last_known is None else MAX_MISSED
        last = last_known or 0
        while not board.closing:
            news.clear()
            for entry in board.entries(last, limit=limit):
                last = entry.number
                yield alarm_message(entry)
            limit = MAX_MISSED
            number, taught = board.taught()
            if number != taught_number:
                taught_number = number
                yield message("taught", taught)
            if board.told != told_at:
                told_at = board.told
                yield message("cameras", {"at": round(time.time(), 2), "cameras": cameras.news()})
            try:
                await asyncio.wait_for(news.wait(), HEARTBEAT_SECONDS)
                await asyncio.sleep(CALM_SECONDS)
            except asyncio.TimeoutError:
                yield b": still here\n\n"
    finally:
        board.leave(news)

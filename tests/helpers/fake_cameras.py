"""Cameras that are none: where they stand, what they score, their alarms with files."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mpn.live.status import Alarm, CameraStatus, State

NOW = 1_790_000_000.0
THRESHOLD = 2.0


def status(name: str = "lobby", state: State = State.WATCHING, **values: Any) -> CameraStatus:
    defaults = {
        "since": NOW - 300,
        "fps": 9.94,
        "frames": 2982,
        "received": 3000,
        "dropped": 18,
        "reconnects": 2,
        "lag": 0.12,
        "score": 1.25,
        "threshold": THRESHOLD,
        "events": 3,
    }
    return CameraStatus(name, f"rtsp://10.0.0.7/{name}", state, **(defaults | values))


def scores(until: float, seconds: float = 180, seed: int = 0, peak_at: float | None = None) -> Any:
    """(time, score) twice a second, with a hill of 12 s where one is asked for."""
    chance = random.Random(seed)
    own, level = [], 0.6
    for k in range(int(2 * seconds)):
        at = until - seconds + k / 2
        level += 0.15 * (0.6 - level) + chance.gauss(0, 0.09)
        hill = 0.0 if peak_at is None else 2.9 * math.exp(-(((at - peak_at) / 5) ** 2))
        own.append((at, max(0.05, level + hill)))
    return tuple(own)


def fields(**values: Any) -> dict[str, Any]:
    """What events.json says of an event."""
    return {
        "start": 100,
        "end": 142,
        "start_seconds": 10.0,
        "end_seconds": 14.2,
        "peak_frame": 120,
        "peak_score": 3.471,
        "region": [40, 60, 80, 50],
        "reason": {
            "kind": "fast",
            "sentence": "moves right at 128 px/s; 9 of 10 here move at up to 41",
        },
        "like": None,
        "started": "2026-09-21T14:13:20.000Z",
        "ended": "2026-09-21T14:13:24.200Z",
        "counts": True,
        "tracks": [],
    } | values


def alarm(number: int = 1, phase: str = "begin", camera: str = "lobby", **values: Any) -> Alarm:
    return Alarm(f"{camera}-20260921T141320Z-{number}", camera, phase, fields(**values))


def picture(seed: int, size: tuple[int, int] = (240, 426)) -> np.ndarray:
    """A street of sorts, uint8 (height, width, 3), with a box."""
    chance = np.random.default_rng(seed)
    height, width = size
    low, high = chance.integers(40, 90, 3), chance.integers(120, 190, 3)
    rows = np.linspace(0, 1, height)[:, None, None]
    image = np.tile(low + rows * (high - low), (1, width, 1)).astype(np.uint8)
    for _ in range(7):
        x, y = int(chance.integers(0, width)), int(chance.integers(80, height))
        colour = tuple(int(value) for value in chance.integers(30, 230, 3))
        cv2.ellipse(image, (x, y), (9, 26), 0, 0, 360, colour, -1)
    x, y = int(chance.integers(30, width - 90)), int(chance.integers(60, height - 90))
    cv2.rectangle(image, (x, y), (x + 60, y + 70), (80, 60, 240), 2)
    return image


def with_files(said: Alarm, out: Path, seed: int = 1, clip: bool = True) -> Alarm:
    """The alarm with its snapshot, and a clip of bytes that no browser plays."""
    folder = out / said.camera / "events"
    folder.mkdir(parents=True, exist_ok=True)
    snapshot, film = folder / f"{said.id}.jpg", folder / f"{said.id}.webm"
    snapshot.write_bytes(cv2.imencode(".jpg", picture(seed))[1].tobytes())
    if clip:
        film.write_bytes(bytes(range(256)) * 40)
    return replace(said, snapshot=snapshot, clip=film if clip else None)

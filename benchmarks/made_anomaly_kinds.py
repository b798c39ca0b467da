"""The kinds of made anomalies: changes to a stretch of normal frames (`benchmarks.made_anomalies`).

Each takes uint8 (n, H, W, C), where it begins in its clip, what moves in the clip and a generator,
and gives the changed stretch, or None where it does not work out there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

FADE = 3  # frames in which a changed area comes and goes


class Blob(NamedTuple):
    """Someone or something that moved.

    Attributes:
        piece: its pixels, float32 (h, w, C).
        alpha: how much each belongs to it, (h, w, 1) in [0, 1].
        frame: that it was cut from.
        centre: its (y, x) there.
        velocity: (y, x) in pixels a frame.
    """

    piece: np.ndarray
    alpha: np.ndarray
    frame: int
    centre: np.ndarray
    velocity: np.ndarray


def find_blobs(frames: np.ndarray, looks: int = 30) -> list[Blob]:
    """Cut out what moves in a clip, at `looks` moments.

    It is connected, apart from the border, and has one direction.
    """
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    area = frames.shape[1] * frames.shape[2]
    blobs = []
    for at in np.unique(np.linspace(0, len(frames) - 3, looks).astype(int)):
        around = frames[max(0, at - 75) : at + 76 : 8]  # light changes: not the whole clip's median
        difference = np.abs(frames[at].astype(np.int16) - np.median(around, axis=0)).max(axis=2)
        mask = cv2.morphologyEx(
            (difference > 20).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
        )
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        count, parts, boxes, centres = cv2.connectedComponentsWithStats(mask)
        moved = None
        for part in range(1, count):
            left, top, width, height, size = boxes[part]
            inside = (
                left > 1
                and top > 1
                and left + width < mask.shape[1] - 1
                and top + height < mask.shape[0] - 1
            )
            solid = size > 0.4 * width * height and max(width, height) < 4 * min(width, height)
            if not (inside and solid and 45 <= size <= 0.06 * area):
                continue
            if moved is None:
                first, second = (
                    np.ascontiguousarray(frames[i].mean(axis=2).astype(np.uint8))
                    for i in (at, at + 2)
                )
                moved = flow.calc(first, second, None) / 2
            velocity = np.median(moved[parts == part], axis=0)[::-1].astype(float)
            if np.hypot(*velocity) < 0.25:
                continue
            box = np.s_[top - 1 : top + height + 1, left - 1 : left + width + 1]
            inner = cv2.dilate((parts[box] == part).astype(np.uint8), np.ones((3, 3), np.uint8))
            alpha = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), 0.7)[..., None]
            blobs.append(
                Blob(
                    frames[at][box].astype(np.float32),
                    alpha,
                    int(at),
                    centres[part][::-1],
                    velocity,
                )
            )
    return blobs


def _paste(
    stretch: np.ndarray, piece: np.ndarray, alpha: np.ndarray, path: np.ndarray
) -> np.ndarray:
    """Paste a piece (h, w, C) whose centre follows the path (n, 2) of (y, x), to subpixels."""
    made = stretch.copy()
    height, width = stretch.shape[1:3]
    for t, (y, x) in enumerate(path):
        shift = np.float32([[1, 0, x - piece.shape[1] / 2], [0, 1, y - piece.shape[0] / 2]])
        opacity = cv2.warpAffine(alpha, shift, (width, height)).reshape(height, width, 1)
        colour = cv2.warpAffine(piece * alpha, shift, (width, height)).reshape(height, width, -1)
        made[t] = np.clip(np.round(made[t] * (1 - opacity) + colour), 0, 255)
    return made


def _straight(
    centre: np.ndarray, velocity: np.ndarray, count: int, size: Sequence[int]
) -> np.ndarray:
    """Make a path (count, 2) that is near `centre` half-way, and there inside the picture."""
    middle = np.clip(centre, np.array(size) * 0.2, np.array(size) * 0.8)
    return middle + velocity * (np.arange(count)[:, None] - count / 2)


def _someone(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> Blob | None:
    """Choose a blob of another time than the stretch, if there is one."""
    apart = [blob for blob in blobs if not start - 15 <= blob.frame < start + len(stretch) + 15]
    return apart[generator.integers(len(apart))] if apart else None


def _sideways(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> np.ndarray | None:
    blob = _someone(stretch, start, blobs, generator)
    if blob is None:
        return None
    turn = np.radians(generator.choice((-90.0, 90.0, 180.0)) + generator.uniform(-20, 20))
    speed = np.clip(np.hypot(*blob.velocity), 1.0, 3.5)
    angle = np.arctan2(*blob.velocity) + turn
    velocity = min(speed, 110 / len(stretch)) * np.array([np.sin(angle), np.cos(angle)])
    centre = blob.centre + generator.uniform(-15, 15, 2)
    return _paste(
        stretch,
        blob.piece,
        blob.alpha,
        _straight(centre, velocity, len(stretch), stretch.shape[1:3]),
    )


def _enlarged(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> np.ndarray | None:
    blob = _someone(stretch, start, blobs, generator)
    if blob is None:
        return None
    factor = generator.uniform(1.6, 2.2)
    size = (round(blob.piece.shape[1] * factor), round(blob.piece.shape[0] * factor))
    piece = cv2.resize(blob.piece, size, interpolation=cv2.INTER_CUBIC).reshape(
        size[1], size[0], -1
    )
    alpha = cv2.resize(blob.alpha, size)[..., None]
    speed = np.hypot(*blob.velocity)
    velocity = blob.velocity / speed * min(speed * factor, 110 / len(stretch))
    return _paste(
        stretch, piece, alpha, _straight(blob.centre, velocity, len(stretch), stretch.shape[1:3])
    )


def _drawn(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> np.ndarray | None:
    height, width, side = *stretch.shape[1:3], int(generator.integers(12, 27))
    mask = np.zeros((side + 4, side + 4), np.float32)
    middle = (side + 4) / 2
    if generator.random() < 0.5:
        axes = generator.uniform(0.35, 0.5, 2) * side
        cv2.ellipse(
            mask, ((middle, middle), tuple(2 * axes), float(generator.uniform(0, 180))), 1.0, -1
        )
    else:
        corner = int(generator.integers(4, 8))
        angles = 2 * np.pi * (np.arange(corner) + generator.uniform(0, 0.7, corner)) / corner
        radii = generator.uniform(0.38, 0.55, len(angles))[:, None] * side
        corners = middle + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1.0)
    alpha = cv2.GaussianBlur(mask, (0, 0), 0.7)[..., None]
    # Round a curve of constant radius: from a quarter to three quarters of a turn.
    count, speed = len(stretch), generator.uniform(1.5, 4.0)
    angles = generator.uniform(0, 2 * np.pi) + np.linspace(
        0, generator.uniform(0.5, 1.5) * np.pi, count
    )
    path = np.cumsum(speed * np.stack([np.sin(angles), np.cos(angles)], axis=1), axis=0)
    path += (
        np.array([height, width]) * generator.uniform(0.35, 0.65, 2)
        - (path.min(axis=0) + path.max(axis=0)) / 2
    )
    noise = cv2.resize(
        generator.normal(0, 1, (side // 3 + 2,) * 2).astype(np.float32), mask.shape[::-1]
    )
    level = float(stretch[0].mean()) + generator.choice((-1, 1)) * generator.uniform(30, 80)
    piece = np.repeat((level + 20 * noise)[..., None], stretch.shape[3], axis=2).astype(np.float32)
    return _paste(stretch, np.clip(piece, 5, 250), alpha, path)


def _area(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray | None:
    """Make a soft rounded rectangle, float32 (H, W, 1), round a point sampled by weights (H, W)."""
    height, width = weights.shape
    weights = cv2.blur(weights.astype(np.float32), (9, 9)).astype(np.float64)
    if weights.max() <= 0.02:
        return None
    flat = (weights * (weights > 0.3 * weights.max())).ravel()
    y, x = divmod(int(generator.choice(len(flat), p=flat / flat.sum())), width)
    half = generator.uniform((0.13, 0.09), (0.25, 0.19)) * (height, width)
    rows, columns = (np.arange(n, dtype=np.float32) for n in (height, width))
    radius = (
        np.abs((rows[:, None] - y) / half[0]) ** 4 + np.abs((columns - x) / half[1]) ** 4
    ) ** 0.25
    return np.clip((1 - radius) * 6, 0, 1)[..., None].astype(np.float32)


def _motion(stretch: np.ndarray) -> np.ndarray:
    """Measure the share of frames (H, W) in which a position changes, frame to next but one."""
    change = np.abs(stretch[2:].astype(np.int16) - stretch[:-2]).max(axis=3)
    return (change > 14).mean(axis=0)


def _blend(stretch: np.ndarray, other: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Blend `other` in within the area, coming and going over a few frames."""
    times = np.arange(len(stretch))
    fade = np.clip(np.minimum(times + 1, len(stretch) - times) / (FADE + 1), 0, 1)[
        :, None, None, None
    ]
    alpha = area * fade.astype(np.float32)
    return np.clip(np.round(stretch + alpha * (other - stretch.astype(np.float32))), 0, 255).astype(
        np.uint8
    )


def _reversed(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> np.ndarray | None:
    area = _area(_motion(stretch), generator)
    return None if area is None else _blend(stretch, stretch[::-1], area)


def _frozen(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> np.ndarray | None:
    area = _area(_motion(stretch), generator)
    slow = generator.choice((0.0, 0.33))
    return (
        None
        if area is None
        else _blend(stretch, stretch[(np.arange(len(stretch)) * slow).astype(int)], area)
    )


def _shaken(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> np.ndarray | None:
    grey = stretch[0].mean(axis=2).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)) / 255
    area = _area(edges, generator)
    if area is None:
        return None
    height, width = grey.shape
    other = np.empty_like(stretch)
    for t, frame in enumerate(stretch):
        angle, distance = generator.uniform(0, 2 * np.pi), generator.uniform(1.0, 2.5)
        shift = np.float32([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]])
        other[t] = cv2.warpAffine(
            frame, shift, (width, height), borderMode=cv2.BORDER_REFLECT
        ).reshape(frame.shape)
    return _blend(stretch, other, area)


KINDS: dict[str, Callable[..., np.ndarray | None]] = {
    "reversed": _reversed,
    "sideways": _sideways,
    "drawn": _drawn,
    "frozen": _frozen,
    "enlarged": _enlarged,
    "shaken": _shaken,
}

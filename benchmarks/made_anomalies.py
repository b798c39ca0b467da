"""The choice set of real footage (PROTOCOL section 5): held-out normal frames with anomalies made
into them.

    python -m benchmarks.made_anomalies SCENES --out FOLDER      a picture a scene, to look at them

The kinds are not those that the pseudo-anomaly head is trained on (`mpn.datasets.pseudo_anomalies`:
speed-ups, and pieces of frames that slide straight on). They last one to three seconds and are
labelled where they can be seen:
    reversed   an area runs backwards
    sideways   someone of the same clip, across or against the way he went
    enlarged   someone of the same clip, 1.6 to 2.2 times as large
    drawn      a patterned polygon or ellipse on a curved path
    frozen     an area stands still, or runs at a third of its speed
    shaken     an area trembles
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mpn.datasets.layouts import recognise
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import DataError
from mpn.model.config import get_config

# A pixel differs visibly by so many grey levels; a frame, by so many such pixels.
VISIBLE_CHANGE, VISIBLE_PIXELS = 12, 24
# Of the frames of an event so many have to be visible; shorter gaps between them are labelled too.
VISIBLE_SHARE, LONGEST_GAP = 0.6, 5
FADE = 3  # frames in which a changed area comes and goes
RATES = (8.0, 30.0)  # frames/s: headers that say otherwise are not believed
LEAST_TEST, MOST_TEST = 40, 300  # test frames of a scene


class Event(NamedTuple):
    """What was made, in frames start to end (exclusive), the first and the last of which show
    it."""

    kind: str
    start: int
    end: int


@dataclass
class Made:
    """Footage with anomalies: frames uint8 (T, H, W, C), labels bool (T,), masks bool (T, H, W)
    where they show."""

    frames: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    events: list[Event]


class Blob(NamedTuple):
    """Someone or something that moved: its pixels (h, w, C) float32, how much each belongs to it
    (h, w, 1) in [0, 1], the frame it was cut from, its centre (y, x) there and its velocity (y, x)
    in pixels a frame."""

    piece: np.ndarray
    alpha: np.ndarray
    frame: int
    centre: np.ndarray
    velocity: np.ndarray


def make(frames: np.ndarray, fps: float | None, seed: int, *, first_kind: int = 0) -> Made:
    """Makes events into about half of the frames, the kinds in turn.

    Args:
        frames: uint8 (T, H, W, C), normal; objects are cut from them too. They are not changed.
        fps: frames/s, taken as 25 where unknown.
        first_kind: where the turn begins, so that short clips together have all kinds.
    """
    generator = np.random.default_rng((seed, 77))
    made = Made(frames.copy(), np.zeros(len(frames), bool), np.zeros(frames.shape[:3], bool), [])
    blobs = find_blobs(frames)
    turn = first_kind
    for start, end in _stretches(len(frames), float(np.clip(fps or 25.0, *RATES)), generator):
        for _ in range(2 * len(KINDS)):  # a kind that does not work out here gives way to the next
            kind = list(KINDS)[turn % len(KINDS)]
            turn += 1
            changed = KINDS[kind](frames[start:end], start, blobs, generator)
            if changed is not None and _add(made, changed, start, kind):
                break
    return made


def _stretches(count: int, rate: float, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Where events go: one to three seconds each, at most a third of the footage, and as much
    between them."""
    longest = min(3 * rate, count / 3)
    shortest = min(rate, longest / 1.5)
    found, at = [], int(generator.uniform(shortest, longest) / 2) + 5
    while at + shortest < count - 3:
        end = min(at + int(generator.uniform(shortest, longest)), count - 3)
        found.append((at, end))
        at = end + int(generator.uniform(shortest, longest))
    return found


def _add(made: Made, changed: np.ndarray, start: int, kind: str) -> bool:
    """Puts a changed stretch in, if it can be seen in enough of its frames."""
    end = start + len(changed)
    difference = (
        np.abs(changed.astype(np.int16) - made.frames[start:end]).max(axis=3) > VISIBLE_CHANGE
    )
    seen = np.flatnonzero(difference.sum(axis=(1, 2)) >= VISIBLE_PIXELS)
    if len(seen) < VISIBLE_SHARE * len(changed):
        return False
    labels = np.zeros(len(changed), bool)
    labels[seen] = True
    for before, after in zip(seen, seen[1:]):
        if after - before <= LONGEST_GAP:
            labels[before:after] = True
    made.frames[start:end] = changed
    made.labels[start:end] = labels
    made.masks[start:end] = difference & labels[:, None, None]
    made.events.append(Event(kind, start + int(seen[0]), start + int(seen[-1]) + 1))
    return True


def find_blobs(frames: np.ndarray, looks: int = 30) -> list[Blob]:
    """What moves in a clip, cut out at `looks` moments: connected, apart from the border, with one
    direction."""
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
            own = cv2.dilate((parts[box] == part).astype(np.uint8), np.ones((3, 3), np.uint8))
            alpha = cv2.GaussianBlur(own.astype(np.float32), (0, 0), 0.7)[..., None]
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
    """The stretch with a piece (h, w, C) whose centre follows the path (n, 2) of (y, x), to
    fractions of a pixel."""
    made = stretch.copy()
    height, width = stretch.shape[1:3]
    for t, (y, x) in enumerate(path):
        shift = np.float32([[1, 0, x - piece.shape[1] / 2], [0, 1, y - piece.shape[0] / 2]])
        where = cv2.warpAffine(alpha, shift, (width, height)).reshape(height, width, 1)
        what = cv2.warpAffine(piece * alpha, shift, (width, height)).reshape(height, width, -1)
        made[t] = np.clip(np.round(made[t] * (1 - where) + what), 0, 255)
    return made


def _straight(
    centre: np.ndarray, velocity: np.ndarray, count: int, size: Sequence[int]
) -> np.ndarray:
    """A path (count, 2) with this velocity that is near `centre` half-way, and there inside the
    picture."""
    middle = np.clip(centre, np.array(size) * 0.2, np.array(size) * 0.8)
    return middle + velocity * (np.arange(count)[:, None] - count / 2)


def _someone(
    stretch: np.ndarray, start: int, blobs: Sequence[Blob], generator: np.random.Generator
) -> Blob | None:
    """A blob of another time than the stretch, if there is one."""
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
    """A soft rounded rectangle, float32 (H, W, 1), around a point drawn by these weights (H, W)."""
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
    """Share of the frames (H, W) in which each position changes from one frame to the one after the
    next."""
    change = np.abs(stretch[2:].astype(np.int16) - stretch[:-2]).max(axis=3)
    return (change > 14).mean(axis=0)


def _blend(stretch: np.ndarray, other: np.ndarray, area: np.ndarray) -> np.ndarray:
    """`other` within the area, coming and going over a few frames."""
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
        angle, far = generator.uniform(0, 2 * np.pi), generator.uniform(1.0, 2.5)
        shift = np.float32([[1, 0, far * np.cos(angle)], [0, 1, far * np.sin(angle)]])
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


class Choice(NamedTuple):
    """One scene of the choice set.

    Attributes:
        training: the first half of its longest clip, and its other clips whole; normal.
        normal: test footage as it is, from the other half, a second later.
        made: the same frames with anomalies, once or several times with other ones.
        truth: by the names of `made`.
    """

    scene: str
    training: list[Clip]
    normal: Clip
    made: list[Clip]
    truth: dict[str, Made]


def choice_set(clips: Sequence[Clip], seed: int = 0) -> list[Choice]:
    """The choice set of clips of normal footage, by scene. Raises DataError for a scene that is too
    short."""
    found = []
    for number, scene in enumerate(dict.fromkeys(clip.scene for clip in clips)):
        own = sorted(
            (clip for clip in clips if clip.scene == scene), key=lambda clip: -len(clip.frames)
        )
        cut = len(own[0].frames) // 2
        gap = round(float(np.clip(own[0].fps or 25.0, *RATES)))
        first = replace(
            own[0], frames=own[0].frames[:cut], bad=[bad for bad in own[0].bad if bad.index < cut]
        )
        frames = own[0].frames[cut + gap :][:MOST_TEST]
        if len(frames) < LEAST_TEST:
            raise DataError(
                f"scene {scene}: {len(frames)} frames are left to test on, "
                f"{LEAST_TEST} are needed: its longest clip has {len(own[0].frames)} "
                "frames"
            )
        normal = Clip(f"{scene}-normal", scene, frames, own[0].fps)
        made, truth = [], {}
        for version in range(max(1, MOST_TEST // len(frames))):
            one = make(
                frames, own[0].fps, seed + 100 * number + version, first_kind=number + 3 * version
            )
            made.append(replace(normal, name=f"{scene}-made{version + 1}", frames=one.frames))
            truth[made[-1].name] = one
        found.append(Choice(scene, [first, *own[1:]], normal, made, truth))
    return found


def contact_sheet(made: Made, columns: int = 8) -> np.ndarray:
    """A row an event, uint8 BGR: frames spread over it, what was changed outlined, the kind written
    on it."""
    rows = []
    for event in made.events:
        tiles = []
        for t in np.linspace(event.start, event.end - 1, columns).astype(int):
            tile = np.ascontiguousarray(
                np.repeat(made.frames[t].mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
            )
            outlines, _ = cv2.findContours(
                made.masks[t].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(tile, outlines, -1, (0, 140, 255), 1)
            cv2.putText(
                tile, f"{event.kind} {t}", (3, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 255, 255), 1
            )
            tiles.append(
                cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
            )
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main() -> None:
    """Writes SCENE-madeN.png for every version of every scene; prints what was made."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "data", type=Path, metavar="SCENES", help="normal footage, a folder a camera"
    )
    arguments.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    small = get_config("small")
    args.out.mkdir(parents=True, exist_ok=True)
    for choice in choice_set(
        load_clips(recognise(args.data).training, small.size, small.grey), args.seed
    ):
        for name, made in choice.truth.items():
            if made.events:
                cv2.imwrite(str(args.out / f"{name}.png"), contact_sheet(made))
            kinds = ", ".join(f"{event.kind} {event.end - event.start}" for event in made.events)
            print(
                f"{name}: {made.labels.sum()} of {len(made.labels)} frames anomalous: "
                f"{kinds or 'nothing'}"
            )


if __name__ == "__main__":
    main()

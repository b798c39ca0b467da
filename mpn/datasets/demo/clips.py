"""What a clip of a scene holds: who walks through, what goes wrong in it, and its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from mpn.datasets.demo.actors import Actor, Left, Rider, Thrown, Trip, Walker, Way
from mpn.datasets.demo.bodies import greyish, make_figure
from mpn.datasets.demo.drawing import (
    Colour,
    Sprite,
    cast_shadow,
    composite,
    depth,
    render,
    three_channels,
)
from mpn.datasets.demo.scene import Scene

KINDS = ("vehicle", "cyclist", "runner", "wrong direction", "thrown object", "abandoned object")
MIN_PIXELS = 6  # an anomaly that shows fewer pixels is not labelled
_BANK = 384  # side of the noise field that every frame takes a piece of, pixels


@dataclass(frozen=True)
class Light:
    """How the light of a clip changes: slow waves, a step of the exposure, and a cloud's shadow."""

    waves: tuple[tuple[float, float, float], ...]  # (amplitude, period in seconds, phase)
    step: tuple[float, float]  # (second, relative change)
    cloud: np.ndarray  # float32 (h, w), share of light taken, a strip wider than the picture
    drift: tuple[float, float]  # cells of `cloud` at second 0, and a second

    def at(self, time: float, size: tuple[int, int]) -> np.ndarray:
        """Compute the light, 1 = plain daylight.

        Args:
            time: seconds.
            size: (H, W) of the frame.

        Returns:
            float32 (H, W).
        """
        level = 1 + sum(
            a * np.sin(2 * np.pi * time / period + phase) for a, period, phase in self.waves
        )
        level *= 1 + self.step[1] / (1 + np.exp(-(time - self.step[0]) / 0.4))
        rows, columns = self.cloud.shape[0], self.cloud.shape[0] * size[1] // size[0]
        left = self.drift[0] + self.drift[1] * time
        shift = np.array([[1, 0, -left], [0, 1, 0]], np.float32)
        part = cv2.warpAffine(self.cloud, shift, (columns, rows), borderMode=cv2.BORDER_REFLECT)
        return np.float32(level) * (
            1 - cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR)
        )


class Frame(NamedTuple):
    """One frame of a clip.

    Attributes:
        image: uint8 (H, W, 3), BGR.
        tracks: number of an anomalous track -> its visible pixels, bool (H, W).
    """

    image: np.ndarray
    tracks: dict[int, np.ndarray]


@dataclass(frozen=True)
class Clip:
    """One stretch of footage of a scene; nothing is rendered before `frames` is called."""

    name: str
    scene: Scene
    length: int  # frames
    normal: tuple[Actor, ...]
    anomalies: tuple[Actor, ...]
    light: Light
    key: int  # of the sensor's noise

    def kind(self, track: int) -> str:
        """Return the kind of the anomaly, one of `KINDS`, that is track number `track`."""
        return next(actor.kind for actor in self.anomalies if actor.track == track)

    def frames(self, anomalies: bool = True) -> Iterator[Frame]:
        """Render the frames in order.

        Args:
            anomalies: False leaves the anomalous actors out; all else stays the same.
        """
        rng = np.random.default_rng([self.scene.seed, self.scene.index, self.key, 9])
        bank = rng.standard_normal(
            (_BANK + self.scene.camera.height, _BANK + self.scene.camera.width), np.float32
        )
        actors = self.normal + (self.anomalies if anomalies else ())
        for number in range(self.length):
            row, column = rng.integers(0, _BANK, 2)
            noise = bank[
                row : row + self.scene.camera.height, column : column + self.scene.camera.width
            ]
            yield self._render(actors, number / self.scene.fps, noise)

    def _render(self, actors: tuple[Actor, ...], time: float, noise: np.ndarray) -> Frame:
        scene, camera = self.scene, self.scene.camera
        layer = np.zeros((camera.height, camera.width), np.uint8)
        # (metres away, number of the anomalous track or 0, what is seen)
        sprites: list[tuple[float, int, Sprite]] = [
            (far, 0, sprite) for far, sprite in scene.statics
        ]
        for actor in actors:
            body = actor.body(camera, time)
            if body is None:
                continue
            cast_shadow(camera, layer, body, scene.sun)
            sprite = render(camera, body)
            if sprite is not None:
                sprites.append((depth(body), actor.track, sprite))
        sprites.sort(key=lambda entry: -entry[0])
        in_light = 1 - scene.shadow / 255 * cv2.GaussianBlur(layer, (0, 0), 0.9).astype(np.float32)
        picture = scene.background * three_channels(in_light)
        owner = np.zeros(layer.shape, np.int32)
        for _, track, sprite in sprites:
            region = owner[composite(picture, sprite)]
            region[sprite.alpha > 0.5] = track
        light = self.light.at(time, layer.shape)
        picture *= cv2.merge([light * channel for channel in scene.tint])
        blue, green, red = cv2.split(picture)
        grey = three_channels((blue + green + red) / np.float32(3))
        picture = cv2.GaussianBlur(grey + 0.75 * (picture - grey), (0, 0), 0.55)
        picture += three_channels(scene.noise * noise)
        visible = {track: owner == track for track in sorted({entry[1] for entry in sprites} - {0})}
        tracks = {track: mask for track, mask in visible.items() if mask.sum() >= MIN_PIXELS}
        return Frame(np.clip(np.rint(picture), 0, 255).astype(np.uint8), tracks)


def make_light(rng: np.random.Generator, length: float) -> Light:
    """Choose the light of a clip.

    Args:
        rng: of the choice.
        length: seconds of the clip.
    """
    waves = tuple(
        (rng.uniform(0.01, 0.035), rng.uniform(3, 18), rng.uniform(0, 6.3)) for _ in range(3)
    )
    step = (rng.uniform(0, length), rng.uniform(-0.12, 0.12) * (rng.random() < 0.5))
    cells = rng.standard_normal((5, 24)).astype(np.float32)
    field = cv2.resize(cells, (192, 20), interpolation=cv2.INTER_CUBIC)
    deep = rng.uniform(0.05, 0.3) if rng.random() < 0.7 else 0.0
    cloud = (deep / (1 + np.exp(-4 * (field - 0.2)))).astype(np.float32)
    return Light(waves, step, cloud, (rng.uniform(0, 40), rng.uniform(2, 7)))


def visible(scene: Scene, way: Way, direction: int) -> tuple[float, float]:
    """Find where along the way a person's middle is in the picture.

    Args:
        scene: with the camera.
        way: that is gone.
        direction: in which it is gone, +1 or -1.

    Returns:
        Metres gone at the first and at the last such place.
    """
    arcs = np.linspace(0, way.length, 200)
    points = np.stack([way.at(arc)[0] for arc in arcs]) + (0, 0.85, 0)
    pixels = scene.camera.project(points)
    inside = (
        (pixels[:, 0] > 0)
        & (pixels[:, 0] < scene.camera.width)
        & (pixels[:, 1] < scene.camera.height)
    )
    first, last = arcs[inside][[0, -1]]
    return (first, last) if direction > 0 else (way.length - last, way.length - first)


def make_traffic(rng: np.random.Generator, scene: Scene, length: float) -> tuple[Actor, ...]:
    """Make the walkers, alone and in groups, of a clip.

    The first are there when it begins.

    Args:
        rng: of all that is random.
        scene: where.
        length: seconds of the clip.
    """
    actors: list[Actor] = []
    for way in scene.ways:
        slowest = way.length / 0.9
        groups = max(2, rng.poisson(0.4 * way.rate * (length + slowest)))
        # no clip stays empty for long
        for turn in (np.arange(groups) + rng.random(groups)) / groups:
            begin = turn * (length + slowest) - slowest
            direction = way.one_way or int(rng.choice([-1, 1]))
            speed = float(np.clip(rng.normal(1.3, 0.2), 0.9, 1.75))
            right = -0.22 * way.width * direction if way.one_way == 0 else 0.0
            middle = right + rng.uniform(-0.2, 0.2) * way.width
            pauses = ()
            if rng.random() < 0.14:
                pauses = ((rng.uniform(0.25, 0.75) * way.length, rng.uniform(1.0, 4.0)),)
            members = int(rng.choice([1, 1, 1, 2, 2, 3]))
            for member in range(members):
                beside = middle + (member - (members - 1) / 2) * 0.62
                late = begin + rng.uniform(0, 0.5) * (members > 1)
                trip = Trip.along(way, direction, late, speed, beside, pauses)
                actors.append(
                    Walker("walker", 0, make_figure(rng), trip, start=rng.uniform(0, 6.3))
                )
    return tuple(actors)


class Event(NamedTuple):
    """Something that does not belong.

    Attributes:
        anomalies: what is anomalous.
        normal: who belongs to it and is not: who carries, who throws.
        end: the second from which it is out of view.
    """

    anomalies: tuple[Actor, ...]
    normal: tuple[Actor, ...]
    end: float


def make_event(
    rng: np.random.Generator, scene: Scene, kind: str, begin: float, track: int
) -> Event:
    """Make an anomaly.

    Args:
        rng: of its looks and its ways.
        scene: where.
        kind: one of `KINDS`.
        begin: the second at which it comes into view.
        track: its number, from 1.
    """
    if kind == "thrown object":
        return _throwing(rng, scene, begin, track)
    if kind == "abandoned object":
        return _leaving(rng, scene, begin, track)
    if kind == "wrong direction":
        way, speed = scene.ways[-1], rng.uniform(1.25, 1.7)
        direction = -way.one_way
    else:
        way = scene.ways[int(rng.integers(len(scene.ways)))]
        direction = way.one_way or int(rng.choice([-1, 1]))
        low, high = {"vehicle": (1.6, 3.2), "cyclist": (2.6, 4.6), "runner": (2.9, 4.0)}[kind]
        speed = rng.uniform(low, high)
    first, last = visible(scene, way, direction)
    slack = 2.0 if kind == "vehicle" else 0.6  # metres that a long body shows before its middle
    trip = Trip.along(
        way, direction, begin - max(0.0, first - slack) / speed, speed, rng.uniform(-0.3, 0.3)
    )
    look = make_figure(rng)
    paint = greyish(rng, 60, 200, spread=0.08)
    if kind == "vehicle":
        van = bool(rng.random() < 0.4) and float(way.points[:, 1].mean()) > scene.camera.focal / 14
        actor: Actor = Rider(kind, track, look, trip, paint, "van" if van else "cart")
    elif kind == "cyclist":
        actor = Rider(kind, track, look, trip, paint, "bicycle")
    else:
        actor = Walker(kind, track, look, trip, start=rng.uniform(0, 6.3))
    return Event((actor,), (), begin + (last - first + 2 * slack) / speed)


def _contrasting(rng: np.random.Generator) -> Colour:
    """Choose a dark or a bright colour, one that stands out from the ground."""
    low, high = ((30, 55), (185, 220))[int(rng.random() < 0.5)]
    return greyish(rng, low, high, spread=0.1)


def _visible_spot(rng: np.random.Generator, scene: Scene) -> tuple[Way, int, float]:
    way = scene.ways[int(rng.integers(len(scene.ways)))]
    direction = way.one_way or int(rng.choice([-1, 1]))
    return way, direction, rng.uniform(*visible(scene, way, direction))


def _spot(rng: np.random.Generator, scene: Scene) -> tuple[Way, int, float]:
    """Choose a way, a direction, and the metres gone at a place to stop.

    It is well inside the picture, not too far off.
    """
    way, direction, gone = _visible_spot(rng, scene)
    for _ in range(59):  # then it is taken as it is
        position = way.at(way.arc(direction, gone))[0]
        x, y = scene.camera.project(position[None])[0]
        if 0.12 < x / scene.camera.width < 0.88 and 0.52 < y / scene.camera.height < 0.97:
            break
        way, direction, gone = _visible_spot(rng, scene)
    return way, direction, gone


def _leaving(rng: np.random.Generator, scene: Scene, begin: float, track: int) -> Event:
    """Let someone stop, put something down at `begin` and go on; someone else takes it later."""
    way, direction, gone = _spot(rng, scene)
    speed, offset, rest = rng.uniform(1.1, 1.5), rng.uniform(-0.4, 0.4), 1.0
    end = begin + rng.uniform(4.0, 6.5)
    position, tangent = way.at(way.arc(direction, gone))
    side = np.array([-tangent[2], 0.0, tangent[0]])
    people = []
    for moment, span in ((begin, (-1e9, begin)), (end, (end, 1e9))):
        look = replace(make_figure(rng), bag="hand")
        trip = Trip.along(
            way, direction, moment - gone / speed - rest / 2, speed, offset, ((gone, rest),)
        )
        people.append(Walker("walker", 0, look, trip, rng.uniform(0, 6.3), span))
    sizes = ((0.55, 0.3, 0.62), (0.65, 0.45, 0.42), (0.5, 0.5, 0.5))
    size = sizes[int(rng.integers(3))]
    paint = _contrasting(rng)
    away = 0.55 if rng.random() < 0.5 else -0.55
    thing = Left(
        "abandoned object",
        track,
        position + side * (offset + away),
        tangent,
        size,
        paint,
        begin,
        end,
    )
    return Event((thing,), tuple(people), end)


def _throwing(rng: np.random.Generator, scene: Scene, begin: float, track: int) -> Event:
    """Let one person throw something up and catch it, or two throw it to each other.

    From `begin` on.
    """
    way, direction, gone = _spot(rng, scene)
    end = begin + rng.uniform(3.5, 6.0)
    speed, offset = rng.uniform(1.1, 1.5), rng.uniform(-0.4, 0.4)
    both = bool(rng.random() < 0.5) and gone + 3.2 < way.length
    people, hands = [], []
    for number in range(1 + both):
        gone_there = gone + 3.2 * number  # metres
        look = replace(make_figure(rng), bag="")
        rest = end - begin + 0.8
        trip = Trip.along(
            way, direction, begin - 0.4 - gone_there / speed, speed, offset, ((gone_there, rest),)
        )
        people.append(Walker("walker", 0, look, trip, start=rng.uniform(0, 6.3)))
        position, heading, _, _ = trip.pose_within(begin)
        facing = 0.35 * heading * (-1 if number else 1)
        hands.append(position + facing + (0, 0.62 * look.height, 0))
    paint = _contrasting(rng)
    thing = Thrown(
        "thrown object",
        track,
        (hands[0], hands[-1]),
        rng.uniform(1.0, 2.4),
        rng.uniform(0.2, 0.32),
        paint,
        begin,
        end,
    )
    return Event((thing,), tuple(people), end)


def make_clip(
    scene: Scene, name: str, key: int, length: int, events: tuple[tuple[str, float], ...] = ()
) -> Clip:
    """Make a clip.

    An event that reaches beyond the clip's end is there at its beginning too, one clip length
    earlier: so every part of a clip is as likely to show an anomaly as any other.

    Args:
        scene: where.
        name: of the clip.
        key: of its random numbers within the scene.
        length: frames.
        events: (kind, share of the clip at which it comes into view).
    """
    rng = np.random.default_rng([scene.seed, scene.index, key, 5])
    seconds = length / scene.fps
    light, traffic = make_light(rng, seconds), make_traffic(rng, scene, seconds)
    normal, anomalies = list(traffic), []
    for kind, share in events:
        state = rng.bit_generator.state
        for earlier in (0.0, seconds):
            rng.bit_generator.state = state
            event = make_event(rng, scene, kind, share * seconds - earlier, len(anomalies) + 1)
            if event.end > 0:
                anomalies += event.anomalies
                normal += event.normal
    return Clip(name, scene, length, tuple(normal), tuple(anomalies), light, key)

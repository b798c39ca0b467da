"""Who moves in the generated footage: walkers, and what does not belong there.

Every actor is a function of time: `body(camera, time)` gives its shape in the world, or None when
it is not there. Nothing is simulated step by step, so any frame can be rendered without the ones
before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mpn.datasets.demo import bodies
from mpn.datasets.demo.bodies import Figure
from mpn.datasets.demo.drawing import Body, Camera, Colour, Stand, blob, limb, shade

GRAVITY = 9.81  # m/s^2
# metres beyond the picture within which bodies are made: their shadows may fall into it
MARGIN = 3.0


@dataclass(frozen=True)
class Way:
    """A path on the ground that people take."""

    points: np.ndarray  # float64 (N, 2), (x, z) in metres
    width: float  # metres
    one_way: int  # 1 where all go along `points`, 0 for both directions
    rate: float  # walkers (or groups) a second
    arcs: np.ndarray = field(init=False)  # float64 (N,), metres from the first point

    def __post_init__(self) -> None:
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        object.__setattr__(self, "arcs", np.concatenate([[0.0], np.cumsum(steps)]))

    @property
    def length(self) -> float:
        """Return the metres from end to end."""
        return float(self.arcs[-1])

    def at(self, arc: float) -> tuple[np.ndarray, np.ndarray]:
        """Find the position (3,) on the ground and the unit tangent (3,) at `arc` metres."""
        ends = (max(0.0, arc - 0.3), arc, min(self.length, arc + 0.3))
        x, z = (
            np.interp(ends, self.arcs, self.points[:, 0]),
            np.interp(ends, self.arcs, self.points[:, 1]),
        )
        across, away = x[2] - x[0], z[2] - z[0]
        norm = np.hypot(across, away)
        return np.array([x[1], 0.0, z[1]]), np.array([across / norm, 0.0, away / norm])

    def arc(self, direction: int, gone: float) -> float:
        """Return the metres along `points` of a place on the way.

        Args:
            direction: +1 or -1, in which it is gone.
            gone: metres gone in it.
        """
        return gone if direction > 0 else self.length - gone


@dataclass(frozen=True)
class Trip:
    """One passage along a way: `arcs` metres (falling when against the way) at `times` seconds."""

    way: Way
    times: np.ndarray
    arcs: np.ndarray
    offset: float  # metres beside the middle of the way
    speed: float  # metres a second when moving

    @classmethod
    def along(
        cls,
        way: Way,
        direction: int,
        begin: float,
        speed: float,
        offset: float,
        pauses: tuple[tuple[float, float], ...] = (),
    ) -> Trip:
        """Plan a trip from end to end of a way.

        Args:
            way: that is taken.
            direction: +1 along its points, -1 against them.
            begin: the second at which it begins.
            speed: metres a second.
            offset: metres beside the middle of the way.
            pauses: stops, (metres gone, seconds) each.
        """
        times, gone = [begin], [0.0]
        for metres, seconds in pauses:
            arrival = times[-1] + (metres - gone[-1]) / speed
            times += [arrival, arrival + seconds]
            gone += [metres, metres]
        times.append(times[-1] + (way.length - gone[-1]) / speed)
        gone.append(way.length)
        arcs = np.array(gone) if direction > 0 else way.length - np.array(gone)
        return cls(way, np.array(times), arcs, offset, speed)

    def pose_within(self, time: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Find out how one walks at a time within the trip.

        Args:
            time: seconds, within the trip.

        Returns:
            Position (3,), heading (3,), metres gone, pace in [0, 1].
        """
        before, arc, after = np.interp((time - 0.2, time, time + 0.2), self.times, self.arcs)
        position, tangent = self.way.at(arc)
        heading = tangent if self.arcs[-1] > self.arcs[0] else -tangent
        # nobody walks quite straight
        beside = self.offset + 0.12 * np.sin(0.35 * arc + 7 * self.offset)
        position[0] -= tangent[2] * beside
        position[2] += tangent[0] * beside
        pace = min(1.0, abs(after - before) / (0.4 * self.speed))
        return position, heading, abs(arc - self.arcs[0]), pace

    def pose(self, time: float) -> tuple[np.ndarray, np.ndarray, float, float] | None:
        """Return `pose_within` the trip; None before and after it."""
        return self.pose_within(time) if self.times[0] <= time <= self.times[-1] else None

    def near(self, camera: Camera, time: float) -> tuple[Stand, float, float] | None:
        """Find where one stands, metres gone and pace at a time.

        Args:
            camera: that sees it.
            time: seconds.

        Returns:
            None before and after the trip, and where that is far from the picture.
        """
        pose = self.pose(time)
        if pose is None or not camera.near_view(pose[0], MARGIN):
            return None
        return Stand(camera, pose[0], pose[1]), pose[2], pose[3]


@dataclass(frozen=True)
class Actor:
    """Anything that moves or comes and goes in a clip."""

    kind: str
    track: int  # 0 for normal life, else a number of its own

    def body(self, camera: Camera, time: float) -> Body | None:
        """Make the shape at a time; None when absent or far from the picture.

        Args:
            camera: that sees it.
            time: seconds.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Walker(Actor):
    """A person on foot; also the runner and the one who goes the wrong way."""

    look: Figure
    trip: Trip
    start: float = 0.0  # radians, the gait's phase at the beginning
    # the seconds between which the bag is there; None: always
    carries: tuple[float, float] | None = None

    def body(self, camera: Camera, time: float) -> Body | None:
        step_of_trip = self.trip.near(camera, time)
        if step_of_trip is None:
            return None
        stand, gone, pace = step_of_trip
        running = self.kind == "runner"
        step = self.look.height * (0.31 + 0.074 * self.trip.speed + 0.1 * running)  # metres
        empty = self.carries is not None and not self.carries[0] <= time < self.carries[1]
        look = replace(self.look, bag="") if empty else self.look
        return bodies.person(look, stand, self.start + np.pi * gone / step, pace, running)


@dataclass(frozen=True)
class Rider(Actor):
    """A vehicle or a cyclist; shape: "bicycle", "cart" or "van"."""

    look: Figure
    trip: Trip
    paint: Colour
    shape: str

    def body(self, camera: Camera, time: float) -> Body | None:
        step_of_trip = self.trip.near(camera, time)
        if step_of_trip is None:
            return None
        stand, gone, _ = step_of_trip
        if self.shape == "bicycle":
            return bodies.cyclist(self.look, stand, gone / 0.9, self.paint)
        return (
            bodies.van(stand, self.paint)
            if self.shape == "van"
            else bodies.cart(self.look, stand, self.paint)
        )


@dataclass(frozen=True)
class Left(Actor):
    """Something left behind on the ground from `start` to `end` seconds."""

    position: np.ndarray
    heading: np.ndarray
    size: tuple[float, float, float]
    paint: Colour
    start: float
    end: float

    def body(self, camera: Camera, time: float) -> Body | None:
        if not self.start <= time < self.end:
            return None
        return bodies.luggage(Stand(camera, self.position, self.heading), self.size, self.paint)


@dataclass(frozen=True)
class Thrown(Actor):
    """Something thrown to and fro between two hands (or up and caught again where they are one)."""

    hands: tuple[np.ndarray, np.ndarray]  # (3,) each, in the world
    rise: float  # metres above the hands
    size: float  # radius, metres
    paint: Colour
    start: float
    end: float

    def body(self, camera: Camera, time: float) -> Body | None:
        if not self.start <= time < self.end:
            return None
        flight = 2 * np.sqrt(2 * self.rise / GRAVITY)
        number, within = divmod(time - self.start, flight)
        share = within / flight
        thrower, catcher = self.hands if int(number) % 2 == 0 else self.hands[::-1]
        position = thrower + (catcher - thrower) * share
        up = float(position[1]) + 4 * self.rise * share * (1 - share)
        turn = 0.7 * self.size * np.array([np.cos(5 * time), np.sin(5 * time)])
        stand = Stand(camera, position * (1, 0, 1), np.array([1.0, 0.0, 0.0]))
        parts = [
            limb(
                (-turn[0], 0, up - turn[1]),
                (turn[0], 0, up + turn[1]),
                0.75 * self.size,
                self.paint,
            ),
            blob((0, 0, up + self.size / 4), 0.45 * self.size, shade(self.paint, 1.25)),
        ]
        return stand.body(parts)

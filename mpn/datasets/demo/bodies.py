"""The shapes of people, vehicles and things in the generated footage.

Coordinates are a body's own: metres (ahead, to the left, up) from where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from mpn.datasets.demo.drawing import Body, Colour, Part, Point, Stand, blob, limb, shade


@dataclass(frozen=True)
class Figure:
    """How one person looks: height in metres, girth (1 = average), colours in BGR."""

    height: float
    girth: float
    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    coat: bool = False
    bag: str = ""  # "", "back" or "hand"
    bag_colour: Colour = (60.0, 60.0, 60.0)


def greyish(
    rng: np.random.Generator, low: float, high: float, warm: float = 0.0, spread: float = 0.04
) -> Colour:
    """Choose a colour at random.

    Args:
        rng: of the choice.
        low: lowest brightness, of 255.
        high: highest brightness.
        warm: above 0 leans to red, below to blue.
        spread: deviation of the channels from grey, relative.
    """
    grey = rng.uniform(low, high)
    factors = 1 + rng.normal(0, spread, 3) + np.array([-warm, 0.0, warm])
    blue, green, red = np.clip(grey * factors, 12, 235).tolist()
    return blue, green, red


def make_figure(rng: np.random.Generator) -> Figure:
    """Choose a person's size, clothes and bag at random."""

    def cloth() -> Colour:
        low, high = ((28, 80), (80, 200))[int(rng.random() < 0.5)]
        return greyish(rng, low, high, spread=0.07)

    tan = rng.uniform(0.45, 1.0)
    dark = rng.uniform(20, 75) if rng.random() < 0.85 else rng.uniform(110, 160)
    return Figure(
        height=float(np.clip(rng.normal(1.7, 0.1), 1.4, 1.95)),
        girth=rng.uniform(0.85, 1.25),
        shirt=cloth(),
        trousers=cloth(),
        skin=(140 * tan, 165 * tan, 205 * tan),
        hair=(dark * 0.8, dark * 0.9, dark),
        shoes=(40.0, 40.0, 45.0),
        coat=bool(rng.random() < 0.3),
        bag=str(rng.choice(["", "", "back", "hand"])),
        bag_colour=cloth(),
    )


def _hang(top: Point, length: float, angle: float) -> Point:
    """Find the lower end of a limb of so many metres that hangs from `top`, angle in radians."""
    return top[0] + length * sin(angle), top[1], top[2] - length * cos(angle)


def _leg(look: Figure, hip: Point, thigh: float, knee_bend: float) -> list[Part]:
    """Shape a leg from `hip` with the thigh turned forward and the knee bent, in radians."""
    h, g = look.height, look.girth
    knee = _hang(hip, 0.245 * h, thigh)
    ankle = _hang(knee, 0.245 * h, thigh - knee_bend)
    toe = (ankle[0] + 0.085 * h, ankle[1], ankle[2] - 0.012 * h)
    return [
        limb(ankle, toe, 0.024 * h, look.shoes),
        limb(knee, ankle, 0.029 * h * g, shade(look.trousers, 0.95)),
        limb(hip, knee, 0.043 * h * g, look.trousers),
    ]


def _arm(look: Figure, shoulder: Point, upper: float, bend: float, holds: bool) -> list[Part]:
    """Shape an arm from `shoulder`, turned forward and bent at the elbow, in radians.

    `holds`: with the bag.
    """
    h = look.height
    elbow = _hang(shoulder, 0.17 * h, upper)
    hand = _hang(elbow, 0.15 * h, upper + bend)
    bag = (
        [limb(hand, (hand[0], hand[1], hand[2] - 0.08 * h), 0.055 * h, look.bag_colour)]
        if holds
        else []
    )
    return [
        *bag,
        limb(elbow, hand, 0.021 * h, shade(look.shirt, 0.85)),
        blob(hand, 0.024 * h, look.skin),
        limb(shoulder, elbow, 0.028 * h * look.girth, shade(look.shirt, 0.9)),
    ]


def _trunk(look: Figure, stand: Stand, hips: float, neck: Point) -> list[Part]:
    """Shape hips, trunk, backpack and head of a person whose hips are `hips` metres up."""
    h, g = look.height, look.girth
    x, _, top = neck
    light = 0.03 * h * stand.lit
    trunk = [
        limb((0, -0.04 * h * g, hips), (0, 0.04 * h * g, hips), 0.052 * h * g, look.trousers),
        limb((0, 0, hips + 0.02 * h), (x, 0, top - 0.075 * h), 0.082 * h * g, look.shirt),
        limb(
            (x, -0.075 * h * g, top - 0.035 * h),
            (x, 0.075 * h * g, top - 0.035 * h),
            0.042 * h,
            look.shirt,
        ),
        limb(
            (0, light, hips + 0.04 * h),
            (x, light, top - 0.08 * h),
            0.035 * h * g,
            shade(look.shirt, 1.15),
        ),
    ]
    if look.coat:
        trunk.insert(
            1, limb((0, 0, hips - 0.17 * h), (0, 0, hips), 0.08 * h * g, shade(look.shirt, 0.95))
        )
    pack = []
    if look.bag == "back":
        pack = [
            limb(
                (x - 0.1 * h, 0, top - 0.09 * h),
                (-0.1 * h, 0, hips + 0.05 * h),
                0.06 * h,
                look.bag_colour,
            )
        ]
    head = (x + 0.02 * h, 0.0, top + 0.095 * h)
    hair = (head[0] - 0.018 * h, 0.0, head[2] + 0.018 * h)
    above = [
        limb((x, 0, top - 0.03 * h), head, 0.03 * h, shade(look.skin, 0.85)),
        blob(head, 0.058 * h, look.skin),
        blob(hair, 0.056 * h, look.hair),
    ]
    return (trunk + pack + above) if stand.away else (pack + trunk + above)


def person(look: Figure, stand: Stand, phase: float, pace: float, running: bool = False) -> Body:
    """Shape a person walking or running.

    Args:
        look: the person.
        stand: where.
        phase: radians of the double step.
        pace: how far legs and arms swing, 0 (standing) to 1.
        running: not walking.
    """
    h, g = look.height, look.girth
    swing, bend, lean, elbow = (0.85, 1.5, 0.22, 1.5) if running else (0.48, 0.75, 0.04, 0.25)
    bounce = (0.035 if running else 0.014) * h * pace * cos(2 * phase)
    hips = 0.515 * h + bounce - 0.03 * h * pace
    neck = (0.32 * h * sin(lean * pace), 0.0, hips + 0.32 * h * cos(lean * pace))
    legs, arms = {}, {}
    for sign in (-1, 1):
        turn = phase + (pi if sign > 0 else 0.0)
        hip = (0.0, sign * 0.052 * h, hips)
        legs[sign] = _leg(
            look, hip, swing * pace * sin(turn), bend * pace * max(0.0, cos(turn)) + 0.06
        )
        shoulder = (neck[0], sign * 0.105 * h * g, neck[2] - 0.02 * h)
        arms[sign] = _arm(
            look, shoulder, -0.8 * swing * pace * sin(turn), elbow, look.bag == "hand" and sign > 0
        )
    far, near = stand.far, -stand.far
    return stand.body(
        arms[far] + legs[far] + legs[near] + _trunk(look, stand, hips, neck) + arms[near]
    )


def cyclist(look: Figure, stand: Stand, turn: float, paint: Colour) -> Body:
    """Shape a person on a bicycle.

    Args:
        look: the person.
        stand: where.
        turn: radians by which the pedals are turned.
        paint: colour of the bicycle.
    """
    h, rim, dark = look.height, np.linspace(0, 2 * pi, 13), (35.0, 35.0, 35.0)
    bicycle = []
    for x in (-0.52, 0.52):
        wheel = [(x + 0.33 * cos(a), 0.0, 0.35 + 0.33 * sin(a)) for a in rim]
        bicycle += [limb(a, b, 0.03, dark) for a, b in zip(wheel[:-1], wheel[1:])]
    rear, front, crank = (-0.52, 0.0, 0.34), (0.52, 0.0, 0.34), (0.0, 0.0, 0.3)
    saddle, bar = (-0.22, 0.0, 0.9), (0.4, 0.0, 1.0)
    for a, b in (
        (rear, crank),
        (crank, saddle),
        (crank, bar),
        (saddle, bar),
        (bar, front),
        (saddle, rear),
    ):
        bicycle.append(limb(a, b, 0.028, paint))
    sides = {}
    for sign in (-1, 1):
        angle = turn + (pi if sign > 0 else 0.0)
        pedal = (0.16 * cos(angle), 0.1 * sign, 0.3 - 0.16 * sin(angle))
        knee = (pedal[0] / 2 + 0.09, 0.09 * sign, (0.95 + pedal[2]) / 2 + 0.06)
        sides[sign] = [
            limb(knee, pedal, 0.05, shade(look.trousers, 0.95)),
            limb((-0.22, 0.08 * sign, 0.95), knee, 0.075, look.trousers),
            limb((0.06, 0.17 * sign, 1.32), (0.4, 0.2 * sign, 1.0), 0.04, shade(look.shirt, 0.9)),
        ]
    rider = [
        limb((-0.22, 0.0, 0.96), (0.03, 0.0, 1.3), 0.15 * look.girth, look.shirt),
        blob((0.16, 0.0, 1.53), 0.062 * h, look.skin),
        blob((0.14, 0.0, 1.57), 0.062 * h, look.hair),
    ]
    return stand.body(sides[stand.far] + bicycle + rider + sides[-stand.far])


def _wheels(stand: Stand, base: float, track: float, radius: float) -> list[Part]:
    """Shape four wheels, the far ones first."""
    corners = [(a * base, b * track, radius) for a in (-1, 1) for b in (-1, 1)]
    corners.sort(key=lambda corner: -(corner[0] * stand.heading[2] + corner[1] * stand.left[2]))
    return [blob(corner, radius, (28.0, 28.0, 28.0)) for corner in corners]


def van(stand: Stand, paint: Colour) -> Body:
    """Shape a small delivery van, 3.6 m long and 1.95 m high.

    Args:
        stand: where.
        paint: its colour.
    """
    glass: Colour = (72.0, 64.0, 56.0)
    nose = stand.box((1.5, 0, 0.3), (0.75, 1.6, 0.75), paint)
    hold = stand.box((-0.25, 0, 0.3), (2.8, 1.65, 1.65), paint)
    pane = stand.box((0.75, 0, 1.15), (0.85, 1.67, 0.6), glass)  # side windows and windscreen
    pane = [face for face in pane if len({point[2] for point in face.points}) > 1]  # not its top
    stripe = stand.box((-0.6, 0, 0.75), (1.9, 1.66, 0.12), shade(paint, 0.6))
    # sides only
    stripe = [face for face in stripe if len({point[1] for point in face.points}) == 1]
    parts = hold + stripe + pane
    parts = (nose + parts) if stand.away else (parts + nose)
    wheels = _wheels(stand, 1.2, 0.55, 0.32)
    return stand.body(wheels[:2] + parts + wheels[2:])


def cart(look: Figure, stand: Stand, paint: Colour) -> Body:
    """Shape an open service cart, 2.2 m long, with a roof and a driver.

    Args:
        look: the driver.
        stand: where.
        paint: the cart's colour.
    """
    parts = _wheels(stand, 0.75, 0.38, 0.22)
    parts += stand.box((0, 0, 0.22), (2.2, 1.1, 0.4), paint)
    parts += stand.box((-0.75, 0, 0.62), (0.6, 1.05, 0.35), shade(paint, 0.7))
    parts += [
        limb((0.05, 0, 0.75), (0.05, 0, 1.2), 0.17, look.shirt),
        limb((0.05, 0, 0.75), (0.45, 0, 0.75), 0.09, look.trousers),
        blob((0.05, 0, 1.47), 0.12, look.skin),
        blob((0.03, 0, 1.51), 0.12, look.hair),
    ]
    for x in (-0.9, 0.75):
        for y in (-0.48, 0.48):
            parts.append(limb((x, y, 0.6), (x, y, 1.75), 0.035, (60.0, 60.0, 60.0)))
    return stand.body(parts + stand.box((-0.07, 0, 1.75), (1.9, 1.15, 0.1), (205.0, 208.0, 205.0)))


def luggage(stand: Stand, size: tuple[float, float, float], paint: Colour) -> Body:
    """Shape a case or a box with a handle.

    Args:
        stand: where.
        size: length, width, height in metres.
        paint: its colour.
    """
    top = size[2] + 0.1
    handle = limb((-size[0] / 4, 0, top), (size[0] / 4, 0, top), 0.025, shade(paint, 0.5))
    return stand.body([*stand.box((0, 0, 0), size, paint), handle])


def _tree(rng: np.random.Generator) -> list[Part]:
    top, green = rng.uniform(2.5, 3.4), np.array(greyish(rng, 62, 88)) * (0.8, 1.08, 0.88)
    parts = [limb((0, 0, 0), (0, 0, top), 0.11, greyish(rng, 50, 75, 0.1))]
    for _ in range(5):
        end = rng.normal(0, (0.5, 0.5, 0.3))
        parts.append(
            limb((0, 0, top - 0.4), (end[0], end[1], top + 0.5 + end[2]), 0.05, parts[0].colour)
        )
    clumps = rng.normal(0, (0.6, 0.6, 0.45), (11, 3)) + (0, 0, top + 0.65)
    leaves = np.concatenate([clump + rng.normal(0, 0.22, (26, 3)) for clump in clumps])
    for leaf in leaves[np.argsort(leaves[:, 2])]:
        light = 0.78 + 0.26 * (leaf[2] - top - 0.3) + rng.normal(0, 0.13)
        colour = shade(tuple(green), min(1.5, max(0.4, light)))
        parts.append(blob(tuple(leaf), rng.uniform(0.06, 0.17), colour))
    return parts


def _bench(rng: np.random.Generator, stand: Stand) -> list[Part]:
    wood, iron = greyish(rng, 85, 120, 0.12), (60.0, 60.0, 60.0)
    legs = stand.box((-0.7, 0, 0), (0.1, 0.4, 0.42), iron) + stand.box(
        (0.7, 0, 0), (0.1, 0.4, 0.42), iron
    )
    back = stand.box((0, 0.25, 0.5), (1.8, 0.06, 0.4), wood)
    return legs + back + stand.box((0, 0, 0.4), (1.8, 0.45, 0.07), wood)


def _planter(rng: np.random.Generator, stand: Stand) -> list[Part]:
    green = np.array(greyish(rng, 70, 95)) * (0.85, 1.06, 0.9)
    parts = stand.box((0, 0, 0), (1.3, 0.8, 0.5), greyish(rng, 120, 160, 0.04))
    for _ in range(60):
        x, y, z = rng.normal(0, (0.35, 0.18, 0.1))
        parts.append(
            blob(
                (x, y, 0.58 + z),
                rng.uniform(0.05, 0.12),
                shade(tuple(green), rng.uniform(0.6, 1.25)),
            )
        )
    return parts


def furniture(rng: np.random.Generator, name: str, stand: Stand) -> Body:
    """Shape something that always stands there.

    Args:
        rng: of its size and colours.
        name: "tree", "lamp", "bench", "bin", "planter" or "bollard".
        stand: where.
    """
    grey = greyish(rng, 45, 85)
    if name == "tree":
        parts = _tree(rng)
    elif name == "bench":
        parts = _bench(rng, stand)
    elif name == "planter":
        parts = _planter(rng, stand)
    elif name == "lamp":
        parts = [limb((0, 0, 0), (0, 0, 4.6), 0.06, grey), limb((0, 0, 0), (0, 0, 0.5), 0.11, grey)]
        parts.append(limb((0, 0, 4.6), (0.5, 0, 4.6), 0.09, shade(grey, 1.4)))
    elif name == "bin":
        parts = [
            limb((0, 0, 0.25), (0, 0, 0.75), 0.25, grey),
            limb((0, 0, 0.87), (0, 0, 0.9), 0.2, shade(grey, 1.5)),
        ]
    else:
        parts = [
            limb((0, 0, 0), (0, 0, 0.85), 0.08, grey),
            blob((0, 0, 0.9), 0.1, shade(grey, 2.2)),
        ]
    return stand.body(parts)

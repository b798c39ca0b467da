"""The places of the generated footage: a camera, the ground and houses that it sees, the ways."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mpn.datasets.demo.actors import Way
from mpn.datasets.demo.bodies import furniture, greyish
from mpn.datasets.demo.drawing import Body, Camera, Sprite, Stand, cast_shadow, depth, render

# Ways in shares of the picture (x, y), the one-way one last, in the direction that people take it.
# They begin and end outside the picture, so that nobody appears from nowhere.
_PLANS = (
    (
        ((-0.25, 0.50), (0.5, 0.47), (1.25, 0.50)),
        ((-0.3, 0.86), (0.5, 0.80), (1.3, 0.84)),
        ((1.25, 0.58), (0.72, 0.66), (0.45, 1.0), (0.38, 1.5)),
    ),
    (
        ((-0.25, 0.46), (0.55, 0.56), (1.3, 0.74)),
        ((0.85, 1.5), (0.62, 0.9), (0.3, 0.62), (-0.3, 0.56)),
        ((1.3, 0.98), (0.6, 0.83), (-0.3, 0.90)),
    ),
    (
        ((-0.25, 0.66), (0.5, 0.62), (1.25, 0.52)),
        ((0.15, 1.5), (0.25, 0.9), (0.6, 0.58), (1.3, 0.44)),
        ((-0.3, 0.93), (0.5, 0.84), (1.3, 0.80)),
    ),
    (
        ((1.3, 0.78), (0.6, 0.70), (0.2, 0.52), (-0.3, 0.45)),
        ((-0.25, 0.60), (0.35, 0.50), (1.25, 0.45)),
        ((-0.3, 0.88), (0.5, 0.92), (1.3, 0.86)),
    ),
)
_FURNITURE = (
    "tree",
    "tree",
    "lamp",
    "lamp",
    "bench",
    "bench",
    "bin",
    "planter",
    "planter",
    "bollard",
    "bollard",
)
_TILE = 256  # side of the noise textures, pixels


@dataclass(frozen=True)
class Scene:
    """One camera's view."""

    index: int
    seed: int
    fps: int
    camera: Camera
    # float32 (H, W, 3) BGR in [0, 255], in plain daylight, without people
    background: np.ndarray
    # (depth in metres, what stands there), farthest first
    statics: tuple[tuple[float, Sprite], ...]
    ways: tuple[Way, ...]
    sun: np.ndarray  # (2,): where the shadow of a point one metre up falls, metres (x, z)
    shadow: float  # share of the light that a shadow takes
    noise: float  # deviation of the sensor's noise, grey levels
    tint: np.ndarray  # (3,), the camera's white balance


def _noise_tile(rng: np.random.Generator, scales: tuple[int, ...]) -> np.ndarray:
    """Make a texture float32 (_TILE, _TILE) that repeats seamlessly, mean 0, deviation 1.

    Its blobs are 1 / scale of its side, for each of `scales`.
    """
    total = np.zeros((_TILE, _TILE), np.float32)
    for cells in scales:
        grid = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        zoom = _TILE // cells
        large = cv2.resize(grid, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        total += large[2 * zoom : 2 * zoom + _TILE, 2 * zoom : 2 * zoom + _TILE]
    return (total - total.mean()) / total.std()


def _sample(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sample the tile at (u, v) float arrays in tiles, repeated."""
    maps = [np.mod(value * _TILE, _TILE).astype(np.float32) for value in (u, v)]
    return cv2.remap(tile, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _curve(camera: Camera, corners: np.ndarray) -> np.ndarray:
    """Lay points (N, 2) on the ground along a smooth curve through corners.

    The corners are (n, 2), in shares of the picture.
    """
    anchors = corners * (camera.width, camera.height)
    x, z = camera.ground(anchors[:, 0], anchors[:, 1])
    knots = np.stack([x, z], axis=1)
    padded = np.concatenate([[2 * knots[0] - knots[1]], knots, [2 * knots[-1] - knots[-2]]])
    t = np.linspace(0, 1, 40, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:]):  # Catmull-Rom
        pieces.append(
            0.5
            * (
                2 * b
                + (c - a) * t
                + (2 * a - 5 * b + 4 * c - d) * t**2
                + (3 * b - a - 3 * c + d) * t**3
            )
        )
    return np.concatenate([*pieces, knots[-1:]])


def _distance(x: np.ndarray, z: np.ndarray, way: Way) -> np.ndarray:
    """Measure the metres from every ground point to the middle of the way, same shape as `x`."""
    best = np.full(x.shape, np.inf)
    for a, b in zip(way.points[:-4:4], way.points[4::4]):
        step = b - a
        t = np.clip(((x - a[0]) * step[0] + (z - a[1]) * step[1]) / (step @ step), 0, 1)
        best = np.minimum(best, np.hypot(x - a[0] - t * step[0], z - a[1] - t * step[1]))
    return best


def _paving(x: np.ndarray, z: np.ndarray, size: float) -> np.ndarray:
    """Compute the darkening in [0, 1] of the joints between slabs of `size` metres.

    Every other row is shifted by half.
    """
    row = np.floor(z / size)
    across = np.abs(np.mod(x / size + 0.5 * np.mod(row, 2), 1) - 0.5)
    along = np.abs(np.mod(z / size, 1) - 0.5)
    return np.clip((np.maximum(across, along) - 0.45) / 0.04, 0, 1)


def _ground(
    rng: np.random.Generator, ways: tuple[Way, ...], x: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Compute the ground's colour float32 (h, w, 3) at ground points x, z (h, w)."""
    fine, coarse = _noise_tile(rng, (64, 128)), _noise_tile(rng, (4, 8, 16, 32))
    grain, patches = _sample(fine, x / 5, z / 5), _sample(coarse, x / 21, z / 21)
    if rng.random() < 0.5:
        picture = np.array(greyish(rng, 78, 98, 0.0)) * (0.92, 1.08, 0.96)  # grass
        picture = picture * (1 + 0.13 * grain + 0.10 * patches)[..., None]
    else:
        picture = (
            np.array(greyish(rng, 112, 140, 0.02, 0.022))
            * (1 + 0.04 * grain + 0.05 * patches)[..., None]
        )
        picture *= 1 - 0.14 * _paving(x, z, 0.8)[..., None]
    for way in ways:
        near = _distance(x, z, way)
        surface = (
            np.array(greyish(rng, 130, 185, 0.03, 0.022))
            * (1 + 0.03 * grain + 0.045 * patches)[..., None]
        )
        surface *= (
            1
            - 0.16
            * rng.random()
            * _paving(x + 0.3 * z, z - 0.3 * x, rng.uniform(0.5, 1.2))[..., None]
        )
        edge = way.width / 2 + 0.35
        inside = np.clip((edge - near) / 0.06, 0, 1)[..., None]
        kerb = (np.clip((near - edge) / 0.05, 0, 1) * np.clip((edge + 0.16 - near) / 0.05, 0, 1))[
            ..., None
        ]
        picture = picture * (1 - inside) + surface * inside
        picture = picture * (1 - 0.7 * kerb) + 0.7 * kerb * np.array(greyish(rng, 175, 200))
    return picture


def _houses(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Paint fronts of houses float32 (h, w, 3) at points x, y (h, w).

    The points are metres along and up the front.
    """
    grain = _sample(_noise_tile(rng, (4, 16, 64, 128)), x / 9, y / 9)
    picture = np.full((*x.shape, 3), 120.0)
    start = float(x.min())
    while start < x.max():
        wide = rng.uniform(7, 14)
        in_house = (x >= start) & (x < start + wide)
        wall = np.array(greyish(rng, 85, 165, 0.08)) * (1 + 0.05 * grain)[..., None]
        if rng.random() < 0.5:  # courses of bricks
            wall = wall * (1 - 0.10 * (np.mod(y / 0.32, 1) < 0.25))[..., None]
        pitch, high, sill = rng.uniform(2.0, 3.2), rng.uniform(1.3, 1.9), rng.uniform(0.9, 1.2)
        u, v = np.mod((x - start) / pitch, 1), np.mod(y, 3.1) - sill
        window = (np.abs(u - 0.5) < rng.uniform(0.2, 0.34)) & (v > 0) & (v < high)
        rim = (np.abs(u - 0.5) < 0.39) & (v > -0.18) & (v < high + 0.15)
        wall[rim] *= 1.18
        storey = np.floor((x - start) / pitch) * 7.1 + np.floor(y / 3.1) * 3.7
        glass = 48 + 30 * np.mod(np.sin(storey) * 43.7, 1) + 14 * v
        wall[window] = (glass[..., None] * np.array([1.1, 1.02, 0.95]))[window]
        door = start + wide * rng.uniform(0.2, 0.8)
        wall[(np.abs(x - door) < 0.65) & (y < 2.3)] = greyish(rng, 35, 70, 0.1)
        picture[in_house] = wall[in_house]
        picture[(np.abs(x - start) < 0.12)] *= 0.6
        start += wide
    return picture * np.where(y < 0.35, 0.75, 1.0)[..., None]


def _furnish(
    rng: np.random.Generator, camera: Camera, ways: tuple[Way, ...], top: float
) -> list[Body]:
    """Place static objects off the ways and apart from each other, farthest first."""
    placed: list[tuple[float, float, Body]] = []
    for name in _FURNITURE:
        for _ in range(30):
            x, z = camera.ground(
                rng.uniform(4, camera.width - 4), rng.uniform(top + 3, camera.height)
            )
            spot = (np.array([x]), np.array([z]))
            clear = min(float(_distance(*spot, way)[0]) - way.width / 2 for way in ways)
            apart = min((np.hypot(x - a, z - b) for a, b, _ in placed), default=np.inf)
            if clear > 0.75 and apart > 1.3:
                turn = rng.uniform(-0.5, 0.5)
                stand = Stand(
                    camera, np.array([x, 0.0, z]), np.array([np.cos(turn), 0.0, np.sin(turn)])
                )
                placed.append((float(x), float(z), furniture(rng, name, stand)))
                break
    return [body for _, _, body in sorted(placed, key=lambda entry: -entry[1])]


def make_camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    """Choose a camera.

    It sees people 0.24-0.30 of the picture high at the lower edge, 0.10-0.13 at 0.4 from the top.

    Args:
        rng: of the choice.
        size: (height, width) of the frames.
    """
    height, width = size
    # pixels a metre
    near, far = rng.uniform(0.138, 0.165) * height, rng.uniform(0.062, 0.076) * height
    per_row = (near - far) / (0.6 * height)
    focal = rng.uniform(1.2, 1.6) * height
    return Camera(height, width, height - near / per_row, focal, 1 / per_row)


def _ways(rng: np.random.Generator, index: int, camera: Camera) -> tuple[Way, ...]:
    """Make the scene's ways, the one-way one last."""
    plan = _PLANS[index % len(_PLANS)]
    mirror = rng.random() < 0.5
    ways = []
    for number, corners in enumerate(plan):
        moved = np.array(corners) + rng.normal(0, 0.012, (len(corners), 2))
        moved[:, 0] = 1 - moved[:, 0] if mirror else moved[:, 0]
        one_way = int(number == len(plan) - 1)
        rate = rng.uniform(0.22, 0.32) if one_way else rng.uniform(0.16, 0.3)
        ways.append(Way(_curve(camera, moved), rng.uniform(1.7, 2.4), one_way, rate))
    return tuple(ways)


def make_scene(seed: int, index: int, size: tuple[int, int] = (160, 240), fps: int = 10) -> Scene:
    """Make a scene, always the same for the same arguments.

    Args:
        seed: of a family of scenes.
        index: number of the scene in it, from 0.
        size: (height, width) of the frames in pixels.
        fps: frames a second.
    """
    rng = np.random.default_rng([seed, index, 1])
    height, width = size
    camera = make_camera(rng, size)
    sun = np.array([rng.choice([-1, 1]) * rng.uniform(0.35, 0.9), rng.uniform(-0.25, 0.35)])
    ways = _ways(rng, index, camera)
    rows, columns = np.mgrid[0 : 2 * height, 0 : 2 * width] / 2 + 0.25  # drawn at twice the size
    top = 0.33 * height  # where the houses stand
    x, z = camera.ground(columns, np.maximum(rows, top))
    per_metre = camera.scale(float(z[0, 0]))
    front = _houses(rng, (columns - width / 2) / per_metre, (top - rows) / per_metre)
    picture = np.where((rows < top)[..., None], front, _ground(rng, ways, x, z))
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    furniture_bodies = _furnish(rng, camera, ways, top)
    shadow, layer = rng.uniform(0.3, 0.5), np.zeros(size, np.uint8)
    for body in furniture_bodies:
        cast_shadow(camera, layer, body, sun)
    layer[: int(np.ceil(top))] = 0  # shadows lie on the ground
    picture *= 1 - np.float32(shadow / 255) * cv2.GaussianBlur(layer, (0, 0), 0.9)[..., None]
    sprites = [(depth(body), render(camera, body)) for body in furniture_bodies]
    statics = tuple((far, sprite) for far, sprite in sprites if sprite is not None)
    tint = 1 + rng.normal(0, 0.02, 3).astype(np.float32)
    return Scene(
        index, seed, fps, camera, picture, statics, ways, sun, shadow, rng.uniform(1.6, 2.8), tint
    )

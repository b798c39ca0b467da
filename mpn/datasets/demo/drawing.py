"""The camera, and how solid bodies of simple parts are rendered, for the generated footage.

World coordinates are metres: x to the right, y up, z away from the camera. A body is described by
parts in its own coordinates (metres ahead, to its left, up), stood on the ground, projected, drawn
four times enlarged and area-averaged: so edges are as soft as a lens makes them and motion is
smooth below a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

ENLARGED = 4  # bodies are drawn this many times larger, then area-averaged
_SHIFT = 3  # fractional bits of the coordinates given to cv2
_NEAREST = 0.5  # metres: what comes nearer to the camera's plane is not drawn

Number = TypeVar("Number", float, np.ndarray)
Colour = tuple[float, float, float]  # blue, green, red in [0, 255]
Point = tuple[float, float, float]  # metres ahead, to the left, up


class Part(NamedTuple):
    """One piece of a body."""

    shape: str  # "limb" (a capsule between 2 points), "blob" (a ball) or "face" (a convex polygon)
    points: tuple[Point, ...]
    radius: float  # metres; 0 for faces
    colour: Colour


class Body(NamedTuple):
    """Parts and all their points one after the other in world coordinates, float64 (N, 3)."""

    parts: list[Part]
    points: np.ndarray


class Sprite(NamedTuple):
    """A rendered body at full resolution: `colour` is premultiplied with `alpha`."""

    top: int
    left: int
    colour: np.ndarray  # float32 (h, w, 3), [0, 255]
    alpha: np.ndarray  # float32 (h, w), [0, 1]


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera with a shifted sensor.

    Pixels a metre grow linearly from the horizon down.
    """

    height: int  # pixels
    width: int  # pixels
    horizon: float  # row, may lie above the picture (negative)
    focal: float  # pixels
    mount: float  # metres above the ground

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (N, 3) in metres, z > 0, to pixels (N, 2), x first."""
        per_metre = self.focal / points[:, 2]
        x = self.width / 2 + points[:, 0] * per_metre
        return np.stack([x, self.horizon + (self.mount - points[:, 1]) * per_metre], axis=1)

    def scale(self, depth: float) -> float:
        """Return the pixels a metre at `depth` metres."""
        return self.focal / depth

    def ground(self, x: Number, y: Number) -> tuple[Number, Number]:
        """Find the ground's (x, z) in metres at pixels below the horizon.

        Args:
            x: pixels from the left.
            y: pixels from the top.
        """
        depth = self.focal * self.mount / (y - self.horizon)
        return (x - self.width / 2) * depth / self.focal, depth

    def near_view(self, position: np.ndarray, margin: float) -> bool:
        """Say whether something up to 2 m high is in the picture or near it.

        Args:
            position: (3,), where it stands, in metres.
            margin: metres beside the picture that count as near.
        """
        if position[2] < _NEAREST:
            return False
        scale = self.focal / position[2]
        if abs(position[0]) * scale > self.width / 2 + margin * scale:
            return False
        return self.horizon + (self.mount - 2.0 - margin / 2) * scale < self.height


class Stand:
    """Where and which way a body stands: turns its parts' own coordinates into the world's.

    Args:
        camera: that it is seen by.
        position: (3,) on the ground, metres.
        heading: (3,), unit, horizontal.
    """

    def __init__(self, camera: Camera, position: np.ndarray, heading: np.ndarray) -> None:
        self.position, self.heading = position, heading
        self.left = np.array([-heading[2], 0.0, heading[0]])
        eye = np.array([0.0, camera.mount, 0.0]) - position
        self.eye: Point = (float(eye @ heading), float(eye @ self.left), float(eye[1]))
        # which side (+1 left) is turned away from the camera
        self.far = 1 if self.left[2] > 0 else -1
        self.lit = -1 if self.left[0] > 0 else 1  # which side is to the left in the picture
        self.away = heading[2] > 0  # seen from behind

    def body(self, parts: list[Part]) -> Body:
        """Put parts into the world, in the order given: later ones hide earlier ones."""
        local = np.array([point for part in parts for point in part.points])
        world = self.position + local[:, :1] * self.heading + local[:, 1:2] * self.left
        world[:, 1] += local[:, 2]
        return Body(parts, world)

    def box(self, base: Point, size: tuple[float, float, float], colour: Colour) -> list[Part]:
        """Make the visible faces of a box.

        Faces are lit from above and from the left, so that the three visible ones differ.

        Args:
            base: the middle of its lower face.
            size: length ahead, width, height in metres.
            colour: in plain light.
        """
        middle = (base[0], base[1], base[2] + size[2] / 2)
        faces = []
        for axis in range(3):
            b, c = (axis + 1) % 3, (axis + 2) % 3
            for sign in (-1, 1):
                level = middle[axis] + sign * size[axis] / 2
                if sign * (self.eye[axis] - level) <= 0:
                    continue
                corners = []
                for i, j in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
                    corner = [0.0, 0.0, 0.0]
                    corner[axis] = level
                    corner[b], corner[c] = middle[b] + i * size[b] / 2, middle[c] + j * size[c] / 2
                    corners.append(tuple(corner))
                across = (self.heading[0], self.left[0], 0.0)[axis] * sign
                light = 1.12 if axis == 2 else 0.82 - 0.22 * across
                faces.append(Part("face", tuple(corners), 0.0, shade(colour, light)))
        return faces


def limb(start: Point, end: Point, radius: float, colour: Colour) -> Part:
    """Make a capsule between two points.

    Args:
        start: one end.
        end: the other.
        radius: in metres.
        colour: in plain light.
    """
    return Part("limb", (start, end), radius, colour)


def blob(centre: Point, radius: float, colour: Colour) -> Part:
    """Make a ball.

    Args:
        centre: its middle.
        radius: in metres.
        colour: in plain light.
    """
    return Part("blob", (centre,), radius, colour)


def shade(colour: Colour, factor: float) -> Colour:
    """Multiply a colour by a factor, kept in [0, 255].

    Args:
        colour: BGR.
        factor: above 1 is brighter.
    """
    blue, green, red = colour
    return min(255.0, blue * factor), min(255.0, green * factor), min(255.0, red * factor)


def _paint(
    canvas: np.ndarray, parts: list[Part], points: np.ndarray, scale: float, shadow: bool
) -> None:
    """Paint the parts on a canvas, in place.

    Args:
        canvas: uint8 (h, w, 4), or (h, w) for a shadow.
        parts: of a body.
        points: all of the parts', int32 (N, 2), fixed-point pixels of the canvas.
        scale: pixels of the canvas a metre.
        shadow: whether it is the body's shadow.
    """
    first = 0
    for part in parts:
        last = first + len(part.points)
        colour = 255 if shadow else (*part.colour, 255)
        if part.shape == "face":
            corners = cv2.convexHull(points[first:last]) if shadow else points[first:last]
            cv2.fillConvexPoly(canvas, corners, colour, cv2.LINE_8, _SHIFT)
        elif part.shape == "blob":
            radius = max(1, round(part.radius * scale * 2**_SHIFT))
            cv2.circle(canvas, points[first], radius, colour, -1, cv2.LINE_8, _SHIFT)
        else:
            thickness = max(1, round(2 * part.radius * scale))
            cv2.line(
                canvas, points[first], points[first + 1], colour, thickness, cv2.LINE_8, _SHIFT
            )
        first = last


def render(camera: Camera, body: Body) -> Sprite | None:
    """Render the body as the camera sees it; None where nothing of it falls into the picture.

    Args:
        camera: that sees it.
        body: in the world.
    """
    if body.points[:, 2].min() < _NEAREST:
        return None
    pixels = camera.project(body.points)
    scale = camera.scale(float(body.points[:, 2].mean()))
    pad = max(part.radius for part in body.parts) * scale + 1
    left, top = (max(0, int(value)) for value in np.floor(pixels.min(0) - pad))
    right, bottom = (int(value) for value in np.ceil(pixels.max(0) + pad))
    right, bottom = min(right, camera.width), min(bottom, camera.height)
    if right <= left or bottom <= top:
        return None
    canvas = np.zeros(((bottom - top) * ENLARGED, (right - left) * ENLARGED, 4), np.uint8)
    fixed = np.rint(((pixels - (left, top)) * ENLARGED - 0.5) * 2**_SHIFT).astype(np.int32)
    _paint(canvas, body.parts, fixed, scale * ENLARGED, False)
    small = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    alpha = small[..., 3] / 255
    return Sprite(top, left, small[..., :3].copy(), alpha) if alpha.any() else None


def depth(body: Body) -> float:
    """Measure the metres from the camera to where a body stands: nearer ones hide farther ones."""
    low = body.points[body.points[:, 1] <= body.points[:, 1].min() + 0.3, 2]
    return float(low.mean())


def cast_shadow(camera: Camera, layer: np.ndarray, body: Body, sun: np.ndarray) -> None:
    """Add the body's shadow on the ground to a layer, in place.

    Args:
        camera: that sees it.
        layer: uint8 (H, W), 255 = in full shadow.
        body: that casts it.
        sun: (2,), how far (x, z) in metres the shadow of a point one metre up falls from its foot.
    """
    flat = np.zeros_like(body.points)
    flat[:, 0] = body.points[:, 0] + body.points[:, 1] * sun[0]
    flat[:, 2] = body.points[:, 2] + body.points[:, 1] * sun[1]
    if flat[:, 2].min() < _NEAREST:
        return
    scale = camera.scale(float(flat[:, 2].mean()))
    pixels = np.rint(np.clip(camera.project(flat) - 0.5, -2000, 2000) * 2**_SHIFT).astype(np.int32)
    _paint(layer, body.parts, pixels, scale, True)


def composite(frame: np.ndarray, sprite: Sprite) -> tuple[slice, slice]:
    """Lay the sprite over a frame, in place.

    Args:
        frame: float32 (H, W, 3).
        sprite: what is laid over it.

    Returns:
        The rows and the columns that it covers.
    """
    rows = slice(sprite.top, sprite.top + sprite.alpha.shape[0])
    columns = slice(sprite.left, sprite.left + sprite.alpha.shape[1])
    region = frame[rows, columns]
    region *= three_channels(1 - sprite.alpha)
    region += sprite.colour
    return rows, columns


def three_channels(plane: np.ndarray) -> np.ndarray:
    """Repeat a plane (H, W) as (H, W, 3): NumPy is slow where it repeats along so short an axis."""
    return cv2.merge([plane, plane, plane])

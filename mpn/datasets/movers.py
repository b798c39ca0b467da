"""Movers: moving objects cut out of normal footage, to be pasted into other windows.

A mover is one object over a few neighbouring frames: its pixels, its outline, and where it was. It
is found by what differs from the median of its stretch of footage, and followed from frame to
frame. Nothing in it is learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from mpn.errors import DataError
from mpn.video.timing import USUAL_RATE

# Frame rates in headers that are not believed are taken as the nearest of these.
RATES = (8.0, 30.0)
# Pixels round an object's box that are cut out with it, for its soft edge.
MARGIN = 2


@dataclass(frozen=True)
class CutOptions:
    """What counts as a mover. Sizes as shares of the frame.

    Attributes:
        seconds: of footage that share one background.
        looks: frames of them that the background is the median of, at most.
        difference: from the background, in grey levels, of what surely moves.
        faint: the same of what belongs to it where the two touch.
        sure: share of an object that surely moves, at least.
        crowded: nothing is cut from a frame that differs from its background in a larger share.
        area: of a mover, from and to.
        side: of its box, (height, width) at most.
        solid: share of its box that it fills, at least.
        growth: ratio of its areas in neighbouring frames, at most.
        motion: way from its first to its last frame, at least, as a share of the diagonal.
        unsteady: largest deviation of a step from its mean step, as a share of its box's diagonal.
    """

    seconds: float = 15.0
    looks: int = 60
    difference: float = 22.0
    faint: float = 15.0
    sure: float = 0.3
    crowded: float = 1 / 3
    area: tuple[float, float] = (0.0015, 0.12)
    side: tuple[float, float] = (0.66, 0.5)
    solid: float = 0.35
    growth: float = 1.6
    motion: float = 0.0065
    unsteady: float = 0.15


@dataclass(frozen=True)
class Mover:
    """One object over neighbouring frames.

    Attributes:
        pieces: of each frame its pixels and some round it, uint8 (h, w, C).
        outlines: of each frame which of them are the object, bool (h, w).
        corners: of each frame the piece's upper left corner in the picture, (y, x) in pixels.
        centres: of each frame the centre of its outline there, float64 (steps, 2) of (y, x).
        last: number of the frame that it ends with, in the footage that it was cut from.
    """

    pieces: tuple[np.ndarray, ...]
    outlines: tuple[np.ndarray, ...]
    corners: tuple[tuple[int, int], ...]
    centres: np.ndarray
    last: int

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def area(self) -> float:
        """Return its mean number of pixels."""
        return float(np.mean([outline.sum() for outline in self.outlines]))

    @property
    def speed(self) -> float:
        """Return the pixels a frame between its first and its last place."""
        return float(np.hypot(*(self.centres[-1] - self.centres[0])) / (len(self) - 1))


class _Part(NamedTuple):
    """A connected part of what moves in a frame: box (y, x, h, w), centre (y, x), outline."""

    box: tuple[int, int, int, int]
    area: int
    centre: np.ndarray
    outline: np.ndarray


def cut_movers(
    frames: np.ndarray,
    fps: float | None = None,
    *,
    steps: int = 5,
    limit: int = 300,
    seed: int = 0,
    background: np.ndarray | None = None,
    options: CutOptions | None = None,
) -> list[Mover]:
    """Cut moving objects out of normal footage of one camera.

    Args:
        frames: uint8 (N, H, W, C), grey or colour, of any size.
        fps: frames per second; 25 where unknown.
        steps: frames that every mover is followed over, two or more: T + 1 for windows of T.
        limit: of movers, evenly over the footage.
        seed: of which ones are taken where there are more.
        background: of all of the footage, (H, W, C); by default the median of each stretch, which
            takes what is still for most of it for background.
        options: see `CutOptions`.

    Returns:
        The movers, the same for the same footage and seed; none where nothing moves, or everything.

    Raises:
        DataError: frames of another kind, or `steps` below 2.
    """
    if frames.ndim != 4 or frames.dtype != np.uint8 or steps < 2:
        raise DataError(
            f"movers over {steps} steps from {frames.dtype} {frames.shape}: expected two steps or "
            "more and uint8 frames (N, H, W, C)"
        )
    options = options or CutOptions()
    generator = np.random.default_rng((seed, len(frames)))
    length = options.seconds * float(np.clip(fps or USUAL_RATE, *RATES))
    bounds = np.linspace(0, len(frames), max(1, round(len(frames) / length)) + 1).astype(int)
    movers: list[Mover] = []
    for number, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        # What earlier stretches left of their share goes to the later ones.
        share = -(-(limit - len(movers)) // (len(bounds) - 1 - number))
        stretch = frames[start:stop]
        behind = _median(stretch, options.looks) if background is None else background
        stretch_movers = _movers_of(
            stretch, behind.astype(np.float32), int(start), steps, generator, options
        )
        movers += islice(stretch_movers, share)
    return movers


def _median(frames: np.ndarray, looks: int) -> np.ndarray:
    return np.median(frames[:: max(1, len(frames) // looks)], axis=0)


def _movers_of(
    frames: np.ndarray,
    background: np.ndarray,
    start: int,
    steps: int,
    generator: np.random.Generator,
    options: CutOptions,
) -> Iterator[Mover]:
    """Find the movers of a stretch with one background, beginning with any frame of it."""
    if len(frames) < steps:
        return
    parts: dict[int, list[_Part]] = {}
    for first in generator.permutation(len(frames) - steps + 1).tolist():
        for t in range(first, first + steps):
            if t not in parts:
                parts[t] = _parts(frames[t], background, options)
        for part in parts[first]:
            chain = _follow(part, [parts[t] for t in range(first + 1, first + steps)], options)
            if chain and _moves(chain, frames.shape[1:3], options):
                yield _cut(frames[first : first + steps], chain, start + first + steps - 1)


def _parts(frame: np.ndarray, background: np.ndarray, options: CutOptions) -> list[_Part]:
    """Find what differs from the background in a frame, apart from its border."""
    height, width = frame.shape[:2]
    difference = cv2.blur(np.abs(frame - background).max(axis=2), (3, 3))
    # Two limits: with the high one alone half a person in grey is lost, with the low one alone
    # noise is found.
    sure, mask = difference > options.difference, (difference > options.faint).astype(np.uint8)
    if sure.mean() > options.crowded:
        return []
    # At 128 pixels of height: single pixels go, gaps of up to 4 pixels are closed.
    mask = _opened(mask, max(2, round(height / 64)))
    side = 2 * max(1, round(height / 64)) + 1
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    outer, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outer, -1, 1, cv2.FILLED)  # shirts that look like the ground behind them
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    lowest, highest = (share * height * width for share in options.area)
    parts = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        inside = min(x, y, width - x - w, height - y - h) >= MARGIN
        fits = h <= options.side[0] * height and w <= options.side[1] * width
        if inside and fits and lowest <= area <= highest and area >= options.solid * h * w:
            box = np.s_[y - MARGIN : y + h + MARGIN, x - MARGIN : x + w + MARGIN]
            outline = labels[box] == label
            if sure[box][outline].mean() < options.sure:
                continue
            parts.append(_Part((y, x, h, w), area, centres[label][::-1].copy(), outline))
    return parts


def _opened(mask: np.ndarray, side: int) -> np.ndarray:
    """Take out of a mask what a square of that side does not fit into.

    With an even side OpenCV's own opening moves everything by a pixel: its erosion and its dilation
    look to the same side.
    """
    square, anchor = np.ones((side, side), np.uint8), side // 2
    eroded = cv2.erode(mask, square, anchor=(anchor, anchor))
    back = side - 1 - anchor
    return cv2.dilate(eroded, square, anchor=(back, back))


def _follow(part: _Part, later: Sequence[list[_Part]], options: CutOptions) -> list[_Part]:
    """Follow a part through the next frames: the nearest of about its area; empty if it is lost."""
    chain = [part]
    for candidates in later:
        last = chain[-1]
        reach = 0.7 * np.array(last.box[2:]) + MARGIN
        near = [
            candidate
            for candidate in candidates
            if (np.abs(candidate.centre - last.centre) <= reach).all()
            and 1 / options.growth <= candidate.area / last.area <= options.growth
        ]
        if not near:
            return []
        chain.append(min(near, key=lambda other: np.hypot(*(other.centre - last.centre))))
    return chain


def _moves(chain: Sequence[_Part], size: Sequence[int], options: CutOptions) -> bool:
    """Tell whether a chain of parts gets anywhere, and steadily: leaves flicker to and fro."""
    centres = np.stack([part.centre for part in chain])
    moved = np.hypot(*(centres[-1] - centres[0]))
    steps = np.diff(centres, axis=0)
    deviation = np.linalg.norm(steps - steps.mean(axis=0), axis=1).max()
    allowed = max(1.0, options.unsteady * float(np.hypot(*chain[0].box[2:])))
    return bool(moved >= options.motion * np.hypot(size[0], size[1]) and deviation <= allowed)


def _cut(frames: np.ndarray, chain: Sequence[_Part], last: int) -> Mover:
    pieces, corners = [], []
    for frame, part in zip(frames, chain):
        y, x, h, w = part.box
        corners.append((y - MARGIN, x - MARGIN))
        pieces.append(frame[y - MARGIN : y + h + MARGIN, x - MARGIN : x + w + MARGIN].copy())
    outlines = tuple(part.outline for part in chain)
    centres = np.stack([part.centre for part in chain])
    return Mover(tuple(pieces), outlines, tuple(corners), centres, last)


def paste(
    frames: np.ndarray,
    mover: Mover,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    flip: bool = False,
    speed: float = 1.0,
    brightness: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Paste a mover with a soft edge, a step of it onto each frame.

    With the last of the frames it stands where it did, plus `shift`; the way to there is as it was,
    `speed` times and, since a larger one is a nearer one, `scale` times as long.

    Args:
        frames: uint8 (n, H, W, C), n at most the mover's steps: its first n are pasted.
        mover: of as many channels; what lies outside of the picture is cut off.
        shift: (y, x) in pixels.
        scale: of its size and its way.
        flip: left and right exchanged, its way too.
        speed: of its way alone: it is as fast.
        brightness: grey levels added to it.

    Returns:
        The frames with it, a copy, and bool (H, W): True where any of them has changed.

    Raises:
        DataError: more frames than steps, or another number of channels.
    """
    if len(frames) > len(mover) or frames.shape[3] != mover.pieces[0].shape[2]:
        raise DataError(
            f"a mover of {len(mover)} steps and {mover.pieces[0].shape[2]} channels for frames "
            f"{frames.shape}: expected at most as many frames, and as many channels"
        )
    pasted = frames.copy()
    anchor = mover.centres[len(frames) - 1]
    direction = np.array([1, -1 if flip else 1])
    for index, frame in enumerate(pasted):
        way = (mover.centres[index] - anchor) * direction * scale
        target = anchor + shift + way * speed
        piece, outline = mover.pieces[index].astype(np.float32), mover.outlines[index]
        # Of the piece's middle from the outline's centre: the two differ.
        middle = np.array(mover.corners[index]) + (np.array(outline.shape) - 1) / 2
        offset = (middle - mover.centres[index]) * direction * scale
        piece, alpha = _prepared(piece, outline, scale, flip)
        # Whole pixels: between them it would be blurred, and found by that.
        corner = np.round(target + offset - (np.array(alpha.shape[:2]) - 1) / 2).astype(int)
        _mix(frame, piece + brightness, alpha, corner)
    return pasted, (pasted != frames).any(axis=(0, 3))


def _prepared(
    piece: np.ndarray, outline: np.ndarray, scale: float, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and flip a piece (h, w, C), and make its opacity float32 (h, w, 1) in [0, 1]."""
    alpha = outline.astype(np.float32)
    if scale != 1:
        h, w = (max(2 * MARGIN + 1, round(side * scale)) for side in outline.shape)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        piece = cv2.resize(piece, (w, h), interpolation=method).reshape(h, w, -1)
        alpha = cv2.resize(alpha, (w, h), interpolation=method)
        if scale > 1:  # else its edge would become as much softer
            alpha = (alpha > 0.5).astype(np.float32)
    # A pixel more than the outline, which lies within the object's edge; then softly down to 0.
    alpha = cv2.GaussianBlur(cv2.dilate(alpha, np.ones((3, 3), np.uint8)), (3, 3), 0)
    if flip:
        piece, alpha = piece[:, ::-1], alpha[:, ::-1]
    return piece, alpha[..., None]


def _mix(frame: np.ndarray, piece: np.ndarray, alpha: np.ndarray, corner: np.ndarray) -> None:
    """Mix a piece into a frame, in place, as far as it lies within it."""
    low = np.clip(corner, 0, frame.shape[:2])
    high = np.clip(corner + alpha.shape[:2], 0, frame.shape[:2])
    if (low >= high).any():
        return
    in_frame = np.s_[low[0] : high[0], low[1] : high[1]]
    in_piece = np.s_[
        low[0] - corner[0] : high[0] - corner[0], low[1] - corner[1] : high[1] - corner[1]
    ]
    under = frame[in_frame].astype(np.float32)
    mixed = under + alpha[in_piece] * (piece[in_piece] - under)
    frame[in_frame] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)

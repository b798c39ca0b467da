"""Pseudo-anomalies: changes made to a normal window, which a head of the network learns to find.

Two kinds: *speed-ups*, the window's frames taken further apart (Astrid et al., BMVC 2021), over the
whole frame or in rectangles, and *foreign objects*, pieces of other frames pasted in and moved
(Astrid et al., ICCVW 2021; Zavrtanik et al., DRAEM, ICCV 2021). The frame to be predicted stays the
true one. In place of the pieces, or beside them, whole objects can be pasted that were cut out of
footage: `mpn.datasets.mover_pasting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mpn.errors import MpnError

# What is pasted: pieces of frames in ellipses, movers (`mpn.datasets.movers`), or both.
KINDS = ("ellipses", "movers", "both")
# The fastest speed-up needs (T - 1) * 4 + 1 frames up to the last one of the window.
SLOWEST, FASTEST = 2, 4


@dataclass(frozen=True)
class PseudoOptions:
    """How often and how much a window is tampered with. Sizes in pixels of the network's frame.

    Attributes:
        kind: one of `KINDS`. With "movers" a camera that has none is given ellipses instead.
        control_probability: that a window shows one of its camera's own movers of another time,
            as it was and where it was. That is normal, so that no edge is learned.
        smaller: sizes of the camera's own movers that are not normal, as a factor, and `larger`.
        faster: speeds of the same.

    Raises:
        MpnError: an unknown kind.
    """

    kind: str = "ellipses"
    speed_probability: float = 0.4
    whole_frame_probability: float = 0.5
    rectangles: tuple[int, int] = (1, 3)
    rectangle_size: tuple[int, int] = (24, 80)
    object_probability: float = 0.3
    objects: tuple[int, int] = (1, 2)
    object_size: tuple[int, int] = (10, 36)
    enlarged: tuple[float, float] = (1.3, 2.5)
    brightness: tuple[float, float] = (15.0, 60.0)
    max_pixels_a_frame: float = 8.0
    visible_change: int = 20
    dilated: int = 2
    mover_probability: float = 0.4
    movers: tuple[int, int] = (1, 2)
    control_probability: float = 0.4
    smaller: tuple[float, float] = (0.35, 0.55)
    larger: tuple[float, float] = (1.7, 2.8)
    faster: tuple[float, float] = (2.2, 5.0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise MpnError(f"pseudo-anomalies {self.kind!r}: {', '.join(KINDS)} were expected")


class PseudoAnomalies:
    """Makes pseudo-anomalies for windows.

    Args:
        donor: called with a generator, gives any training frame, uint8 (H, W, C), to cut objects
            from.
        options: probabilities and sizes.
    """

    def __init__(
        self,
        donor: Callable[[np.random.Generator], np.ndarray],
        options: PseudoOptions | None = None,
    ) -> None:
        self.donor = donor
        self.options = options or PseudoOptions()

    @staticmethod
    def history(window: int) -> int:
        """Count the frames, the window's last included, that the fastest speed-up looks back on."""
        return (window - 1) * FASTEST + 1

    def __call__(
        self, frames: np.ndarray, window: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tamper with a window, or don't.

        Args:
            frames: uint8 (N, H, W, C), N >= window, up to and with the last frame of the window;
                with fewer than `history(window)` frames the speed-up is as fast as they allow.
            window: T.
            generator: of all that is random.

        Returns:
            The window uint8 (T, H, W, C), a copy, and bool (H, W): True where the largest change
            over the window exceeds `visible_change` grey levels, dilated.
        """
        original = frames[-window:]
        tampered = original.copy()
        if generator.random() < self.options.speed_probability:
            self._speed_up(tampered, frames, generator)
        self._foreign_objects(tampered, generator)
        return tampered, self._changed(original, tampered)

    def sample(
        self, stack: np.ndarray, window: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tamper with a window that its target stands behind.

        Args:
            stack: uint8 (N, H, W, C), N > window, up to and with the target.
            window: T.
            generator: of all that is random.

        Returns:
            The window and the target uint8 (T + 1, H, W, C), and bool (H, W), see `__call__`.
        """
        inputs, tampered = self(stack[:-1], window, generator)
        return np.concatenate([inputs, stack[-1:]]), tampered

    def _speed_up(
        self, tampered: np.ndarray, frames: np.ndarray, generator: np.random.Generator
    ) -> None:
        window, height, width = tampered.shape[:3]
        fastest = min(FASTEST, (len(frames) - 1) // (window - 1))
        if fastest < SLOWEST:
            return
        step = int(generator.integers(SLOWEST, fastest + 1))
        last = len(frames) - 1
        apart = frames[last - (window - 1) * step : last + 1 : step]
        if generator.random() < self.options.whole_frame_probability:
            tampered[:] = apart
            return
        low, high = self.options.rectangle_size
        for _ in range(
            generator.integers(self.options.rectangles[0], self.options.rectangles[1] + 1)
        ):
            h, w = (min(int(generator.integers(low, high + 1)), side) for side in (height, width))
            top, left = (
                int(generator.integers(0, height - h + 1)),
                int(generator.integers(0, width - w + 1)),
            )
            area = np.s_[:, top : top + h, left : left + w]
            tampered[area] = apart[area]

    def _foreign_objects(self, tampered: np.ndarray, generator: np.random.Generator) -> None:
        if generator.random() < self.options.object_probability:
            low, high = self.options.objects
            for _ in range(generator.integers(low, high + 1)):
                self._foreign_object(tampered, generator)

    def _foreign_object(self, tampered: np.ndarray, generator: np.random.Generator) -> None:
        options = self.options
        donor = self.donor(generator)
        low, high = options.object_size
        h, w = (min(int(generator.integers(low, high + 1)), side) for side in donor.shape[:2])
        top, left = (
            int(generator.integers(0, side - n + 1)) for side, n in zip(donor.shape[:2], (h, w))
        )
        factor = generator.uniform(*options.enlarged)
        size = (max(int(w * factor), 1), max(int(h * factor), 1))
        piece = cv2.resize(
            donor[top : top + h, left : left + w], size, interpolation=cv2.INTER_LINEAR
        )
        piece = piece.reshape(size[1], size[0], -1).astype(np.float32)
        piece += generator.choice((-1.0, 1.0)) * generator.uniform(*options.brightness)
        # A soft edge: a hard one would be found by its edge alone.
        y, x = np.mgrid[0 : size[1], 0 : size[0]]
        radius = np.hypot((x + 0.5) / size[0] * 2 - 1, (y + 0.5) / size[1] * 2 - 1)
        alpha = np.clip((1 - radius) * min(size) / 4, 0, 1)[..., None].astype(np.float32)

        frames, height, width = tampered.shape[:3]
        position = generator.uniform((0, 0), (height, width)) - np.array(size[::-1]) / 2
        velocity = generator.uniform(-options.max_pixels_a_frame, options.max_pixels_a_frame, 2)
        for index in range(frames):
            top, left = np.round(position + velocity * (index - frames + 1)).astype(int)
            rows = slice(max(top, 0), min(top + size[1], height))
            columns = slice(max(left, 0), min(left + size[0], width))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            inside = np.s_[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
            under = tampered[index, rows, columns]
            mixed = under + alpha[inside] * (piece[inside] - under)
            tampered[index, rows, columns] = np.clip(np.round(mixed), 0, 255)

    def _changed(self, original: np.ndarray, tampered: np.ndarray) -> np.ndarray:
        change = np.abs(tampered.astype(np.int16) - original).max(axis=(0, 3))
        mask = (change > self.options.visible_change).astype(np.uint8)
        if mask.any():
            side = 2 * self.options.dilated + 1
            mask = cv2.dilate(mask, np.ones((side, side), np.uint8))
        return mask.astype(bool)

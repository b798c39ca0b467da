"""Pseudo-anomalies with movers: another camera's, or the own ones of another size or speed.

As a control, a camera's own movers are also pasted as they were and where they were. These count as
normal, so that a head cannot learn the edge of what was pasted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from mpn.datasets.movers import Mover, cut_movers, paste
from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions

log = logging.getLogger(__name__)

# What a scene's mirror image is called after it, see `mpn.datasets.augmentation.mirrored`.
MIRRORED = "-mirrored"
# Of another camera's movers: size, speed and brightness (grey levels) as they come out at random.
FOREIGN_SIZE, FOREIGN_SPEED, FOREIGN_BRIGHTNESS = (0.6, 1.6), (0.5, 2.0), 30.0
# Own movers that come out with fewer pixels or with more of the frame are given another size.
MIN_PIXELS, LARGEST_SHARE = 12, 0.3


class Footage(Protocol):
    """What movers are cut from: a clip of a scene, see `mpn.datasets.windows.Clip`."""

    @property
    def scene(self) -> str: ...
    @property
    def frames(self) -> np.ndarray: ...
    @property
    def fps(self) -> float | None: ...


class MoverPasting(PseudoAnomalies):
    """Makes pseudo-anomalies with movers for windows of one camera.

    Speed-ups stay as they are; ellipses come beside the movers if the options' kind is "both", and
    in their place for a camera that has neither movers of its own nor foreign ones.

    Args:
        donor: of ellipses, see `PseudoAnomalies`.
        own: movers of the camera.
        foreign: movers of others.
        options: probabilities and sizes.
    """

    def __init__(
        self,
        donor: Callable[[np.random.Generator], np.ndarray],
        own: Sequence[Mover],
        foreign: Sequence[Mover] = (),
        options: PseudoOptions | None = None,
    ) -> None:
        super().__init__(donor, options or PseudoOptions(kind="movers"))
        self.own, self.foreign = own, foreign
        # A slow one that is made faster may be no faster than others are.
        speeds = [mover.speed for mover in own]
        self._fast = [mover for mover in own if mover.speed >= np.median(speeds)]
        self._with_ellipses = self.options.kind == "both" or not (own or foreign)

    def __call__(
        self, frames: np.ndarray, window: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tamper with a window, or don't: see `PseudoAnomalies`.

        True is where it changed beside the control. The control would have gone on into the target:
        `sample` shows it there too.
        """
        return self._tampered(frames, frames[-window:], window, generator)

    def sample(
        self, stack: np.ndarray, window: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tamper with a window that its target stands behind: see `PseudoAnomalies`.

        The target is the true one, but for a control, which is as normal there as in the window.
        """
        return self._tampered(stack[:-1], stack[-window - 1 :], window, generator)

    def _tampered(
        self, frames: np.ndarray, shown: np.ndarray, window: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tamper with the first `window` frames of `shown`; the control is in all of them."""
        options = self.options
        speed_up = generator.random() < options.speed_probability
        # Beside a speed-up, which counts as tampered over its whole area, it would be no control.
        if self.own and generator.random() < options.control_probability and not speed_up:
            shown, _ = paste(shown, self._any(self.own, generator))
        normal = shown[:window]
        tampered = normal.copy()
        if speed_up:
            self._speed_up(tampered, frames, generator)
        if self._with_ellipses:
            self._foreign_objects(tampered, generator)
        if (self.own or self.foreign) and generator.random() < options.mover_probability:
            for _ in range(generator.integers(options.movers[0], options.movers[1] + 1)):
                tampered = self._abnormal_mover(tampered, generator)
        return np.concatenate([tampered, shown[window:]]), self._changed(normal, tampered)

    def _abnormal_mover(self, frames: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Paste a mover that is not normal here: foreign, or of another size or speed."""
        kinds = ["foreign"] * bool(self.foreign) + ["size", "speed"] * bool(self.own)
        kind = kinds[generator.integers(len(kinds))]
        if kind == "size":
            mover = self._any(self.own, generator)
            return paste(frames, mover, scale=self._size(mover, frames.shape, generator))[0]
        if kind == "speed":
            mover = self._any(self._fast, generator)
            return paste(frames, mover, speed=generator.uniform(*self.options.faster))[0]
        mover = self._any(self.foreign, generator)
        position = generator.uniform((0, 0), frames.shape[1:3])
        y, x = position - mover.centres[len(frames) - 1]
        return paste(
            frames,
            mover,
            shift=(float(y), float(x)),
            scale=generator.uniform(*FOREIGN_SIZE),
            flip=bool(generator.integers(2)),
            speed=generator.uniform(*FOREIGN_SPEED),
            brightness=generator.uniform(-FOREIGN_BRIGHTNESS, FOREIGN_BRIGHTNESS),
        )[0]

    def _size(self, mover: Mover, shape: Sequence[int], generator: np.random.Generator) -> float:
        smaller, larger = (
            generator.uniform(*bounds) for bounds in (self.options.smaller, self.options.larger)
        )
        is_larger = generator.random() < 0.5
        if mover.area * smaller**2 < MIN_PIXELS:
            is_larger = True
        elif mover.area * larger**2 > LARGEST_SHARE * shape[1] * shape[2]:
            is_larger = False
        return larger if is_larger else smaller

    @staticmethod
    def _any(movers: Sequence[Mover], generator: np.random.Generator) -> Mover:
        return movers[int(generator.integers(len(movers)))]


def movers_by_scene(
    footage: Sequence[Footage], window: int, *, limit: int = 300, seed: int = 0
) -> dict[str, list[Mover]]:
    """Cut the movers of every camera.

    Args:
        footage: clips.
        window: T.
        limit: of movers of a scene, evenly over its clips.
        seed: of which ones are taken.

    Returns:
        scene -> movers of T + 1 steps, none where nothing could be cut.
    """
    movers: dict[str, list[Mover]] = {}
    left = Counter(clip.scene for clip in footage)
    for number, clip in enumerate(footage):
        scene_movers = movers.setdefault(clip.scene, [])
        share = -(-(limit - len(scene_movers)) // left[clip.scene])
        left[clip.scene] -= 1
        scene_movers += cut_movers(
            clip.frames, clip.fps, steps=window + 1, limit=share, seed=seed + number
        )
    return movers


def anomalies_by_scene(
    footage: Sequence[Footage],
    donor: Callable[[np.random.Generator], np.ndarray],
    window: int,
    options: PseudoOptions,
    *,
    foreign: Sequence[Mover] = (),
    seed: int = 0,
) -> dict[str, PseudoAnomalies]:
    """Make what tampers with the windows of every camera.

    Args:
        footage: clips, normal.
        donor: of ellipses, see `PseudoAnomalies`.
        window: T.
        options: with movers, a scene's foreign ones are those of the other scenes; of its own
            mirror image there are none.
        foreign: movers beside them that are foreign to all.
        seed: of which movers are taken where there are many.

    Returns:
        By scene.
    """
    if options.kind == "ellipses":
        return dict.fromkeys((clip.scene for clip in footage), PseudoAnomalies(donor, options))
    movers = movers_by_scene(footage, window, seed=seed)
    count = sum(len(group) for group in movers.values())
    log.info("%d movers cut out of %d camera(s), %d of others", count, len(movers), len(foreign))
    made: dict[str, PseudoAnomalies] = {}
    for scene, scene_movers in movers.items():
        others = [
            mover
            for other, other_movers in movers.items()
            if other.removesuffix(MIRRORED) != scene.removesuffix(MIRRORED)
            for mover in other_movers
        ]
        made[scene] = MoverPasting(donor, scene_movers, [*foreign, *others], options)
    return made

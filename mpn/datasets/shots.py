"""Windows to adapt on, with the frames before them: which ones (`spread`), and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mpn.datasets.mover_pasting import MoverPasting
from mpn.datasets.movers import Mover, cut_movers
from mpn.datasets.pseudo_anomalies import PseudoAnomalies, PseudoOptions
from mpn.datasets.windows import Clip, Sample, windows_of
from mpn.errors import DataError


@dataclass
class Shots:
    """K windows of one camera with what stands before them.

    Attributes:
        stacks: a window each, uint8 (n, H, W, C), T + 1 <= n: frames before the window (for
            speed-ups, as many as there are, none unreadable), its T frames and the target.
        window: T.
        foreign: movers of other cameras, of T + 1 steps, for pseudo-anomalies with movers.

    Raises:
        DataError: there are no windows, or one has too few frames.
    """

    stacks: list[np.ndarray]
    window: int
    foreign: Sequence[Mover] = ()
    # what has not come yet in this turn through the windows, and whose turn it is
    _turn: list[int] = field(default_factory=list, init=False, repr=False, compare=False)
    _generator: np.random.Generator | None = field(
        default=None, init=False, repr=False, compare=False
    )
    # Cut out once: the footage stays the same.
    _movers: list[Mover] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shortest = min((len(stack) for stack in self.stacks), default=0)
        if shortest < self.window + 1:
            raise DataError(
                f"{len(self.stacks)} windows to adapt on, the shortest of {shortest} "
                f"frames; expected at least one, of {self.window + 1} frames or more"
            )

    def __len__(self) -> int:
        return len(self.stacks)

    def sample(
        self, count: int, generator: np.random.Generator, *, pseudo: PseudoOptions | bool = True
    ) -> Sample:
        """Take the next windows as a batch, each with pseudo-anomalies of its own.

        With the same generator a batch goes on where the last one stopped: all windows come once
        in random order before any comes again. Another generator begins anew, so that the batch
        depends on the generator alone.

        Args:
            count: windows in the batch.
            generator: of the order and the pseudo-anomalies.
            pseudo: how windows are tampered with, True for the usual options, False to leave them
                as they are.

        Returns:
            frames uint8 (count, T + 1, C, H, W), the target last: the true one, but for a control
            (see `MoverPasting`); tampered bool (count, H, W).
        """
        if generator is not self._generator:
            self._generator, self._turn = generator, []
        anomalies = self._anomalies(pseudo) if pseudo else None
        frames, tampered = [], []
        for _ in range(count):
            if not self._turn:
                self._turn = generator.permutation(len(self.stacks)).tolist()
            stack = self.stacks[self._turn.pop()]
            shown, changed = stack[-self.window - 1 :], np.zeros(stack.shape[1:3], bool)
            if anomalies:
                shown, changed = anomalies.sample(stack, self.window, generator)
            frames.append(shown)
            tampered.append(changed)
        batch = np.ascontiguousarray(np.stack(frames).transpose(0, 1, 4, 2, 3))
        return Sample(torch.from_numpy(batch), torch.from_numpy(np.stack(tampered)))

    def _anomalies(self, pseudo: PseudoOptions | bool) -> PseudoAnomalies:
        options = pseudo if isinstance(pseudo, PseudoOptions) else PseudoOptions()
        if options.kind == "ellipses":
            return PseudoAnomalies(self._any_frame, options)
        return MoverPasting(self._any_frame, self.own_movers(), self.foreign, options)

    def own_movers(self) -> list[Mover]:
        """Cut the movers out of the windows and the frames before them; of all one background."""
        if self._movers is None:
            background = np.median(np.concatenate(self.stacks), axis=0)
            self._movers = [
                mover
                for stack in self.stacks
                for mover in cut_movers(stack, steps=self.window + 1, background=background)
            ]
        return self._movers

    def _any_frame(self, generator: np.random.Generator) -> np.ndarray:
        stack = self.stacks[generator.integers(len(self.stacks))]
        return stack[generator.integers(len(stack))]


def shots_of(
    clips: Sequence[Clip], chosen: Sequence[tuple[int, int]], window: int, *, history: bool = True
) -> Shots:
    """Cut windows out of clips; the stacks are views of the clips' frames.

    Args:
        clips: footage of one camera.
        chosen: (clip number, target frame) of each window.
        window: T.
        history: bring up to `PseudoAnomalies.history` frames before each target, for speed-ups.

    Raises:
        DataError: a window would begin before its clip or show a frame that could not be read; or
            none was chosen.
    """
    stacks = []
    for number, target in chosen:
        clip = clips[number]
        first = max((bad.index + 1 for bad in clip.bad if bad.index <= target), default=0)
        if target - first < window or target >= len(clip.frames):
            raise DataError(
                f"{clip.name}: no window with target {target}: it takes frames {target - window} "
                f"to {target}, readable are {first} to {min(target, len(clip.frames) - 1)}"
            )
        stacks.append(clip.frames[max(first, target - reach(window, history)) : target + 1])
    return Shots(stacks, window)


def reach(window: int, history: bool) -> int:
    """Count the frames before a target with which a window's stack begins, if they are there.

    Args:
        window: T.
        history: whether frames for speed-ups are brought too, see `shots_of`.
    """
    return PseudoAnomalies.history(window) if history else window


def spread(
    clips: Sequence[Clip], count: int, window: int, *, repeat: int = 0, repeats: int = 1
) -> list[tuple[int, int]]:
    """Choose `count` windows spread evenly over all windows of the clips, for `shots_of`.

    The windows' row, clip after clip, is cut into `count` equal pieces, and one is taken from each,
    at the same place: repeat 0 of 1 the middle, repeat r of n the middle of the piece's r-th n-th.

    Args:
        clips: footage of one camera.
        count: windows, from 1 up.
        window: T.
        repeat: which of several choices, from 0 to `repeats` - 1.
        repeats: how many choices there are to be.

    Returns:
        (clip number, target frame), distinct and in order; those of different repeats are distinct
        too where there are count * repeats windows.

    Raises:
        DataError: fewer windows than `count`; or there is no such repeat.
    """
    if count < 1 or not 0 <= repeat < repeats:
        raise DataError(
            f"{count} windows, repeat {repeat} of {repeats}: expected from 1 window up and a "
            "repeat from 0 to repeats - 1"
        )
    windows = [
        (number, target)
        for clip_number, clip in enumerate(clips)
        for number, target, _ in windows_of(clip_number, clip, window)
    ]
    if len(windows) < count:
        frames = sum(len(clip.frames) for clip in clips)
        raise DataError(
            f"{count} windows to adapt on, but there are {len(windows)} in {frames} frames of "
            f"{len(clips)} clip(s) (a window takes {window + 1} in a row); take fewer, or give "
            "more footage"
        )
    return [
        windows[(2 * (piece * repeats + repeat) + 1) * len(windows) // (2 * repeats * count)]
        for piece in range(count)
    ]

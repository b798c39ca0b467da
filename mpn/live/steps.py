"""The scoring of one stream of frames, a step at a time, as `Detector.score` does it.

A camera's frames do not come as evenly as a file's, and some are left out. Motion is measured from
one frame to the next, so it is brought to the interval that the camera's model was made for. The
network predicts a frame by those before it, worse the further apart they are: where an interval is
not the usual one, it is not asked; nor where there is no time for it. What it said last counts for
as long as `HOLD_SECONDS`, then the average of normal frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mpn.live.rates import Pace
from mpn.motion.flow import CHANNELS, MOVING, MotionReader
from mpn.motion.place import PlaceModel
from mpn.scoring.detector import Detector
from mpn.scoring.judge import SeenFrame
from mpn.scoring.parts import asks_network
from mpn.scoring.protocols import Exponential
from mpn.scoring.reasons import SeenMotion
from mpn.scoring.result import Result
from mpn.scoring.scores import FrameScores
from mpn.scoring.windows import Window

# An interval that differs by less than this share is the usual one: clocks are not better.
SAME_INTERVAL = 0.05
REGULAR = 0.25  # share by which intervals may differ for the network to be asked
LONGEST_GAP = 1.0  # seconds between two frames; after more the later one follows nothing
# That what the network said last counts for, three of ten frames a second and a little: asked about
# every fourth it costs hardly anything, about every eighth more than not at all
# (benchmarks/results/motion_choices.md, "The network at fewer frames").
HOLD_SECONDS = 0.35
SPEEDS = [channel for channel in range(CHANNELS) if channel != MOVING]


class Prepared(NamedTuple):
    """A frame, ready to be judged.

    Attributes:
        image: uint8 (H, W, 3), BGR.
        fitted: the same, fitted to the network.
        motion: float16 (rows, columns, CHANNELS), for an interval of the usual length; None where
            nobody asks.
        follows: it follows the frame before.
        regular: about as long after it as is usual.
    """

    image: np.ndarray
    fitted: np.ndarray
    motion: np.ndarray | None
    follows: bool
    regular: bool = True


class Steps:
    """The scoring of one stream.

    Args:
        detector: the model.
        size: (height, width) of the frames.
        fps: frames a second that its motion is meant for.
        pace: of the network; asked about every frame by default.
        place: the camera's, where it need not be chosen by the first frame.
        motion: compute it even where the score has no use for it.
        network: whether it may be asked.

    Attributes:
        asks: whether the network has a say, where there is time.
    """

    def __init__(
        self,
        detector: Detector,
        size: tuple[int, int],
        fps: float,
        pace: Pace | None = None,
        *,
        place: PlaceModel | None = None,
        motion: bool = False,
        network: bool = True,
    ) -> None:
        self.detector, self.size, self.fps = detector, size, fps
        self._pace, self._due = pace or Pace(), 1.0
        self._held: tuple[float, FrameScores] | None = None  # the network's last, and its time
        self._stream = detector.place_stream(size, fps, place=place)
        self._reader = MotionReader(size) if motion or self._stream is not None else None
        self.grid = MotionReader(size).grid
        self._recent: deque[Prepared] = deque(maxlen=detector.config.window + 1)
        self._of_motion = tuple(part for part in detector.parts if part.needs_place)
        self.asks = network and asks_network(detector.parts)
        self._smoother = Exponential(detector.score_config.smoothing)
        self._seconds: float | None = None

    def begin(
        self, image: np.ndarray, seconds: float, *, restart: bool = False
    ) -> Callable[[], Prepared]:
        """Take the next frame, and leave what takes time to whoever has it.

        Args:
            image: uint8 (H, W, 3), BGR.
            seconds: when it was taken.
            restart: it does not follow the frame before.

        Returns:
            Prepares the frame, in any thread; `take` wants them in order.
        """
        passed = None if self._seconds is None else seconds - self._seconds
        self._seconds = seconds
        follows = passed is not None and not restart and 0 < passed <= LONGEST_GAP
        steps = passed * self.fps if follows and passed is not None else 1.0
        regular = abs(steps - 1) < REGULAR
        if self._reader is None:
            return lambda: Prepared(image, self.detector.fitted(image), None, follows, regular)
        if not follows:
            self._reader.restart()
        motion = self._reader.begin(image)
        usual = abs(steps - 1) < SAME_INTERVAL

        def prepare() -> Prepared:
            cells = motion()
            if not usual:
                cells = cells.astype(np.float32)
                cells[..., SPEEDS] /= steps
            cells = cells.astype(np.float16, copy=False)
            return Prepared(image, self.detector.fitted(image), cells, follows, regular)

        return prepare

    def take(self, frame: Prepared) -> Window | None:
        """Take the next prepared frame.

        Args:
            frame: that `begin` gave, in the same order.

        Returns:
            What is scored by `mpn.scoring.windows.score_windows`; None for the first T after a
            gap, and where nothing is.
        """
        if not frame.follows:
            self._recent.clear()
            self._held = None
            if self._stream is not None:
                self._stream.restart()
        self._recent.append(frame)
        quotients = None
        if self._stream is not None:
            quotients = self._stream.read(frame.image, 0, frame.motion)
        window = self.detector.config.window
        if len(self._recent) <= window:
            return None
        asks = self._asks()
        parts = self.detector.parts if asks else self._of_motion
        if not parts:
            return None
        # What the network is not asked about need not be stacked.
        shown = self._recent if asks else [frame]
        fitted = np.stack([prepared.fitted for prepared in shown])
        return Window(fitted, quotients, parts, self.detector.score_config.patch)

    def _asks(self) -> bool:
        """Say whether the network is asked about the frame that was taken last."""
        if not self.asks:
            return False
        self._due = min(2.0, self._due + self._pace.network)
        # The interval before the window's first frame is none of its own.
        if self._due < 1 or not all(frame.regular for frame in list(self._recent)[1:]):
            return False
        self._due -= 1
        return True

    def seen(self, number: int, seconds: float, image: np.ndarray) -> SeenFrame:
        """Describe the frame that was taken last.

        Args:
            number: of the frame.
            seconds: its time.
            image: uint8 (H, W, 3), BGR.
        """
        motion = None
        if self._stream is not None and self._stream.place is not None:
            motion = SeenMotion(self._stream.speeds, self._stream.place, self.size, self.fps)
        return SeenFrame(number, seconds, image, motion)

    def result(self, frame: SeenFrame, scores: FrameScores) -> Result:
        """Make the result of a frame.

        Args:
            frame: as `seen` gave it when it was the last.
            scores: of its window.
        """
        filled = self._filled(scores, frame.time)
        result = self.detector.judge.result(frame, filled, self.size)
        result.score = self._smoother.update(result.raw)
        return result

    def _filled(self, scores: FrameScores, seconds: float) -> FrameScores:
        """Fill in the parts that were not asked for: the last, or the average of normal frames."""
        normal, detector = self.detector.normal, self.detector
        missing = [part.name for part in detector.parts if part.name not in scores.parts]
        if not missing:
            self._held = seconds, scores
            return scores
        if self._held is not None and seconds - self._held[0] <= HOLD_SECONDS:
            held = self._held[1]
            parts = {name: held.parts[name] for name in missing}
            maps = {name: held.maps[name] for name in missing}
        else:
            shape = next(iter(scores.maps.values())).shape
            parts = {name: float(normal[name][0]) for name in missing if name in normal}
            maps = {name: np.full(shape, value, np.float32) for name, value in parts.items()}
        return replace(scores, parts=scores.parts | parts, maps=scores.maps | maps)

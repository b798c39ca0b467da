"""A recording's motion in blocks of time: a moment is judged by all the others. No torch.

Most of a recording is normal, but what happens now must not say what is normal now: a moment is
judged by the place model of its camera less the blocks around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mpn.motion.place import PlaceModel


class PlaceTimeline:
    """Place models of a recording's blocks of time.

    Args:
        grid: (rows, columns) of cells, as `PlaceModel` takes it.
        block: frames of a block.

    Attributes:
        blocks: their place models; block i is of the frames from `i * block` on.
    """

    def __init__(self, grid: tuple[int, int], block: int) -> None:
        self.grid, self.block = grid, max(1, block)
        self.blocks: list[PlaceModel] = []

    def add(self, frame: int, motion: np.ndarray) -> None:
        """Count the motion of a frame.

        Args:
            frame: its number in the recording, from 0.
            motion: (rows, columns, CHANNELS), see `mpn.motion.flow.MotionReader.read`.
        """
        self._block_of(frame).add([motion])

    def see(self, frame: int, picture: np.ndarray) -> None:
        """Add a frame to the mean picture of its block.

        Args:
            frame: its number.
            picture: uint8 (H, W, C).
        """
        self._block_of(frame).add([], [picture])

    def total(self) -> PlaceModel:
        """Return the place model of the whole recording."""
        return self._sum(0, len(self.blocks))

    def around(self, frame: int, apart: int) -> tuple[int, int]:
        """Find the blocks that hold a frame within a distance.

        Args:
            frame: its number.
            apart: the distance, frames.

        Returns:
            (first, the one after the last).
        """
        first = max(0, frame - apart) // self.block
        return first, min(len(self.blocks), (frame + apart) // self.block + 1)

    def judge(self, camera: PlaceModel, apart: int) -> Callable[[int], PlaceModel]:
        """Give the place model that each frame is judged by.

        Args:
            camera: of all recordings of the camera, this one included.
            apart: frames around a frame that have no say in what is normal there.

        Returns:
            Frame number -> `camera` without the blocks around the frame. All of them judge as the
            one that is left with the least, so that the ends of a recording, which lose less,
            compare with its middle.
        """
        least = camera.frames - self._most_around(apart)

        @lru_cache(maxsize=2)
        def without(first: int, end: int) -> PlaceModel:
            return camera.without(self._sum(first, end), as_of=least)

        return lambda frame: without(*self.around(frame, apart))

    def _most_around(self, apart: int) -> int:
        """Count the frames that are the most within a distance of any frame."""
        frames_before = np.cumsum([0, *(place.frames for place in self.blocks)])
        ends = [
            self.around(frame, apart)
            for start in range(0, self.block * len(self.blocks), self.block)
            for frame in (start, start + self.block - 1)
        ]
        return max(
            (int(frames_before[end] - frames_before[first]) for first, end in ends), default=0
        )

    def _sum(self, first: int, end: int) -> PlaceModel:
        total = PlaceModel(self.grid)
        for place in self.blocks[first:end]:
            total.merge(place)
        return total

    def _block_of(self, frame: int) -> PlaceModel:
        while len(self.blocks) <= frame // self.block:
            self.blocks.append(PlaceModel(self.grid))
        return self.blocks[frame // self.block]

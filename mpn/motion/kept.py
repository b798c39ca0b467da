"""Motion that a first pass over a recording has computed, kept for the second. No torch.

Computing it is half of the work of judging a recording by itself. Most of a fixed camera's picture
stands still, so a frame's motion takes a kilobyte or three when it is packed, of 26.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np

# Of all recordings of a camera together: all that a first pass measures of usual footage is half of
# it, of a crowd that fills the picture some of it.
MAX_BYTES = 128 * 2**20
EFFORT = 1  # of zlib, of 9: with 6 it takes twice the time for a tenth less


class KeptMotion:
    """The motion of some frames of one recording, in memory.

    Args:
        max_bytes: bytes that it may take; what comes when they are used up is not kept.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._left = max_bytes
        self._packed: dict[int, bytes] = {}
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float16)

    def __len__(self) -> int:
        """Count the frames that are kept."""
        return len(self._packed)

    def keep(self, number: int, motion: np.ndarray) -> None:
        """Keep the motion of a frame, if there is room.

        Args:
            number: of the frame among those of the recording that are scored, from 0.
            motion: as `mpn.motion.flow.MotionReader.read` gives it; of one shape and dtype.
        """
        packed = zlib.compress(np.ascontiguousarray(motion).tobytes(), EFFORT)
        if len(packed) > self._left:
            return
        self._shape, self._dtype = motion.shape, motion.dtype
        self._packed[number] = packed
        self._left -= len(packed)

    def get(self, number: int) -> Callable[[], np.ndarray] | None:
        """Find the motion of a frame.

        Args:
            number: as of `keep`.

        Returns:
            Gives it, to the bit; None where it is not kept.
        """
        packed = self._packed.get(number)
        return None if packed is None else partial(self._unpacked, packed)

    def _unpacked(self, packed: bytes) -> np.ndarray:
        return np.frombuffer(zlib.decompress(packed), self._dtype).reshape(self._shape)

"""Motion of a camera's picture, cell by cell: how fast, which way, and how much of it moves.

Dense optical flow from the frame before (OpenCV's DIS; Kroeger et al., Fast Optical Flow using
Dense Inverse Search, ECCV 2016), at a working size of its own: a network's frame is too small to
see who runs. The picture is cut into about `CELLS` cells whatever its size, so that a cell is the
same share of the view on every recording. No torch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import cv2
import numpy as np

from mpn.motion.changed_boxes import changed_boxes
from mpn.motion.registration import before_moved

# Frames are brought to about so many pixels (360x240) for the flow, small ones too: on 238x158 the
# same flow finds less (benchmarks/results/motion_choices.md).
WORKING_PIXELS = 360 * 240
MIN_SIDE = 16  # of the working size; the flow needs as much
# The picture is cut into about so many cells (45x30 of 8x8 pixels at the working size).
CELLS = 1350
DIRECTIONS = 8
# A film is cut where a frame differs from the one before by so many times as much as frames did on
# average (median) lately, and so many grey levels more. Of 20 clips joined, 14 of 20 joints do,
# and of their other 3,300 frames one (benchmarks/results/motion_choices.md).
CUT_RATIO, CUT_LEVELS, LATELY = 2.5, 2.0, 25
LEAD = LATELY + 1  # a frame's motion depends on so many frames before it
# Flow slower than this is the noise of a still picture: it has no direction, pixels a frame.
STILL = 0.3
# Flow faster than this moves; for the share of a cell that does, pixels a frame.
MOVES = 1.0
# The flow is averaged over pieces of a cell, so many along each side, before speed and direction
# are taken: within a piece it is one object's.
PIECES = 2
# The last axis of `MotionReader.read`: speed, speed by direction, share that moves.
SPEED, DIRECTED, MOVING = 0, slice(1, 1 + DIRECTIONS), 1 + DIRECTIONS
CHANNELS = 2 + DIRECTIONS


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Choose the size that the flow of frames is computed at.

    Args:
        size: (height, width) of the frames.

    Returns:
        (height, width) of about `WORKING_PIXELS` pixels, of the same shape.
    """
    scale = (WORKING_PIXELS / (size[0] * size[1])) ** 0.5
    height, width = (max(MIN_SIDE, round(side * scale)) for side in size)
    return height, width


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Choose the number of cells along the sides of a picture.

    Args:
        size: (height, width) of the frames.

    Returns:
        (rows, columns), even, together about `CELLS`, cells about square.
    """
    side = (size[0] * size[1] / CELLS) ** 0.5
    rows, columns = (max(2, 2 * round(length / side / 2)) for length in size)
    return rows, columns


class MotionReader:
    """Reads the motion of one stream of frames.

    Args:
        size: (height, width) of the frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.grid = size, grid_size(size)
        self._working = working_size(size)
        self._flows = threading.local()  # a flow has buffers of its own
        self._before: np.ndarray | None = None
        self._differences: deque[float] = deque(maxlen=LATELY)

    def restart(self) -> None:
        """Forget the frames so far: the next one does not follow them."""
        self._before = None
        self._differences.clear()

    def read(self, frame: np.ndarray) -> np.ndarray:
        """Compute the motion from the frame before to this one, as if the camera stood still.

        Args:
            frame: uint8 (H, W, C), C = 3 (BGR) or 1, the next of the stream.

        Returns:
            float16 (rows, columns, CHANNELS): the mean speed in the cell (`SPEED`), its share in
            each of eight directions (`DIRECTED`; 0 is to the right, 2 down), both in pixels of
            the working size a frame, and the share of the cell that moves (`MOVING`). All 0 for
            the first frame of a stream, and behind a cut.
        """
        return self.begin(frame)()

    def begin(self, frame: np.ndarray) -> Callable[[], np.ndarray]:
        """Take the next frame, and leave its motion to be computed by whoever has the time.

        Args:
            frame: as of `read`.

        Returns:
            Gives what `read` does, called in any thread, before or after others.
        """
        grey = _working_grey(frame, self._working)
        before, self._before = self._before, grey
        if before is None or self._is_cut(before, grey):
            return lambda: np.zeros((*self.grid, CHANNELS), np.float16)
        return lambda: self._motion(before, grey)

    def _motion(self, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        flow = self._flow(before, now)
        if (steady := before_moved(before, now, flow)) is not None:
            flow = self._flow(steady, now)
        return motion_of(flow, self.grid)

    def follow(self, frame: np.ndarray) -> None:
        """Take the next frame as `read` does, but for its motion, which nobody asks for: quick.

        Args:
            frame: as of `read`.
        """
        grey = _working_grey(frame, self._working)
        before, self._before = self._before, grey
        if before is not None:
            self._is_cut(before, grey)

    def _is_cut(self, before: np.ndarray, now: np.ndarray) -> bool:
        """Say whether the film is cut between two frames; where two are in a row, it is motion."""
        difference = float(cv2.absdiff(before, now).mean())
        earlier = list(self._differences)
        self._differences.append(difference)
        if not earlier:
            return False
        limit = CUT_RATIO * float(np.median(earlier)) + CUT_LEVELS
        return earlier[-1] <= limit < difference

    def _flow(self, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Compute the flow where anything has changed, float32 (H, W, 2); elsewhere it is 0."""
        calc = self._flow_of_thread().calc
        flow = np.zeros((*now.shape, 2), np.float32)
        for box in changed_boxes(before, now):
            parts = np.ascontiguousarray(before[box]), np.ascontiguousarray(now[box])
            # OpenCV's stub does not know that the flow to begin with may be None
            flow[box] = calc(*parts, None)  # pyright: ignore
        return flow

    def _flow_of_thread(self) -> cv2.DISOpticalFlow:
        """Give this thread's: it has buffers of its own."""
        flow = getattr(self._flows, "flow", None)
        if flow is None:
            # As much as the medium preset finds, in half of its time
            # (benchmarks/results/motion_choices.md).
            flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
            flow.setFinestScale(1)
            self._flows.flow = flow
        return flow


def _working_grey(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a frame as grey uint8 of the working size.

    One channel is quicker to resize than three.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if frame.shape[2] == 3 else frame[..., 0]
    if grey.shape == size:
        return np.ascontiguousarray(grey)
    method = cv2.INTER_LINEAR if size[0] > grey.shape[0] else cv2.INTER_AREA
    return cv2.resize(grey, size[::-1], interpolation=method)


def motion_of(flow: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Reduce a flow field to cells.

    Args:
        flow: float32 (H, W, 2), pixels a frame to the right and down.
        grid: (rows, columns).

    Returns:
        float16 (rows, columns, CHANNELS) as `MotionReader.read` gives it. A direction between two
        of the eight is shared out to both.
    """
    rows, columns = grid
    pieces = cv2.resize(flow, (columns * PIECES, rows * PIECES), interpolation=cv2.INTER_AREA)
    speed = np.hypot(pieces[..., 0], pieces[..., 1])
    motion = np.zeros((*speed.shape, CHANNELS), np.float32)
    motion[..., SPEED] = speed
    motion[..., MOVING] = speed > MOVES
    at = np.nonzero(speed > STILL)  # few pieces of a fixed camera's picture have a direction
    right, down = pieces[at].T
    turn = np.arctan2(down, right) / (2 * np.pi) * DIRECTIONS % DIRECTIONS
    lower = np.floor(turn).astype(np.intp)
    upper_share = turn - lower
    motion[(*at, 1 + lower % DIRECTIONS)] = speed[at] * (1 - upper_share)
    motion[(*at, 1 + (lower + 1) % DIRECTIONS)] += speed[at] * upper_share
    parts = [motion[row::PIECES, column::PIECES] for row, column in np.ndindex(PIECES, PIECES)]
    return np.mean(parts, axis=0).astype(np.float16)

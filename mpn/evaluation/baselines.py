"""Scores that know nothing of what is seen (PROTOCOL section 3).

They are what a figure must beat before it says anything.

All are float64 (T,), higher = more anomalous, without smoothing or normalisation: those are the
protocol's, and applied to baselines and models alike. `frame_difference` and `flow_speed` compare a
frame with the one before it; the first frame has none and takes the score of the second (0 in a
clip of one).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import cv2
import numpy as np

from mpn.errors import SizeError

BLUR = 9  # side of the box that the flow's magnitude is averaged over, pixels
CELLS = (24, 36)  # (height, width) of the grid the magnitude is reduced to
LARGEST = 5  # so many cells make the speed


def frame_number(length: int) -> np.ndarray:
    """Return the frame's number, float64 (length,): later is more anomalous."""
    return np.arange(length, dtype=np.float64)


def nearness_to_middle(length: int) -> np.ndarray:
    """Return minus the distance in frames to the clip's middle, float64 (length,).

    0 there, -(length - 1) / 2 at the ends.
    """
    return -np.abs(np.arange(length, dtype=np.float64) - (length - 1) / 2)


def uniform_noise(length: int, seed: int) -> np.ndarray:
    """Return noise from the generator of `seed`, float64 (length,), uniform in [0, 1)."""
    return np.random.default_rng(seed).random(length)


def _grey(frame: np.ndarray) -> np.ndarray:
    """Return a frame uint8 (H, W, 3) BGR or (H, W, 1) as grey uint8 (H, W)."""
    return frame[..., 0] if frame.shape[2] == 1 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)


def _difference(before: np.ndarray, after: np.ndarray) -> float:
    """Compute the mean absolute difference of two uint8 frames of one shape.

    In grey levels in [0, 255].
    """
    return float(cv2.absdiff(before, after).mean())


def _difference_map(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Compute the same cell by cell, float32 CELLS."""
    # Channel by channel: NumPy's mean over so short an axis takes ten times as long for the same.
    channels = np.moveaxis(cv2.absdiff(before, after).reshape(before.shape), 2, 0).astype(
        np.float32
    )
    difference = functools.reduce(np.add, channels) / np.float32(len(channels))
    return cv2.resize(difference, CELLS[::-1], interpolation=cv2.INTER_AREA)


def _speed_map(flow: cv2.DISOpticalFlow, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Compute the speed between two frames cell by cell, float32 CELLS, pixels a frame."""
    # OpenCV's stub does not know that the flow to begin with may be None
    motion = flow.calc(_grey(before), _grey(after), None)  # pyright: ignore
    magnitude = cv2.blur(np.hypot(motion[..., 0], motion[..., 1]), (BLUR, BLUR))
    return cv2.resize(magnitude, CELLS[::-1], interpolation=cv2.INTER_AREA)


def _speed(cells: np.ndarray) -> float:
    """Compute speed alone, of a speed map."""
    return float(np.sort(cells, axis=None)[-LARGEST:].mean())


def _flow() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def _fill_first(scores: list) -> np.ndarray:
    """Return scores of frames 1, 2, ... as float64 (T, ...), the first frame's from the second."""
    return np.array([scores[0], *scores], dtype=np.float64)


def frame_difference(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Compute the mean absolute difference to the frame before.

    float64 (T,), grey levels in [0, 255]. The first frame's score is the second's.

    Args:
        frames: uint8 (H, W, C) of one shape.

    Raises:
        SizeError: there is no frame.
    """
    return _compare_pairs(frames, lambda before, after: (_difference(before, after),))[:, 0]


def flow_speed(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Compute speed alone, float64 (T,), pixels a frame.

    OpenCV's DIS optical flow (Kroeger et al., ECCV 2016; medium preset) from the frame before, in
    grey at full resolution; its magnitude is blurred 9x9, area-averaged to 24x36 cells, and the
    five largest are averaged. The first frame's score is the second's.

    Args:
        frames: uint8 (H, W, C), C = 3 (BGR) or 1, of one shape, at least 24x36.

    Raises:
        SizeError: there is no frame.
    """
    flow = _flow()
    speeds = _compare_pairs(frames, lambda a, b: (_speed(_speed_map(flow, a, b)),))
    return speeds[:, 0]


def _compare_pairs(
    frames: Iterable[np.ndarray], compare: Callable[[np.ndarray, np.ndarray], tuple[float, ...]]
) -> np.ndarray:
    """Compute `compare` of each frame with the one before, float64 (T, K)."""
    count, scores = 0, []

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame

    for before, after in pairwise(counted()):
        scores.append(compare(before, after))
    if count == 0:
        raise SizeError("a video without frames has no scores; at least one frame is needed")
    if count == 1:
        return np.zeros((1, 2))
    return _fill_first(scores)


def content_free(
    frames_factory: Callable[[], Iterable[np.ndarray]],
    length: int,
    seed: int = 0,
    maps: Callable[[int, dict[str, np.ndarray]], None] | None = None,
) -> dict[str, np.ndarray]:
    """Compute all baselines of one video, each float64 (length,), in one pass over its frames.

    Args:
        frames_factory: gives the video's frames, uint8 (H, W, C), e.g. `source.frames`; called
            once.
        length: frames of the video.
        seed: of the noise; give each video another.
        maps: called from the second frame on with its number and the maps of the two baselines that
            have a place, float32 CELLS.

    Raises:
        SizeError: the frames are not `length`.
    """
    flow, count = _flow(), 0

    def compare(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
        nonlocal count
        count += 1
        speed = _speed_map(flow, before, after)
        if maps is not None:
            maps(count, {"frame_difference": _difference_map(before, after), "flow_speed": speed})
        return _difference(before, after), _speed(speed)

    scores = _compare_pairs(frames_factory(), compare)
    if len(scores) != length:
        raise SizeError(
            f"{len(scores)} frames were read where {length} were expected; count the frames again"
        )
    return {
        "flow_speed": scores[:, 1],
        "frame_difference": scores[:, 0],
        "frame_number": frame_number(length),
        "nearness_to_middle": nearness_to_middle(length),
        "uniform_noise": uniform_noise(length, seed),
    }

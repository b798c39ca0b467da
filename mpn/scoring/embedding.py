"""The embedding of a region: how it moves by what is normal there, how large it is, how it looks.

Two regions that show the same kind of thing at one camera lie near to each other. Nothing in it is
learned and the network is not asked, so that embeddings mean the same at every camera and in every
model; how it was chosen: benchmarks/results/teach.md. The look is a histogram of oriented gradients
(Dalal and Triggs, CVPR 2005). No torch.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from mpn.scoring.reasons import SeenMotion, cell_that_stands_out
from mpn.scoring.regions import Box

MIN_SPEED = 0.2  # of the normal speed: slower is no different
LOOK = 32  # side of the square that the region is brought to, pixels
MARGIN = 1.3  # side of the square that is looked at, in the longer sides of the region
# Weight of the squared difference in the logarithm of motion by what is normal; of the other parts
# it is 1.
MOTION_WEIGHT = 0.5
_GRADIENTS = cv2.HOGDescriptor((LOOK, LOOK), (16, 16), (8, 8), (8, 8), 9)


def embedding_of(image: np.ndarray, box: Box, motion: SeenMotion) -> np.ndarray:
    """Compute the embedding of a region.

    Args:
        image: the source's frame, uint8 (H, W, C), C = 3 (BGR) or 1.
        box: (top, left, height, width) in pixels of it.
        motion: of the frame, and what it is judged by.

    Returns:
        float32 (numbers,): the logarithms of speed, and of speed in its direction, by what is
        normal there; the logarithms of height and width by the picture's; the look, of length 1.
    """
    quotients = motion.place.quotients_of(motion.speeds)
    moves = quotients[(slice(None), *cell_that_stands_out(motion, box))]
    look = _look(image, box)
    parts = (
        math.sqrt(MOTION_WEIGHT) * np.log(np.maximum(moves, MIN_SPEED)),
        np.log([box[2] / image.shape[0], box[3] / image.shape[1]]),
        look / max(float(np.linalg.norm(look)), 1e-6),
    )
    return np.concatenate(parts).astype(np.float32)


def _look(image: np.ndarray, box: Box) -> np.ndarray:
    """Compute the gradients of a square around a region; the picture's edge goes on outside it."""
    top, left, height, width = box
    side = max(1, round(MARGIN * max(height, width)))
    first = round(top + height / 2 - side / 2), round(left + width / 2 - side / 2)
    rows, columns = (
        np.clip(np.arange(start, start + side), 0, length - 1)
        for start, length in zip(first, image.shape)
    )
    square = np.ascontiguousarray(image[np.ix_(rows, columns)])
    grey = square[..., 0] if square.shape[2] == 1 else cv2.cvtColor(square, cv2.COLOR_BGR2GRAY)
    method = cv2.INTER_LINEAR if side < LOOK else cv2.INTER_AREA
    return np.ravel(_GRADIENTS.compute(cv2.resize(grey, (LOOK, LOOK), interpolation=method)))

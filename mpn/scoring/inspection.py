"""The prototype unit's insides for one frame.

Encodings, where each prototype looks, where it is used. What scoring never builds (the normalcy
encoding, the attention maps) is made here, of what one forward gives, so that it can be looked at.
Arrays are float32 numpy, channels first; h, w are the unit's positions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from mpn.errors import DataError, SizeError
from mpn.scoring.detector import Detector
from mpn.video.frame_source import FrameSource
from mpn.video.images import fit_frame


@dataclass
class Activations:
    """What the network makes of a window, and how its prediction differs from the frame that came.

    C channels of the encoding, D of a query, M prototypes; H, W the network's frame.

    Attributes:
        target: the frame that was to be predicted, uint8 (H, W, colours), as the network sees it.
        prediction: what was predicted, the same shape.
        error: absolute difference, mean over colours, (H, W) in [0, 1].
        encoding: AE encoding, what the encoder makes of the window, (C, h / 8, w / 8).
        query: query encoding, (D, h, w), of unit length at every position.
        normalcy: the query as the prototypes would have it, (D, h, w), of unit length.
        aggregation: query + normalcy, (D, h, w), from which the frame is predicted.
        attention: which positions each prototype is made from, (M, h, w), each map of sum 1; None
            where they are learned keys, or there are none.
        assignment: which prototypes each position is explained by, (M, h, w), of sum 1 over the
            prototypes.
        cosines: between the prototypes, (M, M) in [-1, 1].
        pseudo: how likely each position was tampered with, (h, w) in [0, 1]; None without that
            head.
    """

    target: np.ndarray
    prediction: np.ndarray
    error: np.ndarray
    encoding: np.ndarray
    query: np.ndarray
    normalcy: np.ndarray
    aggregation: np.ndarray
    attention: np.ndarray | None
    assignment: np.ndarray
    cosines: np.ndarray
    pseudo: np.ndarray | None = None


@torch.inference_mode()
def inspect_frame(detector: Detector, frames: np.ndarray) -> Activations:
    """Run the network on a window and keep all that the unit makes.

    It runs in float32 whatever it scores in.

    Args:
        detector: the model.
        frames: uint8 (T + 1, H, W, C), the window, oldest first, and the frame after it, of any
            size and BGR or grey: they are fitted to the network as for scoring. Of more frames the
            last T + 1.

    Raises:
        SizeError: fewer frames.
    """
    network, config = detector.network, detector.config
    if len(frames) <= config.window:
        raise SizeError(
            f"{len(frames)} frames: preset {config.name!r} takes a window of {config.window} and "
            "the frame after it"
        )
    fitted = np.stack(
        [
            fit_frame(frame, config.size, config.grey, config.interpolation)
            for frame in frames[-config.window - 1 :]
        ]
    )
    device = next(network.parameters()).device
    stack = torch.from_numpy(fitted).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    output = network(stack[None, :-1].flatten(1, 2))
    prediction = output.prediction[0]

    _, d, h, w = output.features.shape
    y = output.features.permute(0, 2, 3, 1).reshape(1, h * w, d)
    attention = network.prototype.attention(y, output.inverse_norm)
    prototypes = F.normalize(output.prototypes, dim=2)

    def maps(values: torch.Tensor) -> np.ndarray:
        """Turn (1, N, K) into (K, h, w)."""
        return _array(values[0].T.reshape(-1, h, w))

    return Activations(
        target=fitted[-1],
        prediction=_array(((prediction + 1) * 127.5).clamp(0, 255).round().byte().permute(1, 2, 0)),
        error=_array(((prediction - stack[-1]).abs() / 2).mean(dim=0)),
        encoding=_array(output.encoding[0]),
        query=_array(output.query[0]),
        # Whatever the unit is; without one it is 0.
        normalcy=_array((output.aggregation - output.query)[0]),
        aggregation=_array(output.aggregation[0]),
        attention=None if attention is None else maps(attention),
        assignment=maps(output.assignment),
        cosines=_array((prototypes[0] @ prototypes[0].T).clamp(-1, 1)),
        pseudo=None if output.pseudo_logits is None else _array(output.pseudo_logits[0].sigmoid()),
    )


def _array(values: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.cpu().numpy())


def frames_around(source: FrameSource, row: int, window: int) -> np.ndarray:
    """Read the window before a row of the scores and the frame of that row.

    Args:
        source: opened as it was for scoring, so that its frames are the rows of the scores.
        row: from 0; the first with a score is `window`.
        window: T, `detector.config.window`.

    Returns:
        uint8 (window + 1, H, W, C).

    Raises:
        DataError: a row that has no window before it, or is beyond the source's end.
        FrameError: a bad frame.
    """
    return frames_around_each(source, [row], window)[row]


def frames_around_each(
    source: FrameSource, rows: Collection[int], window: int
) -> dict[int, np.ndarray]:
    """Read what `frames_around` does for several rows of a source.

    It is decoded once and no further than the last of them.

    Args:
        source: see `frames_around`.
        rows: likewise, in any order.
        window: likewise.

    Returns:
        Row -> uint8 (window + 1, H, W, C).

    Raises:
        DataError: a row that has no window before it, or is beyond the source's end.
        FrameError: a bad frame.
    """
    early = [row for row in rows if row < window]
    if early:
        raise DataError(
            f"{source.path}: frame {min(early)} has no window of {window} frames "
            f"before it; expected a row from {window} on"
        )
    if rows and max(rows) >= source.length:
        raise DataError(
            f"{source.path}: frame {max(rows)} was asked for and it has {source.length:,}; "
            "expected the source as it was when it was scored, opened with the same "
            "options"
        )
    chosen = np.zeros(source.length, bool)
    for row in rows:
        chosen[row - window : row + 1] = True
    stacks: dict[int, np.ndarray] = {}
    recent: deque[np.ndarray] = deque(maxlen=window + 1)
    for count, frame in source.pick(chosen):
        recent.append(frame)
        if count in rows:
            stacks[count] = np.stack(recent)
    return stacks

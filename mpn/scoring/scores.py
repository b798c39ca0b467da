"""Windows in, maps and scores out, one frame at a time: memory does not grow with the length of a
video.

The region score (PROTOCOL section 1) has two parts, each the largest mean over a square patch: of
the absolute prediction error in [0, 1], and of the pseudo-anomaly head's probability. Each is put
in units of normal frames (mean 0, deviation 1 on held-out normal footage) and weighted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mpn.errors import MpnError
from mpn.model.network import Network
from mpn.model.output import Output
from mpn.scoring.regions import patches_box

# Patches are compared on a grid of every second pixel.
PATCH_STEP = 2
# An exact prediction has no PSNR; this is that of one grey level in one of a million pixels, near
# enough.
HIGHEST_PSNR = 100.0


@dataclass(frozen=True)
class ScoreConfig:
    """How the parts make the score.

    Attributes:
        patch: side of the square patch, pixels of the network's frame.
        error_weight, pseudo_weight: weights of the two parts, each in units of normal frames; 0
            leaves one out.
        smoothing: weight of the newest frame in the causal exponential mean; 1 for none.
    """

    patch: int = 16
    error_weight: float = 1.0
    pseudo_weight: float = 1.0
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        if self.patch < PATCH_STEP or min(self.error_weight, self.pseudo_weight) < 0:
            raise MpnError(
                f"{self}: a patch of at least {PATCH_STEP} pixels and weights from 0 up "
                "were expected"
            )
        if self.error_weight + self.pseudo_weight == 0:
            raise MpnError("both weights of the score are 0: one of error and pseudo has to count")
        if not 0 < self.smoothing <= 1:
            raise MpnError(
                f"smoothing is {self.smoothing}: a weight above 0, at most 1, was expected"
            )

    def weights(self, parts: Iterable[str]) -> dict[str, float]:
        """The weight of each of the parts that there are."""
        own = {"error": self.error_weight, "pseudo": self.pseudo_weight}
        return {name: own[name] for name in parts if name in own}


@dataclass
class FrameScores:
    """Raw scores of one frame.

    Attributes:
        frame: index from 0.
        parts: "error", "pseudo" (with that head), "compactness": higher = more anomalous;
            "psnr_db": lower.
        maps: "error" and "pseudo", float32 (h, w) on the patch grid: the mean over the patch at
            each position.
    """

    frame: int
    parts: dict[str, float]
    maps: dict[str, np.ndarray]


def part_names(network: Network) -> list[str]:
    """The parts of the region score that this network gives."""
    return ["error"] + (["pseudo"] if network.pseudo_head is not None else [])


@torch.inference_mode()
def score_frames(
    network: Network,
    frames: Iterable[np.ndarray],
    *,
    patch: int = 16,
    batch_size: int = 4,
    bfloat16: bool = False,
) -> Iterator[FrameScores]:
    """Scores every frame that has T frames before it.

    Args:
        frames: uint8 (H, W, C) of the network's size and colour, in order.
        patch: side of the patch, see `ScoreConfig`.
        batch_size: windows at a time; results come in steps of so many frames.
        bfloat16: run the network in bfloat16 autocast.

    Yields:
        FrameScores for frames T, T + 1, ...
    """
    window = network.config.window
    device = next(network.parameters()).device
    network = network.eval()
    recent: deque[np.ndarray] = deque(maxlen=window + batch_size)
    source = iter(frames)
    recent.extend(islice(source, window))
    first = window
    while True:
        fresh = list(islice(source, batch_size))
        if not fresh:
            return
        history = [*list(recent)[-window:], *fresh]
        recent.extend(fresh)
        stack = (
            torch.from_numpy(np.stack(history)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        )
        windows = torch.stack([stack[i : i + window].flatten(0, 1) for i in range(len(fresh))])
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
            output = network(windows.contiguous(memory_format=torch.channels_last))
        yield from _frame_scores(output, stack[window:], patch, first)
        first += len(fresh)


def _frame_scores(output: Output, target: Tensor, patch: int, first: int) -> Iterator[FrameScores]:
    difference = (output.prediction.float() - target).abs() / 2
    mse = difference.square().mean(dim=(1, 2, 3)).clamp_min(10 ** (-HIGHEST_PSNR / 10))
    psnr = -10 * mse.log10()
    maps = {"error": patch_means(difference.mean(dim=1), patch, PATCH_STEP)}
    if output.pseudo_logits is not None:
        probability = output.pseudo_logits.float().sigmoid()
        factor = target.shape[2] // probability.shape[1]
        maps["pseudo"] = patch_means(
            probability, max(patch // factor, 1), max(PATCH_STEP // factor, 1)
        )
    parts = {name: grid.amax(dim=(1, 2)) for name, grid in maps.items()}
    parts |= {"psnr_db": psnr, "compactness": output.compactness.float().mean(dim=(1, 2))}
    values = {name: part.double().cpu().numpy() for name, part in parts.items()}
    grids = {name: grid.cpu().numpy() for name, grid in maps.items()}
    for i in range(len(target)):
        yield FrameScores(
            first + i,
            {name: float(value[i]) for name, value in values.items()},
            {name: grid[i] for name, grid in grids.items()},
        )


def patch_means(values: Tensor, patch: int, step: int) -> Tensor:
    """Means over square patches that lie wholly inside, (B, H, W) -> (B, (H - patch) // step + 1,
    ...)."""
    side = min(patch, *values.shape[1:])
    return F.avg_pool2d(values.unsqueeze(1), side, stride=step).squeeze(1)


def region(
    grid: np.ndarray, patch: int, size: tuple[int, int], source: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Where the largest value of a patch grid lies: (top, left, height, width) in pixels of the
    source.

    Args:
        grid: (h, w) patch means. patch: their side in the network's frame of `size` (height,
            width).
        source: (height, width) of the frames that were resized to `size`.
    """
    position = np.unravel_index(int(grid.argmax()), grid.shape)
    return patches_box(grid.shape, position, position, patch, size, source)


def combine(
    parts: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    normal: Mapping[str, tuple[float, float]],
) -> np.ndarray:
    """The weighted sum of parts, or of their maps, each in units of normal frames.

    Args:
        parts: arrays of one shape (numbers too). weights: of each part that counts.
        normal: mean and deviation of each part on normal frames.
    """
    return sum(
        (
            weight * (parts[name] - normal[name][0]) / normal[name][1]
            for name, weight in weights.items()
            if weight
        ),
        start=np.zeros(np.shape(next(iter(parts.values())))),
    )

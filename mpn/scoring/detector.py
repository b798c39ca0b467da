"""A model with its calibration: scored frames and thresholds out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mpn.errors import CheckpointError, MpnError, SizeError
from mpn.model.checkpoint import Checkpoint
from mpn.model.config import ModelConfig
from mpn.scoring.calibration import Calibration, calibrate, part_statistics
from mpn.scoring.protocols import Exponential, exponential
from mpn.scoring.scores import FrameScores, ScoreConfig, combine, part_names, region, score_frames
from mpn.video.images import fit_frame
from mpn.video.sources import FrameSource, open_source

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH_SIZE = 4


@dataclass
class Result:
    """One frame's verdict.

    Attributes:
        frame: index in the video, from 0. time: seconds since its beginning, NaN where the frame
            rate is unknown.
        score: the smoothed score, higher = more anomalous, in units of normal frames; NaN for the
            first T.
        raw: the same before smoothing.
        parts: what it is made of: "error", "pseudo", "compactness" (higher = more anomalous),
            "psnr_db" (lower).
        map: (h, w) float32, the weighted sum of the parts' maps in units of normal frames; None for
            the first T.
        region: (top, left, height, width) of the map's largest patch, in pixels of the source; None
            likewise.
        image: the source's frame, uint8 (H, W, C), where it was asked for.
    """

    frame: int
    time: float
    score: float
    raw: float
    parts: dict[str, float]
    map: np.ndarray | None = None
    region: tuple[int, int, int, int] | None = None
    image: np.ndarray | None = None


class Detector:
    """A model with its calibration.

    Args:
        checkpoint: from `mpn.model.checkpoint.load_checkpoint`.
        score_config: how parts make the score; default: the checkpoint's.
        device: "cpu" or "cuda".
        precision: "float32", "bfloat16" or "auto" (bfloat16 where the processor has it).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        score_config: ScoreConfig | None = None,
        device: str = "cpu",
        precision: str = "auto",
    ) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.network = checkpoint.network.to(
            checked_device(device), memory_format=torch.channels_last
        )
        self.bfloat16 = use_bfloat16(precision, device)
        self.score_config = score_config or score_config_of(checkpoint)
        self.weights = self.score_config.weights(part_names(self.network))
        if not any(self.weights.values()):
            raise MpnError(
                "this model has no pseudo-anomaly head, and the weight of the error is "
                "0: nothing to score"
            )
        # Without normal footage the parts stay in their own units, and there is no threshold.
        self._normal_clips = _by_clip(checkpoint.normal, self.weights) if checkpoint.normal else {}
        self.normal = part_statistics(self._normal_clips) or dict.fromkeys(self.weights, (0.0, 1.0))

    def calibration(self, fps: float | Fraction) -> Calibration | None:
        """Thresholds from the held-out normal footage of the training, at a frame rate; None
        without any."""
        return self._calibration(Fraction(fps)) if self._normal_clips else None

    @lru_cache(maxsize=8)  # noqa: B019 (a detector lives as long as its program)
    def _calibration(self, fps: Fraction) -> Calibration:
        smoothed = {
            clip: exponential(combine(own, self.weights, self.normal), self.score_config.smoothing)
            for clip, own in self._normal_clips.items()
        }
        return calibrate(smoothed, fps)

    def score(
        self,
        source: str | Path | FrameSource,
        *,
        fps: float | Fraction | None = None,
        skip_bad: bool = False,
        images: bool = False,
        batch_size: int = BATCH_SIZE,
        first: int = 0,
        smoothed: float | None = None,
    ) -> Iterator[Result]:
        """Scores a video file or a folder of frames, one result a frame, in order; memory does not
        grow.

        Args:
            fps: frame rate where the source has none of its own, for `time`.
            skip_bad: go on past frames that cannot be read.
            images: give the source's frames back in the results.
            first, smoothed: to go on where an earlier scoring stopped: how many results it gave,
                the last one's score. The same to the bit as without the stop where a batch ended
                there (`ends_a_batch`).

        Raises:
            FrameError, DataError: naming what cannot be read; of the whole source at the call, of a
                frame when its turn comes. SizeError, at the call: frames too small for the network.
        """
        if not isinstance(source, FrameSource):
            source = open_source(source, skip_bad=skip_bad, fps=fps)
        check_size_of(source, self.config)
        return self._score(source, images, batch_size, first, smoothed)

    def ends_a_batch(self, count: int, batch_size: int = BATCH_SIZE) -> bool:
        """Whether after `count` results the network's next batch begins."""
        return count >= self.config.window and (count - self.config.window) % batch_size == 0

    def sibling(self, checkpoint: Checkpoint) -> Self:
        """A detector of another checkpoint with this one's recipe, device and precision."""
        device = str(next(self.network.parameters()).device)
        precision = "bfloat16" if self.bfloat16 else "float32"
        return type(self)(
            checkpoint, score_config=self.score_config, device=device, precision=precision
        )

    def _score(
        self, source: FrameSource, images: bool, batch_size: int, first: int, smoothed: float | None
    ) -> Iterator[Result]:
        waiting: deque[tuple[int, float, np.ndarray | None]] = deque()
        # A first result that is scored needs the window before it, and the frames before that only
        # to be counted.
        skipped = max(0, first - self.config.window)

        def fitted() -> Iterator[np.ndarray]:
            for count, frame in enumerate(source.frames()):
                if count >= skipped:
                    waiting.append((*_position(source, count), frame if images else None))
                    yield fit_frame(frame, self.config.size, self.config.grey)

        smoother = Exponential(self.score_config.smoothing)
        smoother.state = smoothed
        scored = score_frames(
            self.network,
            fitted(),
            patch=self.score_config.patch,
            batch_size=batch_size,
            bfloat16=self.bfloat16,
        )
        count = skipped
        for frame in scored:
            while count < skipped + frame.frame:  # the first T have no score
                place = waiting.popleft()
                if count >= first:
                    yield _unscored(*place)
                count += 1
            yield self._result(frame, smoother, source.size, *waiting.popleft())
            count += 1
        while waiting:  # a source shorter than a window
            place = waiting.popleft()
            if count >= first:
                yield _unscored(*place)
            count += 1

    def _result(
        self,
        scored: FrameScores,
        smoother: Exponential,
        size: tuple[int, int],
        frame: int,
        time: float,
        image: np.ndarray | None,
    ) -> Result:
        raw = float(combine(scored.parts, self.weights, self.normal))
        grid = combine(_same_grid(scored.maps), self.weights, self.normal).astype(np.float32)
        return Result(
            frame,
            time,
            smoother.update(raw),
            raw,
            scored.parts,
            grid,
            region(grid, self.score_config.patch, self.config.size, size),
            image,
        )


def check_size_of(source: FrameSource, config: ModelConfig) -> None:
    """Raises SizeError for frames that are smaller than the network needs."""
    least = config.stride
    if min(source.size) < least:
        raise SizeError(
            f"{source.path}: frames of {source.size[0]}x{source.size[1]} (height x width) are "
            f"smaller than the network needs, {least}x{least} at the least"
        )


def checked_device(device: str) -> str:
    """`device`, if this machine has it. Raises MpnError."""
    try:
        torch.empty(0, device=device)
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # torch raises either, with many lines of advice
        has = "cpu and cuda" if torch.cuda.is_available() else "only cpu"
        raise MpnError(
            f"device {device!r} cannot be used; this machine's PyTorch has {has}"
        ) from error
    return device


def use_bfloat16(precision: str, device: str = "cpu") -> bool:
    """Whether to run in bfloat16. Raises MpnError for a precision that is not one of the three."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise MpnError(f"precision {precision!r}: auto, float32 or bfloat16 was expected")
    if precision != "auto":
        return precision == "bfloat16"
    if not device.startswith("cpu"):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    # Without these instructions bfloat16 is emulated, and slower than float32.
    return any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def score_config_of(checkpoint: Checkpoint) -> ScoreConfig:
    """The recipe that a checkpoint was made for. Raises CheckpointError where it has none that is
    sound."""
    known = {field.name for field in fields(ScoreConfig)}
    if set(checkpoint.score_config) - known:
        raise CheckpointError(
            "the checkpoint's recipe has unknown entries "
            f"{sorted(set(checkpoint.score_config) - known)}"
        )
    try:
        return replace(ScoreConfig(), **checkpoint.score_config)
    except TypeError as error:
        raise CheckpointError(f"the checkpoint's recipe cannot be used: {error}") from error


def _by_clip(
    normal: Mapping[str, list[np.ndarray]], names: Mapping[str, float]
) -> dict[str, dict[str, np.ndarray]]:
    missing = set(names) - set(normal)
    if missing:
        raise CheckpointError(
            f"the checkpoint has no normal scores of {sorted(missing)}; train it again"
        )
    count = len(next(iter(normal.values())))
    clips = {
        str(i): {name: normal[name][i].astype(np.float64) for name in names} for i in range(count)
    }
    return {clip: parts for clip, parts in clips.items() if len(next(iter(parts.values())))}


def _same_grid(maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Patch grids of parts differ by a row or column where the network is narrower inside: the
    common part."""
    height, width = (min(grid.shape[axis] for grid in maps.values()) for axis in (0, 1))
    return {name: grid[:height, :width] for name, grid in maps.items()}


def _position(source: FrameSource, count: int) -> tuple[int, float]:
    """Index in the video and seconds of the frame that the source gave last, the count-th from
    0."""
    frame, time = source.position
    if math.isnan(time) and source.fps:
        time = float(count / source.fps)
    return frame, time


def _unscored(frame: int, time: float, image: np.ndarray | None) -> Result:
    return Result(frame, time, math.nan, math.nan, {}, image=image)

"""Frames a second of the network alone, and steps a second of its training, on a GPU."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_common import (
    PRECISIONS,
    Piece,
    rate_of,
    share_of_roof,
    tf32,
    work_of,
)
from mpn.datasets.windows import Clip
from mpn.model.config import get_config
from mpn.model.engines import TorchEngine
from mpn.model.network import build_model
from mpn.training.pretraining import Training, TrainingOptions

WAYS = (None, "graph", "inductor")
TINY = {"channels": 4, "height": 32, "width": 48}


def _quickest_first(quick: bool) -> Iterator[tuple[str, str, str | None, int]]:
    """(preset, precision, way, batch), what takes a compiler's minute at the end."""
    batches = (1, 4) if quick else (1, 4, 16, 64, 256)
    for way in WAYS:
        for preset in ("base", "small"):
            for precision in reversed(PRECISIONS):
                if way == "inductor" and precision != "bfloat16":
                    continue
                for batch in batches:
                    yield preset, precision, way, batch


def speed(piece: Piece, args: argparse.Namespace) -> None:
    """Frames/s of `base` and `small` by precision, batch and way, beside the measured roofline."""
    seconds = 0.02 if piece.quick else 2.0
    peaks, bandwidth = _roofline(piece, seconds)
    for preset, precision, way, batch in _quickest_first(piece.quick):

        def measure(
            preset: str = preset,
            precision: str = precision,
            way: str | None = way,
            batch: int = batch,
        ) -> dict[str, Any]:
            torch.manual_seed(0)
            torch._dynamo.reset()
            network = build_model(preset, **(TINY if piece.quick else {})).eval()
            work = work_of(network, precision)
            network = network.to(piece.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            engine = TorchEngine(network, precision == "bfloat16", compiled=way)
            config = network.config
            shape = (batch, config.window * config.colours, *config.size)
            windows = (torch.rand(shape, device=piece.device) * 2 - 1).contiguous(
                memory_format=torch.channels_last
            )
            if piece.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(piece.device)
            with tf32(precision == "tf32"), torch.inference_mode():
                figures = rate_of(
                    lambda: engine(windows), piece.device, seconds=seconds, each=float(batch)
                )
            if piece.device.type == "cuda":
                figures["memory_gib"] = torch.cuda.max_memory_allocated(piece.device) / 2**30
            return (
                figures
                | {
                    "fell_back": getattr(getattr(engine._forward, "forward", None), "works", None)
                    is False
                }
                | work
                | share_of_roof(work, figures["per_second"], peaks[precision], bandwidth)
            )

        piece.cell(f"{preset}, {precision}, {way or 'eager'}, batch {batch}", measure)


def _roofline(piece: Piece, seconds: float) -> tuple[dict[str, float], float]:
    """Measure beside the network what a large product and a large copy reach."""
    side, count = (256, 2**20) if piece.quick else (8192, 2**30)
    peaks = {}
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

        def product(precision: str = precision, dtype: torch.dtype = dtype) -> dict[str, Any]:
            matrix = torch.rand(side, side, device=piece.device).to(dtype)
            with tf32(precision == "tf32"):
                return rate_of(
                    lambda: torch.mm(matrix, matrix),
                    piece.device,
                    seconds=seconds,
                    each=2.0 * side**3,
                )

        peaks[precision] = piece.cell(f"product of matrices, {precision}", product)["per_second"]

    def copied() -> dict[str, Any]:
        target, other = (torch.empty(count, dtype=torch.uint8, device=piece.device) for _ in "ab")
        return rate_of(lambda: target.copy_(other), piece.device, seconds=seconds, each=2.0 * count)

    return peaks, piece.cell("copy on the device", copied)["per_second"]


def train_speed(piece: Piece, args: argparse.Namespace) -> None:
    """Steps/s of trainings of `base` and `small`, with their data and of one batch alone."""
    batches = (2,) if piece.quick else (4, 8, 32)
    for way in WAYS:
        for preset in ("base", "small"):
            for precision in ("bfloat16", "float32"):
                if way and precision == "float32":
                    continue
                for batch in batches:
                    piece.cell(
                        f"{preset}, {precision}, {way or 'eager'}, batch {batch}",
                        lambda preset=preset, precision=precision, way=way, batch=batch: _steps(
                            piece, preset, precision, way, batch
                        ),
                    )


def _steps(
    piece: Piece, preset: str, precision: str, way: str | None, batch: int
) -> dict[str, Any]:
    config = get_config(preset, **(TINY if piece.quick else {}))
    count = 40 if piece.quick else 1000
    shape = (count, *config.size, config.colours)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    clips = [Clip(f"{n}", "scene", frames[n::4]) for n in range(4)]
    options = TrainingOptions(epochs=1000, batch_size=batch, precision=precision, workers=None)
    seconds = 0.1 if piece.quick else 5.0
    torch._dynamo.reset()
    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            clips, config, options, Path(folder), device=str(piece.device), compiled=way
        )
        sample = next(training._epoch())
        alone = rate_of(lambda: training.train_step(sample), piece.device, seconds=seconds)
        steps = training._steps()
        whole = rate_of(lambda: next(steps), piece.device, seconds=seconds)
        steps.close()
    figures: dict[str, Any] = {
        "steps_per_second": whole["per_second"],
        "low": whole["low"],
        "high": whole["high"],
        "one_batch_again": alone["per_second"],
        "fell_back": getattr(training._forward, "works", None) is False,
    }
    if piece.device.type == "cuda":
        figures["memory_gib"] = torch.cuda.max_memory_allocated(piece.device) / 2**30
        torch.cuda.reset_peak_memory_stats(piece.device)
    return figures

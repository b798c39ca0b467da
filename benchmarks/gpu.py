"""What a GPU does with mpn: facts and peaks, parity, frames/s, steps/s, a training, end to end.

Each piece ends within --seconds (420), keeps every figure as soon as it is there in OUT/PIECE.json,
and goes on with the same command: exit code 3 says that it is not finished, 1 that it failed.
`benchmarks/gpu.sh` runs them in turn. No figure of a GPU is in this repository yet: docs/gpu.md.

    python -m benchmarks.gpu facts --out runs/gpu
    python -m benchmarks.gpu train --out runs/gpu --data data/ped2 --minutes 40
    python -m benchmarks.gpu speed --quick --device cpu        (tiny sizes, on any machine)
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import gpu_runs, gpu_speed
from benchmarks.gpu_common import DTYPES, PRECISIONS, Piece, TimeIsOverError, rate_of, tf32
from mpn.errors import MpnError
from mpn.model import compiled
from mpn.model.device import checked_device
from mpn.model.engines import TorchEngine
from mpn.model.losses import loss_terms, total_loss
from mpn.model.network import Network, build_model
from mpn.scoring.scores import score_frames

DONE, FAILED, NOT_FINISHED = 0, 1, 3
SECONDS = 420.0  # of a piece
# How far scores may be from the processor's, of their own size; and gradients of their length.
TOLERANCE = {"float32": 1e-3, "tf32": 0.03, "bfloat16": 0.1}


def facts(piece: Piece, args: argparse.Namespace) -> None:
    """What the machine is, and what its products of matrices and copies of memory reach."""
    piece.cell("machine", lambda: _facts(piece.device))
    sides = (128, 256) if piece.quick else (4096, 8192, 16384)
    seconds = 0.05 if piece.quick else 3.0
    for precision in (*PRECISIONS, "float16"):
        for side in sides:
            dtype = DTYPES.get(precision, torch.float32)

            def product(
                side: int = side, dtype: torch.dtype = dtype, precision: str = precision
            ) -> dict[str, Any]:
                matrix, other = (
                    torch.rand(side, side, device=piece.device).to(dtype) for _ in "ab"
                )
                out = torch.empty_like(matrix)
                with tf32(precision == "tf32"):
                    return rate_of(
                        lambda: torch.mm(matrix, other, out=out),
                        piece.device,
                        seconds=seconds,
                        each=2.0 * side**3,
                    )

            piece.cell(f"product of matrices, {precision}, {side}", product)
    count = 2**20 if piece.quick else 2**30
    here = torch.empty(count, dtype=torch.uint8)
    if piece.device.type == "cuda":
        here = here.pin_memory()
    on_device, other = (torch.empty(count, dtype=torch.uint8, device=piece.device) for _ in "ab")
    copies: dict[str, tuple[Callable[[], object], float]] = {
        "copy on the device, bytes read and written": (lambda: on_device.copy_(other), 2.0 * count),
        "copy to the device, bytes": (lambda: on_device.copy_(here, non_blocking=True), count),
        "copy from the device, bytes": (lambda: here.copy_(on_device, non_blocking=True), count),
    }
    for name, (call, each) in copies.items():
        piece.cell(
            name,
            lambda call=call, each=each: rate_of(call, piece.device, seconds=seconds, each=each),
        )


def _facts(device: torch.device) -> dict[str, Any]:
    values: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        values |= {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
            "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
        }
    return values


def parity(piece: Piece, args: argparse.Namespace) -> None:
    """Scores and gradients beside the processor's in float32.

    Raises:
        MpnError: they differ by more than `TOLERANCE`.
    """
    size = {"channels": 4, "height": 32, "width": 48} if piece.quick else {}
    apart = []
    for preset in ("small", "base"):
        torch.manual_seed(0)
        network = build_model(preset, **size).eval()
        expected: dict[str, Any] = {}
        for precision in PRECISIONS:
            for quantity, measure in (("scores", _scores), ("gradients", _gradients)):

                def difference(
                    quantity: str = quantity,
                    measure: Callable[..., np.ndarray] = measure,
                    precision: str = precision,
                    expected: dict[str, Any] = expected,
                    network: Network = network,
                ) -> dict[str, float]:
                    if quantity not in expected:
                        expected[quantity] = measure(network, "float32")
                    away = copy.deepcopy(network).to(piece.device)
                    return _apart(expected[quantity], measure(away, precision))

                name = f"{preset}, {quantity}, {precision}"
                figures = piece.cell(name, difference)
                if not figures["relative"] <= TOLERANCE[precision]:
                    apart.append(f"{name}: {figures['relative']:.3g}")
    if apart:
        raise MpnError("further from the processor than they may be: " + "; ".join(apart))


def _apart(expected: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    length = float(np.linalg.norm(expected))
    cosine = float(expected @ measured / max(length * np.linalg.norm(measured), 1e-30))
    difference = measured - expected
    return {
        "relative": float(np.linalg.norm(difference)) / max(length, 1e-30),
        "largest": float(np.abs(difference).max()),
        "cosine": cosine,
    }


def _scores(network: Network, precision: str) -> np.ndarray:
    """Patch means of every part, of frames of noise."""
    config = network.config
    shape = (10, *config.size, config.colours)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    engine = TorchEngine(network, precision == "bfloat16")
    with tf32(precision == "tf32"):
        scored = list(score_frames(network, frames, engine=engine, batch_size=3))
    return np.concatenate(
        [np.ravel(grid) for result in scored for grid in result.maps.values()]
    ).astype(np.float64)


def _gradients(network: Network, precision: str) -> np.ndarray:
    """All numbers of the gradient of a training step."""
    config, generator = network.config, torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    window = torch.rand((2, 4 * config.colours, *config.size), generator=generator) * 2 - 1
    target = torch.rand((2, config.colours, *config.size), generator=generator) * 2 - 1
    tampered = torch.rand((2, *config.size), generator=generator) > 0.9
    network.zero_grad()
    with tf32(precision == "tf32"):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = network(window.to(device).contiguous(memory_format=torch.channels_last))
        weights = config.training.loss_weights
        terms = loss_terms(output, target.to(device), tampered.to(device), weights)
        total_loss(terms, weights).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return torch.cat([gradient.ravel().cpu() for gradient in gradients]).double().numpy()


PIECES: dict[str, Callable[[Piece, argparse.Namespace], None]] = {
    "facts": facts,
    "parity": parity,
    "speed": gpu_speed.speed,
    "train-speed": gpu_speed.train_speed,
    "score": gpu_runs.score,
    "train": gpu_runs.train,
}


def arguments() -> argparse.ArgumentParser:
    """Make the parser."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("piece", choices=PIECES)
    made.add_argument("--out", type=Path, help="results (default: runs/gpu; quick: temporary)")
    made.add_argument("--device", default="cuda", help="default: cuda")
    made.add_argument("--seconds", type=float, default=SECONDS, help="of this run of the piece")
    made.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    made.add_argument("--data", type=Path, help="data set that `train` trains on and evaluates")
    made.add_argument("--fps", type=float, default=10.0, help="of the data set (default: 10)")
    made.add_argument(
        "--minutes", type=float, default=40.0, help="of the training, all runs of it together"
    )
    return made


def main(words: list[str] | None = None) -> int:
    """Run a piece; give its exit code."""
    args = arguments().parse_args(words)
    args.out = args.out or (
        Path(tempfile.mkdtemp(prefix="mpn-gpu-")) if args.quick else Path("runs/gpu")
    )
    before = compiled.BACKEND
    try:
        checked_device(args.device)
        if args.quick:
            compiled.BACKEND = "eager"  # a compiler takes minutes
        piece = Piece(args.piece, args)
        PIECES[args.piece](piece, args)
        piece.finish()
    except TimeIsOverError:
        print(f"{args.piece}: not finished; the same command goes on", flush=True)
        return NOT_FINISHED
    except MpnError as error:
        print(f"{args.piece}: {error}", file=sys.stderr, flush=True)
        return FAILED
    finally:
        compiled.BACKEND = before
    print(f"{args.piece}: finished, {piece.path}", flush=True)
    return DONE


if __name__ == "__main__":
    sys.exit(main())

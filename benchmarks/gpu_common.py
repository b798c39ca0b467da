"""What the pieces of the GPU's benchmark share: results that grow, time limits, the roofline."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import commit, machine
from mpn.io.atomic import write_atomically
from mpn.model.network import Network

PRECISIONS = ("float32", "tf32", "bfloat16")
BLOCKS = 10  # of which the median and the spread are kept
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TimeIsOverError(Exception):
    """The piece's time is over: the same command goes on."""


class Piece:
    """The results of one piece, kept cell by cell, so that it can be gone on with.

    Args:
        name: of the piece, and its file in the output folder.
        args: of the command line.

    Raises:
        SystemExit: the folder holds results of another machine, or of other sizes.
    """

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.path = Path(args.out) / f"{name}.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.quick, self.device = args.quick, torch.device(args.device)
        self.until = time.monotonic() + args.seconds
        self.content: dict[str, Any] = {
            "piece": name,
            "device": device_name(self.device),
            "quick": args.quick,
            "commits": [],
            "machine": machine(torch.get_num_threads()),
            "finished": False,
            "cells": {},
        }
        if self.path.is_file():
            stored = json.loads(self.path.read_text())
            for key in ("device", "quick"):
                if stored[key] != self.content[key]:
                    raise SystemExit(
                        f"{self.path} is of {key} {stored[key]!r}, here {self.content[key]!r}: "
                        "give another --out"
                    )
            self.content = stored
        if commit() not in self.content["commits"]:
            self.content["commits"].append(commit())

    @property
    def cells(self) -> dict[str, Any]:
        """What was measured, by name."""
        return self.content["cells"]

    @property
    def seconds_left(self) -> float:
        """Until the piece has to end."""
        return self.until - time.monotonic()

    def cell(self, name: str, measure: Callable[[], Any]) -> Any:
        """Measure what is not there yet, and keep it; what a GPU has no memory for is kept as such.

        Raises:
            TimeIsOverError: there is no time for it.
        """
        if name in self.cells:
            return self.cells[name]
        if self.seconds_left < 0:
            raise TimeIsOverError
        began = time.monotonic()
        try:
            result = measure()
        except torch.OutOfMemoryError as error:
            result = {"out_of_memory": str(error).splitlines()[0]}
        if self.device.type == "cuda":  # what the next one may have
            gc.collect()
            torch.cuda.empty_cache()
        self.cells[name] = result
        self.save()
        print(f"{name}: {_short(result)}   ({time.monotonic() - began:.1f} s)", flush=True)
        return result

    def save(self) -> None:
        """Write the file, whole or not at all."""
        write_atomically(self.path, json.dumps(self.content, indent=1) + "\n")

    def finish(self) -> None:
        """Say in the file that nothing is missing."""
        self.content["finished"] = True
        self.save()


def _short(result: Any) -> str:
    if isinstance(result, dict):
        pairs = ((key, _short(value)) for key, value in result.items() if key != "blocks")
        return " ".join(f"{key}={value}" for key, value in pairs)
    return f"{result:.4g}" if isinstance(result, float) else str(result)


def device_name(device: torch.device) -> str:
    """Name a device as its maker does."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}: {machine()['cpu']}"


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate_of(
    call: Callable[[], object], device: torch.device, *, seconds: float = 2.0, each: float = 1.0
) -> dict[str, Any]:
    """Measure how often a second something can be done, in `BLOCKS` blocks behind a warm-up.

    Args:
        call: does it once; what it leaves to a GPU is waited for at the end of a block alone.
        device: where.
        seconds: for all blocks together.
        each: what one call is worth.

    Returns:
        Median, lowest and highest rate over blocks.
    """
    for _ in range(3):
        call()
    wait_for(device)
    began = time.perf_counter()
    call()
    wait_for(device)
    count = max(1, int(seconds / BLOCKS / max(time.perf_counter() - began, 1e-6)))
    rates = []
    for _ in range(BLOCKS):
        began = time.perf_counter()
        for _ in range(count):
            call()
        wait_for(device)
        rates.append(each * count / (time.perf_counter() - began))
    return {
        "per_second": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "calls_a_block": count,
    }


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let products and convolutions in float32 round their factors to TF32, or not."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, each tensor once an operation.

    So much goes through memory where nothing is fused and no cache helps. Views cost nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        returns = func._schema.returns
        if not any(value.alias_info and not value.alias_info.is_write for value in returns):
            self.bytes += sum(map(_bytes, _tensors([args, kwargs, output])))
        return output


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for element in value:
            yield from _tensors(element)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def work_of(network: Network, precision: str) -> dict[str, float]:
    """Count what a forward of one window takes, without computing it.

    Returns:
        Floating-point operations of its products and convolutions, and bytes as `Traffic` has
        them, of a network that is all in the precision.
    """
    dtype = DTYPES.get(precision, torch.float32)
    config = network.config
    meta_network = type(network)(config).to("meta", dtype)
    window = torch.empty(1, config.window * config.colours, *config.size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        meta_network(window.to(dtype))
    with torch.no_grad(), Traffic() as traffic:
        meta_network(window.to(dtype))
    return {"flops": float(counter.get_total_flops()), "bytes": float(traffic.bytes)}


def share_of_roof(
    work: dict[str, float], rate: float, peak: float, bandwidth: float
) -> dict[str, float]:
    """Compare a rate with the roofline of measured peaks (Williams et al., CACM 2009).

    Args:
        work: of a frame, see `work_of`.
        rate: frames a second.
        peak: operations a second of a product of two large matrices.
        bandwidth: bytes a second of a large copy, read and written.
    """
    roof = min(peak / work["flops"], bandwidth / work["bytes"])
    return {
        "share_of_peak": rate * work["flops"] / peak,
        "share_of_bandwidth": rate * work["bytes"] / bandwidth,
        "frames_at_the_roof_unfused": roof,
    }

"""The device and the precision that a network runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mpn.errors import MpnError


def checked_device(device: str) -> str:
    """Check that this machine has a device, and give it back.

    On a GPU what is called float32 is then float32: TF32, which PyTorch takes for convolutions
    unless told otherwise, keeps 10 bits of 23, and scores would differ from the processor's in the
    third digit.

    Args:
        device: "cpu" or "cuda".

    Raises:
        MpnError: it cannot be used.
    """
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
    if device.startswith("cuda"):
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Say in a line of our own that a GPU's memory is too small.

    Args:
        what: was done.
        remedy: what needs less.

    Raises:
        MpnError: it is.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MpnError(f"{what}: the GPU has not enough memory for it; {remedy}") from error


def use_bfloat16(precision: str, device: str = "cpu") -> bool:
    """Decide whether to run in bfloat16.

    Args:
        precision: "float32", "bfloat16", or "auto" for bfloat16 where it is quick.
        device: "cpu" or "cuda".

    Raises:
        MpnError: another precision.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise MpnError(f"precision {precision!r}: auto, float32 or bfloat16 was expected")
    if precision != "auto":
        return precision == "bfloat16"
    if not device.startswith("cpu"):
        # Older GPUs emulate it, and are slower with it than with float32.
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    # Without these instructions bfloat16 is emulated, and slower than float32.
    return any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )

"""Where a network runs, and in which precision."""

from __future__ import annotations

import torch

from mpn.errors import MpnError


def checked_device(device: str) -> str:
    """Check that this machine has a device, and give it back.

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
    return device


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
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    # Without these instructions bfloat16 is emulated, and slower than float32.
    return any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )

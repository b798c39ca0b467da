"""A GPU that is not there: PyTorch's device "meta", whose tensors have shapes and no numbers.

What is done with them is checked as on a GPU: nobody can read a number, which is what makes the
processor wait, and most operations refuse tensors of two devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor

from mpn.model import transfer

FAKE_GPU = "meta"


@contextmanager
def fake_gpu() -> Iterator[list[int]]:
    """Let results be fetched from there, as zeros; gives how many numbers each transfer had."""
    transfers: list[int] = []

    def fetched(flat: Tensor) -> Callable[[], np.ndarray]:
        assert flat.device.type == FAKE_GPU and flat.dtype == torch.float32
        transfers.append(flat.numel())
        return lambda: np.zeros(flat.numel(), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_fetched", fetched)
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # "meta" has none
        yield transfers

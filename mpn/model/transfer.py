"""Arrays on their way to a network's device and back, without the processor waiting for either.

On the processor nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor


def on_device(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Bring an array to a device, in its order on the device's stream.

    It goes by memory that the system may not move: only from there a GPU fetches it by itself.

    Args:
        values: any shape and dtype.
        device: where to.
    """
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return _pinned(tensor).to(device, non_blocking=True)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory()


def on_host(tensors: Mapping[str, Tensor]) -> Callable[[], dict[str, np.ndarray]]:
    """Begin to bring tensors to the processor, all of one device in one transfer.

    Args:
        tensors: by name, float32, each on the processor or all others on one device.

    Returns:
        What waits for them and gives them as arrays, by name in the same order.
    """
    away = {name: tensor for name, tensor in tensors.items() if tensor.device.type != "cpu"}
    fetched = _fetched(packed(list(away.values()))) if away else None

    def arrived() -> dict[str, np.ndarray]:
        arrays = {}
        if fetched is not None:
            shapes = [tuple(tensor.shape) for tensor in away.values()]
            arrays = dict(zip(away, unpacked(fetched(), shapes)))
        return {
            name: arrays[name] if name in arrays else tensor.numpy()
            for name, tensor in tensors.items()
        }

    return arrived


def packed(tensors: list[Tensor]) -> Tensor:
    """Put tensors of one dtype behind each other, (numbers,)."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unpacked(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Cut what `packed` made into views.

    Args:
        flat: its numbers, (numbers,).
        shapes: of the tensors.
    """
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes)]


def _fetched(flat: Tensor) -> Callable[[], np.ndarray]:
    """Begin to fetch a tensor from a GPU; what is given waits for it, and copies it.

    The copy leaves the memory that the system may not move to the next transfer.
    """
    host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
    host.copy_(flat, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(flat.device))

    def arrived() -> np.ndarray:
        done.synchronize()
        return host.numpy().copy()

    return arrived

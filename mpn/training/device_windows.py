"""Windows for a network that trains on a GPU: cut there, or sent there ahead of their turn.

Frames stay uint8 until they are where the network is: a quarter of the bytes to keep and to send.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Sequence

import numpy as np
import torch

from mpn.datasets.windows import Sample, WindowDataset
from mpn.model.transfer import on_device

log = logging.getLogger(__name__)

MAX_WORKERS = 8
SHARE = 0.5  # of a GPU's free memory that frames may take


class DeviceWindows:
    """All frames of a dataset on a device, and batches of windows cut out of them there.

    Args:
        dataset: that neither tampers with windows nor transforms them.
        device: with room for its frames.

    Attributes:
        frames: uint8 (frames of all clips, H, W, C).
    """

    def __init__(self, dataset: WindowDataset, device: torch.device) -> None:
        lengths = [len(clip.frames) for clip in dataset.clips]
        starts = np.cumsum([0, *lengths[:-1]])
        shape = (sum(lengths), *dataset.clips[0].frames.shape[1:])
        self.frames = torch.empty(shape, dtype=torch.uint8, device=device)
        for start, clip in zip(starts, dataset.clips):
            # One at a time: they may be mapped from disk.
            part = torch.from_numpy(np.ascontiguousarray(clip.frames))
            self.frames[start : start + len(part)] = part.to(device)
        targets = [starts[clip] + target for clip, target, _ in dataset.index]
        self._targets = torch.tensor(targets, device=device)
        self._back = torch.arange(-dataset.window, 1, device=device)
        self._untouched = torch.zeros(shape[1:3], dtype=torch.bool, device=device)

    def batch(self, numbers: Sequence[int]) -> Sample:
        """Cut windows with their targets.

        Args:
            numbers: of the dataset's samples.

        Returns:
            What `mpn.datasets.batches.stack_samples` makes of them, on the device.
        """
        chosen = self._targets[on_device(torch.tensor(numbers), self.frames.device)]
        frames = self.frames[chosen[:, None] + self._back].permute(0, 1, 4, 2, 3)
        return Sample(frames, self._untouched.expand(len(numbers), -1, -1))


def windows_on(dataset: WindowDataset, device: torch.device) -> DeviceWindows | None:
    """Bring a dataset's frames to a GPU, if they fit there and are not changed on the way.

    Args:
        dataset: of a training.
        device: a GPU.
    """
    if dataset.pseudo is not None or dataset.transform is not None:
        return None  # made on the processor, anew for each sample
    needed = sum(clip.frames.nbytes for clip in dataset.clips)
    free, _ = torch.cuda.mem_get_info(device)
    if needed > SHARE * free:
        log.info(
            "the frames (%.1f GiB) do not fit on the GPU beside the network: they are sent to it "
            "batch by batch",
            needed / 2**30,
        )
        return None
    return DeviceWindows(dataset, device)


def sent(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], device: torch.device
) -> Generator[Sample, None, None]:
    """Send batches to a GPU, without waiting for any to arrive.

    Args:
        batches: what `mpn.datasets.batches.stack_samples` made.
        device: where to.
    """
    for frames, tampered in batches:
        yield Sample(on_device(frames, device), on_device(tampered, device))


def usual_workers(device: torch.device, *, tampered: bool) -> int:
    """Return how many processes make samples, unless told otherwise.

    Args:
        device: that is trained on.
        tampered: windows are tampered with, which one process does for hundreds a second.
    """
    on_gpu = device.type == "cuda"
    return min(MAX_WORKERS, os.cpu_count() or 1) if on_gpu and tampered else 0

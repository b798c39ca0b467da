"""All frames of a video, with their motion if wanted, in memory or in files that are mapped in."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from mpn.motion.flow import MotionReader
from mpn.video.ahead import compute_ahead
from mpn.video.frame_source import FrameSource

log = logging.getLogger(__name__)

# Frames are kept in memory up to this share of what the machine has.
MEMORY_SHARE = 0.4


def too_large(needed: int, limit: int | None) -> bool:
    """Say whether so many bytes are more than memory may hold; if so, log it.

    Args:
        needed: bytes.
        limit: bytes; default: `MEMORY_SHARE` of the machine's memory.
    """
    if limit is None:
        limit = memory_limit()
    if needed > limit:
        text = "%.1f GB of frames: more than %.1f GB of memory, kept on disk"
        log.info(text, needed / 1e9, limit / 1e9)
    return needed > limit


def memory_limit(processes: int = 1) -> int:
    """Return how many bytes of frames a process keeps in memory.

    Args:
        processes: that keep as many on this machine.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(machine * MEMORY_SHARE / processes)


def decode(
    source: FrameSource,
    fit: Callable[[np.ndarray], np.ndarray],
    cache: str | Path | None,
    *,
    on_disk: bool,
    motion: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the frames of a source, fitted to the network, and their motion if wanted.

    Args:
        source: from its beginning.
        fit: makes of a frame what the network takes, uint8 (H, W, C).
        cache: folder of the files on disk, default: the system's temporary one.
        on_disk: keep all of it in files that are deleted with the process.
        motion: whether it is wanted.

    Returns:
        Frames, uint8 (T, H, W, C), and motion, float16 (T, rows, columns, CHANNELS), see
        `mpn.motion.flow.MotionReader`, or None; in memory or mapped from disk.

    Raises:
        FrameError: as `FrameSource.frames`.
    """
    reader = MotionReader(source.size) if motion else None
    moved: list[np.ndarray] = []

    def fitted() -> Iterator[np.ndarray]:
        tasks = (
            (fit(frame), reader.begin(frame) if reader is not None else lambda: None)
            for frame in source.frames()
        )
        with closing(compute_ahead(tasks)) as frames:
            for picture, cells in frames:
                if cells is not None:
                    moved.append(cells)
                yield picture

    if not on_disk:
        return np.stack(list(fitted())), np.stack(moved) if motion else None
    # Deleted once opened: the mapping keeps it alive, and nothing is left behind however the
    # process ends.
    with (
        tempfile.TemporaryFile(dir=cache, suffix=".frames") as file,
        tempfile.TemporaryFile(dir=cache, suffix=".motion") as motion_file,
    ):
        count, shape, motion_shape = 0, (), ()
        for frame in fitted():
            file.write(frame.tobytes())
            count, shape = count + 1, frame.shape
            for cells in moved:
                motion_file.write(cells.tobytes())
                motion_shape = cells.shape
            moved.clear()
        file.flush()
        motion_file.flush()
        frames = np.memmap(file, np.uint8, "r", shape=(count, *shape))
        if not motion:
            return frames, None
        return frames, np.memmap(motion_file, np.float16, "r", shape=(count, *motion_shape))

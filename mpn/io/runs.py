"""Runs of True: stretches of frames."""

from __future__ import annotations

import numpy as np


def run_edges(flags: np.ndarray) -> np.ndarray:
    """Find the runs of True in `flags`.

    Args:
        flags: bool (T,), such as labels.

    Returns:
        int (runs, 2): start and end (exclusive) of each run, in order.
    """
    padded = np.concatenate([[False], np.asarray(flags, bool), [False]])
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)


def intervals(flags: np.ndarray) -> list[tuple[int, int]]:
    """Find the runs of True in bool (T,) as a list of (start, end), end exclusive."""
    return [(start, end) for start, end in run_edges(flags).tolist()]

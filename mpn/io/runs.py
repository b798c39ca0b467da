"""Runs of True: stretches of frames."""

from __future__ import annotations

import numpy as np


def intervals(flags: np.ndarray) -> list[tuple[int, int]]:
    """The runs of True in bool (T,), such as labels, as (start, end), end exclusive."""
    edges = np.flatnonzero(
        np.diff(np.concatenate([[0], np.asarray(flags, bool).astype(np.int8), [0]]))
    )
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2])]

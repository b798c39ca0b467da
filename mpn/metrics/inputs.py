"""What the metrics take: labels and scores in their three forms, checked. No torch, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from mpn.errors import LabelError

Arrays: TypeAlias = "np.ndarray | Sequence | Mapping[str, np.ndarray]"
# labels bool (T,) and scores float64 (T,) of each video
Pairs: TypeAlias = "list[tuple[np.ndarray, np.ndarray]]"


def both_classes(y: np.ndarray) -> bool:
    """Say whether labels (T,) hold normal and anomalous frames."""
    return bool(y.any()) and not bool(y.all())


def joined(labels: Arrays, scores: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Join all videos' labels and scores to one array each.

    Raises:
        LabelError: they don't fit.
    """
    pairs = paired(labels, scores)
    return np.concatenate([y for y, _ in pairs]), np.concatenate([s for _, s in pairs])


def paired(labels: Arrays, scores: Arrays, *, gaps: bool = False) -> Pairs:
    """Check labels and scores and pair them by video.

    Args:
        labels: in one of the three forms.
        scores: likewise.
        gaps: whether scores may be NaN, as at the start of a live stream.

    Returns:
        (labels, scores) of each video: bool (T,) and float64 (T,), in the order of the labels.

    Raises:
        LabelError: videos, lengths, types or values don't fit; with the video's name.
    """
    if isinstance(labels, Mapping) != isinstance(scores, Mapping):
        raise LabelError("labels and scores must both be mappings by video name, or neither")
    if isinstance(labels, Mapping) and isinstance(scores, Mapping):
        different = sorted(set(labels) ^ set(scores), key=str)
        if different:
            where = "scores" if different[0] in labels else "labels"
            raise LabelError(
                f"video {different[0]!r} has no {where}: labels and scores need the same videos"
            )
        named = [(f"video {name!r}", labels[name], scores[name]) for name in labels]
    else:
        lists = [[x] if _is_one_array(x) else list(x) for x in (labels, scores)]
        if len(lists[0]) != len(lists[1]):
            raise LabelError(f"labels of {len(lists[0])} videos but scores of {len(lists[1])}")
        named = [(f"video {k}", y, s) for k, (y, s) in enumerate(zip(*lists))]
    if not named:
        raise LabelError("no videos: labels and scores are empty")
    return [_checked(where, y, s, gaps) for where, y, s in named]


def _is_one_array(x: Arrays) -> bool:
    if isinstance(x, np.ndarray):
        return x.dtype != object  # an object array is a sequence of arrays of several lengths
    return len(x) > 0 and all(np.ndim(item) == 0 for item in x)


def _checked(
    where: str, labels: object, scores: object, gaps: bool
) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(labels), np.asarray(scores)
    if y.ndim != 1 or s.ndim != 1:
        raise LabelError(
            f"{where}: labels {y.shape} and scores {s.shape}, expected one number a frame (T,)"
        )
    if len(y) != len(s):
        raise LabelError(f"{where}: {len(y)} labels but {len(s)} scores")
    if not len(y):
        raise LabelError(f"{where}: no frames")
    if y.dtype != bool:
        if y.dtype.kind not in "iuf" or not np.isin(y, (0, 1)).all():
            raise LabelError(f"{where}: labels must be bool, or 0 and 1 only")
        y = y.astype(bool)
    if s.dtype.kind not in "iufb":
        raise LabelError(f"{where}: scores of type {s.dtype}, expected numbers")
    s = s.astype(np.float64)
    bad = np.flatnonzero(np.isinf(s) if gaps else ~np.isfinite(s))
    if len(bad):
        raise LabelError(
            f"{where}: score of frame {bad[0]} is {s[bad[0]]} ({len(bad)} not finite); "
            "cut frames without a score, and their labels, before"
        )
    return y, s

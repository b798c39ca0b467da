"""A labelled test set: its videos, opened, with their labels, and what metrics depend on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpn.datasets.labels import Labels, load_labels
from mpn.datasets.layouts import DatasetTree
from mpn.errors import DataError, LabelError
from mpn.evaluation.frame_metrics import TURNED
from mpn.evaluation.localisation import Truth
from mpn.io.atomic import write_atomically
from mpn.io.runs import intervals
from mpn.metrics.true_regions import read_tracks
from mpn.model.file_format import library_versions
from mpn.scoring import protocols
from mpn.scoring.detector import Detector
from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source


@dataclass(frozen=True)
class LabelledSet:
    """A data set's test videos, opened, with their labels.

    Attributes:
        sources, lengths, rates: by the videos' names; frames as they are decoded, frames per second
            or None.
        labels: one a frame.
        truth: where the anomalies are.
    """

    tree: DatasetTree
    sources: dict[str, FrameSource]
    lengths: dict[str, int]
    rates: dict[str, Fraction | None]
    labels: Labels
    truth: Truth


def open_set(
    tree: DatasetTree,
    labels: Path | None = None,
    *,
    fps: float | None = None,
    skip_bad: bool = False,
    tracks: Path | None = None,
) -> LabelledSet:
    """Open a data set's test videos and read their labels.

    Args:
        tree: from `mpn.datasets.layouts.recognise`.
        labels: a file or folder instead of what lies in the tree.
        fps: frames per second, instead of what the videos say.
        skip_bad: whether to go on without frames and videos that cannot be read.
        tracks: true regions, see `mpn.metrics.true_regions.read_tracks`; default:
            testing/tracks.csv, as the demo set has it, else the connected parts of the masks.

    Raises:
        LabelError: no test videos, no labels, or labels that don't fit.
        FrameError: what cannot be read.
        DataError: likewise.
    """
    if not tree.testing:
        raise LabelError(
            f"{tree.root}: no test videos in the {tree.layout} layout; labelled "
            "footage was expected"
        )
    sources = {
        video.name: open_source(video.path, skip_bad=skip_bad, fps=fps) for video in tree.testing
    }
    lengths = {name: source.length for name, source in sources.items()}
    read_labels = load_labels(tree, lengths, labels)
    rates = {name: source.fps for name, source in sources.items()}
    sizes = {name: source.size for name, source in sources.items()}
    table = tree.root / "testing" / "tracks.csv"
    tracks_path = tracks or (table if table.is_file() else None)
    truth = (
        Truth(read_labels, sizes)
        if tracks_path is None
        else Truth(read_labels, sizes, read_tracks(tracks_path), str(tracks_path))
    )
    return LabelledSet(tree, sources, lengths, rates, read_labels, truth)


def facts_of(
    tree: DatasetTree, labels: Labels, detector: Detector | None, checkpoint: Path | None
) -> dict[str, Any]:
    """Return what figures depend on: data, label file, model, versions."""
    import torch

    facts: dict[str, Any] = {
        "data": {"root": str(tree.root), "layout": tree.layout},
        "labels": {
            "kind": labels.kind,
            "source": str(labels.source),
            "sha256": labels.sha256,
            "frames": labels.total,
            "anomalous": labels.anomalous,
        },
        "versions": library_versions(),
        "threads": torch.get_num_threads(),
    }
    if detector is None:
        return facts
    return facts | {
        "checkpoint": {"path": str(checkpoint), "sha256": detector.checkpoint.sha256},
        "recipe": detector.score_config.to_dict(),
        "precision": "bfloat16" if detector.bfloat16 else "float32",
        "engine": detector.engine_name,
        "device": str(detector.device),
        "training": {k: v for k, v in detector.checkpoint.training.items() if k != "clips"},
    }


def write_labels(path: Path, labels: Labels) -> None:
    """Write labels.csv: the labels that were used, beside the figures.

    As `mpn compare` reads them: video,start,end (frames from 0, end exclusive; both empty for a
    video without anomalies).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "start", "end"])
    for name, anomalous in labels.frames.items():
        writer.writerows([name, *stretch] for stretch in intervals(anomalous) or [("", "")])
    write_atomically(path, text.getvalue())


def causal(series: Mapping[str, Mapping[str, np.ndarray]], column: str) -> dict[str, np.ndarray]:
    """Return a column as a live camera has it, higher = more anomalous, NaN for the first frames.

    Raises:
        DataError: not every video has the column.
    """
    if any(column not in columns for columns in series.values()):
        raise DataError(f"not every video has a column {column!r}")
    sign = -1.0 if column in TURNED else 1.0
    return protocols.apply(
        "causal", {name: sign * columns[column] for name, columns in series.items()}
    )

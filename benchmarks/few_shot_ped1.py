"""Ped1 as two cameras that the model has never seen: K = 0, 1, 5, 10, 100 normal windows.

    python -m benchmarks.few_shot_ped1 CHECKPOINT PED1 --work FOLDER [--method place]

PED1 holds the 36 test clips as videos and labels.csv (video,start,end). There are no training
clips, so this is NOT the standard protocol: two folds, odd and even clips; the normal stretches of
one half are what is adapted on and what the units are from, the other half is judged. It is part of
the choice set (PROTOCOL section 5).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.few_shot_common import (
    checked,
    collect,
    few_shot_parser,
    finish,
    open_model,
    records,
)
from mpn.datasets.label_readers import csv_rows
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.evaluation.few_shot_summary import FIGURES, record_of
from mpn.io.runs import intervals
from mpn.model.config import ModelConfig

RATE = 10.0  # frames/s
FOLDS = ("odd clips", "even clips")


def normal_stretches(clip: Clip, labels: np.ndarray, window: int) -> list[Clip]:
    """Cut a clip to its normal stretches that are long enough for a window.

    Args:
        clip: with labels.
        labels: bool (T,).
        window: T.
    """
    return [
        clip.cut(start, stop, f"{clip.name}[{start}:{stop}]")
        for start, stop in intervals(~labels)
        if stop - start > window + 1
    ]


def two_folds(
    data: Path, config: ModelConfig, most: int | None = None
) -> tuple[list[Clip], list[Clip], dict[str, np.ndarray]]:
    """Read Ped1 as two cameras, with motion.

    Args:
        data: its clips and labels.csv.
        config: the preset that gives the frames' size and colours.
        most: only so many of the clips.

    Returns:
        Normal stretches to adapt on, clips to judge, and labels bool (T,) by clip.
    """
    paths = sorted(data.glob("*.mp4"))[:most]
    videos = [Video(path.stem, path, "ped1") for path in paths]
    clips = load_clips(videos, config.size, config.grey, motion=True, fps=RATE)
    labels = {clip.name: np.zeros(len(clip.frames), bool) for clip in clips}
    for _, video, start, end in csv_rows(data / "labels.csv"):
        if video in labels and start is not None:  # else it says that the clip is normal
            labels[video][start:end] = True
    training, testing = [], []
    for fold, name in enumerate(FOLDS):
        testing += [replace(clip, scene=name) for clip in clips[fold::2]]
        for clip in clips[1 - fold :: 2]:
            stretches = normal_stretches(clip, labels[clip.name], config.window)
            training += [replace(stretch, scene=name) for stretch in stretches]
    return training, testing, labels


def main() -> None:
    """Scores both folds, prints the table, writes few_shot_ped1.json."""
    arguments = few_shot_parser(__doc__, shots="0,1,5,10,100")
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("data", type=Path, metavar="PED1", help="its clips and labels.csv")
    args = checked(arguments.parse_args())
    detector = open_model(args.checkpoint, args)
    training, testing, labels = two_folds(args.data, detector.config, 8 if args.quick else None)
    rows = collect("few_shot_ped1", detector, training, testing, args)
    all_records = records(rows, lambda row: record_of(row, labels).figures)
    facts = {
        "checkpoint": {"path": str(args.checkpoint), "sha256": detector.checkpoint.sha256},
        "protocol": "two folds of the test clips, not the standard protocol",
        "frames": sum(len(values) for values in labels.values()),
        "anomalous": int(sum(values.sum() for values in labels.values())),
    }
    finish(
        "few_shot_ped1", args, {"Ped1, never trained on, two folds": all_records}, FIGURES, facts
    )


if __name__ == "__main__":
    main()

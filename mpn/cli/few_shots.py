"""The option `mpn evaluate --shots`: every camera of a data set as a new one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mpn.adaptation.inner_loop import Adaptation
from mpn.cli import UsageError
from mpn.cli.data import data_name, open_data
from mpn.cli.model import open_detector
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import LabelError
from mpn.evaluation.few_shot import DRAWS, METHODS, PROTOCOLS, few_shot
from mpn.evaluation.few_shot_summary import format_few_shot_table, record_of, summarise_records
from mpn.evaluation.frame_metrics import write_metrics
from mpn.evaluation.test_set import facts_of
from mpn.scoring.detector import Detector
from mpn.video.depth import Levels, common_levels


def few_shots(options: argparse.Namespace) -> None:
    """Adapt on K windows of every camera and evaluate (PROTOCOL section 4).

    By a place model, by meta-learning and by plain fine-tuning.

    Args:
        options: of `mpn evaluate`.

    Raises:
        LabelError: no test videos.
        UsageError: scores were given, not a model.
    """
    if options.scores:
        raise UsageError("--shots adapts a model: with --scores there is none")
    detector = open_detector(options, default="meta")
    tree = open_data(options)
    if not tree.testing:
        raise LabelError(
            f"{tree.root}: no test videos in the {tree.layout} layout; labelled "
            "footage was expected"
        )
    training = _clips(tree.training, detector, options)
    # Deep footage as `mpn score` shows it to a camera's model: by the range of its normal footage.
    levels = common_levels(clip.levels for clip in training)
    testing = _clips(tree.testing, detector, options, levels)
    labels = load_labels(tree, {clip.name: len(clip.frames) for clip in testing}, options.labels)
    for note in labels.notes:
        print(note, file=sys.stderr)
    methods = _methods(detector, options.no_fine_tuning)
    chosen = options.few_shot_protocol or "clean"
    how = {"shots": options.shots, "draws": options.draws or DRAWS, "methods": methods}
    records = [
        record_of(row, labels.frames)
        for protocol in (PROTOCOLS if chosen == "both" else (chosen,))
        for row in few_shot(detector, training, testing, protocol=protocol, **how)
    ]
    summary = summarise_records(records, seed=options.seed)
    out = options.out or Path("runs") / f"few-shot-{data_name(options)}"
    results = {"records": [record._asdict() for record in records], "summary": summary}
    results["methods"] = {
        name: asdict(method.filled(detector.checkpoint)) for name, method in methods.items()
    }
    facts = facts_of(tree, labels, detector, options.checkpoint) | {"seed": options.seed}
    write_metrics(out / "few_shot.json", results, facts)
    if options.json:
        print((out / "few_shot.json").read_text(), end="")
        return
    print(format_few_shot_table(summary), end="")
    print(
        f"labels: {labels.kind}, {labels.source}, {labels.anomalous} of {labels.total} frames "
        "anomalous"
    )
    print(f"results: {out}/few_shot.json")


def _clips(
    videos: Sequence[Video],
    detector: Detector,
    options: argparse.Namespace,
    levels: Levels | None = None,
) -> list[Clip]:
    """Read videos as the model is shown them, with their motion; none of none."""
    if not videos:
        return []
    return load_clips(
        videos,
        detector.config.size,
        detector.config.grey,
        skip_bad=options.skip_bad,
        motion=True,
        fps=options.fps,
        interpolation=detector.config.interpolation,
        min_side=detector.config.stride,
        levels=levels,
    )


def _methods(detector: Detector, no_fine_tuning: bool) -> dict[str, Adaptation]:
    """List the methods that the model can be adapted by."""
    left_out = {"meta"} if detector.checkpoint.meta is None else set()
    left_out |= {"fine-tuning"} if no_fine_tuning else set()
    return {name: method for name, method in METHODS.items() if name not in left_out}

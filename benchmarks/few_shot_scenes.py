"""Real scenes that the model has never seen: held-out PSNR, and made anomalies of other kinds.

    python -m benchmarks.few_shot_scenes data/scenes --work FOLDER \\
        --fold a=runs/fold-a/model.safetensors:campus,plaza,road --fold b=...

A fold is a model and the scenes that were kept from it, pre-training and meta-training both. The
first half of a held-out scene's clip is what is adapted on; the rest, a second later, is judged:
PSNR as it is, and frame AUC (region score, causal) with what `benchmarks.made_anomalies` makes into
it, for all kinds and for each (an event's kind against all normal frames of its scene). For K = 0,
1, 5, 10 and five draws, meta-adapted and fine-tuned, paired by scene and draw. It says how long it
will take; what is done is kept in --work.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import print_table
from benchmarks.few_shot_common import (
    FIGURE_PSNR,
    causal,
    checked,
    collect,
    few_shot_parser,
    finish,
    mean_psnr,
    open_model,
    records,
)
from benchmarks.made_anomalies import Choice, choice_set
from benchmarks.made_anomaly_kinds import KINDS
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips
from mpn.evaluation.few_shot import FewShotRow
from mpn.evaluation.few_shot_summary import FIGURES, Figure, Record, record_of
from mpn.metrics import frame_auc
from mpn.scoring.parts import PART_NAMES, PSNR

SHOWN = {
    **{name: FIGURES[name] for name in ("score", *PART_NAMES)},
    **{f"kind_{kind}": Figure(f"frame AUC, region score, causal, {kind}, %") for kind in KINDS},
    "psnr_normal": FIGURE_PSNR,
}


class Fold(NamedTuple):
    """A model and the scenes that it has not seen."""

    name: str
    checkpoint: Path
    scenes: tuple[str, ...]


def fold(text: str) -> Fold:
    """NAME=CHECKPOINT:SCENE,SCENE, for argparse."""
    name, separator, rest = text.partition("=")
    path, colon, scenes = rest.rpartition(":")
    chosen = tuple(scene for scene in scenes.split(",") if scene)
    if not (separator and colon and name and path and chosen):
        raise argparse.ArgumentTypeError(f"{text!r}: NAME=CHECKPOINT:SCENE,SCENE was expected")
    return Fold(name, Path(path), chosen)


def figures_of(row: FewShotRow, choice: Choice, window: int) -> dict[str, float]:
    """Compute PSNR on the footage as it is, and frame AUC on the same with anomalies.

    AUC over all versions, and by kind.
    """
    columns = {video: row.columns[video] for video in choice.truth}
    labels = {video: made.labels for video, made in choice.truth.items()}
    made = FewShotRow(*row.key, columns, 0.0)
    normal = choice.normal.name
    figures = record_of(made, labels).figures
    figures["psnr_normal"] = mean_psnr(
        row.columns, {normal: np.isfinite(row.columns[normal][PSNR.name])}
    )
    smooth = {video: causal(parts)[window:] for video, parts in columns.items()}
    for kind in KINDS:
        truth, scores = {}, {}
        for video, made_clip in choice.truth.items():
            of_kind = np.zeros(len(made_clip.labels), bool)
            for event in made_clip.events:
                of_kind[event.start : event.end] |= event.kind == kind
            of_kind &= made_clip.labels
            judged = (of_kind | ~made_clip.labels)[window:]
            if judged.any():
                truth[video], scores[video] = of_kind[window:][judged], smooth[video][judged]
        figures[f"kind_{kind}"] = frame_auc(truth, scores)
    return figures


def judge(args: argparse.Namespace, one: Fold, seed: int) -> tuple[list[Record], dict[str, Any]]:
    """The records of one fold, and the facts on what was judged."""
    detector = open_model(one.checkpoint, args)
    videos = [video for video in recognise(args.data).training if video.scene in one.scenes]
    missing = sorted(set(one.scenes) - {video.scene for video in videos})
    if missing:
        raise SystemExit(f"{args.data} has no scene {missing[0]}, which --fold {one.name} names")
    clips = load_clips(videos, detector.config.size, detector.config.grey, motion=True)
    choices = {choice.scene: choice for choice in choice_set(clips, seed)}
    print(f"\nfold {one.name}: {', '.join(choices)}")
    training = [clip for choice in choices.values() for clip in choice.training]
    testing = [clip for choice in choices.values() for clip in (choice.normal, *choice.made)]
    rows = collect(f"few_shot_scenes-{one.name}", detector, training, testing, args)
    fold_records = records(
        rows, lambda row: figures_of(row, choices[row.scene], detector.config.window)
    )
    facts = {
        "checkpoint": {"path": str(one.checkpoint), "sha256": detector.checkpoint.sha256},
        "scenes": {
            scene: {
                "training_frames": sum(len(clip.frames) for clip in choice.training),
                "normal_frames": len(choice.normal.frames),
                "events": {
                    video: [list(event) for event in made.events]
                    for video, made in choice.truth.items()
                },
                "anomalous_frames": sum(int(made.labels.sum()) for made in choice.truth.values()),
            }
            for scene, choice in choices.items()
        },
    }
    return fold_records, facts


def by_scene(found: list[Record]) -> None:
    """Print each scene's AUC and PSNR, the mean over its repeats.

    Unadapted first, then every method and K.
    """
    cases = list(dict.fromkeys((record.method, record.shots) for record in found))
    rows = []
    for scene in dict.fromkeys(record.scene for record in found):
        cells = []
        for case in cases:
            case_figures = [
                record.figures
                for record in found
                if (record.scene, record.method, record.shots) == (scene, *case)
            ]
            auc, psnr = (
                np.mean([figures[name] for figures in case_figures])
                for name in ("score", "psnr_normal")
            )
            cells.append(f"{100 * auc:.1f} / {psnr:.2f}")
        rows.append([scene, *cells])
    print_table(["frame AUC, % / PSNR, dB", *(f"{method} {k}" for method, k in cases)], rows)


def main() -> None:
    """Evaluate every fold, print the tables over all and by scene, write few_shot_scenes.json."""
    arguments = few_shot_parser(__doc__)
    arguments.add_argument(
        "data", type=Path, metavar="SCENES", help="normal footage, a folder a camera"
    )
    arguments.add_argument(
        "--fold", type=fold, action="append", required=True, metavar="NAME=CHECKPOINT:SCENE,SCENE"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of the made anomalies (default: 0)")
    args = checked(arguments.parse_args())
    twice = [
        scene
        for scene, count in Counter(
            scene for held_out in args.fold for scene in held_out.scenes
        ).items()
        if count > 1
    ]
    if twice:
        raise SystemExit(f"scene {twice[0]} is held out by two folds: it would count twice")
    all_records: list[Record] = []
    facts: dict[str, Any] = {"data": str(args.data), "seed": args.seed, "folds": {}}
    for held_out in args.fold:
        fold_records, facts["folds"][held_out.name] = judge(args, held_out, args.seed)
        all_records += fold_records
    print()
    by_scene(all_records)
    finish("few_shot_scenes", args, {"held-out scenes": all_records}, SHOWN, facts)


if __name__ == "__main__":
    main()

"""Ped2 as a camera that the model has never seen: the table K = 0, 1, 5, 10, 100, clean protocol.

    python -m benchmarks.few_shot_ped2 CHECKPOINT data/ped2 --work FOLDER

Frame AUC of the region score (causal), of its parts, and of PSNR by the paper's protocol, five
draws. With --method and --steps (and --learning-rate) one method with other numbers, under a
--label of its own. It reads the test split: every reading is noted in results/readings.csv at once.
It says how long it will take; what is done is kept in --work.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import log_reading
from benchmarks.few_shot_common import (
    checked,
    collect,
    few_shot_parser,
    finish,
    methods_of,
    open_model,
    records,
)
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips
from mpn.evaluation.few_shot import FewShotRow
from mpn.evaluation.few_shot_summary import FIGURES, record_of
from mpn.video.sources import open_source

RATE = 10.0  # frames/s: Ped2's pictures don't say


def main() -> None:
    """Scores, notes every reading, prints the table, writes few_shot_ped2.json."""
    arguments = few_shot_parser(__doc__, shots="0,1,5,10,100")
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("data", type=Path, metavar="DATA", help="Ped2 in the frames layout")
    args = checked(arguments.parse_args())
    detector = open_model(args.checkpoint, args)
    tree = recognise(args.data)
    size, grey = detector.config.size, detector.config.grey
    videos = tree.testing[:2] if args.quick else tree.testing
    training, testing = (
        load_clips(split, size, grey, motion=True, fps=RATE) for split in (tree.training, videos)
    )
    # Labels are of the whole split, with --quick too.
    lengths = {video.name: open_source(video.path).length for video in tree.testing}
    labels = load_labels(tree, lengths)

    def note(row: FewShotRow) -> None:
        if args.quick:
            return
        steps = methods_of(args)[row.method].filled(detector.checkpoint).steps if row.shots else 0
        figures = record_of(row, labels.frames).figures
        log_reading(
            f"few_shot_ped2 {args.checkpoint} sha256 {detector.checkpoint.sha256[:12]} "
            f"{row.method} K = {row.shots} {steps} steps{f' ({args.label})' if args.label else ''}",
            row.draw,
            "frame AUC % "
            + "; ".join(f"{name} {100 * value:.2f}" for name, value in figures.items()),
        )

    rows = collect("few_shot_ped2", detector, training, testing, args, note)
    all_records = records(rows, lambda row: record_of(row, labels.frames).figures)
    finish(
        "few_shot_ped2",
        args,
        {"Ped2, never trained on": all_records},
        FIGURES,
        {
            "checkpoint": {"path": str(args.checkpoint), "sha256": detector.checkpoint.sha256},
            "data": str(args.data),
            "labels": {
                "kind": labels.kind,
                "source": str(labels.source),
                "sha256": labels.sha256,
                "frames": labels.total,
                "anomalous": labels.anomalous,
            },
        },
    )


if __name__ == "__main__":
    main()

"""Generated scenes that the model has never seen: how much do a few windows of a camera help?

    python -m benchmarks.few_shot_generated CHECKPOINT DATA --work FOLDER

DATA is a demo set of eight scenes of another seed; where it is not there it is made (a few
minutes). For K = 0, 1, 5, 10 and five draws, meta-adapted and fine-tuned: frame AUC (region score,
causal), PSNR on normal test frames, and false alarms per hour at the threshold that finds 80 % of
the events, of each camera by itself and of all together with one threshold; differences paired by
scene and draw with 95 % intervals. It says how long it will take; what is done is kept in --work.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.few_shot_common import (
    FIGURE_PSNR,
    causal,
    checked,
    collect,
    false_alarms,
    few_shot_parser,
    finish,
    mean_psnr,
    open_model,
    records,
    untouched,
)
from mpn.cli.data import demo_rate
from mpn.datasets.demo.dataset import write_demo
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips
from mpn.evaluation.few_shot import FewShotRow
from mpn.evaluation.few_shot_summary import FIGURES, Figure, Record, record_of
from mpn.scoring.parts import PART_NAMES

SETTINGS = {
    "seed": 2,
    "scenes": 8,
    "training": 3,
    "validation": 1,
    "testing": 2,
    "length": 100,
    "test_length": 175,
}
QUICK = {
    "seed": 2,
    "scenes": 2,
    "training": 2,
    "validation": 0,
    "testing": 1,
    "length": 30,
    "test_length": 150,
    "size": (64, 96),
}
SHOWN = {
    **{name: FIGURES[name] for name in ("score", *PART_NAMES)},
    "psnr_normal": FIGURE_PSNR,
    "false_alarms": Figure("false alarms per hour where 80 % of the events are found", 1.0, 1),
}
EVERY = "all cameras"


def together(rows: list[FewShotRow], scenes: int) -> list[FewShotRow]:
    """Join the rows of all cameras as if of one, where no camera is missing.

    Scores are in units of each camera's normal frames, and one threshold serves them.
    """
    joined: dict[tuple, list[FewShotRow]] = {}
    for row in rows:
        joined.setdefault(row.key._replace(scene=EVERY), []).append(row)
    return [
        FewShotRow(
            *key,
            {video: columns for row in camera_rows for video, columns in row.columns.items()},
            0.0,
        )
        for key, camera_rows in joined.items()
        if len(camera_rows) == scenes
    ]


def main() -> None:
    """Makes the data set if need be, scores, prints the tables, writes few_shot_generated.json."""
    arguments = few_shot_parser(__doc__)
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument(
        "data", type=Path, metavar="DATA", help="a demo set of unseen scenes, made if absent"
    )
    args = checked(arguments.parse_args())
    detector = open_model(args.checkpoint, args)
    if not args.data.exists():
        write_demo(args.data, **(QUICK if args.quick else SETTINGS))
    tree, fps, window = recognise(args.data), demo_rate(args.data), detector.config.window
    size, grey = detector.config.size, detector.config.grey
    training, testing = (
        load_clips(videos, size, grey, motion=True, fps=fps)
        for videos in (tree.training, tree.testing)
    )
    labels = load_labels(tree, {clip.name: len(clip.frames) for clip in testing}).frames
    rows = collect("few_shot_generated", detector, training, testing, args)

    def alarms(row: FewShotRow) -> float:
        truth = {video: labels[video] for video in row.columns}
        return false_alarms(
            truth, {video: causal(columns) for video, columns in row.columns.items()}, fps
        )

    def figures(row: FewShotRow) -> dict[str, float]:
        normal = {video: untouched(labels[video], window) for video in row.columns}
        values = record_of(row, labels).figures
        return values | {"psnr_normal": mean_psnr(row.columns, normal), "false_alarms": alarms(row)}

    tables: dict[str, list[Record]] = {
        "every camera by itself": records(rows, figures),
        "all cameras with one threshold": records(
            together(rows, len({clip.scene for clip in testing})),
            lambda row: {"false_alarms": alarms(row)},
        ),
    }
    finish(
        "few_shot_generated",
        args,
        tables,
        SHOWN,
        {
            "checkpoint": {"path": str(args.checkpoint), "sha256": detector.checkpoint.sha256},
            "data": {
                "path": str(args.data),
                "made_with": QUICK if args.quick else SETTINGS,
                "test_frames": sum(len(clip.frames) for clip in testing),
            },
        },
    )


if __name__ == "__main__":
    main()

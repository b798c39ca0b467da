"""Cameras that a model has never seen, adapted on all of their normal footage as `mpn adapt` does.

    python -m benchmarks.adapted_cameras CHECKPOINT DATA --work FOLDER [--fps 10]
    python -m benchmarks.adapted_cameras CHECKPOINT PED1 --ped1 --work FOLDER

Every camera (scene) of DATA is adapted to by its training footage, once by its place alone and once
by training the network too (`mpn adapt --method adam --standalone`), and its test clips are judged:
frame AUC (micro within the camera, causal) of the whole score and of its parts, and what training
the network changed, with 95 % intervals over cameras. PED1 is as `benchmarks.few_shot_ped1` takes
it, two folds that are not the standard protocol. A camera that is done is kept in --work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import parser, print_table, write_result
from benchmarks.few_shot_common import open_model
from benchmarks.few_shot_differences import interval
from benchmarks.few_shot_ped1 import two_folds
from mpn.adaptation.camera import adapt_clips
from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.inner_loop import Adaptation
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import Clip, load_clips
from mpn.io.atomic import write_atomically
from mpn.metrics import frame_auc
from mpn.scoring import protocols
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.scores import combine

PLACE, ADAM = "place", "adam"
# What is judged by, and the weights of its parts; those of the score are the model's own.
PARTS: dict[str, dict[str, float]] = {
    "score": {},
    "motion by place": {"speed": 0.7, "direction": 1.0},
    "network": {"error": 1.0, "pseudo": 1.0},
    "error": {"error": 1.0},
    "head": {"pseudo": 1.0},
}
Labels = Mapping[str, np.ndarray]


def judged(
    detector: Detector, training: Sequence[Clip], testing: Sequence[Clip], labels: Labels, how: str
) -> dict[str, float]:
    """Adapt to one camera, and compute the frame AUC of its parts.

    Args:
        detector: the model.
        training: normal footage of the camera, with motion.
        testing: clips of it, with motion.
        labels: clip -> bool (T,).
        how: the method.

    Returns:
        What is judged by -> frame AUC, causal; and the seconds that adapting took.
    """
    standalone = how == ADAM
    options = CameraOptions(
        adaptation=Adaptation(how), network=True, standalone=standalone, force=True
    )
    began = time.perf_counter()
    adapted, _ = adapt_clips(detector, training[0].scene, training, options)
    seconds = time.perf_counter() - began
    camera_detector = detector.sibling(adapted, adapted.score_config)
    window = camera_detector.config.window
    columns = score_clips(camera_detector, testing, "judging")
    truth = {clip.name: labels[clip.name][window:] for clip in testing}
    figures = {"seconds": seconds}
    for name, weights in PARTS.items():
        scores = {
            clip.name: protocols.exponential(
                combine(part, weights or camera_detector.weights, camera_detector.normal)
            )
            for clip, part in zip(testing, columns)
        }
        figures[name] = frame_auc(truth, {clip: values[window:] for clip, values in scores.items()})
    return figures


def summary(cameras: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Average over cameras, and compare what was trained with what was not, paired by camera."""
    summaries: dict[str, Any] = {}
    for name in PARTS:
        both = np.array(
            [[camera[how][name] for how in (PLACE, ADAM)] for camera in cameras.values()]
        )
        difference = both[:, 1] - both[:, 0]
        entry = {PLACE: both[:, 0].mean(), ADAM: both[:, 1].mean(), "gain": difference.mean()}
        if len(both) > 1:
            entry["low"], entry["high"] = interval(difference)
        summaries[name] = {key: float(value) for key, value in entry.items()}
    return summaries


def show(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table."""
    rows = []
    for name, entry in found.items():
        gain = f"{100 * entry['gain']:+.1f}"
        if "low" in entry:
            gain += f" ({100 * entry['low']:+.1f} to {100 * entry['high']:+.1f})"
        rows.append([name, *(f"{100 * entry[how]:.1f}" for how in (PLACE, ADAM)), gain])
    header = ["frame AUC, causal, %, mean of cameras", "place alone", "network trained", "gain"]
    print_table(header, rows)


def footage(
    detector: Detector, args: argparse.Namespace
) -> tuple[list[Clip], list[Clip], dict[str, np.ndarray]]:
    """Read normal footage, test clips and labels."""
    config = detector.config
    if args.ped1:
        return two_folds(args.data, config, 4 if args.quick else None)
    tree = recognise(args.data)
    training, testing = (
        load_clips(videos, config.size, config.grey, motion=True, fps=args.fps)
        for videos in (tree.training, tree.testing)
    )
    lengths = {clip.name: len(clip.frames) for clip in testing}
    return training, testing, dict(load_labels(tree, lengths).frames)


def main() -> None:
    """Adapt and judge, print the table, write adapted_cameras-LABEL.json."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("data", type=Path, metavar="DATA", help="a labelled set")
    arguments.add_argument("--ped1", action="store_true", help="DATA is Ped1's test clips")
    arguments.add_argument("--work", type=Path, required=True, help="what is done is kept there")
    arguments.add_argument("--fps", type=float, help="where the videos do not say")
    arguments.add_argument("--label", help="of the result file (default: the folder's name)")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    args = arguments.parse_args()
    torch.set_flush_denormal(True)
    detector = open_model(args.checkpoint, args)
    label = args.label or args.data.name
    training, testing, labels = footage(detector, args)
    scenes = list(dict.fromkeys(clip.scene for clip in testing))
    path = args.work / f"{label}-{detector.checkpoint.sha256[:16]}.json"
    cameras = json.loads(path.read_text()) if path.exists() else {}
    args.work.mkdir(parents=True, exist_ok=True)
    for scene in scenes[: 1 if args.quick else None]:
        camera_training, camera_testing = (
            [c for c in clips if c.scene == scene] for clips in (training, testing)
        )
        for how in (PLACE, ADAM):
            if how not in cameras.setdefault(scene, {}):
                cameras[scene][how] = judged(detector, camera_training, camera_testing, labels, how)
                write_atomically(path, json.dumps(cameras))
                print(scene, how, {k: round(v, 3) for k, v in cameras[scene][how].items()})
    means = summary(cameras)
    show(means)
    facts = {
        "checkpoint": {"path": str(args.checkpoint), "sha256": detector.checkpoint.sha256},
        "data": str(args.data),
        "mean": means,
        "cameras": cameras,
    }
    write_result(f"adapted_cameras-{label}", args, facts)


if __name__ == "__main__":
    main()

"""Ellipses or movers: what the pseudo-anomaly head learns more from, where the camera is known.

    python -m benchmarks.movers data/ped2 --fps 10 --movers-from data/scenes data/scenes2 \\
        --kinds ellipses movers --epochs 4 --work FOLDER
    python -m benchmarks.movers data/ped1 --fps 10 --labelled --fold 0 ...

The first trains on three quarters of DATA's training clips and judges the others, with what
`benchmarks.made_anomalies` makes into them. With --labelled, DATA has labels, and one half of its
test clips (even or odd, --fold) is judged by them; the normal frames of the other half are trained
on: no standard protocol, but real anomalies, for a set that is there for choices (PROTOCOL section
5). Frame AUC (micro, causal) in % of the error's part, of the head's, and of their sum. All kinds
take the same number of steps of the same windows. Trainings lie in --work, and a finished one is
not repeated.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.common import parser, print_table, write_result
from benchmarks.made_anomalies import make
from benchmarks.made_anomaly_kinds import KINDS as MADE_KINDS
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.pseudo_anomalies import KINDS
from mpn.datasets.windows import Clip, load_clips
from mpn.evaluation.baselines import flow_speed
from mpn.io.runs import intervals
from mpn.metrics import frame_auc
from mpn.metrics.intervals import draw_videos, draw_weights, drawn_auc, interval_of
from mpn.model.checkpoint import load_checkpoint
from mpn.model.config import get_config
from mpn.scoring import protocols
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.parts import PART_NAMES
from mpn.scoring.scores import combine
from mpn.training.pretraining import TrainingOptions, train

HELD_OUT = slice(3, None, 4)  # of the training clips
DRAWS = 2000  # resamplings of the judged videos, for the intervals
VERSIONS = 3  # of every held-out clip, with other anomalies


class Judged:
    """Clips to judge, with their labels, and those that were made with the kind of each frame."""

    def __init__(self) -> None:
        self.clips: list[Clip] = []
        self.labels: dict[str, np.ndarray] = {}
        self.kinds: dict[str, np.ndarray] = {}

    def add(self, clip: Clip, labels: np.ndarray, kinds: np.ndarray | None = None) -> None:
        """Add a clip with labels bool (T,), and the kinds of what was made into it, (T,) of str."""
        self.clips.append(clip)
        self.labels[clip.name] = labels
        self.kinds[clip.name] = np.full(len(labels), "") if kinds is None else kinds


def made(clips: list[Clip], seed: int = 0) -> Judged:
    """Make anomalies into normal clips, in some versions each."""
    judged = Judged()
    for number, clip in enumerate(clips):
        for version in range(VERSIONS):
            changed = make(
                clip.frames,
                clip.fps,
                seed + 100 * number + version,
                first_kind=2 * number + 3 * version,
            )
            kinds = np.full(len(changed.labels), "", dtype="<U16")
            for event in changed.events:
                kinds[event.start : event.end] = event.kind
            name = f"{clip.name}-made{version + 1}"
            judged.add(replace(clip, name=name, frames=changed.frames), changed.labels, kinds)
    return judged


def split(args: argparse.Namespace) -> tuple[list[Clip], Judged]:
    """Part the footage into normal clips to train on and clips to judge."""
    tree, small = recognise(args.data), get_config("small")
    videos = tree.testing if args.labelled else tree.training
    clips = load_clips(videos, small.size, small.grey, fps=args.fps)
    if not args.labelled:
        held_out = clips[HELD_OUT]
        return [clip for clip in clips if clip not in held_out], made(held_out)
    labels = load_labels(tree, {clip.name: len(clip.frames) for clip in clips}).frames
    training, judged = [], Judged()
    for number, clip in enumerate(clips):
        if number % 2 == args.fold:
            judged.add(clip, labels[clip.name])
            continue
        for start, stop in intervals(~labels[clip.name]):
            part = replace(clip, name=f"{clip.name}[{start}:{stop}]")
            training.append(replace(part, frames=clip.frames[start:stop]))
    return training, judged


def judge(model: Path, judged: Judged) -> dict[str, dict[str, np.ndarray]]:
    """Score the judged clips: column -> clip -> smoothed as the causal protocol says."""
    detector = Detector(load_checkpoint(model))
    columns = score_clips(detector, judged.clips, "scoring")
    series = {name: {} for name in (*PART_NAMES, "score")}
    for clip, parts in zip(judged.clips, columns):
        parts = parts | {"score": combine(parts, detector.weights, detector.normal)}
        for name in series:
            series[name][clip.name] = parts[name]
    return {name: causal(values, detector.config.window) for name, values in series.items()}


def causal(values: dict[str, np.ndarray], window: int) -> dict[str, np.ndarray]:
    """Smooth scores under the causal protocol, without the first frames, which have none."""
    return protocols.apply(
        "causal", {name: series[window:].astype(float) for name, series in values.items()}
    )


def figures(smooth: dict[str, np.ndarray], judged: Judged, window: int) -> dict[str, float]:
    """Compute frame AUC in %, over all anomalies and by made kind."""
    truth = {name: labels[window:] for name, labels in judged.labels.items()}
    auc = {"all": 100 * frame_auc(truth, smooth)}
    for kind in MADE_KINDS:
        own_truth, own_scores = {}, {}
        for name, labels in truth.items():
            of_kind = labels & (judged.kinds[name][window:] == kind)
            own_truth[name] = of_kind[of_kind | ~labels]
            own_scores[name] = smooth[name][of_kind | ~labels]
        if any(labels.any() for labels in own_truth.values()):
            auc[kind] = 100 * frame_auc(own_truth, own_scores)
    return auc


def difference(
    first: dict[str, np.ndarray], other: dict[str, np.ndarray], judged: Judged, window: int
) -> str:
    """Compute how much higher the other AUC is, in points, with a 95 % interval paired by video."""
    truth = {name: labels[window:] for name, labels in judged.labels.items()}
    weights = draw_weights(draw_videos(len(truth), DRAWS, 0))
    values, drawn = (
        [compute([(truth[name], scores[name]) for name in truth]) for scores in (first, other)]
        for compute in (
            lambda pairs: drawn_auc(pairs, np.ones((1, len(pairs))))[0],
            lambda pairs: drawn_auc(pairs, weights),
        )
    )
    interval = interval_of(float(values[1] - values[0]), drawn[1] - drawn[0], len(truth))
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def main() -> None:
    """Trains what is not trained yet, judges it, prints the table and writes the result."""
    arguments = parser(__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--fps", type=float, help="of DATA")
    arguments.add_argument("--labelled", action="store_true")
    arguments.add_argument("--fold", type=int, choices=(0, 1), default=0)
    arguments.add_argument("--movers-from", type=Path, nargs="+", default=(), metavar="DATA")
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=["ellipses", "movers"])
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--work", type=Path, default=Path("runs/movers"))
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.set_flush_denormal(True)
    small = get_config("small")
    others = [video for folder in args.movers_from for video in recognise(folder).training]
    movers_from = load_clips(others, small.size, small.grey, skip_bad=True) if others else []
    training, judged = split(args)
    name = f"{args.data.name}{f'-fold{args.fold}' if args.labelled else ''}"
    runs, series = {}, {}
    for kind in args.kinds:
        folder = args.work / f"{name}-{kind}-{args.seed}"
        model = folder / "model.safetensors"
        if not model.exists():
            options = TrainingOptions(epochs=args.epochs, seed=args.seed, pseudo_kind=kind)
            movers = () if kind == "ellipses" else movers_from
            model = train(training, small, options, folder, movers_from=movers)
        facts = load_checkpoint(model).training
        series[kind] = judge(model, judged)
        runs[kind] = {
            name: figures(values, judged, small.window) for name, values in series[kind].items()
        } | {"training": {fact: facts[fact] for fact in ("steps", "seconds", "windows")}}
        runs[kind][f"against {args.kinds[0]}"] = {
            column: difference(series[args.kinds[0]][column], values, judged, small.window)
            for column, values in series[kind].items()
        }
        print(kind, runs[kind], flush=True)
    speed = {clip.name: flow_speed(clip.frames) for clip in judged.clips}
    runs["speed alone"] = {"score": figures(causal(speed, small.window), judged, small.window)}
    rows = [
        [kind, column, *(f"{value:.1f}" for value in entry[column].values())]
        for kind, entry in runs.items()
        for column in (*PART_NAMES, "score")
        if column in entry
    ]
    header = ["trained with", "column", *runs["speed alone"]["score"]]
    print_table(header, rows)
    if args.results:
        write_result(f"movers-{name}", args, {"table": [header, *rows], "runs": runs})


if __name__ == "__main__":
    main()

"""How to adapt, chosen on scenes and kinds of anomalies that a model was not trained on.

    python -m benchmarks.adaptation_choices CHECKPOINT data/scenes \\
        --scenes highway,pavement,meeting_room \\
        --case adam,steps=100 --case sgd,change=0.0003,steps=5 --case meta

A case is a method - `none`, `adam`, `meta` (a meta-trained checkpoint's own step sizes) or `sgd`
(step sizes such that a step changes each number by about `change`, from its gradients over some
support batches, as meta-training begins) - with options of `mpn.adaptation.inner_loop.Adaptation`,
`targets` (a name of `TARGETS`), `without` (loss terms, joined by +) and `pseudo_loss_weight`. K
windows (--shots) of the first half of each scene; frame AUC of the score, the error and the
pseudo-anomaly head's map, causal, on the rest (`benchmarks.made_anomalies`), mean over scenes; and
PSNR.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import parser, print_table
from benchmarks.few_shot_scenes import figures_of
from benchmarks.made_anomalies import choice_set
from mpn.adaptation.inner_loop import (
    TARGETS,
    Adaptation,
    SceneLoss,
    default_targets,
    support_batches,
)
from mpn.datasets.layouts import recognise
from mpn.datasets.shots import Shots, shots_of, spread
from mpn.datasets.windows import load_clips
from mpn.evaluation.few_shot import FINE_TUNING_RATE, FINE_TUNING_STEPS, few_shot
from mpn.model.checkpoint import Checkpoint, MetaInfo, load_checkpoint
from mpn.model.parameters import target_names
from mpn.scoring.detector import Detector
from mpn.scoring.parts import PART_NAMES
from mpn.training.step_sizes import sizes_for_change

NUMBERS = {
    "steps": int,
    "batch": int,
    "learning_rate": float,
    "change": float,
    "pseudo_loss_weight": float,
}
COLUMNS = ("score", *PART_NAMES, "psnr_normal")


def case(text: str) -> dict:
    """METHOD,name=value,... for argparse."""
    method, *pairs = text.split(",")
    options = dict(word.split("=", 1) for word in pairs)
    return {
        "text": text,
        "method": method,
        **{k: NUMBERS.get(k, str)(v) for k, v in options.items()},
    }


def with_first_sizes(
    checkpoint: Checkpoint, shots: Shots, change: float, bfloat16: bool
) -> Checkpoint:
    """Give the checkpoint step sizes as meta-training begins with, from gradients on windows."""
    targets = default_targets(checkpoint.network)
    names = target_names(checkpoint.network, targets)
    loss = SceneLoss(checkpoint.network, names, bfloat16=bfloat16)
    parameters = dict(checkpoint.network.named_parameters())
    params = {name: parameters[name].detach().requires_grad_() for name in names}
    squares = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
    options = Adaptation("adam", steps=16, batch=4).filled(checkpoint)
    for batch in support_batches(loss, shots, options, np.random.default_rng(0)):
        gradients = torch.autograd.grad(loss(params, batch), list(params.values()))
        for name, gradient in zip(names, gradients):
            squares[name] += gradient.square() / options.steps
    sizes = sizes_for_change(squares, change)
    return replace(checkpoint, meta=MetaInfo(targets, sizes, 5, 4))


def main() -> None:
    """Runs every case, prints the table."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", type=Path)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--scenes", required=True, help="held-out scenes, separated by commas")
    arguments.add_argument("--case", type=case, action="append", required=True)
    arguments.add_argument("--shots", type=int, default=10)
    arguments.add_argument("--draws", type=int, default=1)
    args = arguments.parse_args()
    rows = []
    for setting in args.case:
        began = time.monotonic()
        figures = run_case(args, dict(setting))
        rows.append([setting["text"], *figures, f"{time.monotonic() - began:.0f}"])
        print(rows[-1], flush=True)
    print_table(["case", *COLUMNS, "seconds"], rows)


def run_case(args: argparse.Namespace, one: dict) -> list[str]:
    """Mean figures of one case over scenes and draws, as text."""
    checkpoint = load_checkpoint(args.checkpoint)
    weight, change = one.pop("pseudo_loss_weight", None), one.pop("change", None)
    if weight is not None:
        training = checkpoint.config.training.with_weights({"pseudo": weight})
        checkpoint.network.config = replace(checkpoint.config, training=training)
    videos = [
        video for video in recognise(args.data).training if video.scene in args.scenes.split(",")
    ]
    clips = load_clips(videos, checkpoint.config.size, checkpoint.config.grey)
    method = one.pop("method")
    one.pop("text")
    if "targets" in one:
        one["targets"] = TARGETS[one["targets"]]
    if method == "adam":
        one = {"steps": FINE_TUNING_STEPS, "learning_rate": FINE_TUNING_RATE} | one
    if "without" in one:
        one["without"] = tuple(one["without"].split("+"))
    figures = []
    for choice in choice_set(clips, 0):
        base = checkpoint
        if method == "sgd":
            window = checkpoint.config.window
            chosen = spread(choice.training, args.shots, window)
            base = with_first_sizes(
                checkpoint, shots_of(choice.training, chosen, window), change, bfloat16=True
            )
        methods = (
            {}
            if method == "none"
            else {"case": Adaptation("adam" if method == "adam" else "meta", **one)}
        )
        rows = few_shot(
            Detector(base),
            choice.training,
            [choice.normal, *choice.made],
            draws=args.draws,
            shots=(0,) if method == "none" else (args.shots,),
            methods=methods or {"case": Adaptation("adam")},
        )
        by_row = [figures_of(row, choice, checkpoint.config.window) for row in rows]
        figures.append([np.mean([row[name] for row in by_row]) for name in COLUMNS])
    means = np.mean(figures, axis=0)
    return [f"{100 * value:.1f}" for value in means[:3]] + [f"{means[3]:.2f}"]


if __name__ == "__main__":
    main()

"""A training of a second or two, and what a run folder holds, for the tests of training and of
resuming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from mpn.datasets.windows import Clip
from mpn.model.config import get_config
from mpn.training.pretraining import TrainingOptions

PRESET = get_config("small", channels=4, height=32, width=48)
# Three clips of ten windows are trained on (the fourth is held out): 7 steps an epoch.
OPTIONS = TrainingOptions(
    epochs=3, batch_size=4, learning_rate=2e-3, warmup=5, precision="float32", seed=3
)
STEPS = 21
TIMES = ("seconds", "samples_per_second")


def walkers(count=4, frames=14):
    """Clips of a bright square that moves over a fixed texture."""
    generator = np.random.default_rng(0)
    ground = generator.integers(60, 140, (32, 48, 1), np.uint8)
    clips = []
    for number in range(count):
        clip = np.repeat(ground[None], frames, axis=0)
        for t in range(frames):
            left = (3 * t + 11 * number) % 40
            clip[t, 12:22, left : left + 8] = 230
        clips.append(Clip(f"walk{number}", "yard", clip, 12.5))
    return clips


def lines(folder):
    return [json.loads(text) for text in (Path(folder) / "log.jsonl").read_text().splitlines()]


def untimed(folder):
    return [
        {name: value for name, value in line.items() if name not in TIMES} for line in lines(folder)
    ]


def tensors(folder):
    return load_file(Path(folder) / "model.safetensors")


def same_tensors(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def one_line(caught):
    assert "\n" not in str(caught.value)

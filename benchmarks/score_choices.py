"""What stands in the anomaly map, and over what patch: figures on a choice set.

    python -m benchmarks.score_choices MODEL data/demo/validation

Never on a test split (PROTOCOL section 5): those are the demo set's validation scenes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import WindowDataset, load_clips, to_float
from mpn.metrics import frame_auc
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring import protocols
from mpn.scoring.patches import patch_means

PATCHES = (8, 16, 24, 32)


@torch.inference_mode()
def columns(network: torch.nn.Module, frames: np.ndarray) -> dict[str, float]:
    """Every variant's score of one sample, uint8 (1, T + 1, C, H, W)."""
    window, target = to_float(torch.from_numpy(frames))
    output = network(window)
    difference = (output.prediction - target).abs().mean(dim=1) / 2
    maps = {"absolute error": (difference, 1), "squared error": (difference.square(), 1)}
    if output.pseudo_logits is not None:
        factor = target.shape[2] // output.pseudo_logits.shape[1]
        logits = output.pseudo_logits
        maps["head, probability"] = (logits.sigmoid(), factor)
        maps["head, log of the odds"] = (logits, factor)
        maps["head, log(1 + odds)"] = (torch.nn.functional.softplus(logits), factor)
    scores = {
        "PSNR": -float(-10 * difference.square().mean().log10()),
        "compactness": float(output.compactness.mean()),
    }
    for name, (values, factor) in maps.items():
        for patch in PATCHES:
            scores[f"{name}, {patch}"] = float(patch_means(values, patch // factor, 1).max())
    return scores


def main() -> None:
    """Prints a table of frame AUC, absolute and causal, a row a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    network = load_checkpoint(options.model).network
    config = network.config
    tree = recognise(options.data)
    clips = load_clips(tree.testing, config.size, config.grey)
    labels = load_labels(tree, {clip.name: len(clip.frames) for clip in clips}).frames
    series: dict[str, dict[str, np.ndarray]] = {}
    for clip in clips:
        dataset = WindowDataset([clip], config.window)
        rows = [columns(network, dataset[i].frames[None].numpy()) for i in range(len(dataset))]
        for name in rows[0]:
            series.setdefault(name, {})[clip.name] = np.array([row[name] for row in rows])
    truth = {name: values[config.window :] for name, values in labels.items()}
    for name, scores in series.items():
        figures = [
            100 * frame_auc(truth, protocols.apply(protocol, scores))
            for protocol in ("absolute", "causal")
        ]
        print(f"{name:28} {figures[0]:6.1f} {figures[1]:6.1f}")


if __name__ == "__main__":
    main()

"""A picture of a dozen pseudo-anomalies.

    python -m benchmarks.pseudo_samples [DATA] --out docs/pseudo_anomalies.png

Each sample is a pair: the last input frame, and the four input frames' largest change from the true
ones with the area that counts as tampered outlined.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mpn.cli.data import add_data, open_data
from mpn.datasets.pseudo_anomalies import PseudoOptions
from mpn.datasets.windows import WindowDataset, load_clips
from mpn.model.config import get_config

ROWS, COLUMNS = 4, 3


def main() -> None:
    """Draws samples that were tampered with until the picture is full."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("docs/pseudo_anomalies.png"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    small = get_config("small")
    clips = load_clips(open_data(options).training[::3], small.size, small.grey)
    true = WindowDataset(clips, small.window)
    changed = WindowDataset(clips, small.window, seed=options.seed, pseudo=PseudoOptions())
    tiles = []
    for number in np.random.default_rng(options.seed).permutation(len(true)):
        sample = changed[number]
        if sample.tampered.sum() < 60:
            continue
        frames = sample.frames[:-1, 0].numpy()
        change = (
            np.abs(frames.astype(int) - true[number].frames[:-1, 0].numpy())
            .max(axis=0)
            .clip(0, 255)
        )
        tiles.append(
            np.hstack(
                [outlined(frames[-1], sample.tampered), outlined(change.astype(np.uint8), None)]
            )
        )
        if len(tiles) == ROWS * COLUMNS:
            break
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.vstack(rows))
    print(options.out)


def outlined(grey: np.ndarray, area: np.ndarray | None) -> np.ndarray:
    """A grey picture (H, W) as BGR with a border, and the outline of an area on it."""
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if area is not None:
        found, _ = cv2.findContours(
            area.numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, found, -1, (0, 140, 255), 1)
    return cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


if __name__ == "__main__":
    main()

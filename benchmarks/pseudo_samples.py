"""A picture of a dozen pseudo-anomalies, or of two dozen movers.

    python -m benchmarks.pseudo_samples [DATA] --out docs/pseudo_anomalies.png
    python -m benchmarks.pseudo_samples [DATA] --kind movers --out FILE.png
    python -m benchmarks.pseudo_samples [DATA] --movers --out docs/movers.png

Each sample is a pair: the last input frame, and the four input frames' largest change from the true
ones with the area that counts as tampered outlined. Of each mover the picture shows the detail of
the last frame that it was cut out of, outlined, and what was cut out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mpn.cli.data import add_data, open_data
from mpn.datasets.mover_pasting import movers_by_scene
from mpn.datasets.movers import Mover
from mpn.datasets.pseudo_anomalies import KINDS, PseudoOptions
from mpn.datasets.windows import Clip, WindowDataset, load_clips
from mpn.model.config import get_config

ROWS, COLUMNS = 4, 3
MOVER_ROWS, MOVER_COLUMNS = 6, 4
TILE, GROUND = 96, 235  # side of a mover's picture in pixels; grey level round what was cut out


def main() -> None:
    """Draws the picture that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("docs/pseudo_anomalies.png"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, default="ellipses")
    parser.add_argument("--movers", action="store_true", help="movers alone, in colour")
    options = parser.parse_args()
    small = get_config("small")
    videos = open_data(options).training[::3]
    if options.movers:
        clips = load_clips(videos, small.size, grey=False, fps=options.fps)
        picture = mover_picture(clips, options.seed)
    else:
        clips = load_clips(videos, small.size, small.grey, fps=options.fps)
        picture = sample_picture(clips, options.kind, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), picture)
    print(options.out)


def sample_picture(clips: list[Clip], kind: str, seed: int) -> np.ndarray:
    """Draw samples that were tampered with until the picture is full, uint8 BGR."""
    window = get_config("small").window
    true = WindowDataset(clips, window)
    changed = WindowDataset(clips, window, seed=seed, pseudo=PseudoOptions(kind=kind))
    tiles = []
    for number in np.random.default_rng(seed).permutation(len(true)):
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
    return np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])


def mover_picture(clips: list[Clip], seed: int) -> np.ndarray:
    """Draw two dozen movers, spread over the clips, uint8 BGR."""
    # Clip by clip: a mover knows its frame, not its clip.
    by_clip = [
        (clip, mover)
        for clip in clips
        for mover in movers_by_scene([clip], get_config("small").window, seed=seed)[clip.scene]
    ]
    order = np.random.default_rng(seed).permutation(len(by_clip))[: MOVER_ROWS * MOVER_COLUMNS]
    tiles = [mover_tile(*by_clip[number]) for number in sorted(order.tolist())]
    return np.vstack(
        [np.hstack(tiles[i : i + MOVER_COLUMNS]) for i in range(0, len(tiles), MOVER_COLUMNS)]
    )


def mover_tile(clip: Clip, mover: Mover) -> np.ndarray:
    """Draw a mover where it was, outlined, and cut out beside it."""
    outline, (y, x) = mover.outlines[-1].astype(np.uint8), mover.corners[-1]
    h, w = outline.shape
    frame = np.pad(clip.frames[mover.last], ((TILE, TILE), (TILE, TILE), (0, 0)), mode="edge")
    # As much round it as fits into a tile, at the largest whole factor that holds it.
    factor = max(1, TILE // (max(h, w) + 6))
    side = TILE // factor
    top, left = y + h // 2 - side // 2 + TILE, x + w // 2 - side // 2 + TILE
    area = np.s_[top : top + side, left : left + side]
    mask = np.zeros(frame.shape[:2], np.uint8)
    mask[y + TILE : y + TILE + h, x + TILE : x + TILE + w] = outline
    sides = (TILE, TILE)
    detail = cv2.resize(frame[area], sides, interpolation=cv2.INTER_CUBIC)
    mask = cv2.resize(mask[area], sides, interpolation=cv2.INTER_NEAREST)
    cut = np.where(mask[..., None] > 0, detail, GROUND).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(detail, contours, -1, (0, 140, 255), 1)
    pair = np.hstack([detail, cut])
    return cv2.copyMakeBorder(pair, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def outlined(grey: np.ndarray, area: np.ndarray | None) -> np.ndarray:
    """A grey picture (H, W) as BGR with a border, and the outline of an area on it."""
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if area is not None:
        contours, _ = cv2.findContours(
            area.numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, contours, -1, (0, 140, 255), 1)
    return cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


if __name__ == "__main__":
    main()

"""Draw what stands between decoder and head, prototypes and attention, over a generated frame.

    python docs/draw_units.py                       trains the attention model first, some minutes
    python docs/draw_units.py --attention FILE      with a model of --unit attention

The prototypes are those of the released model `demo`. Both networks see the same frame of camera 1
of the demo set, from its choice set.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

import mpn
from mpn.datasets.demo.dataset import scene_clips, write_demo
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import load_clips
from mpn.model.config import get_config
from mpn.scoring.inspection import Activations, inspect_frame
from mpn.training.pretraining import TrainingOptions, train

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "units.png"
LAST = 60  # the frame that is predicted, from the four before it
SHOWN = 5  # keys of either unit
MARKS = ("#ff5050", "#50c8ff")  # of the two positions whose weights are shown
WORDS = {
    "prototype": "Prototype unit: a softmax over the positions makes 10 keys of this window; a "
    "softmax over the keys weighs them; they are the values too",
    "attention": "Attention (--unit attention): keys of this window as well, but they, queries and "
    "values are projected, in 4 subspaces (maps: their mean)",
}


def trained(minutes: float, folder: Path) -> Path:
    """Train an attention model on generated footage; give its file."""
    config = get_config("small", unit="attention")
    tree = recognise(write_demo(folder / "demo"))
    clips = load_clips(tree.training, config.size, config.grey, fps=10.0)
    return train(clips, config, TrainingOptions(minutes=minutes), folder / "run")


def shown_frames(count: int) -> np.ndarray:
    """Render frames of the choice set, uint8 (count, H, W, 3), the last of them number LAST."""
    clip = scene_clips(0, 0).validation[0]
    frames = islice(clip.frames(), LAST - count + 1, LAST + 1)
    return np.stack([frame.image for frame in frames])


def colours(encoding: np.ndarray) -> np.ndarray:
    """Show encodings (D, h, w) by their three principal components, (h, w, 3) in [0, 1]."""
    values = encoding.reshape(len(encoding), -1).T
    centred = values - values.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    parts = centred @ axes[:3].T
    low, high = np.quantile(parts, [0.02, 0.98], axis=0)
    return np.clip((parts - low) / (high - low), 0, 1).reshape(*encoding.shape[1:], 3)


def chosen_keys(assignment: np.ndarray) -> np.ndarray:
    """Choose the keys whose weights differ most over the picture, the most used first."""
    spread = assignment.reshape(len(assignment), -1).std(axis=1)
    most = np.argsort(spread)[::-1][:SHOWN]
    return most[np.argsort(assignment[most].mean(axis=(1, 2)))[::-1]]


def chosen_positions(error: np.ndarray, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Choose two positions (row, column) of the unit: of most movement, and of the ground."""
    factor = error.shape[0] // shape[0]
    blocks = error.reshape(shape[0], factor, shape[1], factor).mean(axis=(1, 3))
    most = np.unravel_index(blocks.argmax(), shape)
    return [(int(most[0]), int(most[1])), (shape[0] - 6, shape[1] // 2)]


def draw(band: Figure | SubFigure, seen: Activations, where: list[tuple[int, int]]) -> None:
    """Draw a unit: what asks, what the keys are made from, how they are weighed."""
    panels = band.subplots(2, SHOWN + 2)
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    size = seen.target.shape[:2]
    extent = (0, size[1], size[0], 0)
    panels[0, 0].imshow(seen.target[..., 0], cmap="gray", extent=extent)
    panels[0, 0].set_title("the frame", fontsize=8)
    panels[1, 0].imshow(colours(seen.query), extent=extent)
    panels[1, 0].set_title("queries", fontsize=8)
    step = size[0] / seen.query.shape[1]
    for row, column in where:
        mark = MARKS[where.index((row, column))]
        for panel in panels[:, 0]:
            spot = ((column + 0.5) * step, (row + 0.5) * step)
            panel.plot(*spot, "o", mfc="none", mec=mark, mew=1.6, ms=9)
    keys = chosen_keys(seen.assignment)
    for panel, (row, column), mark in zip(panels[:, 1], where, MARKS):
        weights = seen.assignment[:, row, column]
        panel.bar(range(1, len(weights) + 1), weights, color=mark)
        panel.set_title("weights at the circle", fontsize=8, color=mark)
        panel.set_ylim(0, max(0.4, 1.1 * weights.max()))
        panel.set_xticks([int(key) + 1 for key in keys])
        panel.set_yticks([0, 0.2, 0.4])
        panel.tick_params(labelsize=6, length=2)
    for panel, used, key in zip(panels[0, 2:], panels[1, 2:], keys):
        attention = seen.attention
        assert attention is not None
        times = attention[key] * attention[key].size
        panel.imshow(times, cmap="inferno", extent=extent, vmin=0, vmax=max(4, times.max()))
        panel.set_title(f"key {key + 1}: made from (to {times.max():.1f}x)", fontsize=8)
        used.imshow(seen.assignment[key], cmap="inferno", extent=extent, vmin=0, vmax=0.5)
        used.set_title(f"its weight (mean {seen.assignment[key].mean():.2f})", fontsize=8)


def main() -> None:
    """Writes docs/units.png."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--attention", type=Path, metavar="FILE", help="a model of --unit attention")
    made.add_argument("--minutes", type=float, default=2.0, help="to train one (default: 2)")
    made.add_argument("--out", type=Path, default=PICTURE, help="default: docs/units.png")
    args = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = args.attention or trained(args.minutes, Path(folder))
        detectors = [mpn.load(name, precision="float32") for name in ("demo", model)]
    frames = shown_frames(detectors[0].config.window + 1)
    seen = [inspect_frame(detector, frames) for detector in detectors]
    moved = np.abs(np.diff(frames[-2:].astype(int), axis=0)).mean(axis=(0, 3))
    target = seen[0].target.shape
    rows = np.linspace(0, len(moved) - 1, target[0]).round().astype(int)
    columns = np.linspace(0, moved.shape[1] - 1, target[1]).round().astype(int)
    where = chosen_positions(moved[np.ix_(rows, columns)], seen[0].query.shape[1:])
    figure = Figure(figsize=(13.5, 6.6), dpi=80, layout="constrained")
    bands = figure.subfigures(2, 1, hspace=0.04)
    for band, one, detector in zip(bands, seen, detectors):
        band.suptitle(WORDS[detector.config.unit], fontsize=10, fontweight="bold")
        draw(band, one, where)
    FigureCanvasAgg(figure).print_png(args.out)
    print(args.out)


if __name__ == "__main__":
    main()

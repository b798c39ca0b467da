"""A tiny model whose verdicts can be worked out by hand, and footage for it.

The last convolution of its head is 0, and the preset `small` adds the head's output to the last
frame of the window: so it predicts that nothing changes, and its error is the difference of two
frames.
"""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import torch

from mpn.datasets.windows import Clip
from mpn.model.checkpoint import Checkpoint, save_checkpoint
from mpn.model.network import Network, build_model
from mpn.scoring.clips import normal_parts

SIZE = (32, 48)  # of the network's frames, (height, width)
FOOTAGE = (64, 96)  # of the footage: twice that
BLOCK = 16  # side of the intruder, pixels of the footage
TOP, LEFT = 32, 56  # where it is in even frames; in odd ones it is 8 pixels further right
FPS = 10.0
PROTOTYPES = 4  # of the network


def footage(count: int, *, intruder: tuple[int, int] = (0, 0), seed: int = 0) -> np.ndarray:
    """uint8 (T, 64, 96, 3): a still texture with sensor noise; in frames [start, stop) a bright
    block jumps."""
    frames = _still(count, seed).copy()
    for t in range(*intruder):
        left = LEFT + 8 * (t % 2)
        frames[t, TOP : TOP + BLOCK, left : left + BLOCK] = 250
    return frames


@functools.lru_cache(maxsize=16)
def _still(count: int, seed: int) -> np.ndarray:
    """The footage without the block, made once for many tests."""
    texture = np.random.default_rng(3).uniform(60, 120, (FOOTAGE[0] // 8, FOOTAGE[1] // 8, 3))
    texture = np.kron(texture, np.ones((8, 8, 1)))
    noise = np.random.default_rng(seed).normal(0, 2, (count, *texture.shape))
    return np.clip(texture + noise, 0, 255).astype(np.uint8)


def write_footage(folder: Path, frames: np.ndarray) -> Path:
    """A folder of pictures without loss, 000.png and on; not compressed, which is quicker."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"{t:03d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return folder


def write_film(path: Path, frames: np.ndarray, fps: float = FPS) -> Path:
    """A video file, with the loss of its coding."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, frames.shape[2:0:-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def still_network(**options: object) -> Network:
    """The small preset at 32x48 with 4 channels and few prototypes, seeded, made to predict the
    last frame of its window."""
    torch.manual_seed(7)
    size = {"height": SIZE[0], "width": SIZE[1]}
    chosen = {"channels": 4, "prototypes": PROTOTYPES} | size | options
    network = build_model("small", **chosen).eval()
    with torch.no_grad():
        network.head[-1].weight.zero_()
        network.head[-1].bias.zero_()
    return network


def write_model(path: Path, *, normal: bool = True, **options: object) -> Path:
    """Its model file, with the scores of 120 frames of normal footage if `normal`."""
    network = still_network(**options)
    parts = {}
    if normal:
        frames = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in footage(120, seed=11)]
        small = [
            cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA)[:, :, None]
            for frame in frames
        ]
        parts = normal_parts(network, [Clip("a", "s", np.stack(small), FPS)])
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, Checkpoint(network, fps=FPS, normal=parts))
    return path


def write_tree(root: Path, *, clips: int = 4, length: int = 14, test_length: int = 24) -> Path:
    """A data set in the frames layout: normal training clips, three test videos, the first and last
    with an intruder, and labels.csv."""
    for number in range(clips):
        write_footage(
            root / "training" / "frames" / f"{number + 1:02d}", footage(length, seed=number)
        )
    rows = ["video,start,end"]
    for number, stretch in enumerate([(10, 18), (0, 0), (14, 20)]):
        frames = footage(test_length, intruder=stretch, seed=50 + number)
        write_footage(root / "testing" / "frames" / f"{number + 1:02d}", frames)
        if stretch[1]:
            rows.append(f"{number + 1:02d},{stretch[0]},{stretch[1]}")
    (root / "testing" / "labels.csv").write_text("\n".join(rows) + "\n")
    return root

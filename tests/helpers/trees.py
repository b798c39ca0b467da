"""Tiny data sets in every layout, videos and label files, written to a temporary folder.

Frame k shows k in binary as six dark or bright stripes, which survive JPEG, MPEG-4 and resizing, so
that a test can ask which frame it was given without a recording of our own output.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import scipy.io

SIZE = (48, 64)  # height, width
BITS = 6
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "mp4v"}


def frame(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Make frame `index` (0 to 63), uint8 (H, W, 3): six stripes, the leftmost the lowest bit."""
    stripe = np.minimum(np.arange(size[1]) * BITS // size[1], BITS - 1)
    row = np.where(index >> stripe & 1, 200, 40).astype(np.uint8)
    return np.repeat(np.repeat(row[None, :, None], size[0], 0), 3, 2)


def index_of(picture: np.ndarray) -> int:
    """Read off which frame a decoded picture is."""
    centres = ((np.arange(BITS) + 0.5) * picture.shape[1] / BITS).astype(int)
    return sum(1 << bit for bit in range(BITS) if picture[:, centres[bit]].mean() > 120)


def write_frames(
    folder: Path,
    count: int,
    *,
    suffix: str = ".png",
    start: int = 0,
    step: int = 1,
    digits: int = 3,
    prefix: str = "",
    size: tuple[int, int] = SIZE,
) -> Path:
    """Write a folder of `count` pictures called PREFIX + number + SUFFIX."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        name = f"{prefix}{start + step * index:0{digits}d}{suffix}"
        assert cv2.imwrite(str(folder / name), frame(index, size))
    return folder


def write_video(path: Path, count: int, *, fps: float = 10, size: tuple[int, int] = SIZE) -> Path:
    """Write a video file of `count` frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), fps, size[::-1]
    )
    assert writer.isOpened()
    for index in range(count):
        writer.write(frame(index, size))
    writer.release()
    return path


def set_avi_rate(path: Path, scale: int, rate: int) -> None:
    """Overwrite the frame rate (rate / scale) in an .avi's stream header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 20
    data[at : at + 8] = struct.pack("<II", scale, rate)
    path.write_bytes(data)


# Each of the trees below has the training videos and test videos named, of these lengths.
TRAINING = {"1": 7, "2": 6}
TESTING = {"1": 8, "2": 6, "10": 7}
# What happens in them: [start, stop) from 0.
ANOMALIES = {"1": [(2, 5), (7, 8)], "2": [], "10": [(0, 7)]}


def truth() -> dict[str, np.ndarray]:
    """Return frame labels bool (T,) of the test videos by the key of `TESTING`."""
    labels = {key: np.zeros(count, bool) for key, count in TESTING.items()}
    for key, spans in ANOMALIES.items():
        for start, stop in spans:
            labels[key][start:stop] = True
    return labels


def masks(key: str) -> np.ndarray:
    """Make pixel masks bool (T, H, W) that agree with `truth`: a 3x5 rectangle that moves."""
    label = truth()[key]
    pixels = np.zeros((label.size, *SIZE), bool)
    for t in np.flatnonzero(label):
        pixels[t, 10 + t : 13 + t, 20:25] = True
    return pixels


def ucsd(root: Path) -> Path:
    """Write Train/Train001/*.tif, Test/Test001/*.tif, numbered from 001; masks are not written."""
    for key, count in TRAINING.items():
        write_frames(root / "Train" / f"Train{int(key):03d}", count, suffix=".tif", start=1)
    for key, count in TESTING.items():
        write_frames(root / "Test" / f"Test{int(key):03d}", count, suffix=".tif", start=1)
    return root


def frames(root: Path, names: str = "{:02d}", suffix: str = ".png") -> Path:
    """Write training/frames/01/*, testing/frames/01/*."""
    for split, lengths in (("training", TRAINING), ("testing", TESTING)):
        for key, count in lengths.items():
            write_frames(root / split / "frames" / names.format(int(key)), count, suffix=suffix)
    return root


def avenue(root: Path) -> Path:
    """Write training_videos/01.avi, testing_videos/01.avi."""
    for split, lengths in (("training_videos", TRAINING), ("testing_videos", TESTING)):
        for key, count in lengths.items():
            write_video(root / split / f"{int(key):02d}.avi", count)
    return root


def shanghaitech(root: Path) -> Path:
    """Write training/videos/01_001.avi, testing/frames/01_0001/*.png; video 10 is of scene 02."""
    for key, count in TRAINING.items():
        write_video(root / "training" / "videos" / f"01_{int(key):03d}.avi", count)
    for key, count in TESTING.items():
        write_frames(root / "testing" / "frames" / shanghai_name(key), count)
    return root


def shanghai_name(key: str) -> str:
    """Name a test video as the ShanghaiTech tree does."""
    return f"{'02' if key == '10' else '01'}_{int(key):04d}"


def scenes(root: Path) -> Path:
    """Write lobby/day.mp4, yard/{1,2,10}.avi, roof/clip/*.png."""
    write_video(root / "lobby" / "day.mp4", 6)
    for key, count in TESTING.items():
        write_video(root / "yard" / f"{key}.avi", count)
    write_frames(root / "roof" / "clip", 5)
    return root


def write_gt_mat(path: Path, form: str = "rows") -> Path:
    """Write intervals as `gt`, from 1, last frame included.

    Args:
        path: of the file.
        form: "rows" (2xK), "columns" (Kx2) or "cells" (2xK, nested once more).
    """
    cell = np.empty((1, len(TESTING)), object)
    for number, key in enumerate(TESTING):
        pairs = np.array([(start + 1, stop) for start, stop in ANOMALIES[key]], np.uint8).reshape(
            -1, 2
        )
        value = pairs if form == "columns" else pairs.T
        if form == "cells":
            value, inner = np.empty((1, 1), object), value
            value[0, 0] = inner
        cell[0, number] = value
    scipy.io.savemat(path, {"gt": cell.T if form == "columns" else cell})
    return path


def write_avenue_masks(folder: Path) -> Path:
    """Write N_label.mat, a cell of HxW, as `testing_label_mask` has them."""
    folder.mkdir(parents=True)
    for key in TESTING:
        cell = np.empty((1, TESTING[key]), object)
        for t, mask in enumerate(masks(key)):
            cell[0, t] = mask.astype(np.uint8)
        scipy.io.savemat(folder / f"{key}_label.mat", {"volLabel": cell})
    return folder


def write_mask_pictures(
    folder: Path, names: str, suffix: str, start: int = 0, value: int = 255
) -> Path:
    """Write FOLDER/NAME/NNN.SUFFIX for every frame of every test video."""
    for key in TESTING:
        clip = folder / names.format(int(key))
        clip.mkdir(parents=True)
        for t, mask in enumerate(masks(key), start):
            assert cv2.imwrite(str(clip / f"{t:03d}{suffix}"), mask.astype(np.uint8) * value)
    return folder


def write_m(path: Path, lists: list[str] | None = None) -> Path:
    """Write UCSD's script of intervals, one entry per test video."""
    lists = lists or ["3:5, 8", "", "1:7"]
    lines = ["% ground truth, gt_frame = [999]", "TestVideoFile = {};"]
    path.write_text(
        "\n".join(lines + [f"TestVideoFile{{end+1}}.gt_frame = [{words}];" for words in lists])
    )
    return path


def write_csv(path: Path, rows: list[str], header: str = "video,start,end") -> Path:
    """Write a labels.csv."""
    path.write_text("\n".join([header, *rows]) + "\n")
    return path

"""A camera and a day of it on which two balls race through the hall, and later a bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mpn
from mpn.jobs import JobOptions, ScoreJob
from tests.helpers.doctoring import texture
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_footage, write_model

BALLS, BAR = ((40, 60), (80, 100)), (120, 138)
NORMAL, FRAMES = 240, 150
# Between what a thing scores as it comes in at the edge, and in the middle of the picture.
OPTIONS = JobOptions(threshold=30.0, fps=10.0)


def _write_camera_file(folder: Path) -> Path:
    """Write the file of a camera that was adapted to a board that walks to and fro."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    model = write_model(folder / "base.safetensors", normal=False, pseudo_head=False, **size)
    normal = write_footage(folder / "normal", recording(NORMAL))
    camera = folder / "hall.camera.safetensors"
    mpn.load(model, precision="float32").adapt(normal, fps=10.0).save(camera)
    return camera


def day_frames() -> np.ndarray:
    """Film a day: a ball crosses the picture in the stretches `BALLS`, a tall bar in `BAR`."""
    frames = recording(NORMAL)[:FRAMES]
    ball, bar = texture(99, (80, 80))[10:34, 10:34], texture(5, (96, 96))[:88, :16]
    for start, stop in BALLS:
        for t in range(start, stop):
            _paint(frames[t], ball, 66, 8 * (t - start) - 20)
    for t in range(*BAR):
        _paint(frames[t], bar, 4, SIZE[1] - 4 - 8 * (t - BAR[0]))
    return frames


def _paint(frame: np.ndarray, thing: np.ndarray, top: int, left: int) -> None:
    """Paint a thing into a frame, as far as it is inside."""
    first, last = max(left, 0), min(left + thing.shape[1], frame.shape[1])
    if first < last:
        inside = thing[:, first - left : last - left, None]
        frame[top : top + thing.shape[0], first:last] = inside


def score_day(camera: Path, day: Path, folder: Path) -> list[dict]:
    """Score the day by a camera file; its events."""
    detector = mpn.load(camera, precision="float32")
    return ScoreJob(detector, day, folder, OPTIONS).run().summary["events"]


def write_hall(folder: Path) -> None:
    """Write base.safetensors, hall.camera.safetensors, its day, and the day's results in out."""
    score_day(
        _write_camera_file(folder), write_footage(folder / "day", day_frames()), folder / "out"
    )


def overlaps(event: dict, stretch: tuple[int, int]) -> bool:
    """Whether an event peaks in a stretch, or just behind it."""
    return stretch[0] <= event["peak_frame"] < stretch[1] + 3


def at(event: dict) -> np.ndarray:
    """Where an event peaks, and how high."""
    return np.array([event["start"], event["end"], event["peak_frame"], event["peak_score"]])

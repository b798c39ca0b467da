"""Learning goes on, slowly: what is a little new becomes normal, an anomaly never does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mpn.adaptation.camera_file import read_camera
from mpn.live.ongoing import LEARNED, WAITING, Ongoing, low_level
from mpn.live.steps import Prepared
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.motion.place import PlaceModel, frame_number
from mpn.scoring.detector import Detector
from mpn.scoring.parts import motion_numbers
from tests.helpers.moving import cells
from tests.helpers.small_model import write_model

FPS = 0.5
MINUTE = round(60 * FPS)
USUAL = 2.0  # pixels a frame, of who walks here
GRID = (20, 30)
# Of the score here, how many times as fast as normal the frame is: who walks comes to 0.6.
ALARM, LOW = 1.2, 0.95
PICTURE = np.zeros((16, 24, 1), np.uint8)


def walking(speed: float, number: int) -> np.ndarray:
    """A frame's motion: somebody of 3x3 cells walks through, and then nobody for a while."""
    motion = cells(0.05, grid=GRID)
    if number % 30 < 12:
        left = 2 * (number % 30)
        motion[4:7, left : left + 3] = cells(speed, grid=GRID)[4:7, left : left + 3]
    return motion


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """A camera's, learned of twenty minutes in which people walked at their speed."""
    base = load_checkpoint(write_model(tmp_path / "base.safetensors"))
    place = PlaceModel(GRID)
    speeds = np.random.default_rng(1).uniform(0.8, 1.0, 40 * MINUTE) * USUAL
    motion = [walking(speed, n) for n, speed in enumerate(speeds)]
    place.add(motion)
    numbers = [motion_numbers(place.quotients(*two)) for two in zip(motion[:60], motion[1:61])]
    base.normal |= {
        name: [np.array([one[name] for one in numbers], np.float32)] for name in numbers[0]
    }
    base.places = {"hall": place}
    base.camera = {
        "base": {"path": str(base.path), "sha256": base.sha256},
        "tensors": [],
        "adapted_on": {},
    }
    return base


class Hall:
    """The camera, with a score that is how fast something is by what is normal now."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        self.ongoing = Ongoing(checkpoint, folder, FPS, LOW)
        self.before = cells(0.05, grid=GRID)
        self.number = 0

    def faster(self, speed: float) -> float:
        """How many times as fast as normal is somebody at this speed? On average over places."""
        place = self.ongoing.place
        frames = [place.quotients(walking(speed, n - 1), walking(speed, n)) for n in range(2, 12)]
        return float(np.mean([frame_number(one[0]) for one in frames]))

    def live(self, minutes: int, speed_at: Callable[[int], float]) -> None:
        """Let time pass; `speed_at` gives the speed in each frame."""
        for _ in range(minutes * MINUTE):
            motion = walking(speed_at(self.number), self.number)
            score = frame_number(self.ongoing.place.quotients(self.before, motion)[0])
            self.before = motion
            self.number += 1
            frame = Prepared(PICTURE, PICTURE, motion, True)
            self.ongoing.update(frame, score, calm=score <= ALARM)


def test_a_mild_new_speed_becomes_normal(checkpoint: Checkpoint, tmp_path: Path) -> None:
    hall = Hall(checkpoint, tmp_path)
    before = hall.faster(1.2 * USUAL)
    assert hall.faster(USUAL) < before < LOW
    hall.live(20, lambda n: 1.2 * USUAL if n % 60 < 30 else USUAL)
    assert hall.ongoing.minutes == 20 - WAITING
    assert hall.faster(1.2 * USUAL) < 0.93 * before
    assert hall.faster(3 * USUAL) > ALARM


def test_an_intruder_again_and_again_never_does(checkpoint: Checkpoint, tmp_path: Path) -> None:
    hall = Hall(checkpoint, tmp_path)
    before = hall.faster(3 * USUAL)
    assert before > ALARM
    # An hour: somebody races through every two minutes, and walks in between.
    hall.live(60, lambda n: 3 * USUAL if n % (2 * MINUTE) < 12 else 0.9 * USUAL)
    assert hall.faster(3 * USUAL) > 0.95 * before


def test_neither_where_long_calm_lies_between(checkpoint: Checkpoint, tmp_path: Path) -> None:
    hall = Hall(checkpoint, tmp_path)
    before = hall.faster(3 * USUAL)
    hall.live(60, lambda n: 3 * USUAL if n % (15 * MINUTE) < 12 else 0.9 * USUAL)
    assert hall.ongoing.minutes > 20  # the calm was learned
    assert hall.faster(3 * USUAL) > 0.95 * before


def test_nor_one_that_comes_a_little_faster_every_time(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    hall = Hall(checkpoint, tmp_path)
    before = hall.faster(3 * USUAL)
    hall.live(60, lambda n: USUAL * (1 + 2 * n / (60 * MINUTE)) if n % 60 < 30 else USUAL)
    # What it was given is no more than what the anchor bounds.
    assert hall.faster(3 * USUAL) > before / 1.5 and hall.faster(3 * USUAL) > ALARM


def test_the_minutes_before_an_event_are_not_learned(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    hall = Hall(checkpoint, tmp_path)
    hall.live(WAITING, lambda n: 0.9 * USUAL)
    hall.live(1, lambda n: 3 * USUAL)
    hall.live(WAITING, lambda n: 0.9 * USUAL)
    assert hall.ongoing.minutes == 0
    hall.live(1, lambda n: 0.9 * USUAL)
    assert hall.ongoing.minutes == 1


def test_what_was_learned_is_kept_beside_the_camera_file(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    hall = Hall(checkpoint, tmp_path)
    hall.live(20, lambda n: 1.2 * USUAL if n % 60 < 30 else USUAL)
    hall.ongoing.save()
    (kept,) = read_camera(tmp_path / LEARNED).places.values()
    assert kept.frames > 0 and list(tmp_path.glob("*.v1*")) == []
    again = Hall(checkpoint, tmp_path)
    assert again.faster(1.2 * USUAL) == pytest.approx(hall.faster(1.2 * USUAL))
    # Another camera file: that was learned beside another anchor.
    next(iter(checkpoint.places.values())).add([walking(USUAL, 0)])
    fresh = Hall(checkpoint, tmp_path)
    assert fresh.ongoing.place.frames == next(iter(checkpoint.places.values())).frames
    (tmp_path / LEARNED).write_bytes(b"nothing")
    assert Hall(checkpoint, tmp_path).ongoing.place.frames == fresh.ongoing.place.frames


def test_what_it_keeps_is_bounded(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpn.live.ongoing.MAX_FRAMES", 5 * MINUTE)
    hall = Hall(checkpoint, tmp_path)
    hall.live(30, lambda n: 0.9 * USUAL)
    anchor = next(iter(checkpoint.places.values()))
    assert anchor.frames < hall.ongoing.place.frames <= anchor.frames + 5 * MINUTE
    assert hall.ongoing.place.as_of == anchor.frames  # the threshold is of how that one judges
    assert hall.faster(USUAL) == pytest.approx(0.6, abs=0.15)


def test_the_low_level_is_of_the_normal_footage_and_below_the_threshold(still: Path) -> None:
    detector = Detector(load_checkpoint(still), precision="float32")
    normal = np.concatenate(list(detector.normal_scores().values()))
    assert low_level(detector, 1e9) == pytest.approx(np.quantile(normal, 0.99))
    assert low_level(detector, 0.5) == pytest.approx(0.45)

"""Anomalies made of a camera's own motion: by hand, on a road where all goes one way."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.adaptation.made_motion import (
    ELSEWHERE,
    FASTER,
    KINDS,
    TURNED,
    Judged,
    Made,
    altered,
    try_out,
)
from mpn.adaptation.place import Stretch
from mpn.motion.flow import CHANNELS, DIRECTED, SPEED
from mpn.motion.place import PlaceModel
from mpn.scoring.parts import motion_numbers

GRID, FRAMES = (20, 30), 120
UNITS = {"speed": (-1.0, 1.0), "direction": (-1.0, 1.0)}
WEIGHTS = {"speed": 0.7, "direction": 1.0}


def road(frames: int = FRAMES) -> np.ndarray:
    """Motion of cars, 3x4 cells, that go to the right along rows 8 to 10, each at its own speed."""
    generator = np.random.default_rng(1)
    motion = np.zeros((frames, *GRID, CHANNELS), np.float16)
    speed = 3.0
    for number in range(frames):
        if number % 20 == 0:
            speed = generator.uniform(2.5, 3.5)
        left = number % 20
        car = motion[number, 8:11, left : left + 4]
        car[..., SPEED] = car[..., DIRECTED.start] = speed
        car[..., CHANNELS - 1] = 1
    return motion


def judged(motion: np.ndarray, length: int = FRAMES) -> list[Judged]:
    """The second half, by a place model of the first."""
    half = length // 2
    place = PlaceModel(GRID)
    place.add(motion[:half])
    before, rows = place.speeds(motion[half - 1]), []
    for frame in motion[half:length]:
        speeds = place.speeds(frame)
        rows.append(motion_numbers(place.lasting(before, speeds)))
        before = speeds
    columns = {name: np.array([row[name] for row in rows]) for name in UNITS}
    return [Judged(Stretch(0, half, length), place, columns)]


def made(threshold: float | None = None) -> dict[str, Made]:
    """What becomes of the road's anomalies, by kind."""
    motion = road()
    outcomes = try_out([motion], judged(motion), 10.0, WEIGHTS, UNITS, 1.0, threshold)
    return {outcome.kind: outcome for outcome in outcomes}


def test_what_is_made_of_a_thing() -> None:
    frame = road(1)[0]
    thing = frame[..., SPEED] > 0
    faster, is_altered = altered(frame, FASTER, (5, 9))
    assert is_altered
    np.testing.assert_allclose(faster[..., :9], 2 * frame[..., :9].astype(np.float32))
    turned, _ = altered(frame, TURNED, (5, 9))
    np.testing.assert_array_equal(turned[..., SPEED], frame[..., SPEED])
    left = turned[..., DIRECTED][thing][:, 4]
    np.testing.assert_array_equal(left, frame[..., SPEED][thing].astype(np.float32))
    assert not turned[..., DIRECTED][thing][:, [0, 1, 2, 3, 5, 6, 7]].any()
    moved, _ = altered(frame, ELSEWHERE, (5, 9))
    np.testing.assert_array_equal(moved, np.roll(frame, (5, 9), axis=(0, 1)))


def test_where_nothing_moves_nothing_is_made() -> None:
    still = np.zeros((*GRID, CHANNELS), np.float16)
    assert not any(altered(still, kind, (5, 9))[1] for kind in KINDS)
    motion = np.zeros((FRAMES, *GRID, CHANNELS), np.float16)
    assert try_out([motion], judged(motion), 10.0, WEIGHTS, UNITS, 1.0, 1.0) == []


def test_each_part_tells_what_it_sees() -> None:
    outcomes = made()
    assert list(outcomes) == list(KINDS)
    assert {outcome.pieces for outcome in outcomes.values()} == {3}  # of sixty frames, twenty each
    assert outcomes[FASTER].auc["speed"] == outcomes[FASTER].auc["direction"] == 1
    assert outcomes[TURNED].auc["speed"] == pytest.approx(0.5, abs=0.02)
    assert outcomes[TURNED].auc["direction"] == 1 and outcomes[TURNED].auc["score"] == 1
    assert min(outcomes[ELSEWHERE].auc.values()) > 0.98
    assert {outcome.found for outcome in outcomes.values()} == {None}


def test_what_is_above_the_threshold_is_found() -> None:
    assert {outcome.found for outcome in made(threshold=0.0).values()} == {3}
    assert {outcome.found for outcome in made(threshold=99.0).values()} == {0}


def test_of_long_footage_a_part_is_looked_at() -> None:
    motion = road(4000)
    outcomes = try_out([motion], judged(motion, 4000), 10.0, WEIGHTS, UNITS, 1.0, None)
    assert {outcome.pieces for outcome in outcomes} == {30}  # 600 frames


def test_short_stretches_are_pieces_as_they_are() -> None:
    motion = road()
    (whole,) = judged(motion)
    columns = {name: values[:12] for name, values in whole.columns.items()}
    short = [Judged(Stretch(0, start, start + 12), whole.place, columns) for start in (60, 80)]
    tiny = whole._replace(stretch=Stretch(0, 100, 106))
    outcomes = try_out([motion], [*short, tiny], 10.0, WEIGHTS, UNITS, 1.0, None)
    assert {outcome.pieces for outcome in outcomes} == {2}

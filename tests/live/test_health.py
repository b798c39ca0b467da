"""What is wrong with a picture is said once it lasts, and until it is gone for a while."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mpn.live.health import Health
from mpn.live.status import State
from mpn.motion.flow import grid_size
from mpn.motion.place import PlaceModel
from tests.helpers.doctoring import texture

SIZE = (96, 128)
GRID = grid_size(SIZE)
FPS = 10


def view(seed: int, shift: int = 0) -> np.ndarray:
    """A wall with the noise of a sensor, seen `shift` pixels further right."""
    wall = texture(1, (96, 200))[:, 20 + shift : 20 + shift + 128].astype(float)
    noisy = wall + np.random.default_rng(seed).normal(0, 2, wall.shape)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def place() -> PlaceModel:
    place = PlaceModel(GRID)
    place.add([], [view(seed) for seed in range(20)])
    return place


def states(health: Health, frames: list[np.ndarray], start: int = 0) -> list[State | None]:
    return [health.update(frame, (start + n) / FPS) for n, frame in enumerate(frames)]


def test_nothing_is_wrong_with_a_still_scene(place: PlaceModel) -> None:
    assert set(states(Health(GRID, place), [view(n) for n in range(200)])) == {None}
    assert set(states(Health(GRID), [view(n) for n in range(100)])) == {None}


def test_frozen_after_ten_seconds_of_the_same_frame(place: PlaceModel) -> None:
    health, one = Health(GRID, place), view(0)
    found = states(health, [one] * 150)
    assert found[:101] == [None] * 101 and set(found[101:]) == {State.FROZEN}
    after = states(health, [view(n) for n in range(20)], 150)
    assert after[0] is State.FROZEN and after[-1] is None


def test_nine_seconds_of_the_same_frame_are_nothing(place: PlaceModel) -> None:
    health, one = Health(GRID, place), view(0)
    for start in (0, 91, 182):
        assert set(states(health, [one] * 90 + [view(900 + start)], start)) == {None}


@pytest.mark.parametrize(
    "wrong, state, enters, leaves",
    [
        (lambda n: np.full((*SIZE, 3), 4 + n % 2, np.uint8), State.BLACK, 2.0, 1.0),
        (lambda n: np.full((*SIZE, 3), 120 + n % 2, np.uint8), State.COVERED, 3.0, 1.0),
        (lambda n: cv2.GaussianBlur(view(n), (0, 0), 12), State.COVERED, 3.0, 1.0),
        (lambda n: view(n, shift=8), State.MOVED, 5.0, 2.0),
        (lambda n: view(n)[:, ::-1].copy(), State.MOVED, 5.0, 2.0),
    ],
    ids=["black", "a hand before it", "out of focus", "turned", "another view"],
)
def test_what_lasts_is_said_and_what_does_not_is_not(
    place: PlaceModel, wrong, state: State, enters: float, leaves: float
) -> None:
    health = Health(GRID, place)
    states(health, [view(n) for n in range(20)])
    short = round(enters * FPS) - 10
    assert set(states(health, [wrong(n) for n in range(short)], 20)) == {None}
    assert set(states(health, [view(n) for n in range(30)], 60)) == {None}
    found = states(health, [wrong(n) for n in range(100)], 100)
    said = found.index(state)
    assert enters <= said / FPS <= enters + 1.5 and set(found[said:]) == {state}
    after = states(health, [view(n) for n in range(60)], 200)
    gone = after.index(None)
    assert leaves <= gone / FPS <= leaves + 1.5 and set(after[gone:]) == {None}


def test_a_walker_before_the_wall_is_no_covered_camera(place: PlaceModel) -> None:
    health = Health(GRID, place)
    for n in range(200):
        frame = view(n)
        left = n % 100
        frame[20:90, left : left + 24] = 200
        assert health.update(frame, n / FPS) is None


def test_a_clock_set_back_does_not_stop_it(place: PlaceModel) -> None:
    health = Health(GRID, place)
    states(health, [view(n) for n in range(20)], 10_000)
    found = states(health, [np.full((*SIZE, 3), 4 + n % 2, np.uint8) for n in range(50)])
    assert found[-1] is State.BLACK

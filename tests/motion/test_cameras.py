"""Which camera's place model a recording is judged by."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from mpn.errors import SizeError
from mpn.motion.cameras import PlaceStream, choose_place, flat_place, grid_of, tell_apart
from mpn.motion.flow import MotionReader, grid_size
from mpn.motion.place import PlaceModel, picture_of
from mpn.motion.static import Readings
from tests.helpers.doctoring import texture, views
from tests.helpers.moving import GRID, RATIO, cells, place_of, sliding

SIZE = (120, 160)


def view(seed: int) -> np.ndarray:
    """A frame of camera `seed`, (120, 160, 3)."""
    return views([(50, 50)], texture(seed))[0]


@pytest.fixture
def places() -> dict[str, PlaceModel]:
    """Two cameras that look at other things; on the first nothing goes left of the middle."""
    half = np.where(np.arange(GRID[1]) < GRID[1] // 2, 0, 4) * np.ones(GRID)
    return {
        "hall": place_of([cells(half)] * 30, [view(1)] * 3),
        "yard": place_of([cells(2.0, 4)] * 30, [view(2)] * 3),
    }


def flat(place: PlaceModel) -> bool:
    """Whether all places are alike."""
    return all(np.ptp(normal, axis=(0, 1)).max() < 1e-4 for normal in place.normal)


# --- The choice


def test_the_camera_is_known_by_its_picture(places, caplog) -> None:
    for seed, name in ((1, "hall"), (2, "yard")):
        noise = np.random.default_rng(seed).integers(0, 30, (*SIZE, 3), np.uint8)
        darker = view(seed) // 2 + noise
        assert choose_place(places, darker, GRID) is places[name]
    assert not caplog.records


def test_a_camera_that_was_judged_otherwise_is_said(places, caplog) -> None:
    places["yard"].judged = 1
    assert choose_place(places, view(1), GRID) is places["hall"] and not caplog.records
    assert choose_place(places, view(2), GRID) is places["yard"]
    assert "camera yard was learned by another version" in said(caplog)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_camera_is_known_by_a_smaller_grey_frame(places, channels: int) -> None:
    small = np.ascontiguousarray(view(1)[::2, ::2, :channels])
    assert choose_place(places, small, GRID) is places["hall"]


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All warnings, a line each; forgotten afterwards."""
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    messages = [record.getMessage() for record in caplog.records]
    assert not any("\n" in message or len(message) > 120 for message in messages)
    caplog.clear()
    return "\n".join(messages)


def test_another_camera_is_judged_without_places_and_that_is_said(places, caplog) -> None:
    chosen = choose_place(places, view(3), GRID)
    assert flat(chosen) and not flat(places["hall"]) and chosen.grid == GRID
    message = said(caplog)
    assert "motion is judged without places" in message and "hall" in message
    choose_place(places, view(3), GRID, "night.mp4")
    assert said(caplog) == f"night.mp4: {message}"


def test_the_only_camera_is_taken_for_one_that_is_hardly_like_it_and_that_is_said(caplog) -> None:
    # By hand: of two independent pictures, one a third as strong, the likeness is about a third.
    mixed = (view(1).astype(np.float64) - 128) / 3 + (view(2).astype(np.float64) - 128)
    frame = np.clip(mixed + 128, 0, 255).astype(np.uint8)
    places = {"hall": place_of([cells(1)] * 3, [view(1)])}
    assert 0.25 <= places["hall"].likeness(picture_of(frame, GRID)) < 0.5
    assert choose_place(places, frame, GRID) is places["hall"]
    assert "hardly like camera hall (likeness 0." in said(caplog)
    assert choose_place(places, view(1), GRID) is places["hall"] and not caplog.records


def test_a_camera_that_has_moved_a_little_is_judged_and_that_is_said(caplog) -> None:
    coarse = cv2.GaussianBlur(texture(1), (0, 0), 4)  # or it would not be known any more
    before, after = views([(50, 50), (50, 55)], coarse)  # by 5 of 160 pixels
    places = {"hall": place_of([cells(1, grid=(32, 42))] * 3, [before])}
    assert choose_place(places, after, (32, 42)) is places["hall"]
    message = said(caplog)
    assert "5 pixels to the left" in message and "adapt again" in message and "hall" in message
    assert choose_place(places, before, (32, 42)) is places["hall"] and not caplog.records


def test_another_shape_is_judged_without_places_and_that_is_said(places, caplog) -> None:
    chosen = choose_place(places, view(1), (12, 8))
    assert chosen.grid == (12, 8) and flat(chosen)
    assert "shape" in said(caplog)
    assert chosen.quotients(cells(1, grid=(12, 8)), cells(1, grid=(12, 8))).shape == (2, 12, 8)


def test_cameras_of_another_shape_are_passed_over(places) -> None:
    gate = {"gate": place_of([cells(1, grid=(12, 8))], [view(1)])}
    assert choose_place(gate | places, view(1), GRID) is places["hall"]


def test_a_warning_stays_short_where_there_are_many_cameras(places, caplog) -> None:
    many = {f"camera{number}": places["hall"] for number in range(99)}
    choose_place(many, view(3), GRID)
    assert "camera" in said(caplog)


def test_a_place_model_without_a_picture_is_taken_for_the_camera_s(caplog) -> None:
    place = place_of([cells(1)])
    assert choose_place({"a": place}, view(1), GRID) is place and not caplog.records


def test_without_place_models_motion_cannot_be_judged() -> None:
    with pytest.raises(SizeError, match="adapt it to the camera"):
        choose_place({}, view(1), GRID)


# --- Without places


def test_all_places_are_alike_already() -> None:
    place = place_of([cells(speed) for speed in np.linspace(0.5, 5, 60)], [view(1)])
    combined = flat_place([place], GRID)
    assert (combined.frames, combined.pictures) == (60, 0)
    for normal, expected in zip(combined.normal, place.normal):
        np.testing.assert_allclose(normal, expected, rtol=RATIO - 1)


def test_what_is_normal_anywhere_lies_between_what_is_at_each_place(places) -> None:
    speed = flat_place([places["hall"]], GRID).normal[0]
    hall = places["hall"].normal[0]
    assert hall.min() < speed.min() and speed.max() <= hall.max() * RATIO


def test_the_result_can_have_another_grid_than_its_cameras(places) -> None:
    same, regridded = (flat_place(places.values(), grid).normal for grid in (GRID, (4, 30)))
    for first, second in zip(same, regridded):
        np.testing.assert_allclose(first[0, 0], second[0, 0], rtol=1e-5)


def test_the_cameras_are_left_as_they_are(places) -> None:
    before = places["hall"].counts.copy()
    flat_place(places.values(), GRID).add([cells(9)])
    np.testing.assert_array_equal(places["hall"].counts, before)
    assert places["hall"].frames == 30


# --- Streams


@pytest.fixture
def walk() -> list[np.ndarray]:
    return sliding((2, -1), 5, SIZE)


def known(frames: list[np.ndarray]) -> dict[str, PlaceModel]:
    """A place model of a still camera that shows these frames, and one of another."""
    grid = grid_size(SIZE)
    return {
        "other": place_of([cells(1, grid=grid)] * 20, [view(3)]),
        "own": place_of([cells(3, 1, grid)] * 20, frames),
    }


def test_a_stream_gives_the_quotients_of_each_frame_and_the_one_before(walk) -> None:
    places = known(walk)
    stream, reader = PlaceStream(places, SIZE), MotionReader(SIZE)
    motion = [reader.read(frame) for frame in walk]
    streamed = [stream.read(frame) for frame in walk]
    for number, quotients in enumerate(streamed):
        expected = places["own"].quotients(motion[max(number - 1, 0)], motion[number])
        np.testing.assert_array_equal(quotients, expected)
    assert streamed[-1].max() > 0.2


def test_the_first_frame_of_a_stream_has_no_motion(walk) -> None:
    assert not PlaceStream(known(walk), SIZE).read(walk[0]).any()


def test_grids_of_motion() -> None:
    assert grid_of(cells(1)) == grid_of(np.stack([cells(1)] * 3)) == GRID


# --- Another frame rate


def test_motion_is_brought_to_the_rate_of_the_places() -> None:
    """Half as many frames a second of the same footage show twice the motion a frame."""
    frames = {step: sliding((step, 0), 5) for step in (1, 2)}
    place = place_of([cells(1.0, grid=grid_size((240, 360)))] * 30, frames[1])

    def quotients(step: int, fps: float, usual: float | None) -> np.ndarray:
        stream = PlaceStream({"s": place}, (240, 360), fps, usual_fps=usual)
        return np.stack([stream.read(frame) for frame in frames[step]])[-1]

    whole, half, raw = quotients(1, 10, 10), quotients(2, 5, 10), quotients(2, 5, None)
    board = whole > whole.max() / 2
    assert np.median(half[board]) == pytest.approx(np.median(whole[board]), rel=0.05)
    np.testing.assert_allclose(raw, 2 * half, rtol=1e-5)
    np.testing.assert_array_equal(quotients(2, 10.2, 10), raw)  # as good as the same rate


def test_what_stays_is_not_judged_where_the_camera_was_moved() -> None:
    coarse = cv2.GaussianBlur(texture(1), (0, 0), 4)
    here, moved = views([(50, 50), (50, 55)], coarse)  # by 5 of 160 pixels
    place = place_of([cells(1, grid=(32, 42))] * 3, [here])
    readings = Readings(lambda: iter([picture_of(here, place.grid)] * 80), 80, 0.5)
    place.background.learn(place.picture, [readings])
    assert place.background.known
    left = slice(40, 70), slice(60, 100)  # something is put down there, and stays for ten seconds
    for first, least in ((here, 2.0), (moved, None)):
        stream = PlaceStream({"hall": place}, SIZE, 2.0, lambda frame: frame)
        after = first.copy()
        after[left] = 255 - after[left]
        frames = [first, *[after] * 20]
        stays = [stream.read(frame, n)[2].max() for n, frame in enumerate(frames)][-1]
        assert (stays > least) if least else (stays == 0)


def test_pictures_that_show_nothing_are_their_neighbours_cameras() -> None:
    """A lens that is covered, or a night without light, is no camera of its own."""
    hall, yard = (picture_of(view(seed), GRID) for seed in (1, 2))
    black, grey = np.zeros(hall.shape), np.full(hall.shape, 90.0)
    other_shape = np.zeros((4, 30))
    assert tell_apart([black, hall, yard, grey, hall]) == [[1, 4, 0], [2, 3]]
    assert tell_apart([hall, other_shape, yard]) == [[0], [2], [1]]
    assert tell_apart([black, grey, other_shape]) == [[0, 1], [2]]

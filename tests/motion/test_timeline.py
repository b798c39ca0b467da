"""A recording's motion in blocks of time."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.errors import SizeError
from mpn.motion.place import PlaceModel
from mpn.motion.timeline import PlaceTimeline
from tests.helpers.moving import GRID, cells, place_of


def same(place: PlaceModel, reference: PlaceModel) -> bool:
    return (
        (place.counts == reference.counts).all()
        and (place.whole == reference.whole).all()
        and place.frames == reference.frames
        and np.allclose(place.picture_sum, reference.picture_sum)
        and place.pictures == reference.pictures
    )


@pytest.fixture
def moves() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [cells(rng.uniform(0, 6, GRID), int(rng.integers(8))) for _ in range(50)]


@pytest.fixture
def timeline(moves) -> PlaceTimeline:
    timeline = PlaceTimeline(GRID, 10)
    for frame, motion in enumerate(moves):
        timeline.add(frame, motion)
        if frame % 10 == 0:
            timeline.see(frame, np.full((32, 48, 3), frame, np.uint8))
    return timeline


def test_what_is_left_is_as_if_the_rest_had_never_been_counted(moves) -> None:
    rest = place_of(moves).without(place_of(moves[:20]))
    assert same(rest, place_of(moves[20:]))
    assert np.allclose(rest.normal[0], place_of(moves[20:]).normal[0])


def test_what_was_not_counted_cannot_be_taken_out(moves) -> None:
    with pytest.raises(SizeError, match="no part of"):
        place_of(moves[:3]).without(place_of(moves[:4]))
    with pytest.raises(SizeError, match="no part of"):
        place_of(moves).without(PlaceModel((GRID[0] + 2, GRID[1])))


def test_the_blocks_together_are_the_recording(timeline, moves) -> None:
    pictures = [np.full((32, 48, 3), frame, np.uint8) for frame in range(0, 50, 10)]
    assert len(timeline.blocks) == 5
    assert same(timeline.total(), place_of(moves, pictures))


@pytest.mark.parametrize(
    ("frame", "apart", "expected"),
    [(0, 0, (0, 1)), (9, 1, (0, 2)), (25, 4, (2, 3)), (25, 6, (1, 4)), (49, 30, (1, 5))],
)
def test_blocks_around_a_frame(timeline, frame, apart, expected) -> None:
    assert timeline.around(frame, apart) == expected


def test_a_frame_is_judged_by_all_blocks_but_those_around_it(timeline, moves) -> None:
    earlier = place_of(moves[:7])  # another recording of the camera
    camera = timeline.total()
    camera.merge(earlier)
    place_at = timeline.judge(camera, 6)
    expected = place_of(moves[:10] + moves[40:] + moves[:7])
    judged = place_at(25)
    assert (judged.counts == expected.counts).all() and judged.frames == expected.frames
    assert place_at(25) is judged  # not made anew for every frame


def test_what_happens_once_is_strange_and_what_repeats_is_not() -> None:
    fast, slow = cells(8.0), cells(1.0)
    once, twice = PlaceTimeline(GRID, 10), PlaceTimeline(GRID, 10)
    for frame in range(60):
        once.add(frame, fast if 30 <= frame < 40 else slow)
        twice.add(frame, fast if frame // 10 in (1, 3) else slow)
    quotient = [
        timeline.judge(timeline.total(), 0)(35).quotients(fast, fast)[0].max()
        for timeline in (once, twice)
    ]
    assert quotient[0] > 2.5 > 1.0 > quotient[1]


def test_the_ends_of_a_recording_are_judged_as_its_middle() -> None:
    """Of 1,300 frames some 850 are left in the middle, and 1,050 at an end: by its own number that
    one would let 1 frame in 1,000 be faster than normal, the other 1 in 200."""
    timeline = PlaceTimeline(GRID, 50)
    for frame in range(1300):
        timeline.add(frame, cells(8.0 if frame in (300, 420, 880, 1000) else 1.0))
    place_at = timeline.judge(timeline.total(), 200)
    ends, middle = (place_at(0), place_at(1299)), place_at(650)
    assert middle.frames < 1001 <= min(end.frames for end in ends)
    for end in ends:
        np.testing.assert_allclose(end.normal[0], middle.normal[0], rtol=1e-3)
    assert middle.normal[0].max() < 3  # the four are dirt

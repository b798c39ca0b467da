"""The embedding of a region: its parts by hand, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.scoring.embedding import LOOK, MIN_SPEED, MOTION_WEIGHT, embedding_of
from mpn.scoring.reasons import SeenMotion
from tests.helpers.doctoring import texture
from tests.helpers.moving import GRID, cells, place_of

SIZE = (160, 240)
BOX = (40, 60, 40, 20)
IMAGE = texture(5, SIZE)[..., None].repeat(3, 2)


def seen(speed: float) -> SeenMotion:
    """All of the picture moves right; 2 pixels a frame are normal."""
    place = place_of([cells(2.0)] * 400)
    return SeenMotion(place.speeds(cells(speed)), place, SIZE, 10.0)


def test_motion_and_size_by_hand():
    embedding = embedding_of(IMAGE, BOX, seen(4.0))
    quotients = seen(4.0).place.quotients_of(seen(4.0).speeds)
    assert np.ptp(quotients, axis=(1, 2)).max() < 1e-3  # everywhere the same
    expected = np.sqrt(MOTION_WEIGHT) * np.log(quotients[:, 0, 0])
    assert embedding[:2] == pytest.approx(expected, abs=1e-3) and embedding.dtype == np.float32
    assert embedding[2:4] == pytest.approx(np.log([40 / 160, 20 / 240]))
    assert np.linalg.norm(embedding[4:]) == pytest.approx(1, abs=1e-5)


def test_twice_the_speed_is_a_step_of_its_logarithm():
    apart = embedding_of(IMAGE, BOX, seen(4.0)) - embedding_of(IMAGE, BOX, seen(2.0))
    assert apart[:2] == pytest.approx(np.sqrt(MOTION_WEIGHT) * np.log([2, 2]), abs=0.02)
    assert not apart[2:].any()


def test_what_hardly_moves_does_not_move():
    assert embedding_of(IMAGE, BOX, seen(0.01))[:2] == pytest.approx(
        [np.sqrt(MOTION_WEIGHT) * np.log(MIN_SPEED)] * 2
    )


def test_the_motion_is_that_of_the_cell_that_stands_out():
    motion = seen(2.0)
    motion.speeds[2, 4] *= 3  # row 2 of 8: from 40 on; column 4 of 12: from 80 on
    inside, beside = (60, 80), (100, 200)
    step = [
        embedding_of(IMAGE, (top, left, 10, 10), motion)[0]
        - embedding_of(IMAGE, (top, left, 10, 10), seen(2.0))[0]
        for top, left in ((inside[0] - 20, inside[1]), beside)
    ]
    assert step == pytest.approx([np.sqrt(MOTION_WEIGHT) * np.log(3), 0], abs=1e-5)
    assert GRID == (8, 12)


def test_the_look_is_the_same_twice_as_large_and_in_other_light():
    small = texture(7, (3 * LOOK, 3 * LOOK)).astype(np.float64)
    box = (LOOK, LOOK, LOOK, LOOK)
    frames = [small, 0.5 * small + 60, np.kron(small, np.ones((2, 2)))]
    boxes = [box, box, tuple(2 * side for side in box)]
    motion = seen(2.0)
    looks = [
        embedding_of(frame.astype(np.uint8)[..., None], area, motion)[4:]
        for frame, area in zip(frames, boxes)
    ]
    other = embedding_of(IMAGE, BOX, motion)[4:]
    for look in looks[1:]:
        assert np.linalg.norm(look - looks[0]) < 0.5 * np.linalg.norm(other - looks[0])


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (150, 230, 10, 10), (0, 0, *SIZE), (5, 5, 1, 1)])
def test_any_box_has_one_and_grey_is_as_good_as_colour(box):
    motion = seen(2.0)
    colour, grey = (embedding_of(image, box, motion) for image in (IMAGE, IMAGE[..., :1]))
    assert np.isfinite(colour).all() and colour == pytest.approx(grey, abs=1e-6)


def test_a_flat_picture_has_no_look():
    flat = np.full((*SIZE, 1), 90, np.uint8)
    assert not embedding_of(flat, BOX, seen(2.0))[4:].any()

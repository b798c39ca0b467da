"""Motion kept from one pass for the next."""

from __future__ import annotations

import numpy as np

from mpn.motion.kept import KeptMotion
from tests.helpers.moving import GRID, cells


def moved(frame: int) -> np.ndarray:
    """Motion of a corner of the picture, as a flow gives it."""
    motion = cells(np.zeros(GRID), 0)
    motion[:2, : frame + 2, 0] = motion[:2, : frame + 2, 1] = frame + 0.3
    return motion.astype(np.float16)


def test_it_comes_back_to_the_bit_by_its_number() -> None:
    motions = KeptMotion()
    for frame in (3, 1):
        motions.keep(frame, moved(frame))
    for frame in (1, 3):
        unpack = motions.get(frame)
        assert unpack is not None
        again = unpack()
        assert again.dtype == np.float16 and again.shape == moved(frame).shape
        assert (again == moved(frame)).all()
    assert motions.get(2) is None and len(motions) == 2


def test_what_there_is_no_room_for_is_not_kept() -> None:
    noise = np.random.default_rng(0).uniform(0, 9, moved(0).shape).astype(np.float16)
    motions = KeptMotion(noise.nbytes + 200)  # noise cannot be packed
    motions.keep(0, noise)
    motions.keep(1, noise)
    assert len(motions) == 1 and motions.get(1) is None
    unpack = motions.get(0)
    assert unpack is not None and (unpack() == noise).all()

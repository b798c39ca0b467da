"""Whether the whole picture has moved: pictures moved by known steps, and things before them."""

from __future__ import annotations

import numpy as np
import pytest

from mpn.motion.registration import before_moved, detail, is_far, picture_shift
from tests.helpers.doctoring import texture, views


def flow_of(right: float, down: float, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    flow = np.empty((*size, 2), np.float32)
    flow[:] = right, down
    return flow


def seen_from(*corners: tuple[int, int], seed: int = 1) -> list[np.ndarray]:
    """Grey views (120, 160) of one texture, their corners at (top, left)."""
    return [frame[..., 0] for frame in views(list(corners), texture(seed))]


# --- Between two frames


def test_the_frame_before_is_moved_to_where_the_camera_looks_now() -> None:
    before, now = seen_from((50, 50), (48, 53))  # what is seen goes 3 to the left and 2 down
    moved = before_moved(before, now, flow_of(-3, 2))
    assert moved is not None
    remaining, stood = (
        np.abs(picture.astype(float) - now)[3:-3, 3:-3].mean() for picture in (moved, before)
    )
    assert remaining < 0.2 * stood  # what is left is the noise of both


def test_a_camera_that_stands_still_is_left_alone() -> None:
    (before,) = seen_from((50, 50))
    assert before_moved(before, before, flow_of(0, 0)) is None
    assert before_moved(before, before, flow_of(0.1, -0.1)) is None


def test_most_of_the_flow_decides_not_its_mean() -> None:
    (before,) = seen_from((50, 50))
    flow = flow_of(0, 0)
    flow[:, :70] = 20, 0
    assert before_moved(before, before, flow) is None


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_what_the_picture_does_not_bear_out_is_not_believed(share: float) -> None:
    before, now = seen_from((50, 50), (50, 53))
    edge = round(share * now.shape[1])
    mixed = np.hstack([now[:, :edge], before[:, edge:]])  # only so much of the picture has moved
    assert (before_moved(before, mixed, flow_of(-3, 0)) is not None) == (share > 0.5)


# --- Between two pictures


@pytest.mark.parametrize(("down", "right"), [(0, 5), (-4, 0), (3, -7), (8, 8)])
def test_a_turned_camera_is_measured(down: int, right: int) -> None:
    before, after = map(detail, seen_from((50, 50), (50 - down, 50 - right)))
    shift = picture_shift(before, after)
    assert shift is not None and is_far(shift)
    assert shift == pytest.approx((right, down), abs=0.5)


def test_two_scenes_have_no_shift() -> None:
    (before,), (after,) = seen_from((50, 50)), seen_from((50, 50), seed=2)
    shift = picture_shift(detail(before), detail(after))
    assert shift is None or not is_far(shift)


def test_light_is_no_shift() -> None:
    (before,) = seen_from((50, 50))
    shift = picture_shift(detail(before), detail(before * 0.6 + 40))
    assert shift is not None and not is_far(shift)


def test_a_lorry_is_no_shift_of_the_picture() -> None:
    before, after = (np.full((120, 160), 90, np.uint8) for _ in range(2))
    lorry = seen_from((50, 50))[0][:60, :60]
    before[30:90, 20:80] = after[30:90, 28:88] = lorry
    shift = picture_shift(detail(before), detail(after))
    assert shift is None or not is_far(shift)

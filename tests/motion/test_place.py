"""The place model: counts, what follows from them by hand, and what they must never do."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest

from mpn.errors import SizeError
from mpn.motion.flow import CHANNELS, STILL
from mpn.motion.place import (
    ANY_DIRECTION,
    BINS,
    EDGES,
    FASTEST,
    KINDS,
    SLOWEST,
    PlaceModel,
    frame_number,
    picture_of,
)
from tests.helpers.doctoring import texture
from tests.helpers.moving import GRID, RATIO, cells, place_of

ROOM = (30, 44)  # cells of a picture in a part of which something walks


def random_motion(count: int, seed: int = 0) -> list[np.ndarray]:
    """Any motion: no cell like the next."""
    values = np.random.default_rng(seed).lognormal(0, 1.5, (count, *GRID, CHANNELS))
    return list(values.astype(np.float16))


def random_frames(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 48, 64, 3), np.uint8))


def same(place: PlaceModel, reference: PlaceModel) -> bool:
    """Whether two have counted the same, to the bit."""
    pairs = [
        (place.counts, reference.counts),
        (place.whole, reference.whole),
        (place.picture_sum, reference.picture_sum),
        *zip(place.normal, reference.normal),
    ]
    numbers = (place.frames, place.pictures) == (reference.frames, reference.pictures)
    return numbers and all(np.array_equal(first, second) for first, second in pairs)


def near(value: float) -> object:
    """Approximately, as far as bins of speeds tell."""
    return pytest.approx(value, rel=RATIO - 1)


# --- Counts


def test_footage_in_pieces_counts_as_in_one() -> None:
    motion, frames = random_motion(30), random_frames(7)
    whole = place_of(motion, frames)
    pieces = PlaceModel(GRID)
    for start, stop in ((0, 1), (1, 1), (1, 20), (20, 30)):
        pieces.add(motion[start:stop], frames[start // 4 : stop // 4])
    first, second = place_of(motion[:11], frames[:2]), place_of(motion[11:], frames[2:])
    first.merge(second)
    assert (whole.frames, whole.pictures) == (30, 7)
    assert same(whole, pieces) and same(whole, first)


def test_the_order_of_footage_does_not_matter() -> None:
    motion = random_motion(20)
    first, second = place_of(motion[:5]), place_of(motion[5:])
    both = copy.deepcopy(first)
    both.merge(second)
    second.merge(first)
    assert same(both, second) and same(both, place_of(motion[::-1]))


def test_every_frame_counts_once_for_every_square_and_kind() -> None:
    place = place_of(random_motion(25))
    assert place.counts.shape == (GRID[0] // 2, GRID[1] // 2, KINDS, BINS)
    assert (place.counts.sum(-1) == 25).all()
    assert place.whole.sum() == 25 * GRID[0] * GRID[1]


def test_speeds_beyond_the_bins_fall_into_the_first_and_the_last() -> None:
    place = place_of([cells(0), cells(SLOWEST / 2), cells(FASTEST * 2), cells(30_000)])
    assert (place.counts[..., 0, 0] == 2).all() and (place.counts[..., 0, -1] == 2).all()


def test_what_was_normal_is_worked_out_anew_after_more_footage() -> None:
    place = place_of([cells(1)] * 10)
    before = place.normal[0].max()
    place.add([cells(4)])
    added = place.normal[0].max()
    place.merge(place_of([cells(16)]))
    assert before < added < place.normal[0].max()


def test_days_of_footage_are_counted() -> None:
    place = place_of([cells(1, grid=ROOM)])
    for _ in range(22):  # to 46 hours of 25 frames/s
        place.merge(copy.deepcopy(place))
    assert place.frames == 2**22 and (place.counts.sum(-1, dtype=np.int64) == 2**22).all()
    assert place.whole.sum(dtype=np.int64) == 2**22 * ROOM[0] * ROOM[1]


# --- What is normal


@pytest.mark.parametrize("speed", [0.4, 1.0, 3.0, 17.0])
def test_one_motion_everywhere_by_hand(speed: float) -> None:
    """The floor is the speed itself: what is normal is twice that; in its direction once that and a
    quarter of what is normal in any, in the others the quarter."""
    place = place_of([cells(speed, 2)] * 40)
    normal, directed = place.normal
    assert normal.dtype == directed.dtype == np.float32 and normal.shape == GRID
    assert np.ptp(normal) < 1e-4 and normal[0, 0] == near(2 * speed)
    expected = np.full(8, ANY_DIRECTION * normal[0, 0])
    expected[2] += normal[0, 0] / 2
    np.testing.assert_allclose(directed[3, 3], expected, rtol=0.03)
    quotients = place.quotients(cells(speed, 2), cells(speed, 2))
    assert quotients.dtype == np.float32 and quotients.shape == (2, *GRID)
    assert quotients[0, 4, 4] == near(1 / 2) and quotients[1, 4, 4] == near(1 / 1.5)
    elsewhere = place.quotients(cells(speed, 6), cells(speed, 6))
    assert elsewhere[0, 4, 4] == near(1 / 2) and elsewhere[1, 4, 4] == near(1 / 0.5)


@pytest.mark.parametrize(
    ("count", "share"), [(200, 0.0), (300, 0.0), (301, 0.005), (500, 0.005), (1200, 0.001)]
)
def test_normal_is_the_quantile_of_the_frames_and_the_floor(count: int, share: float) -> None:
    speeds = np.random.default_rng(count).lognormal(0.5, 0.8, count)
    place = place_of([cells(speed, grid=(4, 4)) for speed in speeds])
    # All cells move alike, so that the picture's 99 % is that of the frames.
    counted = np.sort(speeds)[-1 - int(share * count)]
    assert counted >= np.percentile(speeds, 100 - 100 * share) / RATIO
    floor = np.percentile(speeds, 99)
    assert place.normal[0][1, 1] == near(counted + floor)


def test_the_quantile_of_many_frames_is_numpy_s() -> None:
    speeds = np.random.default_rng(1).lognormal(0.5, 0.6, 2000)
    place = place_of([cells(speed, grid=(2, 2)) for speed in speeds])
    expected = np.percentile(speeds, 99.9) + np.percentile(speeds, 99)
    assert place.normal[0][0, 0] == near(expected)


def walk(direction: int) -> np.ndarray:
    """Something that goes its way at 4 in rows 6 to 21, columns 4 to 23."""
    region = np.zeros(ROOM)
    region[6:22, 4:24] = 4
    return cells(region, direction, ROOM)


def walked() -> PlaceModel:
    """300 frames; in six of them someone walks to the right, 0.6 % of all cells with their edge."""
    still = cells(0, grid=ROOM)
    return place_of([still if t % 50 else walk(0) for t in range(300)])


def test_the_fastest_that_was_normal_is_about_one() -> None:
    speed, direction = walked().quotients(walk(0), walk(0))
    assert 0.8 < speed[14, 14] < 1.2 and 0.8 < direction[14, 14] < 1.2
    assert 0.7 < frame_number(speed) < 1.3 and 0.7 < frame_number(direction) < 1.7


def test_where_nothing_ever_moved_little_is_normal() -> None:
    place = walked()
    assert place.normal[0][15, 42] == pytest.approx(STILL, rel=0.05)
    elsewhere = np.roll(walk(0), 20, axis=1)
    assert frame_number(place.quotients(elsewhere, elsewhere)[0]) == pytest.approx(
        4 / STILL, rel=0.1
    )


def test_a_direction_never_seen_is_further_from_normal() -> None:
    place = walked()
    speed, right = place.quotients(walk(0), walk(0))
    same_speed, left = place.quotients(walk(4), walk(4))
    np.testing.assert_array_equal(speed, same_speed)
    assert left[14, 14] > 3 * right[14, 14] and (left >= 0.999 * right).all()


def test_twice_the_speed_is_twice_the_quotient() -> None:
    place, motion = place_of(random_motion(50)), random_motion(2, seed=9)
    single, double = place.quotients(*motion), place.quotients(*(2 * cells for cells in motion))
    np.testing.assert_allclose(double, 2 * single, rtol=1e-6)


def test_what_moves_in_one_frame_alone_does_not_count() -> None:
    place = place_of(random_motion(50))
    still, slow, fast = cells(0), cells(1, 3), cells(3, 3)
    assert not place.quotients(still, fast).any() and not place.quotients(fast, still).any()
    np.testing.assert_array_equal(place.quotients(fast, slow), place.quotients(slow, slow))


@pytest.mark.parametrize(("cells_on", "counts"), [(1, True), (2, True), (5, False)])
def test_what_moves_on_counts_where_it_is_now(cells_on: int, counts: bool) -> None:
    place = place_of([cells(1.0)] * 20)

    def at(column: int) -> np.ndarray:
        walker = np.zeros(GRID)
        walker[2:5, column : column + 3] = 4.0
        return cells(walker)

    quotients = place.quotients(at(2), at(2 + cells_on))
    alone = place.quotients(at(2 + cells_on), at(2 + cells_on))
    middle = (slice(None), 3, 3 + cells_on)
    assert alone[middle].min() > 1
    if counts:
        np.testing.assert_array_equal(quotients[middle], alone[middle])
    else:
        assert not quotients[middle].any()


def test_still_footage_and_none_at_all_divide_by_the_noise() -> None:
    for place in (place_of([cells(0)] * 20), PlaceModel(GRID)):
        speed, directed = place.normal
        np.testing.assert_allclose(speed, STILL, rtol=1e-6)
        np.testing.assert_allclose(directed, ANY_DIRECTION * STILL, rtol=1e-6)
        assert not place.quotients(cells(0), cells(0)).any()
        np.testing.assert_allclose(place.quotients(cells(3), cells(3))[0], 10, rtol=1e-3)


def test_a_little_dirt_harms_only_little_footage() -> None:
    clean = [cells(speed) for speed in np.random.default_rng(3).lognormal(0, 0.5, 2000)]
    dirty = [cells(40), *clean[1:]]
    few, many = (
        [place_of(motion[:count]).normal[0].mean() for motion in (clean, dirty)]
        for count in (100, 2000)
    )
    assert many[1] == near(many[0])
    assert few[1] > 3 * few[0]


def test_a_part_judges_as_the_whole_where_it_is_told_to() -> None:
    """Two frames in 600 are dirt to a model of 600 frames (1 in 200 may be), not to one of 1,200
    (1 in 1,000)."""
    motion = [cells(8), cells(8), *[cells(1)] * 598]
    by_its_own, as_the_whole = place_of(motion), PlaceModel(GRID, as_of=1200)
    as_the_whole.add(motion)
    twice = place_of([*motion, *motion])
    assert by_its_own.normal[0].mean() == near(1 + 1)  # and the floor, which is 1 too
    assert as_the_whole.normal[0].mean() == near(8 + 1) == near(twice.normal[0].mean())
    few = PlaceModel(GRID, as_of=300)
    few.add(motion)
    narrow, wide = by_its_own.normal[1], few.normal[1]
    assert wide.mean() > 2 * narrow.mean()  # the fastest of all, none is dirt


# --- Shapes that do not fit


@pytest.mark.parametrize("grid", [(7, 12), (8, 11), (0, 12), (8, 1), (-2, 4)])
def test_grids_have_even_sides(grid: tuple[int, int]) -> None:
    with pytest.raises(SizeError, match="even numbers were expected"):
        PlaceModel(grid)


def test_motion_of_another_grid_is_refused_with_both() -> None:
    place, larger = place_of([cells(1)]), cells(1, grid=(10, 12))
    with pytest.raises(SizeError, match="motion of 10x12 cells, .* has 8x12"):
        place.add([larger])
    for pair in ((larger, cells(1)), (cells(1), larger)):
        with pytest.raises(SizeError, match="has 8x12"):
            place.quotients(*pair)
    with pytest.raises(SizeError, match="cannot be merged"):
        place.merge(place_of([larger]))
    assert place.frames == 1


# --- Pictures


def test_a_picture_is_the_mean_of_squares_of_pixels() -> None:
    values = np.random.default_rng(0).integers(0, 256, (2 * GRID[0], 2 * GRID[1]), np.uint8)
    frame = np.kron(values, np.ones((4, 4), np.uint8))
    grey = picture_of(frame[:, :, None], GRID)
    np.testing.assert_array_equal(grey, values)
    np.testing.assert_array_equal(picture_of(np.repeat(frame[:, :, None], 3, 2), GRID), values)


def test_the_mean_picture_is_that_of_the_frames() -> None:
    frames = random_frames(5)
    place = place_of([cells(0)], frames)
    expected = np.mean([picture_of(frame, GRID) for frame in frames], axis=0)
    np.testing.assert_allclose(place.picture, expected)
    assert not PlaceModel(GRID).picture.any()


def test_likeness_is_a_correlation() -> None:
    (frame,), (another_frame,) = random_frames(1), random_frames(1, seed=8)
    place, picture = place_of([cells(0)], [frame] * 3), picture_of(frame, GRID)
    assert place.likeness(picture) == pytest.approx(1)
    assert place.likeness(0.3 * picture + 40) == pytest.approx(1)  # another light
    assert place.likeness(255 - picture) == pytest.approx(-1)
    against = picture_of(another_frame, GRID)
    expected = np.corrcoef(picture.ravel(), against.ravel())[0, 1]
    assert place.likeness(against) == pytest.approx(expected, abs=1e-5)
    assert place.likeness(np.full_like(picture, 9)) == PlaceModel(GRID).likeness(picture) == 0


@pytest.mark.parametrize(("right", "down"), [(4, 0), (0, -3), (-3, 2), (0, 0)])
def test_a_camera_that_has_moved_is_off_by_so_much(right: int, down: int) -> None:
    """In points of the picture, each 10 pixels of the texture; found to half a point."""
    ground = cv2.resize(texture(4, (600, 800)), (80, 60), interpolation=cv2.INTER_AREA)
    shown = np.repeat(ground[:, :, None], 3, 2)
    place = place_of([cells(0, grid=(20, 28))], [shown[8:48, 8:64]])
    moved = shown[8 - down : 48 - down, 8 - right : 64 - right]
    across, along = place.shift(picture_of(np.ascontiguousarray(moved), (20, 28)))
    assert across * 56 == pytest.approx(right, abs=0.5)
    assert along * 40 == pytest.approx(down, abs=0.5)


def test_another_camera_is_not_this_one_moved() -> None:
    shown = [texture(seed, (120, 168))[:, :, None] for seed in range(6)]
    place = place_of([cells(0, grid=ROOM)], shown[:1])
    assert [place.shift(picture_of(picture, ROOM)) for picture in shown[1:]] == [(0, 0)] * 5


# --- A frame's number


def test_a_frame_s_number_is_the_mean_of_its_ten_largest_cells() -> None:
    values = np.random.default_rng(0).permutation(96).reshape(GRID).astype(np.float32)
    assert frame_number(values) == pytest.approx(np.mean(range(86, 96)))
    assert frame_number(np.array([[1.0, 2.0], [3.0, 6.0]])) == pytest.approx(3)  # all there are


def test_edges_are_of_equal_ratio() -> None:
    assert len(EDGES) == BINS + 1 and EDGES[0] == pytest.approx(SLOWEST)
    np.testing.assert_allclose(EDGES[1:] / EDGES[:-1], (FASTEST / SLOWEST) ** (1 / BINS))

"""Changes that stay: things put down and taken away, in changing light, before a camera that moves.

Small pictures of 60x90 points, twice a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mpn.errors import SizeError
from mpn.motion.static import (
    ANYWHERE,
    MAX_SECONDS,
    MIN_SECONDS,
    STAYING,
    Background,
    Readings,
    StaticChanges,
    StaticReader,
    readings_every,
)
from tests.helpers.doctoring import texture

INTERVAL = 0.5
SHAPE = (60, 90)
THING = np.s_[30:36, 40:46]
INSIDE = np.s_[32:34, 42:44]  # of the thing, away from its edges
AROUND = np.s_[20:46, 30:56]  # the light around it is not known for sure


def wall() -> np.ndarray:
    return texture(4, (120, 180))[30:90, 40:130].astype(np.float32)


def with_thing(picture: np.ndarray, at: tuple[slice, slice] = THING) -> np.ndarray:
    changed = picture.copy()
    changed[at] = np.where(picture[at].mean() > 128, 40, 210)
    return changed


def noisy(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    generator = np.random.default_rng(7)
    return [
        np.clip(picture + generator.normal(0, 1.5, SHAPE), 0, 255).astype(np.float32)
        for picture in pictures
    ]


def seconds_of(pictures: Sequence[np.ndarray], normal: np.ndarray | None = None) -> np.ndarray:
    """For how long changes have stayed at each reading, by what a still camera knows."""
    changes = StaticChanges(wall() if normal is None else normal, np.full(SHAPE, 2.0), INTERVAL)
    return np.stack([changes.update(picture) for picture in noisy(pictures)])


def elsewhere(seconds: np.ndarray) -> np.ndarray:
    outside = seconds.copy()
    outside[(..., *AROUND)] = 0
    return outside


# --- What stays


def test_where_nothing_changes_nothing_stays() -> None:
    assert not seconds_of([wall()] * 20).any()


def test_a_thing_that_is_put_down_is_timed() -> None:
    seconds = seconds_of([wall()] * 8 + [with_thing(wall())] * 20)
    assert not seconds[:8].any() and not elsewhere(seconds).any()
    expected = INTERVAL * np.arange(1, 21)
    np.testing.assert_allclose(seconds[(slice(8, None), *INSIDE)].min((1, 2)), expected)


def test_a_thing_that_is_taken_away_is_timed_too() -> None:
    normal = with_thing(wall())
    seconds = seconds_of([normal] * 8 + [wall()] * 20, normal)
    assert not seconds[:8].any() and not elsewhere(seconds).any()
    np.testing.assert_allclose(seconds[(-1, *INSIDE)], 10.0)


def test_what_comes_back_to_normal_is_no_change_any_more() -> None:
    seconds = seconds_of([wall()] * 4 + [with_thing(wall())] * 20 + [wall()] * 6)
    assert seconds[23].max() == 10.0 and not seconds[24:].any()


def test_what_was_there_when_the_recording_begins_is_its_own() -> None:
    assert not seconds_of([with_thing(wall())] * 30).any()


def test_what_passes_does_not_stay() -> None:
    way = [np.s_[30:36, 8 * k : 8 * k + 6] for k in range(11)]
    seconds = seconds_of([with_thing(wall(), at) for at in way])
    assert 0 < seconds.max() <= 2 * INTERVAL


def test_no_more_than_a_minute_is_counted_and_then_it_becomes_the_recording_s_own() -> None:
    seconds = seconds_of([wall()] + [with_thing(wall())] * 600)
    assert seconds.max() == MAX_SECONDS
    assert not seconds[-1].any()


# --- Light and the camera


def lit(gains: Sequence[float]) -> list[np.ndarray]:
    return [wall() * gain for gain in gains]


@pytest.mark.parametrize(
    "gains",
    [np.linspace(1, 0.8, 60), [1.0] * 10 + [0.8] * 20, [1.0] * 10 + [1.2] * 20, [0.8] * 30],
    ids=["slowly", "suddenly darker", "suddenly brighter", "from the beginning"],
)
def test_light_is_no_change(gains: Sequence[float]) -> None:
    assert wall().max() * 1.2 < 255  # nothing of it is cut off
    assert seconds_of(lit(gains)).max() < STAYING


def test_a_shade_of_grey_added_everywhere_is_no_change() -> None:
    assert not seconds_of([wall()] * 5 + [wall() - 30] * 20).any()


def test_a_thing_is_seen_while_the_light_fades() -> None:
    fading = lit(np.linspace(1, 0.8, 60).tolist())
    seconds = seconds_of(fading[:30] + [with_thing(picture) for picture in fading[30:]])
    assert seconds[(-1, *INSIDE)].min() >= 10.0
    assert elsewhere(seconds).max() < STAYING


def test_a_camera_that_is_moved_begins_anew() -> None:
    large = texture(4, (120, 180)).astype(np.float32)
    here, there = large[30:90, 40:130], large[33:93, 45:135]
    seconds = seconds_of([here] * 8 + [there] * 30, here)
    assert seconds.max() < STAYING


def test_a_camera_that_trembles_by_half_a_point_shows_no_change() -> None:
    between = (wall() + np.roll(wall(), 1, 1)) / 2
    assert seconds_of([wall(), wall(), between] * 10).max() < STAYING


def test_where_all_of_the_picture_changes_it_begins_anew() -> None:
    seconds = seconds_of([wall()] * 5 + [255 - wall()] * 20)
    assert seconds.max() <= STAYING and not seconds[-10:].any()


# --- What is normal


def readings(pictures: Sequence[np.ndarray]) -> Readings:
    shown = noisy(pictures)
    return Readings(lambda: iter(shown), len(shown), INTERVAL)


def test_a_background_learns_how_long_people_wait_and_where() -> None:
    background = Background(SHAPE)
    waiting = [wall()] * 200 + [with_thing(wall())] * 12 + [wall()] * 20
    background.learn(wall(), [readings(waiting)])
    assert (background.readings, background.seconds, background.known) == (232, 116.0, True)
    np.testing.assert_allclose(background.longest[INSIDE], 6.0)
    assert not elsewhere(background.longest[None]).any()
    normal = background.normal()
    assert normal[33, 43] == pytest.approx(6 + ANYWHERE, abs=0.5)
    assert normal[5, 5] == ANYWHERE
    # the noise, and what came for six of 116 seconds
    assert background.spread[5, 5] == pytest.approx(1.5**2, rel=0.5)
    assert background.spread[33, 43] > 100


def test_short_stretches_tell_nothing() -> None:
    background = Background(SHAPE)
    background.learn(wall(), [readings([wall()] * 5)] * 30)
    assert (background.readings, background.seconds, background.known) == (0, 0.0, False)
    background.learn(wall(), [readings([wall()] * 6)] * 9)
    assert background.seconds == 27 < MIN_SECONDS and not background.known


def test_backgrounds_are_added_up() -> None:
    early, late, whole = Background(SHAPE), Background(SHAPE), Background(SHAPE)
    first, second = readings([wall()] * 40), readings([wall()] * 9 + [with_thing(wall())] * 30)
    early.learn(wall(), [first])
    late.learn(wall(), [second])
    early.merge(late)
    whole.learn(wall(), [first, second])
    assert (early.readings, early.seconds) == (whole.readings, whole.seconds) == (79, 39.5)
    np.testing.assert_allclose(early.spread, whole.spread)
    np.testing.assert_array_equal(early.longest, late.longest)
    with pytest.raises(SizeError):
        early.merge(Background((4, 6)))


# --- A recording, frame by frame


@pytest.mark.parametrize(
    ("fps", "every"), [(25, 13), (10, 5), (30, 15), (29.97, 15), (2, 1), (1, 1), (0.1, 1)]
)
def test_at_most_two_frames_a_second_are_looked_at(fps: float, every: int) -> None:
    assert readings_every(fps) == every


def known(normal: Sequence[np.ndarray]) -> Background:
    background = Background(SHAPE)
    background.learn(wall(), [readings(normal)])
    return background


@pytest.mark.parametrize("fps", [10.0, 25.0])
def test_a_reader_divides_by_what_is_normal_cell_by_cell(fps: float) -> None:
    reader = StaticReader(wall(), known([wall()] * 80), fps, 2)
    frames: list[int] = []

    def small(frame: int) -> np.ndarray:
        frames.append(frame)
        return noisy([with_thing(wall()) if frame >= 4 * fps else wall()])[0]

    quotients = []
    for frame in range(round(12 * fps)):
        quotients.append(reader.read(lambda frame=frame: small(frame)))
    assert frames == list(range(0, len(quotients), reader.every))
    assert quotients[-1].shape == (30, 45)
    np.testing.assert_array_equal(quotients[reader.every], quotients[2 * reader.every - 1])
    seconds = len([frame for frame in frames if frame >= 4 * fps]) * reader.every / fps
    assert quotients[-1].max() == pytest.approx(seconds / ANYWHERE)
    assert np.unravel_index(quotients[-1].argmax(), (30, 45)) in [
        (row, column) for row in range(14, 19) for column in range(19, 24)
    ]


def test_where_people_wait_the_same_is_worth_less() -> None:
    abandoned = [wall()] * 4 + [with_thing(wall())] * 20
    waiting = [wall()] * 300 + [with_thing(wall())] * 16 + [wall()] * 10

    def highest(background: Background) -> float:
        reader = StaticReader(wall(), background, 2.0, 2)
        return float(
            max(reader.read(lambda picture=picture: picture).max() for picture in noisy(abandoned))
        )

    assert highest(known([wall()] * 80)) == pytest.approx(10.0)
    assert 0 < highest(known(waiting)) < 2.5

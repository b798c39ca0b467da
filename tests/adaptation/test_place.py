"""A camera's place model from its footage, and scores that it did not see."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mpn
from mpn.adaptation.place import (
    PIECES,
    Stretch,
    learn_place,
    learn_places,
    motion_columns,
    pieces_of,
    windows_as_stretches,
    with_motion,
)
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import DataError
from mpn.model.checkpoint import Checkpoint
from mpn.model.network import Network
from mpn.motion.place import frame_number
from mpn.scoring.parts import MIN_QUOTIENT, MOTION_PARTS
from mpn.scoring.scores import ScoreConfig
from tests.helpers.motion_parts import counted
from tests.helpers.moving import GRID, RATIO, cells, moving_clip, place_of
from tests.helpers.small_model import footage, write_footage

WINDOW = 4
SPEED, DIRECTION = "speed", "direction"


def steady(count: int, speed: float = 1.0, name: str = "walk", scene: str = "yard") -> Clip:
    """A clip in which everything goes to the right at one speed; its first frame has no motion."""
    return moving_clip([cells(0), *[cells(speed)] * (count - 1)], name, scene)


def whole(*clips: Clip) -> list[Stretch]:
    return [Stretch(number, 0, len(clip.frames)) for number, clip in enumerate(clips)]


def network_columns(*clips: Clip) -> list[dict[str, np.ndarray]]:
    """What a network gave: the number of the frame."""
    return [{"error": np.arange(len(clip.frames), dtype=np.float32)} for clip in clips]


# --- Learning


def test_a_clip_s_first_frame_is_left_out() -> None:
    clip = steady(12)
    place = learn_place([clip], whole(clip))
    assert (place.frames, place.pictures) == (11, 12)
    assert not place.counts[..., 0, 0].any()  # the frame without motion


def test_stretches_count_their_frames_alone() -> None:
    speeds = 2.0 ** (np.arange(30) / 6)
    clips = [moving_clip([cells(speed) for speed in speeds]), steady(20, 3)]
    place = learn_place(clips, [Stretch(0, 0, 5), Stretch(0, 9, 12), Stretch(1, 4, 8)])
    picked = [*speeds[1:5], *speeds[9:12], 3, 3, 3, 3]
    expected = place_of([cells(speed) for speed in picked])
    assert place.frames == 11
    np.testing.assert_array_equal(place.counts, expected.counts)
    # Frame k of a clip is k all over.
    shown = [0, 1, 2, 3, 4, 9, 10, 11, 4, 5, 6, 7]
    assert place.pictures == 12
    np.testing.assert_allclose(place.picture, np.mean(shown))


def test_nothing_learned_is_no_fault() -> None:
    assert learn_place([steady(9)], []).frames == 0
    assert learn_place([steady(9)], [Stretch(0, 0, 1)]).frames == 0


@pytest.mark.parametrize(
    "clips",
    [
        [],
        [replace(steady(9), motion=None)],
        [steady(9), replace(steady(9), motion=None)],
        [steady(9), moving_clip([cells(1, grid=(12, 8))] * 9)],
    ],
)
def test_clips_of_different_shapes_or_without_motion_are_refused(clips: list[Clip]) -> None:
    with pytest.raises(DataError, match=f"one shape, with their motion; {len(clips)} clips"):
        learn_place(clips, [])


def test_every_scene_has_its_place() -> None:
    hall = moving_clip([cells(1, grid=(12, 8))] * 7, scene="hall")
    mixed = [steady(5, scene="gate"), moving_clip([cells(1, grid=(12, 8))] * 7, scene="gate")]
    unread = replace(steady(5, scene="roof"), motion=None)
    clips = [steady(9), hall, *mixed, unread, steady(6, 2.0)]
    places = learn_places(clips)
    assert list(places) == ["yard", "hall"]
    assert [place.frames for place in places.values()] == [8 + 5, 6]
    expected = learn_place([clips[0], clips[-1]], whole(clips[0], clips[-1]))
    np.testing.assert_array_equal(places["yard"].counts, expected.counts)
    assert learn_places([]) == {}


def test_windows_show_their_inputs_and_their_target() -> None:
    assert windows_as_stretches([(0, 4), (2, 11)], WINDOW) == [Stretch(0, 0, 5), Stretch(2, 7, 12)]
    assert windows_as_stretches([], WINDOW) == []


# --- Numbers of motion


def test_columns_by_hand() -> None:
    clip = moving_clip([cells(speed) for speed in (0, 2, 4, 4, 0, 0)])
    place = place_of([cells(1.5, 4)] * 50)
    normal = place.normal[0][0, 0]
    columns = motion_columns(clip, place)
    assert tuple(columns) == MOTION_PARTS == (SPEED, DIRECTION)
    lasting = (0, 0, 2, 4, 0, 0)  # the slower of two frames
    expected = [counted(max(speed / normal, MIN_QUOTIENT)) for speed in lasting]
    np.testing.assert_allclose(columns[SPEED], np.log(expected), atol=2e-3)
    # That way nothing went, so that a quarter of the speed is normal there.
    expected = [counted(max(4 * speed / normal, MIN_QUOTIENT)) for speed in lasting]
    np.testing.assert_allclose(columns[DIRECTION], np.log(expected), atol=2e-3)


def test_columns_of_a_stretch_are_those_of_the_clip() -> None:
    motion = [cells(speed) for speed in np.random.default_rng(0).lognormal(0, 1, 20)]
    clip, place = moving_clip(motion), place_of(motion[:8])
    every = motion_columns(clip, place)
    for start, stop in ((0, 20), (0, 3), (7, 20), (7, 8), (7, 7)):
        for name, values in motion_columns(clip, place, start, stop).items():
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, every[name][start:stop])
    assert len(motion_columns(clip, place, 5)[SPEED]) == 15


def test_a_clip_without_motion_has_no_columns() -> None:
    with pytest.raises(DataError, match="walk was read without its motion"):
        motion_columns(replace(steady(9), motion=None), place_of([cells(1)]))


# --- Footage judged by other footage


def test_held_out_stretches_are_judged_by_the_place_that_is_given() -> None:
    clips = [steady(30), steady(25, 3)]
    place = place_of([cells(1)] * 40)
    held_out = [Stretch(1, 2, 20), Stretch(0, 0, 9), Stretch(0, 11, 30)]
    judged = with_motion(
        network_columns(*clips), clips, held_out, pieces_of(clips, held_out, place), WINDOW
    )
    assert len(judged) == 3
    for (number, start, stop), columns in zip(held_out, judged):
        assert list(columns) == ["error", SPEED, DIRECTION]
        np.testing.assert_array_equal(columns["error"], np.arange(start + WINDOW, stop))
        expected = motion_columns(clips[number], place, start + WINDOW, stop)
        for name in MOTION_PARTS:
            np.testing.assert_array_equal(columns[name], expected[name])


def test_a_base_that_knew_other_places_is_judged_by_the_camera_s_alone() -> None:
    clip, place = steady(30), place_of([cells(1)] * 40)
    (parts,) = network_columns(clip)
    parts |= {name: np.full(30, 77, np.float32) for name in MOTION_PARTS}
    pieces = pieces_of([clip], whole(clip), place)
    (columns,) = with_motion([parts], [clip], whole(clip), pieces, WINDOW)
    assert columns[SPEED].max() < 1 and columns[DIRECTION].max() < 1


def crossed(clips: list[Clip], stretches: list[Stretch]) -> list[dict[str, np.ndarray]]:
    pieces = pieces_of(clips, stretches, None)
    return with_motion(network_columns(*clips), clips, stretches, pieces, WINDOW)


@pytest.mark.parametrize("piece", [1, 5, 10, 15])
def test_no_piece_is_judged_by_itself(piece: int) -> None:
    """All goes at 1, but for a twentieth of the frames, at 8: what all footage takes for normal."""
    start, stop = piece * 20, piece * 20 + 20
    motion = [cells(8 if start <= frame < stop else 1) for frame in range(20 * PIECES)]
    clip = moving_clip(motion)
    by_itself = motion_columns(clip, learn_place([clip], whole(clip)))[SPEED][start + 1 : stop]
    (columns,) = crossed([clip], whole(clip))
    assert columns[SPEED].shape == columns["error"].shape == (20 * PIECES - WINDOW,)
    assert np.isfinite(columns[SPEED]).all() and np.isfinite(columns[DIRECTION]).all()
    judged = columns[SPEED][start + 1 - WINDOW : stop - WINDOW]
    # The others' speed is 1 and their floor too.
    least, most = counted(8 / 2 / RATIO), counted(8 / 2 * RATIO)
    assert least < np.exp(judged.min()) and np.exp(judged.max()) < most
    assert by_itself.max() < 0 < math.log(counted(3)) < judged.min()


def test_pieces_elsewhere_are_judged_by_the_unusual_one_too() -> None:
    motion = [cells(8 if 100 <= frame < 120 else 1) for frame in range(20 * PIECES)]
    (columns,) = crossed([moving_clip(motion)], [Stretch(0, 0, 20 * PIECES)])
    # Pieces 1, 5, 9 and 13 are one fold: they are judged without piece 5, the others with it.
    numbers = np.exp(columns[SPEED])
    assert numbers[180 : 200 - WINDOW] == pytest.approx(1 / 2, rel=RATIO - 1)
    assert numbers[200 : 260 - WINDOW].max() < 0.3
    assert numbers[260 : 280 - WINDOW] == pytest.approx(1 / 2, rel=RATIO - 1)


def test_of_long_footage_less_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    motion = [cells(8 if 100 <= frame < 120 else 1) for frame in range(20 * PIECES)]
    monkeypatch.setattr("mpn.adaptation.place.MANY_FRAMES", len(motion))
    (columns,) = crossed([moving_clip(motion)], [Stretch(0, 0, 20 * PIECES)])
    # Piece 5 alone is judged without itself: piece 9, as above all others, with it.
    numbers = np.exp(columns[SPEED])
    assert numbers[100 : 120 - WINDOW].min() > 1
    assert numbers[180 : 200 - WINDOW].max() < 0.3


def test_clips_and_stretches_of_any_length_are_judged_whole() -> None:
    clips = [steady(33), steady(7, 2), steady(101, 0.5)]
    stretches = [Stretch(0, 3, 33), Stretch(1, 0, 7), Stretch(2, 1, 50), Stretch(2, 61, 101)]
    judged = crossed(clips, stretches)
    assert [len(parts["error"]) for parts in judged] == [26, 3, 45, 36]
    for (_, start, stop), columns in zip(stretches, judged):
        np.testing.assert_array_equal(columns["error"], np.arange(start + WINDOW, stop))
        for name in MOTION_PARTS:
            assert columns[name].shape == columns["error"].shape
            assert np.isfinite(columns[name]).all()


def test_footage_of_fewer_frames_than_pieces_is_judged() -> None:
    clip = steady(7)
    (columns,) = crossed([clip], whole(clip))
    assert columns[SPEED].shape == (3,) and np.isfinite(columns[SPEED]).all()


# --- The same numbers as scoring gives


def test_columns_of_a_clip_are_those_of_a_stream(tiny: Network, tmp_path: Path) -> None:
    folder = write_footage(tmp_path / "clip", footage(22, intruder=(6, 18)))
    size, grey = tiny.config.size, tiny.config.grey
    (clip,) = load_clips([Video("clip", folder, "s")], size, grey, motion=True)
    place = learn_place([clip], [Stretch(0, 0, 10)])
    weights = {"error": 1.0, SPEED: 1.0, DIRECTION: 1.0}
    detector = mpn.Detector(
        Checkpoint(tiny, places={"s": place}, score_config=ScoreConfig(weights=weights).to_dict()),
        precision="float32",
    )
    results = list(detector.score(folder))
    columns = motion_columns(clip, place)
    assert len(results) == len(columns[SPEED]) == 22
    for name in MOTION_PARTS:
        values = [result.parts[name] for result in results[WINDOW:]]
        np.testing.assert_allclose(values, columns[name][WINDOW:], atol=1e-5)
        assert np.ptp(values) > 0.5  # not all of them are the least
    assert clip.motion is not None
    last = place.quotients(clip.motion[11], clip.motion[12])[0]
    assert results[12].parts[SPEED] == pytest.approx(math.log(frame_number(last)), abs=1e-5)
    assert place.grid != GRID  # that of the footage as it was before it was fitted


def test_what_is_held_out_is_judged_as_what_comes_later_will_be() -> None:
    """Of 1,200 frames four are fast, one in a fold: to the model of all of them 1 in 1,000 may be
    faster than normal; to one of 900 it would be 1 in 200, and the fast ones dirt."""
    motion = [cells(3 if frame in (40, 110, 190, 260) else 1) for frame in range(1201)]
    clip = moving_clip(motion)
    held_out = [Stretch(0, 1, 1201)]
    later = motion_columns(moving_clip([cells(1)] * 50), learn_place([clip], held_out))[SPEED][2:]
    (columns,) = crossed([clip], held_out)
    assert np.median(columns[SPEED]) == pytest.approx(np.median(later), abs=math.log(RATIO))
    assert np.median(later) == pytest.approx(math.log(1 / (3 + 1)), abs=math.log(RATIO))

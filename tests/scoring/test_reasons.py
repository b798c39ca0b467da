"""Why a frame stands out: the kind by its parts, numbers in the source's pixels, and sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mpn.model.checkpoint import Checkpoint
from mpn.motion.place import PlaceModel
from mpn.scoring.detector import Detector
from mpn.scoring.facts import FACTS, Fast, FastThatWay, OtherLook, OtherPlace, OtherWay, Stays
from mpn.scoring.reasons import Evidence, Reason, SeenMotion, reason_of, sentence, short
from tests.helpers.moving import RATIO, cells, place_of
from tests.helpers.small_model import footage, still_network, write_footage

GRID = (30, 44)
SIZE = (480, 720)  # twice the flow's working size
BOX = (160, 320, 64, 64)  # rows 10-13, columns 19-23 of the grid
MOVES = {"error": 0.0, "pseudo": 0.0, "speed": 1.0, "direction": 0.0}
TURNS = {"error": 0.0, "pseudo": 0.0, "speed": 0.0, "direction": 1.0}
LOOKS = {"error": 0.8, "pseudo": 0.2, "speed": 0.0, "direction": 0.0}
DEVIATIONS = {"error": 7.04, "pseudo": 2.0, "speed": 0.0, "direction": 0.0}


def near(value: float) -> object:
    """Approximately, as far as bins of speeds tell."""
    return pytest.approx(value, rel=RATIO - 1)


def walkers(*ways: int, speed: float = 2.0) -> PlaceModel:
    """Make the place model of a picture in which all of it moves these ways in turn."""
    return place_of([cells(speed, way, GRID) for way in ways] * 50)


def why(
    place: PlaceModel | None,
    speed: float = 0.0,
    way: int = 0,
    shares: Mapping[str, float] = MOVES,
    fps: float | None = 10.0,
) -> Reason:
    """Find the reason of a frame in which a square of the box moves, and nothing else."""
    motion = None
    if place is not None:
        moving = np.zeros(GRID)
        moving[8:16, 17:26] = speed
        now = cells(moving, way, GRID)
        motion = SeenMotion(place.speeds(now), place, SIZE, fps)
    return reason_of(Evidence(shares, DEVIATIONS, BOX, motion))


def test_too_fast_for_the_place_in_pixels_of_the_source() -> None:
    reason = why(walkers(0), 5.0)
    (fact,) = reason.facts
    assert isinstance(fact, Fast) and reason.kind == fact.kind == "speed"
    assert fact.direction == "right" and fact.speed == pytest.approx(10.0, rel=1e-3)
    assert fact.usual_high == near(4.0)
    assert fact.speed_per_second == pytest.approx(100, rel=1e-3)
    assert fact.usual_high_per_second == pytest.approx(10 * fact.usual_high)
    assert reason.shares == MOVES


def test_without_a_frame_rate_there_is_no_speed_a_second() -> None:
    reason = why(walkers(0), 5.0, fps=None)
    (fact,) = reason.facts
    assert isinstance(fact, Fast)
    assert fact.speed_per_second is None and fact.usual_high_per_second is None
    assert "px/s" not in sentence(reason)


def test_against_the_usual_direction() -> None:
    reason = why(walkers(0), 2.0, 4, TURNS)
    (fact,) = reason.facts
    assert isinstance(fact, OtherWay) and (fact.direction, fact.usual_directions, fact.share) == (
        "left",
        ("right",),
        0.0,
    )
    both = why(walkers(0, 4), 2.0, 6, TURNS).facts[0]
    assert isinstance(both, OtherWay) and set(both.usual_directions) == {"right", "left"}


def test_fast_and_against_are_both_said_the_part_that_carries_more_first() -> None:
    assert [fact.kind for fact in why(walkers(0), 6.0, 4, TURNS).facts] == ["direction", "speed"]
    assert [fact.kind for fact in why(walkers(0), 6.0, 4, MOVES).facts] == ["speed", "direction"]


def test_fast_for_its_direction_though_not_for_the_place() -> None:
    place = place_of([cells(4.0, 0, GRID)] * 30 + [cells(1.0, 6, GRID)] * 60)
    reason = why(place, 3.0, 6, TURNS)
    (fact,) = reason.facts
    assert isinstance(fact, FastThatWay) and fact.direction == "up"
    assert fact.speed == pytest.approx(6, rel=1e-3) and fact.usual_high == near(2.0)


def test_where_hardly_anything_moves() -> None:
    place = place_of([cells(0, 0, GRID)] * 999 + [cells(1.0, 0, GRID)])
    (fact,) = why(place, 2.0).facts
    assert isinstance(fact, OtherPlace) and fact.share == pytest.approx(0.001)


def test_something_is_always_said_of_motion_that_carries_the_score() -> None:
    for speed, words in ((1.0, "nothing unusual by itself"), (2.05, "among the fastest")):
        (fact,) = why(walkers(0), speed).facts
        assert isinstance(fact, Fast) and fact.speed < 1.1 * fact.usual_high
        assert words in sentence(why(walkers(0), speed))


def test_the_network_s_parts_speak_where_they_carry_the_score() -> None:
    reason = why(walkers(0), 2.0, shares=LOOKS)
    assert reason.facts == (OtherLook("error", 7.04, True),)
    unseen = why(None, shares={"error": 0.3, "pseudo": 0.7})
    assert unseen.facts == (OtherLook("pseudo", 2.0, False),)
    nothing = why(walkers(0), shares=dict.fromkeys(MOVES, 0.0))
    assert nothing.kind == "appearance"
    # A model that asks no network, and a frame in which nothing is above normal.
    calm = why(walkers(0), 0.1, shares={"speed": 0.0, "direction": 0.0})
    assert calm.kind == "speed" and "nothing unusual by itself" in sentence(calm)


def test_a_model_that_knows_no_normal_frames_gives_no_deviations(tmp_path: Path) -> None:
    source = write_footage(tmp_path / "clip", footage(8))
    result = list(Detector(Checkpoint(still_network())).score(source))[-1]
    assert result.reason is not None and set(result.reason.shares) == {"error", "pseudo"}
    (fact,) = result.reason.facts
    assert isinstance(fact, OtherLook) and (fact.deviations, fact.motion_known) == (None, False)


def test_look_and_motion_are_both_said_where_both_stand_out() -> None:
    mixed = {"error": 0.3, "pseudo": 0.0, "speed": 0.7, "direction": 0.0}
    assert [fact.kind for fact in why(walkers(0), 6.0, 0, mixed).facts] == ["speed", "appearance"]
    assert [fact.kind for fact in why(walkers(0), 6.0, 0, LOOKS).facts] == ["appearance", "speed"]
    assert [fact.kind for fact in why(walkers(0), 2.0, 0, LOOKS).facts] == ["appearance"]


def test_the_cell_is_the_one_in_the_region_that_stands_out() -> None:
    place = walkers(0)
    speeds = np.full(GRID, 1.0)
    speeds[11:14, 20:23] = 9.0  # in the region
    speeds[25:, 35:] = 40.0  # elsewhere
    now = cells(speeds, 0, GRID)
    motion = SeenMotion(place.speeds(now), place, SIZE, None)
    (fact,) = reason_of(Evidence(MOVES, {}, BOX, motion)).facts
    assert isinstance(fact, Fast) and fact.speed == pytest.approx(18, rel=1e-3)


def test_a_region_at_the_picture_s_edge() -> None:
    place = walkers(0)
    now = cells(5.0, 0, GRID)
    motion = SeenMotion(place.speeds(now), place, SIZE, None)
    for box in ((0, 0, 1, 1), (479, 719, 1, 1), (440, 700, 40, 20)):
        assert reason_of(Evidence(MOVES, {}, box, motion)).kind == "speed"


FACTS_AND_WORDS = [
    (
        Stays(5.2),
        "the picture has changed here and stays so, longer than is usual (5.2 deviations above)",
        "a change that stays",
    ),
    (
        Fast("right", 9.14, 91.4, 3.21, 32.1),
        "moves right at 9.1 px a frame (91 px/s); here usually up to 3.2 (32 px/s)",
        "fast: 9.1 px a frame, usual 3.2",
    ),
    (
        Fast("right", 3.2, None, 3.5, None),
        "moves right at 3.2 px a frame; among the fastest: here usually up to 3.5",
        "fast: 3.2 px a frame, usual 3.5",
    ),
    (
        Fast("right", 3.0, None, 3.4, None),
        "moves right at 3.0 px a frame; nothing unusual by itself: here up to 3.4",
        "moves 3.0 px a frame, usual 3.4",
    ),
    (
        FastThatWay("up-left", 12.4, 1240.0, 0.96, 96.0),
        "moves up-left at 12 px a frame (1,240 px/s); here usually up to 1.0 (96 px/s) that way",
        "fast: 12 px a frame, usual 1.0",
    ),
    (
        OtherWay("left", 4.0, None, ("right",), 0.01),
        "moves left at 4.0 px a frame; here things move right",
        "moves left, usual right",
    ),
    (
        OtherWay("up", 4.0, None, ("right", "left"), 0.01),
        "moves up at 4.0 px a frame; here things move right and left",
        "moves up, usual right and left",
    ),
    (
        OtherWay("up", 4.0, None, (), 0.015),
        "moves up at 4.0 px a frame; here hardly anything moves that way (1.5 %)",
        "moves up, usual other ways",
    ),
    (
        OtherPlace("down", 2.0, None, 0.001),
        "moves down at 2.0 px a frame; here hardly anything moves (in 0.1 % of the frames)",
        "moves where hardly anything does",
    ),
    (
        OtherPlace("down", 2.0, None, 0.0),
        "moves down at 2.0 px a frame; here nothing moves",
        "moves where hardly anything does",
    ),
    (
        OtherPlace("up", 2.0, None, 0.0004),
        "moves up at 2.0 px a frame; here hardly anything moves (in less than 0.1 % of the frames)",
        "moves where hardly anything does",
    ),
    (
        OtherWay("up", 4.0, None, (), 0.0),
        "moves up at 4.0 px a frame; here nothing moves that way",
        "moves up, usual other ways",
    ),
    (
        OtherLook("error", 7.04, True),
        "looks unlike what is expected here (absolute error 7.0 deviations above normal)",
        "unlike what is expected here",
    ),
    (
        OtherLook("pseudo", None, False),
        "looks or moves unlike what is expected here",
        "unlike what is expected here",
    ),
]


@pytest.mark.parametrize(("fact", "words", "few"), FACTS_AND_WORDS)
def test_words_of_each_kind(fact, words: str, few: str) -> None:
    reason = Reason((fact,), {})
    assert (sentence(reason), short(reason)) == (words, few)
    assert few.isascii()


def test_every_kind_has_words_here() -> None:
    assert {fact.kind for fact, _, _ in FACTS_AND_WORDS} == set(FACTS)


def test_what_stays_is_said_where_it_carries_the_score() -> None:
    still = why(walkers(0), 2.0, shares={"error": 0.2, "stays": 0.8})
    assert [fact.kind for fact in still.facts] == ["stays", "appearance"]
    beside = why(walkers(0), 2.0, shares={"error": 0.8, "stays": 0.2})
    assert [fact.kind for fact in beside.facts] == ["appearance", "stays"]
    alone = why(walkers(0), 2.0, shares={"error": 0.0, "stays": 1.0})
    assert [fact.kind for fact in alone.facts] == ["stays"]  # it looks as ever
    hardly = why(walkers(0), 2.0, shares={"error": 0.95, "stays": 0.05})
    assert [fact.kind for fact in hardly.facts] == ["appearance"]


def test_a_sentence_of_several_facts_names_the_motion_once() -> None:
    against, fast = OtherWay("left", 6.0, None, ("right",), 0.0), Fast("left", 6.0, None, 3.0, None)
    look = OtherLook("pseudo", None, True)
    moves = "moves left at 6.0 px a frame; here "
    expected = {
        (against, fast): f"{moves}things move right, usually up to 3.0",
        (fast, against): f"{moves}usually up to 3.0, things move right",
        (fast, look): f"{moves}usually up to 3.0; looks unlike what is expected here",
        (look, against): f"looks unlike what is expected here; {moves}things move right",
    }
    for facts, words in expected.items():
        assert sentence(Reason(facts, {})) == words


@pytest.mark.parametrize("fact", [fact for fact, _, _ in FACTS_AND_WORDS])
def test_through_json_and_back(fact) -> None:
    reason = Reason((fact, OtherLook("error", 1.0, True)), {"error": 0.25, "speed": 0.75})
    values = json.loads(json.dumps(reason.to_dict()))
    assert (values["kind"], values["sentence"]) == (fact.kind, sentence(reason))
    assert Reason.from_dict(values | {"further": 1}) == reason
    values["facts"][0]["further"] = 1
    assert Reason.from_dict(values) == reason


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError, match="flies"):
        Reason.from_dict({"facts": [{"kind": "flies"}], "shares": {}})

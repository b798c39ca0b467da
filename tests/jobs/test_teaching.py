"""A camera is taught by events of its day: what goes quiet, what does not, and what has a name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mpn
from mpn.errors import DataError, MpnError
from mpn.jobs import ScoreJob
from mpn.jobs.examples import listed_event
from mpn.model.camera_checkpoint import CAMERA_BYTES
from mpn.model.checkpoint import load_checkpoint
from mpn.model.taught import MAX_EXAMPLES
from tests.helpers.scoring_jobs import stopping
from tests.helpers.taught_cameras import (
    BALLS,
    BAR,
    OPTIONS,
    at,
    overlaps,
    score_day,
)

BALL_1, BALL_2, BAR_1 = 1, 2, 3  # numbers of the day's events


class Day:
    """A camera, its day, and the results of scoring that before anything was taught."""

    def __init__(self, folder: Path) -> None:
        self.camera, self.day = folder / "hall.camera.safetensors", folder / "day"
        self.results = folder / "out"
        self.events = json.loads((self.results / "events.json").read_text())["events"]
        self.table = (self.results / "scores.csv").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def quick(known_flow: None, small_pictures: None) -> None:
    """What is taught is told by its motion: here the flow is the product's."""


@pytest.fixture(scope="module")
def before(hall: Path) -> Day:
    """Not to be changed."""
    return Day(hall)


@pytest.fixture
def camera(before: Day, tmp_path: Path) -> Path:
    """The camera file, to be taught."""
    shutil.copy(before.camera.parent / "base.safetensors", tmp_path)
    return Path(shutil.copy(before.camera, tmp_path))


def test_the_day_has_two_balls_and_a_bar(before: Day):
    assert len(before.events) == 3
    assert all(map(overlaps, before.events, (*BALLS, BAR)))
    assert [event["like"] for event in before.events] == [None] * 3


def test_what_is_normal_goes_quiet_and_nothing_else_until_it_is_forgotten(
    before: Day, camera: Path, tmp_path: Path
):
    (taught,) = mpn.teach(camera, before.results / "events.json", BALL_1)
    assert (taught.name, taught.source) == (None, "day")
    assert taught.frame == before.events[0]["peak_frame"]
    assert 1 <= len(taught.embeddings) <= MAX_EXAMPLES
    assert camera.stat().st_size < CAMERA_BYTES

    again = score_day(camera, before.day, tmp_path / "out")
    assert len(again) == 1  # the other ball is quiet too
    assert at(again[0])[:3].tolist() == at(before.events[2])[:3].tolist()
    assert at(again[0])[3] == pytest.approx(at(before.events[2])[3], rel=0.01)

    assert mpn.forget(camera, "normal")[0].frame == taught.frame
    assert score_day(camera, before.day, tmp_path / "out") == before.events
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before.table
    assert load_checkpoint(camera.with_name("hall.v2.camera.safetensors")).taught  # a version


def test_names_come_back_with_a_distance(before: Day, camera: Path, tmp_path: Path):
    mpn.teach(camera, before.results, [BALL_1], name="ball")
    events = score_day(camera, before.day, tmp_path / "out")
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before.table  # scores stay
    likes = [event["like"] for event in events]
    assert likes[0]["name"] == "ball" and likes[0]["distance"] < 0.01  # but for float16
    assert likes[1] is not None and likes[1]["name"] == "ball"
    assert likes[2] is None  # a bar is no ball
    mpn.teach(camera, before.results, [BAR_1], name="bar")
    again = score_day(camera, before.day, tmp_path / "out")
    assert [event["like"]["name"] for event in again] == ["ball", "ball", "bar"]


def test_an_event_that_is_taught_again_is_taught_anew(before: Day, camera: Path):
    mpn.teach(camera, before.results, BALL_1)
    mpn.teach(camera, before.results, BALL_1, name="ball")
    assert [example.name for example in load_checkpoint(camera).taught] == ["ball"]


def test_what_was_quieted_can_be_taught(before: Day, camera: Path):
    (first,) = mpn.teach(camera, before.results, BALL_1)
    (second,) = mpn.teach(camera, before.results, BALL_1)
    assert first.embeddings == pytest.approx(second.embeddings)


def test_names_travel_and_normals_if_asked(before: Day, camera: Path, tmp_path: Path):
    copy = Path(shutil.copy(camera, tmp_path / "yard.camera.safetensors"))
    mpn.teach(camera, before.results, BALL_1)
    mpn.teach(camera, before.results, BAR_1, name="bar")
    with pytest.raises(MpnError, match="yard.camera.safetensors was not taught any name"):
        mpn.teach_from(camera, copy)
    assert [example.name for example in mpn.teach_from(copy, camera)] == ["bar"]
    assert [example.name for example in mpn.teach_from(copy, camera, normal=True)] == [None]
    assert {example.name for example in load_checkpoint(copy).taught} == {None, "bar"}


def test_stopped_and_gone_on_with_it_ends_as_one_left_alone(
    before: Day, camera: Path, tmp_path: Path
):
    mpn.teach(camera, before.results, BALL_1)
    mpn.teach(camera, before.results, BAR_1, name="bar")
    detector = mpn.load(camera, precision="float32")
    whole = ScoreJob(detector, before.day, tmp_path / "whole", OPTIONS).run()
    for stop in (BALLS[0][0] + 5, BAR[0] + 7):
        with pytest.raises(KeyboardInterrupt):
            ScoreJob(stopping(detector, stop), before.day, tmp_path / "again", OPTIONS).run()
    again = ScoreJob(detector, before.day, tmp_path / "again", OPTIONS).run()
    assert again.done_before and again.summary == whole.summary
    for name in ("scores.csv", "day_regions.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_results_of_before_it_was_taught_are_not_gone_on_with(
    before: Day, camera: Path, tmp_path: Path
):
    shutil.copytree(before.results, tmp_path / "out")
    mpn.teach(camera, before.results, BAR_1)
    job = ScoreJob(mpn.load(camera, precision="float32"), before.day, tmp_path / "out", OPTIONS)
    assert job.state.count == 0


@pytest.mark.parametrize("number", [0, -1, 4, 99])
def test_a_number_that_does_not_exist(before: Day, camera: Path, number: int):
    with pytest.raises(DataError, match=rf"no event #{number}, it has 3 events, #1 to #3"):
        mpn.teach(camera, before.results, number)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"events": 3, "fps": 10}', "[1"])
def test_what_is_no_events_file(before: Day, tmp_path: Path, text: str):
    shutil.copytree(before.results, tmp_path / "out")
    (tmp_path / "out" / "events.json").write_text(text)
    with pytest.raises(DataError, match=r"events.json is no events.json as mpn score writes it"):
        listed_event(tmp_path / "out", 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("events.json", "out: has no events.json; the folder that mpn score wrote"),
        ("state.json", "state.json is not there: give the events.json in the folder"),
        ("scores.csv", "scores.csv is not there: give the events.json in the folder"),
    ],
)
def test_a_file_of_the_results_is_missing(before: Day, tmp_path: Path, name: str, said: str):
    shutil.copytree(before.results, tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(DataError, match=said):
        listed_event(tmp_path / "out" / "events.json", 1)


def test_the_recording_is_gone_or_has_changed(before: Day, tmp_path: Path):
    shutil.copytree(before.results, tmp_path / "out")
    day = Path(shutil.copytree(before.day, tmp_path / "day"))
    state = json.loads((tmp_path / "out" / "state.json").read_text())
    state["identity"]["source"] = str(day)
    (tmp_path / "out" / "state.json").write_text(json.dumps(state))
    listed_event(tmp_path / "out", 1)
    (day / "003.png").write_bytes((day / "004.png").read_bytes())
    with pytest.raises(DataError, match="day has changed since it was scored; score it again"):
        listed_event(tmp_path / "out", 1)
    shutil.rmtree(day)
    with pytest.raises(DataError, match="day is gone; put it back"):
        listed_event(tmp_path / "out", 1)


def test_only_a_camera_file_is_taught(before: Day):
    with pytest.raises(MpnError, match="is no camera file, .* mpn adapt NORMAL_FOOTAGE"):
        mpn.teach(before.camera.parent / "base.safetensors", before.results, 1)


def test_a_name_that_cannot_be_one(before: Day, camera: Path):
    with pytest.raises(MpnError, match="no name: numbers and"):
        mpn.teach(camera, before.results, 1, name="12")


@pytest.mark.parametrize("what", ["bar", "normal", 1, 0])
def test_forgetting_what_was_not_taught(camera: Path, what: str | int):
    with pytest.raises(MpnError, match=f"was not taught {what!r}: it knows nothing"):
        mpn.forget(camera, what)


def test_forgetting_something_else_than_was_taught(before: Day, camera: Path):
    mpn.teach(camera, before.results, 1, name="barrow")
    with pytest.raises(MpnError, match=r"it knows barrow, in 1 event \(mpn teach CAMERA --list\)"):
        mpn.forget(camera, "cart")


ONE = r"events.json: its event #1 cannot be read \(.*"
FILE = r"events.json is no events.json as mpn score writes it \("


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("region", [10, 10, 0, 0], f"{ONE}is not in the picture"),
        ("region", [0, 0, 10**9, 10**9], f"{ONE}is not in the picture"),
        ("region", [-50, -50, 20, 20], f"{ONE}is not in the picture"),
        ("region", [1, 2, 3], f"{FILE}ValueError: not enough values to unpack"),
        ("region", [float("nan"), 0, 5, 5], f"{ONE}whole numbers"),
        ("peak_frame", "x", f"{FILE}TypeError: an event's numbers are none"),
        ("peak_frame", 0.5, f"{ONE}whole numbers"),
        ("end_seconds", float("inf"), f"{FILE}ValueError: an event's times and score are finite"),
        ("peak_frame", 10_000, f"{ONE}is none of its frames"),
        ("start", -1, f"{ONE}is none of its frames"),
    ],
)
def test_an_event_that_cannot_be(before: Day, tmp_path: Path, key: str, value, why: str):
    shutil.copytree(before.results, tmp_path / "out")
    path = tmp_path / "out" / "events.json"
    summary = json.loads(path.read_text())
    summary["events"][0][key] = value
    path.write_text(json.dumps(summary))
    with pytest.raises(DataError, match=why):
        listed_event(path, 1)


def test_too_much_is_said_before_it_is_read(before: Day, camera: Path, monkeypatch):
    monkeypatch.setattr("mpn.adaptation.camera_file.MAX_TAUGHT", 1)
    monkeypatch.setattr("mpn.api.examples_of", None)  # would be called
    with pytest.raises(MpnError, match="2 events were taught, a camera keeps 1: make it forget"):
        mpn.teach(camera, before.results, [BALL_1, BAR_1, BALL_1])

"""Scoring jobs: stopped at any moment and started again they end as one left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpn.api import load
from mpn.errors import DataError, MpnError
from mpn.jobs import JobOptions, Outcome, ScoreJob, belongs_to
from mpn.scoring.detector import Detector
from mpn.scoring.heat_file import read_heat
from mpn.scoring.region_table import read_regions
from mpn.scoring.scores import ScoreConfig
from tests.helpers.small_model import footage, write_film, write_footage, write_model

OPTIONS = JobOptions(threshold=100.0, fps=10.0)
GROWING = ("scores.csv", "clip_regions.csv", "heat.bin")  # of a job with a report


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("model") / "still.safetensors", normal=True, pseudo_head=False
    )


@pytest.fixture
def detector(model) -> Detector:
    return load(model, precision="float32")


@pytest.fixture
def sharp(model) -> Detector:
    """Without smoothing: an intruder's frames, and the one in which it is gone, are above the
    threshold, no others."""
    return load(model, precision="float32", score_config=ScoreConfig(smoothing=1.0))


@pytest.fixture
def clip(tmp_path) -> Path:
    """90 frames, an intruder in 20-31 and 50-61."""
    frames = footage(90, intruder=(20, 32))
    frames[50:62] = footage(62, intruder=(50, 62))[50:62]
    return write_footage(tmp_path / "clip", frames)


def stopping(
    detector: Detector, at: int, error: type[BaseException] = KeyboardInterrupt
) -> Detector:
    """The detector, but for an end after `at` results."""
    score = detector.score

    def stopped(*args, **options):
        for number, result in enumerate(score(*args, **options), options.get("first", 0)):
            if number == at:
                raise error
            yield result

    other = load_again(detector)
    other.score = stopped
    return other


def score_source(*arguments) -> Outcome:
    """A job's run."""
    return ScoreJob(*arguments).run()


def load_again(detector: Detector) -> Detector:
    return detector.sibling(detector.checkpoint)


def summary(folder: Path) -> dict:
    return json.loads((folder / "events.json").read_text())


@pytest.mark.parametrize("stops", [[1], [3], [4], [5], [30], [55], [88], [10, 23, 52, 60, 61]])
def test_stopped_and_gone_on_with_it_ends_as_one_left_alone(detector, clip, tmp_path, stops):
    options = replace(OPTIONS, report=True)
    whole = score_source(detector, clip, tmp_path / "whole", options)
    for at in stops:
        with pytest.raises(KeyboardInterrupt):
            score_source(stopping(detector, at), clip, tmp_path / "again", options)
        table = (tmp_path / "again" / "scores.csv").read_text().splitlines()
        assert len(table) == at + 1  # what was scored is there, heading included
        assert summary(tmp_path / "again")["complete"] is False
    again = score_source(detector, clip, tmp_path / "again", options)
    for name in GROWING:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert again.summary == whole.summary and again.highest == whole.highest
    assert summary(tmp_path / "again") == whole.summary and len(whole.summary["events"]) == 2


def test_events_are_where_the_intruder_is(sharp, clip, tmp_path):
    found = score_source(sharp, clip, tmp_path / "out", OPTIONS).summary["events"]
    assert [(event["start"], event["end"]) for event in found] == [(20, 33), (50, 63)]
    assert [(event["start_seconds"], event["end_seconds"]) for event in found] == [
        (2.0, 3.3),
        (5.0, 6.3),
    ]


def test_regions_are_where_the_intruder_is_and_its_events_name_their_tracks(sharp, clip, tmp_path):
    found = score_source(sharp, clip, tmp_path / "out", OPTIONS).summary
    rows = read_regions(tmp_path / "out" / found["regions"])
    assert sorted({row.frame for row in rows}) == [*range(20, 33), *range(50, 63)]
    for row in rows:
        top, left, height, width = row.box
        assert (
            row.score > 100
            and 0 <= top < 48 < top + height + 16
            and top + height <= 64
            and left + width <= 96
        )
        assert left < 80 and left + width > 56  # where it was or where it is now
    for event in found["events"]:
        own = [row for row in rows if event["start"] <= row.frame < event["end"]]
        assert [track["track"] for track in event["tracks"]] == sorted({row.track for row in own})
        for track in event["tracks"]:
            seen = [row for row in own if row.track == track["track"]]
            highest = max(seen, key=lambda row: row.score)
            assert (track["first"], track["last"]) == (seen[0].frame, seen[-1].frame)
            assert (
                track["peak_score"] == pytest.approx(highest.score, rel=1e-5)
                and tuple(track["box"]) == highest.box
            )
    first, second = ({track["track"] for track in event["tracks"]} for event in found["events"])
    assert first and second and not first & second  # more than half a second apart


def test_the_place_of_an_alarm_is_named_even_where_no_place_alone_is_above(
    detector, clip, tmp_path
):
    # Smoothing keeps the score up when the intruder is gone.
    found = score_source(detector, clip, tmp_path / "out", OPTIONS).summary
    rows = read_regions(tmp_path / "out" / "clip_regions.csv")
    scores = np.genfromtxt(tmp_path / "out" / "scores.csv", delimiter=",", names=True)["score"]
    alarms = {int(frame) for frame in np.flatnonzero(scores > 100)}
    assert alarms <= {row.frame for row in rows}
    held = [row for row in rows if row.score <= 100]
    assert held and all(row.frame in alarms for row in held)
    assert len(held) == len({row.frame for row in held}) and found["events"]


def test_without_a_threshold_the_highest_places_of_each_frame(tmp_path, clip):
    path = write_model(tmp_path / "bare.safetensors", normal=False, pseudo_head=False)
    bare = load(path, precision="float32", score_config=ScoreConfig(patch=4))
    score_source(bare, clip, tmp_path / "out", replace(OPTIONS, threshold=None))
    rows = read_regions(tmp_path / "out" / "clip_regions.csv")
    frames = [row.frame for row in rows]
    assert set(frames) == set(range(4, 90)) and {frames.count(frame) for frame in frames} <= {
        1,
        2,
        3,
    }
    assert frames.count(10) == 3  # noise has many


def test_heat_maps_for_a_report(sharp, clip, tmp_path):
    found = score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, report=True)).summary
    assert found["heat"] == {"file": "heat.bin", "shape": [24, 36], "unit": 100.0}
    heat = read_heat(tmp_path / "out" / "heat.bin", found["heat"]["shape"])
    assert len(heat) == 90 and not heat[:4].any()
    # It is at pixels 32-47 down and 56-79 across of 64x96: rows 12-18 and columns 21-30.
    assert np.argwhere(heat[25] == 255).mean(axis=0) == pytest.approx((14.5, 25), abs=1.5)
    assert heat[25, :4, :12].max() < 128 and heat[45].max() < 128
    score_source(sharp, clip, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out" / "heat.bin").exists() and "heat" not in summary(tmp_path / "out")


@pytest.mark.parametrize("name", GROWING[1:])
def test_any_file_that_was_cut_or_lost_is_begun_anew(detector, clip, tmp_path, name):
    options = replace(OPTIONS, report=True)
    score_source(detector, clip, tmp_path / "out", options)
    path = tmp_path / "out" / name
    before = path.read_bytes()
    for damage in (lambda: path.write_bytes(before[:-1]), path.unlink):
        damage()
        assert score_source(detector, clip, tmp_path / "out", options).done_before == 0
        assert path.read_bytes() == before


def test_tracks_go_on_where_only_some_frames_are_scored(sharp, clip, tmp_path):
    score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, every=3, start=0.0))
    rows = read_regions(tmp_path / "out" / "clip_regions.csv")
    assert {row.frame for row in rows} <= set(range(0, 90, 3))
    first = [row.track for row in rows if row.frame < 40]
    assert len(first) >= 4 and max(first.count(track) for track in first) >= 4


def test_what_is_finished_is_not_scored_again(detector, clip, tmp_path):
    first = score_source(detector, clip, tmp_path / "out", OPTIONS)
    told: list[dict] = []
    second = score_source(
        stopping(detector, 0, AssertionError), clip, tmp_path / "out", OPTIONS, told.append
    )
    assert second.done_before == 90 and second.summary == first.summary == summary(tmp_path / "out")
    assert told == first.summary["events"] and second.highest == first.highest


def test_it_goes_on_from_a_whole_batch_and_decodes_no_score_twice(detector, clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score_source(stopping(detector, 31), clip, tmp_path / "out", OPTIONS)
    scored = []
    other = load_again(detector)
    other.score = lambda *args, **options: (
        scored.append(options["first"]) or detector.score(*args, **options)
    )
    outcome = score_source(other, clip, tmp_path / "out", OPTIONS)
    assert scored == [28] and outcome.done_before == 28  # 4 without a score, then batches of 4


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 50.0},
        {"fps": 20.0},
        {"every": 2},
        {"start": 1.0},
        {"end": 5.0},
        {"overlay": "events"},
        {"report": True},
    ],
)
def test_with_other_options_it_begins_anew(detector, clip, tmp_path, change):
    with pytest.raises(KeyboardInterrupt):
        score_source(stopping(detector, 40), clip, tmp_path / "out", OPTIONS)
    other = replace(OPTIONS, **change)
    outcome = score_source(detector, clip, tmp_path / "out", other)
    assert outcome.done_before == 0
    assert outcome.summary == score_source(detector, clip, tmp_path / "alone", other).summary


def test_with_another_model_or_another_file_it_begins_anew(detector, tmp_path):
    film = write_film(tmp_path / "day.avi", footage(30))
    options = replace(OPTIONS, fps=None)
    assert score_source(detector, film, tmp_path / "out", options).done_before == 0
    assert score_source(detector, film, tmp_path / "out", options).done_before == 30
    write_film(film, footage(40, intruder=(20, 30)))
    changed = score_source(detector, film, tmp_path / "out", options)
    assert changed.done_before == 0 and changed.summary["frames"] == 40
    model = load(
        write_model(tmp_path / "other.safetensors", channels=5, pseudo_head=False),
        precision="float32",
    )
    assert score_source(model, film, tmp_path / "out", options).done_before == 0


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"identity": 1}', '{"identity": {}, "state": {"count": "x"}}']
)
def test_a_broken_state_is_no_state(detector, clip, tmp_path, damage):
    whole = score_source(detector, clip, tmp_path / "out", OPTIONS).summary
    (tmp_path / "out" / "state.json").write_text(damage)
    outcome = score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert outcome.done_before == 0 and outcome.summary == whole


def test_a_job_of_an_earlier_version_is_gone_on_with(detector, clip, tmp_path):
    whole = score_source(detector, clip, tmp_path / "out", OPTIONS).summary
    path = tmp_path / "out" / "state.json"
    content = json.loads(path.read_text())
    # The names that weights had before.
    content["identity"]["recipe"] = {
        "patch": 16,
        "error_weight": 1.0,
        "pseudo_weight": 1.0,
        "smoothing": 0.3,
    }
    path.write_text(json.dumps(content))
    outcome = score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert outcome.done_before == whole["frames"] and outcome.summary == whole
    content["identity"]["recipe"]["pseudo_weight"] = 0.5
    path.write_text(json.dumps(content))
    assert score_source(detector, clip, tmp_path / "out", OPTIONS).done_before == 0


def test_a_table_that_was_cut_is_begun_anew(detector, clip, tmp_path):
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    table = tmp_path / "out" / "scores.csv"
    before = table.read_bytes()
    table.write_bytes(before[:200])
    assert score_source(detector, clip, tmp_path / "out", OPTIONS).done_before == 0
    assert table.read_bytes() == before


def test_only_a_stretch_and_only_every_third_frame(sharp, clip, tmp_path):
    outcome = score_source(
        sharp, clip, tmp_path / "out", replace(OPTIONS, start=1.0, end=8.0, every=3)
    )
    rows = (tmp_path / "out" / "scores.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(frame) for frame in range(10, 80, 3)]
    assert [row.split(",")[1] for row in rows] == [
        f"{frame / 10:.3f}" for frame in range(10, 80, 3)
    ]
    assert outcome.summary["fps"] == pytest.approx(10 / 3)
    # Seen in frames 22, 25, 28 and 31, gone in 34; and 52, 55, 58, 61, gone in 64. A frame stands
    # for three.
    spans = [
        (event["start"], event["end"], event["start_seconds"])
        for event in outcome.summary["events"]
    ]
    assert [start for start, _, _ in spans] == [22, 52] and [seconds for *_, seconds in spans] == [
        2.2,
        5.2,
    ]
    assert all(31 < end <= 37 or 61 < end <= 67 for _, end, _ in spans)


def test_a_model_without_normal_scores_says_how_to_get_a_threshold(tmp_path, clip):
    bare = load(
        write_model(tmp_path / "bare.safetensors", normal=False, pseudo_head=False),
        precision="float32",
    )
    outcome = score_source(bare, clip, tmp_path / "out", replace(OPTIONS, threshold=None))
    assert outcome.summary["threshold"] is None and outcome.summary["events"] == []
    assert any("mpn adapt" in note and "--threshold" in note for note in outcome.notes)


def test_a_camera_that_the_model_does_not_know_is_suspected(detector, tmp_path):
    frames = footage(100)
    frames[1::2] = 255 - frames[1::2]  # flickers all the time
    strange = write_footage(tmp_path / "strange", frames)
    asked = JobOptions(fps=10.0)
    with pytest.raises(KeyboardInterrupt):  # it counts on across a stop
        score_source(stopping(detector, 60), strange, tmp_path / "out", asked)
    outcome = score_source(detector, strange, tmp_path / "out", asked)
    assert any(
        "96% of the frames are above the threshold" in note and "mpn adapt" in note
        for note in outcome.notes
    )
    usual = score_source(
        detector, write_footage(tmp_path / "usual", footage(100)), tmp_path / "other", asked
    )
    assert usual.notes == []
    own = score_source(detector, strange, tmp_path / "own", replace(asked, threshold=0.5))
    assert not any("above the threshold" in note for note in own.notes)


def test_overlay_clips_of_events(sharp, clip, tmp_path):
    score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, overlay="events"))
    clips = sorted(path.name for path in (tmp_path / "out").glob("*.webm"))
    assert clips == ["event-001.webm", "event-002.webm"]
    lengths = [frames_of(tmp_path / "out" / name) for name in clips]
    # Frames 0-19 before it, 20-32, and a second after it in which it might have gone on; the second
    # has two seconds before it, of which the first clip has shown some.
    assert lengths[0] in range(42, 44) and lengths[1] in range(13 + 8, 13 + 20 + 11)


def test_an_overlay_of_everything_in_parts(detector, clip, tmp_path):
    options = replace(OPTIONS, overlay="all")
    with pytest.raises(KeyboardInterrupt):
        score_source(stopping(detector, 33), clip, tmp_path / "out", options)
    score_source(detector, clip, tmp_path / "out", options)
    lengths = [frames_of(tmp_path / "out" / name) for name in ("overlay.webm", "overlay-2.webm")]
    assert lengths == [33, 90 - 32]  # frame 32 was drawn, but its batch was not finished
    assert not list((tmp_path / "out").glob(".*"))


def test_one_threshold_later_old_overlays_are_gone(detector, clip, tmp_path):
    score_source(detector, clip, tmp_path / "out", replace(OPTIONS, overlay="events"))
    score_source(
        detector, clip, tmp_path / "out", replace(OPTIONS, overlay="events", threshold=1e9)
    )
    assert not list((tmp_path / "out").glob("*.webm"))


def test_a_folder_belongs_to_its_source(detector, clip, tmp_path):
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert belongs_to(tmp_path / "out", clip) and not belongs_to(
        tmp_path / "out", tmp_path / "other"
    )
    assert belongs_to(tmp_path / "new", clip)
    (tmp_path / "out" / "state.json").unlink()  # results of somebody else, then
    assert not belongs_to(tmp_path / "out", clip)


def test_a_strict_job_stops_and_a_lenient_one_goes_on(detector, clip, tmp_path):
    (clip / "040.png").write_bytes(b"")
    with pytest.raises(DataError, match="frame 40"):
        score_source(detector, clip, tmp_path / "strict", replace(OPTIONS, strict=True))
    outcome = score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert [bad["index"] for bad in outcome.summary["bad_frames"]] == [40] and outcome.summary[
        "frames"
    ] == 90


def test_a_folder_that_cannot_be_made(detector, clip, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(MpnError, match="give another --out"):
        score_source(detector, clip, tmp_path / "taken" / "x", OPTIONS)


def frames_of(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_by_a_signal_and_started_again(model, tmp_path, number):
    # Long enough to be caught in the midst of it; the frames are the same hundred again and again.
    frames = np.concatenate([footage(100, intruder=(40, 60))] * 6)
    film = write_film(tmp_path / "day.avi", frames)
    command = [
        sys.executable,
        "-m",
        "mpn",
        "score",
        str(film),
        "--checkpoint",
        str(model),
        "--threads",
        "1",
        "--precision",
        "float32",
        "--threshold",
        "100",
        "--no-report",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    here = {
        "cwd": tmp_path,
        "env": environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    assert subprocess.run([*command, "--out", "whole"], **here).returncode == 0
    process = subprocess.Popen([*command, "--out", "again"], **here)
    table = tmp_path / "again" / "day" / "scores.csv"
    while process.poll() is None and (not table.exists() or table.read_bytes().count(b"\n") < 150):
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == (130 if number == signal.SIGTERM else -9), err
    assert 150 <= table.read_bytes().count(b"\n") < 601
    resumed = subprocess.run([*command, "--out", "again"], **here)
    assert resumed.returncode == 0, resumed.stderr
    if number == signal.SIGTERM:
        assert "of them scored before" in resumed.stdout
    for name in ("scores.csv", "day_regions.csv"):
        assert (tmp_path / "again" / "day" / name).read_bytes() == (
            tmp_path / "whole" / "day" / name
        ).read_bytes()
    # in 20 of every 100 frames
    assert len(read_regions(tmp_path / "again" / "day" / "day_regions.csv")) >= 6 * 20

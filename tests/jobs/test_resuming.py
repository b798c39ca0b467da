"""A job that was stopped at any moment and is started again ends as one left alone."""

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

from mpn.adaptation.place import Stretch, learn_place
from mpn.api import load
from mpn.datasets.layouts import Video
from mpn.datasets.windows import load_clips
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.detector import Detector
from mpn.scoring.region_table import read_regions
from mpn.scoring.scores import ScoreConfig
from tests.helpers.scoring_jobs import GROWING, OPTIONS, load_again, score_source, stopping, summary
from tests.helpers.small_model import (
    SIZE,
    footage,
    still_network,
    write_film,
    write_footage,
    write_model,
)
from tests.helpers.verbs import outcome_in


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


def test_reasons_made_of_motion_outlive_a_stop(clip, tmp_path):
    source = load_clips([Video("clip", clip, "s")], SIZE, True, motion=True)[0]
    weights = {"error": 0.5, "pseudo": 0.0, "speed": 1.0, "direction": 1.0}
    checkpoint = Checkpoint(
        still_network(pseudo_head=False),
        score_config=ScoreConfig(weights=weights).to_dict(),
        places={"s": learn_place([source], [Stretch(0, 0, 20)])},
    )
    detector = Detector(checkpoint, precision="float32")
    options = replace(OPTIONS, threshold=0.1)
    whole = score_source(detector, clip, tmp_path / "whole", options)
    for at in (26, 29, 57):  # within the events, after their peaks or before
        with pytest.raises(KeyboardInterrupt):
            score_source(stopping(detector, at), clip, tmp_path / "again", options)
    again = score_source(detector, clip, tmp_path / "again", options)
    assert again.summary == whole.summary
    facts = [event["reason"]["facts"][0] for event in whole.summary["events"]]
    assert len(facts) == 2 and {fact["kind"] for fact in facts} <= {"speed", "place", "direction"}
    assert all(fact["speed_per_second"] == pytest.approx(10 * fact["speed"]) for fact in facts)


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
    events: list[dict] = []
    second = score_source(
        stopping(detector, 0, AssertionError), clip, tmp_path / "out", OPTIONS, events.append
    )
    assert second.done_before == 90 and second.summary == first.summary == summary(tmp_path / "out")
    assert events == first.summary["events"] and second.highest == first.highest


CHANGES = {
    "taken away": lambda path: path.unlink(),
    "one byte shorter": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one byte longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "emptied": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_finished_is_scored_again_where_a_file_of_it_has_changed(
    detector, clip, tmp_path, caplog, change
):
    options, out = replace(OPTIONS, report=True, overlay="events"), tmp_path / "out"
    first = score_source(detector, clip, out, options)
    before = {name: (out / name).read_bytes() for name in (*GROWING, "events.json")}
    for name in (*before, "event-002.webm"):
        assert score_source(detector, clip, out, options).done_before == 90
        caplog.clear()
        with caplog.at_level("INFO"):
            CHANGES[change](out / name)
            again = score_source(detector, clip, out, options)
        assert again.done_before == 0 and again.summary == first.summary, name
        assert f"{out}: a file of it was changed or taken away: scored again" in caplog.text
        assert {name: (out / name).read_bytes() for name in before} == before
        assert sorted(path.name for path in out.glob("event-*")) == [
            "event-001.webm",
            "event-002.webm",
        ]


def test_what_an_earlier_version_has_finished_is_not_scored_again(detector, clip, tmp_path):
    """It noted no size of events.json."""
    out = tmp_path / "out"
    first = score_source(detector, clip, out, OPTIONS)

    def forget() -> None:
        content = json.loads((out / "state.json").read_text())
        content["state"]["sizes"].pop("events.json", None)
        (out / "state.json").write_text(json.dumps(content))

    forget()
    assert score_source(detector, clip, out, OPTIONS).done_before == 90
    for damage in ("", "[]", '{"events": '):
        forget()
        (out / "events.json").write_text(damage)
        again = score_source(detector, clip, out, OPTIONS)
        assert again.done_before == 0 and again.summary == first.summary


def test_it_goes_on_from_a_whole_batch_and_decodes_no_score_twice(detector, clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score_source(stopping(detector, 31), clip, tmp_path / "out", OPTIONS)
    scored = []
    reloaded = load_again(detector)
    reloaded.score = lambda *args, **options: (
        scored.append(options["first"]) or detector.score(*args, **options)
    )
    outcome = score_source(reloaded, clip, tmp_path / "out", OPTIONS)
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
    changed_options = replace(OPTIONS, **change)
    outcome = score_source(detector, clip, tmp_path / "out", changed_options)
    assert outcome.done_before == 0
    assert (
        outcome.summary == score_source(detector, clip, tmp_path / "alone", changed_options).summary
    )


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


def repaint(file: Path) -> None:
    """Show something else in a picture of the same size in bytes and the same name."""
    cv2.imwrite(str(file), 255 - cv2.imread(str(file)))


def replace_keeping_time(file: Path) -> None:
    times = file.stat()
    file.write_bytes(file.read_bytes() + b"\0")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def swap_names(file: Path) -> None:
    later_file, between = file.with_name("061.png"), file.with_name("between.png")
    file.rename(between)
    later_file.rename(file)
    between.rename(later_file)


@pytest.mark.parametrize("change", [repaint, replace_keeping_time, swap_names, Path.touch])
def test_pictures_that_were_changed_in_place_are_scored_again(detector, clip, tmp_path, change):
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    change(clip / "060.png")
    assert score_source(detector, clip, tmp_path / "out", OPTIONS).done_before == 0
    assert score_source(detector, clip, tmp_path / "out", OPTIONS).done_before == 90


def test_what_lies_beside_the_pictures_is_no_reason_to_score_again(detector, clip, tmp_path):
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    (clip / "Thumbs.db").write_bytes(b"x")
    (clip / "notes.txt").write_text("x")
    assert score_source(detector, clip, tmp_path / "out", OPTIONS).done_before == 90


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


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> Path:
    """Long enough to be caught in the midst of it; the same frames come again and again."""
    frames = np.concatenate([footage(100, intruder=(40, 60))] * 4)
    return write_film(tmp_path_factory.mktemp("day") / "day.avi", frames)


@pytest.fixture(scope="module")
def day_alone(day, model) -> Path:
    """The results of a run that was left alone."""
    alone = outcome_in(day.parent, "score", *arguments(day, model, day.parent / "whole"))
    assert alone.code == 0, alone.err
    return day.parent / "whole" / "day"


def arguments(film: Path, model: Path, out: Path) -> list[str]:
    words = f"{film} --checkpoint {model} --threads 1 --precision float32 --threshold 100"
    return [*words.split(), "--no-report", "--out", str(out)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_by_a_signal_and_started_again(day, day_alone, model, tmp_path, number):
    options = arguments(day, model, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "mpn", "score", *options],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    table = tmp_path / "day" / "scores.csv"
    while process.poll() is None and (not table.exists() or table.read_bytes().count(b"\n") < 100):
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == (130 if number == signal.SIGTERM else -9), err
    assert 100 <= table.read_bytes().count(b"\n") < 401
    resumed = outcome_in(tmp_path, "score", *options)
    assert resumed.code == 0, resumed.err
    if number == signal.SIGTERM:
        assert "of them scored before" in " ".join(resumed.out.split())
    for name in ("scores.csv", "day_regions.csv"):
        assert (tmp_path / "day" / name).read_bytes() == (day_alone / name).read_bytes()
    # in 20 of every 100 frames
    assert len(read_regions(tmp_path / "day" / "day_regions.csv")) >= 4 * 20


def test_what_differs_from_the_earlier_run_is_said(detector, tmp_path, caplog) -> None:
    caplog.set_level("INFO", logger="mpn.jobs")
    clip = write_footage(tmp_path / "clip", footage(20))
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    write_footage(clip, footage(24))  # goes on being recorded
    score_source(detector, clip, tmp_path / "out", OPTIONS)
    assert "the recording has changed since: begun anew" in caplog.text
    caplog.clear()
    score_source(detector, clip, tmp_path / "out", replace(OPTIONS, fps=20.0))
    assert "made otherwise (model, options): begun anew" in caplog.text

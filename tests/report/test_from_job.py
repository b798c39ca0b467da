"""The report of a scored source shows what its other files say, and never costs them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mpn
from mpn.errors import DataError
from mpn.jobs import JobOptions, Outcome, ScoreJob
from mpn.jobs.by_itself import learn_camera
from mpn.jobs.first_pass import Recording
from mpn.report.from_job import read_table, report_job
from tests.helpers.recordings import recording
from tests.helpers.small_model import footage, write_film, write_footage
from tests.report.test_page import data_of, floats

OPTIONS = JobOptions(fps=10.0, report=True)


@pytest.fixture(scope="module")
def detector(still: Path) -> mpn.Detector:
    return mpn.load(still, precision="float32")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "lobby", footage(60, intruder=(30, 44), seed=5))


def reported(
    detector: mpn.Detector,
    source: Path,
    folder: Path,
    options: JobOptions = OPTIONS,
    inside: tuple[int, ...] = (),
) -> Outcome:
    """A job and its report."""
    job = ScoreJob(detector, source, folder, options)
    outcome = job.run()
    report_job(folder, detector, job.open(), outcome.summary, inside)
    return outcome


def data(folder: Path) -> dict:
    return data_of((folder / "report.html").read_text("utf-8"))


def test_scores_events_and_regions(detector: mpn.Detector, clip: Path, tmp_path: Path) -> None:
    outcome = reported(detector, clip, tmp_path / "out")
    (trace,) = data(tmp_path / "out")["traces"]
    frames, times, scores = read_table(tmp_path / "out" / "scores.csv")
    np.testing.assert_allclose(floats(trace["scores"]), scores, rtol=1e-5)
    assert frames.tolist() == list(range(60)) and times[-1] == pytest.approx(5.9)
    found = outcome.summary["events"]
    assert [(one["start"], one["end"], one["peak"]) for one in trace["events"]] == [
        (one["start"], one["end"], one["peak_frame"]) for one in found
    ]
    assert [one["why"] for one in trace["events"]] == [one["reason"]["sentence"] for one in found]
    assert all(one["why"].startswith("looks or moves unlike") for one in trace["events"])
    assert found and trace["threshold"] == pytest.approx(outcome.summary["threshold"]["value"])
    regions = floats(trace["regions"]).reshape(-1, 7)
    assert {30 <= row <= 50 for row in regions[:, 0]} == {True}
    assert trace["film"]["rows"] == [[0, 1, 60]] and trace["labels"] is None


def test_what_a_killed_run_left_half_made_goes_with_the_next_page(
    detector: mpn.Detector, clip: Path, tmp_path: Path
) -> None:
    left = tmp_path / "out" / ".report-x1"
    left.mkdir(parents=True)
    (left / ".film-001.part.webm").write_bytes(b"half")
    reported(detector, clip, tmp_path / "out")
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_events_are_numbered_as_they_are_taught(
    detector: mpn.Detector, clip: Path, tmp_path: Path
) -> None:
    outcome = reported(detector, clip, tmp_path / "out", JobOptions(fps=10.0, report=True, start=1))
    shown = data(tmp_path / "out")
    events = outcome.summary["events"]
    assert events and [(one["number"], one["frame"]) for one in shown["traces"][0]["events"]] == [
        (number, event["peak_frame"]) for number, event in enumerate(events, 1)
    ]
    assert outcome.summary["camera"] is None  # a model of no camera
    assert shown["teach"] == {"camera": None, "events": str(tmp_path / "out" / "events.json")}


def test_the_camera_file_that_scored_is_the_one_to_teach(
    detector: mpn.Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    normal = write_footage(tmp_path / "normal", recording(120))
    detector.adapt(normal, fps=10.0).save("hall.camera.safetensors")
    camera = mpn.load("hall.camera.safetensors", precision="float32")
    outcome = reported(camera, normal, Path("out"), JobOptions(fps=10.0, end=1.0, report=True))
    assert outcome.summary["camera"] == str(tmp_path / "hall.camera.safetensors")
    assert data(Path("out"))["teach"] == {
        "camera": str(tmp_path / "hall.camera.safetensors"),
        "events": str(tmp_path / "out" / "events.json"),
    }


def test_events_of_before_there_were_reasons(
    detector: mpn.Detector, clip: Path, tmp_path: Path
) -> None:
    outcome = reported(detector, clip, tmp_path / "out")
    for event in outcome.summary["events"]:
        del event["reason"]
    job = ScoreJob(detector, clip, tmp_path / "out", OPTIONS)
    report_job(tmp_path / "out", detector, job.open(), outcome.summary)
    (trace,) = data(tmp_path / "out")["traces"]
    assert trace["events"] and all(event["why"] == "" for event in trace["events"])


def test_every_second_frame_of_a_stretch(detector: mpn.Detector, tmp_path: Path) -> None:
    film = write_film(tmp_path / "lobby.avi", footage(60, intruder=(30, 44), seed=5))
    options = JobOptions(report=True, every=2, start=1.0, end=5.0)
    outcome = reported(detector, film, tmp_path / "out", options)
    (trace,) = data(tmp_path / "out")["traces"]
    frames, _, scores = read_table(tmp_path / "out" / "scores.csv")
    assert frames.tolist() == list(range(10, 50, 2)) and (trace["first"], trace["step"]) == (10, 2)
    assert trace["count"] == len(scores) == 20
    for event, row in zip(outcome.summary["events"], trace["events"]):
        assert frames[row["start"]] == event["start"] and frames[row["end"] - 1] < event["end"]
        assert frames[row["peak"]] == event["peak_frame"]
    assert outcome.summary["events"]


def test_a_source_shorter_than_a_window(detector: mpn.Detector, tmp_path: Path) -> None:
    clip = write_footage(tmp_path / "short", footage(3))
    reported(detector, clip, tmp_path / "out")
    (trace,) = data(tmp_path / "out")["traces"]
    assert np.isnan(floats(trace["scores"])).all() and trace["events"] == []


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("frame,time\n0,0.0\n")
    with pytest.raises(DataError, match=r"scores\.csv: not as mpn score writes it"):
        read_table(tmp_path / "scores.csv")


def test_a_look_inside_at_a_chosen_frame(
    detector: mpn.Detector, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    reported(detector, clip, folder)
    own = [one["row"] for one in data(folder)["insides"]]
    table = (folder / "scores.csv").stat().st_mtime_ns
    outcome = reported(detector, clip, folder, inside=(2, 17, 99))
    assert [one["row"] for one in data(folder)["insides"]] == [17, *own]
    assert (folder / "scores.csv").stat().st_mtime_ns == table  # nothing is scored again for it
    page = (folder / "report.html").read_text("utf-8")
    for frame in (2, 99):
        assert (
            f"no look inside at frame {frame}: it was not scored, or has no 4 frames before it"
            in page
        )
    assert outcome.summary["complete"]


def test_moments_of_a_recording_that_is_judged_by_itself(
    detector: mpn.Detector, tmp_path: Path
) -> None:
    path = write_footage(tmp_path / "hall", recording(240, (120, 140)))
    hall = Recording(path, tmp_path / "out", partial(OPTIONS.open, path))
    camera = learn_camera(detector, [hall], "hall")
    own = detector.sibling(camera.checkpoint, camera.checkpoint.score_config)
    judged = camera.judgements(hall, own, 3)
    job = ScoreJob(own, path, hall.folder, OPTIONS, judgement=judged)
    outcome = job.run()
    report_job(hall.folder, own, job.open(), outcome.summary)
    shown = data(hall.folder)
    assert shown["byItself"] and shown["insides"] == []  # the network had no say
    (trace,) = shown["traces"]
    level = judged.threshold.value
    expected = [
        (event["peak_score"] - level) * min(event["end_seconds"] - event["start_seconds"], 2.0)
        for event in outcome.summary["events"]
    ]
    assert [event["strangeness"] for event in trace["events"]] == pytest.approx(expected)
    strangest = trace["events"][int(np.argmax(expected))]
    assert shown["start"] == {"trace": 0, "row": strangest["peak"]}

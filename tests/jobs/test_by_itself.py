"""Recordings of a camera judged by themselves."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mpn.adaptation.camera_file import write_camera
from mpn.api import load
from mpn.errors import DataError
from mpn.jobs import JobOptions, ScoreJob
from mpn.jobs.by_itself import OwnCamera, learn_camera, notes_of_footage
from mpn.jobs.first_pass import Recording, group_by_camera
from mpn.jobs.survey_file import SURVEY
from mpn.model.checkpoint import load_checkpoint
from mpn.motion.flow import MotionReader
from mpn.scoring.detector import Detector
from tests.helpers.doctoring import texture
from tests.helpers.recordings import SIZE, recording
from tests.helpers.scoring_jobs import stopping
from tests.helpers.small_model import write_footage

OPTIONS = JobOptions(fps=10.0)
FAST = (120, 140)


def recording_of(folder: Path, frames: np.ndarray) -> Recording:
    write_footage(folder, frames)
    return Recording(folder, folder.parent / "out" / folder.name, partial(OPTIONS.open, folder))


def learned(
    detector: Detector, recordings: list[Recording], **options
) -> tuple[OwnCamera, Detector]:
    camera = learn_camera(detector, recordings, "hall", **options)
    return camera, detector.sibling(camera.checkpoint, camera.checkpoint.score_config)


@pytest.fixture(scope="module")
def base(model) -> Detector:
    """The model that knows no camera; not to be changed."""
    return load(model, precision="float32")


@pytest.fixture(scope="module")
def hall(tmp_path_factory) -> Recording:
    """A recording that was passed over; not to be written to."""
    return recording_of(tmp_path_factory.mktemp("hall") / "hall", recording(240, FAST))


@pytest.fixture(scope="module")
def known(base, hall) -> tuple[OwnCamera, Detector]:
    """What was learned of it."""
    return learned(base, [hall])


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Recording:
    """A recording of which no more is asked than that it is judged; not to be written to."""
    return recording_of(tmp_path_factory.mktemp("short") / "short", recording(120, (90, 105)))


@pytest.fixture(scope="module")
def short_known(base, short) -> tuple[OwnCamera, Detector]:
    return learned(base, [short])


def passed_over(seen: Recording, folder: Path) -> Recording:
    """The same recording with results of its own; its first pass is not made again."""
    folder.mkdir()
    shutil.copy(seen.folder / SURVEY, folder / SURVEY)
    return replace(seen, folder=folder)


def test_what_races_once_is_the_strangest_moment(hall, known, tmp_path) -> None:
    camera, camera_detector = known
    judgement = camera.judgements(hall, camera_detector, 1)
    job = ScoreJob(camera_detector, hall.path, tmp_path / "out", OPTIONS, judgement=judgement)
    summary = job.run().summary
    strangest = max(summary["events"], key=lambda event: event["peak_score"])
    assert FAST[0] <= strangest["peak_frame"] < FAST[1] + 3
    assert strangest["region"][0] + strangest["region"][2] / 2 > 48  # the lower half
    assert summary["judged_by"] == "itself" and summary["threshold"]["tail"] == "moments"
    assert summary["threshold"]["false_alarms_per_hour"] is None  # none is claimed


@pytest.mark.parametrize("kept", [None, "x", 7, [], [0], [0, "240"], [0, 240, 1], {"0": 240}])
def test_what_a_camera_file_says_of_its_footage_may_be_anything(hall, known, kept) -> None:
    checkpoint, shown = known[0].checkpoint, hall.open().shown
    assert len(notes_of_footage(checkpoint, hall.path, shown)) == 1
    (key,) = checkpoint.camera["adapted_on"]["footage"]
    for footage in ({key: kept}, kept):
        altered = replace(checkpoint, camera={"adapted_on": {"footage": footage}})
        assert notes_of_footage(altered, hall.path, shown) == []
    without = replace(checkpoint, camera=None)
    assert notes_of_footage(without, hall.path, shown) == []


def test_every_frame_is_judged_without_its_neighbourhood(hall, known, base, tmp_path) -> None:
    camera, camera_detector = learned(base, [passed_over(hall, tmp_path / "out")], apart=2.0)
    place_at = camera.judgements(camera.recordings[0], camera_detector, 10).places.place_at
    total = camera.checkpoint.places["hall"]
    assert total.frames == 239  # all but the first, which has no motion
    # Blocks of a second; 2 s on either side of frame 100 are 80 to 120.
    assert place_at(100).frames == 239 - 50


@pytest.mark.parametrize("at", [2, 57, 98])
def test_a_first_pass_that_was_stopped_ends_with_the_same(
    short, short_known, base, tmp_path, at
) -> None:
    whole, _ = short_known
    source = short.open()

    def stopped(wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        yield from islice(short.open().pick(wanted), at)
        raise KeyboardInterrupt

    source.pick = stopped
    opened = iter([short.open(), source])  # for its facts, and for the pass
    with pytest.raises(KeyboardInterrupt):
        learned(base, [Recording(short.path, tmp_path / "out", lambda: next(opened))])
    assert (tmp_path / "out" / SURVEY).is_file()
    again, _ = learned(base, [replace(short, folder=tmp_path / "out")])
    assert again.checkpoint.sha256 == whole.checkpoint.sha256
    for name, clips in whole.checkpoint.normal.items():
        assert all((a == b).all() for a, b in zip(clips, again.checkpoint.normal[name]))
    total, same = (detector.checkpoint.places["hall"] for detector in (whole, again))
    assert (total.counts == same.counts).all() and total.frames == same.frames


@pytest.fixture(scope="module")
def short_scored(short, short_known, tmp_path_factory) -> Path:
    """The results of the short recording, left alone."""
    camera, camera_detector = short_known
    folder = tmp_path_factory.mktemp("whole")
    ScoreJob(
        camera_detector,
        short.path,
        folder,
        OPTIONS,
        judgement=camera.judgements(short, camera_detector, 3),
    ).run()
    return folder


@pytest.mark.parametrize("at", [3, 41, 77, 118])
def test_a_second_pass_that_was_stopped_ends_with_the_same(
    short, short_known, short_scored, base, tmp_path, at
) -> None:
    camera, camera_detector = short_known
    surveyed = passed_over(short, tmp_path / "out")
    judgement = camera.judgements(short, camera_detector, 3)
    stopped = ScoreJob(
        stopping(camera_detector, at), surveyed.path, surveyed.folder, OPTIONS, judgement=judgement
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    # A later run has learned it all again from what was kept.
    camera, camera_detector = learned(base, [surveyed])
    again = camera.judgements(surveyed, camera_detector, 3)
    outcome = ScoreJob(
        camera_detector, surveyed.path, surveyed.folder, OPTIONS, judgement=again
    ).run()
    assert outcome.done_before <= at and (at < 20 or outcome.done_before > 0)
    for name in ("scores.csv", "short_regions.csv"):
        assert (surveyed.folder / name).read_bytes() == (short_scored / name).read_bytes()


def test_the_network_has_no_say_where_it_has_not_been(hall, known, monkeypatch) -> None:
    camera, camera_detector = known
    assert camera_detector.weights == {
        "speed": 0.7,
        "direction": 1.0,
    } and camera_detector.columns == ["speed", "direction"]
    assert camera.seen.seconds == 24.0
    count = {name: sum(map(len, clips)) for name, clips in camera.checkpoint.normal.items()}
    assert count == {"speed": 239, "direction": 239}  # all frames but the first
    monkeypatch.setattr(camera_detector.network, "forward", None)  # it is not even asked
    fitted, shown = Detector.fitted, []
    monkeypatch.setattr(Detector, "fitted", lambda *some: shown.append(0) or fitted(*some))
    judged = list(
        camera_detector.score(
            hall.open(), own_places=camera.judgements(hall, camera_detector, 3).places
        )
    )
    assert sum(math.isfinite(result.score) for result in judged) == 236
    assert set(judged[-1].parts) == {"speed", "direction"}
    assert len(shown) == 1  # nor are its frames made for it


def test_motion_is_not_computed_twice(hall, base, tmp_path, monkeypatch) -> None:
    """Nor is it another in the second pass: not to the bit."""
    computed = []
    motion = MotionReader._motion
    monkeypatch.setattr(MotionReader, "_motion", lambda *some: computed.append(0) or motion(*some))
    camera, camera_detector = learned(base, [replace(hall, folder=tmp_path / "first")])
    assert len(computed) == 239
    recording = camera.recordings[0]
    places = camera.judgements(recording, camera_detector, 3).places
    raw_scores = [
        result.raw for result in camera_detector.score(recording.open(), own_places=places)
    ]
    assert len(computed) == 239
    anew = camera_detector.score(recording.open(), own_places=places._replace(motion=None))
    assert np.array_equal(raw_scores, [result.raw for result in anew], equal_nan=True)
    assert len(computed) == 2 * 239


def test_what_is_ordinary_is_the_quiet_part_of_it(known, base, tmp_path) -> None:
    """Anomalies may be among the frames, so their mean is not what is normal."""
    camera, camera_detector = known
    speeds = np.concatenate(camera.checkpoint.normal["speed"]).astype(np.float64)
    assert camera_detector.normal["speed"] == pytest.approx(
        (np.quantile(speeds, 0.1), speeds.std())
    )
    # It stays so in a camera file.
    write_camera(tmp_path / "x.camera.safetensors", camera.checkpoint)
    again = load_checkpoint(tmp_path / "x.camera.safetensors")
    assert base.sibling(again, again.score_config).normal == camera_detector.normal


def test_a_second_run_looks_at_nothing_again(hall, known, base, monkeypatch) -> None:
    first, camera_detector = known
    monkeypatch.setattr("mpn.jobs.first_pass.survey", None)
    monkeypatch.setattr("mpn.jobs.first_pass.judged_runs", None)
    second, _ = learned(base, [hall])
    assert second.checkpoint.sha256 == first.checkpoint.sha256
    for name, clips in first.checkpoint.normal.items():
        assert all((a == b).all() for a, b in zip(clips, second.checkpoint.normal[name]))
    levels = [camera.judgements(hall, camera_detector, 3).threshold for camera in (first, second)]
    assert levels[0].value == levels[1].value


def test_another_neighbourhood_or_recording_is_another_model(
    hall, known, short, short_known, base, tmp_path
) -> None:
    first, _ = known
    wider, _ = learned(base, [passed_over(hall, tmp_path / "other")], apart=5.0)
    later = passed_over(short, tmp_path / "later")
    both, _ = learned(base, [passed_over(hall, tmp_path / "both"), later])
    assert len({camera.checkpoint.sha256 for camera in (first, wider, both)}) == 3
    assert both.checkpoint.places["hall"].frames == 239 + 119


def test_recordings_say_what_is_usual_in_each_other(hall, known, base, tmp_path) -> None:
    """What races in one recording is usual where it races every day."""
    days = [
        recording_of(tmp_path / f"day{i}", recording(120, (40 * i, 40 * i + 20))) for i in (1, 2)
    ]

    def speed_of_the_race(camera: OwnCamera, own: Detector, seen: Recording) -> float:
        places = camera.judgements(seen, own, 1).places
        scored = islice(own.score(hall.open(), own_places=places), FAST[1])
        return max(result.parts["speed"] for result in scored if result.frame >= FAST[0])

    surveyed = passed_over(hall, tmp_path / "out")
    together = speed_of_the_race(*learned(base, [surveyed, *days]), surveyed)
    assert together < speed_of_the_race(*known, hall) - 0.3


def test_cameras_are_told_apart_by_their_pictures(tmp_path) -> None:
    walls = {"a": 1, "b": 2, "c": 1, "d": 3}
    every = [recording_of(tmp_path / name, recording(3, wall=wall)) for name, wall in walls.items()]
    every.append(recording_of(tmp_path / "e", recording(3)[:, :64]))  # another shape
    groups = group_by_camera(every)
    assert [[member.path.name for member in group] for group in groups] == [
        ["a", "c"],
        ["b"],
        ["d"],
        ["e"],
    ]


def test_a_picture_full_of_traffic_is_of_the_same_camera(tmp_path) -> None:
    """All of the first frame is hidden by something that drives past."""
    lorry, street = recording(12, wall=2), recording(12, wall=1)
    hidden = np.concatenate([lorry[:1], street])
    every = [
        recording_of(tmp_path / name, frames) for name, frames in [("a", street), ("b", hidden)]
    ]
    every.append(recording_of(tmp_path / "c", lorry))
    groups = group_by_camera(every)
    assert [[member.path.name for member in group] for group in groups] == [["a", "b"], ["c"]]


def test_a_black_recording_is_of_the_camera_before_it(tmp_path) -> None:
    """Not so one that only begins black: more of it is looked at."""
    hall, yard = recording(12, wall=1), recording(12, wall=2)
    fading = np.concatenate([0 * yard[:1], yard])
    shown = {"a": hall, "b": 0 * hall, "c": fading}
    every = [recording_of(tmp_path / name, frames) for name, frames in shown.items()]
    groups = group_by_camera(every)
    assert [[member.path.name for member in group] for group in groups] == [["a", "b"], ["c"]]
    alone = group_by_camera(every[::2])
    assert [[member.path.name for member in group] for group in alone] == [["a"], ["c"]]


def test_too_little_is_said_with_numbers(base, tmp_path) -> None:
    few = recording_of(tmp_path / "few", recording(40))
    words = "39 frames with motion are too few .* takes 50: give a longer one"
    with pytest.raises(DataError, match=words):
        learn_camera(base, [few], "hall")


def notes_of(detector: Detector, made: Recording) -> str:
    camera, camera_detector = learned(detector, [made])
    return "\n".join(camera.judgements(made, camera_detector, 10).notes)


def test_little_to_judge_by_is_said(hall, known) -> None:
    camera, camera_detector = known
    assert camera.judgements(hall, camera_detector, 10).notes == (
        "there are 24 s of this camera to judge by: little can be said of what is usual there",
    )


def test_a_camera_that_is_carried_is_said(base, tmp_path) -> None:
    carried = recording_of(tmp_path / "carried", recording(160, carried=True))
    assert "its picture changes all the time" in notes_of(base, carried)


def test_a_black_recording_is_not_one_that_changes_all_the_time(base, tmp_path) -> None:
    black = np.zeros((80, *SIZE, 3), np.uint8)
    notes = notes_of(base, recording_of(tmp_path / "black", black))
    assert "its picture shows nothing" in notes and "changes" not in notes


def test_a_camera_that_was_turned_is_said(base, tmp_path) -> None:
    wide = texture(5, (SIZE[0], SIZE[1] + 12))
    still = np.stack([wide[:, : SIZE[1]]] * 120 + [wide[:, 12:]] * 50)
    noise = np.random.default_rng(0).normal(0, 2, still.shape)
    frames = np.clip(still + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, -1)
    assert "the camera stands elsewhere in" in notes_of(
        base, recording_of(tmp_path / "turned", frames)
    )


def test_what_is_kept_is_a_camera_file(known, base, tmp_path) -> None:
    camera, camera_detector = known
    write_camera(tmp_path / "hall.camera.safetensors", camera.checkpoint)
    again = load_checkpoint(tmp_path / "hall.camera.safetensors")
    assert (again.places["hall"].counts == camera.checkpoint.places["hall"].counts).all()
    tomorrow = base.sibling(again, again.score_config)
    level, same = (
        detector.calibration(10).threshold(60).value for detector in (camera_detector, tomorrow)
    )
    assert level == pytest.approx(same)


def test_a_survey_that_is_taken_away_is_said(short, short_known, base, tmp_path) -> None:
    surveyed = passed_over(short, tmp_path / "out")
    camera, camera_detector = learned(base, [surveyed])
    (surveyed.folder / SURVEY).unlink()
    with pytest.raises(DataError, match="was taken away; run the command again"):
        camera.judgements(surveyed, camera_detector, 1)


def test_the_same_from_python(short, short_known, base) -> None:
    camera, camera_detector = short_known
    places = camera.judgements(short, camera_detector, 1).places
    expected = [result.score for result in camera_detector.score(short.open(), own_places=places)]
    scores = [result.score for result in base.score_by_itself(short.path, fps=10)]
    assert np.array_equal(scores, expected, equal_nan=True)
    assert 90 <= int(np.nanargmax(scores)) < 105 + 3

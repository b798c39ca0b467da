"""Recordings of a camera judged by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mpn.adaptation.camera_file import write_camera
from mpn.errors import DataError
from mpn.jobs import JobOptions, ScoreJob
from mpn.jobs.by_itself import OwnCamera, Recording, group_by_camera, learn_camera
from mpn.jobs.survey_file import SURVEY
from mpn.model.checkpoint import load_checkpoint
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


@pytest.fixture
def hall(tmp_path) -> Recording:
    return recording_of(tmp_path / "hall", recording(240, FAST))


def test_what_races_once_is_the_strangest_moment(hall, detector) -> None:
    camera, own = learned(detector, [hall])
    judgement = camera.judgements(hall, own, 1)
    job = ScoreJob(own, hall.path, hall.folder, OPTIONS, own=judgement)
    summary = job.run().summary
    strangest = max(summary["events"], key=lambda event: event["peak_score"])
    assert FAST[0] <= strangest["peak_frame"] < FAST[1] + 3
    assert strangest["region"][0] + strangest["region"][2] / 2 > 48  # the lower half
    assert summary["judged_by"] == "itself" and summary["threshold"]["tail"] == "moments"
    assert summary["threshold"]["false_alarms_per_hour"] is None  # none is claimed


def test_every_frame_is_judged_without_its_neighbourhood(hall, detector) -> None:
    camera, own = learned(detector, [hall], apart=2.0)
    place_at = camera.judgements(hall, own, 10).place_at
    total = camera.checkpoint.places["hall"]
    assert total.frames == 239  # all but the first, which has no motion
    # Blocks of a second; 2 s on either side of frame 100 are 80 to 120.
    assert place_at(100).frames == 239 - 50


@pytest.mark.parametrize("at", [2, 57, 130])
def test_a_first_pass_that_was_stopped_ends_with_the_same(hall, detector, tmp_path, at) -> None:
    whole, _ = learned(detector, [Recording(hall.path, tmp_path / "whole", hall.open)])
    (tmp_path / "whole" / SURVEY).rename(tmp_path / "kept")
    source = hall.open()

    def stopped(wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        yield from islice(hall.open().pick(wanted), at)
        raise KeyboardInterrupt

    source.pick = stopped
    opened = iter([hall.open(), source])  # for its facts, and for the pass
    with pytest.raises(KeyboardInterrupt):
        learned(detector, [Recording(hall.path, hall.folder, lambda: next(opened))])
    assert (hall.folder / SURVEY).is_file()
    again, _ = learned(detector, [hall])
    assert again.checkpoint.sha256 == whole.checkpoint.sha256
    for name, clips in whole.checkpoint.normal.items():
        assert all((a == b).all() for a, b in zip(clips, again.checkpoint.normal[name]))
    total, same = (one.checkpoint.places["hall"] for one in (whole, again))
    assert (total.counts == same.counts).all() and total.frames == same.frames


@pytest.mark.parametrize("at", [3, 41, 118, 200])
def test_a_second_pass_that_was_stopped_ends_with_the_same(hall, detector, at) -> None:
    camera, own = learned(detector, [hall])
    judgement = camera.judgements(hall, own, 3)
    whole = hall.folder.parent / "whole"
    ScoreJob(own, hall.path, whole, OPTIONS, own=judgement).run()
    stopped = ScoreJob(stopping(own, at), hall.path, hall.folder, OPTIONS, own=judgement)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    # A later run has learned it all again from what was kept.
    camera, own = learned(detector, [hall])
    again = camera.judgements(hall, own, 3)
    outcome = ScoreJob(own, hall.path, hall.folder, OPTIONS, own=again).run()
    assert outcome.done_before <= at and (at < 20 or outcome.done_before > 0)
    for name in ("scores.csv", "hall_regions.csv"):
        assert (hall.folder / name).read_bytes() == (whole / name).read_bytes()


def test_the_network_has_no_say_where_it_has_not_been(hall, detector, monkeypatch) -> None:
    camera, own = learned(detector, [hall])
    assert own.weights == {"speed": 1.0, "direction": 1.0} and own.columns == ["speed", "direction"]
    assert camera.seconds == 24.0
    count = {name: sum(map(len, clips)) for name, clips in camera.checkpoint.normal.items()}
    assert count == {"speed": 239, "direction": 239}  # all frames but the first
    monkeypatch.setattr(own.network, "forward", None)  # it is not even asked
    judged = list(own.score(hall.open(), place_at=camera.judgements(hall, own, 3).place_at))
    assert sum(math.isfinite(result.score) for result in judged) == 236
    assert set(judged[-1].parts) == {"speed", "direction"}


def test_what_is_ordinary_is_the_quiet_part_of_it(hall, detector, tmp_path) -> None:
    """Anomalies may be among the frames, so their mean is not what is normal."""
    camera, own = learned(detector, [hall])
    speeds = np.concatenate(camera.checkpoint.normal["speed"]).astype(np.float64)
    assert own.normal["speed"] == pytest.approx((np.quantile(speeds, 0.1), speeds.std()))
    # It stays so in a camera file.
    write_camera(tmp_path / "x.camera.safetensors", camera.checkpoint)
    again = load_checkpoint(tmp_path / "x.camera.safetensors")
    assert detector.sibling(again, again.score_config).normal == own.normal


def test_a_second_run_looks_at_nothing_again(hall, detector, monkeypatch) -> None:
    first, own = learned(detector, [hall])
    monkeypatch.setattr("mpn.jobs.by_itself.survey", None)
    monkeypatch.setattr("mpn.jobs.by_itself.judged_runs", None)
    second, _ = learned(detector, [hall])
    assert second.checkpoint.sha256 == first.checkpoint.sha256
    for name, clips in first.checkpoint.normal.items():
        assert all((a == b).all() for a, b in zip(clips, second.checkpoint.normal[name]))
    levels = [camera.judgements(hall, own, 3).threshold for camera in (first, second)]
    assert levels[0].value == levels[1].value


def test_another_neighbourhood_or_recording_is_another_model(hall, detector, tmp_path) -> None:
    first, _ = learned(detector, [hall])
    other, _ = learned(detector, [hall], apart=5.0)
    more = recording_of(tmp_path / "later", recording(120))
    both, _ = learned(detector, [hall, more])
    assert len({camera.checkpoint.sha256 for camera in (first, other, both)}) == 3
    assert both.checkpoint.places["hall"].frames == 239 + 119


def test_recordings_say_what_is_usual_in_each_other(hall, detector, tmp_path) -> None:
    """What races in one recording is usual where it races every day."""
    days = [
        recording_of(tmp_path / f"day{i}", recording(240, (40 * i, 40 * i + 20))) for i in (1, 2)
    ]

    def speed_of_the_race(recordings: list[Recording]) -> float:
        camera, own = learned(detector, recordings)
        scored = own.score(hall.open(), place_at=camera.judgements(hall, own, 1).place_at)
        return max(one.parts["speed"] for one in scored if FAST[0] <= one.frame < FAST[1])

    assert speed_of_the_race([hall, *days]) < speed_of_the_race([hall]) - 0.3


def test_cameras_are_told_apart_by_their_pictures(tmp_path) -> None:
    walls = {"a": 1, "b": 2, "c": 1, "d": 3}
    every = [recording_of(tmp_path / name, recording(3, wall=wall)) for name, wall in walls.items()]
    every.append(recording_of(tmp_path / "e", recording(3)[:, :64]))  # another shape
    groups = group_by_camera(every)
    assert [[one.path.name for one in group] for group in groups] == [
        ["a", "c"],
        ["b"],
        ["d"],
        ["e"],
    ]


def test_too_little_is_said_with_numbers(detector, tmp_path) -> None:
    short = recording_of(tmp_path / "short", recording(40))
    with pytest.raises(DataError, match="39 frames are too few .* takes 50: give more recordings"):
        learn_camera(detector, [short], "hall")


def notes_of(detector: Detector, made: Recording) -> str:
    camera, own = learned(detector, [made])
    return "\n".join(camera.judgements(made, own, 10).notes)


def test_little_to_judge_by_is_said(hall, detector) -> None:
    assert notes_of(detector, hall) == (
        "there are 24 s of this camera to judge by: little can be said of what is usual there"
    )


def test_a_camera_that_is_carried_is_said(detector, tmp_path) -> None:
    made = recording_of(tmp_path / "carried", recording(160, carried=True))
    assert "its picture changes all the time" in notes_of(detector, made)


def test_a_camera_that_was_turned_is_said(detector, tmp_path) -> None:
    wide = texture(5, (SIZE[0], SIZE[1] + 12))
    still = np.stack([wide[:, : SIZE[1]]] * 120 + [wide[:, 12:]] * 50)
    noise = np.random.default_rng(0).normal(0, 2, still.shape)
    frames = np.clip(still + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, -1)
    assert "the camera stands elsewhere in" in notes_of(
        detector, recording_of(tmp_path / "turned", frames)
    )


def test_what_is_kept_is_a_camera_file(hall, detector, tmp_path) -> None:
    camera, own = learned(detector, [hall])
    write_camera(tmp_path / "hall.camera.safetensors", camera.checkpoint)
    again = load_checkpoint(tmp_path / "hall.camera.safetensors")
    assert (again.places["hall"].counts == camera.checkpoint.places["hall"].counts).all()
    tomorrow = detector.sibling(again, again.score_config)
    level, same = (one.calibration(10).threshold(60).value for one in (own, tomorrow))
    assert level == pytest.approx(same)


def test_a_survey_that_is_taken_away_is_said(hall, detector) -> None:
    camera, own = learned(detector, [hall])
    (hall.folder / SURVEY).unlink()
    with pytest.raises(DataError, match="was taken away; run the command again"):
        camera.judgements(hall, own, 1)


def test_the_same_from_python(hall, detector) -> None:
    camera, own = learned(detector, [hall])
    place_at = camera.judgements(hall, own, 1).place_at
    expected = [one.score for one in own.score(hall.open(), place_at=place_at)]
    scores = [one.score for one in detector.score_by_itself(hall.path, fps=10)]
    assert np.array_equal(scores, expected, equal_nan=True)
    assert FAST[0] <= int(np.nanargmax(scores)) < FAST[1] + 3

"""First passes taken apart: whoever makes them, in whatever order, the same comes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mpn.api import load
from mpn.errors import DataError
from mpn.jobs import JobOptions
from mpn.jobs.by_itself import camera_of, learn_camera
from mpn.jobs.first_pass import Recording, add_up, glance, judge_runs, pass_over
from mpn.jobs.survey import SurveyPlan
from mpn.jobs.survey_file import SURVEY
from mpn.motion.kept import KeptMotion
from mpn.motion.place import PlaceModel
from mpn.scoring.detector import Detector
from tests.helpers.recordings import recording
from tests.helpers.small_model import write_footage

OPTIONS = JobOptions(fps=10.0)
COUNT = 3


@pytest.fixture(scope="module")
def base(model: Path) -> Detector:
    return load(model, precision="float32")


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """Recordings of a camera; nothing is kept of them."""
    folder, recordings = tmp_path_factory.mktemp("days"), []
    for number in range(COUNT):
        path = write_footage(folder / str(number), recording(24, (10, 16 + number)))
        recordings.append(Recording(path, folder / "out" / path.name, partial(OPTIONS.open, path)))
    return recordings


def kept_in(recordings: list[Recording], folder: Path) -> list[Recording]:
    return [replace(one, folder=folder / one.path.name) for one in recordings]


def test_what_workers_see_adds_up_to_what_one_process_sees(
    base: Detector, days: list[Recording], tmp_path: Path
) -> None:
    alone, apart = kept_in(days, tmp_path / "alone"), kept_in(days, tmp_path / "apart")
    learned = learn_camera(base, alone, "hall")
    stamps = [glance(one).stamp for one in apart]
    for number in (2, 0, 1):  # each by whoever is free
        pass_over(apart[number], stamps[number], COUNT)
    summed = add_up(apart, stamps)
    for number in (1, 2, 0):
        judge_runs(apart[number], stamps[number], summed)
    summed_camera = camera_of(base, apart, stamps, summed, "hall")
    for name in ("counts", "whole", "picture_sum"):
        assert np.array_equal(getattr(summed.place, name), getattr(learned.seen.place, name)), name
    assert summed.place.frames == learned.seen.place.frames > COUNT * 20
    assert (summed.seconds, summed.apart) == (learned.seen.seconds, learned.seen.apart)
    assert (round(summed.seconds, 9), summed.apart) == (7.2, 1.0)
    assert summed_camera.checkpoint.sha256 == learned.checkpoint.sha256
    ours, expected = summed_camera.checkpoint.normal, learned.checkpoint.normal
    assert ours.keys() == expected.keys() and "speed" in ours
    for part in ours:
        assert all(map(np.array_equal, ours[part], expected[part])), part
    for one, twin in zip(alone, apart):
        assert (one.folder / SURVEY).read_bytes() == (twin.folder / SURVEY).read_bytes()


def test_the_sum_is_that_of_the_recordings(days: list[Recording], tmp_path: Path) -> None:
    recordings = kept_in(days, tmp_path)
    stamps = [glance(one).stamp for one in recordings]
    parts = []
    for one, stamp in zip(recordings, stamps):
        pass_over(one, stamp, COUNT)
        parts.append(add_up([one], [stamp]).place)
    whole = add_up(recordings, stamps).place
    assert np.array_equal(whole.counts, sum(part.counts for part in parts))
    rest = whole.without(parts[0])
    assert isinstance(rest, PlaceModel) and rest.frames == parts[1].frames + parts[2].frames


def test_what_was_not_passed_over_is_named(days: list[Recording], tmp_path: Path) -> None:
    recordings = kept_in(days, tmp_path)
    stamps = [glance(one).stamp for one in recordings]
    pass_over(recordings[0], stamps[0], COUNT)
    with pytest.raises(DataError, match=r"1/survey.safetensors was taken away"):
        add_up(recordings, stamps)


def test_with_more_recordings_than_before_all_are_judged_as_in_a_fresh_folder(
    days: list[Recording], tmp_path: Path
) -> None:
    grown, fresh = kept_in(days, tmp_path / "grown"), kept_in(days, tmp_path / "fresh")

    def judged(recordings: list[Recording], apart: float | None = None) -> list[np.ndarray]:
        stamps = [glance(one).stamp for one in recordings]
        for one, stamp in zip(recordings, stamps):
            pass_over(one, stamp, len(recordings))
        summed = add_up(recordings, stamps, apart)
        return [
            row["speed"]
            for one, stamp in zip(recordings, stamps)
            for row in judge_runs(one, stamp, summed)
        ]

    first = judged(grown[:1])
    again, expected = judged(grown), judged(fresh)
    assert len(again) == len(expected) and all(map(np.array_equal, again, expected))
    assert not np.array_equal(first[0], again[0])
    closer = judged(grown, apart=0.3)
    assert all(map(np.array_equal, closer, judged(kept_in(days, tmp_path / "third"), apart=0.3)))
    assert not all(map(np.array_equal, closer, again))


def test_another_stretch_of_the_same_length_is_passed_over_anew(
    days: list[Recording], tmp_path: Path
) -> None:
    path = days[0].path

    def place(folder: Path, **options: float) -> PlaceModel:
        opened = partial(replace(OPTIONS, **options).open, path)
        stretch = Recording(path, folder, opened)
        stamp = glance(stretch).stamp
        pass_over(stretch, stamp, 1)
        return add_up([stretch], [stamp]).place

    first = place(tmp_path / "one", end=1.0)  # before somebody races, and while
    second = place(tmp_path / "one", start=1.0, end=2.0)
    fresh = place(tmp_path / "other", start=1.0, end=2.0)
    assert np.array_equal(second.counts, fresh.counts)
    assert not np.array_equal(first.counts, second.counts)


@pytest.mark.parametrize("thinning, kept_frames", [(2, 18), (8, 0)])
def test_motion_is_kept_where_that_is_much_of_the_recording(
    days: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thinning, kept_frames
) -> None:
    """A day's first pass takes every fortieth second: keeping that saves next to nothing.

    Of 24 frames two in four are counted, and the frame before each two is looked at as well.
    """
    plan = SurveyPlan(2, thinning, 16, 2)
    monkeypatch.setattr("mpn.jobs.first_pass.plan_survey", lambda *_: plan)
    day, motion = kept_in(days[:1], tmp_path)[0], KeptMotion()
    pass_over(day, glance(day).stamp, 1, motion)
    assert len(motion) == kept_frames
    assert (day.folder / SURVEY).exists()

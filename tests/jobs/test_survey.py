"""The first pass over a recording that is judged by itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mpn.jobs.survey import (
    BLOCKS,
    BLOCKS_OF_ALL,
    COUNTED,
    MIN_BLOCKS,
    Survey,
    SurveyPlan,
    begin_survey,
    judged_runs,
    plan_survey,
    survey,
)
from mpn.jobs.survey_file import read_survey, write_survey
from mpn.motion.flow import MotionReader
from mpn.motion.kept import KeptMotion
from mpn.motion.place import PlaceModel
from mpn.scoring.parts import motion_numbers
from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source
from tests.helpers.recordings import recording
from tests.helpers.small_model import write_footage

PLAN = SurveyPlan(stretch=10, thinning=1, block=20, run=10)
THIN = SurveyPlan(stretch=10, thinning=2, block=40, run=10)
FEW = SurveyPlan(stretch=2, thinning=19, block=38, run=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    frames = recording(90, (50, 60))
    frames[38:] = np.clip(frames[38:].astype(int) + 50, 0, 255)  # a cut
    return write_footage(tmp_path_factory.mktemp("recording") / "hall", frames)


def source_of(folder: Path) -> FrameSource:
    return open_source(folder, fps=10)


def passed(folder: Path, plan: SurveyPlan = PLAN) -> Survey:
    source = source_of(folder)
    return survey(source, begin_survey(source, plan))


@pytest.fixture(scope="module")
def found(folder) -> Survey:
    """All of it, left alone; not to be changed."""
    return passed(folder)


def equal(one: Survey, other: Survey) -> bool:
    assert one.plan == other.plan and (one.frames, one.complete) == (other.frames, other.complete)
    assert len(one.timeline.blocks) == len(other.timeline.blocks)
    for place, same in zip(one.timeline.blocks, other.timeline.blocks):
        assert (place.counts == same.counts).all() and place.frames == same.frames
        assert np.allclose(place.picture, same.picture, atol=1e-4)
    assert [run.first for run in one.runs] == [run.first for run in other.runs]
    for run, same in zip(one.runs, other.runs):
        assert (run.motion == same.motion).all()
    return True


@pytest.mark.parametrize("length", [1, 30, 999, 100_000, 2_160_000])
@pytest.mark.parametrize("rate", [1.0, 10.0, 25.0, 29.97])
@pytest.mark.parametrize("recordings", [1, 36, 5000])
def test_the_plan_bounds_what_is_kept(length, rate, recordings) -> None:
    plan = plan_survey(length, rate, recordings)
    blocks = -(-length // plan.block)
    assert blocks <= min(BLOCKS, max(MIN_BLOCKS, BLOCKS_OF_ALL // recordings))
    assert plan.block % (plan.stretch * plan.thinning) == 0 and 0 < plan.run <= plan.block
    assert plan.thinning == 1 or plan.run <= plan.stretch  # motion is read in these alone
    counted = length / plan.thinning
    assert counted <= max(COUNTED // recordings, MIN_BLOCKS * 2 * rate) + plan.stretch
    assert plan.counts(np.array(plan.block)) and plan.in_run(plan.block)


def test_a_short_recording_is_seen_whole() -> None:
    plan = plan_survey(600, 10)
    assert plan.thinning == 1 and plan.counts(np.arange(600)).all()
    assert plan_survey(2_160_000, 25).thinning > 1


def test_blocks_hold_the_motion_of_their_frames(folder, found) -> None:
    reader = MotionReader(source_of(folder).size)
    moves = [reader.read(frame) for frame in source_of(folder).frames()]
    assert found.complete and found.frames == 90 and len(found.timeline.blocks) == 5
    for number, place in enumerate(found.timeline.blocks):
        alone = PlaceModel(place.grid)
        alone.add(moves[max(1, 20 * number) : 20 * number + 20])  # the first frame has no motion
        assert (place.counts == alone.counts).all()


def test_runs_hold_motion(folder, found) -> None:
    reader = MotionReader(source_of(folder).size)
    moves = np.stack([reader.read(frame) for frame in source_of(folder).frames()])
    assert [run.first for run in found.runs] == [1, 20, 40, 60, 80]  # the first frame has none
    for run in found.runs:
        count = len(run.motion) - 1
        assert count == (9 if run.first == 1 else 10)
        assert (run.motion[1:] == moves[run.first : run.first + count]).all()
        before = run.first - 1 or 1  # where none is known, as if it had been as it is
        assert (run.motion[0] == moves[before]).all()


def test_thinned_stretches_alone_are_counted(folder) -> None:
    thinned = passed(folder, THIN)
    # Of 90 frames 0-9, 20-29, 40-49, 60-69, 80-89; not the first, whose motion leads nowhere, nor
    # one that was not read in a row.
    assert thinned.timeline.total().frames == 49
    assert [run.first for run in thinned.runs] == [1, 40, 80]


def test_what_is_left_out_between_changes_no_motion(folder) -> None:
    """The cut is known for one in a stretch that begins with it, as what was before is followed."""
    reader = MotionReader(source_of(folder).size)
    moves = np.stack([reader.read(frame) for frame in source_of(folder).frames()])
    runs = passed(folder, FEW).runs
    assert [run.first for run in runs] == [1, 38, 76]
    for run in runs[1:]:
        assert (run.motion == moves[run.first - 1 : run.first + 2]).all()
    assert not moves[38].any() and moves[39].any()  # frame 38 is behind the cut
    assert FEW.looks_at(90).sum() < 90


@pytest.mark.parametrize("plan", [PLAN, THIN, FEW])
@pytest.mark.parametrize("before", [0, 40])
def test_the_motion_that_is_kept_is_that_of_the_whole_recording(folder, plan, before) -> None:
    """Wherever the pass begins, and whatever it leaves out."""
    reader, kept_motion = MotionReader(source_of(folder).size), KeptMotion()
    moves = [reader.read(frame) for frame in source_of(folder).frames()]
    source = source_of(folder)
    begun = begin_survey(source, plan)
    begun.frames = before
    survey(source, begun, kept=kept_motion)
    motions = {number: motion() for number in range(90) if (motion := kept_motion.get(number))}
    assert set(motions) == {number for number in range(before, 90) if plan.measures(number)}
    for number, motion in motions.items():
        assert (motion == moves[number]).all()


@pytest.mark.parametrize("plan", [PLAN, THIN])
def test_a_pass_that_was_stopped_goes_on_to_the_same(folder, plan, tmp_path) -> None:
    identity = {"source": "hall"}

    def keep(survey_so_far: Survey) -> None:
        write_survey(tmp_path / "kept", survey_so_far, identity)
        if survey_so_far.frames >= 2 * plan.block:
            raise KeyboardInterrupt

    source = source_of(folder)
    with pytest.raises(KeyboardInterrupt):
        survey(source, begin_survey(source, plan), keep)
    earlier = read_survey(tmp_path / "kept", identity)
    assert earlier is not None and earlier.frames == 2 * plan.block and not earlier.complete
    assert equal(survey(source_of(folder), earlier), passed(folder, plan))


def test_a_survey_comes_back_from_its_file_or_not_at_all(found, tmp_path) -> None:
    place = tmp_path / os.fsdecode(b"S\xfcd")  # a folder's name need not be UTF-8
    place.mkdir()
    path = place / "survey.safetensors"
    write_survey(path, found, {"source": "hall", "length": 90})
    same = read_survey(path, {"source": "hall", "length": 90})
    assert same is not None and equal(found, same) and same.judged is None
    assert read_survey(path, {"source": "hall", "length": 91}) is None
    assert read_survey(tmp_path / "none", {}) is None
    path.write_bytes(path.read_bytes()[:-10])
    assert read_survey(path, {"source": "hall", "length": 90}) is None
    path.write_text("nonsense")
    assert read_survey(path, {"source": "hall", "length": 90}) is None


def test_runs_are_judged_by_the_rest(found) -> None:
    camera = found.timeline.total()
    judged = judged_runs(found, camera, 0)
    assert [len(run["speed"]) for run in judged] == [9, 10, 10, 10, 10]
    run, rest = found.runs[2], camera.without(found.timeline.blocks[2])
    numbers = motion_numbers(rest.quotients(run.motion[3], run.motion[4]))
    assert judged[2]["speed"][3] == np.float32(numbers["speed"])
    assert judged[2]["direction"][3] == np.float32(numbers["direction"])


def test_runs_in_a_row_are_one(folder) -> None:
    whole = passed(folder, SurveyPlan(10, 1, 10, 10))
    judged = judged_runs(whole, whole.timeline.total(), 0)
    assert [len(run["speed"]) for run in judged] == [89]

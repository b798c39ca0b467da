"""What is said of a job's results: which frames were scored, and where a source ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpn.jobs.summary import behind_the_end, frames_text
from tests.helpers.scoring_jobs import OPTIONS, score_source
from tests.helpers.small_model import footage, write_film


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "90 frames"),
        ({"every": 4}, "23 of 90 frames (every 4th)"),
        ({"every": 2}, "45 of 90 frames (every 2nd)"),
        ({"every": 3, "start": 1.0, "end": 8.0}, "24 of 70 frames (every 3rd)"),
        ({"fps_limit": 3.5}, "30 of 90 frames (every 3rd)"),
        ({"start": 8.0}, "10 frames"),
    ],
)
def test_how_many_frames_were_scored_of_how_many(sharp, clip, tmp_path, options, text):
    outcome = score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, **options))
    assert frames_text(outcome.summary) == text


def test_results_of_an_earlier_version_do_not_say_of_how_many():
    assert frames_text({"frames": 1169}) == "1,169 frames"
    bad = [{"index": 5}, {"index": 9}]
    assert behind_the_end({"frames": 9, "bad_frames": bad}) == bad[1:]


@pytest.mark.parametrize("options", [{}, {"every": 3}, {"start": 3.0}, {"every": 2, "start": 3.0}])
def test_a_bad_frame_in_the_middle_is_not_behind_the_end(sharp, clip, tmp_path, options):
    (clip / "066.png").write_bytes(b"")
    outcome = score_source(sharp, clip, tmp_path / "out", replace(OPTIONS, **options))
    assert [bad["index"] for bad in outcome.summary["bad_frames"]] == [66]
    assert behind_the_end(outcome.summary) == []


@pytest.mark.parametrize("every", [1, 3])
def test_a_film_that_was_cut_short_says_so_behind_its_end(sharp, tmp_path, every):
    film = write_film(tmp_path / "day.avi", footage(40))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    outcome = score_source(sharp, film, tmp_path / "out", replace(OPTIONS, every=every))
    whole = outcome.summary["span"]["end"]
    assert [bad["index"] for bad in behind_the_end(outcome.summary)] == [whole] and whole < 40

"""The strangest moments of footage, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpn.adaptation.moments import Moment, looked_at, strangest_moments
from mpn.adaptation.place import Pieces, Stretch
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.detector import Detector
from mpn.scoring.reasons import sentence
from mpn.scoring.scores import ScoreConfig
from tests.helpers.moving import GRID, cells, moving_clip, place_of
from tests.helpers.small_model import still_network

FPS = 10.0


def bumps(length: int, **at: float) -> np.ndarray:
    """Scores of 0 with bumps of 11 frames, f20=8.0: a peak of 8 at frame 20, two fifths beside."""
    score = np.zeros(length)
    for name, height in at.items():
        middle = int(name[1:])
        score[middle - 5 : middle + 6] = 0.4 * height
        score[middle - 1 : middle + 2] = 0.8 * height
        score[middle] = height
    return score


def test_the_strangest_comes_first_with_the_frames_around_it() -> None:
    moments = strangest_moments([bumps(200, f50=4.0, f120=8.0)], [Stretch(0, 0, 200)], FPS)
    # Above half of the peak are three frames, and half a second goes with them on either side.
    assert moments == [Moment(0, 120, 114, 127, 8.0), Moment(0, 50, 44, 57, 4.0)]


def test_frames_are_those_of_the_clip_and_clips_are_told_apart() -> None:
    # The scores of a stretch are of its last frames: its first window has none.
    scores = [bumps(96, f30=2.0), bumps(56, f30=5.0)]
    moments = strangest_moments(scores, [Stretch(0, 0, 100), Stretch(2, 40, 100)], FPS)
    assert [(moment.clip, moment.frame) for moment in moments] == [(2, 74), (0, 34)]
    assert (moments[0].start, moments[0].stop) == (68, 81)


def test_moments_lie_apart_and_within_their_stretch() -> None:
    scores = [bumps(100, f8=9.0, f20=8.0, f80=1.0)]
    moments = strangest_moments(scores, [Stretch(0, 0, 100)], FPS)
    # Frame 20 is less than two seconds behind the first moment.
    assert [moment.frame for moment in moments] == [8, 80]
    assert moments[0].start == 2
    near = strangest_moments([bumps(30, f6=3.0)], [Stretch(0, 10, 40)], FPS)
    assert [(moment.start, moment.stop) for moment in near] == [(10, 23)]


def test_stretches_of_moments_do_not_overlap_and_short_ones_are_passed_over() -> None:
    # A slope down from the highest peak: half way to the second one's height lies in the first.
    score = np.r_[np.zeros(50), np.linspace(10, 4, 40), bumps(60, f30=6.0) + 4.0]
    whole = Stretch(1, 0, 150)
    moments = strangest_moments([score], [whole], FPS)
    spans = sorted((moment.start, moment.stop) for moment in moments)
    assert len(moments) > 1
    assert all(stop <= start for (_, stop), (start, _) in zip(spans, spans[1:]))
    short = strangest_moments([np.full(9, 50.0), score], [Stretch(0, 0, 13), whole], FPS)
    assert {moment.clip for moment in short} == {1}


def test_no_more_than_are_asked_for_and_none_where_nothing_stands_out() -> None:
    score, stretch = bumps(300, f50=4.0, f120=8.0, f200=6.0, f270=5.0), Stretch(0, 0, 300)
    assert [moment.frame for moment in strangest_moments([score], [stretch], FPS)] == [
        120,
        200,
        270,
    ]
    assert [moment.frame for moment in strangest_moments([score], [stretch], FPS, 1)] == [120]
    assert strangest_moments([np.full(50, 3.0)], [Stretch(0, 0, 50)], FPS) == []


def test_a_moment_is_shown_where_and_when_it_stands_out_not_when_its_smoothed_score_peaks() -> None:
    usual, fast = cells(1.0, grid=GRID), np.ones(GRID)
    fast[2:5, 3:6] = 9.0
    motion = [cells(fast) if frame in (60, 61, 62) else usual for frame in range(100)]
    clip = replace(moving_clip(motion), source_size=(160, 240))
    place = place_of([usual] * 50)
    config = ScoreConfig().with_place(trained_here=False).of_place_alone()
    checkpoint = Checkpoint(
        still_network(), fps=12.5, score_config=config.to_dict(), places={"yard": place}
    )
    pieces = Pieces([(Stretch(0, 0, 50), place), (Stretch(0, 50, 100), place)], static=False)
    late = Moment(0, 64, 55, 70, 5.0)
    (shown,) = looked_at([late], Detector(checkpoint), [clip], pieces)
    # Motion counts that was in the frame before as well.
    assert shown.frame in (61, 62)
    assert (shown.start, shown.stop, shown.score) == (55, 70, 5.0)
    assert shown.region is not None and shown.reason is not None
    top, left, height, width = shown.region
    middle = 3.5 / GRID[0] * 160, 4.5 / GRID[1] * 240  # of the cells that are fast
    assert top <= middle[0] <= top + height and left <= middle[1] <= left + width
    assert sentence(shown.reason).startswith("moves right at ")
    description = shown.to_dict()
    assert (
        description["region"] == list(shown.region)
        and description["reason"]["kind"] == shown.reason.kind
    )
    unknown = replace(clip, source_size=None)
    assert looked_at([late], Detector(checkpoint), [unknown], pieces) == [late]

"""The strangest moments of footage, by hand."""

from __future__ import annotations

import numpy as np

from mpn.adaptation.moments import Moment, strangest_moments
from mpn.adaptation.outliers import Stretch

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
    found = strangest_moments([bumps(200, f50=4.0, f120=8.0)], [Stretch(0, 0, 200)], FPS)
    # Above half of the peak are three frames, and half a second goes with them on either side.
    assert found == [Moment(0, 120, 114, 127, 8.0), Moment(0, 50, 44, 57, 4.0)]


def test_frames_are_those_of_the_clip_and_clips_are_told_apart() -> None:
    # The scores of a stretch are of its last frames: its first window has none.
    scores = [bumps(96, f30=2.0), bumps(56, f30=5.0)]
    found = strangest_moments(scores, [Stretch(0, 0, 100), Stretch(2, 40, 100)], FPS)
    assert [(one.clip, one.frame) for one in found] == [(2, 74), (0, 34)]
    assert (found[0].start, found[0].stop) == (68, 81)


def test_moments_lie_apart_and_within_their_stretch() -> None:
    scores = [bumps(100, f8=9.0, f20=8.0, f80=1.0)]
    found = strangest_moments(scores, [Stretch(0, 0, 100)], FPS)
    # Frame 20 is less than two seconds behind the first moment.
    assert [one.frame for one in found] == [8, 80]
    assert found[0].start == 2
    near = strangest_moments([bumps(30, f6=3.0)], [Stretch(0, 10, 40)], FPS)
    assert [(one.start, one.stop) for one in near] == [(10, 23)]


def test_stretches_of_moments_do_not_overlap_and_short_ones_are_passed_over() -> None:
    # A slope down from the highest peak: half way to the second one's height lies in the first.
    score = np.r_[np.zeros(50), np.linspace(10, 4, 40), bumps(60, f30=6.0) + 4.0]
    whole = Stretch(1, 0, 150)
    found = strangest_moments([score], [whole], FPS)
    spans = sorted((one.start, one.stop) for one in found)
    assert len(found) > 1
    assert all(stop <= start for (_, stop), (start, _) in zip(spans, spans[1:]))
    short = strangest_moments([np.full(9, 50.0), score], [Stretch(0, 0, 13), whole], FPS)
    assert {one.clip for one in short} == {1}


def test_no_more_than_are_asked_for_and_none_where_nothing_stands_out() -> None:
    score, stretch = bumps(300, f50=4.0, f120=8.0, f200=6.0, f270=5.0), Stretch(0, 0, 300)
    assert [one.frame for one in strangest_moments([score], [stretch], FPS)] == [120, 200, 270]
    assert [one.frame for one in strangest_moments([score], [stretch], FPS, 1)] == [120]
    assert strangest_moments([np.full(50, 3.0)], [Stretch(0, 0, 50)], FPS) == []

"""Events against hand-made series and against connected components of a closed mask."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from mpn.errors import DataError
from mpn.scoring.events import Event, EventFinder, events
from mpn.scoring.facts import OtherLook
from mpn.scoring.memory import Likeness
from mpn.scoring.reasons import Reason


def spans(raised: list[Event]) -> list[tuple[int, int]]:
    return [(event.start, event.end) for event in raised]


def series(*above: int, length: int = 40) -> np.ndarray:
    scores = np.zeros(length)
    scores[list(above)] = 2.0
    return scores


def test_all_fields_of_an_event_by_hand() -> None:
    scores = np.array([np.nan, 0, 0, 2, 3, 5, 4, 0, 0])
    regions = [None, *[(k, 0, 8, 8) for k in range(8)]]
    (event,) = events(scores, 1.0, 10, regions=regions)
    assert event == Event(3, 7, 0.3, 0.7, 5, 5.0, (4, 0, 8, 8), peak_raw=5.0)
    assert event.frames == 4
    assert event.seconds == pytest.approx(0.4)
    assert event.to_dict() == {
        "start": 3,
        "end": 7,
        "start_seconds": 0.3,
        "end_seconds": 0.7,
        "peak_frame": 5,
        "peak_score": 5.0,
        "region": [4, 0, 8, 8],
        "reason": None,
        "like": None,
        "peak_raw": 5.0,
    }


def test_an_event_keeps_the_nearest_name_of_its_frames() -> None:
    far, near, no = Likeness("dog", 0.4), Likeness("cat", 0.1), None
    finder = EventFinder(1.0, 10)
    for frame, (score, like) in enumerate([(2, no), (9, far), (3, near), (5, far), (2, no)]):
        assert finder.update(frame, score, like=like) == []
    (event,) = finder.finish()
    assert event.peak_frame == 1 and event.like == near
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event


def test_the_threshold_itself_is_not_above() -> None:
    assert events(np.full(10, 1.0), 1.0, 10) == []
    assert spans(events(np.full(10, 1.0001), 1.0, 10)) == [(0, 10)]


def test_gaps_under_one_second_are_closed_and_of_one_second_not() -> None:
    # at 5 frames/s: 4 frames between are 0.8 s, 5 frames are 1 s
    assert spans(events(series(3, 4, 5, 10, 11, 12), 1.0, 5)) == [(3, 13)]
    assert spans(events(series(3, 4, 5, 11, 12, 13), 1.0, 5)) == [(3, 6), (11, 14)]
    assert spans(events(series(3, 4, 5, 8, 9, 10), 1.0, 5, gap_seconds=0.0)) == [(3, 6), (8, 11)]


def test_events_under_three_frames_are_dropped_after_closing() -> None:
    assert spans(events(series(5, 6), 1.0, 5)) == []
    assert spans(events(series(5, 7), 1.0, 5)) == [(5, 8)]
    assert spans(events(series(5), 1.0, 5, min_frames=1)) == [(5, 6)]


def test_an_event_may_begin_and_end_with_the_video() -> None:
    assert spans(events(np.full(4, 2.0), 1.0, 25)) == [(0, 4)]


def test_seconds_are_exact_for_fractional_rates() -> None:
    (event,) = events(series(30, 31, 32), 1.0, Fraction(30000, 1001))
    assert event.start_seconds == pytest.approx(1.001, abs=1e-12)
    assert event.end_seconds == pytest.approx(33 * 1001 / 30000, abs=1e-12)


def by_components(scores: np.ndarray, gap: int, min_frames: int) -> list[tuple[int, int]]:
    """Fill runs of fewer than `gap` frames between two runs above, then label what is left."""
    mask = scores > 1.0
    holes, _ = ndimage.label(~mask)
    for (hole,) in ndimage.find_objects(holes):
        inside = hole.start > 0 and hole.stop < len(mask)
        if inside and hole.stop - hole.start < gap:
            mask[hole] = True
    runs = [run for (run,) in ndimage.find_objects(ndimage.label(mask)[0])]
    return [(run.start, run.stop) for run in runs if run.stop - run.start >= min_frames]


@pytest.mark.parametrize("seed", range(8))
def test_same_as_connected_components_and_as_the_stream(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=600)
    scores[:4] = np.nan
    fps = int(rng.integers(2, 9))
    raised = events(scores, 1.0, fps)
    assert spans(raised) == by_components(scores, fps, 3)
    assert len(raised) > 1
    finder, streamed = EventFinder(1.0, fps), []
    for frame, score in enumerate(scores):
        finished = finder.update(frame, score)
        assert all(event.end <= frame - fps + 1 for event in finished)  # only when surely over
        streamed += finished
    assert streamed + finder.finish() == raised
    for event in raised:
        inside = scores[event.start : event.end]
        assert event.peak_score == np.nanmax(inside)
        assert event.peak_frame == event.start + int(np.nanargmax(inside))


def test_a_finished_event_comes_as_soon_as_the_gap_is_long_enough() -> None:
    finder = EventFinder(1.0, 5)
    frames = [frame for frame, score in enumerate(series(3, 4, 5)) if finder.update(frame, score)]
    assert frames == [10]  # frames 6 to 10 make one second
    assert finder.finish() == []


def test_left_out_frames_are_a_gap() -> None:
    finder = EventFinder(1.0, 5, min_frames=1)
    assert finder.update(0, 2.0) == []
    assert spans(finder.update(20, 2.0)) == [(0, 1)]
    assert spans(finder.finish()) == [(20, 21)]
    assert finder.finish() == []


def test_wrong_use() -> None:
    for rate in (None, 0, -5, float("nan")):
        with pytest.raises(DataError, match="frame rate"):
            EventFinder(1.0, rate)
    finder = EventFinder(1.0, 5)
    finder.update(3, 0.0)
    with pytest.raises(DataError, match="frame 3 after frame 3"):
        finder.update(3, 0.0)
    with pytest.raises(DataError, match="2 scores but 1 regions"):
        events(np.zeros(2), 1.0, 5, regions=[None])


def test_every_third_frame_of_a_video_stands_for_three() -> None:
    # At 30 frames/s every third: 10 a second, so that nine of these without a score above are a gap
    # that is closed.
    finder = EventFinder(1.0, 10, step=3)
    raised = []
    for frame in range(0, 300, 3):
        raised += finder.update(
            frame, 2.0 if frame in (30, 33, 36, 66, 120, 150, 153, 156) else 0.0
        )
    raised += finder.finish()
    # 36 to 66: frames 39 to 63, nine scored ones; 66 to 120: more; 120 alone, joined to 150 by nine
    # (123 to 147).
    assert spans(raised) == [(30, 69), (120, 159)]
    assert [(event.start_seconds, event.end_seconds) for event in raised] == [
        (1.0, 2.3),
        (4.0, 5.3),
    ]


def test_events_have_the_times_of_their_frames() -> None:
    finder = EventFinder(1.0, 10)
    times = [0.0, 0.1, 0.25, 0.3, 0.9, 1.0]
    for frame, seconds in enumerate(times):
        finder.update(frame, 2.0 if 1 <= frame <= 4 else 0.0, None, seconds)
    (event,) = finder.finish()
    assert (event.start, event.end, event.start_seconds, event.end_seconds) == (1, 5, 0.1, 1.0)


@pytest.mark.parametrize("timed", [False, True])
def test_an_event_that_was_long_enough_is_held_open_longer(timed: bool) -> None:
    # By hand, 10 frames/s: three frames above, 2.9 s below, one above: one event. A single frame
    # above is no event yet, so what comes 1.0 s later does not belong to it, and both are dropped.
    finder = EventFinder(0.5, 10, hold_seconds=3.0)
    above = {0, 1, 2, 32, 70, 81}
    raised = []
    for frame in range(120):
        raised += finder.update(frame, float(frame in above), seconds=frame / 10 if timed else None)
    assert [(event.start, event.end) for event in raised] == [(0, 33)]
    assert finder.finish() == []


def test_an_event_through_a_dictionary() -> None:
    for region in (None, (1, 2, 3, 4)):
        event = Event(3, 7, 0.3, 0.7, 5, 5.5, region, peak_raw=6.25)
        assert Event.from_dict(event.to_dict() | {"further": 1}) == event


def test_an_event_has_the_reason_of_its_peak() -> None:
    reasons = [Reason((OtherLook("error", float(k), True),), {"error": 1.0}) for k in range(9)]
    scores = np.array([np.nan, 0, 0, 2, 3, 5, 4, 0, 0])
    (event,) = events(scores, 1.0, 10, reasons=reasons)
    assert event.peak_frame == 5 and event.reason == reasons[5]
    assert Event.from_dict(event.to_dict()) == event
    (without,) = events(scores, 1.0, 10)
    earlier = {name: value for name, value in event.to_dict().items() if name != "reason"}
    assert without.reason is None and Event.from_dict(earlier) == without
    with pytest.raises(DataError, match="9 scores but 8 reasons"):
        events(scores, 1.0, 10, reasons=reasons[:8])


def test_the_peak_frame_is_the_one_that_shows_it_best_before_smoothing() -> None:
    # By hand: the smoothed score is highest at frame 5, where nothing is seen any more.
    smoothed, raw = [0.0, 0.0, 1.1, 2.0, 2.6, 2.7, 2.0, 0.5], [0.0, 0.0, 3.0, 6.0, 5.0, 1.0, 0, 0]
    places = [(k, 0, 8, 8) for k in range(8)]
    (event,) = events(np.array(smoothed), 1.0, 10, regions=places, raw=raw)
    assert (event.start, event.end, event.peak_frame) == (2, 7, 3)
    assert (event.peak_score, event.peak_raw, event.region) == (2.7, 6.0, (3, 0, 8, 8))


def test_an_open_event_can_be_given_to_another_finder() -> None:
    scores = [0, 2, 3, 2, 0, 2, 2, 0, *[0] * 20]
    for stop in range(len(scores)):
        first, second = EventFinder(1.0, 10), EventFinder(1.0, 10)
        raised = [event for frame in range(stop) for event in first.update(frame, scores[frame])]
        second.open = first.open
        raised += [
            event
            for frame in range(stop, len(scores))
            for event in second.update(frame, scores[frame])
        ]
        assert raised + second.finish() == events(np.array(scores, float), 1.0, 10)


def timed(frames: list[tuple[float, float]], fps: float) -> list[Event]:
    """Find the events of (seconds, score) frames."""
    finder, raised = EventFinder(1.0, fps), []
    for frame, (seconds, score) in enumerate(frames):
        raised += finder.update(frame, score, None, seconds)
    return raised + finder.finish()


def test_a_pause_of_the_recorder_ends_an_event() -> None:
    frames = [(0.1 * k + (1000 if k >= 20 else 0), 2.0 * (15 <= k < 25)) for k in range(40)]
    before, after = timed(frames, 10)
    assert (before.start, before.end, after.start, after.end) == (15, 20, 20, 25)
    assert (before.start_seconds, before.end_seconds) == pytest.approx((1.5, 2.0))
    assert (after.start_seconds, after.end_seconds) == pytest.approx((1002.0, 1002.5))


@pytest.mark.parametrize("fps", [5, 10, 20, 40])
def test_gaps_are_measured_by_the_times_whatever_the_rate_is_said_to_be(fps: float) -> None:
    # By day 20 frames a second, at night 5; in each a gap of less than a second and one of more.
    by_day = [(0.05 * k, 2.0 * (k < 10 or 27 <= k < 40 or 61 <= k < 70)) for k in range(100)]
    at_night = [(5 + 0.2 * k, 2.0 * (k < 5 or 9 <= k < 15 or 21 <= k < 25)) for k in range(40)]
    assert spans(timed(by_day, fps)) == [(0, 40), (61, 70)]
    assert spans(timed(at_night, fps)) == [(0, 15), (21, 25)]
    assert timed(by_day, fps)[1].end_seconds == pytest.approx(min(70 * 0.05, 69 * 0.05 + 1 / fps))


@pytest.mark.parametrize("rate", [5, 8, 12.5, Fraction(30000, 1001), 25])
def test_times_of_a_steady_stream_change_nothing(rate: float | Fraction) -> None:
    scores = np.random.default_rng(int(rate)).normal(size=3000)
    finder, streamed = EventFinder(1.2, rate), []
    for frame, score in enumerate(scores):
        streamed += finder.update(frame, score, None, float(frame / Fraction(rate)))
    assert spans(streamed + finder.finish()) == spans(events(scores, 1.2, rate))

"""Alarms, found events and delays on timelines drawn by hand, and against `mpn.scoring.events`
frame by frame."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpn.errors import DataError, LabelError
from mpn.metrics import operator_metrics
from mpn.metrics.operators import stretches
from mpn.scoring.events import events

FPS = 10  # a gap of 9 frames is closed, one of 10 is not


def frames(count: int, *spans: tuple[int, int]) -> np.ndarray:
    """True in the spans, end exclusive."""
    mask = np.zeros(count, dtype=bool)
    for start, end in spans:
        mask[start:end] = True
    return mask


def figures(
    labels: dict[str, np.ndarray], alarms: dict[str, np.ndarray], fps: object = FPS
) -> object:
    """With scores 1 where alarms are and 0 elsewhere, and a threshold between."""
    return operator_metrics(
        labels, {name: mask.astype(float) for name, mask in alarms.items()}, 0.5, fps
    )


def test_found_missed_and_false_by_hand() -> None:
    labels = {"a": frames(400, (100, 150), (300, 350))}
    alarms = {"a": frames(400, (20, 30), (110, 120), (200, 210))}
    outcome = figures(labels, alarms)
    assert (outcome.threshold, outcome.false_alarms, outcome.events, outcome.events_found) == (
        0.5,
        2,
        2,
        1,
    )
    assert outcome.event_recall == 0.5
    assert outcome.normal_hours == pytest.approx(30 / 3600)  # 300 frames at 10 a second
    assert outcome.false_alarms_per_hour == pytest.approx(2 * 120)
    assert outcome.mean_delay_seconds == outcome.median_delay_seconds == 1.0


def test_an_alarm_that_was_already_on_has_no_delay_and_is_not_false() -> None:
    outcome = figures({"a": frames(200, (100, 150))}, {"a": frames(200, (80, 110))})
    assert (outcome.false_alarms, outcome.events_found, outcome.mean_delay_seconds) == (0, 1, 0.0)


def test_the_first_of_several_alarms_in_an_event_counts() -> None:
    outcome = figures({"a": frames(300, (100, 200))}, {"a": frames(300, (120, 130), (160, 220))})
    assert (outcome.false_alarms, outcome.events_found, outcome.mean_delay_seconds) == (0, 1, 2.0)


def test_one_alarm_finds_all_events_that_it_overlaps() -> None:
    labels = {"a": frames(300, (100, 120), (140, 160), (200, 220))}
    outcome = figures(labels, {"a": frames(300, (105, 145))})
    assert (outcome.events, outcome.events_found, outcome.false_alarms) == (3, 2, 0)
    assert (outcome.mean_delay_seconds, outcome.median_delay_seconds) == (0.25, 0.25)


def test_an_alarm_that_ends_where_an_event_begins_is_false() -> None:
    before = figures({"a": frames(200, (100, 150))}, {"a": frames(200, (90, 100))})
    assert (before.false_alarms, before.events_found) == (1, 0)
    after = figures({"a": frames(200, (100, 150))}, {"a": frames(200, (150, 160))})
    assert (after.false_alarms, after.events_found) == (1, 0)


def test_gaps_under_a_second_are_closed_in_alarms_and_labels() -> None:
    nothing = {"a": frames(200)}
    # 9 frames apart
    assert figures(nothing, {"a": frames(200, (20, 30), (39, 45))}).false_alarms == 1
    # 10 frames apart
    assert figures(nothing, {"a": frames(200, (20, 30), (40, 45))}).false_alarms == 2
    assert figures({"a": frames(200, (20, 30), (39, 45))}, nothing).events == 1
    assert figures({"a": frames(200, (20, 30), (40, 45))}, nothing).events == 2
    # An alarm within a label's closed gap has found the event: 32 - 20 frames after its start.
    within = figures({"a": frames(200, (20, 30), (39, 45))}, {"a": frames(200, (32, 36))})
    assert (within.false_alarms, within.events_found, within.mean_delay_seconds) == (0, 1, 1.2)
    assert within.normal_hours == pytest.approx(17.5 / 3600)  # 200 frames less 20 to 45


def test_alarms_under_three_frames_are_dropped_but_labels_are_not() -> None:
    outcome = figures(
        {"a": frames(200, (100, 101))}, {"a": frames(200, (20, 22), (60, 61), (66, 67))}
    )
    assert (outcome.events, outcome.events_found) == (1, 0)
    assert outcome.false_alarms == 1  # 60 to 67 with its gap closed


def test_frames_without_a_score_neither_alarm_nor_count() -> None:
    labels = {"a": frames(100, (0, 2), (40, 60))}
    scores = np.where(frames(100, (40, 60)), 1.0, 0.0)
    scores[:4] = np.nan
    scores[40:45] = np.nan
    outcome = operator_metrics(labels, {"a": scores}, 0.5, FPS)
    # the event in the first two frames cannot be judged
    assert (outcome.events, outcome.events_found) == (1, 1)
    assert outcome.mean_delay_seconds == 0.5  # from the event's own start, not from its first score
    # 100 less 4 without a score less 20 of the event
    assert outcome.normal_hours == pytest.approx(7.6 / 3600)


def test_all_videos_count_together_each_at_its_own_rate() -> None:
    labels = {"slow": frames(100, (50, 60)), "fast": frames(1000, (500, 600)), "calm": frames(360)}
    alarms = {
        "slow": frames(100, (55, 60)),
        "fast": frames(1000, (520, 600)),
        "calm": frames(360, (0, 5)),
    }
    rates = {"slow": 5, "fast": Fraction(50), "calm": 10.0}
    outcome = figures(labels, alarms, rates)
    assert (outcome.events, outcome.events_found, outcome.false_alarms) == (2, 2, 1)
    assert outcome.mean_delay_seconds == pytest.approx((5 / 5 + 20 / 50) / 2)
    assert outcome.normal_hours == pytest.approx((90 / 5 + 900 / 50 + 36) / 3600)
    # Two videos are two: an alarm at the end of one does not run on into the next.
    ends = {"b": frames(60, (40, 60)), "c": frames(60, (0, 20))}
    assert figures({"b": frames(60), "c": frames(60)}, ends).false_alarms == 2


def test_median_and_mean_of_delays() -> None:
    labels = {"a": frames(1000, (100, 200), (300, 400), (500, 600))}
    outcome = figures(labels, {"a": frames(1000, (100, 110), (310, 320), (580, 590))})
    assert outcome.median_delay_seconds == 1.0  # of 0, 1 and 8
    assert outcome.mean_delay_seconds == 3.0


def test_what_is_undefined_is_nan() -> None:
    calm = figures({"a": frames(50)}, {"a": frames(50)})
    assert (calm.events, calm.false_alarms, calm.false_alarms_per_hour) == (0, 0, 0.0)
    assert np.isnan([calm.event_recall, calm.mean_delay_seconds, calm.median_delay_seconds]).all()
    full = figures({"a": ~frames(50)}, {"a": frames(50, (10, 20))})
    assert (full.normal_hours, full.event_recall) == (0.0, 1.0)
    assert np.isnan(full.false_alarms_per_hour)


def test_a_score_at_the_threshold_does_not_alarm() -> None:
    labels, scores = {"a": frames(50)}, {"a": np.full(50, 2.0)}
    assert operator_metrics(labels, scores, 2.0, FPS).false_alarms == 0
    assert operator_metrics(labels, scores, np.nextafter(2.0, 0), FPS).false_alarms == 1
    assert operator_metrics(labels, scores, np.inf, FPS).false_alarms == 0


SCORES = st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(
    scores=SCORES,
    threshold=st.sampled_from([0.0, 0.5, 1.0]),
    fps=st.sampled_from([1, 2.5, 4, Fraction(30, 7)]),
)
def test_alarms_are_the_events_of_the_frame_by_frame_finder(
    scores: list, threshold: float, fps: object
) -> None:
    values = np.array(scores)
    expected = [[event.start, event.end] for event in events(values, threshold, fps)]
    gap = next(gap for gap in range(1, 99) if gap >= fps)  # the shortest gap that lasts a second
    assert stretches(values > threshold, gap, 3).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(
    videos=st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=40),
        min_size=1,
        max_size=4,
    ),
    fps=st.sampled_from([2, 5.0, Fraction(10, 3)]),
)
def test_figures_are_those_of_loops_over_events(videos: list, fps: object) -> None:
    labels = {f"v{k}": np.array([y for y, _ in video]) for k, video in enumerate(videos)}
    scores = {f"v{k}": np.array([float(s) for _, s in video]) for k, video in enumerate(videos)}
    false, delays, count = 0, [], 0
    for name in labels:
        alarms = [range(e.start, e.end) for e in events(scores[name], 1.5, fps)]
        truth = [
            range(e.start, e.end)
            for e in events(labels[name].astype(float), 0.5, fps, min_frames=1)
        ]
        false += sum(not any(set(alarm) & set(event) for event in truth) for alarm in alarms)
        count += len(truth)
        for event in truth:
            inside = [frame for alarm in alarms for frame in alarm if frame in event]
            if inside:
                delays.append((min(inside) - event.start) / float(fps))
    outcome = operator_metrics(labels, scores, 1.5, fps)
    assert (outcome.false_alarms, outcome.events, outcome.events_found) == (
        false,
        count,
        len(delays),
    )
    if delays:
        assert outcome.mean_delay_seconds == pytest.approx(np.mean(delays))
        assert outcome.median_delay_seconds == pytest.approx(np.median(delays))


def test_a_higher_threshold_never_finds_more_events() -> None:
    rng = np.random.default_rng(0)
    labels = {"a": frames(3000, *((start, start + 60) for start in range(100, 2900, 200)))}
    scores = {"a": np.convolve(rng.normal(size=3000), np.ones(9) / 3, "same") + labels["a"]}
    recalls = [
        operator_metrics(labels, scores, level, FPS).event_recall
        for level in np.linspace(-3, 6, 19)
    ]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] == 1.0
    assert recalls[-1] == 0.0


@pytest.mark.parametrize(
    ("labels", "scores", "threshold", "fps", "error", "message"),
    [
        ({"a": [0, 1]}, {"b": [0.0, 1.0]}, 0.5, 25, LabelError, "'a' has no scores"),
        ({"a": [0, 1]}, {"a": [0.0, 1.0, 2.0]}, 0.5, 25, LabelError, "'a': 2 labels but 3 scores"),
        ({"a": [0, 1]}, {"a": [0.0, np.inf]}, 0.5, 25, LabelError, "frame 1 is inf"),
        ([[0, 1]], [[0.0, 1.0]], 0.5, 25, LabelError, "must be mappings"),
        ({"a": [0, 1]}, {"a": [0.0, 1.0]}, np.nan, 25, DataError, "threshold is nan"),
        ({"a": [0, 1]}, {"a": [0.0, 1.0]}, 0.5, 0, DataError, "frame rate 0"),
        ({"a": [0, 1]}, {"a": [0.0, 1.0]}, 0.5, None, DataError, "frame rate None"),
        ({"a": [0, 1]}, {"a": [0.0, 1.0]}, 0.5, {"b": 25}, DataError, "'a' has no frame rate"),
    ],
)
def test_what_does_not_fit_is_refused(
    labels: object, scores: object, threshold: float, fps: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        operator_metrics(labels, scores, threshold, fps)

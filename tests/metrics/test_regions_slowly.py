"""RBDC and TBDC against a second, slow reading of both definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mpn.metrics.regions import (
    VARIANTS,
    Region,
    TrueRegion,
    region_and_track_criteria,
)
from tests.helpers.regions import areas, both, found, true


def pixels(box: tuple) -> set:
    top, left, height, width = box
    return {(y, x) for y in range(top, top + height) for x in range(left, left + width)}


def batches_of(regions: list[Region], variant: str) -> list[list[Region]]:
    """What enters at each step as the threshold falls."""
    ranked = sorted(regions, key=lambda region: region.score, reverse=True)
    if variant == "script":
        return [[region] for region in ranked]
    scores = sorted({region.score for region in ranked}, reverse=True)
    return [[region for region in ranked if region.score == score] for score in scores]


def areas_below(points: list[tuple[float, float, float]], variant: str) -> tuple:
    """Areas below both curves up to one false positive a frame."""
    area = [0.0, 0.0]
    inside = [point for point in points if point[0] <= 1]
    if inside[-1][0] < 1:
        last = inside[-1]
        if variant == "paper" and len(inside) < len(points):
            beyond = points[len(inside)]
            part = (1 - last[0]) / (beyond[0] - last[0])
            inside.append((1.0, *(a + part * (b - a) for a, b in zip(last[1:], beyond[1:]))))
        else:
            inside.append((1.0, *last[1:]))
    for before, after in zip(inside, inside[1:]):
        for k in (0, 1):
            area[k] += (after[0] - before[0]) * (before[k + 1] + after[k + 1]) / 2
    return tuple(area)


def slow(
    truth: list[TrueRegion],
    regions: list[Region],
    frames: int,
    variant: str,
    iou: float,
    share: float,
) -> tuple:
    """Both areas by loops over thresholds, boxes as sets of pixels."""

    def hits(region: Region) -> set[int]:
        mine = pixels(region.box)
        return {
            k
            for k, t in enumerate(truth)
            if (t.video, t.frame) == (region.video, region.frame)
            and len(mine & pixels(t.box)) / len(mine | pixels(t.box)) >= iou
        }

    tracks: dict[tuple, list[int]] = {}
    for k, t in enumerate(truth):
        tracks.setdefault((t.video, t.track), []).append(k)
    detected: set[int] = set()
    alarms = 0
    points = [(0.0, 0.0, 0.0)]
    for batch in batches_of(regions, variant):
        for region in batch:
            matched = hits(region)
            detected |= matched
            alarms += not matched
        detected_tracks = sum(
            len(detected & set(members)) / len(members) >= share for members in tracks.values()
        )
        points.append((alarms / frames, len(detected) / len(truth), detected_tracks / len(tracks)))
    return areas_below(points, variant)


BOXES = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4), st.integers(1, 5))
PLACES = st.tuples(st.sampled_from("ab"), st.integers(0, 2))
TRUTH = st.lists(
    st.builds(lambda p, t, b: TrueRegion(*p, t, b), PLACES, st.integers(0, 2), BOXES), max_size=12
)
FOUND = st.lists(
    st.builds(lambda p, b, s: Region(*p, b, s), PLACES, BOXES, st.integers(0, 4).map(float)),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(
    TRUTH,
    FOUND,
    st.sampled_from(VARIANTS),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.sampled_from([0.1, 0.5, 1.0]),
)
def test_both_variants_against_the_slow_reading(
    truth: list, regions: list, variant: str, iou: float, share: float
) -> None:
    assume(truth)
    result = region_and_track_criteria(truth, regions, {"a": 3, "b": 3}, variant, iou, share)
    assert (result.rbdc, result.tbdc) == pytest.approx(
        slow(truth, regions, 6, variant, iou, share), abs=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(TRUTH, FOUND, st.randoms(use_true_random=False))
def test_without_ties_the_variants_agree_in_any_order(
    truth: list, regions: list, random: object
) -> None:
    assume(truth)
    apart = [region._replace(score=float(k)) for k, region in enumerate(regions)]
    results = both(truth, apart, 6)
    assert areas(results[0]) == areas(results[1])
    shuffled = list(apart)
    random.shuffle(shuffled)
    assert [areas(result) for result in both(list(reversed(truth)), shuffled, 6)] == [
        areas(r) for r in results
    ]


@settings(max_examples=60, deadline=None)
@given(TRUTH, FOUND, st.sampled_from(VARIANTS))
def test_only_the_order_of_scores_counts_and_names_do_not(
    truth: list, regions: list, variant: str
) -> None:
    assume(truth)
    result = region_and_track_criteria(truth, regions, 6, variant)
    changed = region_and_track_criteria(
        [t._replace(video=t.video + "x", track=10**12 - 7 * t.track) for t in truth],
        [r._replace(video=r.video + "x", score=math.exp(r.score) - 100) for r in regions],
        6,
        variant,
    )
    assert areas(changed) == areas(result)
    assert np.all(np.diff(result.curve_fpr) >= 0)
    assert result.curve_fpr[-1] == 1.0
    assert np.all(np.diff(result.curve_rbdr) >= 0)


def test_pairs_compared_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    def box() -> tuple:
        return (*map(int, rng.integers(0, 5, 2)), *map(int, rng.integers(1, 5, 2)))

    truth = [true(int(rng.integers(4)), k % 3, box()) for k in range(30)]
    regions = [found(int(rng.integers(5)), float(rng.normal()), box()) for _ in range(50)]
    whole = region_and_track_criteria(truth, regions, 40)
    monkeypatch.setattr("mpn.metrics.regions.PAIRS", 3)
    assert areas(region_and_track_criteria(truth, regions, 40)) == areas(whole)

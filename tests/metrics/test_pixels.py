"""Pixel figures against scikit-learn on all pixels, hand-made frames and properties."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mpn.errors import LabelError
from mpn.metrics import pixels as pixel_metrics
from mpn.metrics.pixels import PixelMetrics, PixelResult


def figures_of(videos: dict, share: float = 0.4, draws: int = 20, seed: int = 0) -> PixelResult:
    figures = PixelMetrics(share)
    for name, frames in videos.items():
        for grid, mask in frames:
            figures.update(name, grid, mask)
    return figures.compute(draws=draws, seed=seed)


def all_pixels(videos: dict) -> tuple[np.ndarray, np.ndarray]:
    frames = [frame for frames in videos.values() for frame in frames]
    return np.concatenate([m.ravel() for _, m in frames]), np.concatenate(
        [g.ravel() for g, _ in frames]
    )


def random_videos(
    seed: int, count: int = 4, shape: tuple[int, int] = (12, 16), frames: int = 5
) -> dict:
    rng = np.random.default_rng(seed)
    videos = {}
    for k in range(count):
        masks = [rng.random(shape) < (0.2 if rng.random() < 0.6 else 0.0) for _ in range(frames)]
        videos[f"v{k}"] = [
            (rng.normal(0, 3, shape).astype(np.float32) + mask, mask) for mask in masks
        ]
    return videos


@pytest.mark.parametrize("seed", range(3))
def test_pixel_auc_is_that_of_all_pixels_in_one_ranking(seed: int) -> None:
    videos = random_videos(seed)
    labels, values = all_pixels(videos)
    result = figures_of(videos)
    assert result.pixel_auc == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    assert result.pixel_auc_bounds == (result.pixel_auc,) * 2  # nothing was left uncounted
    assert (result.pixels, result.anomalous_pixels) == (labels.size, labels.sum())


# Few values make ties; a negative zero ties with zero.
VALUES = st.sampled_from([-3.5, -1.0, -0.0, 0.0, 1e-30, -1e-30, 0.25, 2.0, 1e30])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(VALUES, st.booleans()), min_size=4, max_size=4), min_size=1, max_size=8
    )
)
def test_pixel_auc_with_ties_and_signs(frames: list) -> None:
    grids = [np.array([value for value, _ in frame], np.float32).reshape(2, 2) for frame in frames]
    masks = [np.array([marked for _, marked in frame]).reshape(2, 2) for frame in frames]
    labels, values = (
        np.concatenate([m.ravel() for m in masks]),
        np.concatenate([g.ravel() for g in grids]),
    )
    result = figures_of({"a": list(zip(grids, masks))})
    if labels.all() or not labels.any():
        assert math.isnan(result.pixel_auc)
    else:
        assert result.pixel_auc == pytest.approx(roc_auc_score(labels, values), abs=1e-12)


def test_dropped_bits_keep_the_true_value_between_the_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos = random_videos(5, count=3, shape=(40, 40))
    labels, values = all_pixels(videos)
    monkeypatch.setattr(pixel_metrics, "MAX_COUNTS", 2000)
    monkeypatch.setattr(pixel_metrics, "MAX_COUNTS_EACH", 2000)
    monkeypatch.setattr(pixel_metrics, "PENDING", 3000)
    figures = PixelMetrics()
    for name, frames in videos.items():
        for grid, mask in frames:
            figures.update(name, grid, mask)
            for counter in (figures._all, figures._each):
                assert (
                    sum(
                        len(histogram.codes)
                        for pair in counter.counts.values()
                        for histogram in pair
                    )
                    <= 2000
                )
    result = figures.compute(draws=5)
    low, high = result.pixel_auc_bounds
    truth = roc_auc_score(labels, values)
    assert low < truth < high
    assert low < result.pixel_auc < high
    assert high - low < 0.01
    assert abs(result.pixel_auc - truth) < 0.001


def test_the_order_of_frames_and_when_they_are_counted_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos = dict(reversed(random_videos(6, shape=(30, 30)).items()))
    monkeypatch.setattr(pixel_metrics, "MAX_COUNTS", 1000)
    monkeypatch.setattr(pixel_metrics, "MAX_COUNTS_EACH", 1000)
    whole = figures_of(videos)
    monkeypatch.setattr(pixel_metrics, "PENDING", 1000)
    mixed = PixelMetrics()
    for k in range(5):
        for name in videos:  # the same order of the videos: draws are by their place
            mixed.update(name, *videos[name][k])
    assert mixed.compute(draws=20) == whole


def test_figures_may_be_asked_for_midway() -> None:
    videos = random_videos(7)
    figures = PixelMetrics()
    for name, frames in videos.items():
        for frame in frames:
            figures.update(name, *frame)
            figures.compute(draws=2)
    assert figures.compute(draws=20) == figures_of(videos)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_reversed_maps_turn_the_auc_and_monotone_changes_keep_it(seed: int) -> None:
    videos = random_videos(seed, count=2, shape=(5, 7), frames=4)
    assume(0 < sum(mask.any() for frames in videos.values() for _, mask in frames) < 8)
    result = figures_of(videos)
    turned = figures_of({name: [(-g, m) for g, m in frames] for name, frames in videos.items()})
    # exact
    doubled = figures_of({name: [(g * 4, m) for g, m in frames] for name, frames in videos.items()})
    assert turned.pixel_auc == pytest.approx(1 - result.pixel_auc, abs=1e-12)
    assert doubled == result


def test_a_grid_is_brought_to_the_size_of_the_mask() -> None:
    rng = np.random.default_rng(1)
    grids = [rng.random((6, 9)).astype(np.float32) for _ in range(4)]
    mask = np.zeros((24, 36), bool)
    mask[4:12, 8:20] = True
    large = [cv2.resize(grid, (36, 24), interpolation=cv2.INTER_LINEAR) for grid in grids]
    result = figures_of({"a": [(grid, mask) for grid in grids]})
    assert result.pixels == 4 * 24 * 36
    expected = roc_auc_score(np.tile(mask.ravel(), 4), np.concatenate([g.ravel() for g in large]))
    assert result.pixel_auc == pytest.approx(expected, abs=1e-12)


# --- The UCSD criterion


def frame(values: list[float], marked: list[int]) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((1, len(values)), bool)
    mask[0, marked] = True
    return np.array([values], np.float32), mask


def test_pixel_level_criterion_by_hand() -> None:
    # Anomalous pixels 9 7 5 3 1: at 40 % two of them have to be marked, so the frame is found up to
    # threshold 7, whatever its normal pixel (8) is. The two normal frames are false alarms up to 6
    # and 8. Pairs: 7 > 6, 7 < 8 -> AUC 1/2.
    videos = {
        "a": [
            frame([9, 7, 5, 3, 1, 8], [0, 1, 2, 3, 4]),
            frame([6, 0, 0, 0, 0, 0], []),
            frame([8, 1], []),
        ]
    }
    result = figures_of(videos)
    assert result.pixel_level_auc == pytest.approx(0.5)
    assert (result.frames, result.masked_frames) == (3, 1)
    # From threshold 8 on one of two normal frames is an alarm, at 7 the anomalous one is found: the
    # ROC goes (0, 0), (1/2, 0), (1/2, 1), (1, 1) and meets false alarms = misses at 1/2.
    assert result.pixel_level_eer == pytest.approx(0.5)
    # One pixel is enough at 20 %: 9 > 8. Three are needed at 60 %: 5 < 6.
    assert figures_of(videos, share=0.2).pixel_level_auc == pytest.approx(1.0)
    assert figures_of(videos, share=0.6).pixel_level_auc == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("count", "needed"), [(1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (35, 14), (100, 40)]
)
def test_forty_per_cent_of_the_pixels_exactly(count: int, needed: int) -> None:
    # Pixels count, count - 1, ..., 1: found up to the needed-th, count - needed + 1.
    values = list(range(count, 0, -1))
    at = count - needed + 1
    for normal, auc in ((at - 0.5, 1.0), (at + 0.5, 0.0)):
        videos = {"a": [frame(values, list(range(count))), frame([normal], [])]}
        assert figures_of(videos).pixel_level_auc == auc


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.4, 0.5, 1.0]))
def test_pixel_level_criterion_is_its_definition_at_every_threshold(
    seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    grids = rng.integers(0, 6, (9, 4, 5)).astype(np.float32)
    frames = [(grid, rng.random((4, 5)) < rng.choice([0, 0.4])) for grid in grids]
    anomalous = np.array([mask.any() for _, mask in frames])
    assume(anomalous.any() and not anomalous.all())
    rates = [(0.0, 0.0)]
    for threshold in range(6, -1, -1):  # plain reading of the paper
        alarm = [
            (g[m] >= threshold).mean() >= share if m.any() else (g >= threshold).any()
            for g, m in frames
        ]
        rates.append((np.mean(np.array(alarm)[~anomalous]), np.mean(np.array(alarm)[anomalous])))
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in zip(rates, rates[1:]))
    assert figures_of({"a": frames}, share).pixel_level_auc == pytest.approx(area, abs=1e-12)


# --- Intervals


def test_the_interval_is_that_of_drawn_videos_put_together() -> None:
    videos = random_videos(3, count=5)
    names = list(videos)
    values = []
    for picks in np.random.default_rng(4).integers(0, 5, size=(50, 5)):
        labels, scores = all_pixels({k: videos[names[pick]] for k, pick in enumerate(picks)})
        values.append(roc_auc_score(labels, scores))
    interval = figures_of(videos, draws=50, seed=4).pixel_auc_interval
    low, high = np.quantile(values, [0.025, 0.975])
    assert interval.low == pytest.approx(low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9)
    assert (interval.draws, interval.skipped) == (50, 0)


def test_groups_move_the_interval_by_no_more_than_they_hide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos = random_videos(3, count=5, shape=(40, 40))
    fine = figures_of(videos, draws=50).pixel_auc_interval
    monkeypatch.setattr(pixel_metrics, "GROUPS", 200)
    coarse = figures_of(videos, draws=50).pixel_auc_interval
    assert coarse.low != fine.low
    for end in ("low", "high"):
        assert abs(getattr(coarse, end) - getattr(fine, end)) < 2 / 200


def test_draws_of_one_class_are_left_out_and_counted() -> None:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    videos = {"all": [(grid, np.ones((2, 3), bool))], "none": [(grid, np.zeros((2, 3), bool))]}
    interval = figures_of(videos, draws=400).pixel_auc_interval
    assert interval.draws + interval.skipped == 400
    assert 150 < interval.skipped < 250  # half of the draws take one video twice
    assert interval.value == 0.5


def test_one_video_has_no_interval() -> None:
    interval = figures_of(random_videos(1, count=1)).pixel_auc_interval
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


# --- Edges


@pytest.mark.parametrize("value", [False, True])
def test_one_class_is_undefined(value: bool) -> None:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = figures_of(
        {"a": [(grid, np.full((2, 3), value))], "b": [(grid, np.full((2, 3), value))]}
    )
    for name in ("pixel_auc", "pixel_level_auc", "pixel_level_eer"):
        assert math.isnan(getattr(result, name))
    assert all(map(math.isnan, result.pixel_auc_bounds))
    assert result.pixel_auc_interval.skipped == 20


def test_the_metrics_are_plain_numbers() -> None:
    result = figures_of(random_videos(2))
    plain = json.loads(json.dumps(asdict(result)))
    assert plain["pixel_auc"] == result.pixel_auc and plain["pixels"] == result.pixels
    assert plain["pixel_auc_interval"] == list(result.pixel_auc_interval)


def test_what_is_no_map_or_mask_is_refused() -> None:
    figures = PixelMetrics()
    mask = np.zeros((2, 3), bool)
    for grid, marked, message in [
        (np.full((2, 3), np.nan), mask, "not finite"),
        (np.full((2, 3), 1e300), mask, "not finite"),
        (np.zeros((2, 3, 3)), mask, r"\(2, 3, 3\)"),
        (np.zeros((0, 3)), mask, r"\(0, 3\)"),
        (np.zeros((2, 3)), np.zeros((2, 3, 1), bool), "mask"),
        (np.zeros((2, 3)), np.zeros((2, 3)), "float64"),
    ]:
        with pytest.raises(LabelError, match=f"'street'.*{message}"):
            figures.update("street", grid, marked)
    with pytest.raises(LabelError, match="no frames"):
        figures.compute()


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(LabelError, match="share"):
        PixelMetrics(share)


def test_merged_it_is_as_if_one_had_seen_all(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = random_videos(9, count=5, shape=(30, 30))
    for limits in (1 << 19, 1000):  # nothing dropped, much dropped
        monkeypatch.setattr(pixel_metrics, "MAX_COUNTS", limits)
        monkeypatch.setattr(pixel_metrics, "MAX_COUNTS_EACH", 2 * limits)
        merged = PixelMetrics()
        for name, frames in videos.items():
            single = merged.empty()
            for grid, mask in frames:
                single.update(name, grid, mask)
            merged.merge(single)
        assert merged.compute(draws=20) == figures_of(videos)

"""The questions of `benchmarks.calibration`: thresholds tried on footage, by split and camera."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.calibration_footage import FPS, Parts, camera_of, fitted_on, smoothed
from benchmarks.common import spread
from mpn.scoring.calibration import Calibration, calibrate, episode_peaks
from mpn.scoring.detector import Detector
from mpn.scoring.reliability import RATES, Promise, observed_rate, reliability

RARITIES = (10, 100, 1000)  # one in so many frames
FACTOR = 2.0  # between promised and observed, the goal
N_RESAMPLES = 1000  # of clips, for intervals of shares


def merge_promises(cameras: Sequence[Sequence[Promise]]) -> list[Promise]:
    """The promises of several cameras as one, rate by rate: their episodes over their hours.

    `threshold` and `interval` are NaN where the cameras' differ, `extrapolated` says whether any
    is, and `hours_behind` is the least of them. Raises ValueError where there is no camera, or
    their rates differ.
    """
    rates = {tuple(promise.rate for promise in camera) for camera in cameras}
    if len(rates) != 1:
        raise ValueError(
            f"{len(cameras)} cameras with {len(rates)} different lists of rates, expected one list"
        )
    return [_merged(promises) for promises in zip(*cameras)]


def _merged(promises: Sequence[Promise]) -> Promise:
    same = len({(promise.threshold, promise.interval) for promise in promises}) == 1
    episodes, hours = sum(p.episodes for p in promises), sum(p.hours for p in promises)
    upper, lower = (
        sum(p.observed_at_interval[end] * p.hours for p in promises) / hours for end in (0, 1)
    )
    return Promise(
        promises[0].rate,
        promises[0].threshold if same else math.nan,
        any(promise.extrapolated for promise in promises),
        promises[0].interval if same else (math.nan, math.nan),
        min(promise.hours_behind for promise in promises),
        *observed_rate(episodes, hours),
        episodes,
        hours,
        (upper, lower),
    )


def plain(value: float) -> float | None:
    """Round a number for JSON, None for NaN."""
    return None if math.isnan(value) else float(f"{value:.6g}")


def described(promise: Promise) -> dict[str, Any]:
    """Describe a promise as JSON has it."""
    shown = {
        name: [plain(x) for x in value] if isinstance(value, tuple) else value
        for name, value in promise._asdict().items()
    }
    return shown | {"ratio": plain(promise.ratio), "verdict": promise.verdict}


def dispersion(threshold: float, videos: Mapping[str, np.ndarray]) -> float | None:
    """Compute variance over mean of a clip's episodes: 1 where they come independently.

    Poisson intervals take it so.
    """
    counts = np.array([len(episode_peaks(scores, threshold, FPS)) for scores in videos.values()])
    return plain(float(counts.var(ddof=1) / counts.mean())) if counts.any() else None


def times_rare(calibration: Calibration, scores: np.ndarray, one_in: float) -> float:
    """Compute the share of frames that `rarity` calls rarer than 1 in X, times X.

    Args:
        calibration: that rarity is of.
        scores: rising.
        one_in: X.

    Returns:
        The product, NaN where so rare a score can never be claimed.
    """
    if calibration.rarity(math.inf).one_in < one_in:
        return math.nan
    # Rarity rises with the score, so the frames it is claimed for are those from one score on.
    first = bisect_left(scores, one_in, key=lambda score: calibration.rarity(float(score)).one_in)
    return one_in * (len(scores) - first) / len(scores)


def rarity_shares(
    calibration: Calibration, videos: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Compute `times_rare` for each of `RARITIES`, with its interval: 1 where rarity is honest.

    The interval is a bootstrap over clips, since neighbouring frames are alike.
    """
    names = list(videos)
    sampled = np.random.default_rng(0).integers(0, len(names), (N_RESAMPLES, len(names)))
    scores = np.sort(np.concatenate(list(videos.values())))
    lengths = np.array([len(videos[name]) for name in names])
    rows = []
    for one_in in RARITIES:
        share = times_rare(calibration, scores, one_in)
        row: dict[str, Any] = {"one_in": one_in, "can_be_claimed": not math.isnan(share)}
        if row["can_be_claimed"]:
            count = round(share * len(scores) / one_in)
            floor = scores[-count] if count else math.inf
            rare = np.array([(videos[name] >= floor).sum() for name in names])
            shares = one_in * rare[sampled].sum(1) / lengths[sampled].sum(1)
            row["share_times_x"] = plain(share)
            row["interval"] = [plain(float(x)) for x in np.quantile(shares, [0.025, 0.975])]
        rows.append(row)
    return rows


def tried_out(
    detector: Detector, clips: Mapping[str, Parts], rates: Sequence[float] = RATES
) -> list[Promise]:
    """Try out the detector's thresholds on these clips."""
    calibration = detector.calibration(FPS)
    assert calibration is not None, "a model without normal footage has no thresholds"
    return reliability(calibration, smoothed(detector, clips), rates)


def own_thresholds(
    detector: Detector, clips: Mapping[str, Parts], long: Mapping[str, Parts]
) -> dict[str, Any]:
    """Ask question (a): the checkpoint as it is, on all clips, each camera's, and the long ones."""
    calibration = detector.calibration(FPS)
    assert calibration is not None
    scores = smoothed(detector, clips)
    promises = reliability(calibration, scores)
    cameras = sorted({camera_of(name) for name in clips})
    return {
        "frames_behind": calibration.frames,
        "promises": [described(p) for p in promises],
        "dispersion": {f"{p.rate:g}": dispersion(p.threshold, scores) for p in promises},
        "observed_by_camera": {camera: observed_on(detector, clips, camera) for camera in cameras},
        "long_clips": [described(p) for p in tried_out(detector, long)],
        "rarity": rarity_shares(calibration, scores),
    }


def observed_on(detector: Detector, clips: Mapping[str, Parts], camera: str) -> dict[str, float]:
    """Count the false alarms an hour of one camera by promised rate."""
    of_it = {name: parts for name, parts in clips.items() if camera_of(name) == camera}
    return {f"{p.rate:g}": round(p.observed, 2) for p in tried_out(detector, of_it)}


def split(
    rng: np.random.Generator, clips: Mapping[str, Parts], count: int
) -> tuple[dict[str, Parts], dict[str, Parts]]:
    """Choose `count` clips of each camera at random, and give all the others too."""
    chosen: set[str] = set()
    for camera in sorted({camera_of(name) for name in clips}):
        names = [name for name in clips if camera_of(name) == camera]
        chosen.update(rng.choice(names, count, replace=False).tolist())
    return (
        {name: parts for name, parts in clips.items() if name in chosen},
        {name: parts for name, parts in clips.items() if name not in chosen},
    )


def within(ratio: float, factor: float = FACTOR) -> bool:
    """Tell whether observed is within a factor of promised."""
    return 1 / factor <= ratio <= factor


def over_splits(splits: Sequence[Sequence[Promise]]) -> dict[str, Any]:
    """Sum up each rate over all splits: ratios observed/promised, how many within the factor."""
    rows = {}
    for promises in zip(*splits):
        ratios = [promise.ratio for promise in promises]
        rows[f"{promises[0].rate:g}"] = {
            "ratio": spread([round(ratio, 4) for ratio in ratios]),
            "ratios": [round(ratio, 4) for ratio in ratios],
            "within_factor_two": sum(map(within, ratios)),
            "extrapolated": sum(promise.extrapolated for promise in promises),
            "splits": len(promises),
        }
    return rows


def refitted(
    detector: Detector, clips: Mapping[str, Parts], count: int, splits: int
) -> dict[str, Any]:
    """Ask question (b): thresholds from `count` clips of each camera, observed on the others."""
    rng = np.random.default_rng(count)
    by_split, rarity = [], []
    for _ in range(splits):
        fit, others = split(rng, clips, count)
        fitted = fitted_on(detector, fit)
        calibration = fitted.calibration(FPS)
        assert calibration is not None
        scores = smoothed(fitted, others)
        by_split.append(reliability(calibration, scores))
        rarity.append(rarity_shares(calibration, scores))
    shares = {
        str(rows[0]["one_in"]): spread([row["share_times_x"] for row in rows])
        for rows in zip(*rarity)
        if all("share_times_x" in row for row in rows)
    }
    return {
        "clips_of_each_camera": count,
        "frames_behind": calibration.frames,
        "minutes_behind": round(60 * by_split[0][0].hours_behind, 2),
        "frames_observed": round(by_split[0][0].hours * 3600 * FPS),
        "rates": over_splits(by_split),
        "coverage": coverage(detector, clips, count, 10 * splits),
        "rarity_share_times_x": shares,
        "example": [described(p) for p in by_split[0]],  # the first split
    }


def coverage(
    detector: Detector, clips: Mapping[str, Parts], count: int, n_resamples: int
) -> dict[str, Any]:
    """Count how often thresholds and intervals are right, all the footage taken for the truth.

    `count` clips of each camera are sampled from it with replacement, `n_resamples` times. Scores
    stay in the units of the checkpoint. For each rate the shares of samples whose interval is not
    wholly too low, and not wholly too high (97.5 % each is promised), and that are within a factor
    of two. Rates that all the footage shows less than ten times of are left out: it is no truth for
    these. For each rarity X that can be claimed the share of frames that is called so rare, times
    X, on average over the samples, and the same if `Calibration.rarity` took frames to come one by
    one.
    """
    rng = np.random.default_rng(2000 + count)
    scores = smoothed(detector, clips)
    cameras = [
        [name for name in clips if camera_of(name) == camera]
        for camera in sorted({camera_of(n) for n in clips})
    ]
    whole = calibrate(scores, FPS)
    rates = [rate for rate in RATES if rate * whole.hours >= 10]
    truth = {rate: whole.threshold(rate).value for rate in rates}
    right: dict[float, list[tuple[bool, bool, bool]]] = {rate: [] for rate in rates}
    every = np.sort(np.concatenate(list(scores.values())))
    rare: dict[int, list[tuple[float, float]]] = {one_in: [] for one_in in RARITIES}
    for _ in range(n_resamples):
        names = [str(name) for camera in cameras for name in rng.choice(camera, count)]
        calibration = calibrate({f"{k}": scores[name] for k, name in enumerate(names)}, FPS)
        for promise in reliability(calibration, scores, rates):
            (low, high), true = promise.interval, truth[promise.rate]
            right[promise.rate].append((true <= high, low <= true, within(promise.ratio)))
        single = replace(calibration, episode_frames=1.0)
        for one_in, shares in rare.items():
            shares.append(
                (times_rare(calibration, every, one_in), times_rare(single, every, one_in))
            )
    columns = ["not_too_low", "not_too_high", "within_factor_two"]
    rows = {
        f"{rate:g}": {
            name: round(float(share), 3) for name, share in zip(columns, np.mean(row, axis=0))
        }
        for rate, row in right.items()
    }
    return {
        "draws": n_resamples,
        "rates": rows,
        "rarity_share_times_x": {str(x): mean_shares(s) for x, s in rare.items()},
    }


def mean_shares(shares: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """Average each column over the samples in which it can be claimed, with the share of those."""
    by_episode, by_frame = (np.array(column) for column in zip(*shares))
    claimed = ~np.isnan(by_episode)
    mean, single = (
        float(x[~np.isnan(x)].mean()) if (~np.isnan(x)).any() else math.nan
        for x in (by_episode, by_frame)
    )
    return {
        "can_be_claimed": round(float(claimed.mean()), 3),
        "mean": plain(mean),
        "frame_by_frame": plain(single),
    }


def each_camera(
    detector: Detector, clips: Mapping[str, Parts], count: int, splits: int
) -> dict[str, Any]:
    """Try each camera with thresholds from `count` of its clips on its others; then together."""
    rng = np.random.default_rng(1000 + count)
    together, apart = [], []
    for _ in range(splits):
        cameras = []
        for camera in sorted({camera_of(name) for name in clips}):
            fit, others = split(
                rng, {n: parts for n, parts in clips.items() if camera_of(n) == camera}, count
            )
            cameras.append(tried_out(fitted_on(detector, fit), others))
        together.append(merge_promises(cameras))
        apart += cameras
    return {
        "clips": count,
        "minutes_behind": round(60 * together[0][0].hours_behind, 2),
        "frames_observed": round(together[0][0].hours * 3600 * FPS),
        "rates": over_splits(together),
        "rates_of_single_cameras": over_splits(apart),
    }

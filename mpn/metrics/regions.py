"""Region metrics: found and true regions in, RBDC and TBDC out (PROTOCOL section 3).

No torch, no files.

Region-based and track-based detection criteria: Ramachandra and Jones, "Street Scene: A new dataset
and evaluation protocol for video anomaly detection", WACV 2020. At a threshold, a true region is
detected if a found region of its frame overlaps it (IoU of at least 0.1); a track is if at least a
tenth of its regions are; a found region that overlaps no true one is a false positive. Both
criteria are the area under a curve, the share of regions (tracks) detected over false positives a
frame, from 0 to 1 of these.

Two variants are in use, and they differ where scores tie:

    paper   as the paper has it: at a threshold all found regions of that score enter at once, with
            a straight line to the next point; the curve is cut at exactly one false positive a
            frame.
    script  as the widely used script of Georgescu et al. (2021) counts: found regions enter one by
            one, in the order in which they are given where scores tie; the last point within one
            false positive a frame is held.

Where all scores differ, both give the same: each step then is upright or level. Scores that
saturate or are rounded make the script's figure depend on the order of the rows.

Boxes are (top, left, height, width) in pixels; IoU is of areas. A published box with corners that
belong to it has a width of x_max - x_min + 1, as the script takes it (`mpn.metrics.true_regions`
reads it so).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.integrate import trapezoid

from mpn.errors import LabelError
from mpn.metrics.intervals import Interval, draw_videos, draw_weights, interval_of

VARIANTS = ("paper", "script")
# Pairs of a found and a true region of one frame that are compared at a time.
PAIRS = 1 << 20

Box: TypeAlias = "tuple[float, float, float, float]"


class Region(NamedTuple):
    """A found region.

    Attributes:
        frame: from 0.
        box: (top, left, height, width) in pixels.
        score: higher = more anomalous.
    """

    video: str
    frame: int
    box: Box
    score: float


class TrueRegion(NamedTuple):
    """A labelled region, a part of the anomaly `track` (a number, of its own in each video)."""

    video: str
    frame: int
    track: int
    box: Box


class Criteria(NamedTuple):
    """RBDC and TBDC, in [0, 1], NaN without true regions, and what they are of.

    Curves are float64 (points,), from no region found on to one false positive a frame.

    Attributes:
        curve_fpr: x of both curves.
        curve_rbdr, curve_tbdr: the two shares, y.
        fpr_reached: false positives a frame with all found regions in; below 1 the curves' last
            values are held to 1.
    """

    rbdc: float
    tbdc: float
    variant: str
    curve_fpr: np.ndarray
    curve_rbdr: np.ndarray
    curve_tbdr: np.ndarray
    regions: int
    tracks: int
    found_regions: int
    frames: int
    fpr_reached: float


class CriteriaIntervals(NamedTuple):
    """95 % intervals of both criteria, by bootstrap over videos."""

    rbdc: Interval
    tbdc: Interval


def region_and_track_criteria(
    truth: Sequence[TrueRegion],
    found: Sequence[Region],
    frames: int | Mapping[str, int],
    variant: str = "paper",
    iou: float = 0.1,
    track_share: float = 0.1,
) -> Criteria:
    """Compute RBDC and TBDC of all videos together.

    Args:
        truth: the true regions, in any order.
        found: what was found; where scores tie "script" takes them in the order given.
        frames: how many frames are evaluated, those without regions included; or how many in each
            video. Regions of frames that are not (the first, which have no score) are left out by
            the caller, found and true ones.
        variant: one of VARIANTS, see above.
        iou: overlap from which a region is detected.
        track_share: of its regions, from which a track is.

    Raises:
        LabelError: a box without area, a score that is no number, a video that `frames` does not
            have, or an option out of range.
    """
    total = sum(frames.values()) if isinstance(frames, Mapping) else int(frames)
    steps = _steps(truth, found, frames, variant, iou, track_share)
    fpr, regions, tracks = steps.curves(None, total)
    return Criteria(
        _area(fpr, regions),
        _area(fpr, tracks),
        variant,
        fpr,
        regions,
        tracks,
        len(truth),
        len(steps.tracks),
        len(found),
        total,
        len(steps.alarms) / total,
    )


def criteria_intervals(
    truth: Sequence[TrueRegion],
    found: Sequence[Region],
    frames: Mapping[str, int],
    variant: str = "paper",
    iou: float = 0.1,
    track_share: float = 0.1,
    draws: int = 200,
    seed: int = 0,
) -> CriteriaIntervals:
    """Compute 95 % percentile intervals of RBDC and TBDC by bootstrap over videos.

    The videos of `frames` are drawn with replacement, `draws` times. Regions are compared once, not
    in each draw. Draws without true regions are left out and counted (`skipped`). Other arguments
    and errors: as `region_and_track_criteria`.
    """
    steps = _steps(truth, found, frames, variant, iou, track_share)
    lengths = np.array(list(frames.values()))
    whole = steps.areas(None, int(lengths.sum()))
    drawn = draw_weights(draw_videos(len(lengths), draws, seed))
    values = [steps.areas(weights, int(weights @ lengths)) for weights in drawn]
    columns = np.array(values, dtype=np.float64).reshape(draws, 2).T
    return CriteriaIntervals(
        *(interval_of(value, column, len(lengths)) for value, column in zip(whole, columns))
    )


# --- Counting


@dataclass(frozen=True)
class _Steps:
    """The step of the falling threshold at which something happens, and in which video.

    Steps are int64 from 0; `count`: never. alarms: of each false positive; regions: each true
    region's first detection; tracks: each track's detection.
    """

    count: int
    alarms: np.ndarray
    alarm_videos: np.ndarray
    regions: np.ndarray
    region_videos: np.ndarray
    tracks: np.ndarray
    track_videos: np.ndarray

    def curves(
        self, weights: np.ndarray | None, frames: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return false positives a frame, and shares of regions and of tracks detected.

        From nothing found on, up to 1.

        Args:
            weights: how often each video counts, None for once.
            frames: of all videos so counted.
        """

        def reached(steps: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, float]:
            weight = np.ones(len(steps)) if weights is None else weights[videos]
            happened = np.bincount(steps, weights=weight, minlength=self.count + 1)[: self.count]
            return np.concatenate([[0.0], np.cumsum(happened)]), float(weight.sum())

        alarms, _ = reached(self.alarms, self.alarm_videos)
        shares = []
        for steps, videos in ((self.regions, self.region_videos), (self.tracks, self.track_videos)):
            detected, total = reached(steps, videos)
            shares.append(detected / total if total else np.full(len(detected), np.nan))
        fpr, regions, tracks = _up_to_one(alarms / frames, *shares)
        return fpr, regions, tracks

    def areas(self, weights: np.ndarray | None, frames: int) -> tuple[float, float]:
        """Compute RBDC and TBDC.

        NaN without true regions, or where only videos without frames were drawn.
        """
        if not frames:
            return math.nan, math.nan
        fpr, regions, tracks = self.curves(weights, frames)
        return _area(fpr, regions), _area(fpr, tracks)


def _up_to_one(fpr: np.ndarray, *shares: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cut the curves at one false positive a frame.

    On a straight line between points, or the last value held. "script" has no line to cut: its
    steps are level or upright, so to hold the last value is the same.
    """
    last = int(np.searchsorted(fpr, 1.0, side="right"))
    curves = [curve[:last] for curve in (fpr, *shares)]
    if curves[0][-1] < 1.0:
        ends = [1.0]
        for share in shares:
            ends.append(float(np.interp(1.0, fpr[last - 1 : last + 1], share[last - 1 : last + 1])))
        curves = [np.append(curve, end) for curve, end in zip(curves, ends)]
    # Steps that change nothing (repeat hits) are many.
    changed = np.concatenate([[True], np.any([np.diff(curve) != 0 for curve in curves], axis=0)])
    return tuple(curve[changed] for curve in curves)


def _area(fpr: np.ndarray, share: np.ndarray) -> float:
    return float(trapezoid(share, fpr))


def _steps(
    truth: Sequence[TrueRegion],
    found: Sequence[Region],
    frames: int | Mapping[str, int],
    variant: str,
    iou: float,
    track_share: float,
) -> _Steps:
    """Compare the regions of each frame once; everything else is counting."""
    _check_options(variant, iou, track_share, frames)
    videos = _video_numbers(truth, found, frames)
    true_boxes, true_videos, true_frames = _arrays(truth, videos, "true region")
    boxes, found_videos, found_frames = _arrays(found, videos, "found region")
    step, count = _order(np.array([region.score for region in found], dtype=np.float64), variant)
    matched = np.zeros(len(found), dtype=bool)
    first = np.full(len(truth), count, dtype=np.int64)
    places = _joint(
        np.concatenate([true_videos, found_videos]), np.concatenate([true_frames, found_frames])
    )
    for found_number, true_number in _pairs(places[: len(truth)], places[len(truth) :]):
        overlap = _iou(boxes[found_number], true_boxes[true_number]) >= iou
        matched[found_number[overlap]] = True
        np.minimum.at(first, true_number[overlap], step[found_number[overlap]])
    members = _joint(true_videos, np.array([region.track for region in truth], dtype=np.int64))
    sizes = np.bincount(members)
    # A track is detected with its k-th region, k the fewest that are the share.
    needed = np.maximum(np.ceil(track_share * sizes - 1e-9).astype(np.int64), 1)
    order = np.lexsort((first, members))
    deciding = order[np.cumsum(sizes) - sizes + needed - 1]
    return _Steps(
        count,
        step[~matched],
        found_videos[~matched],
        first,
        true_videos,
        first[deciding],
        true_videos[deciding],
    )


def _order(scores: np.ndarray, variant: str) -> tuple[np.ndarray, int]:
    """Return the step at which each found region enters, and the number of steps.

    The threshold falls from step to step.
    """
    if np.isnan(scores).any():
        raise LabelError(
            f"found region {int(np.isnan(scores).argmax())}: its score is no number; leave it out"
        )
    if variant == "paper":
        distinct, step = np.unique(-scores, return_inverse=True)
        return step.ravel(), len(distinct)
    step = np.empty(len(scores), dtype=np.int64)
    step[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return step, len(scores)


def _joint(videos: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Give numbers from 0, without gaps, to the pairs of a video and a number in it.

    The number is a frame's or a track's.
    """
    # so that large numbers cannot overflow
    dense = np.unique(numbers, return_inverse=True)[1].ravel()
    return np.unique(videos * (len(numbers) + 1) + dense, return_inverse=True)[1].ravel()


def _pairs(
    true_place: np.ndarray, found_place: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every pair of a found and a true region of one frame, as numbers, some at a time."""
    order = np.argsort(true_place, kind="stable")
    ordered = true_place[order]
    starts = np.searchsorted(ordered, found_place, "left")
    partners = np.searchsorted(ordered, found_place, "right") - starts
    begin = 0
    while begin < len(found_place):
        ends = np.cumsum(partners[begin:])
        stop = begin + max(int(np.searchsorted(ends, PAIRS, "right")), 1)
        here = partners[begin:stop]
        mine = np.repeat(np.arange(begin, stop), here)
        within = np.arange(len(mine)) - np.repeat(np.cumsum(here) - here, here)
        yield mine, order[np.repeat(starts[begin:stop], here) + within]
        begin = stop


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute intersection over union of each box with its partner, (n, 4) and (n, 4) -> (n,)."""
    starts = np.maximum(boxes[:, :2], others[:, :2])
    ends = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    common = np.prod(np.maximum(ends - starts, 0), axis=1)
    return common / (np.prod(boxes[:, 2:], axis=1) + np.prod(others[:, 2:], axis=1) - common)


def _check_options(
    variant: str, iou: float, track_share: float, frames: int | Mapping[str, int]
) -> None:
    if variant not in VARIANTS:
        raise LabelError(
            f"variant {variant!r} of RBDC and TBDC; expected one of {', '.join(VARIANTS)}"
        )
    for name, value in (("IoU", iou), ("share of a track's regions", track_share)):
        if not 0 < value <= 1:
            raise LabelError(
                f"the {name} for a detection is {value}: a number above 0, at most 1, was expected"
            )
    counts = list(frames.values()) if isinstance(frames, Mapping) else [frames]
    if min(counts, default=0) < 0 or sum(counts) < 1:
        raise LabelError(f"{sum(counts)} frames to evaluate; at least 1 was expected")


def _video_numbers(
    truth: Sequence[TrueRegion], found: Sequence[Region], frames: int | Mapping[str, int]
) -> dict[str, int]:
    if not isinstance(frames, Mapping):
        named = dict.fromkeys(
            [region.video for region in truth] + [region.video for region in found]
        )
        return {name: number for number, name in enumerate(named)}
    for kind, regions in (("true", truth), ("found", found)):
        strange = next((region.video for region in regions if region.video not in frames), None)
        if strange is not None:
            raise LabelError(
                f"a {kind} region is in video {strange!r}, which is none of the {len(frames)} to "
                f"evaluate ({', '.join(list(frames)[:4])}{', ...' * (len(frames) > 4)}); are the "
                "files named after the videos?"
            )
    return {name: number for number, name in enumerate(frames)}


def _arrays(
    regions: Sequence[Region] | Sequence[TrueRegion], videos: Mapping[str, int], kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes float64 (n, 4), numbers of the videos and frames int64 (n,)."""
    boxes = np.array([region.box for region in regions], dtype=np.float64).reshape(len(regions), 4)
    bad = np.flatnonzero(~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)))
    if len(bad):
        region = regions[bad[0]]
        raise LabelError(
            f"{kind} in frame {region.frame} of video {region.video!r} has the box "
            f"{tuple(region.box)}; expected (top, left, height, width) with a height and a width "
            "above 0"
        )
    numbers = np.array([videos[region.video] for region in regions], dtype=np.int64)
    return boxes, numbers, np.array([region.frame for region in regions], dtype=np.int64)

"""Pixel metrics: anomaly maps and pixel masks in, figures out (PROTOCOL section 3).

No torch, no files.

A million frames have too many pixels to be kept and ranked, so their values are counted: a float32
becomes an integer of the same order, and what is kept is how often every integer occurs among the
normal and the anomalous pixels, of all videos together and of each. While these counts are few
nothing is lost; where they grow too many the lowest bit of all integers is dropped, again and
again. What that can hide of the AUC is known exactly, and told: 0.00001 for smooth maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import cv2
import numpy as np

from mpn.errors import LabelError
from mpn.metrics import intervals
from mpn.metrics.frames import bootstrap_interval, equal_error_rate, frame_auc

# Mahadevan et al. (2010): an anomalous frame is found when so much of its anomalous pixels is
# marked.
SHARE = 0.4
# Pixels that wait to be counted, 4 bytes each: sorting many at once is cheaper than a few at a
# time.
PENDING = 1 << 21
# Codes are counted in a table of all between the lowest and the highest where these are at most so
# many times the codes, else they are sorted.
SPAN = 2
# Counts kept, of 12 bytes, of all videos together and of each one: 30 MB in all, and some times
# that while renewed.
MAX_COUNTS = 1 << 19
MAX_COUNTS_EACH = 1 << 21
# The intervals work on coarser counts, of groups of neighbouring values with a small part of the
# pixels each: what that hides, 2 / GROUPS at most, is little beside the width of an interval over
# videos.
GROUPS = 8192


class _Counts(NamedTuple):
    """How often a value occurs: codes uint32, ascending, each once; counts int64."""

    codes: np.ndarray
    counts: np.ndarray


_NOTHING = _Counts(np.zeros(0, np.uint32), np.zeros(0, np.int64))


class _Counter:
    """Counts of the codes of normal and of anomalous pixels under names, at most `limit` of them.

    How many low bits are dropped depends on what was counted alone, not on the order.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = 0  # low bits of the codes that are no longer told apart
        self.counts: dict[str, tuple[_Counts, _Counts]] = {}

    def add(self, name: str, fresh: tuple[_Counts, _Counts], dropped: int) -> None:
        """Add counts under a name, of codes without their `dropped` low bits."""
        self._drop(max(dropped, self.dropped))
        bits = np.uint32(self.dropped - dropped)
        old = self.counts.get(name, (_NOTHING, _NOTHING))
        if bits:
            fresh = _without(fresh, bits)
        self.counts[name] = (_merged(old[0], fresh[0]), _merged(old[1], fresh[1]))
        while (
            sum(len(counts.codes) for pair in self.counts.values() for counts in pair) > self.limit
        ):
            self._drop(self.dropped + 1)

    def _drop(self, dropped: int) -> None:
        if dropped > self.dropped:
            bits = np.uint32(dropped - self.dropped)
            self.counts = {name: _without(pair, bits) for name, pair in self.counts.items()}
            self.dropped = dropped

    def tables(self, groups: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return normal and anomalous pixels by name and value, ascending, float64 (names, values).

        With `groups`, neighbouring values are put together to so many groups of about equal weight.
        """
        codes = np.unique(
            np.concatenate([counts.codes for pair in self.counts.values() for counts in pair])
        )
        group = np.arange(len(codes))
        if groups is not None and len(codes) > groups:
            weight = np.zeros(len(codes))
            for of_videos in zip(*self.counts.values()):
                total = max(sum(int(counts.counts.sum()) for counts in of_videos), 1)
                for counts in of_videos:
                    weight[np.searchsorted(codes, counts.codes)] += counts.counts / total
            before = np.cumsum(weight) - weight
            group = np.unique(
                (before / weight.sum() * groups).astype(np.int64), return_inverse=True
            )[1]
        tables = np.zeros((2, len(self.counts), int(group[-1]) + 1))
        for number, pair in enumerate(self.counts.values()):
            for table, counts in zip(tables, pair):
                groups_of = group[np.searchsorted(codes, counts.codes)]
                table[number] = np.bincount(
                    groups_of, weights=counts.counts, minlength=table.shape[1]
                )
        return tables[0], tables[1]


@dataclass(frozen=True)
class PixelResult:
    """Pixel metrics: shares in [0, 1], NaN where all pixels (frames) are of one class.

    Attributes:
        pixel_auc: of all pixels in one ranking.
        pixel_auc_bounds: lowest and highest that the uncounted differences allow.
        pixel_level_auc, pixel_level_eer: by the UCSD criterion at `pixel_level_share`.
        pixel_auc_interval, pixel_level_interval: of both AUCs, 95 %, bootstrap over videos.
        frames, masked_frames, pixels, anomalous_pixels: how many.
    """

    pixel_auc: float
    pixel_auc_bounds: tuple[float, float]
    pixel_auc_interval: intervals.Interval
    pixel_level_auc: float
    pixel_level_eer: float
    pixel_level_interval: intervals.Interval
    pixel_level_share: float
    frames: int
    masked_frames: int
    pixels: int
    anomalous_pixels: int


class PixelMetrics:
    """Pixel AUC and the UCSD pixel-level criterion, from maps and masks given one frame at a time.

    Pixel AUC: area under the ROC curve of all pixels of all frames in one ranking. UCSD criterion
    (Mahadevan et al., CVPR 2010; Li et al., PAMI 2014): at a threshold, a frame with anomalous
    pixels counts as found when at least `share` of *these* is marked, whatever else is; a frame
    without any counts as a false alarm when any pixel is marked. What is marked beside the anomaly
    in an anomalous frame costs nothing there: a whole frame marked is found.

    Memory does not grow with the frames, but for two numbers a frame.

    Args:
        share: of the anomalous pixels, in (0, 1].
    """

    def __init__(self, share: float = SHARE) -> None:
        if not 0 < share <= 1:
            raise LabelError(
                f"share of pixels to be marked is {share}: a number above 0, at most "
                "1, was expected"
            )
        self.share = share
        self._all, self._each = _Counter(MAX_COUNTS), _Counter(MAX_COUNTS_EACH)
        self._pending: list[tuple[str, np.ndarray, np.ndarray]] = []
        self._waiting = 0
        self._labels: dict[str, list[bool]] = {}
        self._levels: dict[str, list[float]] = {}

    def update(self, video: str, grid: np.ndarray, mask: np.ndarray) -> None:
        """Count one frame.

        Args:
            video: its name. Frames without a map are left out by the caller.
            grid: float (h, w), higher = more anomalous, over the whole frame; brought to the mask's
                size (bilinear). Patches don't reach the edges: `mpn.scoring.maps.map_on_frame` lays
                them where they belong.
            mask: bool (H, W), True = anomalous; all False for a normal frame.

        Raises:
            LabelError: one of them is no picture, or the map is not finite.
        """
        marked, pixels = _checked(video, grid, mask)
        if pixels.shape != marked.shape:
            pixels = cv2.resize(pixels, marked.shape[::-1], interpolation=cv2.INTER_LINEAR)
        inside, outside = pixels[marked], pixels[~marked]
        self._labels.setdefault(video, []).append(len(inside) > 0)
        self._levels.setdefault(video, []).append(
            _level(inside if len(inside) else outside, len(inside), self.share)
        )
        self._pending.append((video, _ordered(outside), _ordered(inside)))
        self._waiting += marked.size
        if self._waiting >= PENDING:
            self._count()

    def compute(self, draws: int = 1000, seed: int = 0) -> PixelResult:
        """Compute the metrics of the frames so far; more frames may follow.

        Args:
            draws: how often videos are resampled for the intervals.
            seed: of the resampling.

        Raises:
            LabelError: no frame was given.
        """
        if not self._labels:
            raise LabelError("no frames: neither maps nor masks were given")
        self._count()
        normal, anomalous = self._all.tables()
        auc, low, high = _auc_and_bounds(normal[0], anomalous[0])
        labels = {video: np.array(values) for video, values in self._labels.items()}
        levels = {video: np.array(values) for video, values in self._levels.items()}
        return PixelResult(
            pixel_auc=auc,
            # equal codes are equal values until low bits are dropped
            pixel_auc_bounds=(low, high) if self._all.dropped else (auc, auc),
            pixel_auc_interval=self._interval(auc, draws, seed),
            pixel_level_auc=frame_auc(labels, levels),
            pixel_level_eer=equal_error_rate(labels, levels),
            pixel_level_interval=bootstrap_interval(labels, levels, draws=draws, seed=seed),
            pixel_level_share=self.share,
            frames=sum(map(len, labels.values())),
            masked_frames=sum(int(values.sum()) for values in labels.values()),
            pixels=int(normal.sum() + anomalous.sum()),
            anomalous_pixels=int(anomalous.sum()),
        )

    def empty(self) -> PixelMetrics:
        """Return another one without frames, to be merged into this one later.

        It begins as coarse as this one is: what is merged will not be counted more finely.
        """
        other = PixelMetrics(self.share)
        other._all.dropped, other._each.dropped = self._all.dropped, self._each.dropped
        return other

    def merge(self, other: PixelMetrics) -> None:
        """Add the frames of another one, of other videos, after those of this one."""
        self._count()
        other._count()
        self._labels |= other._labels
        self._levels |= other._levels
        for counter, others in ((self._all, other._all), (self._each, other._each)):
            for name, counts in others.counts.items():
                counter.add(name, counts, others.dropped)

    def _count(self) -> None:
        """Count the waiting pixels, once for all videos together and for each."""
        waiting, self._pending, self._waiting = self._pending, [], 0
        if not waiting:
            return
        # resampling goes by the videos' places
        order = {video: number for number, video in enumerate(self._labels)}
        waiting.sort(key=lambda frame: order[frame[0]])
        dropped = min(self._all.dropped, self._each.dropped)
        for video, frames in groupby(waiting, key=itemgetter(0)):
            outside, inside = (np.concatenate(codes) for codes in list(zip(*frames))[1:])
            fresh = _tally(outside, dropped), _tally(inside, dropped)
            self._each.add(video, fresh, dropped)
            self._all.add("", fresh, dropped)

    def _interval(self, auc: float, draws: int, seed: int) -> intervals.Interval:
        """Compute the interval of the pixel AUC, as `bootstrap_interval` has it of frames.

        The AUC is a count over (anomalous, normal) pairs: with those of every two videos counted
        once, a draw is a weighted sum of them.
        """
        normal, anomalous = self._each.tables(GROUPS)
        weights = intervals.draw_weights(intervals.draw_videos(len(normal), draws, seed))
        wins = anomalous @ (np.cumsum(normal, axis=1) - normal / 2).T
        count = np.einsum("di,di->d", weights @ wins, weights)
        possible = (weights @ anomalous.sum(axis=1)) * (weights @ normal.sum(axis=1))
        values = np.divide(count, possible, out=np.full(draws, np.nan), where=possible > 0)
        return intervals.interval_of(auc, values, len(normal))


def _checked(video: str, grid: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check and return the mask as bool (H, W) and the map as float32 (h, w)."""
    grid, mask = np.asarray(grid), np.asarray(mask)
    if mask.ndim != 2 or not mask.size or mask.dtype.kind not in "biu":
        raise LabelError(
            f"video {video!r}: a mask is {mask.dtype} {mask.shape}; expected bool (H, W)"
        )
    if grid.ndim != 2 or not grid.size or grid.dtype.kind not in "biuf":
        raise LabelError(
            f"video {video!r}: an anomaly map is {grid.dtype} {grid.shape}; expected numbers (h, w)"
        )
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused here
        pixels = np.ascontiguousarray(grid, np.float32)
    if not np.isfinite(pixels).all():
        raise LabelError(
            f"video {video!r}: an anomaly map is not finite; leave out frames without one"
        )
    return mask != 0, pixels


def _level(values: np.ndarray, anomalous: int, share: float) -> float:
    """Find the highest threshold at which a frame counts as found or as a false alarm.

    As found where anomalous > 0, as a false alarm where it is 0.
    """
    # Not 15 of 35 pixels at a share of 0.4 because 0.4 * 35 is a hair above 14.
    needed = math.ceil(share * anomalous - 1e-9) if anomalous else 1
    return float(np.partition(values, len(values) - needed)[len(values) - needed])


def _ordered(values: np.ndarray) -> np.ndarray:
    """Turn float32 into uint32 of the same order.

    Positive numbers order as their bits do, negative ones the other way.
    """
    # + 0: -0.0 and 0.0 are one value
    bits = np.ascontiguousarray(values + np.float32(0)).view(np.int32)
    return bits.view(np.uint32) ^ ((bits >> 31).view(np.uint32) | np.uint32(1 << 31))


def _tally(codes: np.ndarray, dropped: int) -> _Counts:
    """Count codes, uint32 (n,), without their `dropped` low bits."""
    codes = codes >> np.uint32(dropped)
    if not len(codes):
        return _NOTHING
    low = codes.min()
    span = int(codes.max()) - int(low) + 1
    if span <= SPAN * len(codes):  # a table of all that may occur is cheaper than sorting
        table = np.bincount(codes - low, minlength=span)
        values = np.flatnonzero(table)
        return _Counts(values.astype(np.uint32) + low, table[values].astype(np.int64))
    values, counts = np.unique(codes, return_counts=True)
    return _Counts(values, counts.astype(np.int64))


def _without(pair: tuple[_Counts, _Counts], bits: np.uint32) -> tuple[_Counts, _Counts]:
    """Return counts of normal and anomalous pixels without so many low bits of their codes."""
    coarse = [_summed(counts.codes >> bits, counts.counts) for counts in pair]
    return coarse[0], coarse[1]


def _merged(first: _Counts, second: _Counts) -> _Counts:
    codes = np.concatenate([first.codes, second.codes])
    order = np.argsort(codes, kind="stable")  # two runs in order: merging them takes one pass
    return _summed(codes[order], np.concatenate([first.counts, second.counts])[order])


def _summed(codes: np.ndarray, counts: np.ndarray) -> _Counts:
    """Put equal codes together, the codes ascending."""
    if not len(codes):
        return _Counts(codes, counts)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    return _Counts(codes[starts], np.add.reduceat(counts, starts))


def _auc_and_bounds(normal: np.ndarray, anomalous: np.ndarray) -> tuple[float, float, float]:
    """Compute the AUC with ties as halves, and with all ties lost or won; NaN for one class.

    Pixels are by value, ascending.
    """
    possible = normal.sum() * anomalous.sum()
    if not possible:
        return math.nan, math.nan, math.nan
    below = np.cumsum(normal) - normal
    low = float((anomalous * below).sum() / possible)
    high = float((anomalous * (below + normal)).sum() / possible)
    return (low + high) / 2, low, high

"""Pixel-level and region-level figures of a test set, from maps and regions (PROTOCOL section 3).

No torch.

A set's true places come from its pixel masks: their pixels, and as regions and tracks their
connected parts (or published track files). A `Places` gathers what one detector, or one baseline,
found; all are judged on the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mpn.datasets.labels import Labels
from mpn.errors import DataError, LabelError
from mpn.evaluation.frame_metrics import wrapped
from mpn.evaluation.result import PlaceMetrics, RegionResult
from mpn.io.atomic import read_npy
from mpn.io.text import format_rows, is_known, percent, percent_range
from mpn.metrics.intervals import Interval
from mpn.metrics.pixels import PixelMetrics
from mpn.metrics.regions import (
    VARIANTS,
    Box,
    Region,
    TrueRegion,
    criteria_intervals,
    region_and_track_criteria,
)
from mpn.metrics.true_regions import read_region_files, regions_of_masks

FROM_MASKS = (
    "connected parts of the pixel masks, linked from frame to frame (not the published annotations)"
)


MASKS_KEPT = 4  # videos whose masks are in memory: those that are worked on at once


class Truth:
    """Where the anomalies of a test set are.

    Args:
        labels: of the set; its masks are read a video at a time.
        sizes: video -> (height, width) of its frames, in whose pixels boxes are.
        tracks: published regions and tracks, instead of those of the masks.
        source: where these are from, in words.
    """

    def __init__(
        self,
        labels: Labels,
        sizes: dict[str, tuple[int, int]],
        tracks: Sequence[TrueRegion] | None = None,
        source: str = "",
    ) -> None:
        self.labels, self.sizes = labels, sizes
        self.source = source if tracks is not None else FROM_MASKS
        self._masks: dict[str, np.ndarray | None] = {}
        self._regions: dict[str, list[TrueRegion]] = {}
        for region in tracks or ():
            self._regions.setdefault(region.video, []).append(region)
        unknown = sorted(set(self._regions) - set(sizes))
        if unknown:
            expected = ", ".join(list(sizes)[:4])
            raise LabelError(
                f"{source}: tracks of {unknown[0]!r}, which is not a test video; "
                f"expected {expected}, ..."
            )
        self.given = tracks is not None

    @property
    def known(self) -> bool:
        """Say whether anything is known of places."""
        return self.given or bool(self.labels.masks)

    def mask(self, video: str) -> np.ndarray | None:
        """Return a video's masks, bool (T, H, W), or None; the last few are kept in memory."""
        try:
            return self._masks[video]
        except KeyError:
            masks = self.labels.pixel_mask(video)
        for oldest in list(self._masks)[: 1 - MASKS_KEPT]:
            self._masks.pop(oldest, None)
        self._masks[video] = masks
        return masks

    def regions(self, video: str) -> list[TrueRegion]:
        """Return its true regions, boxes in pixels of its frames."""
        if not self.given and video not in self._regions:
            masks = self.mask(video)
            regions = [] if masks is None else regions_of_masks(video, masks)
            size = self.sizes[video] if masks is None else masks.shape[1:]
            self._regions[video] = [
                region._replace(box=_scaled(region.box, size, self.sizes[video]))
                for region in regions
            ]
        return self._regions.get(video, [])


class Places:
    """What one detector found of the true places, frame by frame.

    Args:
        truth: shared by all that are compared.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.pixels = PixelMetrics()
        self.with_maps, self.with_regions = False, True
        self.found: list[Region] = []
        self.rows: dict[str, set[int]] = {}

    def add(
        self, video: str, row: int, values: np.ndarray | None, regions: Iterable[tuple[float, Box]]
    ) -> None:
        """Add a judged frame.

        Args:
            video: its name.
            row: number of the frame.
            values: its map, float (h, w) over the whole frame, higher = more anomalous, or None.
            regions: (score, box in pixels of its frames) of what was found.
        """
        if values is not None and (mask := self.truth.mask(video)) is not None:
            self.with_maps = True
            self.pixels.update(video, values, mask[row])
        self.found += [Region(video, row, box, score) for score, box in regions]
        self.rows.setdefault(video, set()).add(row)

    def empty(self) -> Places:
        """Return another one of the same true places, to be merged later."""
        other = Places(self.truth)
        other.pixels = self.pixels.empty()
        return other

    def merge(self, other: Places) -> None:
        """Add what was found in other videos, after those of this one."""
        self.pixels.merge(other.pixels)
        self.with_maps |= other.with_maps
        self.found += other.found
        self.rows |= other.rows

    def compute(self, *, draws: int = 1000, region_draws: int = 200, seed: int = 0) -> PlaceMetrics:
        """Compute pixel metrics (where there are masks and maps), RBDC and TBDC in both variants.

        See `mpn.metrics.pixels` and `mpn.metrics.regions`.

        Args:
            draws: resamplings of videos for the intervals of pixel metrics.
            region_draws: the same for those of region metrics.
            seed: of both.
        """
        pixel = self.pixels.compute(draws=draws, seed=seed) if self.with_maps else None
        if not self.truth.known or not self.with_regions:
            return PlaceMetrics(pixel)
        # Only evaluated frames count, and are numbered anew.
        number = {
            video: {row: k for k, row in enumerate(sorted(rows))}
            for video, rows in self.rows.items()
        }
        frames = {video: len(rows) for video, rows in number.items()}
        truth = [
            region._replace(frame=number[video][region.frame])
            for video in number
            for region in self.truth.regions(video)
            if region.frame in number[video]
        ]
        found_regions = [
            region._replace(frame=number[region.video][region.frame]) for region in self.found
        ]
        regions = {
            variant: _criteria(truth, found_regions, frames, variant, region_draws, seed)
            for variant in VARIANTS
        }
        return PlaceMetrics(pixel, regions, self.truth.source)


def _criteria(
    truth: list[TrueRegion],
    found_regions: list[Region],
    frames: dict[str, int],
    variant: str,
    draws: int,
    seed: int,
) -> RegionResult:
    values = region_and_track_criteria(truth, found_regions, frames, variant)
    intervals = criteria_intervals(truth, found_regions, frames, variant, draws=draws, seed=seed)
    return RegionResult(
        rbdc=values.rbdc,
        tbdc=values.tbdc,
        variant=variant,
        regions=values.regions,
        tracks=values.tracks,
        found_regions=values.found_regions,
        frames=values.frames,
        fpr_reached=values.fpr_reached,
        rbdc_interval=intervals.rbdc,
        tbdc_interval=intervals.tbdc,
    )


def add_theirs(
    places: Places,
    series: Mapping[str, Mapping[str, np.ndarray]],
    maps: Path | None,
    regions: Path | None,
) -> Places | None:
    """Add what another detector found where, of the frames that it gave scores for.

    Args:
        places: gathers what is read.
        series: its scores: video -> column -> (T,).
        maps: a folder of VIDEO.npy, float (T, h, w), higher = more anomalous.
        regions: a folder of its regions, see `mpn.metrics.true_regions.read_region_files`.

    Returns:
        None where nothing is given.

    Raises:
        DataError: a video's maps are missing, or are not one a frame.
    """
    if maps is None and regions is None:
        return None
    by_frame: dict[tuple[str, int], list[tuple[float, Box]]] = {}
    for region in read_region_files(regions) if regions is not None else ():
        by_frame.setdefault((region.video, region.frame), []).append((region.score, region.box))
    for name, columns in series.items():
        path = None if maps is None else maps / f"{name}.npy"
        values = None if path is None else _their_maps(path, len(columns["score"]))
        for row in np.flatnonzero(~np.isnan(columns["score"])).tolist():
            grid = None if values is None else np.asarray(values[row], np.float32)
            if grid is not None and not np.isfinite(grid).all():
                raise DataError(
                    f"{path}: the map of frame {row} is not finite everywhere; expected numbers"
                )
            places.add(name, row, grid, by_frame.get((name, row), ()))
    places.with_regions = regions is not None
    return places


def _their_maps(path: Path, length: int) -> np.ndarray:
    if not path.is_file():
        raise DataError(
            f"{path} is missing; expected the maps of every test video, float (T, h, w)"
        )
    values = read_npy(path)
    if values.ndim != 3 or len(values) != length:
        raise DataError(
            f"{path}: {values.dtype} {values.shape}, expected maps (T, h, w) of all {length} frames"
        )
    return values


_NAMES = {
    "score": "this",
    "frame_difference": "frame difference",
    "flow_speed": "speed alone",
}
_VARIANTS = {"paper": "the paper's", "script": "the script's"}


def place_rows(places: Mapping[str, PlaceMetrics]) -> tuple[list[str], list[list[str]]]:
    """Write the metrics of several as text in per cent, "-" where undefined.

    Returns:
        A head and rows.
    """
    by_title = [_values(metrics) for metrics in places.values()]
    rows = []
    for title in dict.fromkeys(title for values in by_title for title in values):
        rows.append(
            [title, *(_cell(*values[title]) if title in values else "" for values in by_title)]
        )
    return ["where, % (95 %)", *(_NAMES.get(name, name) for name in places)], rows


def _values(metrics: PlaceMetrics) -> dict[str, tuple[float, Interval | None]]:
    """Return title -> a metric and its interval, of those that are there."""
    values: dict[str, tuple[float, Interval | None]] = {}
    if metrics.pixel is not None:
        pixel = metrics.pixel
        values["pixel AUC"] = pixel.pixel_auc, pixel.pixel_auc_interval
        values["UCSD pixel level, AUC"] = pixel.pixel_level_auc, pixel.pixel_level_interval
        values["UCSD pixel level, EER"] = pixel.pixel_level_eer, None
    for variant, regions in metrics.regions.items():
        words = _VARIANTS[variant]
        values[f"RBDC ({words})"] = regions.rbdc, regions.rbdc_interval
        values[f"TBDC ({words})"] = regions.tbdc, regions.tbdc_interval
    return values


def _cell(value: float, interval: Interval | None) -> str:
    words = percent(value)
    if interval is not None and is_known(interval.low):
        words += f" ({percent_range(interval.low, interval.high, to='-')})"
    return words


def format_places(places: Mapping[str, PlaceMetrics]) -> str:
    """Write the same as a plain table."""
    lines = [format_rows(*place_rows(places)).rstrip()]
    first = next(iter(places.values()))
    if first.regions:
        counts = first.regions["paper"]
        words = f"{counts.regions} in {counts.tracks} tracks; {first.true_regions}"
        lines.append(wrapped(f"true regions: {words}"))
    return "\n".join(lines) + "\n"


def _scaled(box: Box, size: tuple[int, ...], target: tuple[int, ...]) -> Box:
    """Scale a box of a frame of `size` (height, width) to one of `target`."""
    if tuple(size) == tuple(target):
        return box
    tall, wide = target[0] / size[0], target[1] / size[1]
    top, left = round(box[0] * tall), round(box[1] * wide)
    bottom, right = round((box[0] + box[2]) * tall), round((box[1] + box[3]) * wide)
    return top, left, max(bottom - top, 1), max(right - left, 1)

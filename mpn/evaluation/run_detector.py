"""A test set through a detector: columns of scores, where it found what, maps for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mpn.evaluation.baselines import CELLS, content_free
from mpn.evaluation.localisation import Places
from mpn.evaluation.parallel import Progress, in_order
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.heat_file import heat_shape
from mpn.scoring.maps import map_on_frame
from mpn.scoring.region_table import RegionTable
from mpn.scoring.regions import FLOOR, Box, Tracker, find_regions, track_gap
from mpn.scoring.result import Result
from mpn.video.frame_source import FrameSource

WITH_PLACE = ("flow_speed", "frame_difference")  # the baselines that have maps


@dataclass
class ScoredVideo:
    """What a detector gave for a video of T frames.

    Attributes:
        columns: float64 (T,) each, raw, NaN for the first frames: "score", its parts and the
            diagnostics.
        smoothed: the score as a live camera has it, float64 (T,).
        times: float64 (T,), seconds of each frame as the source has them, NaN where unknown.
        maps: float32 (T, h, w), small, in the units of the score; 0 for the first frames.
        regions: (row, track, score, box) of all that was found, in pixels of the frames.
    """

    columns: dict[str, np.ndarray]
    smoothed: np.ndarray
    times: np.ndarray
    maps: np.ndarray
    regions: list[tuple[int, int, float, Box]] = field(default_factory=list)


def score_set(
    detector: Detector,
    sources: Mapping[str, FrameSource],
    places: Places | None = None,
    tables: Path | None = None,
) -> Iterator[tuple[str, ScoredVideo]]:
    """Yield each video's scores, as soon as it is scored.

    Args:
        detector: the model.
        sources: by name.
        places: gathers what is found, where the set has masks.
        tables: a folder for VIDEO_regions.csv, if wanted.
    """
    total = sum(source.length for source in sources.values())

    def job(name: str, bar: Progress) -> tuple[ScoredVideo, Places | None]:
        of_video = None if places is None else places.empty()
        return _score_video(detector, name, sources[name], of_video, tables, bar), of_video

    with tqdm(total=total, desc="scoring", unit="frame", disable=None) as bar:
        for name, (video, of_video) in in_order(job, list(sources), bar, detector):
            if places is not None and of_video is not None:
                places.merge(of_video)
            yield name, video


def _score_video(
    detector: Detector,
    name: str,
    source: FrameSource,
    places: Places | None,
    tables: Path | None,
    bar: Progress,
) -> ScoredVideo:
    patch, size = detector.score_config.patch, detector.config.size
    shape = heat_shape(source.size)
    tracker, regions = Tracker(track_gap(source.fps)) if source.fps else Tracker(), []
    times, raw, smoothed, parts, maps = [], [], [], [], []
    if tables is not None:
        tables.mkdir(parents=True, exist_ok=True)
    table = None if tables is None else RegionTable(tables / f"{name}_regions.csv")
    try:
        for row, result in enumerate(detector.score(source)):
            times.append(result.time)
            raw.append(result.raw)
            smoothed.append(result.score)
            parts.append(result.parts)
            maps.append(np.zeros(shape, np.float32))
            if result.map is not None:
                maps[-1] = map_on_frame(result.map, patch, size, shape)
                frame_regions = find_regions(result.map, FLOOR, patch, size, source.size)
                tracked = tracker.update(row, frame_regions)
                regions += [(row, region.track, region.score, region.box) for region in tracked]
                if table is not None:
                    table.write(row, result.time, tracked)
                if places is not None:
                    places.add(name, row, _over(result, places, name, patch, size), frame_regions)
            bar.update()
    finally:
        if table is not None:
            table.close()
    columns = {"score": np.array(raw)} | columns_of(parts, detector.columns)
    return ScoredVideo(
        columns,
        np.array(smoothed),
        np.array(times),
        np.array(maps, np.float32).reshape(-1, *shape),
        regions,
    )


def _over(
    result: Result, places: Places, name: str, patch: int, size: tuple[int, int]
) -> np.ndarray | None:
    """Return the map in the size of the masks; None where there are none."""
    mask = places.truth.mask(name)
    if mask is None or result.map is None:
        return None
    return map_on_frame(result.map, patch, size, mask.shape[1:])


def score_baselines(
    sources: Mapping[str, FrameSource],
    lengths: Mapping[str, int],
    seed: int,
    first_frames: Mapping[str, int],
    places: Mapping[str, Places] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Score videos by the content-free baselines.

    Args:
        sources: video -> where its frames are read.
        lengths: video -> its frames.
        seed: of the noise; each video gets another.
        first_frames: video -> the first frame that is evaluated (the first have no score).
        places: baseline -> what gathers its maps, for those of `WITH_PLACE`.

    Returns:
        baseline -> video -> float64 (T,).
    """
    number = {name: k for k, name in enumerate(sources)}
    places = places or {}

    def job(name: str, bar: Progress) -> tuple[dict[str, np.ndarray], dict[str, Places]]:
        source, first = sources[name], first_frames.get(name, lengths[name])
        of_video = {baseline: gatherer.empty() for baseline, gatherer in places.items()}

        def gather(row: int, maps: dict[str, np.ndarray]) -> None:
            bar.update()
            for baseline, gatherer in of_video.items() if row >= first else ():
                regions = find_regions(maps[baseline], 0.0, 1, CELLS, source.size)
                gatherer.add(name, row, maps[baseline], regions)

        return content_free(source.frames, lengths[name], seed + number[name], gather), of_video

    scores: dict[str, dict[str, np.ndarray]] = {}
    total = sum(lengths.values())
    with tqdm(total=total, desc="baselines", unit="frame", disable=None) as bar:
        for name, (by_baseline, of_video) in in_order(job, list(sources), bar):
            for baseline, gathered in of_video.items():
                places[baseline].merge(gathered)
            for baseline, values in by_baseline.items():
                scores.setdefault(baseline, {})[name] = values
    return scores

"""The files of a scoring job that grow with its results.

They are scores, regions with their tracks, and heat maps.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np

from mpn.io.appending import AppendOnlyFile
from mpn.jobs.state import HEAT, SCORES, JobState
from mpn.scoring.detector import Detector
from mpn.scoring.heat_file import HeatFile, heat_shape, heat_unit
from mpn.scoring.maps import map_on_frame
from mpn.scoring.region_table import RegionTable, regions_name
from mpn.scoring.regions import FLOOR, Box, Tracked, Tracker, find_regions, track_gap
from mpn.scoring.result import Result
from mpn.scoring.score_table import ScoreTable
from mpn.video.frame_source import FrameSource

REGIONS_WITHOUT_THRESHOLD = 3  # a frame
File = TypeVar("File", bound=AppendOnlyFile)


class JobFiles:
    """Writes what is found in each frame, or goes on with it; for a `with` block.

    Args:
        folder: of the results.
        source: gives name, size and frame rate; with every n-th frame only, that of those.
        detector: gives the patch and the network's frame size.
        threshold: of the score, None without one.
        state: where an earlier run stopped, or the beginning.
        every: what frame numbers rise by.
        heat: whether to write heat maps too.
    """

    def __init__(
        self,
        folder: Path,
        source: FrameSource,
        detector: Detector,
        threshold: float | None,
        state: JobState,
        *,
        every: int = 1,
        heat: bool = False,
    ) -> None:
        self.source, self.detector, self.threshold = source, detector, threshold
        self.regions_name = regions_name(source.path)
        self.sizes = dict(state.sizes)
        self.tracker = Tracker(track_gap(source.fps, every))
        if state.tracker is not None:
            self.tracker = Tracker.from_dict(state.tracker)
        with ExitStack() as stack:
            self.scores = self._open(stack, ScoreTable, folder / SCORES, detector.columns)
            self.regions = self._open(stack, RegionTable, folder / self.regions_name)
            self.heat = None
            if heat:
                shape, unit = heat_shape(source.size), _heat_unit(detector, threshold)
                self.heat = self._open(stack, HeatFile, folder / HEAT, shape, unit)
            self._stack = stack.pop_all()

    def _open(self, stack: ExitStack, kind: type[File], path: Path, *arguments: object) -> File:
        file = kind(path, *arguments, size=self.sizes.get(path.name, 0))
        stack.enter_context(file)
        return file

    def write(self, result: Result) -> list[Tracked]:
        """Add a frame's results to all files.

        Args:
            result: of the frame.

        Returns:
            Its regions above the threshold with their tracks.
        """
        tracked = self.tracker.update(result.frame, self._regions_in(result))
        self.sizes[SCORES] = self.scores.write(result)
        self.sizes[self.regions_name] = self.regions.write(result.frame, result.time, tracked)
        if self.heat is not None:
            self.sizes[HEAT] = self.heat.write(self._on_frame(result, self.heat.shape))
        return tracked

    def _regions_in(self, result: Result) -> list[tuple[float, Box]]:
        """Find the regions above the threshold; without one the three highest."""
        if result.map is None:
            return []
        patch, size = self.detector.score_config.patch, self.detector.config.size
        if self.threshold is None:
            regions = find_regions(result.map, FLOOR, patch, size, self.source.size)
            return regions[:REGIONS_WITHOUT_THRESHOLD]
        return regions_above(result, self.threshold, patch, size, self.source.size)

    def _on_frame(self, result: Result, shape: tuple[int, int]) -> np.ndarray | None:
        if result.map is None:
            return None
        patch, size = self.detector.score_config.patch, self.detector.config.size
        return map_on_frame(result.map, patch, size, shape)

    def __enter__(self) -> JobFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def regions_above(
    result: Result,
    threshold: float,
    patch: int,
    size: tuple[int, int],
    source: tuple[int, int],
) -> list[tuple[float, Box]]:
    """Find the regions of a frame above the threshold, in an alarm at least the highest one.

    Args:
        result: of the frame.
        threshold: of the score.
        patch: of the score, pixels of the network's frame.
        size: (height, width) of that frame.
        source: (height, width) of the source's frames.

    Returns:
        (score, box), see `mpn.scoring.regions.find_regions`.
    """
    if result.map is None:
        return []
    regions = find_regions(result.map, FLOOR, patch, size, source)
    above = [region for region in regions if region[0] > threshold]
    if not above and result.score > threshold and result.region is not None:
        # Smoothing holds it up, or each part of the score is high at another place.
        return regions[:1] or [(float(result.map.max()), result.region)]
    return above


def heat_of(source: FrameSource, detector: Detector, threshold: float | None) -> dict[str, object]:
    """Describe the heat maps in events.json: file, shape (height, width) and unit.

    See `mpn.scoring.heat_file.heat_levels`.

    Args:
        source: of the frames.
        detector: the model.
        threshold: of the score, None without one.
    """
    unit = _heat_unit(detector, threshold)
    return {"file": HEAT, "shape": list(heat_shape(source.size)), "unit": unit}


def _heat_unit(detector: Detector, threshold: float | None) -> float:
    return heat_unit(threshold, calibrated=bool(detector.checkpoint.normal))

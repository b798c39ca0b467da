"""The files of a scoring job that grow with its results: scores, regions with their tracks, heat
maps."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mpn.jobs.state import HEAT, SCORES, JobState
from mpn.scoring.detector import Detector, Result
from mpn.scoring.heat_file import HeatFile, heat_shape, heat_unit
from mpn.scoring.maps import map_on_frame
from mpn.scoring.region_table import RegionTable, regions_name
from mpn.scoring.regions import FLOOR, Box, Tracked, Tracker, find_regions, track_gap
from mpn.scoring.score_table import ScoreTable
from mpn.video.sources import FrameSource

REGIONS_WITHOUT_THRESHOLD = 3  # a frame


class JobFiles:
    """Writes what is found in each frame, or goes on with it; for a `with` block.

    Args:
        folder: of the results.
        source: gives name, size and frame rate; with every n-th frame only, that of those.
        detector: gives the patch and the network's frame size.
        threshold: of the score, None without one.
        state: where an earlier run stopped, or the beginning.
        every: what frame numbers rise by. heat: whether to write heat maps too.
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
            self.scores = stack.enter_context(
                self._open(ScoreTable, folder / SCORES, detector.columns)
            )
            self.regions = stack.enter_context(self._open(RegionTable, folder / self.regions_name))
            self.heat = None
            if heat:
                told = heat_of(source, detector, threshold)
                self.heat = stack.enter_context(
                    self._open(HeatFile, folder / HEAT, tuple(told["shape"]), told["unit"])
                )
            self._stack = stack.pop_all()

    def _open(
        self, kind: type, path: Path, *arguments: object
    ) -> ScoreTable | RegionTable | HeatFile:
        return kind(path, *arguments, size=self.sizes.get(path.name, 0))

    def write(self, result: Result) -> list[Tracked]:
        """Adds a frame's results to all files; its regions above the threshold with their
        tracks."""
        tracked = self.tracker.update(result.frame, self._found(result))
        self.sizes[SCORES] = self.scores.write(result)
        self.sizes[self.regions_name] = self.regions.write(result.frame, result.time, tracked)
        if self.heat is not None:
            self.sizes[HEAT] = self.heat.write(self._on_frame(result))
        return tracked

    def _found(self, result: Result) -> list[tuple[float, Box]]:
        """The regions above the threshold, in an alarm at least the highest one; without a
        threshold the three highest."""
        if result.map is None:
            return []
        found = find_regions(
            result.map,
            FLOOR,
            self.detector.score_config.patch,
            self.detector.config.size,
            self.source.size,
        )
        if self.threshold is None:
            return found[:REGIONS_WITHOUT_THRESHOLD]
        above = [one for one in found if one[0] > self.threshold]
        if not above and result.score > self.threshold:
            # Smoothing holds it up, or each part of the score is high at another place.
            return found[:1] or [(float(result.map.max()), result.region)]
        return above

    def _on_frame(self, result: Result) -> np.ndarray | None:
        if result.map is None:
            return None
        return map_on_frame(
            result.map, self.detector.score_config.patch, self.detector.config.size, self.heat.shape
        )

    def __enter__(self) -> JobFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def heat_of(source: FrameSource, detector: Detector, threshold: float | None) -> dict[str, object]:
    """What events.json says of the heat maps: file, shape (height, width) and unit, see
    `mpn.scoring.heat_file.heat_levels`."""
    unit = heat_unit(threshold, calibrated=bool(detector.checkpoint.normal))
    return {"file": HEAT, "shape": list(heat_shape(source.size)), "unit": unit}

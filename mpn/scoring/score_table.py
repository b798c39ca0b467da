"""The table scores.csv: a row a frame, each on its way to the disk before the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mpn.io.appending import AppendOnlyFile
from mpn.scoring.result import Result


class ScoreTable(AppendOnlyFile):
    """Writes the table, or goes on with one.

    Columns: frame (from 0), time (seconds), score, score_raw (before smoothing), parts, and top,
    left, height and width of the largest patch in pixels; NaN, and no place, for the first frames.

    Args:
        path: of the table.
        columns: names of the parts, see `mpn.scoring.detector.Detector.columns`.
        size: bytes of it that are kept, see `AppendOnlyFile`.
    """

    def __init__(self, path: Path, columns: Sequence[str], size: int = 0) -> None:
        super().__init__(path, size)
        self.columns = columns
        if not size:
            place = ("top", "left", "height", "width")
            self._line("frame", "time", "score", "score_raw", *columns, *place)

    def write(self, result: Result) -> int:
        """Add a frame's row.

        Args:
            result: of the frame.

        Returns:
            The table's size in bytes with it.
        """
        values = [
            result.score,
            result.raw,
            *(result.parts.get(name, math.nan) for name in self.columns),
        ]
        box = result.region or ("", "", "", "")
        return self._line(
            str(result.frame),
            f"{result.time:.3f}",
            *(repr(float(value)) for value in values),  # in full: rounding would make ties
            *map(str, box),
        )

    def _line(self, *fields: str) -> int:
        return self.append((",".join(fields) + "\n").encode())

"""scores.csv: a row a frame, each on its way to the disk before the next."""

from __future__ import annotations

from pathlib import Path

from mpn.io.appending import AppendOnlyFile
from mpn.scoring.detector import Result

PARTS = ("error", "pseudo", "psnr_db", "compactness")


class ScoreTable(AppendOnlyFile):
    """Writes the table, or goes on with one.

    Columns: frame (from 0), time (seconds), score, score_raw (before smoothing), parts, and top,
    left, height and width of the largest patch in pixels; NaN, and no place, for the first frames.

    Args:
        path, size: see `AppendOnlyFile`.
        pseudo: whether there is a column of the pseudo-anomaly head.
    """

    def __init__(self, path: Path, pseudo: bool, size: int = 0) -> None:
        super().__init__(path, size)
        self.names = [name for name in PARTS if pseudo or name != "pseudo"]
        if not size:
            self._line(
                "frame", "time", "score", "score_raw", *self.names, "top", "left", "height", "width"
            )

    def write(self, result: Result) -> int:
        """A frame's row; the table's size in bytes with it."""
        values = [
            result.score,
            result.raw,
            *(result.parts.get(name, float("nan")) for name in self.names),
        ]
        place = result.region or ("", "", "", "")
        return self._line(
            str(result.frame),
            f"{result.time:.3f}",
            *(f"{value:.6g}" for value in values),
            *map(str, place),
        )

    def _line(self, *fields: str) -> int:
        return self.append((",".join(fields) + "\n").encode())

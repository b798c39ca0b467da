"""scores.csv: a row a frame, each on its way to the disk before the next."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mpn.detector import Result
from mpn.errors import MpnError

PARTS = ("error", "pseudo", "psnr_db", "compactness")


class ScoreTable:
    """Writes the table, or goes on with one.

    Columns: frame (from 0), time (seconds), score, raw (before smoothing), the parts, and top, left, height and width
    of the largest patch in pixels; NaN, and no place, for the first frames.

    Args:
        path: of the file.
        pseudo: whether there is a column of the pseudo-anomaly head.
        size: bytes of an earlier table that stand; what follows them is dropped. 0 begins anew.

    Raises:
        MpnError: it cannot be written, or the disk is full; the rows before are kept.
    """

    def __init__(self, path: Path, pseudo: bool, size: int = 0) -> None:
        self.path = path
        self.names = [name for name in PARTS if pseudo or name != "pseudo"]
        try:
            self.file = path.open("r+b" if size else "wb")
            if size:
                self.file.truncate(size)
                self.file.seek(size)
        except OSError as error:
            raise MpnError(f"cannot write {path}: {error.strerror}; give another --out") from error
        if not size:
            self._line("frame", "time", "score", "raw", *self.names, "top", "left", "height", "width")

    def write(self, result: Result) -> int:
        """A frame's row; the table's size in bytes with it."""
        values = [result.score, result.raw, *(result.parts.get(name, float("nan")) for name in self.names)]
        place = result.region or ("", "", "", "")
        return self._line(
            str(result.frame), f"{result.time:.3f}", *(f"{value:.6g}" for value in values), *map(str, place)
        )

    def _line(self, *fields: str) -> int:
        try:
            self.file.write((",".join(fields) + "\n").encode())
            self.file.flush()
            return self.file.tell()
        except OSError as error:
            raise MpnError(f"cannot write {self.path}: {error.strerror}; the rows before are kept") from error

    def __enter__(self) -> ScoreTable:
        return self

    def __exit__(self, *_: object) -> None:
        # Every row was flushed; what a failed flush left over would only fail once more.
        with contextlib.suppress(OSError):
            self.file.close()

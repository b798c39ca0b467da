"""The table VIDEO_regions.csv: a row for every region of every frame, with its track. No torch."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mpn.errors import DataError
from mpn.io.appending import AppendOnlyFile
from mpn.scoring.regions import Box, Tracked
from mpn.video.paths import result_name

COLUMNS = ("frame", "time", "track", "score", "top", "left", "height", "width")
SUFFIX = "_regions.csv"


def regions_name(source: Path) -> str:
    """Name a source's table: lobby_regions.csv of lobby.mp4 or of a folder lobby.

    Args:
        source: a video file or a folder of frames.
    """
    named = source if source.name not in ("", "..") else source.resolve()
    name = named.name if named.is_dir() else named.stem
    return f"{result_name(name, len(SUFFIX))}{SUFFIX}"


class RegionTable(AppendOnlyFile):
    """Writes the table, or goes on with one.

    Columns: frame (from 0), time (seconds), track (from 1; the same in every frame of one thing),
    score (the region's peak, in units of normal frames), and top, left, height and width in pixels
    of the source.

    Args:
        path: see `AppendOnlyFile`.
        size: see `AppendOnlyFile`.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        super().__init__(path, size)
        if not size:
            self.append((",".join(COLUMNS) + "\n").encode())

    def write(self, frame: int, time: float, regions: Sequence[Tracked]) -> int:
        """Add a frame's rows, none where it has no regions.

        Args:
            frame: index from 0.
            time: seconds.
            regions: of the frame.

        Returns:
            The table's size in bytes with them.
        """
        start = f"{frame},{time:.3f}"
        # Scores in full: rounding would make ties.
        rows = (
            ",".join([start, str(region.track), repr(float(region.score)), *map(str, region.box)])
            for region in regions
        )
        return self.append("".join(f"{row}\n" for row in rows).encode())


class RegionRow(NamedTuple):
    """A row of the table; `box` is (top, left, height, width) in pixels of the source."""

    frame: int
    track: int
    score: float
    box: Box


def read_regions(path: str | Path) -> list[RegionRow]:
    """Read the rows of a table, in its order; its columns may stand in any.

    Args:
        path: of the table.

    Raises:
        DataError: naming the line: columns that are missing, fields that are not numbers, a file
            that is no text.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                expected = f"expected a table of regions with {','.join(COLUMNS)}"
                raise DataError(f"{path}: has no column {sorted(missing)[0]!r}; {expected}")
            return [_row(fields, f"{path}, line {reader.line_num}") for fields in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read as a table of regions: {reason}") from error


def _row(fields: dict[str, str], where: str) -> RegionRow:
    try:
        top, left, height, width = (int(fields[name]) for name in COLUMNS[4:])
        box = (top, left, height, width)
        row = RegionRow(int(fields["frame"]), int(fields["track"]), float(fields["score"]), box)
    except (TypeError, ValueError) as error:
        text = ",".join(str(field) for field in fields.values())
        raise DataError(
            f"{where}: {text[:80]!r} is no region; expected numbers: {','.join(COLUMNS)}"
        ) from error
    if row.frame < 0 or min(height, width) < 1:
        raise DataError(
            f"{where}: frame {row.frame}, box {row.box}; expected a frame from 0 and sides "
            "of at least 1 pixel"
        )
    return row

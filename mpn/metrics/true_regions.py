"""True and found regions, from pixel masks and from files, for RBDC and TBDC. No torch.

Files, one a video, named after it; frames from 0, corners in pixels that belong to the box (a width
is x_max - x_min + 1):

    true regions     VIDEO.txt            track_id,frame_id,x_min,y_min,x_max,y_max (as published
    for ShanghaiTech)
                     tracks.csv           video,frame,track,x,y,w,h with a header, of all videos
                     (the demo set's)
    found regions    VIDEO.txt            frame_id,x_min,y_min,x_max,y_max,score
                     VIDEO_regions.csv    as `score` writes it (`mpn.scoring.region_table`)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from mpn.errors import LabelError
from mpn.io.text import plural
from mpn.metrics.regions import Box, Region, TrueRegion
from mpn.scoring.region_table import SUFFIX, read_regions
from mpn.video.paths import visible

# Parts of a mask smaller than so many pixels are leavings of whoever drew or compressed it.
SPECK = 10
# A track may be unseen for one frame and go on.
GAP = 1
TABLE_COLUMNS = ("video", "frame", "track", "x", "y", "w", "h")
TRACK_COLUMNS = "track_id,frame_id,x_min,y_min,x_max,y_max"
REGION_COLUMNS = "frame_id,x_min,y_min,x_max,y_max,score"

Item = TypeVar("Item")


class _Part:
    """A connected part of a mask: its box, and its pixels inside the box, bool (height, width)."""

    def __init__(self, box: tuple[int, int, int, int], pixels: np.ndarray) -> None:
        self.box = box
        self.pixels = pixels

    def overlap(self, other: _Part) -> float:
        """Compute intersection over union of the pixels, in [0, 1]."""
        (top, left, height, width), (top2, left2, height2, width2) = self.box, other.box
        y0, y1 = max(top, top2), min(top + height, top2 + height2)
        x0, x1 = max(left, left2), min(left + width, left2 + width2)
        if y0 >= y1 or x0 >= x1:
            return 0.0
        pixels = self.pixels[y0 - top : y1 - top, x0 - left : x1 - left]
        other_pixels = other.pixels[y0 - top2 : y1 - top2, x0 - left2 : x1 - left2]
        common = int(np.count_nonzero(pixels & other_pixels))
        return common / (np.count_nonzero(self.pixels) + np.count_nonzero(other.pixels) - common)


def regions_of_masks(video: str, masks: Iterable[np.ndarray]) -> list[TrueRegion]:
    """Find the connected parts of a video's pixel masks, linked to tracks.

    Parts are 8-connected, of at least SPECK pixels. From frame to frame they are paired so that the
    overlaps add up to the most; a track may miss GAP frame. These are not the published annotations
    of Ramachandra and Jones or of Georgescu et al.: two anomalies that touch are one region, and of
    their two tracks one ends there and a new one begins when they part.

    Args:
        video: its name.
        masks: bool (H, W) of each frame, in order, True = anomalous.

    Returns:
        Regions by frame; tracks from 0.

    Raises:
        LabelError: a mask is no picture.
    """
    regions: list[TrueRegion] = []
    alive: dict[int, tuple[int, _Part]] = {}  # track -> the frame it was last seen in, and how
    tracks = 0
    for frame, mask in enumerate(masks):
        alive = {track: last for track, last in alive.items() if frame - last[0] <= GAP + 1}
        parts = _parts(video, frame, np.asarray(mask))
        candidates = list(alive)
        overlaps = np.array(
            [[part.overlap(alive[track][1]) for track in candidates] for part in parts]
        )
        linked: dict[int, int] = {}
        if overlaps.size:
            rows, columns = linear_sum_assignment(overlaps, maximize=True)
            linked = {
                int(row): candidates[column]
                for row, column in zip(rows, columns)
                if overlaps[row, column] > 0
            }
        for number, part in enumerate(parts):
            track = linked.get(number, tracks)
            tracks += number not in linked
            alive[track] = (frame, part)
            regions.append(TrueRegion(video, frame, track, part.box))
    return regions


def _parts(video: str, frame: int, mask: np.ndarray) -> list[_Part]:
    if mask.ndim != 2 or mask.dtype.kind not in "biu":
        kind = f"{mask.dtype} {mask.shape}"
        raise LabelError(
            f"video {video!r}: the mask of frame {frame} is {kind}; expected bool (H, W)"
        )
    if not mask.any():
        return []
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(
        (mask != 0).astype(np.uint8), connectivity=8
    )
    parts = []
    for part in range(1, count):
        left, top, width, height, area = (int(value) for value in facts[part])
        if area >= SPECK:
            inside = numbers[top : top + height, left : left + width] == part
            parts.append(_Part((top, left, height, width), inside))
    return parts


# --- Files


def read_track_files(folder: str | Path) -> list[TrueRegion]:
    """Read the true regions of a folder of VIDEO.txt, rows TRACK_COLUMNS, without a header.

    See above. A file without rows is a video without anomalies.

    Raises:
        LabelError: there is no such file, or a row is none; names file and line.
    """
    folder = Path(folder)
    files = [path for path in _files(folder) if path.suffix.lower() == ".txt"]
    if not files:
        raise LabelError(
            f"{folder}: holds no .txt file; expected one a video, VIDEO.txt, rows {TRACK_COLUMNS}"
        )

    def region(video: str, fields: list[str]) -> TrueRegion:
        track, frame, *corners = map(_number, fields)
        return TrueRegion(video, _whole(frame, "frame", 0), _whole(track, "track"), _box(*corners))

    return [
        item for path in files for item in _rows(path, TRACK_COLUMNS, partial(region, path.stem))
    ]


def read_tracks(path: str | Path) -> list[TrueRegion]:
    """Read the true regions of a folder, see `read_track_files`, or of a table such as tracks.csv.

    The table has a header with TABLE_COLUMNS among its columns, in any order: x and y of the upper
    left corner, width and height.

    Raises:
        LabelError: the path is neither, or a row is bad; names file and line.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv" or not path.is_file():
        return read_track_files(path)
    header = [
        name.strip() for name in next(iter(_lines(path, ",".join(TABLE_COLUMNS))), "").split(",")
    ]
    absent = [name for name in TABLE_COLUMNS if name not in header]
    if absent:
        raise LabelError(
            f"{path}: its first line has no {absent[0]!r}; expected columns "
            f"{','.join(TABLE_COLUMNS)}"
        )
    at = [header.index(name) for name in TABLE_COLUMNS]

    def region(fields: list[str]) -> TrueRegion:
        video, *numbers = (fields[k].strip() for k in at)
        frame, track, x, y, width, height = map(_number, numbers)
        box = _box(x, y, x + width - 1, y + height - 1)
        return TrueRegion(video, _whole(frame, "frame", 0), _whole(track, "track"), box)

    return list(_rows(path, ",".join(header), region, skipped=1))


def read_region_files(folder: str | Path) -> list[Region]:
    """Read the found regions of a folder of VIDEO.txt or VIDEO_regions.csv, see above.

    They are in the order of the files' rows. VIDEO/VIDEO_regions.csv, where `score` puts it, is
    found too. A file without rows is a video in which nothing was found.

    Raises:
        LabelError: there is no such file, a video has two, or a row is none; names file and line.
        DataError: likewise.
    """
    folder = Path(folder)
    files = _files(folder)
    by_video: dict[str, Path] = {}
    inside = [
        folder / item.name / f"{item.name}{SUFFIX}" for item in visible(folder) if item.is_dir()
    ]
    for path in files + [path for path in inside if path.is_file()]:
        name = path.name.lower()
        if not name.endswith((".txt", SUFFIX)):
            continue
        video = path.name[: -len(SUFFIX)] if name.endswith(SUFFIX) else path.stem
        if video in by_video:
            raise LabelError(
                f"{folder}: {by_video[video].name} and {path.name} are of one video; "
                "keep one of them"
            )
        by_video[video] = path
    if not by_video:
        raise LabelError(
            f"{folder}: holds no regions; expected one file a video, VIDEO{SUFFIX} or VIDEO.txt "
            f"with rows {REGION_COLUMNS}"
        )

    def region(video: str, fields: list[str]) -> Region:
        frame, *corners, score = map(_number, fields)
        return Region(video, _whole(frame, "frame", 0), _box(*corners), score)

    regions: list[Region] = []
    for video, path in by_video.items():
        if path.suffix.lower() == ".csv":
            regions += [Region(video, row.frame, row.box, row.score) for row in read_regions(path)]
        else:
            regions += _rows(path, REGION_COLUMNS, partial(region, video))
    return regions


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise LabelError(
            f"{folder}: is no folder; expected a folder with one file of regions a video"
        )
    return [path for path in visible(folder) if path.is_file()]


def _lines(path: Path, columns: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise LabelError(f"{path}: cannot be read ({reason}); expected rows {columns}") from error


def _rows(
    path: Path, columns: str, make: Callable[[list[str]], Item], skipped: int = 0
) -> Iterator[Item]:
    """Yield one item a row of comma-separated values.

    Empty lines are passed over, and so many (`skipped`) at the beginning.
    """
    for number, line in enumerate(_lines(path, columns), 1):
        if number <= skipped or not line.strip():
            continue
        fields = line.split(",")
        try:
            if len(fields) != columns.count(",") + 1:
                raise ValueError(f"has {plural(len(fields), 'value', 'd')}")
            yield make(fields)
        except ValueError as error:
            raise LabelError(f"{path}: line {number} {error}; expected {columns}") from error


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"has {text.strip()[:40]!r} where a number belongs")
    return value


def _whole(value: float, name: str, minimum: float = -math.inf) -> int:
    if value != int(value) or value < minimum:
        raise ValueError(
            f"has the {name} {value:g}, no whole number{' from 0' if minimum == 0 else ''}"
        )
    return int(value)


def _box(x_min: float, y_min: float, x_max: float, y_max: float) -> Box:
    """Return (top, left, height, width) of corners that both belong to the box."""
    if x_max < x_min or y_max < y_min:
        raise ValueError(
            f"has a box that ends before it begins ({x_min:g},{y_min:g},{x_max:g},{y_max:g})"
        )
    return _short(y_min), _short(x_min), _short(y_max - y_min + 1), _short(x_max - x_min + 1)


def _short(value: float) -> float:
    """Return whole numbers as int, so that boxes of files and of masks look alike."""
    return int(value) if value == int(value) else value

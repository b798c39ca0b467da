"""Whether the size of what moves tells large things apart, by place, on a demo set.

    python -m benchmarks.sizes data/demo

A thing is a connected set of cells of which at least half moves. Its height, width and area are
counted in cells, the share of a cell that moves as so much of it; normal ones, of the training
clips, at the place of its foot and around. A thing of a validation clip is then so many times as
large as 99 % of what moves there. The limit is that which 1 % of the walkers' things pass: those on
no track, and of people who go the wrong way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common import commit, parser
from benchmarks.reasons import NAMED_BY, Tracks, read_tracks
from mpn.motion.flow import MOVING, MotionReader
from mpn.motion.place import POOL
from mpn.scoring.regions import Box

MEASURES = ("height", "width", "area")
HIGH = 0.99
AROUND = 1  # squares on every side that count as the place
MIN_THINGS = 50  # normal things at a place; fewer say nothing of it
WALKERS = ("nothing anomalous", "wrong direction")
PASSED = 0.01  # share of the walkers' things that may pass the limit


class Thing(NamedTuple):
    """What moves together, in cells.

    Attributes:
        sizes: height, width, area.
        box: (top, left, height, width).
    """

    sizes: tuple[float, float, float]
    box: Box

    @property
    def foot(self) -> tuple[int, int]:
        """Return the square of the place model that it stands in."""
        top, left, height, width = self.box
        return (top + height - 1) // POOL, (2 * left + width - 1) // (2 * POOL)


def things_of(folder: Path) -> Iterator[tuple[int, tuple[int, int], list[Thing]]]:
    """Find the things in the frames of a clip.

    Yields:
        (frame, (height, width) of the frame in pixels, things).
    """
    reader: MotionReader | None = None
    for number, path in enumerate(sorted(folder.iterdir())):
        frame = cv2.imread(str(path))
        assert frame is not None
        size = frame.shape[0], frame.shape[1]
        reader = reader or MotionReader(size)
        moving = reader.read(frame)[..., MOVING].astype(np.float32)
        count, parts = cv2.connectedComponents((moving >= 0.5).astype(np.uint8), connectivity=8)
        things = []
        for part in range(1, count):
            share = np.where(parts == part, moving, 0)
            rows, columns = (np.flatnonzero(share.any(axis)) for axis in (1, 0))
            (top, bottom), (left, right) = ((int(at[0]), int(at[-1])) for at in (rows, columns))
            sizes = share.max(1).sum(), share.max(0).sum(), share.sum()
            things.append(Thing(sizes, (top, left, bottom - top + 1, right - left + 1)))
        yield number, size, things


def kind_of(
    thing: Thing, frame: int, tracks: Tracks, scale: tuple[float, float]
) -> tuple[str, int]:
    """Say what a thing is: the track that it covers most of, or nothing anomalous (track 0)."""
    most, kind = 0.0, ("nothing anomalous", 0)
    for number, (name, boxes) in tracks.items():
        if frame not in boxes:
            continue
        box = boxes[frame]
        covered = 1.0
        for axis in (0, 1):
            start, stop = (edge * scale[axis] for edge in (box[axis], box[axis] + box[axis + 2]))
            end = thing.box[axis] + thing.box[axis + 2]
            covered *= max(0.0, min(end, stop) - max(thing.box[axis], start))
        if covered > most:
            most, kind = covered, (name, number)
    return kind


def ratios(data: Path, quick: bool) -> dict[tuple[str, str, int], list[np.ndarray]]:
    """Compare the things of the validation clips with what moves at their places.

    Returns:
        (kind, clip, track) -> of each thing (3,): so many times the high quantile.
    """
    normal: dict[str, dict[tuple[int, int], list]] = defaultdict(lambda: defaultdict(list))
    for clip in sorted((data / "training" / "frames").iterdir())[: 1 if quick else None]:
        for _, _, things in things_of(clip):
            for thing in things:
                normal[clip.name.split("_")[0]][thing.foot].append(thing.sizes)
    tracks = read_tracks(data / "validation" / "tracks.csv")
    by_track: dict[tuple[str, str, int], list[np.ndarray]] = defaultdict(list)
    for clip in sorted((data / "validation" / "frames").iterdir())[: 1 if quick else None]:
        places = normal[clip.name.split("_")[0]]
        for number, size, things in things_of(clip):
            grid = MotionReader(size).grid
            scale = grid[0] / size[0], grid[1] / size[1]
            for thing in things:
                row, column = thing.foot
                around = [
                    measured
                    for (r, c), sizes in places.items()
                    if max(abs(r - row), abs(c - column)) <= AROUND
                    for measured in sizes
                ]
                if len(around) < MIN_THINGS:
                    continue
                usual = np.maximum(np.quantile(np.array(around), HIGH, axis=0), 1.0)
                kind, track = kind_of(thing, number, tracks.get(clip.name, {}), scale)
                by_track[kind, clip.name, track].append(np.array(thing.sizes) / usual)
    return by_track


def table(found: dict[tuple[str, str, int], list[np.ndarray]]) -> list[str]:
    """Write how many of each kind's things pass the limit, in markdown."""
    by_kind: dict[str, list[np.ndarray]] = defaultdict(list)
    for (kind, _, _), values in found.items():
        by_kind[kind] += values
    kinds = [kind for kind in (*NAMED_BY, WALKERS[0]) if by_kind[kind]]
    lines = [
        f"| | AUC of vehicles among walkers | limit | {' | '.join(kinds)} |",
        "|---" * (len(kinds) + 3) + "|",
        f"| things | | | {' | '.join(str(len(by_kind[kind])) for kind in kinds)} |",
    ]
    by_track = []
    for index, measure in enumerate(MEASURES):
        values = {kind: np.array(by_kind[kind])[:, index] for kind in kinds}
        walkers = np.concatenate([values[kind] for kind in WALKERS if kind in values])
        vehicles = values["vehicle"]
        limit = float(np.quantile(walkers, 1 - PASSED))
        labels = np.repeat([False, True], [len(walkers), len(vehicles)])
        auc = roc_auc_score(labels, np.concatenate([walkers, vehicles]))
        cells = [f"{np.mean(values[kind] > limit):.0%}" for kind in kinds]
        lines.append(f"| {measure} | {auc:.2f} | {limit:.2f} | {' | '.join(cells)} |")
        shares = [
            f"{clip} {np.mean([value[index] > limit for value in things]):.0%} of {len(things)}"
            for (kind, clip, _), things in found.items()
            if kind == "vehicle"
        ]
        by_track.append(f"Vehicles by {measure}, a track each: {', '.join(shares)}.")
    return [*lines, "", *by_track]


def main() -> None:
    """Reads the clips and prints the table."""
    arguments = parser(__doc__)
    arguments.add_argument("data", type=Path, metavar="DEMO", help="a demo set")
    args = arguments.parse_args()
    print(f"commit {commit()}\n")
    print("\n".join(table(ratios(args.data, args.quick))))


if __name__ == "__main__":
    main()

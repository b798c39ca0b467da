"""How often the words of a reason name what is there, on a demo set's anomalies.

    python -m benchmarks.reasons data/demo --split validation
    python -m benchmarks.reasons data/demo --out benchmarks/results/reasons.md

Each track of tracks.csv is an anomaly of a known kind at a known place. Table 1: the reason of the
frame of highest score among those of the track whose region touches it, a row a kind. Table 2: the
same of the events found. Table 3: speeds and directions of all frames of the tracks whose region
touches them, where motion is the reason, beside those of the track's box; boxes that are cut off at
the picture's edge included.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

import mpn
from benchmarks.common import commit, parser
from mpn.motion.usual import COMPASS
from mpn.scoring.calibration import Calibration
from mpn.scoring.detector import Result
from mpn.scoring.events import events
from mpn.scoring.facts import FACTS, Fast, OtherPlace, OtherWay
from mpn.scoring.reasons import Reason, sentence
from mpn.scoring.regions import Box

FPS = 10.0  # of a demo set
# The kinds of fact that name an anomaly. Vehicles of the demo set go at 1.6 to 3.2 metres a second,
# walkers at 1.1 to 1.7: those that are called fast are.
NAMED_BY = {
    "runner": {"speed"},
    "cyclist": {"speed"},
    "vehicle": {"speed", "appearance"},
    "wrong direction": {"direction", "speed that way"},
    "thrown object": {"speed", "speed that way", "direction", "appearance"},
    "abandoned object": {"stays"},
}
RATES = (1.0, 60.0)  # false alarms an hour of the thresholds that events are found with
STANDS = 0.1  # pixels a frame; what is slower has no direction
REACH = 2  # frames before and after, over which a track's own speed is taken


class Named(NamedTuple):
    """A reason and what it was given of: `kind` is "" where nothing anomalous was touched."""

    kind: str
    where: str
    reason: Reason
    track: dict[int, Box]
    frame: int


Tracks: TypeAlias = dict[int, tuple[str, dict[int, Box]]]  # track -> (kind, frame -> box)


def read_tracks(path: Path) -> dict[str, Tracks]:
    """Read tracks.csv of a demo set.

    Returns:
        video -> track -> (kind, frame -> (top, left, height, width)).
    """
    tracks: dict[str, Tracks] = defaultdict(dict)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            x, y, w, h = (int(row[name]) for name in "xywh")
            kind, boxes = tracks[row["video"]].setdefault(int(row["track"]), (row["kind"], {}))
            boxes[int(row["frame"])] = (y, x, h, w)
    return tracks


def touch(one: Box, other: Box) -> bool:
    """Say whether two boxes have a pixel in common."""
    return all(
        min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) > max(one[axis], other[axis])
        for axis in (0, 1)
    )


def own_motion(track: dict[int, Box], frame: int) -> np.ndarray | None:
    """Return how far a track's box moves a frame, (down, right).

    None where it begins or ends, and where it stands (`STANDS`).
    """
    ends = [track.get(frame - REACH), track.get(frame + REACH)]
    if None in ends:
        return None
    before, after = (np.array([box[0] + box[2], box[1] + box[3] / 2]) for box in ends if box)
    motion = (after - before) / (2 * REACH)
    return motion if np.hypot(*motion) >= STANDS else None


def confusion(rows: Iterable[Named]) -> list[str]:
    """Write a table of kinds by the kind of the first fact, in markdown."""
    rows = list(rows)
    columns = list(FACTS)
    lines = [
        f"| | {' | '.join(columns)} | named first | named at all |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for kind in [*NAMED_BY, ""]:
        reasons = [row.reason for row in rows if row.kind == kind]
        if not reasons:
            continue
        counts = Counter(reason.kind for reason in reasons)
        cells = [str(counts[column] or ".") for column in columns]
        if kind:
            first = sum(reason.kind in NAMED_BY[kind] for reason in reasons)
            any_of = sum(
                bool({f.kind for f in reason.facts} & NAMED_BY[kind]) for reason in reasons
            )
            cells += [f"{first} of {len(reasons)}", f"{any_of} of {len(reasons)}"]
        else:
            cells += ["-", "-"]
        lines.append(f"| {kind or 'nothing anomalous'} | {' | '.join(cells)} |")
    return lines


def measured(rows: Sequence[Named]) -> list[str]:
    """Write how the speeds and directions that were said compare with the tracks' own."""
    ratios, turns = defaultdict(list), defaultdict(list)
    for row in rows:
        motion = own_motion(row.track, row.frame)
        for fact in row.reason.facts[:1]:
            if motion is None or not isinstance(fact, (Fast, OtherWay, OtherPlace)):
                continue
            ratios[row.kind].append(fact.speed / float(np.hypot(*motion)))
            angle = np.arctan2(*motion) - COMPASS.index(fact.direction) * np.pi / 4
            turns[row.kind].append(np.degrees(abs((angle + np.pi) % (2 * np.pi) - np.pi)))
    lines = [
        "| | frames | speed said / the box's, median (10 to 90 %) | direction within 45 degrees |",
        "|---|---|---|---|",
    ]
    for kind in ratios:
        values, right = ratios[kind], sum(turn <= 45 for turn in turns[kind])
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
        spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {kind} | {len(values)} | {spread} | {right} of {len(values)} |")
    return lines


class Found(NamedTuple):
    """The reasons of clips."""

    at_tracks: list[Named]
    at_frames: list[Named]
    at_events: dict[float, list[Named]]  # by false alarms an hour
    unseen: Counter[str]  # tracks that no region touches, by kind


def add_tracks(found: Found, clip: str, tracks: Tracks, results: list[Result]) -> None:
    """Add the reasons of one clip's frames whose region touches a track."""
    for kind, boxes in tracks.values():
        touching = [
            result
            for result in results
            if result.region and result.frame in boxes
            if touch(result.region, boxes[result.frame])
        ]
        if not touching:
            found.unseen[kind] += 1
            continue
        named = [
            Named(kind, clip, result.reason, boxes, result.frame)
            for result in touching
            if result.reason is not None
        ]
        found.at_frames.extend(named)
        found.at_tracks.append(named[int(np.argmax([result.score for result in touching]))])


def add_events(
    found: Found,
    clip: str,
    tracks: Tracks,
    results: list[Result],
    calibration: Calibration,
) -> None:
    """Add the reasons of one clip's events, at each threshold."""
    scores = np.array([result.score for result in results])
    for rate, named in found.at_events.items():
        for event in events(
            scores,
            calibration.threshold(rate).value,
            FPS,
            regions=[result.region for result in results],
            reasons=[result.reason for result in results],
            raw=[result.raw for result in results],
        ):
            frame, reason, region = event.peak_frame, event.reason, event.region
            assert reason is not None and region is not None
            place = (region[0], region[1], region[2], region[3])
            hit = [
                (kind, boxes)
                for kind, boxes in tracks.values()
                if frame in boxes and touch(place, boxes[frame])
            ]
            kind, boxes = hit[0] if hit else ("", {})
            named.append(Named(kind, clip, reason, boxes, frame))


def document(found: Found) -> list[str]:
    """Write the tables in markdown."""
    lines = ["## At the true place", "", *confusion(found.at_tracks), ""]
    if found.unseen:
        never = ", ".join(f"{kind} {count}" for kind, count in sorted(found.unseen.items()))
        lines += [f"Tracks that no frame's region touches: {never}.", ""]
    for rate, named in found.at_events.items():
        lines += [f"## Events, threshold for {rate:g} false alarms an hour", ""]
        lines += [*confusion(named), ""] if named else ["None found.", ""]
    lines += ["## Speeds and directions", "", *measured(found.at_frames), "", "## Sentences", ""]
    lines += ["| clip | frame | what is there | what is said |", "|---|---|---|---|"]
    return lines + [
        f"| {row.where} | {row.frame} | {row.kind} | {sentence(row.reason)} |"
        for row in found.at_tracks
    ]


def main() -> None:
    """Scores the clips and prints or writes the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("data", type=Path, metavar="DEMO", help="a demo set")
    arguments.add_argument("--checkpoint", default="demo")
    arguments.add_argument("--split", choices=("validation", "testing"), default="testing")
    arguments.add_argument("--out", type=Path, help="write a markdown file")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    detector = mpn.load(args.checkpoint, precision="float32")
    calibration = detector.calibration(FPS)
    assert calibration is not None
    tracks = read_tracks(args.data / args.split / "tracks.csv")
    clips = sorted((args.data / args.split / "frames").iterdir())[: 1 if args.quick else None]
    found = Found([], [], {rate: [] for rate in RATES}, Counter())
    for clip in clips:
        results = list(detector.score(clip, fps=FPS))
        add_tracks(found, clip.name, tracks.get(clip.name, {}), results)
        add_events(found, clip.name, tracks.get(clip.name, {}), results, calibration)
        print(f"{clip.name}: {len(results)} frames", flush=True)
    command = f"python -m benchmarks.reasons data/demo --split {args.split}"
    head = ["# Do the words name what is there?", "", f"`{command}`, commit {commit()}, model "]
    head[-1] += f"`{args.checkpoint}`, {len(clips)} {args.split} clips of the demo set."
    text = "\n".join([*head, "", *document(found)]) + "\n"
    if args.out and not args.quick:
        args.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

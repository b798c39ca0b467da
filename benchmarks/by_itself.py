"""Recordings judged by themselves, with no normal footage at all: what do they show?

    python -m benchmarks.by_itself ped1 PED1 --work FOLDER          36 test clips, one camera
    python -m benchmarks.by_itself frames DATA --work FOLDER        the test clips of a data set

The test clips of each camera (of a data set: its scenes) are joined, in order, to one recording
without loss (FFV1), and `mpn score RECORDING` runs as a user would, without a model of the camera.
With --separate the clips stay as they are, recordings of one camera that are judged together.
Then: frame AUC over all clips (micro) and over the cameras (macro), the first T frames of every
clip left out as everywhere (PROTOCOL section 1), of the score and of its parts; and how many of
the ten strangest moments of each camera have their peak on an anomalous frame, beside the share of
frames that are anomalous.

More than half of the frames of these sets are anomalous, which no camera's day is.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common import log_reading, parser, print_table, write_result
from mpn.cli import main as mpn_main
from mpn.datasets.label_readers import csv_rows
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.jobs.state import EVENTS, SCORES
from mpn.jobs.summary import strangeness
from mpn.scoring.parts import PART_NAMES
from mpn.video.sources import open_source

RATE = 10  # frames/s of all these sets
WINDOW = 4
MOMENTS = 10
COLUMNS = ("score", *PART_NAMES)

Clips = Mapping[str, tuple[Path, np.ndarray]]


def ped1(folder: Path) -> dict[str, Clips]:
    """Find the clips of Ped1 and their labels, one camera."""
    clips = {}
    for path in sorted(folder.glob("*.mp4")):
        clips[path.stem] = path, np.zeros(open_source(path).length, bool)
    for _, video, start, end in csv_rows(folder / "labels.csv"):
        if start is not None:
            clips[video][1][start:end] = True
    return {"ped1": clips}


def data_set(folder: Path) -> Mapping[str, Clips]:
    """Find the test clips of a data set and their labels, by scene."""
    tree = recognise(folder)
    lengths = {video.name: open_source(video.path).length for video in tree.testing}
    labels = load_labels(tree, lengths).frames
    cameras: dict[str, dict[str, tuple[Path, np.ndarray]]] = {}
    for video in tree.testing:
        cameras.setdefault(video.scene, {})[video.name] = video.path, labels[video.name]
    return cameras


def join(paths: Sequence[Path], out: Path) -> None:
    """Write clips one after the other as one recording, without loss."""
    with av.open(str(out), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.pix_fmt = "bgr0"
        stream.height, stream.width = open_source(paths[0]).size
        for path in paths:
            for image in open_source(path).frames():
                colour = np.repeat(image, 3, -1) if image.shape[2] == 1 else image
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), "bgr24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def judge(
    name: str, clips: Clips, work: Path, options: Sequence[str], separate: bool
) -> dict[str, Any]:
    """Score the recordings of a camera; return its labels, columns and moments."""
    sources = [path for path, _ in clips.values()]
    if not separate:
        sources = [work / f"{name}.mkv"]
        join([path for path, _ in clips.values()], sources[0])
    out = work / "scored"
    command = ["score", *map(str, sources), "--out", str(out), "--no-report", "--json", *options]
    if status := mpn_main([*command, "--fps", str(RATE), "--moments", str(MOMENTS)]):
        raise SystemExit(status)
    labels = np.concatenate([clip_labels for _, clip_labels in clips.values()])
    # The first T frames of a clip have no score, or look back to another clip.
    used = np.concatenate(
        [np.arange(len(clip_labels)) >= WINDOW for _, clip_labels in clips.values()]
    )
    rows: list[dict[str, str]] = []
    frames: list[int] = []  # of all clips, of each row
    events, first = [], 0
    for source in sources:
        folder = out / source.stem
        for event in json.loads((folder / EVENTS).read_text())["events"]:
            events.append({**event, "frame": first + event["peak_frame"]})
        with (folder / SCORES).open() as table:
            rows += csv.DictReader(table)
        frames += [first + int(row["frame"]) for row in rows[len(frames) :]]
        first += open_source(source).length
    assert first == len(labels), (name, first, len(labels))
    level = json.loads((out / sources[0].stem / EVENTS).read_text())["threshold"]["value"]
    strangest = sorted(events, key=lambda event: -strangeness(event, level))[:MOMENTS]
    scored = np.array([row["score"] != "nan" for row in rows])
    judged = used[frames] & scored
    return {
        "labels": labels[frames][judged],
        "columns": {
            column: np.array([float(row[column]) for row in rows])[judged]
            for column in COLUMNS
            if column in rows[0]
        },
        "moments": len(strangest),
        "right": sum(bool(labels[event["frame"]]) for event in strangest),
    }


def causal(values: np.ndarray, weight: float = 0.3) -> np.ndarray:
    """Smooth a part's column as the score is."""
    out, state = np.empty(len(values)), values[0]
    for i, value in enumerate(values):
        out[i] = state = weight * value + (1 - weight) * state
    return out


def figures(cameras: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Compute micro and macro AUC of every column, and the moments, over the cameras."""
    micro, macro = {}, {}
    for column in next(iter(cameras.values()))["columns"]:
        smooth = (lambda values: values) if column == "score" else causal
        scores = [smooth(camera["columns"][column]) for camera in cameras.values()]
        labels = [camera["labels"] for camera in cameras.values()]
        micro[column] = float(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))
        macro[column] = float(np.mean([roc_auc_score(*pair) for pair in zip(labels, scores)]))
    labels = np.concatenate([camera["labels"] for camera in cameras.values()])
    return {
        "frames": len(labels),
        "anomalous": float(labels.mean()),
        "auc_micro": micro,
        "auc_macro": macro,
        "moments": sum(camera["moments"] for camera in cameras.values()),
        "right": sum(camera["right"] for camera in cameras.values()),
    }


def main() -> None:
    """Judge a set's cameras, print the table, write by_itself-NAME.json."""
    arguments = parser(__doc__)
    arguments.add_argument("kind", choices=("ped1", "frames"))
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--work", type=Path, required=True, help="for the joined recordings")
    arguments.add_argument("--name", help="of the result (default: the data's)")
    arguments.add_argument("--reading", action="store_true", help="note it: a test split was read")
    arguments.add_argument("--separate", action="store_true", help="clips as they are, not joined")
    arguments.add_argument("--options", default="", help="further options of mpn score")
    args = arguments.parse_args()
    name = (args.name or args.data.name) + "-separate" * args.separate
    cameras = ped1(args.data) if args.kind == "ped1" else data_set(args.data)
    shutil.rmtree(args.work / name, ignore_errors=True)
    (args.work / name).mkdir(parents=True)
    judged = {
        camera: judge(camera, clips, args.work / name, args.options.split(), args.separate)
        for camera, clips in cameras.items()
    }
    result = figures(judged)
    print_table(
        ["%", *result["auc_micro"]],
        [
            [kind, *(f"{100 * value:.1f}" for value in result[kind].values())]
            for kind in ("auc_micro", "auc_macro")
        ],
    )
    print(
        f"{result['right']} of the {result['moments']} strangest moments are anomalous; "
        f"{100 * result['anomalous']:.0f} % of the {result['frames']} frames are"
    )
    if args.reading:
        log_reading("judged by itself", "-", f"{100 * result['auc_micro']['score']:.1f}")
    write_result(f"by_itself-{name}", args, result)


if __name__ == "__main__":
    main()

"""How many minutes of normal footage a new camera needs: what is found after how many.

    python -m benchmarks.normal_minutes CHECKPOINT --work FOLDER     (forty minutes of one core)
    python -m benchmarks.normal_minutes mpn/models/demo.safetensors --quick --work FOLDER

Generated cameras (the demo set's generator, another seed) that no model has seen, 160x240 at 10
frames/s: minutes of normal life, no two alike, and minutes with one anomaly each, of five kinds.
Each camera is adapted to as `mpn adapt` and `mpn watch` do, by its first 0.75, 1, 2 and 5 minutes;
then the minutes after the fifth are judged, and those with an anomaly. An anomaly is found if any
frame that shows it is above the threshold; every episode above it in a normal minute is a false
alarm. Motion and the network's numbers of a minute are computed once and kept in --work.
"""

from __future__ import annotations

import argparse
import io
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.calibration_footage import through_jpeg
from benchmarks.common import parser, print_table, write_result
from benchmarks.day import LOOKED_FOR, MINUTE, RATE
from benchmarks.few_shot_common import open_model
from mpn.adaptation.camera import adapt_clips
from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.place import motion_columns
from mpn.datasets.demo.clips import make_clip
from mpn.datasets.demo.scene import make_scene
from mpn.datasets.windows import Clip
from mpn.io.atomic import write_atomically
from mpn.live.learning import base_for_learning
from mpn.metrics import frame_auc
from mpn.motion.flow import MotionReader
from mpn.motion.place import PlaceModel, picture_of
from mpn.scoring.calibration import episode_peaks
from mpn.scoring.clips import columns_of
from mpn.scoring.detector import Detector
from mpn.scoring.parts import STAYS
from mpn.scoring.protocols import exponential
from mpn.scoring.scores import combine, score_frames
from mpn.video.images import fit_frame

SEED, SCENES, QUALITY = 23, 6, 90  # of the generator; cameras; of JPEG
LENGTHS = (0.75, 1.0, 2.0, 5.0)  # minutes that are learned
LATER, ODD = 11, 8  # minutes of a camera: normal ones that are judged, and with an anomaly
RATES = (1.0, 6.0, 60.0)  # false alarms an hour that thresholds promise


@dataclass(frozen=True)
class Minute:
    """A minute of a camera.

    Attributes:
        clip: motion, and small pictures for frames.
        parts: the network's numbers, float32 (T,).
        shows: bool (T,), the anomaly; all False in normal life.
        kind: of the anomaly, or "".
    """

    clip: Clip
    parts: dict[str, np.ndarray]
    shows: np.ndarray
    kind: str

    def cut(self, start: int, stop: int) -> Minute:
        """Return frames start to stop (exclusive)."""
        parts = {name: values[start:stop] for name, values in self.parts.items()}
        clip = replace(self.clip.cut(start, stop), bad=[])
        return Minute(clip, parts, self.shows[start:stop], self.kind)


def minute_of(detector: Detector, scene: int, key: int, kind: str, folder: Path) -> Minute:
    """Render a minute and take its numbers, or read what is kept of it."""
    path = folder / f"{scene}-{key:02d}.npz"
    if not path.exists():
        write_atomically(path, _numbers(detector, scene, key, kind))
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    motion, pictures, shows = (arrays.pop(name) for name in ("motion", "pictures", "shows"))
    name = f"{scene}-{key:02d}"
    return Minute(Clip(name, str(scene), pictures, RATE, [], motion), arrays, shows, kind)


def _numbers(detector: Detector, scene: int, key: int, kind: str) -> bytes:
    """Render a minute; give motion, small pictures and the network's numbers as an .npz file."""
    anomalies = ((kind, 0.3),) if kind else ()
    made = make_scene(SEED, scene, fps=RATE)
    clip = make_clip(made, str(key), 100 * scene + key, MINUTE * RATE, anomalies)
    config, motion, pictures, shows = detector.config, [], [], []

    def fitted() -> Iterator[np.ndarray]:
        reader = None
        for frame in clip.frames():
            shows.append(bool(frame.tracks))
            image = through_jpeg(frame.image, QUALITY)
            reader = reader or MotionReader(image.shape[:2])
            motion.append(reader.read(image))
            small = fit_frame(image, config.size, config.grey)
            pictures.append(picture_of(small, reader.grid).round().clip(0, 255).astype(np.uint8))
            yield small

    scored = score_frames(
        detector.network,
        fitted(),
        parts=detector.parts,
        patch=detector.score_config.patch,
        engine=detector.engine,
    )
    columns = columns_of([frame.parts for frame in scored], detector.columns)
    missing = np.full(config.window, np.nan, np.float32)
    parts = {
        name: np.concatenate([missing[: len(motion) - len(values)], values.astype(np.float32)])
        for name, values in columns.items()
    }
    buffer = io.BytesIO()
    small = np.array(pictures)[..., None]
    moved = np.array(motion, np.float16)
    np.savez(buffer, motion=moved, pictures=small, shows=np.array(shows), **parts)
    return buffer.getvalue()


def first_of(minutes: Sequence[Minute], frames: int) -> list[Minute]:
    """Cut minutes to the first so many frames."""
    selected = []
    for minute in minutes:
        if frames > 0:
            selected.append(minute.cut(0, min(frames, len(minute.shows))))
        frames -= len(minute.shows)
    return selected


def judged(judge: Detector, place: PlaceModel, minute: Minute) -> np.ndarray:
    """Score a minute by a camera's model; smoothed, float64 (T,), NaN where there is none."""
    static = judge.weights.get(STAYS.name, 0.0) > 0
    columns = {**minute.parts, **motion_columns(minute.clip, place, static=static)}
    total = combine(columns, judge.weights, judge.normal)
    return exponential(total, judge.score_config.smoothing)


def camera(detector: Detector, minutes: Sequence[Minute], length: float) -> dict[str, Any]:
    """Adapt to a camera by its first minutes, and count what comes of the later ones."""
    normal = [minute for minute in minutes if not minute.kind]
    odd = [minute for minute in minutes if minute.kind]
    learned = first_of(normal, round(length * MINUTE * RATE))
    parts = [minute.parts for minute in learned]
    clips = [minute.clip for minute in learned]
    options = CameraOptions(force=True)
    adapted, _ = adapt_clips(detector, normal[0].clip.scene, clips, options, parts=parts)
    judge = detector.sibling(adapted, adapted.score_config)
    place = next(iter(adapted.places.values()))
    calm = [judged(judge, place, minute) for minute in normal[-LATER:]]
    scores = {minute.clip.name: judged(judge, place, minute) for minute in odd}
    window = judge.config.window
    truth = {minute.clip.name: minute.shows[window:] for minute in odd}
    auc = frame_auc(truth, {name: values[window:] for name, values in scores.items()})
    calibration = judge.calibration(RATE)
    assert calibration is not None
    figures: dict[str, Any] = {"auc": auc, "hours": sum(map(len, calm)) / RATE / 3600, "rates": {}}
    for rate in RATES:
        level = calibration.threshold(rate).value
        kinds = [m.kind for m in odd if (scores[m.clip.name][m.shows] > level).any()]
        false = sum(len(episode_peaks(values, level, Fraction(RATE))) for values in calm)
        figures["rates"][f"{rate:g}"] = {"threshold": level, "found": kinds, "false_alarms": false}
    return figures


def show(found: dict[str, list[dict[str, Any]]], anomalies: int) -> None:
    """Print the table: sums over the cameras."""
    header = ["minutes", "AUC, %", *(f"found, false at {rate:g}/h" for rate in RATES)]
    rows = []
    for length, cameras in found.items():
        cells = []
        for rate in RATES:
            counts = [result["rates"][f"{rate:g}"] for result in cameras]
            number = sum(len(count["found"]) for count in counts)
            cells.append(
                f"{number} of {anomalies}, {sum(count['false_alarms'] for count in counts)}"
            )
        auc = 100 * float(np.mean([result["auc"] for result in cameras]))
        rows.append([length, f"{auc:.1f}", *cells])
    print_table(header, rows)
    hours = sum(result["hours"] for result in next(iter(found.values())))
    expected = ", ".join(f"{rate * hours:.1f} at {rate:g}/h" for rate in RATES)
    print(f"normal footage that was judged: {hours:.2f} hours; promised in it: {expected}")


def main() -> None:
    """Makes the footage, adapts, judges, prints the table, writes normal_minutes.json."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument("--work", type=Path, help="where numbers of the footage are kept")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    args: argparse.Namespace = arguments.parse_args()
    if args.work is None:
        arguments.error("--work FOLDER was expected")
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    logging.getLogger("mpn").setLevel(logging.ERROR)
    opened = open_model(args.checkpoint, args)
    base = base_for_learning(opened.checkpoint)
    detector = opened.sibling(base, base.score_config)
    scenes, lengths, later, odd = SCENES, LENGTHS, LATER, ODD
    if args.quick:
        scenes, lengths, later, odd = 1, (0.75,), 1, 1
    normal = math.ceil(max(lengths)) + later
    folder = args.work / detector.checkpoint.sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {f"{length:g}": [] for length in lengths}
    for scene in tqdm(range(scenes), desc="cameras", disable=None):
        kinds = [LOOKED_FOR[(scene + key) % len(LOOKED_FOR)] for key in range(normal, normal + odd)]
        minutes = [
            minute_of(detector, scene, key, kind, folder)
            for key, kind in enumerate([*[""] * normal, *kinds])
        ]
        for length in lengths:
            results[f"{length:g}"].append(camera(detector, minutes, length))
    show(results, scenes * odd)
    facts = {
        "checkpoint": {"path": str(args.checkpoint), "sha256": opened.checkpoint.sha256},
        "anomalies": scenes * odd,
        "minutes": results,
    }
    write_result("normal_minutes", args, facts, threads=1)


if __name__ == "__main__":
    main()

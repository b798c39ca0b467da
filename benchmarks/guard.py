"""What the guard of `mpn adapt` leaves out, and what that is worth: real footage, with and without.

    python -m benchmarks.guard checkpoints/meta.safetensors --scenes data/scenes data/scenes2 \
        --ped1 data/ped1

- Normal footage: each camera's first half is adapted on, and the second half judged, both normal.
  How much of the first half is left out, and how many episodes the second half has above the
  thresholds for so many false alarms an hour, beside how many were promised.
- Footage that is not all normal: Ped1 in two folds, odd and even clips; all of one fold, its
  anomalies included, is what one camera is adapted on, the other fold is judged (not the standard
  protocol). How much of its normal and of its anomalous frames is left out, and the frame AUC.

By place, as by default. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import parser, print_table, write_result
from benchmarks.few_shot_common import open_model
from benchmarks.few_shot_ped1 import RATE, two_folds
from mpn.adaptation.before_after import smoothed_score
from mpn.adaptation.camera import adapt_clips
from mpn.adaptation.camera_report import CameraOptions, Report
from mpn.adaptation.place import motion_columns
from mpn.datasets.layouts import Video
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import MpnError
from mpn.metrics import frame_auc
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.events import events
from mpn.video.footage import footage_of, sources_of
from mpn.video.timing import USUAL_RATE

RATES = (10.0, 60.0)  # false alarms an hour
LEAST = 200  # frames of a camera; half of fewer is nothing to adapt on
MOST = 3000  # frames of a clip that are read
WAYS = {"guard": True, "no guard": False}
Parts = Mapping[str, np.ndarray]


def cameras(folders: Sequence[Path], detector: Detector) -> Iterator[tuple[str, list[Clip]]]:
    """Read the normal footage of each camera, a folder of each or of its clips."""
    config = detector.config
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if not path.is_dir():
                continue
            paths = sources_of(path, footage_of(path))
            videos = [Video(one.name, one, path.name) for one in paths]
            clips = load_clips(videos, config.size, config.grey, motion=True, skip_bad=True)
            clips = [clip.cut(0, MOST) if len(clip.frames) > MOST else clip for clip in clips]
            if sum(len(clip.frames) for clip in clips) >= LEAST:
                yield path.name, [replace(one, fps=one.fps or USUAL_RATE) for one in clips]


def cut(parts: Parts, start: int, stop: int) -> dict[str, np.ndarray]:
    return {name: values[start:stop] for name, values in parts.items()}


def scores_of(judge: Detector, clips: Sequence[Clip], parts: Sequence[Parts]) -> list[np.ndarray]:
    """Score clips by a camera's model, its network's numbers being known; the first T have none."""
    (place,) = judge.checkpoint.places.values()
    window, scores = judge.config.window, []
    for clip, own in zip(clips, parts):
        moving = motion_columns(clip, place, static=place.background.known)
        scores.append(smoothed_score(judge, cut({**own, **moving}, window, len(clip.frames))))
    return scores


def adapted(
    detector: Detector, name: str, clips: Sequence[Clip], parts: Sequence[Parts], guard: bool
) -> tuple[Detector, Report]:
    checkpoint, report = adapt_clips(detector, name, clips, CameraOptions(guard=guard), parts=parts)
    return detector.sibling(checkpoint, checkpoint.score_config), report


def left_out(report: Report) -> list[np.ndarray]:
    """Say of each frame whether the guard left it out, bool (T,), a clip each."""
    marks = [np.zeros(count, bool) for count in report.frames]
    for clip, start, stop in report.excluded:
        marks[clip][start:stop] = True
    return marks


def normal_camera(detector: Detector, name: str, clips: Sequence[Clip]) -> dict[str, Any] | None:
    """Adapt to the first halves, with and without guard, and count alarms in the second."""
    parts = score_clips(detector, clips, name)
    halves: list[tuple[list[Clip], list[Parts]]] = [([], []), ([], [])]
    for clip, own in zip(clips, parts):
        middle, end = len(clip.frames) // 2, len(clip.frames)
        for (some, numbers), span in zip(halves, ((0, middle), (middle, end))):
            some.append(clip.cut(*span))
            numbers.append(cut(own, *span))
    (first, known), (second, later) = halves
    fps = clips[0].fps or USUAL_RATE
    found: dict[str, Any] = {"seconds": sum(len(clip.frames) for clip in second) / fps}
    for way, guard in WAYS.items():
        try:
            judge, report = adapted(detector, name, first, known, guard)
        except MpnError as error:
            print(f"{name}, {way}: {error}")
            return None
        scores, calibration = scores_of(judge, second, later), judge.calibration(fps)
        if calibration is None:
            return None
        levels = {f"{rate:g}": calibration.threshold(rate).value for rate in RATES}
        found[way] = {
            "left_out": float(np.mean(np.concatenate(left_out(report)))),
            "thresholds": levels,
            "episodes": {
                rate: sum(len(events(score, level, fps, min_frames=1)) for score in scores)
                for rate, level in levels.items()
            },
        }
    return found


def ped1(detector: Detector, folder: Path) -> list[dict[str, Any]]:
    """Adapt to all of one fold, anomalies included, and judge the other."""
    _, clips, labels = two_folds(folder, detector.config)
    parts = dict(zip((clip.name for clip in clips), score_clips(detector, clips, "Ped1")))
    scenes = list(dict.fromkeys(clip.scene for clip in clips))
    rows = []
    for learned, judged in (scenes, scenes[::-1]):
        first = [replace(clip, fps=RATE) for clip in clips if clip.scene == learned]
        second = [clip for clip in clips if clip.scene == judged]
        truth = np.concatenate([labels[clip.name] for clip in first])
        row: dict[str, Any] = {"judged": judged, "anomalous": float(truth.mean())}
        for way, guard in WAYS.items():
            own = [parts[clip.name] for clip in first]
            judge, report = adapted(detector, learned, first, own, guard)
            scores = scores_of(judge, second, [parts[clip.name] for clip in second])
            out = np.concatenate(left_out(report))
            window = detector.config.window
            shown = np.concatenate([labels[clip.name][window:] for clip in second])
            row[way] = {
                "left_out_of_normal": float(out[~truth].mean()),
                "left_out_of_anomalous": float(out[truth].mean()),
                "frame_auc": float(frame_auc(shown, np.concatenate(scores))),
            }
        rows.append(row)
    return rows


def summary(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Make the table of normal cameras: a row a way."""
    hours = sum(one["seconds"] for one in found.values()) / 3600
    rows = []
    for way in WAYS:
        own = [one[way] for one in found.values()]
        shares = [one["left_out"] for one in own]
        row = [way, f"{100 * np.mean(shares):.1f} %", f"{sum(one > 0.1 for one in shares)}"]
        for rate in RATES:
            episodes = sum(one["episodes"][f"{rate:g}"] for one in own)
            row.append(f"{episodes} ({rate * hours:.0f} promised)")
        rows.append(row)
    return rows


def main() -> None:
    """Runs both, prints and writes guard.json."""
    made = parser(__doc__)
    made.add_argument("checkpoint", type=Path)
    made.add_argument("--scenes", type=Path, nargs="*", default=[], help="folders of cameras")
    made.add_argument("--ped1", type=Path)
    args = made.parse_args()
    args.device, args.precision = "cpu", "auto"
    detector = open_model(args.checkpoint, argparse.Namespace(device="cpu", precision="auto"))
    found = {}
    for name, clips in cameras(args.scenes, detector):
        one = normal_camera(detector, name, clips)
        if one is not None:
            found[name] = one
            print(name, one, flush=True)
        if args.quick and len(found) == 2:
            break
    titles = ["adapted", "left out of normal", "cameras with a tenth", *map(str, RATES)]
    print_table(titles, summary(found))
    folds = ped1(detector, args.ped1) if args.ped1 else []
    for row in folds:
        print(row)
    write_result("guard", args, {"normal": found, "ped1": folds})


if __name__ == "__main__":
    main()

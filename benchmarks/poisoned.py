"""A support clip that is not as normal as its owner thinks: an anomaly in a third of it.

    python -m benchmarks.poisoned CHECKPOINT --work FOLDER

For generated scenes that the model has not seen, and a kind of anomaly each: a clip of 600 frames
with events of this kind in about a third of them is what `mpn adapt` gets, and the same clip
without the anomalous actors for comparison. How many of the windows that are adapted on are
poisoned (a window is if it shows an anomalous frame), and whether the adapted model still detects
that kind in other clips of the scene: frame AUC (region score, causal) and share of the events
above the camera's own threshold for --rate false alarms an hour. With --method place and --shots 0
all footage is adapted on, and windows are counted at every frame; and then its owner looks at the
strangest moments of the clip that are shown, and leaves out those that are anomalous (a moment is
if its peak is), twice. About two minutes a case on two cores by gradient steps, a minute with
"place"; what is done is kept in --work.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import parser, print_table, write_result
from benchmarks.few_shot_common import open_model, plain
from mpn.adaptation.camera import adapt_camera
from mpn.adaptation.camera_report import CameraOptions, Report
from mpn.adaptation.footage import Without
from mpn.adaptation.inner_loop import METHODS, Adaptation
from mpn.datasets.demo.clips import KINDS, make_clip
from mpn.datasets.demo.dataset import scene_clips
from mpn.datasets.demo.scene import Scene
from mpn.datasets.windows import Clip
from mpn.evaluation.few_shot_summary import paired_difference
from mpn.io.atomic import write_atomically
from mpn.io.runs import intervals
from mpn.metrics import frame_auc
from mpn.motion.flow import MotionReader
from mpn.scoring import protocols
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.scores import combine
from mpn.video.images import fit_frame

FPS = 10.0
SHARE = 1 / 3  # of the support clip that is to be anomalous
CASES = ("clean", "poisoned")  # beside unadapted
LOOKED, LOOKS = "looked at", 2  # with place: moments left out by who looks at them, so often


def drawn(
    scene: Scene, key: int, length: int, events: Sequence[tuple[str, float]], *, clean: bool = False
) -> tuple[list[np.ndarray], np.ndarray]:
    """Render a generated clip: frames uint8 (H, W, 3) and their labels bool (T,).

    `clean`: without the anomalous actors, all else the same.
    """
    clip = make_clip(scene, f"clip{key}", key, length, tuple(events))
    frames = list(clip.frames(anomalies=not clean))
    return [frame.image for frame in frames], np.array([bool(frame.tracks) for frame in frames])


def poisoned_clip(
    scene: Scene, kind: str, length: int, key: int = 40_000
) -> tuple[list[np.ndarray], np.ndarray, list[tuple[str, float]]]:
    """Make a clip of which about a third shows events of a kind, evenly spread.

    How long they last is seen when they are rendered, so their number is corrected twice.

    Returns:
        Frames, labels, events.
    """
    count, tried = 1, {}
    for _ in range(3):
        events = [(kind, (number + 0.5) / count) for number in range(count)]
        frames, labels = drawn(scene, key, length, events)
        tried[count] = abs(float(labels.mean()) - SHARE), frames, labels, events
        count = max(1, round(count * SHARE / max(float(labels.mean()), 1 / length)))
        if count in tried:
            break
    return min(tried.values(), key=lambda attempt: attempt[0])[1:]


def save_frames(folder: Path, frames: Sequence[np.ndarray]) -> Path:
    """A folder of pictures without loss."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        if not cv2.imwrite(str(folder / f"{number:04d}.png"), frame):
            raise SystemExit(f"cannot write {folder}")
    return folder


def support(report: Report, truth: np.ndarray, window: int) -> dict[str, int]:
    """Count the windows that were adapted on, and the poisoned ones among them.

    Of all footage it is those at every frame.
    """
    targets = [target for _, target in report.windows] or range(window, len(truth))
    poisoned = sum(bool(truth[target - window : target + 1].any()) for target in targets)
    return {"windows": len(targets), "poisoned": poisoned}


def detection(
    detector: Detector, clips: Sequence[Clip], labels: Sequence[np.ndarray], rate: float
) -> dict[str, float]:
    """Compute frame AUC (region score, causal) on other clips of the scene.

    And the share of events above the threshold.
    """
    window = detector.config.window
    level = detector.calibration(FPS).threshold(rate).value
    hits, truth, scores = [], [], []
    for parts, label in zip(score_clips(detector, clips, "scoring"), labels):
        raw = combine(
            {name: values.astype(np.float64) for name, values in parts.items()},
            detector.weights,
            detector.normal,
        )
        scores.append(protocols.exponential(raw)[window:])
        truth.append(label[window:])
        hits += [bool((scores[-1][start:end] > level).any()) for start, end in intervals(truth[-1])]
    return {
        "auc": frame_auc(truth, scores),
        "events_found": float(np.mean(hits)) if hits else float("nan"),
    }


def one_case(
    detector: Detector, scene: Scene, kind: str, args: argparse.Namespace
) -> dict[str, Any]:
    """Everything about one scene and one kind of anomaly."""
    config = detector.config
    length, test_length = (200, 150) if args.quick else (600, 175)
    frames, truth, events = poisoned_clip(scene, kind, length)
    clean, _ = drawn(scene, 40_000, length, events, clean=True)
    clips, labels = [], []
    for number in range(2):
        # Not where the support clip has them.
        images, label = drawn(
            scene, 50_000 + number, test_length, [(kind, 0.1 + 0.2 * number), (kind, 0.6)]
        )
        fitted = np.stack([fit_frame(image, config.size, config.grey) for image in images])
        reader = MotionReader(images[0].shape[:2])
        motion = np.stack([reader.read(image) for image in images])
        shown = fitted.reshape(*fitted.shape[:3], -1)
        clips.append(Clip(f"test{number}", "scene", shown, FPS, motion=motion))
        labels.append(label)
    figures: dict[str, Any] = {
        "scene": scene.index,
        "kind": kind,
        "anomalous_share": float(truth.mean()),
        "test_anomalous_share": float(np.concatenate(labels).mean()),
        "unadapted": detection(detector, clips, labels, args.rate),
    }
    steps = 2 if args.quick and args.method != "place" else None  # as many as `mpn adapt` does
    settings = Adaptation(args.method, steps)
    with tempfile.TemporaryDirectory(prefix="mpn-poisoned-") as folder:
        # Its loss on held-out frames is no concern here, what it detects is.
        options = CameraOptions(args.shots, settings, args.rate, network=True, force=True)
        for name, case_frames in zip(CASES, (clean, frames)):
            source = save_frames(Path(folder) / name, case_frames)
            adapted, report = adapt_camera(detector, source, options, fps=FPS)
            label = np.zeros(length, bool) if name == "clean" else truth
            own_score = detector.sibling(adapted, adapted.score_config)
            figures[name] = detection(own_score, clips, labels, args.rate)
            figures[name] |= {"support": support(report, label, config.window)}
            if name == "poisoned" and report.moments:
                figures[LOOKED] = looked_at(detector, source, options, report, truth)
                adapted = figures[LOOKED].pop("adapted")
                own_score = detector.sibling(adapted, adapted.score_config)
                figures[LOOKED] |= detection(own_score, clips, labels, args.rate)
    return figures


def looked_at(
    detector: Detector, source: Path, options: CameraOptions, report: Report, truth: np.ndarray
) -> dict[str, Any]:
    """Leave out the moments of a report that are anomalous, and adapt anew, so often as LOOKS says.

    Returns:
        The adapted model; moments that were shown, and of these anomalous ones, in the first look.
    """
    shown, right = len(report.moments), sum(bool(truth[moment.frame]) for moment in report.moments)
    without: list[Without] = []
    adapted = None
    for _ in range(LOOKS):
        without += [
            Without(moment.start, moment.stop - 1)
            for moment in report.moments
            if truth[moment.frame]
        ]
        again = replace(options, without=without)
        adapted, report = adapt_camera(detector, source, again, fps=FPS)
    return {"adapted": adapted, "moments": shown, "anomalous_moments": right}


def summary(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up all cases: windows adapted on, means and paired differences."""
    result: dict[str, Any] = {
        name: sum(case["poisoned"]["support"][name] for case in cases)
        for name in ("windows", "poisoned")
    }
    looked = all(LOOKED in case for case in cases)
    if looked:
        for name in ("moments", "anomalous_moments"):
            result[name] = sum(case[LOOKED][name] for case in cases)
    columns = (*CASES, LOOKED) if looked else CASES
    for figure in ("auc", "events_found"):
        defined = [case for case in cases if np.isfinite(case["unadapted"][figure])]
        if not defined:
            continue
        table = {
            name: np.array([case[name][figure] for case in defined])
            for name in ("unadapted", *columns)
        }
        means = {name: float(values.mean()) for name, values in table.items()}
        pairs = {
            f"poisoned - {other}": paired_difference((table["poisoned"] - table[other])[:, None])
            for other in ("clean", "unadapted")
        }
        if looked:
            difference = (table[LOOKED] - table["poisoned"])[:, None]
            pairs[f"{LOOKED} - poisoned"] = paired_difference(difference)
        result[figure] = {"mean": means, "differences": pairs}
    return result


def show(cases: Sequence[dict[str, Any]], total: dict[str, Any]) -> None:
    """Prints a line a case, and what they come to."""
    rows = []
    columns = (*CASES, LOOKED) if all(LOOKED in case for case in cases) else CASES
    for case in cases:
        windows = case["poisoned"]["support"]
        cells = [
            f"{100 * case[name]['auc']:.1f} / {100 * case[name]['events_found']:.0f}"
            for name in ("unadapted", *columns)
        ]
        rows.append(
            [
                f"{case['scene']} {case['kind']}",
                f"{100 * case['anomalous_share']:.0f}",
                f"{windows['poisoned']} of {windows['windows']}",
                *cells,
            ]
        )
    print_table(
        [
            "AUC, % / events found, %",
            "poisoned, %",
            "of the windows",
            "unadapted",
            *columns,
        ],
        rows,
    )
    print(f"\nof {total['windows']} windows adapted on {total['poisoned']} are poisoned")
    if "moments" in total:
        print(f"of {total['moments']} moments shown {total['anomalous_moments']} are anomalous")
    for figure in ("auc", "events_found"):
        for name, pair in total.get(figure, {"differences": {}})["differences"].items():
            mean, low, high = (f"{100 * pair[part]:+.1f}" for part in ("mean", "low", "high"))
            print(f"{figure}, {name}: {mean} ({low} to {high})")


def _options() -> argparse.Namespace:
    """Read the command line."""
    arguments = parser(__doc__)
    arguments.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    arguments.add_argument(
        "--scenes", type=int, default=6, help="generated scenes, a kind each (default: 6)"
    )
    arguments.add_argument(
        "--seed", type=int, default=2, help="of the scenes: another than trained on (default: 2)"
    )
    arguments.add_argument(
        "--method", choices=METHODS, default="adam", help="how to adapt (default: adam)"
    )
    arguments.add_argument(
        "--shots", type=int, default=10, help="0 for all footage, with place (default: 10)"
    )
    arguments.add_argument("--label", help="of the result file: poisoned-LABEL.json")
    arguments.add_argument(
        "--rate", type=float, default=1.0, help="false alarms an hour (default: 1)"
    )
    arguments.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="where finished cases are kept, outside the repository (default: a temporary folder)",
    )
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    return arguments.parse_args()


def main() -> None:
    """Run the cases that are not done yet, print the table, write poisoned.json."""
    args = _options()
    if args.quick:
        args.scenes, args.shots = min(args.scenes, 2), min(args.shots, 3)
    args.shots = args.shots or None
    args.work = args.work or Path(tempfile.mkdtemp(prefix="mpn-poisoned-"))
    detector = open_model(args.checkpoint, args)
    options = {
        "seed": args.seed,
        "method": args.method,
        "shots": args.shots,
        "rate": args.rate,
        "quick": args.quick,
        "checkpoint": detector.checkpoint.sha256,
    }
    print(
        f"{args.scenes} cases, about two minutes each on two cores; kept in {args.work}", flush=True
    )
    cases = []
    for index in range(args.scenes):
        path, kind = args.work / f"case-{index}.json", KINDS[index % len(KINDS)]
        if path.exists() and (stored := json.loads(path.read_text()))["options"] == options:
            cases.append(stored["case"])
            continue
        scene = scene_clips(
            args.seed,
            index,
            training=0,
            validation=0,
            testing=0,
            size=(64, 96) if args.quick else (160, 240),
        ).scene
        cases.append(one_case(detector, scene, kind, args))
        write_atomically(path, json.dumps({"options": options, "case": cases[-1]}))
    total = summary(cases)
    show(cases, total)
    write_result(
        f"poisoned-{args.label}" if args.label else "poisoned",
        args,
        plain(
            {
                "checkpoint": {"path": str(args.checkpoint), "sha256": detector.checkpoint.sha256},
                "options": options,
                "recipe": detector.score_config.to_dict(),
                "summary": total,
                "cases": cases,
            }
        ),
    )


if __name__ == "__main__":
    main()

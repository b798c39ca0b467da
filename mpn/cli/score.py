"""mpn score: videos in; scores, events and, if wanted, overlay videos out."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mpn.calibration import Threshold
from mpn.cli import above_zero, new_parser, number
from mpn.cli.model import add_model, open_detector
from mpn.detector import Detector, Result
from mpn.errors import DataError, MpnError
from mpn.events import Event, EventFinder
from mpn.files import write_atomically
from mpn.overlay import OverlayWriter
from mpn.video import FrameSource, find_sources, open_source

EXAMPLES = """  python -m mpn score lobby.mp4
  python -m mpn score recordings/ --checkpoint runs/a/model.safetensors --overlay
  python -m mpn score frames/01 --fps 10 --false-alarms-per-hour 0.5"""
# Where neither the source nor the model knows its frame rate; said when used.
USUAL_RATE = 25.0


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser(
        "score",
        "Scores video files, folders of frames, or folders of either, of any length; the best results come from a "
        "model trained on the same camera.",
        EXAMPLES,
    )
    own.add_argument("source", nargs="+", type=Path, metavar="SOURCE", help="video, folder of frames, or of those")
    add_model(own)
    own.add_argument("--out", type=Path, default=Path("runs/score"), help="results (default: runs/score)")
    alarm = own.add_mutually_exclusive_group()
    alarm.add_argument(
        "--false-alarms-per-hour", type=above_zero, default=1.0, metavar="RATE", help="sets the threshold (default: 1)"
    )
    alarm.add_argument("--threshold", type=number, metavar="SCORE", help="a threshold of your own instead")
    own.add_argument("--overlay", action="store_true", help="write overlay.mp4: curve, heat and box on the video")
    own.add_argument("--fps", type=above_zero, help="frames per second, instead of what the source says")
    own.add_argument("--skip-bad", action="store_true", help="go on without frames and videos that can't be read")
    own.add_argument("--json", action="store_true", help="print a JSON line a source instead of the summary")
    return own


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    detector = open_detector(options)
    paths = [path for source in options.source for path in find_sources(source)]
    failed = []
    for path, folder in zip(paths, _folders(options.out, paths)):
        try:
            score_source(detector, path, folder, options)
        except DataError as error:
            if not options.skip_bad:
                raise
            print(f"left out: {error}", file=sys.stderr)
            failed.append(path)
    if len(failed) == len(paths):
        raise DataError(f"none of the {len(paths)} sources could be read")


def _folders(out: Path, paths: list[Path]) -> list[Path]:
    """A folder for each source's results, named after it; equal names get a number."""
    names: list[str] = []
    for path in paths:
        name = path.resolve().name if path.is_dir() else path.stem
        numbered = (f"{name}-{again}" for again in range(2, len(paths) + 2))
        names.append(next(free for free in chain([name], numbered) if free not in names))
    return [out / name for name in names]


def score_source(detector: Detector, path: Path, folder: Path, options: argparse.Namespace) -> None:
    """Scores one source into its folder and prints its summary; interrupted, it keeps what it has."""
    source = open_source(path, skip_bad=options.skip_bad, fps=options.fps)
    if source.fps is None:
        source.fps = _assumed_rate(detector, path)
    threshold = _threshold(detector, source, options)
    finder = None if threshold is None else EventFinder(threshold.value, source.fps)
    events: list[Event] = []
    count, highest, complete = 0, (float("-inf"), 0), False
    results = detector.score(source, images=options.overlay)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MpnError(f"cannot make the folder {folder}: {error.strerror}; give another --out") from error
    with ExitStack() as stack:
        table = stack.enter_context(_Table(folder / "scores.csv", detector))
        bar = stack.enter_context(tqdm(total=source.length, desc=path.name, unit="frame", disable=None))
        overlay = None
        if options.overlay:
            overlay = OverlayWriter(folder / "overlay.mp4", fps=source.fps, size=source.size)
            stack.enter_context(overlay)
        try:
            for result in results:
                table.write(result)
                if overlay:
                    _draw(overlay, result, threshold)
                if finder and not np.isnan(result.score):
                    events += finder.update(result.frame, result.score, result.region)
                if result.score > highest[0]:
                    highest = (result.score, result.frame)
                count += 1
                bar.update()
            complete = True
        finally:
            events += finder.finish() if finder else []
            summary = _summary(detector, source, threshold, events, count, complete)
            write_atomically(folder / "events.json", json.dumps(summary, indent=1) + "\n")
    if count <= detector.preset.window:
        print(f"{path}: {count} frames are too few, a score takes {detector.preset.window} before it", file=sys.stderr)
    print(json.dumps(summary) if options.json else _text(path, folder, summary, highest))


def _assumed_rate(detector: Detector, path: Path) -> float:
    rate = detector.checkpoint.fps or USUAL_RATE
    origin = "as the model's training footage" if detector.checkpoint.fps else "a usual rate"
    print(f"{path}: frame rate unknown, {rate:g} frames/s assumed ({origin}); --fps says otherwise", file=sys.stderr)
    return rate


def _threshold(detector: Detector, source: FrameSource, options: argparse.Namespace) -> Threshold | None:
    if options.threshold is not None:
        value = options.threshold
        return Threshold(value, False, (value, value), 0.0, float("nan"), "given")
    calibration = detector.calibration(source.fps)
    if calibration is None:
        print("this model has no normal scores for a threshold: no events (--threshold sets one)", file=sys.stderr)
        return None
    return calibration.threshold(options.false_alarms_per_hour)


class _Table:
    """scores.csv, a row a frame, each on its way to the disk before the next; a full disk is an MpnError."""

    def __init__(self, path: Path, detector: Detector) -> None:
        self.path = path
        columns = ("error", "pseudo", "psnr_db", "compactness")
        self.names = [name for name in columns if name != "pseudo" or "pseudo" in detector.weights]
        try:
            self.file = path.open("w")
        except OSError as error:
            raise MpnError(f"cannot write {path}: {error.strerror}; give another --out") from error
        self._line("frame", "time", "score", "raw", *self.names, "top", "left", "height", "width")

    def write(self, result: Result) -> None:
        """A frame's row."""
        values = [result.score, result.raw, *(result.parts.get(name, float("nan")) for name in self.names)]
        place = result.region or ("", "", "", "")
        self._line(str(result.frame), f"{result.time:.3f}", *(f"{value:.6g}" for value in values), *map(str, place))

    def _line(self, *fields: str) -> None:
        try:
            self.file.write(",".join(fields) + "\n")
            self.file.flush()
        except OSError as error:
            raise MpnError(f"cannot write {self.path}: {error.strerror}; the rows before are kept") from error

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        # Every row was flushed; what a failed flush left over would only fail once more.
        with contextlib.suppress(OSError):
            self.file.close()


def _draw(overlay: OverlayWriter, result: Result, threshold: Threshold | None) -> None:
    heat = None
    if result.map is not None and threshold is not None:
        heat = np.clip(result.map / max(threshold.value, 1e-6), 0, 1)
    overlay.write(result.image, result.score, threshold.value if threshold else None, heat, result.region)


def _summary(
    detector: Detector,
    source: FrameSource,
    threshold: Threshold | None,
    events: list[Event],
    count: int,
    complete: bool,
) -> dict:
    """What events.json holds."""
    calibration = detector.calibration(source.fps) if threshold else None
    found = []
    for event in events:
        entry = event.to_dict()
        if calibration is not None:
            rarity = calibration.rarity(event.peak_score)
            entry |= {"rarer_than_one_in": round(rarity.one_in, 1), "beyond_normal_footage": rarity.beyond}
        found.append(entry)
    return {
        "source": str(source.path),
        "complete": complete,
        "frames": count,
        "fps": float(source.fps),
        "threshold": None if threshold is None else _finite(threshold._asdict()),
        "events": found,
        "bad_frames": [bad._asdict() for bad in source.bad],
        "checkpoint_sha256": detector.checkpoint.sha256,
        "recipe": asdict(detector.recipe),
    }


def _finite(values: dict) -> dict:
    return {name: None if value != value else value for name, value in values.items()}


def _text(path: Path, folder: Path, summary: dict, highest: tuple[float, int]) -> str:
    """A source's summary for a person."""
    lines = [f"{path}: {summary['frames']} frames, {summary['frames'] / summary['fps']:.1f} s; results in {folder}"]
    threshold = summary["threshold"]
    if threshold:
        note = ""
        if threshold["extrapolated"]:
            minutes = threshold["hours"] * 60
            note = f" (extrapolated from {minutes:.1f} minutes of normal footage: take it as a rough guide)"
        lines.append(f"  threshold {threshold['value']:.2f}{note}; {len(summary['events'])} events")
    if highest[0] > float("-inf"):
        lines.append(f"  highest score {highest[0]:.2f} at frame {highest[1]}, {highest[1] / summary['fps']:.1f} s")
    for event in summary["events"]:
        rarity = ""
        if "rarer_than_one_in" in event:
            rarity = f", rarer than 1 in {event['rarer_than_one_in']:.0f} normal frames"
        lines.append(
            f"  {event['start_seconds']:8.1f} - {event['end_seconds']:.1f} s  peak {event['peak_score']:.2f} "
            f"at frame {event['peak_frame']}{rarity}"
        )
    return "\n".join(lines)

"""The verb `mpn demo`: all on the embedded demo set, with what a user would run one by one."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mpn.cli import above_zero, adapt, evaluate, from_zero, new_parser, score, train
from mpn.cli.data import DEMO, DEMO_FOLDER, demo_rate, open_data
from mpn.datasets.demo.dataset import write_unseen_camera
from mpn.errors import CheckpointError
from mpn.io.atomic import read_npy
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.checkpoint import load_checkpoint
from mpn.report.camera_page import page_of
from mpn.report.from_evaluation import REPORT
from mpn.training.run_folder import MODEL, STATE

EXAMPLES = """  mpn demo               about five minutes on two cores
  mpn demo --minutes 9   trains for longer, as the released model demo was"""
UNSEEN_FOLDER = Path("data/demo_unseen")
RATE = 60.0  # false alarms an hour that the table's thresholds promise
DETAILS = "details.txt"
# Folder of an evaluation: its row in the table.
EVALUATED = {
    "evaluate": "four cameras, trained on",
    "camera-05-before": "a fifth camera, as it comes",
    "camera-05-after": "the fifth, adapted to it",
}
# What the table does not show of the fifth camera.
QUICK = ("--no-baselines", "--no-places", "--no-report")


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "demo",
        "Generates footage of four cameras, trains on its normal part, evaluates, scores a video "
        "with an overlay, and adapts to a fifth camera that the training has not seen. Stopped, "
        "the same command goes on; only footage that was not finished is made anew.",
        EXAMPLES,
    )
    verb.add_argument("--minutes", type=above_zero, default=2.0, help="of training (default: 2)")
    verb.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="results (default: runs/demo)"
    )
    verb.add_argument("--seed", type=from_zero, default=0, help="of the training (default: 0)")
    verb.add_argument(
        "--verbose", action="store_true", help=f"print what {DETAILS} in the results holds, too"
    )
    return verb


@dataclass(frozen=True)
class _Demo:
    """Where everything is kept."""

    out: Path
    verbose: bool

    @property
    def model(self) -> Path:
        return self.out / "train" / MODEL

    @property
    def camera(self) -> Path:
        return self.out / f"camera-05{CAMERA_SUFFIX}"

    def run(self, title: str, verb: ModuleType, *arguments: object) -> None:
        """Run a verb quietly: its progress is shown, what it prints is kept in a file."""
        words = [str(argument) for argument in arguments]
        command = f"mpn {verb.__name__.rpartition('.')[2]} {' '.join(words)}"
        print(title, file=sys.stderr, flush=True)
        with (
            (self.out / DETAILS).open("a", encoding="utf-8") as file,
            _output_to(None if self.verbose else file),
        ):
            print(f"\n$ {command}", flush=True)
            verb.main(verb.parser().parse_args(words))


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    began = time.monotonic()
    demo = _Demo(options.out, options.verbose)
    options.out.mkdir(parents=True, exist_ok=True)
    print("1/5 making footage of five cameras", file=sys.stderr, flush=True)
    with _output_to(None):
        tree = open_data(argparse.Namespace(data=DEMO, layout=None, fps=None))
        write_unseen_camera(UNSEEN_FOLDER)
    _train(demo, options.minutes, options.seed)
    _evaluate(demo, f"3/5 evaluating on {len(tree.testing)} labelled videos", DEMO, demo.model)
    video = video_to_show([video.path for video in tree.testing])
    fps = ("--fps", demo_rate(DEMO_FOLDER))
    title = f"4/5 scoring a video, {video.name}, with an overlay"
    model = ("--checkpoint", demo.model)
    rate = ("--false-alarms-per-hour", RATE)
    demo.run(title, score, video, *model, *rate, "--overlay", "--out", demo.out / "score", *fps)
    _adapt(demo, fps)
    print(_summary(demo, video.name, time.monotonic() - began))


def video_to_show(videos: Sequence[Path]) -> Path:
    """Choose the labelled video of which the least is anomalous, but something.

    Most of a demo set's test videos are anomalous most of the time: of such a one `mpn score` says
    that its camera may be one that the model does not know.

    Args:
        videos: of the demo set's test split.
    """
    shares = {}
    for video in videos:
        labels = video.parent.parent / "test_frame_mask" / f"{video.name}.npy"
        share = float(read_npy(labels).mean()) if labels.is_file() else 0.0
        if share > 0:
            shares[video] = share
    return min(shares, key=shares.__getitem__, default=videos[0])


def _train(demo: _Demo, minutes: float, seed: int) -> None:
    run = demo.model.parent
    arguments = [DEMO, "--minutes", minutes, "--seed", seed, "--out", run]
    title = f"2/5 training for {minutes:g} minute{'s' * (minutes != 1)} on four of them"
    if (run / STATE).exists():
        title += ": going on with what is there"
        arguments.append("--resume")
    demo.run(title, train, *arguments)


def _adapt(demo: _Demo, fps: tuple[str, float]) -> None:
    """Adapt to the fifth camera, and evaluate the model on it before and after."""
    title = "5/5 adapting to the fifth camera, by its normal footage"
    if _base_of(demo.camera) != _sha256_of(demo.model):
        footage = UNSEEN_FOLDER / "training" / "frames"
        where = ("--checkpoint", demo.model, "--out", demo.camera)
        demo.run(title, adapt, footage, *where, *fps)
    for when, model in (("before", demo.model), ("after", demo.camera)):
        title = f"    scoring its labelled videos {when}"
        _evaluate(demo, title, UNSEEN_FOLDER, model, f"camera-05-{when}", *fps, *QUICK)


def _evaluate(
    demo: _Demo,
    title: str,
    data: object,
    model: Path,
    name: str = "evaluate",
    *options: object,
) -> None:
    """Evaluate a model, where that has not been done before."""
    folder = demo.out / name
    complete = "--no-report" in options or (folder / REPORT).is_file()
    evaluated = _metrics(folder).get("checkpoint", {}).get("sha256")
    if not complete or evaluated != _sha256_of(model):
        where = ("--checkpoint", model, "--out", folder)
        demo.run(title, evaluate, data, *where, "--verbose", *options)


@contextlib.contextmanager
def _output_to(file: Any) -> Iterator[None]:
    """Send standard output to a file, if any, and keep what is only said in passing quiet."""
    logger = logging.getLogger("mpn")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(file) if file else contextlib.nullcontext():
            yield
    finally:
        logger.setLevel(level)


def _sha256_of(model: Path) -> str:
    return load_checkpoint(model).sha256


def _base_of(camera: Path) -> str | None:
    """Read the SHA-256 of the model that was adapted; None where there is no usable camera file."""
    try:
        return (load_checkpoint(camera).camera or {})["base"]["sha256"]
    except (CheckpointError, KeyError):
        return None


def _metrics(folder: Path) -> dict[str, Any]:
    """Read what an evaluation wrote; nothing where there is none."""
    try:
        return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _summary(demo: _Demo, video: str, seconds: float) -> str:
    """Make the table, and say where to look."""
    metrics = {name: _metrics(demo.out / name) for name in EVALUATED}
    speed = metrics["evaluate"]["baselines"]["flow_speed"]
    pages = {
        demo.out / "evaluate" / REPORT: "every figure, every video",
        demo.out / "score" / video / REPORT: "one video; overlay.webm is beside it",
        page_of(demo.camera): "what the fifth camera has learned",
    }
    return "\n".join(
        [
            f"\ndone in {seconds / 60:.1f} minutes\n",
            _row("", "frame AUC, %", "events found", "false alarms"),
            *(_metrics_row(title, metrics[name]) for name, title in EVALUATED.items()),
            _row("the four by speed alone, nothing learned", _auc(speed), "", ""),
            "",
            "Frame AUC: 100 is perfect, 50 chance; in brackets its 95 % interval. Events and",
            f"false alarms: at the threshold for {RATE:g} an hour. Two videos say little.",
            "",
            "Look at, in a browser:",
            *(f"  {page!s:<35} {words}" for page, words in pages.items()),
            f"{demo.model} knows these four cameras alone. For yours:",
            "  mpn score YOUR_VIDEO                judges it by itself",
            f"  mpn adapt YOUR_NORMAL_FOOTAGE --out CAMERA{CAMERA_SUFFIX}",
            f"Tables: {demo.out}/{DETAILS}; footage: {DEMO_FOLDER}, {UNSEEN_FOLDER}",
        ]
    )


def _metrics_row(title: str, metrics: dict[str, Any]) -> str:
    alarms = [row for row in metrics.get("alarms") or [] if row["promised_per_hour"] == RATE]
    detected, false = "-", "-"
    for row in alarms:
        detected = f"{row['events_found']} of {row['events']}"
        seconds = 3600 * row["normal_hours"]
        length = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
        false = f"{row['false_alarms']} in {length}"
    return _row(title, _auc(metrics["scores"][metrics["main"]]), detected, false)


def _auc(protocols: dict[str, Any]) -> str:
    """Write the causal protocol's frame AUC with its interval, in percent."""
    causal = protocols["causal"]
    if causal["micro_auc"] is None:  # all frames normal, or none
        return "-"
    text = f"{100 * causal['micro_auc']:.1f}"
    interval = causal.get("interval")
    if not interval or interval["low"] is None:
        return text
    return f"{text} ({100 * interval['low']:.0f}-{100 * interval['high']:.0f})"


def _row(title: str, auc: str, detected: str, false: str) -> str:
    return f"{title:40}{auc:>13}{detected:>13}{false:>14}".rstrip()

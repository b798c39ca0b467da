"""The verb `mpn adapt`: make a camera file from normal footage of a new camera."""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from pathlib import Path

from mpn.adaptation.camera import adapt_camera
from mpn.adaptation.camera_file import changing, rollback, with_earlier_lessons, write_camera
from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.footage import Without
from mpn.adaptation.inner_loop import (
    ADAM_RATE,
    ADAM_STEPS,
    METHODS,
    TARGETS,
    Adaptation,
    targets_in,
)
from mpn.cli import UsageError, above_zero, fit, from_zero, new_parser, positive
from mpn.cli.adapt_text import lessons_text, report_text
from mpn.cli.model import load_model
from mpn.io.atomic import check_writable
from mpn.io.text import json_text
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.released import BASE, PACKAGED_BASE, base_model
from mpn.report.camera_page import page_of, write_camera_page
from mpn.scoring.detector import Detector

log = logging.getLogger(__name__)

EXAMPLES = """  mpn adapt lobby_normal.mp4 --out lobby.camera.safetensors
  mpn adapt lobby_normal.mp4 --out lobby.camera.safetensors --without 464-500
  mpn adapt lobby_normal.mp4 --out lobby.camera.safetensors --method adam
  mpn adapt lobby_normal.mp4 --checkpoint runs/a/model.safetensors --method meta
  mpn adapt --rollback --out lobby.camera.safetensors"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "adapt",
        "Adapts a model to a new camera from its normal footage: learns how fast what moves where, "
        "sets the camera's threshold, and writes both as a camera file, which is given wherever a "
        "checkpoint is.",
        EXAMPLES,
    )
    verb.add_argument(
        "source",
        nargs="?",
        type=Path,
        metavar="SOURCE",
        help="normal footage: a video, a frame folder",
    )
    verb.add_argument(
        "--shots",
        type=positive,
        metavar="K",
        help="windows to adapt on, spread over it, the rest is for thresholds (default: all of it; "
        "10 of meta)",
    )
    _add_method(verb)
    verb.add_argument(
        "--checkpoint",
        type=Path,
        metavar="MODEL",
        help=f"the model to adapt: a file, or a released model's name (default: {BASE}; "
        f"{PACKAGED_BASE} where that is not here)",
    )
    verb.add_argument(
        "--out", type=Path, metavar="FILE", help=f"default: NAME{CAMERA_SUFFIX} in this folder"
    )
    verb.add_argument(
        "--fps", type=above_zero, help="frames per second, instead of what the source says"
    )
    _add_output(verb)
    return verb


def _add_method(verb: argparse.ArgumentParser) -> None:
    """Add how it learns."""
    verb.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help=f"gradient steps (default: {ADAM_STEPS}; of meta as many as the model was "
        "meta-trained with)",
    )
    verb.add_argument(
        "--method",
        choices=METHODS,
        help="place: learns what motion is normal where, leaves the network as it is (default); "
        "adam: trains the network on the camera too, for minutes; meta: changes it by a few steps "
        "whose sizes were meta-trained",
    )
    verb.add_argument(
        "--learning-rate",
        type=above_zero,
        metavar="RATE",
        help=f"of adam (default: {ADAM_RATE:g})",
    )
    verb.add_argument(
        "--targets",
        choices=TARGETS,
        help="parameters to adapt, of adam (default: as the model says; with --standalone all)",
    )
    verb.add_argument(
        "--seed", type=from_zero, help="of the made anomalies that it learns from (default: 0)"
    )


def _add_output(verb: argparse.ArgumentParser) -> None:
    """Add what is written, what is left out of the footage, and how it runs."""
    verb.add_argument(
        "--false-alarms-per-hour",
        type=above_zero,
        metavar="RATE",
        help="the threshold that is shown (default: 1)",
    )
    verb.add_argument(
        "--network",
        action=argparse.BooleanOptionalAction,
        help="of --method place: let the network have a say in the score, here and when scoring, "
        "which then take three times as long; on a camera that it was not trained on it adds "
        "little (default: only with --shots)",
    )
    verb.add_argument(
        "--without",
        type=stretches,
        action="extend",
        metavar="FRAMES",
        help="frames that are not normal, such as 120-180,400-412; of several recordings "
        "NAME:120-180; the strangest moments are shown at the end",
    )
    verb.add_argument(
        "--force", action="store_true", help="write it even if held-out footage is predicted worse"
    )
    verb.add_argument(
        "--standalone",
        action="store_true",
        help="write a whole model, which needs no base beside it",
    )
    verb.add_argument(
        "--skip-bad", action="store_true", help="go on without frames that can't be read"
    )
    verb.add_argument(
        "--rollback", action="store_true", help="put the earlier version of --out back in its place"
    )
    verb.add_argument(
        "--no-report", action="store_true", help="leave out the page of what the camera has learned"
    )
    verb.add_argument("--device", default="cpu", help="cpu or cuda")
    verb.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    verb.add_argument(
        "--json", action="store_true", help="print one JSON document instead of the table"
    )


def stretches(text: str) -> list[Without]:
    """Read stretches of frames from text such as 120-180,walk2:3-9, for argparse."""
    excluded = []
    for word in text.split(","):
        match = re.fullmatch(r"(?:(.+):)?(\d{1,9})-(\d{1,9})", word.strip())
        if not match or int(match[2]) > int(match[3]):
            raise argparse.ArgumentTypeError(
                f"{word!r}: FIRST-LAST was expected, such as 120-180, or NAME:120-180"
            )
        excluded.append(Without(int(match[2]), int(match[3]), match[1]))
    return excluded


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    out = _out(options)
    if options.rollback:
        _roll_back(out, options)
        return
    check_writable(out)
    began = time.monotonic()
    detector = _open(options)
    method = _method(options)
    chosen = CameraOptions(
        shots=options.shots,
        adaptation=Adaptation(
            method,
            options.steps,
            options.learning_rate or ADAM_RATE,
            seed=options.seed or 0,
            targets=targets_in(detector.network, options.targets) if options.targets else None,
        ),
        false_alarms_per_hour=options.false_alarms_per_hour or 1.0,
        network=options.network,
        force=options.force,
        standalone=options.standalone,
        without=options.without or (),
    )
    adapted, report = adapt_camera(
        detector, options.source, chosen, fps=options.fps, skip_bad=options.skip_bad
    )
    with changing(out):
        if not options.standalone:
            adapted = with_earlier_lessons(out, adapted)
        earlier = write_camera(out, adapted, standalone=options.standalone)
    page = None
    if not options.no_report:
        page = write_camera_page(page_of(out), adapted, out.name)
    seconds = time.monotonic() - began
    if options.json:
        facts = {
            "file": str(out),
            "bytes": out.stat().st_size,
            "earlier_version": str(earlier) if earlier else None,
            "page": str(page) if page else None,
        }
        print(json_text(report.to_dict() | facts | {"seconds": round(seconds, 2)}))
        return
    print(fit(report_text(report, seconds)))
    print(
        f"written: {out} ({out.stat().st_size / 1e6:.2f} "
        "MB)" + (f"; the earlier one is now {earlier}{lessons_text(adapted)}" if earlier else "")
    )
    if page:
        print(f"look at: {page}")
    print(f"next: mpn score VIDEO --checkpoint {out}")


def _method(options: argparse.Namespace) -> str:
    """Choose how it learns, and check the options that only one way has.

    Raises:
        UsageError: an option of another way.
    """
    method = options.method or ("adam" if options.learning_rate or options.targets else "place")
    if method != "adam" and (options.learning_rate or options.targets):
        raise UsageError(
            "--learning-rate and --targets are of --method adam: the learned step "
            "sizes have their own, and place takes no step"
        )
    if method != "place" and options.network is False:
        raise UsageError(f"--no-network is of --method place: {method} trains the network")
    if method == "place" and options.steps:
        raise UsageError("--steps are of --method adam or meta: place takes no step")
    return method


def _out(options: argparse.Namespace) -> Path:
    """Decide where the result goes.

    Raises:
        UsageError: that is not known, or cannot be a camera file or a model.
    """
    out: Path | None = options.out
    source: Path | None = options.source
    if options.rollback and out is not None:
        return out
    if source is None:
        missing = (
            "--out FILE, what to put back"
            if options.rollback
            else "SOURCE, normal footage to adapt on"
        )
        raise UsageError(f"{missing}, is missing")
    suffix = ".safetensors" if options.standalone else CAMERA_SUFFIX
    if out is None:
        source = source.resolve()
        return Path((source.name if source.is_dir() else source.stem) + suffix)
    if not out.name.endswith(suffix):
        kind = "model" if options.standalone else "camera file"
        raise UsageError(f"--out {out}: the name of a {kind} ends in {suffix}")
    return out


def _roll_back(out: Path, options: argparse.Namespace) -> None:
    useful = (
        "source",
        "out",
        "rollback",
        "standalone",
        "json",
        "debug",
        "threads",
        "device",
        "precision",
    )
    refused = [
        name
        for name, value in vars(options).items()
        if name not in useful and value not in (None, False)
    ]
    if refused:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in refused)
        raise UsageError(
            f"--rollback puts an earlier file back, it adapts nothing: {names} has no effect"
        )
    with changing(out):
        version, replaced = rollback(out)
    if page_of(out).is_file():  # it shows what is not in use any more
        write_camera_page(page_of(out), load_model(out), out.name)
    if options.json:
        print(
            json.dumps(
                {
                    "file": str(out),
                    "restored": str(version),
                    "kept": str(replaced) if replaced else None,
                }
            )
        )
        return
    print(
        f"{out} is what {version.name} "
        "was" + (f"; what was there is now {replaced}" if replaced else "")
    )


def _open(options: argparse.Namespace) -> Detector:
    model = options.checkpoint or base_model()
    return Detector(load_model(model), device=options.device, precision=options.precision)

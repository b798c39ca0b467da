"""The verb `mpn evaluate`: figures by every protocol, of a labelled test set.

What is evaluated is a model, or anyone's scores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mpn.cli import UsageError, above_zero, from_zero, new_parser, positive, whole_numbers
from mpn.cli.data import add_data, data_name, open_data
from mpn.cli.few_shots import few_shots
from mpn.cli.model import add_model, model_options, open_detector
from mpn.errors import DataError, MpnError
from mpn.evaluation.alarms import format_alarms
from mpn.evaluation.few_shot import DRAWS, PROTOCOLS
from mpn.evaluation.frame_metrics import format_summary, format_table, wrapped
from mpn.evaluation.localisation import format_places
from mpn.evaluation.protocol_matrix import format_matrix
from mpn.evaluation.run import Evaluation, EvaluationOptions, run_evaluation
from mpn.evaluation.test_set import LabelledSet, open_set
from mpn.io.locking import folder_lock
from mpn.report.curves import plot_all
from mpn.report.from_evaluation import REPORT, report_evaluation
from mpn.scoring.detector import Detector

EXAMPLES = """  mpn evaluate    the demo set, the released model
  mpn evaluate data/ped2 --checkpoint runs/a/model.safetensors
  mpn evaluate data/ped2 --scores theirs    anyone's: VIDEO.csv, .npy or .txt
  mpn evaluate data/ped2 --scores A --maps B --regions C    what was found where
  mpn evaluate data/ped2 --shots 0,1,5,10    as a new camera, K windows"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "evaluate",
        "Frame AUC and its kin by the absolute, the causal and the paper's protocol, beside "
        "content-free baselines.",
        EXAMPLES,
    )
    add_data(verb)
    _add_scores(verb)
    verb.add_argument("--labels", type=Path, help="label file or folder (default: found in DATA)")
    verb.add_argument(
        "--tracks",
        type=Path,
        metavar="PATH",
        help="published regions for RBDC and TBDC: a folder of VIDEO.txt "
        "(track,frame,x_min,y_min,x_max,y_max), or a tracks.csv (video,frame,track,x,y,w,h); "
        "default: testing/tracks.csv, or the connected parts of the masks",
    )
    _add_output(verb)
    _add_few_shots(verb)
    return verb


def _add_scores(verb: argparse.ArgumentParser) -> None:
    """Add what is evaluated: a model, or anyone's scores."""
    model = add_model(verb)
    model.add_argument(
        "--scores", type=Path, metavar="DIR", help="evaluate these scores instead of a model's"
    )
    located = verb.add_argument_group(
        "with --scores: what was located where, for the pixel and region figures"
    )
    located.add_argument(
        "--maps", type=Path, metavar="DIR", help="anomaly maps, VIDEO.npy: (T, h, w), of any size"
    )
    located.add_argument(
        "--regions",
        type=Path,
        metavar="DIR",
        help="VIDEO.txt (frame,x_min,y_min,x_max,y_max,score) or VIDEO_regions.csv, as this tool "
        "writes it",
    )


def _add_output(verb: argparse.ArgumentParser) -> None:
    """Add what is made, and how it is shown."""
    verb.add_argument(
        "--out", type=Path, help="folder of the results (default: runs/evaluate-NAME)"
    )
    verb.add_argument(
        "--no-baselines", action="store_true", help="leave the content-free baselines out (quicker)"
    )
    verb.add_argument(
        "--no-places", action="store_true", help="leave the pixel and region figures out (quicker)"
    )
    verb.add_argument("--no-report", action="store_true", help="leave report.html out (quicker)")
    verb.add_argument(
        "--inside",
        type=frames_of_videos,
        metavar="VIDEO:FRAME,...",
        help="frames whose insides the report shows, beside those that it chooses",
    )
    verb.add_argument(
        "--false-alarms-per-hour",
        type=above_zero,
        default=1.0,
        metavar="RATE",
        help="sets the threshold that the report shows (default: 1)",
    )
    verb.add_argument(
        "--seed", type=from_zero, default=0, help="of bootstrap and noise baseline (default: 0)"
    )
    verb.add_argument(
        "--json",
        action="store_true",
        help="print metrics.json (few_shot.json) instead of the table",
    )
    verb.add_argument(
        "--verbose", action="store_true", help="print all tables, not only what matters first"
    )


def _add_few_shots(verb: argparse.ArgumentParser) -> None:
    """Add the few-shot evaluation."""
    few = verb.add_argument_group(
        "few shots: every camera of DATA as a new one (default model: meta)"
    )
    few.add_argument(
        "--shots", type=whole_numbers, metavar="K,K", help="adapt on K windows, such as 0,1,5,10"
    )
    few.add_argument(
        "--draws", type=positive, help=f"how often windows are chosen (default: {DRAWS})"
    )
    few.add_argument(
        "--few-shot-protocol",
        type=_few_shot_protocol,
        choices=(*PROTOCOLS, "both"),
        help="clean: windows of the training footage (default); test_prefix, the paper's: of the "
        "beginning of each test video",
    )
    few.add_argument(
        "--no-fine-tuning", action="store_true", default=None, help="leave plain Adam out (quicker)"
    )


def _few_shot_protocol(text: str) -> str:
    """Read the name of a few-shot protocol, for argparse; say how the paper's is called now."""
    if text == "paper":
        raise argparse.ArgumentTypeError("'paper': this protocol is called test_prefix now")
    return text


def frames_of_videos(text: str) -> dict[str, list[int]]:
    """Read VIDEO:FRAME,VIDEO:FRAME as frames by video, for argparse."""
    frames: dict[str, list[int]] = {}
    for word in text.split(","):
        video, _, frame = word.strip().rpartition(":")
        if not video:
            raise argparse.ArgumentTypeError(
                f"{word.strip()!r}: VIDEO:FRAME was expected, such as 01:120"
            )
        frames.setdefault(video, []).append(from_zero(frame))
    return frames


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    if options.scores and model_options(options):
        raise UsageError(
            "--scores evaluates scores as they are: "
            f"{', '.join(model_options(options))} has no effect"
        )
    if options.shots:
        few_shots(options)
        return
    _check_usage(options)
    detector = None if options.scores else open_detector(options)
    tree = open_data(options)
    out = options.out or Path("runs") / f"evaluate-{data_name(options)}"
    test = open_set(
        tree, options.labels, fps=options.fps, skip_bad=options.skip_bad, tracks=options.tracks
    )
    if detector is not None:
        _check_inside(options.inside or {}, test, detector)
    settings = EvaluationOptions(
        out,
        baselines=not options.no_baselines,
        places=not options.no_places,
        seed=options.seed,
        checkpoint=options.checkpoint,
        maps=options.maps,
        regions=options.regions,
    )
    with folder_lock(out):
        evaluation = run_evaluation(test, detector or options.scores, settings)
        for note in evaluation.notes:
            print(note, file=sys.stderr)
        _show(options, out, evaluation, detector)
    if options.json:
        print((out / "metrics.json").read_text(), end="")
        return
    _print(options, out, evaluation)


def _check_usage(options: argparse.Namespace) -> None:
    """Raise UsageError for options that contradict each other."""
    refused = [
        name
        for name in ("draws", "few_shot_protocol", "no_fine_tuning")
        if getattr(options, name) is not None
    ]
    if refused:
        raise UsageError(f"--{refused[0].replace('_', '-')}: only with --shots")
    if (options.maps or options.regions) and not options.scores:
        raise UsageError("--maps and --regions belong to --scores: a model makes its own")
    if options.inside and (options.scores or options.no_report):
        raise UsageError(
            "--inside looks into a model, for the report: with --scores or "
            "--no-report there is none"
        )


def _check_inside(inside: dict[str, list[int]], test: LabelledSet, detector: Detector) -> None:
    """Raise DataError for a frame that has no activations, before an hour's work."""
    for video, frames in inside.items():
        if video not in test.lengths:
            expected = ", ".join(list(test.lengths)[:6])
            raise DataError(f"--inside {video}: is no test video; expected one of {expected}, ...")
        first, length = detector.config.window, test.lengths[video]
        bad = [frame for frame in frames if not first <= frame < length]
        if bad:
            raise DataError(
                f"--inside {video}:{bad[0]}: expected a frame from {first} to {length - 1}"
            )


def _show(
    options: argparse.Namespace, out: Path, evaluation: Evaluation, detector: Detector | None
) -> None:
    """Draw the curves and write the report, where one is wanted."""
    plot_all(
        out / "curves",
        evaluation.series,
        evaluation.test.labels.frames,
        fps=evaluation.test.rates,
        units=detector.normal if detector else None,
    )
    if not options.no_report:
        _report(options, out, evaluation, detector)


def _report(
    options: argparse.Namespace, out: Path, evaluation: Evaluation, detector: Detector | None
) -> None:
    """Write the report; where it cannot be made, say so: the metrics are there."""
    calibration = evaluation.calibration
    threshold = calibration.threshold(options.false_alarms_per_hour) if calibration else None
    try:
        report_evaluation(out, evaluation, detector, threshold, options.inside)
    except MpnError as error:
        print(f"{REPORT} could not be made: {error}", file=sys.stderr)


def _print(options: argparse.Namespace, out: Path, evaluation: Evaluation) -> None:
    """Print what matters first, and with --verbose the rest of the tables."""
    result, labels = evaluation.result, evaluation.test.labels
    print(format_summary(result.frame), end="")
    if options.verbose:
        print(f"\n{format_table(result.frame)}\n{format_matrix(result.matrix)}", end="")
        if result.places:
            print(f"\n{format_places(result.places)}", end="")
        if result.alarms:
            print(f"\n{format_alarms(result.alarms)}", end="")
    print(
        wrapped(
            f"labels: {labels.kind}, {labels.source}, {labels.anomalous} of {labels.total} frames "
            "anomalous"
        )
    )
    print(f"  sha256 {labels.sha256}")
    folders = ["scores/", "regions/"] if evaluation.scored else []
    written = ["metrics.json", "matrix.json", *folders, "curves/", "labels.csv"]
    print(f"results: {out}/{', '.join(written)}")
    if not options.verbose:
        print("all tables: --verbose, or the report")
    if not options.no_report and (out / REPORT).is_file():
        print(f"look at: {out / REPORT}")

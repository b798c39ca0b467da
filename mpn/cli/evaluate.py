"""mpn evaluate: a model, or anyone's scores, and a labelled test set in; figures by every protocol
out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mpn.cli import UsageError, above_zero, from_zero, new_parser, positive, whole_numbers
from mpn.cli.data import add_data, data_name, open_data
from mpn.cli.few_shots import few_shots
from mpn.cli.model import add_model, model_options, open_detector
from mpn.errors import DataError, MpnError
from mpn.evaluation.few_shot import DRAWS, PROTOCOLS
from mpn.evaluation.frame_metrics import format_table, write_metrics
from mpn.evaluation.localisation import Places, add_theirs, format_places
from mpn.evaluation.protocol_matrix import format_matrix, write_matrix
from mpn.evaluation.run_detector import ScoredVideo, score_set
from mpn.evaluation.score_files import read_scores, write_scores
from mpn.evaluation.test_set import (
    Judged,
    LabelledSet,
    facts_of,
    format_alarms,
    judge,
    open_set,
    write_labels,
)
from mpn.report.curves import plot_all
from mpn.report.from_evaluation import REPORT, report_evaluation
from mpn.scoring.detector import Detector

EXAMPLES = """  mpn evaluate    the demo set, the released model
  mpn evaluate data/ped2 --checkpoint runs/a/model.safetensors
  mpn evaluate data/ped2 --scores their_scores    anyone's scores: VIDEO.csv, .npy or .txt
  mpn evaluate data/ped2 --scores A --maps B --regions C    ... with maps and found regions
  mpn evaluate data/ped2 --shots 0,1,5,10    as a new camera: adapted on K windows"""


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser(
        "evaluate",
        "Frame AUC and its kin by the absolute, the causal and the paper's protocol, beside "
        "content-free baselines.",
        EXAMPLES,
    )
    add_data(own)
    model = add_model(own)
    model.add_argument(
        "--scores", type=Path, metavar="DIR", help="evaluate these scores instead of a model's"
    )
    theirs = own.add_argument_group(
        "with --scores: what was found where, for the pixel and region figures"
    )
    theirs.add_argument(
        "--maps", type=Path, metavar="DIR", help="anomaly maps, VIDEO.npy: (T, h, w), of any size"
    )
    theirs.add_argument(
        "--regions",
        type=Path,
        metavar="DIR",
        help="VIDEO.txt (frame,x_min,y_min,x_max,y_max,score) or VIDEO_regions.csv, as this tool "
        "writes it",
    )
    own.add_argument("--labels", type=Path, help="label file or folder (default: found in DATA)")
    own.add_argument(
        "--tracks",
        type=Path,
        metavar="PATH",
        help="published regions for RBDC and TBDC: a folder of VIDEO.txt "
        "(track,frame,x_min,y_min,x_max,y_max), or a tracks.csv (video,frame,track,x,y,w,h); "
        "default: testing/tracks.csv, or the connected parts of the masks",
    )
    own.add_argument("--out", type=Path, help="folder of the results (default: runs/evaluate-NAME)")
    own.add_argument(
        "--no-baselines", action="store_true", help="leave the content-free baselines out (quicker)"
    )
    own.add_argument(
        "--no-places", action="store_true", help="leave the pixel and region figures out (quicker)"
    )
    own.add_argument("--no-report", action="store_true", help="leave report.html out (quicker)")
    own.add_argument(
        "--inside",
        type=frames_of_videos,
        metavar="VIDEO:FRAME,...",
        help="frames whose insides the report shows, beside those that it chooses",
    )
    own.add_argument(
        "--false-alarms-per-hour",
        type=above_zero,
        default=1.0,
        metavar="RATE",
        help="sets the threshold that the report shows (default: 1)",
    )
    own.add_argument(
        "--seed", type=from_zero, default=0, help="of bootstrap and noise baseline (default: 0)"
    )
    own.add_argument(
        "--json",
        action="store_true",
        help="print metrics.json (few_shot.json) instead of the table",
    )
    few = own.add_argument_group(
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
        choices=(*PROTOCOLS, "both"),
        help="clean: windows of the training footage (default); paper: of the beginning of each "
        "test video",
    )
    few.add_argument(
        "--no-fine-tuning", action="store_true", default=None, help="leave plain Adam out (quicker)"
    )
    return own


def frames_of_videos(text: str) -> dict[str, list[int]]:
    """VIDEO:FRAME,VIDEO:FRAME as frames by video, for argparse."""
    found: dict[str, list[int]] = {}
    for word in text.split(","):
        video, _, frame = word.strip().rpartition(":")
        if not video:
            raise argparse.ArgumentTypeError(
                f"{word.strip()!r}: VIDEO:FRAME was expected, such as 01:120"
            )
        found.setdefault(video, []).append(from_zero(frame))
    return found


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    if options.scores and model_options(options):
        raise UsageError(
            "--scores evaluates scores as they are: "
            f"{', '.join(model_options(options))} has no effect"
        )
    if options.shots:
        few_shots(options)
        return
    given = [
        name
        for name in ("draws", "few_shot_protocol", "no_fine_tuning")
        if getattr(options, name) is not None
    ]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')}: only with --shots")
    if (options.maps or options.regions) and not options.scores:
        raise UsageError("--maps and --regions belong to --scores: a model makes its own")
    if options.inside and (options.scores or options.no_report):
        raise UsageError(
            "--inside looks into a model, for the report: with --scores or "
            "--no-report there is none"
        )
    detector = None if options.scores else open_detector(options)
    tree = open_data(options)
    out = options.out or Path("runs") / f"evaluate-{data_name(options)}"
    test = open_set(
        tree, options.labels, fps=options.fps, skip_bad=options.skip_bad, tracks=options.tracks
    )
    _check_inside(options, test, detector)
    notes = list(test.labels.notes)
    places = Places(test.truth) if test.truth.known and not options.no_places else None
    if detector:
        scored = _score(detector, test, places, out)
        series = {name: video.columns for name, video in scored.items()}
    else:
        scored, series = {}, read_scores(options.scores, test.lengths, notes)
        places = add_theirs(places, series, options.maps, options.regions) if places else None
    for note in notes:
        print(note, file=sys.stderr)
    rates = [rate for rate in test.rates.values() if rate]
    calibration = detector.calibration(rates[0]) if detector and rates else None
    smoothed = {name: video.smoothed for name, video in scored.items()}
    judged = judge(
        test,
        series,
        places,
        calibration,
        smoothed,
        baselines=not options.no_baselines,
        seed=options.seed,
    )
    facts = _facts(options, test, detector)
    write_metrics(out / "metrics.json", judged.result, facts)
    write_matrix(out / "matrix.json", judged.matrix, facts)
    write_labels(out / "labels.csv", test.labels)
    plot_all(
        out / "curves",
        series,
        test.labels.frames,
        fps=test.rates,
        units=detector.normal if detector else None,
    )
    if not options.no_report:
        threshold = calibration.threshold(options.false_alarms_per_hour) if calibration else None
        try:
            report_evaluation(
                out, test, series, scored, judged, facts, notes, detector, threshold, options.inside
            )
        except MpnError as error:  # the figures are there
            print(f"{REPORT} could not be made: {error}", file=sys.stderr)
    if options.json:
        print((out / "metrics.json").read_text(), end="")
        return
    _print(options, out, test, judged, bool(detector))


def _check_inside(
    options: argparse.Namespace, test: LabelledSet, detector: Detector | None
) -> None:
    """Raises DataError for a frame that has no insides, before an hour's work."""
    for video, frames in (options.inside or {}).items():
        if video not in test.lengths:
            known = ", ".join(list(test.lengths)[:6])
            raise DataError(f"--inside {video}: is no test video; expected one of {known}, ...")
        first, length = detector.config.window, test.lengths[video]
        bad = [frame for frame in frames if not first <= frame < length]
        if bad:
            raise DataError(
                f"--inside {video}:{bad[0]}: expected a frame from {first} to {length - 1}"
            )


def _score(
    detector: Detector, test: LabelledSet, places: Places | None, out: Path
) -> dict[str, ScoredVideo]:
    """Every video; its files are written as soon as it is scored."""
    scored = {}
    for name, video in score_set(detector, test.sources, places, out / "regions"):
        scored[name] = video
        write_scores(out / "scores" / f"{name}.csv", video.columns, test.rates[name])
    return scored


def _facts(
    options: argparse.Namespace, test: LabelledSet, detector: Detector | None
) -> dict[str, Any]:
    facts = facts_of(test.tree, test.labels, detector, options.checkpoint) | {"seed": options.seed}
    return facts if detector else facts | {"scores_from": str(options.scores)}


def _print(
    options: argparse.Namespace, out: Path, test: LabelledSet, judged: Judged, scored: bool
) -> None:
    result = judged.result
    labels = test.labels
    print(format_table(result), end="")
    print(f"\n{format_matrix(judged.matrix)}", end="")
    if "where" in result:
        print(f"\n{format_places(result['where'])}", end="")
    if result.get("alarms"):
        print(f"\n{format_alarms(result['alarms'])}", end="")
    print(
        f"\nlabels: {labels.kind}, {labels.source}, {labels.anomalous} of {labels.total} frames "
        "anomalous"
    )
    print(f"  sha256 {labels.sha256}")
    written = [
        "metrics.json",
        "matrix.json",
        *(["scores/", "regions/"] if scored else []),
        "curves/",
        "labels.csv",
    ]
    print(f"results: {out}/{', '.join(written)}")
    if not options.no_report and (out / REPORT).is_file():
        print(f"look at: {out / REPORT}")

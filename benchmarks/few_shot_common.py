"""What the few-shot benchmarks share: options, rows that survive a stop, figures, the table.

Every row (camera, method, K, draw) is appended to --work/NAME.jsonl as soon as it is scored, with
its columns, so that a run that was stopped goes on where it was and figures can be made anew
without scoring again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import parser, write_result
from mpn.adaptation.inner_loop import adapt_network
from mpn.cli import from_zero
from mpn.cli.train_arguments import names
from mpn.datasets.shots import shots_of, spread
from mpn.datasets.windows import Clip
from mpn.evaluation.few_shot import FINE_TUNING_RATE, METHODS, FewShotRow, Key, few_shot
from mpn.evaluation.few_shot_summary import (
    Figure,
    Record,
    format_few_shot_table,
    key_of,
    summarise_records,
)
from mpn.io.atomic import write_atomically
from mpn.io.runs import intervals
from mpn.io.text import plain
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring import protocols
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.events import events
from mpn.scoring.parts import PSNR

FIGURE_PSNR = Figure("PSNR on normal test frames, dB", 1.0, 2)


def few_shot_parser(text: str | None, shots: str = "0,1,5,10") -> argparse.ArgumentParser:
    """A parser with what all few-shot benchmarks take."""
    made = parser(text)
    made.add_argument(
        "--shots",
        type=counts_from_zero,
        default=counts_from_zero(shots),
        metavar="K,K",
        help=f"default: {shots}",
    )
    made.add_argument("--draws", type=int, default=5, help="default: 5")
    made.add_argument("--method", choices=("both", *METHODS), default="both", help="default: both")
    made.add_argument(
        "--steps",
        type=int,
        help="steps of the one --method (default: as meta-trained; 100 of Adam)",
    )
    made.add_argument(
        "--learning-rate",
        type=float,
        default=FINE_TUNING_RATE,
        metavar="R",
        help=f"of fine-tuning (default: {FINE_TUNING_RATE:g})",
    )
    made.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="where rows are kept while it runs, outside the repository (default: a "
        "temporary folder, which an interrupted run does not find again)",
    )
    made.add_argument(
        "--label",
        default="",
        metavar="TEXT",
        help="added to the names of the result and of the rows",
    )
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    return made


def counts_from_zero(text: str) -> tuple[int, ...]:
    """Whole numbers from 0 up separated by commas, for argparse."""
    return tuple(sorted({from_zero(word) for word in names(text)}))


def checked(args: argparse.Namespace) -> argparse.Namespace:
    """Makes --quick quick and fills in --work; stops for options that contradict each other."""
    if args.steps and args.method == "both":
        raise SystemExit("--steps is of one method: give --method meta or --method fine-tuning too")
    if args.quick:
        args.shots, args.draws = tuple(k for k in args.shots if k <= 1), min(args.draws, 2)
    args.work = args.work or Path(tempfile.mkdtemp(prefix="mpn-few-shot-"))
    return args


def methods_of(args: argparse.Namespace) -> dict[str, Any]:
    """The methods to compare, by name, as `few_shot` takes them."""
    chosen = {name: options for name, options in METHODS.items() if args.method in ("both", name)}
    if "fine-tuning" in chosen:
        chosen["fine-tuning"] = replace(chosen["fine-tuning"], learning_rate=args.learning_rate)
    if args.quick:
        chosen = {name: replace(options, steps=2) for name, options in chosen.items()}
    if args.steps:
        chosen = {name: replace(options, steps=args.steps) for name, options in chosen.items()}
    return chosen


def open_model(path: Path, args: argparse.Namespace) -> Detector:
    """The detector of a checkpoint, on the device and in the precision that were asked for."""
    return Detector(load_checkpoint(path), device=args.device, precision=args.precision)


class RowFile:
    """Rows in a .jsonl that is appended to; its first line says what they belong to.

    Args:
        path: of the file, which need not exist.
        identity: JSON values: checkpoint, footage, options. SystemExit where the file is of another
            run.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self.rows = path, []
        header = json.loads(json.dumps(identity))
        lines = path.read_text().splitlines() if path.exists() else []
        # a killed writer leaves half a line
        whole = [entry for entry in map(_json, lines) if entry is not None]
        if whole and whole[0] != header:
            odd = next(
                name for name in {*header, *whole[0]} if header.get(name) != whole[0].get(name)
            )
            raise SystemExit(
                f"{path} holds rows of another run ({odd} differs): give another --work or --label"
            )
        self.rows = [_row(entry) for entry in whole[1:]]
        if len(whole) < max(1, len(lines)):
            write_atomically(
                path, "".join(json.dumps(entry) + "\n" for entry in (whole or [header]))
            )

    @property
    def done(self) -> set[Key]:
        """What is there already."""
        return {row.key for row in self.rows}

    def add(self, row: FewShotRow) -> None:
        """Keeps a row."""
        columns = {
            video: {name: plain(values) for name, values in parts.items()}
            for video, parts in row.columns.items()
        }
        with self.path.open("a") as file:
            file.write(
                json.dumps(
                    {**row.key._asdict(), "columns": columns, "seconds": row.seconds_to_adapt}
                )
                + "\n"
            )
        self.rows.append(row)


def _json(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _row(entry: dict[str, Any]) -> FewShotRow:
    columns = {
        video: {name: np.array(values, np.float64) for name, values in parts.items()}
        for video, parts in entry["columns"].items()
    }
    return FewShotRow(*key_of(entry), columns, entry["seconds"])


def footage(clips: Sequence[Clip]) -> str:
    """A digest of clips: names, cameras and every frame."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.name}|{clip.scene}|{clip.frames.shape}".encode())
        digest.update(np.ascontiguousarray(clip.frames).data)
    return digest.hexdigest()


def collect(
    name: str,
    detector: Detector,
    training: Sequence[Clip],
    testing: Sequence[Clip],
    args: argparse.Namespace,
    seen: Callable[[FewShotRow], None] = lambda row: None,
) -> list[FewShotRow]:
    """Collect all rows of a model on footage, those in --work/NAME[-LABEL].jsonl included.

    `seen` is called with new ones.
    """
    methods = methods_of(args)
    identity = {
        "checkpoint": detector.checkpoint.sha256,
        "footage": footage([*training, *testing]),
        "methods": {method: asdict(options) for method, options in methods.items()},
        "draws": args.draws,  # they are spread over all of a window's room together
        "recipe": detector.score_config.to_dict(),
        "bfloat16": detector.bfloat16,
    }
    file = RowFile(args.work / f"{labelled(name, args)}.jsonl", identity)
    if file.rows:
        print(f"{len(file.rows)} rows were there already: {file.path}")
    rows = few_shot(
        detector,
        training,
        testing,
        shots=args.shots,
        draws=args.draws,
        methods=methods,
        done=file.done,
    )
    print(expected(detector, training, testing, args, len(file.rows)), flush=True)
    for row in rows:
        file.add(row)
        seen(row)
    return [row for row in file.rows if row.shots in args.shots]


def labelled(name: str, args: argparse.Namespace) -> str:
    """NAME, or NAME-LABEL."""
    return f"{name}-{args.label}" if args.label else name


def expected(
    detector: Detector,
    training: Sequence[Clip],
    testing: Sequence[Clip],
    args: argparse.Namespace,
    there: int,
) -> str:
    """How long it will take, from a few frames and steps as they run now."""
    window, clip = detector.config.window, testing[0]
    few = replace(clip, frames=clip.frames[: window + 16])
    score_clips(detector, [replace(clip, frames=clip.frames[: window + 4])], "warming up")
    began = time.perf_counter()
    score_clips(detector, [few], "timing")
    frame = (time.perf_counter() - began) / (len(few.frames) - window)
    shots = shots_of([few], spread([few], 1, window), window)
    cameras = len({clip.scene for clip in testing})
    # Of every camera's training footage 400 frames are for the units at the most.
    units = min(400 * cameras, sum(len(clip.frames) for clip in training) // 3)
    frames = sum(len(clip.frames) for clip in testing) + units
    adapted = len([k for k in args.shots if k]) * args.draws
    # A place model leaves the network as it is, which is run once for all of them.
    trained = [options for options in methods_of(args).values() if options.method != "place"]
    runs = (0 in args.shots) + (len(trained) < len(methods_of(args))) + adapted * len(trained)
    seconds = runs * frames * frame
    for options in trained:
        filled = options.filled(detector.checkpoint)
        began = time.perf_counter()
        adapt_network(
            detector.checkpoint, shots, replace(filled, steps=2), bfloat16=detector.bfloat16
        )
        seconds += cameras * adapted * filled.steps * (time.perf_counter() - began) / 2
    return (
        f"about {seconds / 60:.0f} minutes in all as fast as this machine is now "
        f"({1 / frame:.0f} frames/s); {there} rows are done"
    )


def records(
    rows: Iterable[FewShotRow], figures: Callable[[FewShotRow], dict[str, float]]
) -> list[Record]:
    """A record a row, with the figures that the benchmark makes of it."""
    return [Record(*row.key, row.seconds_to_adapt, figures(row)) for row in rows]


def causal(columns: Mapping[str, np.ndarray], name: str = "score") -> np.ndarray:
    """A column of one video as the causal protocol smooths it, float64 (T,)."""
    return protocols.exponential(columns[name])


def untouched(labels: np.ndarray, window: int) -> np.ndarray:
    """Find the normal frames whose whole window is normal, bool (T,).

    The first frames, which have no score, are not among them.
    """
    anomalous = np.asarray(labels, bool)
    near = anomalous.copy()
    for back in range(1, window + 1):
        near[back:] |= anomalous[:-back]
    near[:window] = True
    return ~near


def mean_psnr(
    columns: Mapping[str, Mapping[str, np.ndarray]], normal: Mapping[str, np.ndarray]
) -> float:
    """Mean PSNR in dB over the frames of all videos that `normal` (bool (T,)) marks."""
    values = np.concatenate([columns[video][PSNR.name][normal[video]] for video in normal])
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def scored_parts(
    labels: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, Any, Any]]:
    """(video, labels, scores) from the first frame with a score on."""
    for video, values in scores.items():
        scored = ~np.isnan(values)
        yield video, np.asarray(labels[video])[scored], values[scored]


def false_alarms(
    labels: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    fps: float,
    share: float = 0.8,
) -> float:
    """Count false alarms per hour of normal footage where this share of the events is found.

    The threshold is the highest that finds them.

    An event is a run of anomalous frames; it is found if the score of one of its frames reaches the
    threshold. A false alarm is an episode above the threshold (stretches nearer than a second are
    one) in normal frames; those within a second of an event are left out, an alarm there being the
    event's. As in `mpn.scoring.calibration` the most episodes at this or any higher threshold
    count: further down they only merge.

    Args:
        labels: video -> bool (T,).
        scores: video -> (T,), smoothed, higher = more anomalous, NaN where there is none.
        fps: frames per second.
        share: of the events that have to be found.

    Returns:
        NaN without events or without normal footage.
    """
    peaks, quiet = [], []
    for _, truth, values in scored_parts(labels, scores):
        around = np.zeros(len(truth), bool)
        for start, end in intervals(truth):
            peaks.append(float(values[start:end].max()))
            around[max(0, start - math.ceil(fps)) : end + math.ceil(fps)] = True
        quiet.append(np.where(around, np.nan, values))
    hours = sum(int(np.isfinite(values).sum()) for values in quiet) / fps / 3600
    if not peaks or not hours:
        return float("nan")
    threshold = sorted(peaks, reverse=True)[math.ceil(share * len(peaks) - 1e-9) - 1]
    levels = np.unique(np.concatenate([values[values >= threshold] for values in quiet]))
    # At the threshold itself, and above it at every score there is (at most 200 of them, evenly).
    levels = levels[np.unique(np.linspace(0, len(levels) - 1, min(len(levels), 200)).astype(int))]
    counted = [
        sum(
            len(events(values, np.nextafter(level, -np.inf), fps, min_frames=1)) for values in quiet
        )
        for level in levels
    ]
    return max(counted, default=0) / hours


def finish(
    name: str,
    args: argparse.Namespace,
    found: Mapping[str, Sequence[Record]],
    figures: Mapping[str, Figure],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Summarise, print the tables and write the result.

    `found` holds records by the title of their table.
    """
    summaries = {title: summarise_records(rows) for title, rows in found.items()}
    for title, summary in summaries.items():
        print(f"\n{title}\n{format_few_shot_table(summary, figures)}", end="")
    result = {
        **facts,
        "methods": {method: asdict(options) for method, options in methods_of(args).items()},
        "draws": args.draws,
        "summary": summaries,
        "rows": {title: [record._asdict() for record in rows] for title, rows in found.items()},
    }
    write_result(labelled(name, args), args, plain(result))
    return summaries

"""mpn evaluate: a model and a labelled test set in, figures by every protocol out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn.baselines import content_free
from mpn.checkpoint import library_versions
from mpn.cli import UsageError, from_zero, new_parser, positive
from mpn.cli.data import add_data, data_name, open_data
from mpn.cli.model import add_model, model_options, open_detector
from mpn.datasets.labels import Labels, load_labels
from mpn.datasets.layouts import DatasetTree
from mpn.datasets.windows import load_clips
from mpn.detector import Detector
from mpn.errors import LabelError
from mpn.evaluation import evaluate, format_table, read_scores, write_metrics, write_scores
from mpn.few_shot import DRAWS, METHODS, PROTOCOLS, few_shot
from mpn.few_shot_table import format_few_shot_table, record_of, summarise_records
from mpn.report.curves import plot_all
from mpn.scoring import part_names
from mpn.video import FrameSource, frame_rate, open_source

EXAMPLES = """  python evaluate.py                                              the demo set, the released model
  python evaluate.py data/ped2 --checkpoint runs/a/model.safetensors
  python evaluate.py data/ped2 --scores their_scores              anyone's scores: VIDEO.csv, .npy or .txt
  python evaluate.py data/ped2 --shots 0,1,5,10                   as a new camera: adapted on K windows"""


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser(
        "evaluate",
        "Frame AUC and its kin by the absolute, the causal and the paper's protocol, beside content-free baselines.",
        EXAMPLES,
    )
    add_data(own)
    model = add_model(own)
    model.add_argument("--scores", type=Path, metavar="DIR", help="evaluate these scores instead of a model's")
    own.add_argument("--labels", type=Path, help="label file or folder (default: found in DATA)")
    own.add_argument("--out", type=Path, help="folder of the results (default: runs/evaluate-NAME)")
    own.add_argument("--no-baselines", action="store_true", help="leave the content-free baselines out (quicker)")
    own.add_argument("--seed", type=from_zero, default=0, help="of bootstrap and noise baseline (default: 0)")
    own.add_argument("--json", action="store_true", help="print metrics.json (few_shot.json) instead of the table")
    few = own.add_argument_group("few shots: every camera of DATA as a new one (default model: meta.safetensors)")
    few.add_argument("--shots", type=shot_counts, metavar="K,K", help="adapt on K windows, such as 0,1,5,10")
    few.add_argument("--draws", type=positive, help=f"how often windows are chosen (default: {DRAWS})")
    few.add_argument(
        "--few-shot-protocol", choices=(*PROTOCOLS, "both"),
        help="clean: windows of the training footage (default); paper: of the beginning of each test video",
    )  # fmt: skip
    few.add_argument("--no-fine-tuning", action="store_true", default=None, help="leave plain Adam out (quicker)")
    return own


def shot_counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 0 up separated by commas, in order, for argparse."""
    return tuple(sorted({from_zero(word.strip()) for word in text.split(",")}))


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    if options.scores and model_options(options):
        raise UsageError(f"--scores evaluates scores as they are: {', '.join(model_options(options))} has no effect")
    if options.shots:
        few_shots(options)
        return
    given = [name for name in ("draws", "few_shot_protocol", "no_fine_tuning") if getattr(options, name) is not None]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')}: only with --shots")
    detector = None if options.scores else open_detector(options)
    tree = open_data(options)
    if not tree.testing:
        raise LabelError(f"{tree.root}: no test videos in the {tree.layout} layout; labelled footage was expected")
    out = options.out or Path("runs") / f"evaluate-{data_name(options)}"
    sources = {video.name: open_source(video.path, skip_bad=options.skip_bad) for video in tree.testing}
    lengths = {name: _length(source) for name, source in sources.items()}
    labels = load_labels(tree, lengths, options.labels)
    for note in labels.notes:
        print(note, file=sys.stderr)
    rates = {name: frame_rate(options.fps) or source.fps for name, source in sources.items()}
    if detector:
        series = {}
        for name, columns in score_all(detector, sources):
            series[name] = columns
            write_scores(out / "scores" / f"{name}.csv", columns, rates[name])
    else:
        series = read_scores(options.scores, lengths)
    baselines = None if options.no_baselines else baselines_of(sources, lengths, options.seed)
    result = evaluate(labels.frames, series, baselines, seed=options.seed)
    write_metrics(out / "metrics.json", result, _facts(options, tree, labels, detector))
    units = detector.normal if detector else None
    plot_all(out / "curves", series, labels.frames, fps=rates, units=units)
    if options.json:
        print((out / "metrics.json").read_text(), end="")
        return
    print(format_table(result), end="")
    print(f"labels: {labels.kind}, {labels.source}, {labels.anomalous} of {labels.total} frames anomalous")
    print(f"results: {out}/metrics.json, {'scores/, ' if detector else ''}curves/")


def few_shots(options: argparse.Namespace) -> None:
    """K windows of every camera to adapt on, by meta-learning and by plain fine-tuning (PROTOCOL section 4)."""
    if options.scores:
        raise UsageError("--shots adapts a model: with --scores there is none")
    detector = open_detector(options, default="meta.safetensors")
    tree = open_data(options)
    if not tree.testing:
        raise LabelError(f"{tree.root}: no test videos in the {tree.layout} layout; labelled footage was expected")
    preset = detector.preset
    training, testing = (
        load_clips(videos, preset.size, preset.grey, skip_bad=options.skip_bad, fps=options.fps) if videos else []
        for videos in (tree.training, tree.testing)
    )
    labels = load_labels(tree, {clip.name: len(clip.frames) for clip in testing}, options.labels)
    for note in labels.notes:
        print(note, file=sys.stderr)
    methods = {"meta": METHODS["meta"]} if detector.checkpoint.meta else {}
    if not options.no_fine_tuning or not methods:
        methods["fine-tuning"] = METHODS["fine-tuning"]
    chosen = options.few_shot_protocol or "clean"
    how = {"shots": options.shots, "draws": options.draws or DRAWS, "methods": methods}
    records = [
        record_of(row, labels.frames)
        for protocol in (PROTOCOLS if chosen == "both" else (chosen,))
        for row in few_shot(detector, training, testing, protocol=protocol, **how)
    ]
    summary = summarise_records(records, seed=options.seed)
    out = options.out or Path("runs") / f"few-shot-{data_name(options)}"
    found = {"records": [record._asdict() for record in records], "summary": summary}
    found["methods"] = {name: asdict(method.filled(detector.checkpoint)) for name, method in methods.items()}
    write_metrics(out / "few_shot.json", found, _facts(options, tree, labels, detector))
    if options.json:
        print((out / "few_shot.json").read_text(), end="")
        return
    print(format_few_shot_table(summary), end="")
    print(f"labels: {labels.kind}, {labels.source}, {labels.anomalous} of {labels.total} frames anomalous")
    print(f"results: {out}/few_shot.json")


def score_all(
    detector: Detector, sources: dict[str, FrameSource]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each video's raw score columns, as soon as it is scored: float64 (T,), NaN for the first frames."""
    names = [*part_names(detector.network), "psnr_db", "compactness"]
    total = sum(source.length or 0 for source in sources.values())
    with tqdm(total=total, desc="scoring", unit="frame", disable=None) as bar:
        for name, source in sources.items():
            results = []
            for result in detector.score(source):
                results.append((result.raw, result.parts))
                bar.update()
            columns = {column: np.array([parts.get(column, np.nan) for _, parts in results]) for column in names}
            yield name, {"score": np.array([raw for raw, _ in results])} | columns


def baselines_of(
    sources: dict[str, FrameSource], lengths: dict[str, int], seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """The content-free baselines: baseline -> video -> float64 (T,)."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for number, (name, source) in enumerate(tqdm(sources.items(), desc="baselines", unit="video", disable=None)):
        for baseline, scores in content_free(source.frames, lengths[name], seed + number).items():
            found.setdefault(baseline, {})[name] = scores
    return found


def _length(source: FrameSource) -> int:
    """Frames as they are decoded: a video file's header only estimates them."""
    if source.path.is_dir():
        return source.length
    return sum(1 for _ in source.frames())


def _facts(
    options: argparse.Namespace, tree: DatasetTree, labels: Labels, detector: Detector | None
) -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    facts: dict[str, Any] = {
        "data": {"root": str(tree.root), "layout": tree.layout},
        "labels": {
            "kind": labels.kind,
            "source": str(labels.source),
            "sha256": labels.sha256,
            "frames": labels.total,
            "anomalous": labels.anomalous,
        },
        "seed": options.seed,
        "versions": library_versions(),
        "threads": torch.get_num_threads(),
    }
    if detector is None:
        return facts | {"scores_from": str(options.scores)}
    return facts | {
        "checkpoint": {"path": str(options.checkpoint), "sha256": detector.checkpoint.sha256},
        "recipe": asdict(detector.recipe),
        "precision": "bfloat16" if detector.bfloat16 else "float32",
        "training": {k: v for k, v in detector.checkpoint.training.items() if k != "clips"},
    }

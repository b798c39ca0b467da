"""The family of networks: what each member finds, what it costs, all trained by one recipe.

    python -m benchmarks.family data/demo --fps 10 --epochs 4 --seeds 0 1 2 --work runs/family
    python -m benchmarks.family --quick

Rows are networks (another unit between decoder and head, another width, a teacher), trained on
DATA's training clips with the same options. Columns: frame AUC in %, micro, causal, of the
network's error, of its pseudo-anomaly head and of the whole score on DATA/validation, on Ped1 in
two folds and on generated scenes, where they are given; PSNR on normal frames of the validation
clips; frames a second of one processor by the network alone (processor time, all rows in turn);
parameters; minutes of training. None of that is a test split (PROTOCOL section 5). On Ped1 and the
generated scenes nothing was trained: `error` and `head` are of the network as it is, `score` with a
place model of ten windows; units are from the camera's normal footage.

Of several seeds, the first is for all rows; the others are for the first row and for those whose
scores, in the mean of the sets, come within --close points of the best. Their differences from the
first row are paired by seed, with Student's 95 % interval.

What is done is kept in --work: a training that was stopped is gone on with, and a finished row is
neither trained nor judged again. A picture, WORK/family.png, has what is found over its cost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.common import parser, write_result
from benchmarks.family_summary import Found, closest, differences, draw_costs, table
from benchmarks.few_shot_common import mean_psnr, untouched
from benchmarks.few_shot_ped1 import two_folds
from mpn.cli import above_zero, positive
from mpn.datasets.demo.dataset import write_demo
from mpn.datasets.labels import load_labels
from mpn.datasets.layouts import recognise
from mpn.datasets.windows import Clip, load_clips
from mpn.evaluation.few_shot import METHODS, few_shot
from mpn.evaluation.few_shot_summary import UNADAPTED, record_of
from mpn.io.atomic import write_atomically
from mpn.io.text import plain
from mpn.metrics import frame_auc
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.config import ModelConfig, get_config
from mpn.model.engines import TorchEngine
from mpn.scoring import protocols
from mpn.scoring.clips import score_clips
from mpn.scoring.detector import Detector
from mpn.scoring.scores import combine
from mpn.training.distillation import Teacher
from mpn.training.pretext import pretext
from mpn.training.pretraining import TrainingOptions, train
from mpn.training.run_folder import STATE

SHOTS = 10  # windows of an unseen camera that its place model is made of
COLUMNS = ("error", "pseudo", "score")
BATCH, ROUNDS = 8, 15  # of the network alone
GENERATED = {"seed": 2, "scenes": 8, "training": 3, "validation": 1, "testing": 2, "length": 100}
QUICK_SET = {"scenes": 1, "training": 2, "validation": 4, "testing": 1, "length": 100}
QUICK_SET |= {"test_length": 150, "size": (64, 96)}
QUICK_NETWORK = {"height": 32, "width": 64, "channels": 4}


@dataclass(frozen=True)
class Row:
    """A member of the family.

    Attributes:
        preset: its name.
        options: fields of the preset that are changed.
        weights: of loss terms, as by `mpn train --loss-weights`.
        prototypes_after: as `mpn train --prototypes-after`; None for the preset's.
        teacher: the row that teaches it, or None.
        pretext: begin with the pretext tasks, for a quarter of the length of the training that
            follows, which is as long as those of the other rows.
    """

    preset: str = "small"
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    prototypes_after: float | None = None
    teacher: str | None = None
    pretext: bool = False


ROWS: dict[str, Row] = {
    "prototype": Row(),
    "side 4": Row(options={"up_kernel": 4}),
    # As `small` was before: asked for what stands behind what was pasted, too.
    "asked everywhere": Row(weights={"frame": 1.0, "untampered": 0.0}, prototypes_after=0.0),
    "prototypes at once": Row(prototypes_after=0.0),
    "attention, window": Row(options={"unit": "attention"}),
    "attention, not compact": Row(options={"unit": "attention"}, weights={"compactness": 0.0}),
    "attention, learned": Row(options={"unit": "attention", "keys": "learned"}),
    "no unit": Row(options={"unit": "none"}),
    "tiny": Row("tiny"),
    "pretext": Row(pretext=True),
    "tiny, distilled": Row("tiny", teacher="prototype"),
    "distilled": Row(teacher="prototype"),
}


class Footage:
    """Clips that all rows are trained and judged on, each set read when it is first asked for.

    Args:
        args: of the command.
        config: the preset that gives the frames' size and colours, the same for all rows.
    """

    def __init__(self, args: argparse.Namespace, config: ModelConfig) -> None:
        self.args, self.config = args, config
        self._read: dict[str, Any] = {}

    def _clips(self, videos: Sequence[Any], fps: float | None) -> list[Clip]:
        config = self.config
        return load_clips(videos, config.size, config.grey, motion=True, fps=fps)

    def training(self) -> list[Clip]:
        """Give the normal clips that are trained on."""
        if "training" not in self._read:
            videos = recognise(self.args.data).training
            self._read["training"] = self._clips(videos, self.args.fps)
        return self._read["training"]

    def validation(self) -> tuple[list[Clip], dict[str, np.ndarray]]:
        """Give the clips of DATA/validation with their labels, bool (T,)."""
        if "validation" not in self._read:
            tree = recognise(self.args.data / "validation")
            clips = self._clips(tree.testing, self.args.fps)
            labels = load_labels(tree, {clip.name: len(clip.frames) for clip in clips})
            self._read["validation"] = clips, labels.frames
        return self._read["validation"]

    def unseen(self, name: str) -> tuple[list[Clip], list[Clip], dict[str, np.ndarray]]:
        """Give cameras that nothing was trained on: normal clips, clips to judge, labels.

        Args:
            name: "ped1" or "generated".
        """
        if name not in self._read:
            self._read[name] = self._ped1() if name == "ped1" else self._generated()
        return self._read[name]

    def _ped1(self) -> tuple[list[Clip], list[Clip], dict[str, np.ndarray]]:
        return two_folds(self.args.ped1, self.config, 4 if self.args.quick else None)

    def _generated(self) -> tuple[list[Clip], list[Clip], dict[str, np.ndarray]]:
        root = self.args.generated
        if not root.exists():
            write_demo(root, **(QUICK_SET | {"seed": 2} if self.args.quick else GENERATED))
        tree = recognise(root)
        training, testing = (self._clips(videos, 10.0) for videos in (tree.training, tree.testing))
        labels = load_labels(tree, {clip.name: len(clip.frames) for clip in testing})
        return training, testing, labels.frames


def config_of(row: Row, quick: bool) -> ModelConfig:
    """The preset of a row; a much smaller one for a dry run."""
    config = get_config(row.preset, **row.options)
    training = config.training.with_weights(row.weights)
    if row.prototypes_after is not None:
        training = replace(training, prototypes_after=row.prototypes_after)
    config = replace(config, training=training)
    return replace(config, **QUICK_NETWORK) if quick else config


def trained(name: str, seed: int, args: argparse.Namespace, shown: Footage) -> Path:
    """Train a row, or go on with it, or find that it is done; give its model's path."""
    folder = args.work / f"seed-{seed}" / name.replace(", ", "-").replace(" ", "-")
    model, row = folder / "model.safetensors", ROWS[name]
    if model.exists():
        return model
    config, teacher = config_of(row, args.quick), None
    if row.teacher:
        teacher = Teacher(load_checkpoint(trained(row.teacher, seed, args, shown)), config)
    options = TrainingOptions(
        minutes=args.minutes, epochs=args.epochs, seed=seed, precision=args.precision
    )
    start = after_pretext(config, options, folder / "pretext", shown) if row.pretext else None
    return train(
        shown.training(),
        config,
        options,
        folder,
        teacher=teacher,
        start=start,
        resume=(folder / STATE).exists(),
    )


def after_pretext(
    config: ModelConfig, options: TrainingOptions, folder: Path, shown: Footage
) -> Checkpoint:
    """Train on the pretext tasks, go on with that, or find it done; give its model."""
    if options.minutes:
        shorter = replace(options, minutes=options.minutes / 4)
    else:
        shorter = replace(options, epochs=max(1, (options.epochs or 0) // 4))
    if not (folder / "model.safetensors").exists():
        resume = (folder / STATE).exists()
        pretext(shown.training(), config, shorter, folder, resume=resume)
    return load_checkpoint(folder / "model.safetensors")


def judged(detector: Detector, shown: Footage) -> dict[str, float]:
    """Compute frame AUCs in % and the PSNR in dB on the validation clips."""
    clips, labels = shown.validation()
    window = detector.config.window
    columns = {
        clip.name: parts for clip, parts in zip(clips, score_clips(detector, clips, "validation"))
    }
    series: dict[str, dict[str, np.ndarray]] = {name: {} for name in COLUMNS}
    for video, parts in columns.items():
        score = combine(parts, detector.weights, detector.normal)
        for name in COLUMNS:
            values = score if name == "score" else parts[name]
            series[name][video] = protocols.exponential(values[window:].astype(float))
    truth = {video: labels[video][window:] for video in columns}
    normal = {video: untouched(labels[video], window) for video in columns}
    figures = {
        f"demo {name}": 100 * frame_auc(truth, smoothed) for name, smoothed in series.items()
    }
    return figures | {"psnr": mean_psnr(columns, normal)}


def judged_unseen(detector: Detector, shown: Footage, name: str) -> dict[str, float]:
    """Compute frame AUCs in % on cameras that were not trained on, mean of the cameras."""
    training, testing, labels = shown.unseen(name)
    rows = few_shot(
        detector,
        training,
        testing,
        shots=(0, SHOTS),
        draws=1,
        methods={"place": METHODS["place"]},
    )
    records = [record_of(row, labels) for row in rows]
    figures = {}
    for column in COLUMNS:
        method = "place" if column == "score" else UNADAPTED
        values = [record.figures[column] for record in records if record.method == method]
        figures[f"{name} {column}"] = 100 * float(np.mean(values))
    return figures


def speeds(models: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Measure networks alone: frames a second of one processor, by its time, all in turn."""
    engines = {
        (name, precision): TorchEngine(
            load_checkpoint(path).network.eval().to(memory_format=torch.channels_last),
            precision == "bfloat16",
        )
        for name, path in models.items()
        for precision in ("float32", "bfloat16")
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in engines}
    for number in range(ROUNDS + 1):
        for key, engine in engines.items():
            config = engine.network.config
            window = torch.rand(BATCH, config.window * config.colours, *config.size) * 2 - 1
            began = time.process_time()
            with torch.inference_mode():
                engine(window)
            if number:
                taken[key].append(time.process_time() - began)
    rates: dict[str, dict[str, float]] = {name: {} for name in models}
    for (name, precision), times in taken.items():
        rates[name][precision] = BATCH / statistics.median(times)
    return rates


def row_of(name: str, seed: int, args: argparse.Namespace, shown: Footage) -> dict[str, Any]:
    """Train and judge a row, or read what was found before."""
    model = trained(name, seed, args, shown)
    path = model.with_name("family.json")
    unseen = [data_set for data_set in ("ped1", "generated") if getattr(args, data_set)]
    row = json.loads(path.read_text()) if path.exists() else {}
    checkpoint = load_checkpoint(model)
    if row.get("sha256") != checkpoint.sha256:
        row = {"sha256": checkpoint.sha256, "sets": [], "figures": {}}
        row["parameters"] = sum(parameter.numel() for parameter in checkpoint.network.parameters())
        facts = ("steps", "seconds", "windows", "collapse", "threads")
        row["training"] = {fact: checkpoint.training[fact] for fact in facts}
    detector = Detector(checkpoint, precision=args.precision)
    for data_set in ["demo", *unseen]:
        if data_set in row["sets"]:
            continue
        figures = (
            judged(detector, shown)
            if data_set == "demo"
            else judged_unseen(detector, shown, data_set)
        )
        row["figures"] |= figures
        row["sets"].append(data_set)
        write_atomically(path, json.dumps(plain(row), indent=1))
    return row


def options() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    made.add_argument("data", type=Path, nargs="?", help="a demo set (with --quick: made)")
    made.add_argument("--fps", type=float, help="where the clips do not say")
    made.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=above_zero, help="of each training")
    length.add_argument("--epochs", type=positive, help="instead of minutes (default: 6)")
    made.add_argument("--ped1", type=Path, help="Ped1's clips and labels.csv")
    made.add_argument("--generated", type=Path, help="unseen generated scenes, made if absent")
    made.add_argument("--seeds", type=int, nargs="+", default=[0])
    made.add_argument("--close", type=float, default=2.0, help="points; see above (default: 2)")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    made.add_argument("--work", type=Path, help="where trainings and rows are kept")
    args = made.parse_args()
    if args.quick:
        args.work = args.work or Path(tempfile.mkdtemp(prefix="mpn-family-"))
        args.data, args.fps = args.work / "demo", 10.0
        args.generated = args.work / "generated"
        args.minutes, args.epochs = None, 1
        write_demo(args.data, **QUICK_SET)
    if args.data is None or args.work is None:
        made.error("DATA and --work were expected, or --quick")
    args.epochs = args.epochs or (None if args.minutes else 6)
    return args


def main() -> None:
    """Trains and judges what is not done, prints the table, writes family.json."""
    args = options()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.set_flush_denormal(True)
    shown = Footage(args, config_of(ROWS["prototype"], args.quick))
    rows: Found = {}
    for name in args.rows:
        rows[name] = {args.seeds[0]: row_of(name, args.seeds[0], args, shown)}
        print(name, rows[name][args.seeds[0]]["figures"], flush=True)
    for name in closest(rows, args.close):
        for seed in args.seeds[1:]:
            rows[name][seed] = row_of(name, seed, args, shown)
            print(name, "seed", seed, rows[name][seed]["figures"], flush=True)
    torch.set_num_threads(1)
    fast = speeds({name: trained(name, args.seeds[0], args, shown) for name in args.rows})
    table(rows, fast)
    draw_costs(rows, fast, args.work / "family.png")
    recipe = {name: getattr(args, name) for name in ("minutes", "epochs", "seeds", "precision")}
    result = {
        "data": str(args.data),
        "recipe": recipe,
        "rows": {
            name: {"seeds": seeds, "frames_per_second": fast[name]} for name, seeds in rows.items()
        },
        "differences": differences(rows),
    }
    write_result("family", args, plain(result), threads=args.threads)


if __name__ == "__main__":
    main()

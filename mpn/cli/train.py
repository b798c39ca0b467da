"""mpn train: a folder of normal footage in, a run folder with a model out."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from mpn.cli import above_zero, from_zero, new_parser, positive
from mpn.cli.data import add_data, data_name, open_data
from mpn.datasets.windows import load_clips
from mpn.detector import checked_device, use_bfloat16
from mpn.errors import MpnError, TrainingError
from mpn.network import check_size
from mpn.presets import PRESETS, Preset
from mpn.training import TrainingOptions, check_folder, train

EXAMPLES = """  python train.py                                    the demo set
  python train.py data/avenue --minutes 50           an hour on two cores
  python train.py data/avenue --minutes 50 --resume  go on where it stopped"""


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    own = new_parser("train", "Train on a folder of normal footage (the training videos of a data set).", EXAMPLES)
    add_data(own)
    own.add_argument("--preset", choices=PRESETS, default="small", help="network (default: small)")
    own.add_argument("--size", type=frame_size, metavar="HxW", help="such as 128x192 (default: the preset's)")
    own.add_argument("--colour", choices=("grey", "bgr"), help="default: the preset's")
    own.add_argument("--channels", type=positive, help="width of the first block (default: the preset's)")
    own.add_argument("--no-pseudo-head", action="store_true", help="without the pseudo-anomaly head")
    length = own.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=above_zero, help="how long (default: 50)")
    length.add_argument("--epochs", type=positive, help="how often every window is seen, instead of minutes")
    own.add_argument("--out", type=Path, help="run folder (default: runs/NAME-PRESET-SEED)")
    own.add_argument("--resume", action="store_true", help="go on with the run in --out, given the same options")
    own.add_argument("--seed", type=from_zero, default=0, help="of weights, order and pseudo-anomalies (default: 0)")
    batch, rate = TrainingOptions.batch_size, TrainingOptions.learning_rate
    own.add_argument("--batch-size", type=positive, default=batch, help=f"default: {batch}")
    own.add_argument("--learning-rate", type=above_zero, default=rate, help=f"default: {rate:g}")
    own.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    own.add_argument("--workers", type=from_zero, default=0, help="processes that make samples (default: none)")
    own.add_argument("--device", default="cpu", help="cpu or cuda")
    own.add_argument("--cache", type=Path, help="folder for frames that don't fit in memory (default: temporary)")
    own.add_argument("--tensorboard", action="store_true", help="also write TensorBoard's files (if installed)")
    return own


def frame_size(text: str) -> tuple[int, int]:
    """(height, width) of text such as 128x192, for argparse."""
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: HEIGHTxWIDTH in pixels was expected, such as 128x192")
    return int(found[1]), int(found[2])


def chosen_preset(options: argparse.Namespace) -> Preset:
    """The preset with what the options change. Raises SizeError."""
    chosen = PRESETS[options.preset]
    if options.size:
        chosen = replace(chosen, height=options.size[0], width=options.size[1])
    if options.colour:
        chosen = replace(chosen, grey=options.colour == "grey")
    if options.channels:
        chosen = replace(chosen, channels=options.channels)
    if options.no_pseudo_head:
        chosen = replace(chosen, pseudo_head=False)
    check_size(chosen, *chosen.size)
    return chosen


def main(options: argparse.Namespace) -> None:
    """Runs the verb."""
    preset = chosen_preset(options)
    minutes = options.minutes or (None if options.epochs else 50.0)
    bfloat16 = use_bfloat16(options.precision, checked_device(options.device))
    settings = TrainingOptions(
        minutes=minutes,
        epochs=options.epochs,
        seed=options.seed,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        precision="bfloat16" if bfloat16 else "float32",
        workers=options.workers,
    )
    tree = open_data(options)
    if not tree.training:
        raise TrainingError(f"{tree.root}: no training videos; expected normal footage to learn from")
    out = options.out or Path("runs") / f"{data_name(options)}-{preset.name}-{options.seed}"
    check_folder(out, options.resume)  # before the footage is decoded, which takes its time
    clips = load_clips(
        tree.training, preset.size, preset.grey, skip_bad=options.skip_bad, cache=options.cache, fps=options.fps
    )
    print(f"{sum(len(clip.frames) for clip in clips)} frames; the run is kept in {out}", file=sys.stderr)
    observe = _tensorboard(out) if options.tensorboard else None
    model = train(clips, preset, settings, out, resume=options.resume, device=options.device, observe=observe)
    print(model)


def _tensorboard(folder: Path):  # noqa: ANN202 (a function of a line of the log)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MpnError("--tensorboard: tensorboard is not installed; pip install tensorboard") from error
    writer = SummaryWriter(str(folder))

    def observe(line: dict) -> None:
        for name, value in line["losses"].items():
            writer.add_scalar(f"losses/{name}", value, line["step"])
        for name in ("samples_per_second", "learning_rate", "gradient_norm"):
            writer.add_scalar(name, line[name], line["step"])
        for name, value in line.get("collapse", {}).items():
            writer.add_scalar(f"collapse/{name}", value, line["step"])

    return observe

"""The --checkpoint argument and the options of a score, the same for every verb that scores."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import mpn
from mpn.checkpoint import load_checkpoint
from mpn.detector import Detector, recipe_of
from mpn.errors import CheckpointError

# Released models lie beside the package, in the repository.
RELEASED = Path(mpn.__file__).resolve().parent.parent / "checkpoints"


def add_model(parser: argparse.ArgumentParser) -> None:
    """--checkpoint, the weights of the score's parts, device and precision."""
    parser.add_argument("--checkpoint", type=Path, help="a .safetensors model (default: checkpoints/demo.safetensors)")
    parser.add_argument("--preset", help="stop unless the checkpoint is of this preset")
    parser.add_argument("--error-weight", type=float, help="weight of the prediction error in the score (default: 1)")
    parser.add_argument("--pseudo-weight", type=float, help="weight of the pseudo-anomaly head (default: 1)")
    parser.add_argument("--patch", type=int, help="side of the largest patch, pixels of the network's frame")
    parser.add_argument("--smoothing", type=float, help="weight of the newest frame in the causal mean (default: 0.3)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")


def open_detector(options: argparse.Namespace) -> Detector:
    """The detector of --checkpoint with the score's options; says on stderr which model it is."""
    path = options.checkpoint or RELEASED / "demo.safetensors"
    checkpoint = load_checkpoint(path)
    if options.preset and options.preset != checkpoint.preset.name:
        raise CheckpointError(
            f"{path} is of preset {checkpoint.preset.name!r}, not {options.preset!r}: leave --preset out, or give "
            "another --checkpoint"
        )
    options.checkpoint = path
    given = {
        "error_weight": options.error_weight,
        "pseudo_weight": options.pseudo_weight,
        "patch": options.patch,
        "smoothing": options.smoothing,
    }
    recipe = replace(recipe_of(checkpoint), **{name: value for name, value in given.items() if value is not None})
    height, width = checkpoint.preset.size
    print(f"{path}: preset {checkpoint.preset.name}, frames of {height}x{width}", file=sys.stderr)
    return Detector(checkpoint, recipe=recipe, device=options.device, precision=options.precision)

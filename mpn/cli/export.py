"""The verb `mpn export`: write a model's network as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from mpn.cli import UsageError, fit, new_parser
from mpn.cli.model import load_model
from mpn.errors import MpnError
from mpn.io.atomic import check_writable
from mpn.model.checkpoint import Checkpoint
from mpn.model.onnx_graph import INPUT, export_onnx, output_names
from mpn.scoring.parts import PARTS
from mpn.scoring.scores import ScoreConfig

EXAMPLES = """  mpn export demo demo.onnx
  mpn export lobby.camera.safetensors lobby.onnx"""


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "export",
        "Writes the network of a model, or of a camera file, as an ONNX file in float32, which "
        "ONNX Runtime, OpenVINO, TensorRT and others read: windows of frames in; the predicted "
        "frame, the compactness and the pseudo-anomaly head's map out. To score with such a "
        "runtime here, mpn score --engine needs no file.",
        EXAMPLES,
    )
    verb.add_argument(
        "checkpoint",
        type=Path,
        metavar="MODEL",
        help="a .safetensors model or camera file, or the name of a released model: demo, ped2, "
        "meta",
    )
    verb.add_argument("out", type=Path, metavar="OUT.onnx", help="the file to write")
    verb.add_argument("--force", action="store_true", help="replace it if it is there already")
    return verb


def main(options: argparse.Namespace) -> None:
    """Run the verb."""
    if options.out.suffix != ".onnx":
        raise UsageError(f"{options.out}: a name that ends in .onnx was expected")
    if options.out.exists() and not options.force:
        raise MpnError(
            f"{options.out} is there already: give another name, or --force to replace it"
        )
    check_writable(options.out)
    checkpoint = load_model(options.checkpoint)
    export_onnx(checkpoint, options.out)
    config = checkpoint.config
    channels = config.window * config.colours
    colours = "grey" if config.grey else "BGR"
    lines = [
        f"written: {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)",
        f"in: {INPUT}, float32 (batch, {channels}, {config.height}, {config.width}): "
        f"{config.window} {colours} frames, oldest first, from -1 (black) to 1",
        f"out: {', '.join(output_names(checkpoint.network))}",
    ]
    if checkpoint.places:
        lines.append(_left_behind(checkpoint))
    print(fit("\n".join(lines)))


def _left_behind(checkpoint: Checkpoint) -> str:
    """Say that what is normal by place is no part of the network."""
    weights = ScoreConfig.from_dict(checkpoint.score_config).weights
    by_network = any(weights[part.name] for part in PARTS if not part.needs_place)
    share = "part" if by_network else "all"
    return (
        f"not in it: what is normal at each place, which is {share} of what is judged by here; "
        "mpn score --engine onnxruntime has that too"
    )

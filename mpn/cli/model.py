"""The --checkpoint argument and the options of a score, the same for every verb that scores."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from mpn.cli import number, positive
from mpn.errors import CheckpointError
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.compiled import WAYS
from mpn.model.config import CONFIGS
from mpn.model.engines import ENGINES
from mpn.model.released import base_model
from mpn.scoring.detector import Detector
from mpn.scoring.model_score import score_config_of
from mpn.scoring.parts import PARTS, PLACE_PARTS
from mpn.scoring.scores import BATCH_SIZE, GPU_BATCH_SIZE

log = logging.getLogger(__name__)


def add_model(
    parser: argparse.ArgumentParser, default: str = "demo"
) -> argparse._MutuallyExclusiveGroup:
    """Add --checkpoint, the weights of the score's parts, device, precision, engine.

    Args:
        parser: a verb's.
        default: what is done without a model, for its help.

    Returns:
        The group for what excludes a model.
    """
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--checkpoint",
        type=Path,
        metavar="MODEL",
        help="a .safetensors model or camera file, or the name of a released model: demo, ped2, "
        f"meta (default: {default})",
    )
    parser.add_argument(
        "--preset", choices=CONFIGS, help="stop unless the checkpoint is of this preset"
    )
    score = parser.add_argument_group("the score (default: as the checkpoint says)")
    for part in PARTS:
        score.add_argument(
            f"--{part.name}-weight", type=number, metavar="W", help=f"weight of {part.title}"
        )
    score.add_argument(
        "--no-motion",
        action="store_true",
        help="leave out what is judged by place (all its weights 0): quicker",
    )
    score.add_argument(
        "--smoothing",
        type=number,
        metavar="W",
        help="weight of the newest frame, 1 for no smoothing",
    )
    _add_computing(parser)
    return model


def _add_computing(parser: argparse.ArgumentParser) -> None:
    """Add what says how the network is run, not what it is."""
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="windows through the network at a time (default: "
        f"{BATCH_SIZE}, on cuda {GPU_BATCH_SIZE})",
    )
    add_compile(parser)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="torch",
        help="what runs the network (default: torch; mpn bench says which is quickest here)",
    )
    parser.add_argument(
        "--network-every",
        type=positive,
        default=1,
        metavar="N",
        help="ask the network about every N-th frame only, motion about all: quicker; 2 costs "
        "nothing where motion is judged by place (default: 1)",
    )


def add_compile(parser: argparse.ArgumentParser) -> None:
    """Add --compile.

    Args:
        parser: a verb's.
    """
    parser.add_argument(
        "--compile",
        choices=WAYS,
        nargs="?",
        const=WAYS[0],
        metavar="WAY",
        help="make PyTorch's network quicker: inductor (the default without a WAY; takes a minute "
        "or more at the start) or graph (a CUDA graph); where that does not work it is said, and "
        "done without",
    )


def model_options(options: argparse.Namespace) -> list[str]:
    """List the given options that only a model has a use for, as they are written.

    Args:
        options: of the verb.
    """
    weights = [f"{part.name}_weight" for part in PARTS]
    names = ("checkpoint", "preset", *weights, "smoothing")
    used = [name for name in names if getattr(options, name) is not None]
    used += ["no_motion"] * options.no_motion
    used += ["network_every"] * (options.network_every > 1)
    return [f"--{name.replace('_', '-')}" for name in used]


def load_model(name_or_path: str | Path) -> Checkpoint:
    """Read a model file, or a released model by its name, and say on stderr what it is.

    Args:
        name_or_path: of the model.

    Raises:
        CheckpointError: see `mpn.model.checkpoint.load_checkpoint`.
    """
    checkpoint = load_checkpoint(name_or_path)
    height, width = checkpoint.config.size
    preset = checkpoint.config.name
    log.info("model %s: preset %s, frames of %dx%d", name_or_path, preset, height, width)
    return checkpoint


def open_base(options: argparse.Namespace) -> Detector:
    """Open the detector that a recording is judged by itself with, with the score's options.

    Its network has no say there, so which model it is does not matter and is not told.

    Args:
        options: of the verb.
    """
    return open_detector(options, base_model(say=False), say=False)


def open_detector(
    options: argparse.Namespace, default: str = "demo", *, say: bool = True
) -> Detector:
    """Open the detector of --checkpoint with the score's options; say on stderr which model it is.

    Args:
        options: of the verb.
        default: the released model that is taken without --checkpoint.
        say: which model it is.

    Raises:
        CheckpointError: the model is of another preset than was asked for.
    """
    checkpoint = (load_model if say else load_checkpoint)(options.checkpoint or default)
    options.checkpoint = checkpoint.path
    if options.preset and options.preset != checkpoint.config.name:
        raise CheckpointError(
            f"{checkpoint.path} is of preset {checkpoint.config.name!r}, not {options.preset!r}: "
            "leave --preset out, or give another --checkpoint"
        )
    score_config = score_config_of(checkpoint)
    part_weights = {part.name: getattr(options, f"{part.name}_weight") for part in PARTS}
    weights = {name: weight for name, weight in part_weights.items() if weight is not None}
    if options.no_motion:
        weights |= dict.fromkeys(PLACE_PARTS, 0.0)
    score_config = replace(score_config, weights={**score_config.weights, **weights})
    if options.smoothing is not None:
        score_config = replace(score_config, smoothing=options.smoothing)
    return Detector(
        checkpoint,
        score_config=score_config,
        device=options.device,
        precision=options.precision,
        engine=options.engine,
        network_every=options.network_every,
        batch_size=options.batch_size,
        compiled=options.compile,
    )

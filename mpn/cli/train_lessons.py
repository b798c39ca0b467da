"""The options of `mpn train` for what comes before pre-training, and who teaches in it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mpn.cli import UsageError, above_zero, positive
from mpn.cli.train_arguments import weights
from mpn.cli.train_network import NETWORK_OPTIONS
from mpn.datasets.windows import Clip
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.config import ModelConfig
from mpn.training.distillation import TEACHER_WEIGHTS, Teacher, check_teacher_weights
from mpn.training.pretext import pretext
from mpn.training.pretraining import TrainingOptions
from mpn.training.run import OnLog
from mpn.training.run_folder import MODEL, STATE

# Folder of the pretext tasks within the run that begins with what they gave.
PRETEXT = "pretext"
PRETEXT_MINUTES = 10.0


def add_lessons(verb: argparse.ArgumentParser) -> None:
    """Add self-supervised learning before, and a teacher beside.

    Args:
        verb: its parser.
    """
    verb.add_argument(
        "--pretext",
        action="store_true",
        help="first learn to fill in hidden parts and to tell windows apart (self-supervised)",
    )
    length = verb.add_mutually_exclusive_group()
    length.add_argument(
        "--pretext-minutes", type=above_zero, help=f"how long (default: {PRETEXT_MINUTES:g})"
    )
    length.add_argument("--pretext-epochs", type=positive, help="instead of minutes")
    verb.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="a trained model to learn from too (distillation); in pre-training",
    )
    usual = ",".join(f"{name}={weight:g}" for name, weight in TEACHER_WEIGHTS.items())
    verb.add_argument(
        "--teacher-weights",
        type=weights(check_teacher_weights),
        metavar="NAME=W,...",
        help=f"what it teaches, and how much that weighs (default: {usual})",
    )


def check_lessons(options: argparse.Namespace) -> None:
    """Raise UsageError for options that go without what they belong to.

    Args:
        options: of the verb.
    """
    if (options.pretext_minutes or options.pretext_epochs) and not options.pretext:
        raise UsageError("--pretext-minutes, --pretext-epochs: only with --pretext")
    if options.teacher_weights and not options.teacher:
        raise UsageError("--teacher-weights: only with --teacher")
    before = (*NETWORK_OPTIONS, "minutes", "epochs", "teacher", "pretext")
    refused = [
        f"--{name.replace('_', '-')}"
        for name in before
        if getattr(options, name) is not None and getattr(options, name) is not False
    ]
    if options.checkpoint and refused:
        raise UsageError(
            f"{', '.join(refused)}: only where there is a pre-training, not with --checkpoint"
        )


def teacher_of(options: argparse.Namespace, config: ModelConfig) -> Teacher | None:
    """Read the teacher, if one was named.

    Args:
        options: of the verb.
        config: of the student.

    Raises:
        CheckpointError: it cannot be read.
        TrainingError: it sees another kind of windows than the student.
    """
    if not options.teacher:
        return None
    return Teacher(load_checkpoint(options.teacher), config, options.teacher_weights)


def after_pretext(
    options: argparse.Namespace,
    clips: Sequence[Clip],
    config: ModelConfig,
    settings: TrainingOptions,
    folder: Path,
    on_log: OnLog | None = None,
) -> Checkpoint:
    """Train on the pretext tasks, or go on with that, or find it done; give what they gave.

    Args:
        options: of the verb.
        clips: that are trained on.
        config: of the network.
        settings: of the training that follows.
        folder: of its run.
        on_log: called with every line of the log.

    Raises:
        MpnError: see `mpn.training.pretext.pretext`.
    """
    folder = folder / PRETEXT
    if not (options.resume and (folder / MODEL).exists()):
        minutes = options.pretext_minutes or (None if options.pretext_epochs else PRETEXT_MINUTES)
        pretext(
            clips,
            config,
            replace(settings, minutes=minutes, epochs=options.pretext_epochs),
            folder,
            resume=options.resume and (folder / STATE).exists(),
            device=options.device,
            on_log=on_log,
        )
    return load_checkpoint(folder / MODEL)

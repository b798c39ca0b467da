"""The verb `mpn train`: train a model on folders of normal footage.

With --meta one that is quick to adapt.
"""

from __future__ import annotations

import argparse
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from mpn.adaptation.inner_loop import TARGETS, default_targets
from mpn.cli import UsageError, above_zero, from_zero, new_parser, positive
from mpn.cli.data import add_data, data_name, open_data_list, training_videos
from mpn.cli.model import add_compile
from mpn.cli.processes import hold_folder, one_voice
from mpn.cli.train_arguments import counts, loss_names, names
from mpn.cli.train_lessons import (
    PRETEXT,
    add_lessons,
    after_pretext,
    check_lessons,
    teacher_of,
)
from mpn.cli.train_network import add_network, chosen_preset
from mpn.cli.training_lines import training_listener
from mpn.datasets.decoded import memory_limit
from mpn.datasets.layouts import recognise
from mpn.datasets.pseudo_anomalies import KINDS
from mpn.datasets.windows import Clip, load_clips
from mpn.errors import TrainingError
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.config import ModelConfig
from mpn.model.device import checked_device, use_bfloat16
from mpn.training.distillation import Teacher
from mpn.training.distributed import Processes, current, joined
from mpn.training.meta_options import ALGORITHMS, MetaOptions
from mpn.training.meta_training import MetaTraining
from mpn.training.pretraining import TrainingOptions, train
from mpn.training.run_folder import STATE

log = logging.getLogger(__name__)

EXAMPLES = """  mpn train                                    the demo set
  mpn train data/avenue --minutes 50           an hour on two cores
  mpn train data/avenue --minutes 50 --resume  go on where it stopped
  mpn train data/scenes demo --meta            learn to be adapted"""
# Folder of the pre-training within a run of meta-training.
PRETRAINING = "pretraining"


def parser() -> argparse.ArgumentParser:
    """Make the verb's parser."""
    verb = new_parser(
        "train", "Train on folders of normal footage (the training videos of data sets).", EXAMPLES
    )
    add_data(verb, several=True)
    add_network(verb)
    _add_pseudo(verb)
    length = verb.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=above_zero, help="how long (default: 50)")
    length.add_argument(
        "--epochs", type=positive, help="how often every window is seen, instead of minutes"
    )
    verb.add_argument("--out", type=Path, help="run folder (default: runs/NAME-PRESET-SEED)")
    verb.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, given the same options"
    )
    verb.add_argument(
        "--seed",
        type=from_zero,
        default=0,
        help="of weights, order and pseudo-anomalies (default: 0)",
    )
    batch, rate = TrainingOptions.batch_size, TrainingOptions.learning_rate
    verb.add_argument("--batch-size", type=positive, default=batch, help=f"default: {batch}")
    verb.add_argument("--learning-rate", type=above_zero, default=rate, help=f"default: {rate:g}")
    verb.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    verb.add_argument(
        "--workers", type=from_zero, help="processes that make samples (default: none on a CPU)"
    )
    verb.add_argument("--device", default="cpu", help="cpu or cuda")
    add_compile(verb)
    verb.add_argument(
        "--cache", type=Path, help="folder for frames that don't fit in memory (default: temporary)"
    )
    verb.add_argument(
        "--tensorboard", action="store_true", help="also write TensorBoard's files (if installed)"
    )
    verb.add_argument(
        "--mirror",
        action="store_true",
        help="also learn from mirror images (with many cameras only)",
    )
    add_lessons(verb)
    _add_meta(verb)
    return verb


def _add_pseudo(verb: argparse.ArgumentParser) -> None:
    """Add what the pseudo-anomaly head learns from."""
    verb.add_argument(
        "--pseudo-kind",
        choices=KINDS,
        default=TrainingOptions.pseudo_kind,
        help="what is pasted for it to find: pieces of frames (default), movers (objects cut out "
        "of the footage), or both; in pre-training",
    )
    verb.add_argument(
        "--movers-from",
        type=Path,
        nargs="+",
        default=(),
        metavar="DATA",
        help="footage of other cameras to cut movers out of; not trained on",
    )


def _add_meta(verb: argparse.ArgumentParser) -> None:
    """Add the options of meta-training; None where one was not given: without --meta it's said."""
    meta = verb.add_argument_group("meta-training over scenes (a task is a scene)")
    meta.add_argument(
        "--meta", action="store_true", help="after pre-training, learn to be adapted to new cameras"
    )
    meta.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="begin with this model, without pre-training",
    )
    length = meta.add_mutually_exclusive_group()
    length.add_argument("--meta-minutes", type=above_zero, help="how long (default: 20)")
    length.add_argument(
        "--meta-steps", type=positive, help="steps of the outer optimiser, instead of minutes"
    )
    meta.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        help="default: meta-sgd, a learned step size for each number",
    )
    meta.add_argument(
        "--second-order",
        action="store_true",
        default=None,
        help="differentiate through inner gradients",
    )
    _add_tasks(meta)


def _add_tasks(meta: argparse._ArgumentGroup) -> None:
    """Add what a task of meta-training is, and what it trains."""
    meta.add_argument(
        "--targets",
        type=names,
        metavar="NAMES",
        help=f"what is adapted: {', '.join(TARGETS)}, or beginnings of parameters' names (default: "
        "early)",
    )
    meta.add_argument(
        "--shots",
        type=counts,
        metavar="K,K",
        help="support windows of a task (default: 1,5,10 in turn)",
    )
    meta.add_argument(
        "--inner-steps", type=positive, help="steps on the support of a task (default: 5)"
    )
    meta.add_argument("--tasks", type=positive, help="tasks of an outer step (default: 2)")
    meta.add_argument(
        "--meta-rate", type=above_zero, help="learning rate of the outer optimiser (default: 1e-5)"
    )
    meta.add_argument(
        "--whole", action="store_true", default=None, help="also train what is not adapted"
    )
    meta.add_argument(
        "--without",
        type=loss_names,
        metavar="TERMS",
        help="loss terms to leave out, such as pseudo,usage",
    )
    meta.add_argument(
        "--validation-scenes",
        type=names,
        metavar="NAMES",
        help="scenes to keep out of all training, for the query loss after adaptation, or none "
        "(default: one in eight)",
    )


META_OPTIONS = (
    *("checkpoint", "meta_minutes", "meta_steps", "algorithm", "second_order", "targets"),
    *("shots", "inner_steps", "tasks", "meta_rate", "whole", "without", "validation_scenes"),
)


def main(options: argparse.Namespace) -> None:
    """Run the verb; under torchrun, one of the processes that share the work."""
    with joined(options.device) as processes, one_voice(processes), ExitStack() as held:
        _train(options, processes.together(lambda: _opened(options, processes, held)))


class Work(NamedTuple):
    """What is trained, from what, and where.

    Attributes:
        start: what it begins with: a model, or a preset.
        clips: all footage.
        movers: that movers are cut out of.
        teacher: a model to learn from too.
        validation: scenes that are kept out.
        precision: float32 or bfloat16.
        out: the run folder.
        then: the command to go on with.
    """

    start: Checkpoint | ModelConfig
    clips: list[Clip]
    movers: list[Clip]
    teacher: Teacher | None
    validation: tuple[str, ...]
    precision: str
    out: Path
    then: str


def _opened(options: argparse.Namespace, processes: Processes, held: ExitStack) -> Work:
    """Check the options, hold the run folder, and read the footage."""
    meta_options = [
        f"--{name.replace('_', '-')}" for name in META_OPTIONS if getattr(options, name) is not None
    ]
    if meta_options and not options.meta:
        raise UsageError(f"{', '.join(meta_options)}: only with --meta")
    if options.movers_from and options.pseudo_kind == "ellipses":
        raise UsageError("--movers-from: only with --pseudo-kind movers or both")
    check_lessons(options)
    processes.check_shares(options.batch_size, "window", "raise --batch-size")
    if options.meta:
        processes.check_shares(options.tasks or MetaOptions.tasks, "task", "give more --tasks")
    base = load_checkpoint(options.checkpoint) if options.checkpoint else None
    config = base.config if base else chosen_preset(options)
    teacher = teacher_of(options, config)
    precision = (
        "bfloat16" if use_bfloat16(options.precision, checked_device(options.device)) else "float32"
    )
    trees = open_data_list(options)
    videos = training_videos(trees)
    if not videos:
        raise TrainingError(
            f"{trees[0].root}: no training videos; expected normal footage to learn from"
        )
    suffix = "-meta" * options.meta
    out = options.out or Path("runs") / f"{data_name(options)}-{config.name}{suffix}-{options.seed}"
    begun = out / PRETRAINING if options.meta else out
    if options.pretext:
        begun /= PRETEXT
    if processes.first:  # before the footage is decoded, which takes its time
        hold_folder(options, out, begun, held)
    log.info("training on %s; Ctrl-C stops it, --resume goes on", data_name(options))
    clips = load_clips(
        videos,
        config.size,
        config.grey,
        skip_bad=options.skip_bad,
        motion=not options.meta and processes.first,  # place models are the first one's
        cache=options.cache,
        fps=options.fps,
        interpolation=config.interpolation,
        min_side=config.stride,
        memory_limit=memory_limit(processes.local_count),
    )
    log.info("%d frames; the run goes to %s", sum(len(clip.frames) for clip in clips), out)
    validation = _validation_scenes(options, clips) if options.meta else ()
    movers = [] if base else _movers_from(options, config)
    tested = [data for data, tree in zip(options.data, trees) if tree.testing]
    then = f"mpn evaluate {tested[0]}" if tested else "mpn score VIDEO"
    return Work(base or config, clips, movers, teacher, validation, precision, out, then)


def _train(options: argparse.Namespace, work: Work) -> None:
    """Train on footage; with --meta what the work starts with, or pre-training, gave."""
    out = work.out
    on_log = training_listener(out if options.tensorboard and current().first else None)
    base = work.start
    if not isinstance(base, Checkpoint):
        first = out / PRETRAINING if options.meta else out
        shown = [clip for clip in work.clips if clip.scene not in work.validation]
        lessons = _training_options(options, work.precision)
        begin = None
        if options.pretext:
            begin = after_pretext(options, shown, base, lessons, first, on_log)
        model = train(
            shown,
            base,
            lessons,
            first,
            movers_from=work.movers,
            teacher=work.teacher,
            start=begin,
            resume=options.resume and (first / STATE).exists(),
            device=options.device,
            compiled=options.compile,
            on_log=on_log,
        )
        if not options.meta:
            print(f"written: {model}; next: {work.then} --checkpoint {model}")
            return
        base = load_checkpoint(model)
    settings = _meta_options(options, base, work.validation, work.precision)
    resume = options.resume and (out / STATE).exists()
    training = current().together(
        lambda: MetaTraining(base, work.clips, settings, out, resume=resume, device=options.device)
    )
    model = training.run(on_log)
    print(f"written: {model}; next: mpn adapt NORMAL_FOOTAGE --checkpoint {model}")


def _training_options(options: argparse.Namespace, precision: str) -> TrainingOptions:
    return TrainingOptions(
        minutes=options.minutes or (None if options.epochs else 50.0),
        epochs=options.epochs,
        seed=options.seed,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        precision=precision,
        workers=options.workers,
        mirror=options.mirror,
        pseudo_kind=options.pseudo_kind,
    )


def _movers_from(options: argparse.Namespace, config: ModelConfig) -> list[Clip]:
    """Read the footage that movers are cut out of; what cannot be read of it is left out."""
    if not options.movers_from:
        return []
    trees = [recognise(folder) for folder in options.movers_from]
    for line in (line for tree in trees for line in tree.describe_left_out()):
        log.info(line)
    videos = training_videos(trees)
    return load_clips(videos, config.size, config.grey, skip_bad=True, cache=options.cache)


def _meta_options(
    options: argparse.Namespace, base: Checkpoint, validation: tuple[str, ...], precision: str
) -> MetaOptions:
    targets = options.targets or default_targets(base.network)
    if len(targets) == 1 and targets[0] in TARGETS:
        targets = TARGETS[targets[0]]
    values = {
        "steps": options.meta_steps,
        "minutes": options.meta_minutes or (None if options.meta_steps else 20.0),
        "algorithm": options.algorithm,
        "second_order": options.second_order,
        "shots": options.shots,
        "inner_steps": options.inner_steps,
        "tasks": options.tasks,
        "learning_rate": options.meta_rate,
        "whole": options.whole,
        "without": options.without,
    }
    return MetaOptions(
        targets,
        **{name: value for name, value in values.items() if value is not None},
        validation=validation,
        precision=precision,
        seed=options.seed,
    )


def _validation_scenes(options: argparse.Namespace, clips: list[Clip]) -> tuple[str, ...]:
    """Return those that were named, or every eighth; none of fewer than eight scenes.

    The name "none" stands for none of them.
    """
    scenes = list(dict.fromkeys(clip.scene for clip in clips))
    if options.validation_scenes is None:
        return tuple(scenes[7::8])
    if options.validation_scenes == ("none",):
        return ()
    unknown = sorted(set(options.validation_scenes) - set(scenes))
    if unknown:
        raise TrainingError(
            f"--validation-scenes: no scene is called {unknown[0]}; there are {', '.join(scenes)}"
        )
    return options.validation_scenes

"""Options of `mpn score` that depend on whether there is a model of the camera."""

from __future__ import annotations

import argparse
from pathlib import Path

from mpn.cli import UsageError, above_zero, positive
from mpn.io.atomic import check_writable
from mpn.jobs import JobOptions
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.checkpoint import Checkpoint
from mpn.scale.cluster import ADDRESS, LOCAL
from mpn.scoring.model_score import judged_by_itself

MOMENTS = 10
# What has a meaning for a model's threshold alone.
OF_A_MODEL = ("false_alarms_per_hour", "no_motion", "error_weight", "pseudo_weight")
OF_ITSELF = ("moments", "apart", "fps_limit", "save")
FPS_LIMIT = 10.0  # what the figures of docs/results.md are taken at
SAME_RATE = 1.25  # times a camera's frames a second


def add_by_itself(verb: argparse.ArgumentParser) -> None:
    """Add the options of recordings that are judged by themselves.

    Args:
        verb: `mpn score`.
    """
    group = verb.add_argument_group("without --checkpoint, judged by themselves")
    group.add_argument(
        "--moments",
        type=positive,
        metavar="N",
        help=f"the strangest moments of each camera that are listed (default: {MOMENTS})",
    )
    group.add_argument(
        "--apart",
        type=above_zero,
        metavar="MINUTES",
        help="what is so near in time has no say in what is usual (default: a 32nd of the "
        "footage, between a second and a minute)",
    )
    group.add_argument(
        "--fps-limit",
        type=above_zero,
        metavar="RATE",
        help="of a faster recording only every n-th frame is scored, so that no more than so many "
        f"a second are left (default: {FPS_LIMIT:g}; --every says otherwise)",
    )
    group.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help=f"keep what was learned of the camera, as NAME{CAMERA_SUFFIX}, for tomorrow's "
        "--checkpoint",
    )


def add_ray(verb: argparse.ArgumentParser) -> None:
    """Add --ray.

    Args:
        verb: `mpn score`.
    """
    verb.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL,
        metavar="ADDRESS",
        help="a source on each core at a time, by Ray (pip install 'mpn[scale]'): of this machine, "
        "or with HOST:PORT or auto of all machines of a cluster that this one belongs to and that "
        "you trust (docs/scale.md); --threads says how many cores a source takes (default: 1)",
    )


def check_ray(options: argparse.Namespace) -> None:
    """Refuse what is no address of a Ray cluster, such as a source behind --ray.

    Args:
        options: of the verb.

    Raises:
        UsageError: naming it.
    """
    if options.ray not in (None, LOCAL) and not ADDRESS.fullmatch(options.ray):
        raise UsageError(
            f"--ray {options.ray}: HOST:PORT or auto was expected; a source stands before --ray, "
            "or behind another option"
        )


def check_usage(options: argparse.Namespace, by_itself: bool) -> None:
    """Refuse options that have no effect.

    Args:
        options: of the verb.
        by_itself: whether recordings are judged by themselves.

    Raises:
        UsageError: naming them.
    """
    useless = OF_A_MODEL if by_itself else OF_ITSELF
    unset = (None, False)
    refused = [
        name for name in useless if not any(getattr(options, name) is value for value in unset)
    ]
    if not refused:
        if options.save:
            _check_save(options.save)
        return
    names = ", ".join(f"--{name.replace('_', '-')}" for name in refused)
    if by_itself:
        raise UsageError(
            f"{names}: without --checkpoint recordings are judged by themselves, and there is no "
            "normal footage to take a rate of false alarms from, nor anything but motion to judge "
            "by; --moments says how many are listed, --checkpoint MODEL names a model"
        )
    raise UsageError(f"{names}: with --checkpoint recordings are judged by the model")


def _check_save(path: Path) -> None:
    if not path.name.endswith(CAMERA_SUFFIX):
        raise UsageError(f"--save {path}: the name of a camera file ends in {CAMERA_SUFFIX}")
    check_writable(path)


def job_options(
    options: argparse.Namespace, checkpoint: Checkpoint, *, by_itself: bool
) -> JobOptions:
    """Collect what is wanted of each source.

    Args:
        options: of the verb.
        checkpoint: of the model that scores.
        by_itself: whether recordings are judged by themselves.
    """
    names = ("threshold", "overlay", "fps", "start", "end", "strict")
    limit = options.fps_limit
    if options.every is None and limit is None:
        if by_itself:
            limit = FPS_LIMIT
        elif judged_by_itself(checkpoint) and checkpoint.fps:
            # Speeds are those of frames as far apart as in the recordings it was made of.
            limit = checkpoint.fps * SAME_RATE
    return JobOptions(
        **{name: getattr(options, name) for name in names},
        every=options.every or 1,
        false_alarms_per_hour=options.false_alarms_per_hour or 1.0,
        report=not options.no_report,
        fps_limit=limit,
    )

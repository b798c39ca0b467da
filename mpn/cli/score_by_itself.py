"""`mpn score` without a model of the camera: its recordings are judged by themselves."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from mpn.adaptation.camera_file import write_camera
from mpn.cli import UsageError, above_zero, positive
from mpn.cli.score_text import Entry, strangest_text
from mpn.errors import DataError, SizeError
from mpn.io.atomic import check_writable
from mpn.io.text import plural
from mpn.jobs import JobOptions
from mpn.jobs.by_itself import OwnJudgement, Recording, group_by_camera, learn_camera
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.scoring.detector import Detector
from mpn.video.paths import folder_name

log = logging.getLogger(__name__)

MOMENTS = 10
# What has a meaning for a model's threshold alone.
OF_A_MODEL = ("false_alarms_per_hour", "no_motion")
OF_ITSELF = ("moments", "apart", "save")


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
        "--save",
        type=Path,
        metavar="FILE",
        help=f"keep what was learned of the camera, as NAME{CAMERA_SUFFIX}, for tomorrow's "
        "--checkpoint",
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
    given = [name for name in useless if getattr(options, name)]
    if not given:
        if options.save:
            _check_save(options.save)
        return
    names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
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


def job_options(options: argparse.Namespace) -> JobOptions:
    """Collect what is wanted of each source.

    Args:
        options: of the verb.
    """
    names = ("threshold", "overlay", "fps", "start", "end", "every", "strict")
    return JobOptions(
        **{name: getattr(options, name) for name in names},
        false_alarms_per_hour=options.false_alarms_per_hour or 1.0,
        report=not options.no_report,
    )


def score_by_themselves(
    detector: Detector,
    entries: Sequence[Entry],
    options: argparse.Namespace,
    score: Callable[[Detector, Entry, argparse.Namespace, Callable[[], OwnJudgement]], None],
) -> None:
    """Judge the recordings of each camera by themselves, and list the strangest moments.

    Args:
        detector: the model that knows no camera here.
        entries: the recordings; those that cannot be read get their reason.
        options: of the verb.
        score: scores one of them.

    Raises:
        DataError: `--strict` and a recording that cannot be read.
        UsageError: `--save` and several cameras.
    """
    known = {recording.path: entry for entry, recording in _readable(entries, options)}
    recordings = [recording for _, recording in _readable(entries, options)]
    cameras = group_by_camera(recordings)
    if len(cameras) > 1:
        log.info("%s, told apart by their pictures", plural(len(cameras), "camera"))
        if options.save:
            raise UsageError(
                f"--save {options.save}: these are recordings of {len(cameras)} cameras, and a "
                "camera file is of one: score each camera's by themselves"
            )
    for members in cameras:
        of_camera = [known[recording.path] for recording in members]
        _score_camera(detector, members, of_camera, options, score)


def _score_camera(
    detector: Detector,
    recordings: Sequence[Recording],
    entries: Sequence[Entry],
    options: argparse.Namespace,
    score: Callable[[Detector, Entry, argparse.Namespace, Callable[[], OwnJudgement]], None],
) -> None:
    """Judge the recordings of one camera by themselves."""
    name = folder_name(recordings[0].path)
    apart = options.apart * 60 if options.apart else None
    moments = options.moments or MOMENTS
    try:
        camera = learn_camera(detector, recordings, name, apart)
    except (DataError, SizeError) as error:
        if options.strict:
            raise
        for entry in entries:
            entry.reason = str(error)
        return
    own = detector.sibling(camera.checkpoint, camera.checkpoint.score_config)
    for entry, recording in zip(entries, recordings):
        score(own, entry, options, partial(camera.judgements, recording, own, moments))
    if options.save:
        write_camera(options.save, camera.checkpoint)
        log.info("written: %s; next: mpn score VIDEO --checkpoint %s", options.save, options.save)
    if not options.json and any(entry.outcome for entry in entries):
        tqdm.write(strangest_text(entries, moments))


def _readable(
    entries: Sequence[Entry], options: argparse.Namespace
) -> list[tuple[Entry, Recording]]:
    """Open every source once; those that cannot be read get their reason."""
    wanted = job_options(options)
    found = []
    for entry in entries:
        try:
            next(iter(wanted.open(entry.path).frames()))
        except (DataError, SizeError, StopIteration) as error:
            if options.strict:
                raise
            entry.reason = str(error) or f"{entry.path}: has no frame"
            continue
        opener = partial(wanted.open, entry.path)
        found.append((entry, Recording(entry.path, entry.folder, opener)))
    return found

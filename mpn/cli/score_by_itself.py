"""`mpn score` without a model of the camera: its recordings are judged by themselves."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from mpn.adaptation.camera_file import write_camera
from mpn.cli import UsageError, above_zero, positive
from mpn.cli.score_text import Entry, strangest_text
from mpn.errors import DataError, SizeError
from mpn.io.atomic import check_writable
from mpn.io.text import duration, plural
from mpn.jobs import JobOptions
from mpn.jobs.by_itself import OwnJudgement, Recording, group_by_camera, learn_camera
from mpn.jobs.expected import expected_seconds
from mpn.jobs.survey_file import SURVEY
from mpn.model.camera_checkpoint import CAMERA_SUFFIX
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.detector import Detector
from mpn.scoring.model_score import judged_by_itself
from mpn.video.paths import folder_name

log = logging.getLogger(__name__)

MOMENTS = 10
# What has a meaning for a model's threshold alone.
OF_A_MODEL = ("false_alarms_per_hour", "no_motion", "error_weight", "pseudo_weight")
OF_ITSELF = ("moments", "apart", "fps_limit", "save")
FPS_LIMIT = 10.0  # what the figures of docs/results.md are taken at
SAME_RATE = 1.25  # times a camera's frames a second
LONG = 60.0  # seconds that judging takes; more is said before it begins


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
    given = [name for name in useless if not any(getattr(options, name) is one for one in unset)]
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
    readable = _readable(
        entries, job_options(options, detector.checkpoint, by_itself=True), options.strict
    )
    known = {recording.path: entry for entry, recording in readable}
    cameras = group_by_camera([recording for _, recording in readable])
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
    _say_how_long(recordings)
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


def _say_how_long(recordings: Sequence[Recording]) -> None:
    """Say how long it will take, where that is long and nothing has been done yet."""
    if any((recording.folder / SURVEY).exists() for recording in recordings):
        return
    takes, lasts, frames = expected_seconds(recordings)
    if takes > LONG:
        log.info(
            "%s of footage, %s to score: about %s on this machine",
            duration(lasts),
            plural(frames, "frame"),
            duration(60 * math.ceil(takes / 60)).removesuffix(" 0 s"),
        )


def _readable(
    entries: Sequence[Entry], wanted: JobOptions, strict: bool
) -> list[tuple[Entry, Recording]]:
    """Open every source once; those that cannot be read get their reason."""
    found = []
    for entry in entries:
        try:
            settled = wanted.settled(entry.path)
            next(iter(settled.open(entry.path).frames()))
        except (DataError, SizeError, StopIteration) as error:
            if strict:
                raise
            entry.reason = str(error) or f"{entry.path}: has no frame"
            continue
        opener = partial(settled.open, entry.path)
        found.append((entry, Recording(entry.path, entry.folder, opener)))
    return found

"""`mpn score` without a model of the camera: its recordings are judged by themselves."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from tqdm import tqdm

from mpn.adaptation.camera_file import changing, with_earlier_lessons, write_camera
from mpn.cli import UsageError, fit
from mpn.cli.adapt_text import lessons_text
from mpn.cli.score_hands import Glanced, Hands
from mpn.cli.score_options import MOMENTS
from mpn.cli.score_text import Entry, strangest_text
from mpn.errors import DataError, SizeError
from mpn.io.text import plural
from mpn.jobs.first_pass import group_by_camera
from mpn.video.paths import folder_name

log = logging.getLogger(__name__)

NAMED = 10  # recordings of a camera that are named


def score_by_themselves(
    hands: Hands, entries: Sequence[Entry], options: argparse.Namespace
) -> None:
    """Judge the recordings of each camera by themselves, and list the strangest moments.

    Args:
        hands: that do it.
        entries: the recordings; those that cannot be read get their reason.
        options: of the verb.

    Raises:
        DataError: `--strict` and a recording that cannot be read.
        UsageError: `--save` and several cameras.
    """
    glanced = hands.look(entries)
    by_path = {source.recording.path: source for source in glanced}
    cameras = group_by_camera(
        [source.recording for source in glanced], [source.glance for source in glanced]
    )
    if len(cameras) > 1:
        log.info("%s, told apart by their pictures:", plural(len(cameras), "camera"))
        for number, members in enumerate(cameras, 1):
            names = [recording.path.name for recording in members]
            rest = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
            log.info("  %d. %s%s", number, ", ".join(names[:NAMED]), rest)
        if options.save:
            raise UsageError(
                f"--save {options.save}: these are recordings of {len(cameras)} cameras, and a "
                "camera file is of one: score each camera's by themselves"
            )
    for number, members in enumerate(cameras, 1):
        sources = [by_path[recording.path] for recording in members]
        camera = number if len(cameras) > 1 else None
        _score_camera(hands, sources, options, named=len(glanced) > 1, number=camera)


def _score_camera(
    hands: Hands,
    glanced: Sequence[Glanced],
    options: argparse.Namespace,
    *,
    named: bool,
    number: int | None,
) -> None:
    """Judge the recordings of one camera by themselves; moments have their names, if `named`."""
    name = folder_name(glanced[0].recording.path)
    entries = [source.entry for source in glanced]
    try:
        camera = hands.learn(glanced, name, options.apart * 60 if options.apart else None)
    except (DataError, SizeError) as error:
        if options.strict:
            raise
        for entry in entries:
            entry.reason = str(error)
        return
    moments = options.moments or MOMENTS
    hands.score_by_camera(glanced, camera, moments)
    if options.save:
        with changing(options.save):
            checkpoint = with_earlier_lessons(options.save, camera.checkpoint)
            earlier = write_camera(options.save, checkpoint)
        if earlier:
            log.info("the earlier %s is now %s%s", options.save, earlier, lessons_text(checkpoint))
        log.info("written: %s; next: mpn score VIDEO --checkpoint %s", options.save, options.save)
    if not options.json and any(entry.outcome for entry in entries):
        tqdm.write(fit(strangest_text(entries, moments, named=named, camera=number)))

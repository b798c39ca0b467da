"""Who does what `mpn score` needs done: `Here` this process; the workers of --ray: `score_ray`."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tqdm import tqdm

from mpn.cli.score_options import job_options
from mpn.cli.score_text import Entry, Teller
from mpn.errors import MpnError
from mpn.io.text import duration, plural
from mpn.jobs import JobOptions, ScoreJob
from mpn.jobs.by_itself import OwnCamera, OwnJudgement, learn_camera
from mpn.jobs.expected import expected_seconds
from mpn.jobs.failures import of_source_alone
from mpn.jobs.first_pass import Glance, Recording, glance
from mpn.jobs.survey_file import SURVEY
from mpn.report.from_job import run_with_report
from mpn.scoring.detector import Detector

log = logging.getLogger(__name__)

LONG = 60.0  # seconds that judging takes; more is said before it begins


@dataclass(frozen=True)
class Glanced:
    """A source that is judged by itself, and what opening it has shown.

    Attributes:
        entry: the source.
        recording: the same, as it is scored.
        options: the same, `settled`.
        glance: at it.
    """

    entry: Entry
    recording: Recording
    options: JobOptions
    glance: Glance


class Hands(Protocol):
    """Whoever scores sources; those that cannot be read get their reason, the others go on."""

    def score(self, entries: Sequence[Entry]) -> None:
        """Score sources by the model, and print what comes of each.

        Args:
            entries: the sources; they get their outcome.

        Raises:
            DataError: `--strict` and a source that cannot be read.
        """
        ...

    def look(self, entries: Sequence[Entry]) -> list[Glanced]:
        """Open sources that are judged by themselves.

        Args:
            entries: the sources.

        Returns:
            Those that can be read, in order.

        Raises:
            DataError: `--strict` and a source that cannot be read.
        """
        ...

    def learn(self, glanced: Sequence[Glanced], name: str, apart: float | None) -> OwnCamera:
        """Pass over the recordings of a camera, and learn what is usual there.

        Args:
            glanced: its recordings.
            name: of the camera.
            apart: see `learn_camera`.

        Raises:
            DataError: a recording cannot be read, or all of them are too short.
        """
        ...

    def score_by_camera(self, glanced: Sequence[Glanced], camera: OwnCamera, moments: int) -> None:
        """Score the recordings of a camera by themselves, and print what comes of each.

        Args:
            glanced: its recordings; their entries get their outcome.
            camera: what was learned of it.
            moments: how many are wanted.

        Raises:
            DataError: `--strict` and a recording that cannot be read.
        """
        ...


class Here:
    """This process, one source after the other; see `Hands`.

    Args:
        detector: the model.
        options: of the verb.
    """

    def __init__(self, detector: Detector, options: argparse.Namespace) -> None:
        self._detector, self._options = detector, options

    def score(self, entries: Sequence[Entry]) -> None:
        """See `Hands`."""
        alone = len(entries) == 1
        for entry in tqdm(entries, desc="sources", unit="source", disable=True if alone else None):
            self._score(self._detector, entry)

    def look(self, entries: Sequence[Entry]) -> list[Glanced]:
        """See `Hands`."""
        settings = job_options(self._options, self._detector.checkpoint, by_itself=True)
        glanced = []
        for entry in entries:
            try:
                settled = settings.settled(entry.path)
                opener = partial(settled.open, entry.path)
                recording = Recording(entry.path, entry.folder, opener)
                glanced.append(Glanced(entry, recording, settled, glance(recording)))
            except (MpnError, OSError) as error:
                self._leave_out(entry, error)
        return glanced

    def learn(self, glanced: Sequence[Glanced], name: str, apart: float | None) -> OwnCamera:
        """See `Hands`."""
        recordings = [source.recording for source in glanced]
        _say_how_long(recordings)
        stamps = [source.glance.stamp for source in glanced]
        return learn_camera(self._detector, recordings, name, apart, stamps)

    def score_by_camera(self, glanced: Sequence[Glanced], camera: OwnCamera, moments: int) -> None:
        """See `Hands`."""
        camera_detector = self._detector.sibling(camera.checkpoint, camera.checkpoint.score_config)
        for source in glanced:
            self._score(
                camera_detector,
                source.entry,
                partial(camera.judgements, source.recording, camera_detector, moments),
            )

    def _score(
        self, detector: Detector, entry: Entry, judge: Callable[[], OwnJudgement] | None = None
    ) -> None:
        options = self._options
        settings = job_options(options, detector.checkpoint, by_itself=judge is not None)
        teller = Teller(entry, by_itself=judge is not None, as_json=options.json)
        try:
            judged = judge() if judge else None
            job = ScoreJob(
                detector,
                entry.path,
                entry.folder,
                settings,
                teller.event,
                judged,
                camera_file=options.save,
            )
            entry.outcome = run_with_report(job, options.inside)
        except (MpnError, OSError) as error:
            self._leave_out(entry, error)
            return
        teller.outcome(entry.outcome)

    def _leave_out(self, entry: Entry, error: Exception) -> None:
        """Give a source its reason; raise what is of more than this source, or all if strict."""
        entry.reason = of_source_alone(error, entry.path)
        if self._options.strict or not entry.reason:
            raise error


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

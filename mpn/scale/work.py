"""What a worker does: one step of one recording, and an answer in plain data. No Ray.

All that a step leaves lies in the recording's folder of results, as that of `mpn score` without
workers: a worker that takes a step again, for another that died, goes on from there.
"""

from __future__ import annotations

import copy
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from mpn.errors import BusyError, CheckpointError, MpnError
from mpn.jobs import JobOptions, ScoreJob
from mpn.jobs.by_itself import own_judgement
from mpn.jobs.failures import of_source_alone
from mpn.jobs.first_pass import Glance, Recording, Seen, glance, judge_runs, pass_over
from mpn.model.checkpoint import load_checkpoint
from mpn.report.from_job import run_with_report
from mpn.scoring.detector import Detector
from mpn.scoring.scores import ScoreConfig
from mpn.version import __version__

# A folder's lock outlives a machine that has died until the file server notices: 90 s with Linux'
# NFS. So long is waited for it, in pauses of so many seconds.
LOCK_SECONDS, PAUSE_SECONDS = 120.0, 5.0


@dataclass(frozen=True)
class Model:
    """What a worker makes its detector of, see `Detector`.

    Attributes:
        path: of the model file, the same for all workers.
        sha256: of its content.
        score_config: as `ScoreConfig.to_dict` gives it.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16": "auto" may be either on unlike machines.
        engine: what runs the network.
        network_every: the network is asked about every so many-th frame.
        batch_size: windows at a time, None for the usual number.
        compiled: how PyTorch's network is made quicker, None: not at all.
    """

    path: Path
    sha256: str | None
    score_config: dict[str, Any]
    device: str = "cpu"
    precision: str = "float32"
    engine: str = "torch"
    network_every: int = 1
    batch_size: int | None = None
    compiled: str | None = None

    def open(self) -> Detector:
        """Make the detector.

        Raises:
            CheckpointError: the file cannot be read, or is not the one that was meant.
        """
        checkpoint = load_checkpoint(self.path)
        if checkpoint.sha256 != self.sha256:
            raise CheckpointError(
                f"{self.path}: this machine has another file of that name; a model has to lie "
                "where all machines see the same"
            )
        return Detector(
            checkpoint,
            score_config=ScoreConfig.from_dict(self.score_config),
            device=self.device,
            precision=self.precision,
            engine=self.engine,
            network_every=self.network_every,
            batch_size=self.batch_size,
            compiled=self.compiled,
        )


@dataclass(frozen=True)
class Learned:
    """A camera that was learned of its own recordings.

    Attributes:
        checkpoint: what its checkpoint has otherwise than the model's.
        seen: what its recordings have shown.
        moments: how many are wanted of it.
    """

    checkpoint: dict[str, Any]
    seen: Seen
    moments: int


@dataclass(frozen=True)
class Common:
    """What all tasks of a step share.

    Attributes:
        threads: processor threads of a worker.
        options: of the sources.
        model: that scores.
        camera_file: where the camera is kept, None where it is not, or in the model's own file.
        inside: frames whose insides a report shows.
        count: recordings of the camera.
        seen: what they have shown together, once that is known.
        learned: the camera, once it is.
        version: of mpn.
    """

    threads: int
    options: JobOptions
    model: Model
    camera_file: Path | None = None
    inside: tuple[int, ...] = ()
    count: int = 1
    seen: Seen | None = None
    learned: Learned | None = None
    version: str = __version__


@dataclass(frozen=True)
class Item:
    """A source as a worker gets it.

    Attributes:
        path: of the file or folder, absolute.
        folder: for its results, absolute.
        options: `settled`, once it was glanced at.
        stamp: see `Glance`, once it was.
    """

    path: Path
    folder: Path
    options: JobOptions | None = None
    stamp: dict[str, Any] = field(default_factory=dict)

    def recording(self) -> Recording:
        """Return it as the steps of a first pass take it."""
        options = self.options or JobOptions()
        return Recording(self.path, self.folder, partial(options.open, self.path))


@dataclass
class Answer:
    """What came of a step.

    Attributes:
        value: what it gives.
        reason: why this source cannot be scored, "" where it can.
        failure: why none can be.
        events: entries of the events that were found, in order.
        said: lines of the log.
    """

    value: Any = None
    reason: str = ""
    failure: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


Step = Callable[[Common, Item, Answer], Any]


def attempt(step: Step, common: Common, item: Item) -> Answer:
    """Take a step, and give an answer whatever comes of it.

    Args:
        step: one of this module's.
        common: what all tasks share.
        item: the source.
    """
    answer = Answer()
    if common.version != __version__:
        answer.failure = (
            f"a worker has mpn {__version__}, and the command was given to {common.version}: all "
            "machines need the same"
        )
        return answer
    _stop_as_asked()
    torch.set_num_threads(common.threads)
    cv2.setNumThreads(common.threads)
    with _log_kept(answer.said):
        try:
            answer.value = _patiently(partial(step, common, item, answer))
        except (MpnError, OSError) as error:
            if reason := of_source_alone(error, item.path):
                answer.reason = reason
            else:
                answer.failure = str(error)
    return answer


# --- The steps


def look(common: Common, item: Item, _: Answer) -> tuple[JobOptions, Glance]:
    """Open a source: which of its frames are scored, and what it shows.

    Args:
        common: of the step.
        item: the source.
    """
    settled = common.options.settled(item.path)
    return settled, glance(replace(item, options=settled).recording())


def survey(common: Common, item: Item, _: Answer) -> None:
    """Make the first pass over a recording of a camera.

    Args:
        common: of the step.
        item: the recording.
    """
    pass_over(item.recording(), item.stamp, common.count)


def judge(common: Common, item: Item, _: Answer) -> None:
    """Judge the runs of a recording; they are in its survey then.

    Args:
        common: of the step.
        item: the recording.
    """
    assert common.seen is not None
    judge_runs(item.recording(), item.stamp, common.seen)


def score(common: Common, item: Item, answer: Answer) -> Any:
    """Score a source, and make its report if one is wanted.

    Args:
        common: of the step.
        item: the source.
        answer: gets the events.

    Returns:
        The `Outcome`.
    """
    detector, judgement = _detector(common), None
    if learned := common.learned:
        judgement = own_judgement(
            item.recording(), item.stamp, learned.seen, detector, learned.moments
        )
    answer.events.clear()
    job = ScoreJob(
        detector,
        item.path,
        item.folder,
        common.options,
        answer.events.append,
        judgement,
        camera_file=common.camera_file,
    )
    return run_with_report(job, common.inside)


# --- What they need

# The detectors of this process, by what they are made of: a worker has many recordings of a camera.
_detectors: dict[tuple[Any, ...], Detector] = {}


def _detector(common: Common) -> Detector:
    model, learned = common.model, common.learned
    described = repr(model)
    camera = learned.checkpoint["sha256"] if learned else None
    if (described, camera) not in _detectors:
        for other in [key for key in _detectors if key[0] != described or key[1]]:
            del _detectors[other]
        base = _detectors.setdefault((described, None), model.open())
        if learned:
            # What comes from Ray's store may not be written to.
            checkpoint = replace(base.checkpoint, **copy.deepcopy(learned.checkpoint))
            _detectors[described, camera] = base.sibling(checkpoint, checkpoint.score_config)
    return _detectors[described, camera]


def _patiently(action: Callable[[], Any]) -> Any:
    """Do what needs a folder for itself, once whoever had it lets go of it."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return action()
        except BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)


def _stop_as_asked() -> None:
    """Let a task be interrupted: a process that was started in a background ignores that."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _log_kept(lines: list[str]) -> Iterator[None]:
    """Keep what is logged for whoever gave the command."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log, handler = logging.getLogger("mpn"), Kept(logging.INFO)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)

"""One camera that is watched: its stream, its model, what it learns, where it stands."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpn.adaptation.camera_file import read_camera, write_camera
from mpn.errors import MpnError
from mpn.live.clips import Look, jpeg_of
from mpn.live.config import USUAL_FPS, CameraConfig, default_camera_file
from mpn.live.events import Events
from mpn.live.health import WORDS, Health
from mpn.live.known import known_calibration, say_what_differs
from mpn.live.learning import FAR, FirstMinutes, base_for_learning, learned_words
from mpn.live.ongoing import Ongoing, low_level
from mpn.live.recalibration import Recalibration, scores_file
from mpn.live.shared import Shared
from mpn.live.status import CameraStatus, State
from mpn.live.steps import Prepared, Steps
from mpn.live.stream import CameraStream, LiveFrame, StreamState
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.calibration import Threshold
from mpn.scoring.judge import SeenFrame
from mpn.scoring.result import Result
from mpn.scoring.scores import FrameScores
from mpn.scoring.windows import Window
from mpn.video.images import check_side

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2.0  # behind a gap or a state of the picture, in which nothing is alarmed
RETRY_SECONDS = 30.0  # until a camera that has failed is tried again
LATELY = 5.0  # seconds that the rate of frames is told of
RECENT = 300  # scores that are told: the highest of each second


@dataclass
class Work:
    """A frame on its way.

    Attributes:
        camera: that it is of.
        frame: as it came.
        steps: that it was begun by.
        ready: the frame, prepared, and its JPEG.
        seen: what is known of it before it is scored.
        prepared: from `ready`.
        jpeg: likewise.
    """

    camera: LiveCamera
    frame: LiveFrame
    steps: Steps
    ready: Future[tuple[Prepared, bytes]]
    seen: SeenFrame | None = None
    prepared: Prepared | None = None
    jpeg: bytes = b""


class LiveCamera:
    """One camera that is watched.

    Args:
        name: of the camera.
        config: of it.
        shared: with all others.

    Raises:
        MpnError: its camera file cannot be read.
    """

    def __init__(self, name: str, config: CameraConfig, shared: Shared) -> None:
        self.name, self.config, self.shared = name, config, shared
        self.folder = shared.config.out / name
        self.camera_file = config.camera_file or default_camera_file(shared.config.out, name)
        self.rate = config.false_alarms_per_hour or shared.config.false_alarms_per_hour
        checkpoint = self._read_checkpoint() if self.camera_file.is_file() else None
        self.fps = config.fps or (checkpoint.fps if checkpoint and checkpoint.fps else USUAL_FPS)
        self.stream = CameraStream(config.url, self.fps, loop=config.loop, wake=shared.wake)
        self.detector = shared.make(
            base_for_learning(shared.base) if checkpoint is None else checkpoint
        )
        self.threshold: Threshold | None = None
        self.learning: FirstMinutes | None = None
        self.ongoing: Ongoing | None = None
        self.events: Events | None = None
        self._recalibration: Recalibration | None = None
        self._learned: Future[Checkpoint] | None = None
        self._steps: Steps | None = None
        self._health: Health | None = None
        self._wrong: State | None = None
        self._failed, self._retried = "", 0.0
        self._since = time.time()
        self._state = State.STARTING
        self._begun, self._settled = math.nan, math.inf
        self._number = 0
        self._score: float | None = None
        self._lag = 0.0
        self._finished: deque[float] = deque()
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self.alarms_from: float | None = None
        self._earlier_events = 0  # while it learned
        if checkpoint is not None:
            self._watch(checkpoint, time.time())

    # --- Frames

    @property
    def asks_network(self) -> bool:
        """Say whether the network is asked about its frames, where there is time."""
        ended = self.stream.state[0] is StreamState.ENDED
        return self._steps is not None and self._steps.asks and not ended

    def begin(self, pool: Executor) -> Work | None:
        """Take the next frame of the stream, and let a pool prepare it; None where none came."""
        frame = self.stream.take()
        if frame is None or (self._failed and time.monotonic() < self._retried):
            return None
        size = frame.image.shape[0], frame.image.shape[1]
        if self._steps is None or self._steps.size != size:
            self._open(size)
        steps = self._steps
        assert steps is not None
        prepare = steps.begin(frame.image, frame.seconds, restart=frame.restart)
        return Work(self, frame, steps, pool.submit(_prepared, prepare, frame.image))

    def take(self, work: Work) -> Window | None:
        """Take a prepared frame; returns what is to be scored, None for nothing."""
        work.prepared, work.jpeg = work.ready.result()
        if work.steps is not self._steps:
            return None  # the camera was learned meanwhile, or its frames have another size
        if math.isnan(self._begun):
            self._begun = work.frame.seconds
        window = work.steps.take(work.prepared)
        seconds = work.frame.seconds - self._begun
        work.seen = work.steps.seen(self._number, seconds, work.frame.image)
        self._number += 1
        if window is None:
            self._note(work, None, {})
        return window

    def finish(self, work: Work, scores: FrameScores) -> None:
        """Take the scores of a frame."""
        assert work.seen is not None
        result = None if self.learning is not None else work.steps.result(work.seen, scores)
        self._note(work, result, scores.parts)

    def fail(self, error: Exception) -> None:
        """Give the camera up for a while: what went wrong is said, all others go on."""
        reason = " ".join(str(error).split()) or type(error).__name__
        if reason != self._failed:
            log.error("%s: given up: %s", self.name, reason)
        self._failed, self._steps = reason, None
        self._retried = time.monotonic() + RETRY_SECONDS
        if self.events is not None:
            self.events.finish()

    def close(self) -> None:
        """Stop: an open event is ended, what was learned is written down."""
        self.stream.stop(0)
        if self.events is not None:
            self.events.finish()
        if self.ongoing is not None:
            self.ongoing.save()
        if self._recalibration is not None:
            self._recalibration.save()
        if self.learning is not None:
            self.learning.close()

    # --- What is made of them

    def _note(self, work: Work, result: Result | None, parts: dict[str, float]) -> None:
        """Take what a frame came to: the picture's state, learning, events."""
        assert work.prepared is not None and work.seen is not None and self._health is not None
        frame, prepared = work.frame, work.prepared
        wrong = self._health.update(frame.image, frame.seconds)
        if not prepared.follows or wrong is not None:
            self._settled = frame.seconds + SETTLE_SECONDS
        if wrong is not self._wrong:
            self._say_wrong(wrong)
        calm = wrong is None and frame.seconds >= self._settled and not self._health.in_doubt
        if self.learning is not None:
            score = self.learning.add(prepared, parts, usable=wrong is None)
            where = self.learning.region(work.steps.size)
            result = Result(work.seen.number, work.seen.time, score, score, {}, region=where)
            self._learn(frame.wall)
        elif result is None:
            result = Result(work.seen.number, work.seen.time, math.nan, math.nan, {})
        score = result.score
        if self.events is not None:
            if not calm:
                result.score = math.nan
            self.events.update(result, work.steps.size, work.jpeg, frame.wall)
            if self.ongoing is not None:
                self.ongoing.update(prepared, score, calm=calm and not self.events.open)
            self._recalibrate(score if calm else math.nan)
        self._tell_score(score, frame)
        self._failed = ""

    def _recalibrate(self, score: float) -> None:
        """Follow the threshold, between two events."""
        if self._recalibration is None or self.events is None:
            return
        self._recalibration.add(score)
        if self.events.open or (threshold := self._recalibration.threshold()) is None:
            return
        if threshold.value != self.events.look.threshold:
            hours = self._recalibration.hours
            log.info("%s: alarms above %.3g, by %.2g h", self.name, threshold.value, hours)
        self.threshold = threshold
        self.events.set_threshold(threshold.value)

    def _tell_score(self, score: float, frame: LiveFrame) -> None:
        now = time.monotonic()
        self._lag = now - frame.arrived
        self._finished.append(now)
        while self._finished[0] < now - LATELY:
            self._finished.popleft()
        self._score = None if math.isnan(score) else score
        if self._score is None:
            return
        if self._recent and int(self._recent[-1][0]) == int(frame.wall):
            last = self._recent.pop()
            self._recent.append((last[0], max(last[1], score)))
        else:
            self._recent.append((frame.wall, score))

    def _say_wrong(self, wrong: State | None) -> None:
        self._wrong = wrong
        if wrong is None:
            log.info("%s: the picture is as it was; it is watched again", self.name)
            return
        log.warning("%s: %s: %s; no alarms meanwhile", self.name, wrong.value, WORDS[wrong])
        if self.events is not None:
            self.events.finish()

    def _open(self, size: tuple[int, int]) -> None:
        """Begin with frames of a size."""
        check_side(Path(self.name), size, self.detector.config.stride)
        new = self.learning is None and self.threshold is None
        place = self.ongoing.place if self.ongoing else None
        if place is None and not new:
            place = next(iter(self.detector.places.values()), None)
        # A camera that is learned is judged by what the base says only where that is asked for.
        pace = self.shared.pace
        network = self.threshold is not None or bool(self.shared.config.network)
        self._steps = Steps(
            self.detector, size, self.fps, pace, place=place, motion=True, network=network
        )
        grid = self._steps.grid
        if place is not None and place.grid != grid:
            raise MpnError(
                f"its frames are {size[1]}x{size[0]}, of another shape than {self.camera_file} was "
                "learned of: set the camera as it was, or learn it anew (take the file away)"
            )
        self._health = Health(grid, place)
        if new or (self.learning is not None and self.learning.grid != grid):
            self._begin_learning(grid)

    # --- Learning

    def _read_checkpoint(self) -> Checkpoint:
        return self.shared.networks.shared(read_camera(self.camera_file))

    def _begin_learning(self, grid: tuple[int, int]) -> None:
        minutes = self.shared.config.learning_minutes
        if self.learning is not None:
            self.learning.close()
        self.learning = FirstMinutes(self.name, self.detector, grid, self.fps, minutes, self.folder)
        log.info("%s: is not known yet: learns for %g min", self.name, minutes)
        config = self.detector.score_config
        look = Look(config.patch, self.detector.config.size, FAR, self.fps)
        self.events = Events(
            self.name, self.folder, look, self.shared.tell, self.shared.films, counts=False
        )

    def _learn(self, wall: float) -> None:
        """Learn the camera once there is enough of it; that takes its time beside the frames."""
        assert (learning := self.learning) is not None
        if self._learned is None:
            if learning.done and not (self.events and self.events.open):
                self._learned = self.shared.learners.submit(self._learned_checkpoint, learning)
            return
        if not self._learned.done():
            return
        done, self._learned = self._learned, None
        try:
            checkpoint = done.result()
        except (MpnError, ValueError, ArithmeticError) as error:
            log.warning("%s: learns on: %s", self.name, error)
            learning.wanted = learning.good + learning.wanted // 2
            return
        learning.close()
        self.learning = None
        if self.events is not None:
            self.events.finish()
            self._earlier_events = self.events.count
        self._watch(checkpoint, wall)
        log.info("%s: %s", self.name, learned_words(checkpoint, self.camera_file))

    def _learned_checkpoint(self, learning: FirstMinutes) -> Checkpoint:
        """Learn, and write the camera file; what is read back is what a restart goes on with."""
        write_camera(self.camera_file, learning.learn(self.rate))
        return self._read_checkpoint()

    def _watch(self, checkpoint: Checkpoint, wall: float) -> None:
        """Judge by a camera's model from now on."""
        self.detector = detector = self.shared.make(checkpoint)
        calibration = known_calibration(detector, self.camera_file, self.fps)
        network, made = self.shared.config.network, checkpoint.fps or self.fps
        say_what_differs(self.name, detector, self.camera_file, self.fps, network)
        self.threshold = calibration.threshold(self.rate)
        config, level = detector.score_config, self.threshold.value
        look = Look(config.patch, detector.config.size, level, self.fps)
        self.events = Events(
            self.name,
            self.folder,
            look,
            self.shared.tell,
            self.shared.films,
            calibration=calibration,
            number=self.events.number if self.events is not None else 0,
            sights=detector.recogniser.sights,
            per_hour=self.rate,
        )
        freeze = self.config.freeze
        if not (self.shared.config.freeze if freeze is None else freeze):
            low = low_level(detector, level)
            self.ongoing = Ongoing(checkpoint, self.folder, made, low)
            self._recalibration = Recalibration(
                detector.normal_scores(),
                self.threshold,
                made,
                scores_file(self.folder, self.ongoing.key, detector),
                self.shared.learners,
            )
        self.alarms_from = wall
        self._steps = None
        log.info("%s: is known: alarms above %.3g count from now on", self.name, level)

    # --- Where it stands

    def status(self) -> CameraStatus:
        """Return where the camera stands."""
        state, detail = self._standing()
        if state is not self._state:
            self._state, self._since = state, time.time()
        counts, now = self.stream.counts, time.monotonic()
        lately = [moment for moment in self._finished if moment >= now - LATELY]
        running = state not in (State.DISCONNECTED, State.ENDED, State.FAILED)
        level = self.events.look.threshold if self.events is not None else None
        return CameraStatus(
            self.name,
            self.stream.name,
            state,
            detail,
            self._since,
            len(lately) / LATELY,
            self._number,
            counts.received,
            counts.dropped,
            counts.reconnects,
            self._lag if running else 0.0,
            self._score if running else None,
            level,
            self._earlier_events + (self.events.count if self.events else 0),
            self.alarms_from,
            tuple(self._recent),
        )

    def _standing(self) -> tuple[State, str]:
        if self._failed:
            return State.FAILED, self._failed
        stream, detail, _ = self.stream.state
        if stream is not StreamState.RUNNING:
            return State(stream.value), detail
        if self._wrong is not None:
            return self._wrong, WORDS[self._wrong]
        if jumps := self.stream.counts.jumps:
            detail = f"its clock has jumped {jumps} time{'s' * (jumps != 1)}"
        if self._steps is None and self.learning is None and self.threshold is None:
            return State.STARTING, detail
        if self.learning is not None:
            have, needed = self.learning.seconds
            return State.LEARNING, f"{min(have, needed):.0f} of {needed:.0f} s"
        return State.WATCHING, detail or (self.events.complaint if self.events else "")


def _prepared(prepare: Callable[[], Prepared], image: np.ndarray) -> tuple[Prepared, bytes]:
    return prepare(), jpeg_of(image)

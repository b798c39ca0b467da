"""The loop that watches: frames of all cameras in, scores in one batch, alarms out.

While one round of frames is scored, the motion of the next is computed beside it. Each camera has
two frames waiting at the most, so nothing lags: where there is too little time, the network is
asked about fewer frames, if any camera asks it, then all cameras leave out the same share of
theirs, evenly, and it is said.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2

from mpn.errors import MpnError
from mpn.io.atomic import make_folder
from mpn.live.batch import SharedNetworks, score_together
from mpn.live.camera import LiveCamera, Work
from mpn.live.config import WatchConfig
from mpn.live.events import end_left_open, forget_open
from mpn.live.governor import Governor
from mpn.live.shared import Shared, score_config_for
from mpn.live.status import Alarm, CameraStatus, Output, State
from mpn.live.stream import StreamState
from mpn.model.checkpoint import Checkpoint, load_checkpoint
from mpn.model.released import base_model
from mpn.scoring.detector import Detector

log = logging.getLogger(__name__)

STATUS_SECONDS = 1.0  # between two tellings of where the cameras stand
# Frames of a round: with more of them a window is hardly quicker, and the first waits for the last.
MAX_AT_ONCE = 8
GATHER_SECONDS = 0.1  # that a round waits for more frames, where not all can be scored
IDLE_SECONDS = 0.05  # that the loop sleeps at the most while no frame comes


class Watch:
    """Watches cameras until it is stopped.

    Args:
        config: what, and how.
        outputs: what carries alarms and states out; whoever opened them closes them.
        device: "cpu" or "cuda".
        precision: see `mpn.scoring.detector.Detector`.
        engine: likewise.
        threads: that compute motion; default: one for each core.

    Raises:
        MpnError: a model or a camera file cannot be read, or the folder cannot be written.
    """

    def __init__(
        self,
        config: WatchConfig,
        outputs: Sequence[Output],
        *,
        device: str = "cpu",
        precision: str = "auto",
        engine: str = "torch",
        threads: int | None = None,
    ) -> None:
        make_folder(config.out)
        self.config, self.outputs = config, list(outputs)
        self._alarms: queue.SimpleQueue[Alarm] = queue.SimpleQueue()
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._films = ThreadPoolExecutor(1, "films")
        self._learners = ThreadPoolExecutor(1, "learners")
        self._pool = ThreadPoolExecutor(threads or _cores(), "motion")
        networks = SharedNetworks()

        def make(checkpoint: Checkpoint) -> Detector:
            return Detector(
                checkpoint,
                score_config=score_config_for(checkpoint, config.network),
                device=device,
                precision=precision,
                engine=engine,
            )

        base = networks.shared(load_checkpoint(config.model or base_model()))
        tell, wake = self._alarms.put, self._wake
        shared = Shared(config, base, networks, make, tell, self._films, self._learners, wake)
        self.cameras = [LiveCamera(name, camera, shared) for name, camera in config.cameras.items()]
        streams = [camera.stream for camera in self.cameras]
        self._governor = Governor(streams, shared.pace, self._asks_network)
        self._states: dict[str, State] = {}
        self._told_at, self._turn = 0.0, 0

    def stop(self) -> None:
        """Let `run` come to its end; from any thread, or a signal's handler."""
        self._stopped.set()
        self._wake.set()

    @property
    def over(self) -> bool:
        """Say whether nothing is left to watch: all cameras are films that are over."""
        streams = [camera.stream for camera in self.cameras]
        return all(
            stream.state[0] is StreamState.ENDED and not stream.waiting for stream in streams
        )

    def _asks_network(self) -> bool:
        return any(camera.asks_network for camera in self.cameras)

    def run(self, seconds: float | None = None) -> None:
        """Watch until `stop` is called, or all cameras are over.

        Args:
            seconds: at most so long; default: for ever.
        """
        self._end_left_open()
        end = None if seconds is None else time.monotonic() + seconds
        # Each frame's motion has a thread: that a frame has several gains nothing then.
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for camera in self.cameras:
                camera.stream.start()
            waiting: list[Work] = []
            while not self._stopped.is_set() and (end is None or time.monotonic() < end):
                waiting = self._round(waiting)
                self._tell()
                if not waiting and self.over:
                    break
            self._finish(waiting)
        finally:
            self._close()
            cv2.setNumThreads(before)

    # --- A round

    def _round(self, waiting: list[Work]) -> list[Work]:
        """Begin with the frames that came, and finish those of the round before."""
        if self._governor.short:
            self._gather()
        self._wake.clear()
        fresh: list[Work] = []
        # Each round begins behind the camera that the last one ended with.
        turn = self._turn
        for camera in self.cameras[turn:] + self.cameras[:turn]:
            if len(fresh) == MAX_AT_ONCE:
                break
            self._turn = (self._turn + 1) % len(self.cameras)
            try:
                work = camera.begin(self._pool)
            except Exception as error:  # noqa: BLE001 (one camera must not take the others along)
                camera.fail(error)
                continue
            if work is not None:
                fresh.append(work)
        self._finish(waiting)
        if not fresh and not waiting:
            began = time.monotonic()
            self._wake.wait(IDLE_SECONDS)
            self._governor.idle(time.monotonic() - began)
        return fresh

    def _gather(self) -> None:
        """Wait for a round's frames where there is no time for all: a window alone takes twice."""
        began = time.monotonic()
        while sum(bool(camera.stream.waiting) for camera in self.cameras) < min(
            MAX_AT_ONCE, len(self.cameras)
        ):
            if self._stopped.is_set() or time.monotonic() - began > GATHER_SECONDS:
                break
            self._wake.wait(GATHER_SECONDS / 10)
            self._wake.clear()
        self._governor.idle(time.monotonic() - began)

    def _finish(self, works: Sequence[Work]) -> None:
        """Score frames whose motion is computed, or is about to be."""
        items = []
        for work in works:
            try:
                window = work.camera.take(work)
            except Exception as error:  # noqa: BLE001
                work.camera.fail(error)
                continue
            if window is not None:
                items.append((work, work.steps.detector, window))
        for work, scores in score_together(items):
            try:
                work.camera.finish(work, scores)
            except Exception as error:  # noqa: BLE001
                work.camera.fail(error)

    # --- What is told

    def _tell(self) -> None:
        while True:
            try:
                alarm = self._alarms.get_nowait()
            except queue.Empty:
                break
            for output in self.outputs:
                output.alarm(alarm)
            if alarm.phase == "end":
                forget_open(self.config.out / alarm.camera, alarm.id)
        now = time.monotonic()
        if now - self._told_at < STATUS_SECONDS:
            return
        self._told_at = now
        self._governor.update(now)
        self._tell_status()

    def _tell_status(self) -> None:
        statuses: Mapping[str, CameraStatus] = {
            camera.name: camera.status() for camera in self.cameras
        }
        for name, status in statuses.items():
            if self._states.get(name) is not status.state:
                self._states[name] = status.state
                words = f" ({status.detail})" if status.detail else ""
                log.info("%s: %s%s", name, status.state.value, words)
        for output in self.outputs:
            output.status(statuses)

    def _end_left_open(self) -> None:
        for camera in self.cameras:
            alarm = end_left_open(camera.folder)
            if alarm is not None:
                log.info("%s: event %s was left open, and is ended", camera.name, alarm.id)
                self._alarms.put(alarm)
        self._tell()

    def _close(self) -> None:
        """End what is open, tell it, and write down what was learned."""
        for camera in self.cameras:
            try:
                camera.close()
            except (MpnError, OSError) as error:
                log.warning("%s: %s", camera.name, error)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._learners.shutdown(wait=True, cancel_futures=True)
        self._films.shutdown(wait=True)
        self._told_at = 0.0
        self._tell()


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)))

"""Cameras whose frames come from a test, at the times that it says."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np

from mpn.live.batch import SharedNetworks, score_together
from mpn.live.camera import LiveCamera
from mpn.live.config import CameraConfig, WatchConfig
from mpn.live.rates import Pace
from mpn.live.shared import Shared, score_config_for
from mpn.live.status import Alarm
from mpn.live.stream import Counts, LiveFrame, StreamState
from mpn.model.checkpoint import load_checkpoint
from mpn.scoring.detector import Detector

FPS = 10.0
BEGIN = 1_700_000_000.0  # Unix seconds of the first frame


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


class GivenStream:
    """Gives the frames that a test puts in."""

    name = "given"

    def __init__(self) -> None:
        self.frames: list[LiveFrame] = []
        self.state = (StreamState.RUNNING, "", BEGIN)
        self.counts, self.waiting = Counts(), 0

    def take(self) -> LiveFrame | None:
        return self.frames.pop(0) if self.frames else None

    def stop(self, seconds: float = 0.0) -> None:
        pass


class Driven:
    """A camera that is shown frames."""

    def __init__(
        self,
        base: Path,
        out: Path,
        *,
        camera: dict[str, Any] | None = None,
        pace: Pace | None = None,
        **config: Any,
    ):
        own = CameraConfig(url="given", **(camera or {}))
        defaults = {"learning_minutes": 0.2, "false_alarms_per_hour": 60.0}
        watch = WatchConfig(cameras={"hall": own}, out=out, **defaults | config)
        self.queue: queue.SimpleQueue[Alarm] = queue.SimpleQueue()
        networks = SharedNetworks()

        def make(checkpoint: Any) -> Detector:
            score = score_config_for(checkpoint, watch.network)
            return Detector(checkpoint, score_config=score, precision="float32")

        shared = Shared(
            watch,
            networks.shared(load_checkpoint(base)),
            networks,
            make,
            self.queue.put,
            AtOnce(),
            AtOnce(),
            threading.Event(),
            pace or Pace(),
        )
        self.camera = LiveCamera("hall", own, shared)
        self.stream = self.camera.stream = GivenStream()  # type: ignore[assignment]
        self.shown = 0
        self.scores: list[float] = []

    def show(self, frames: np.ndarray | list[np.ndarray], restart: bool = False) -> list[float]:
        """Show frames, one after the other; their scores, NaN where there is none."""
        found = []
        for n, image in enumerate(frames):
            seconds = self.shown / FPS
            self.shown += 1
            frame = LiveFrame(image, seconds, time.monotonic(), BEGIN + seconds, restart and n == 0)
            self.stream.frames.append(frame)
            work = self.camera.begin(AtOnce())
            assert work is not None
            window = self.camera.take(work)
            if window is not None:
                for one, scores in score_together([(work, work.steps.detector, window)]):
                    one.camera.finish(one, scores)
            score = self.camera.status().score
            found.append(np.nan if score is None else score)
        return found

    def alarms(self) -> list[Alarm]:
        """The alarms since the last call."""
        return list(self._taken())

    def _taken(self) -> Iterator[Alarm]:
        while not self.queue.empty():
            yield self.queue.get()

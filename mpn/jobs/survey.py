"""The first pass over a recording that is judged by itself: what moves where, block by block.

It takes stretches spread over the recording, so that its memory does not grow with the length: of
each block of time the counts of motion (`mpn.motion.timeline`), and of the beginning of each block,
its *run*, the motion itself and what the network says. When all recordings of the camera have been
seen, the runs are judged by what the rest of the camera shows (`judged_runs`): the numbers that the
score's units and its level are made of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpn.motion.flow import MotionReader
from mpn.motion.place import REACH, PlaceModel
from mpn.motion.timeline import PlaceTimeline
from mpn.scoring.detector import Detector
from mpn.scoring.parts import motion_numbers
from mpn.scoring.scores import score_frames
from mpn.video.images import fit_frame
from mpn.video.sources import FrameSource

# Of a recording, and of all recordings of a camera together.
BLOCKS, BLOCKS_OF_ALL, FEWEST_BLOCKS = 64, 256, 4
# Frames whose motion is counted, of all recordings of a camera: more of them change nothing.
COUNTED = 20_000
# Of the stretches that are counted: where all of them are, blocks are as short as that; where not
# all of them are, a run is no longer.
STRETCH_SECONDS, THIN_STRETCH_SECONDS = 1.0, 2.0
RUN = 25  # frames of a run at the most
PICTURE_EVERY = 5  # frames of a run; for the mean picture


@dataclass(frozen=True)
class SurveyPlan:
    """Which frames of a recording the first pass takes.

    Attributes:
        stretch: frames of a stretch that is counted.
        thinning: every so many stretches one is counted.
        block: frames of a block; a whole number of `stretch * thinning`.
        run: frames of a run, at the beginning of each block.
    """

    stretch: int
    thinning: int
    block: int
    run: int

    def counts(self, frame: int) -> bool:
        """Say whether a frame's motion is counted.

        Args:
            frame: its number in the recording, from 0.
        """
        return frame // self.stretch % self.thinning == 0

    def in_run(self, frame: int) -> bool:
        """Say whether a frame belongs to a run.

        Args:
            frame: its number.
        """
        return frame % self.block < self.run

    def before_run(self, frame: int, window: int) -> bool:
        """Say whether a frame belongs to a run, or to the window of one's first frame.

        Args:
            frame: its number.
            window: T.
        """
        return self.in_run(frame) or frame % self.block >= self.block - window


def plan_survey(length: int, rate: float, recordings: int = 1) -> SurveyPlan:
    """Plan the first pass over a recording.

    Args:
        length: its frames.
        rate: frames per second.
        recordings: of the same camera.
    """
    counted = max(COUNTED // recordings, round(FEWEST_BLOCKS * THIN_STRETCH_SECONDS * rate))
    whole = length <= counted
    stretch = max(2, round((STRETCH_SECONDS if whole else THIN_STRETCH_SECONDS) * rate))
    thinning = 1 if whole else -(-length // counted)
    blocks = min(BLOCKS, max(FEWEST_BLOCKS, BLOCKS_OF_ALL // recordings))
    step = stretch * thinning
    block = step * max(1, -(-length // (step * blocks)))
    return SurveyPlan(stretch, thinning, block, min(RUN, block if whole else stretch))


@dataclass
class Run:
    """Frames in a row that the score's units are made of.

    Attributes:
        first: number of the first frame in the recording.
        motion: float16 (n + 1, rows, columns, CHANNELS), of the frame before and of each.
        numbers: of the network's parts, float32 (n,) each.
    """

    first: int
    motion: np.ndarray
    numbers: dict[str, np.ndarray]


@dataclass
class Survey:
    """What the first pass has seen of a recording.

    Attributes:
        plan: which frames it takes.
        timeline: the place models of its blocks.
        runs: in order; none of them once they are judged.
        frames: how many were passed over so far, a whole number of blocks, or all.
        complete: whether it came to the end.
        judged: the numbers of all parts on the runs, an array for every row of frames; None until
            they are judged.
    """

    plan: SurveyPlan
    timeline: PlaceTimeline
    runs: list[Run] = field(default_factory=list)
    frames: int = 0
    complete: bool = False
    judged: list[dict[str, np.ndarray]] | None = None


def begin_survey(source: FrameSource, plan: SurveyPlan) -> Survey:
    """Make the survey of a recording before its first frame.

    Args:
        source: the recording.
        plan: which frames are taken.
    """
    return Survey(plan, PlaceTimeline(MotionReader(source.size).grid, plan.block))


def survey(
    source: FrameSource,
    detector: Detector,
    so_far: Survey,
    on_block: Callable[[Survey], None] = lambda survey: None,
    on_frame: Callable[[], object] = lambda: None,
) -> Survey:
    """Pass over a recording, or go on with it; the same comes of it as of one that was not stopped.

    Args:
        source: as it will be scored.
        detector: its network gives the numbers of the runs.
        so_far: what was seen before; it grows.
        on_block: called after every block; what it is given can be kept and gone on with.
        on_frame: called for every frame.

    Raises:
        FrameError: as `FrameSource.frames`.
    """
    plan, reader = so_far.plan, _Reader(source, so_far, detector)
    total = so_far.frames
    for number, image in enumerate(source.frames()):
        on_frame()
        total = number + 1
        # Before what was kept only as much is read as the first run there looks back to.
        if number < so_far.frames - max(detector.config.window, REACH) - 1:
            continue
        motion = reader.read(number, image)
        if number < so_far.frames:
            continue
        if motion is not None and plan.counts(number):
            so_far.timeline.add(number, motion)
        if plan.in_run(number) and number % plan.block % PICTURE_EVERY == 0:
            so_far.timeline.see(number, image)
        if total % plan.block == 0:
            so_far.runs += reader.runs()
            so_far.frames = total
            on_block(so_far)
    so_far.runs += reader.runs()
    so_far.frames, so_far.complete = total, True
    return so_far


class _Reader:
    """Reads motion where it is wanted, and collects runs."""

    def __init__(self, source: FrameSource, so_far: Survey, detector: Detector) -> None:
        self._plan, self._detector = so_far.plan, detector
        self._begin = so_far.frames  # runs before are known
        self._motion = MotionReader(source.size)
        self._last = -2  # frame that the motion reader saw last
        self._before: np.ndarray | None = None
        self._window: deque[np.ndarray] = deque(maxlen=detector.config.window)
        self._frames: list[np.ndarray] = []
        self._moves: list[np.ndarray] = []
        self._first = -1  # of the run that is being collected

    def read(self, number: int, image: np.ndarray) -> np.ndarray | None:
        """Take the next frame; return its motion, None where it has none or nobody asks for it."""
        plan, config = self._plan, self._detector.config
        motion = None
        if plan.counts(number) or plan.counts(number + 1):
            follows = number == self._last + 1
            if not follows:
                self._motion.restart()
            read = self._motion.read(image)
            motion = read if follows else None
            self._last = number
        if plan.before_run(number, config.window):
            fitted = fit_frame(image, config.size, config.grey, config.interpolation)
            ready = number >= self._begin and len(self._window) == config.window
            if ready and plan.in_run(number) and motion is not None:
                self._collect(number, fitted, motion)
            self._window.append(fitted)
        else:
            self._window.clear()
        self._before = motion
        return motion

    def _collect(self, number: int, fitted: np.ndarray, motion: np.ndarray) -> None:
        if self._first < 0:
            self._first = number
            self._frames = list(self._window)
            self._moves = [motion if self._before is None else self._before]
        self._frames.append(fitted)
        self._moves.append(motion)

    def runs(self) -> Iterator[Run]:
        """Give the run that was collected, if there is one."""
        if self._first < 0:
            return
        detector = self._detector
        parts = [part for part in detector.parts if not part.needs_place]
        scored = list(
            score_frames(
                detector.network,
                self._frames,
                parts=parts,
                patch=detector.score_config.patch,
                bfloat16=detector.bfloat16,
            )
        )
        numbers = {
            part.name: np.array([frame.parts[part.name] for frame in scored], np.float32)
            for part in parts
        }
        yield Run(self._first, np.stack(self._moves).astype(np.float16), numbers)
        self._first = -1


def judged_runs(
    found: Survey, camera: PlaceModel, apart: int, on_frame: Callable[[], object] = lambda: None
) -> list[dict[str, np.ndarray]]:
    """Judge the motion of a recording's runs by what the rest of its camera shows.

    Args:
        found: the survey of the recording, complete.
        camera: the place model of all recordings of the camera, this one included.
        apart: frames around a frame that have no say in what is normal there.
        on_frame: called for every frame.

    Returns:
        Part -> raw numbers, float32, an array for every row of frames without a gap.
    """
    place_at = found.timeline.judge(camera, apart)
    joined: list[list[dict[str, np.ndarray]]] = []
    end = -1
    for run in found.runs:
        numbers = {**run.numbers, **_moving(run, place_at, on_frame)}
        if run.first != end:
            joined.append([])
        joined[-1].append(numbers)
        end = run.first + len(run.motion) - 1
    return [_joined(pieces) for pieces in joined]


def _moving(
    run: Run, place_at: Callable[[int], PlaceModel], on_frame: Callable[[], object]
) -> dict[str, np.ndarray]:
    rows = []
    for number, (before, now) in enumerate(zip(run.motion, run.motion[1:]), run.first):
        rows.append(motion_numbers(place_at(number).quotients(before, now)))
        on_frame()
    return {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}


def _joined(pieces: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

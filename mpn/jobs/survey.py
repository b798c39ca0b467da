"""The first pass over a recording that is judged by itself: what moves where, block by block.

It takes stretches spread over the recording, so that its memory does not grow with the length: of
each block of time the counts of motion (`mpn.motion.timeline`), and of the beginning of each block,
its *run*, the motion itself. When all recordings of the camera have been seen, the runs are judged
by what the rest of the camera shows (`judged_runs`): the numbers that the score's units and its
level are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from mpn.motion.flow import MotionReader
from mpn.motion.kept import KeptMotion
from mpn.motion.place import REACH, PlaceModel
from mpn.motion.timeline import PlaceTimeline
from mpn.scoring.parts import motion_numbers
from mpn.video.ahead import compute_ahead
from mpn.video.frame_source import FrameSource

# Of a recording, and of all recordings of a camera together.
BLOCKS, BLOCKS_OF_ALL, MIN_BLOCKS = 64, 256, 4
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

    def counts(self, frame: np.ndarray) -> np.ndarray:
        """Say of which frames the motion is counted, bool.

        Args:
            frame: their numbers in the recording, from 0.
        """
        return frame // self.stretch % self.thinning == 0

    def in_run(self, frame: int) -> bool:
        """Say whether a frame belongs to a run.

        Args:
            frame: its number.
        """
        return frame % self.block < self.run

    def looks_at(self, length: int) -> np.ndarray:
        """Say which frames are looked at, bool (length,): those counted, and what they depend on.

        Args:
            length: frames of the recording.
        """
        counts = self.counts(np.arange(length + REACH))
        return np.asarray(np.lib.stride_tricks.sliding_window_view(counts, REACH + 1).any(1))

    def measures(self, frame: int) -> bool:
        """Say whether a frame's motion is measured: where it or that of the next is counted.

        Args:
            frame: its number.
        """
        return bool(self.counts(np.array([frame, frame + 1])).any())


def plan_survey(length: int, rate: float, recordings: int = 1) -> SurveyPlan:
    """Plan the first pass over a recording.

    Args:
        length: its frames.
        rate: frames per second.
        recordings: of the same camera.
    """
    counted = max(COUNTED // recordings, round(MIN_BLOCKS * THIN_STRETCH_SECONDS * rate))
    whole = length <= counted
    stretch = max(2, round((STRETCH_SECONDS if whole else THIN_STRETCH_SECONDS) * rate))
    thinning = 1 if whole else -(-length // counted)
    blocks = min(BLOCKS, max(MIN_BLOCKS, BLOCKS_OF_ALL // recordings))
    step = stretch * thinning
    block = step * max(1, -(-length // (step * blocks)))
    return SurveyPlan(stretch, thinning, block, min(RUN, block if whole else stretch))


@dataclass
class Run:
    """Frames in a row that the score's units are made of.

    Attributes:
        first: number of the first frame in the recording.
        motion: float16 (n + 1, rows, columns, CHANNELS), of the frame before and of each.
    """

    first: int
    motion: np.ndarray


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
        judged_by: what they were judged by, see `mpn.jobs.first_pass.Seen.key`.
    """

    plan: SurveyPlan
    timeline: PlaceTimeline
    runs: list[Run] = field(default_factory=list)
    frames: int = 0
    complete: bool = False
    judged: list[dict[str, np.ndarray]] | None = None
    judged_by: str = ""


def begin_survey(source: FrameSource, plan: SurveyPlan) -> Survey:
    """Make the survey of a recording before its first frame.

    Args:
        source: the recording.
        plan: which frames are taken.
    """
    return Survey(plan, PlaceTimeline(MotionReader(source.size).grid, plan.block))


def survey(
    source: FrameSource,
    so_far: Survey,
    on_block: Callable[[Survey], None] = lambda survey: None,
    on_frame: Callable[[int], object] = lambda number: None,
    kept: KeptMotion | None = None,
) -> Survey:
    """Pass over a recording, or go on with it; the same comes of it as of one that was not stopped.

    Args:
        source: as it will be scored.
        so_far: what was seen before; it grows.
        on_block: called after every block; what it is given can be kept and gone on with.
        on_frame: called with the number of every frame that is looked at.
        kept: takes the motion that is computed.

    Raises:
        FrameError: as `FrameSource.frames`.
    """
    plan, reader = so_far.plan, _Reader(source, so_far, kept)
    chosen = plan.looks_at(source.length)
    # Before what was kept only as much is read as the first run there looks back to.
    chosen[: max(0, so_far.frames - REACH - 1)] = False

    def end_blocks(number: int) -> None:
        while so_far.frames + plan.block <= number:
            so_far.frames += plan.block
            reader.end_run()
            on_block(so_far)

    tasks = ((frame, reader.begin(*frame)) for frame in source.pick(chosen))
    with closing(compute_ahead(tasks)) as frames:
        for (number, image), motion in frames:
            end_blocks(number)
            reader.read(number, image, motion)
            on_frame(number)
    end_blocks(source.length)
    reader.end_run()
    so_far.frames, so_far.complete = source.length, True
    return so_far


class _Reader:
    """Reads motion where it is wanted, counts it, and collects runs."""

    def __init__(self, source: FrameSource, so_far: Survey, kept_motion: KeptMotion | None) -> None:
        self._survey, self._plan = so_far, so_far.plan
        self._begin = so_far.frames  # what lies before is known
        self._motion, self._kept_motion = MotionReader(source.size), kept_motion
        self._shown = self._last = -2  # frame that the motion reader saw last, that was read last
        self._before: np.ndarray | None = None
        self._moves: list[np.ndarray] = []
        self._first = -1  # of the run that is being collected

    def begin(self, number: int, image: np.ndarray) -> Callable[[], np.ndarray | None]:
        """Take the next frame that is looked at for its motion; what is given computes it."""
        if number != self._shown + 1:
            self._motion.restart()
        self._shown = number
        if self._plan.measures(number):
            return self._motion.begin(image)
        self._motion.follow(image)
        return lambda: None

    def read(self, number: int, image: np.ndarray, motion: np.ndarray | None) -> None:
        """Take the next frame that is looked at, with what `begin` made of it."""
        plan, so_far = self._plan, self._survey
        follows, self._last = number == self._last + 1, number
        if motion is None:
            self._before = None
            return
        before, self._before = self._before, motion if follows else None
        if number < self._begin:
            return
        if self._kept_motion is not None:
            self._kept_motion.keep(number, motion)
        if follows and plan.counts(np.array(number)):
            so_far.timeline.add(number, motion)
            if plan.in_run(number):
                self._collect(number, before, motion)
        if plan.in_run(number) and number % plan.block % PICTURE_EVERY == 0:
            so_far.timeline.see(number, image)

    def _collect(self, number: int, before: np.ndarray | None, motion: np.ndarray) -> None:
        if self._first < 0:
            self._first, self._moves = number, [motion if before is None else before]
        self._moves.append(motion)

    def end_run(self) -> None:
        """Keep the run that was collected, if there is one."""
        if self._first >= 0:
            self._survey.runs.append(Run(self._first, np.stack(self._moves).astype(np.float16)))
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
        numbers = _moving(run, place_at, on_frame)
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

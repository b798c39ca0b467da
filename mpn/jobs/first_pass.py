"""The first pass over the recordings of a camera that is known by nothing else, in steps.

1. `glance`: what opening a recording shows; by the pictures cameras are told apart
   (`group_by_camera`).
2. `pass_over`: what moves where, block by block, into survey.safetensors beside the results.
3. `add_up`: place models are counts, and those of all recordings of a camera are their sum.
4. `judge_runs`: each recording's runs judged by that sum, kept in the survey too.

The first, the second and the fourth are of one recording alone and leave what they found in a file:
other processes and other machines can take them (`mpn.scale`), and the same comes of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn.errors import DataError
from mpn.io.atomic import make_folder
from mpn.jobs.survey import Survey, begin_survey, judged_runs, plan_survey, survey
from mpn.jobs.survey_file import SURVEY, read_survey, write_survey
from mpn.motion.cameras import shows_nothing, tell_apart, view_frames, view_of
from mpn.motion.flow import grid_size
from mpn.motion.kept import KeptMotion
from mpn.motion.place import PlaceModel, picture_of, place_key
from mpn.video.frame_source import FrameSource
from mpn.video.paths import stamp_of
from mpn.video.timing import USUAL_RATE

# The neighbourhood of a moment, where nothing else is asked for: so much of all recordings of the
# camera on either side, within these bounds, seconds. In half a minute of footage a second is
# much of what there is to judge by; a quarter of an hour can spare a minute.
APART_SHARE, MIN_APART, MAX_APART = 1 / 32, 1.0, 60.0
SAVE_SECONDS = 20.0  # between two savings of a first pass
# Motion that a thinner first pass computes is not kept: it would take as much memory, and save less
# than a quarter of what the second one computes.
KEPT_THINNING = 4


@dataclass(frozen=True)
class Recording:
    """A recording to be judged.

    Attributes:
        path: of the file or folder.
        folder: for its results.
        open: opens it as it will be scored.
    """

    path: Path
    folder: Path
    open: Callable[[], FrameSource]


@dataclass(frozen=True)
class Glance:
    """What opening a recording shows.

    Attributes:
        stamp: what must agree for its survey to be gone on with, plain JSON values.
        grid: (rows, columns) of its place model.
        picture: its first frame as `mpn.motion.place.picture_of` gives it.
    """

    stamp: dict[str, Any]
    grid: tuple[int, int]
    picture: np.ndarray

    @property
    def fps(self) -> float | None:
        """Return the frames per second that are scored, None where that is not known."""
        return self.stamp["fps"]


@dataclass(frozen=True)
class Seen:
    """What the first passes over the recordings of a camera have seen together.

    Attributes:
        place: the sum of their place models.
        seconds: of all of them.
        apart: seconds around a moment that have no say in what is normal there.
    """

    place: PlaceModel
    seconds: float
    apart: float

    @property
    def key(self) -> str:
        """Return a digest of what a recording's runs are judged by."""
        return f"{place_key(self.place)}, {self.apart!r} s apart"

    def apart_frames(self, fps: float | None) -> int:
        """Return how many frames `apart` is in a recording.

        Args:
            fps: of the recording, None where that is not known.
        """
        return round(self.apart * (fps or USUAL_RATE))


def glance(recording: Recording) -> Glance:
    """Open a recording and look at its first frame.

    Args:
        recording: of a camera that is not known.

    Raises:
        DataError: it cannot be read, or has no frame.
    """
    source = recording.open()
    stamp = {
        "source": str(recording.path.resolve()),
        "shown": [source.shown.start, source.shown.stop, source.shown.step],
        "modified": stamp_of(recording.path),
        "size": list(source.size),
        "fps": float(source.fps) if source.fps else None,
    }
    frame = next(iter(source.frames()), None)
    if frame is None:
        raise DataError(f"{recording.path}: has no frame")
    grid = grid_size((frame.shape[0], frame.shape[1]))
    return Glance(json.loads(json.dumps(stamp)), grid, picture_of(frame, grid))


def group_by_camera(
    recordings: Sequence[Recording], glances: Sequence[Glance] | None = None
) -> list[list[Recording]]:
    """Tell cameras apart by the first pictures of their recordings.

    Where that gives several, or a recording begins with a black picture, more is looked at of each.

    Args:
        recordings: that can be read.
        glances: at them, in the same order; default: taken here.

    Returns:
        The recordings of each camera, in order.
    """
    pictures = [look.picture for look in glances or map(glance, recordings)]
    groups = tell_apart(pictures)
    if len(groups) > 1 or any(map(shows_nothing, pictures)):
        both = zip(recordings, pictures)
        bar = tqdm(both, "cameras", len(recordings), unit="recording", disable=None, leave=False)
        groups = tell_apart([_view(recording, first) for recording, first in bar])
    return [[recordings[number] for number in sorted(numbers)] for numbers in groups]


def _view(recording: Recording, first: np.ndarray) -> np.ndarray:
    """Average pictures of all of a recording; the first one where they cannot be read."""
    try:
        source = recording.open()
        return view_of(frame for _, frame in source.pick(view_frames(source.length)))
    except DataError:
        return first


def pass_over(
    recording: Recording, stamp: dict[str, Any], recordings: int, kept: KeptMotion | None = None
) -> None:
    """Make the survey of a recording, or go on with an earlier run's.

    Args:
        recording: of the camera.
        stamp: see `Glance`.
        recordings: of the camera; of many less is taken of each.
        kept: takes the motion that is computed, where that is much of the recording's.

    Raises:
        DataError: it cannot be read.
    """
    source = recording.open()
    path = recording.folder / SURVEY
    plan = plan_survey(source.length, float(source.fps or USUAL_RATE), recordings)
    so_far = read_survey(path, stamp)
    if so_far is None or so_far.plan != plan:
        so_far = begin_survey(source, plan)
    if so_far.complete:
        return
    _finish_pass(recording, source, so_far, stamp, kept if plan.thinning <= KEPT_THINNING else None)


def _finish_pass(
    recording: Recording,
    source: FrameSource,
    so_far: Survey,
    stamp: dict[str, Any],
    kept_motion: KeptMotion | None = None,
) -> None:
    """Pass over what is left of a recording."""
    path, plan = recording.folder / SURVEY, so_far.plan
    make_folder(recording.folder)
    saved = time.monotonic()

    def on_block(part: Survey) -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_SECONDS:
            write_survey(path, part, stamp)
            saved = time.monotonic()

    title = f"{recording.path.name}, first pass"
    with tqdm(total=source.length, desc=title, unit="frame", disable=None) as bar:
        try:
            survey(
                source, so_far, on_block, lambda number: bar.update(number + 1 - bar.n), kept_motion
            )
        except BaseException:
            # What lies behind the last whole block is looked at again.
            del so_far.timeline.blocks[so_far.frames // plan.block :]
            write_survey(path, so_far, stamp)
            raise
    write_survey(path, so_far, stamp)


def add_up(
    recordings: Sequence[Recording],
    stamps: Sequence[dict[str, Any]],
    apart: float | None = None,
) -> Seen:
    """Add up what the first passes over the recordings of a camera have seen, from their surveys.

    Args:
        recordings: of one camera, at least one.
        stamps: of them, see `Glance`.
        apart: seconds around a moment that have no say in what is normal there; default: see
            `APART_SHARE`.

    Raises:
        DataError: a survey is not there, or not complete.
    """
    camera, seconds = None, 0.0
    for recording, stamp in zip(recordings, stamps):
        whole_survey = read_complete(recording, stamp)
        seconds += whole_survey.frames / (stamp["fps"] or USUAL_RATE)
        total = whole_survey.timeline.total()
        if camera is None:
            camera = PlaceModel(total.grid)
        camera.merge(total)
    assert camera is not None
    usual = float(np.clip(seconds * APART_SHARE, MIN_APART, MAX_APART))
    return Seen(camera, seconds, apart or usual)


def judge_runs(
    recording: Recording, stamp: dict[str, Any], seen: Seen
) -> list[dict[str, np.ndarray]]:
    """Judge the runs of a recording, or read how they were judged; the runs themselves then go.

    Where they were judged by other recordings, or another neighbourhood was left out, they are
    collected anew.

    Args:
        recording: of the camera.
        stamp: see `Glance`.
        seen: what all recordings of the camera have shown.

    Returns:
        See `mpn.jobs.survey.judged_runs`.

    Raises:
        DataError: its survey is not there.
    """
    whole_survey = read_complete(recording, stamp)
    if whole_survey.judged is not None and whole_survey.judged_by != seen.key:
        source = recording.open()
        whole_survey = begin_survey(source, whole_survey.plan)
        _finish_pass(recording, source, whole_survey, stamp)
    if whole_survey.judged is None:
        whole_survey.judged = judged_runs(whole_survey, seen.place, seen.apart_frames(stamp["fps"]))
        whole_survey.judged_by = seen.key
        whole_survey.runs = []
        write_survey(recording.folder / SURVEY, whole_survey, stamp)
    return whole_survey.judged


def read_complete(recording: Recording, stamp: dict[str, Any]) -> Survey:
    """Read the survey of a recording that was passed over.

    Args:
        recording: of the camera.
        stamp: see `Glance`.

    Raises:
        DataError: it is not there, or not complete.
    """
    whole_survey = read_survey(recording.folder / SURVEY, stamp)
    if whole_survey is None or not whole_survey.complete:
        raise DataError(f"{recording.folder / SURVEY} was taken away; run the command again")
    return whole_survey

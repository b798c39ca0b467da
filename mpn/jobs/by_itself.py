"""Recordings of a camera that is known by nothing else, judged by themselves.

Most of a recording is normal. What moves where in all the recordings of a camera is its place
model, and each moment is judged by that model without its own neighbourhood in time. What stands
out is the strangest of what there is, which is not to say that it is wrong: there was no normal
footage, so no rate of false alarms is claimed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn.errors import DataError
from mpn.io.atomic import make_folder
from mpn.io.text import clock
from mpn.jobs.survey import Survey, begin_survey, judged_runs, plan_survey, survey
from mpn.jobs.survey_file import SURVEY, read_survey, write_survey
from mpn.model.checkpoint import Checkpoint
from mpn.motion.cameras import MOVED, SAME_CAMERA
from mpn.motion.flow import grid_size
from mpn.motion.place import PlaceModel, picture_of
from mpn.scoring.calibration import Threshold
from mpn.scoring.clips import NORMAL_FRAMES
from mpn.scoring.detector import Detector
from mpn.scoring.parts import SPEED
from mpn.video.frame_source import FrameSource
from mpn.video.paths import stamp_of
from mpn.video.timing import USUAL_RATE

# The neighbourhood of a moment, where nothing else is asked for: so much of all recordings of the
# camera on either side, within these bounds, seconds. In half a minute of footage a second is
# much of what there is to judge by; a quarter of an hour can spare a minute.
APART_SHARE, LEAST_APART, MOST_APART = 1 / 32, 1.0, 60.0
# The level of a moment: so many times as many seconds as the wanted moments take, if each takes
# `MOMENT_SECONDS`, are above it, but never more than a tenth of the time.
MOMENT_SECONDS, ROOM, MOST_SHARE = 5.0, 2.0, 0.1
# Frames with a score that can be judged; fewer say nothing of what is usual.
MIN_JUDGED = 50
SAVE_SECONDS = 20.0  # between two savings of a first pass
SHORT_SECONDS = 60.0  # less than this to judge by is said


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
class OwnJudgement:
    """How a recording is judged by itself and the others of its camera.

    Attributes:
        threshold: the level of a moment.
        place_at: gives the place model for each frame.
        notes: what speaks against the result.
    """

    threshold: Threshold
    place_at: Callable[[int], PlaceModel]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnCamera:
    """What the recordings of a camera show.

    Attributes:
        checkpoint: the model with the camera's place model and the numbers of its frames.
        recordings: what it was made of.
        seconds: of all of them.
        judgements: of each recording, made when it is asked for: it takes memory.
    """

    checkpoint: Checkpoint
    recordings: tuple[Recording, ...]
    seconds: float
    judgements: Callable[[Recording, Detector, int], OwnJudgement]


def group_by_camera(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """Tell cameras apart by the first pictures of their recordings.

    Args:
        recordings: that can be read.

    Returns:
        The recordings of each camera, in order.
    """
    groups: list[tuple[PlaceModel, list[Recording]]] = []
    for recording in recordings:
        frame = next(iter(recording.open().frames()))
        grid = grid_size((frame.shape[0], frame.shape[1]))
        picture = picture_of(frame, grid)
        alike = [place.likeness(picture) if place.grid == grid else -1.0 for place, _ in groups]
        best = int(np.argmax(alike)) if alike else -1
        if best < 0 or alike[best] < SAME_CAMERA:
            groups.append((PlaceModel(grid), []))
            best = -1
        groups[best][0].add([], [frame])
        groups[best][1].append(recording)
    return [members for _, members in groups]


def learn_camera(
    detector: Detector, recordings: Sequence[Recording], name: str, apart: float | None = None
) -> OwnCamera:
    """Pass over the recordings of one camera, and learn what is usual there.

    What an earlier run has seen is not looked at again.

    Args:
        detector: the model that knows no camera here.
        recordings: of one camera.
        name: of the camera.
        apart: seconds around a moment that have no say in what is normal there; default: see
            `APART_SHARE`.

    Raises:
        DataError: a recording cannot be read, or all of them are too short.
    """
    stamps = [_stamp(recording) for recording in recordings]
    rates, camera, seconds = [], None, 0.0
    for recording, stamp in zip(recordings, stamps):
        source, found = _passed_over(recording, stamp, len(recordings))
        rate = float(source.fps or USUAL_RATE)
        rates.append(float(source.fps) if source.fps else None)
        seconds += found.frames / rate
        total = found.timeline.total()
        if camera is None:
            camera = PlaceModel(total.grid)
        camera.merge(total)
    assert camera is not None
    apart = apart or float(np.clip(seconds * APART_SHARE, LEAST_APART, MOST_APART))
    judged: list[dict[str, np.ndarray]] = []
    with tqdm(recordings, desc="what is usual", unit="recording", disable=None, leave=False) as bar:
        for recording, stamp, rate in zip(bar, stamps, rates):
            judged += _judged(recording, stamp, camera, round(apart * (rate or USUAL_RATE)))
    count = sum(len(run[SPEED.name]) for run in judged)
    if count < MIN_JUDGED:
        raise DataError(
            f"{recordings[0].path}: {count} frames with motion are too few to judge a recording by "
            f"itself, it takes {MIN_JUDGED}: give a longer one, or more of the camera, or a model "
            "that knows it (--checkpoint)"
        )
    made_of = [detector.checkpoint.sha256, *stamps, apart]
    checkpoint = _checkpoint(detector, camera, judged, name, rates, made_of)

    def judgement(recording: Recording, own: Detector, moments: int) -> OwnJudgement:
        number = recordings.index(recording)
        found = read_survey(recording.folder / SURVEY, stamps[number])
        if found is None:
            raise DataError(f"{recording.folder / SURVEY} was taken away; run the command again")
        place_at = found.timeline.judge(camera, round(apart * (rates[number] or USUAL_RATE)))
        notes = _notes(found, camera, own, seconds, rates[number] or USUAL_RATE)
        return OwnJudgement(_level(own, moments, seconds), place_at, notes)

    return OwnCamera(checkpoint, tuple(recordings), seconds, judgement)


def _stamp(recording: Recording) -> dict[str, Any]:
    source = recording.open()
    stamp = {
        "source": str(recording.path.resolve()),
        "length": source.length,
        "modified": stamp_of(recording.path),
        "size": list(source.size),
        "fps": float(source.fps) if source.fps else None,
    }
    return json.loads(json.dumps(stamp))


def _passed_over(
    recording: Recording, stamp: dict[str, Any], recordings: int
) -> tuple[FrameSource, Survey]:
    """Return the survey of a recording, of an earlier run as far as that came."""
    source = recording.open()
    path = recording.folder / SURVEY
    identity = stamp
    plan = plan_survey(source.length, float(source.fps or USUAL_RATE), recordings)
    found = read_survey(path, identity)
    if found is not None and (found.complete or found.plan == plan):
        if found.complete:
            return source, found
    else:
        found = begin_survey(source, plan)
    make_folder(recording.folder)
    saved = time.monotonic()

    def on_block(part: Survey) -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_SECONDS:
            write_survey(path, part, identity)
            saved = time.monotonic()

    title = f"{recording.path.name}, first pass"
    with tqdm(total=source.length, desc=title, unit="frame", disable=None) as bar:
        try:
            survey(source, found, on_block, lambda number: bar.update(number + 1 - bar.n))
        except BaseException:
            # What lies behind the last whole block is looked at again.
            del found.timeline.blocks[found.frames // plan.block :]
            write_survey(path, found, identity)
            raise
    write_survey(path, found, identity)
    return source, found


def _judged(
    recording: Recording, stamp: dict[str, Any], camera: PlaceModel, apart: int
) -> list[dict[str, np.ndarray]]:
    """Judge the runs of a recording, or read how they were judged; the runs themselves then go."""
    path = recording.folder / SURVEY
    found = read_survey(path, stamp)
    if found is None:
        raise DataError(f"{path} was taken away; run the command again")
    if found.judged is None:
        found.judged = judged_runs(found, camera, apart)
        found.runs = []
        write_survey(path, found, stamp)
    return found.judged


def _checkpoint(
    detector: Detector,
    camera: PlaceModel,
    judged: Sequence[dict[str, np.ndarray]],
    name: str,
    rates: Sequence[float | None],
    made_of: Sequence[Any],
) -> Checkpoint:
    """Make the model of the camera, as if it had been adapted to it."""
    base = detector.checkpoint
    # A network that has never seen the camera adds nothing to its motion, and takes three quarters
    # of the time (docs/results.md).
    score_config = detector.score_config.with_place(trained_here=False).of_place_alone()
    total = sum(len(run[SPEED.name]) for run in judged)
    every = -(-total // NORMAL_FRAMES)  # of very many recordings, every n-th run
    kept = judged[::every]
    known = sorted(rate for rate in rates if rate)
    return replace(
        base,
        fps=float(np.median(known)) if known else None,
        score_config=score_config.to_dict(),
        normal={
            part: [run[part].astype(np.float16).astype(np.float32) for run in kept]
            for part in score_config.weights
            if part in kept[0]
        },
        places={name: camera},
        sha256=hashlib.sha256(json.dumps(made_of).encode()).hexdigest(),
        path=None,
        camera={
            "base": {"path": str(base.path or ""), "sha256": base.sha256},
            "tensors": [],
            "adapted_on": {
                "source": name,
                "by_itself": True,
                "recordings": len(rates),
                "frames": camera.frames,
            },
        },
    )


def _level(own: Detector, moments: int, seconds: float) -> Threshold:
    """Choose the level that about so many moments of the camera's recordings are above."""
    scores = np.concatenate(list(own.normal_scores().values()))
    share = min(MOST_SHARE, ROOM * moments * MOMENT_SECONDS / seconds)
    value = float(np.quantile(scores, 1 - share))
    return Threshold(value, False, (value, value), seconds / 3600, float("nan"), "moments")


def _notes(
    found: Survey, camera: PlaceModel, own: Detector, seconds: float, rate: float
) -> tuple[str, ...]:
    """Say what speaks against judging a recording by itself."""
    notes = []
    if seconds < SHORT_SECONDS:
        notes.append(
            f"there are {seconds:.0f} s of this camera to judge by: little can be said of what is "
            "usual there"
        )
    seen = [(i, place) for i, place in enumerate(found.timeline.blocks) if place.pictures]
    moved = [i for i, place in seen if max(map(abs, camera.shift(place.picture))) > MOVED]
    unlike = [i for i, place in seen if camera.likeness(place.picture) < SAME_CAMERA]
    if len(unlike) > len(seen) / 2:
        notes.append(
            "its picture changes all the time, nothing repeats: of a camera that is carried or "
            "turns, or a film of many scenes, nothing can be said of what is usual at a place"
        )
    elif moved:
        times = ", ".join(clock(i * found.timeline.block / rate) for i in moved[:3])
        notes.append(
            f"the camera stands elsewhere in {len(moved)} of {len(seen)} stretches, the first at "
            f"{times}: what is usual at a place is mixed up there"
        )
    return tuple(notes)

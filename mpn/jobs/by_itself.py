"""Recordings of a camera that is known by nothing else, judged by themselves.

Most of a recording is normal. What moves where in all the recordings of a camera is its place
model, and each moment is judged by that model without its own neighbourhood in time. What stands
out is the strangest of what there is, which is not to say that it is wrong: there was no normal
footage, so no rate of false alarms is claimed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn.errors import DataError
from mpn.io.text import clock
from mpn.jobs.first_pass import (
    Recording,
    Seen,
    add_up,
    glance,
    judge_runs,
    pass_over,
    read_complete,
)
from mpn.jobs.survey import Survey
from mpn.model.checkpoint import Checkpoint
from mpn.motion.cameras import MOVED, SAME_CAMERA, OwnPlaces, shows_nothing
from mpn.motion.kept import MAX_BYTES, KeptMotion
from mpn.scoring.calibration import Threshold
from mpn.scoring.clips import NORMAL_FRAMES
from mpn.scoring.detector import Detector
from mpn.scoring.parts import SPEED
from mpn.video.paths import MAX_KEYS, footage_key, stamp_of
from mpn.video.timing import USUAL_RATE

# The level of a moment: so many times as many seconds as the wanted moments take, if each takes
# `MOMENT_SECONDS`, are above it, but never more than a tenth of the time.
MOMENT_SECONDS, ROOM, MAX_SHARE = 5.0, 2.0, 0.1
# Frames with a score that can be judged; fewer say nothing of what is usual.
MIN_JUDGED = 50
SHORT_SECONDS = 60.0  # less than this to judge by is said


@dataclass(frozen=True)
class OwnJudgement:
    """How a recording is judged by itself and the others of its camera.

    Attributes:
        threshold: the level of a moment.
        places: the place model for each frame, and the motion that is known.
        notes: what speaks against the result.
    """

    threshold: Threshold
    places: OwnPlaces
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnCamera:
    """What the recordings of a camera show.

    Attributes:
        checkpoint: the model with the camera's place model and the numbers of its frames.
        recordings: what it was made of.
        seen: what they have shown together.
        judgements: of each recording, made when it is asked for: it takes memory.
    """

    checkpoint: Checkpoint
    recordings: tuple[Recording, ...]
    seen: Seen
    judgements: Callable[[Recording, Detector, int], OwnJudgement]


def learn_camera(
    detector: Detector,
    recordings: Sequence[Recording],
    name: str,
    apart: float | None = None,
    stamps: Sequence[dict[str, Any]] | None = None,
) -> OwnCamera:
    """Pass over the recordings of one camera, and learn what is usual there.

    What an earlier run has seen is not looked at again.

    Args:
        detector: the model that knows no camera here.
        recordings: of one camera.
        name: of the camera.
        apart: seconds around a moment that have no say in what is normal there; default: see
            `mpn.jobs.first_pass.APART_SHARE`.
        stamps: of the recordings, see `Glance`; default: taken here.

    Raises:
        DataError: a recording cannot be read, or all of them are too short.
    """
    stamps = stamps or [glance(recording).stamp for recording in recordings]
    motions = [KeptMotion(MAX_BYTES // len(recordings)) for _ in recordings]
    for recording, stamp, motion in zip(recordings, stamps, motions):
        pass_over(recording, stamp, len(recordings), motion)
    seen = add_up(recordings, stamps, apart)
    return camera_of(detector, recordings, stamps, seen, name, motions)


def camera_of(
    detector: Detector,
    recordings: Sequence[Recording],
    stamps: Sequence[dict[str, Any]],
    seen: Seen,
    name: str,
    kept: Sequence[KeptMotion] = (),
) -> OwnCamera:
    """Make the model of a camera whose recordings were passed over.

    Args:
        detector: the model that knows no camera here.
        recordings: of one camera.
        stamps: of them, see `Glance`.
        seen: what they have shown together.
        name: of the camera.
        kept: the motion that was computed of each recording, where that is at hand.

    Raises:
        DataError: all of them are too short.
    """
    judged: list[dict[str, np.ndarray]] = []
    with tqdm(recordings, desc="what is usual", unit="recording", disable=None, leave=False) as bar:
        for recording, stamp in zip(bar, stamps):
            judged += judge_runs(recording, stamp, seen)
    count = sum(len(run[SPEED.name]) for run in judged)
    if count < MIN_JUDGED:
        raise DataError(
            f"{recordings[0].path}: {count} frames with motion are too few to judge a recording by "
            f"itself, it takes {MIN_JUDGED}: give a longer one, or more of the camera, or a model "
            "that knows it (--checkpoint)"
        )
    checkpoint = _checkpoint(detector, seen, judged, name, stamps)

    def judgement(recording: Recording, camera_detector: Detector, moments: int) -> OwnJudgement:
        at = recordings.index(recording)
        motion = kept[at] if kept else None
        return own_judgement(recording, stamps[at], seen, camera_detector, moments, motion)

    return OwnCamera(checkpoint, tuple(recordings), seen, judgement)


def own_judgement(
    recording: Recording,
    stamp: dict[str, Any],
    seen: Seen,
    own: Detector,
    moments: int,
    kept: KeptMotion | None = None,
) -> OwnJudgement:
    """Say how a recording is judged by all of its camera but the neighbourhood of each moment.

    Args:
        recording: of the camera.
        stamp: see `Glance`.
        seen: what all recordings of the camera have shown.
        own: the detector of the camera's model.
        moments: how many are wanted of the camera.
        kept: motion of the recording that was computed already.

    Raises:
        DataError: its survey is not there.
    """
    survey = read_complete(recording, stamp)
    place_at = survey.timeline.judge(seen.place, seen.apart_frames(stamp["fps"]))
    notes = _notes(survey, seen, stamp["fps"] or USUAL_RATE)
    level = _level(own, moments, seen.seconds)
    return OwnJudgement(level, OwnPlaces(place_at, kept), notes)


def _checkpoint(
    detector: Detector,
    seen: Seen,
    judged: Sequence[dict[str, np.ndarray]],
    name: str,
    stamps: Sequence[dict[str, Any]],
) -> Checkpoint:
    """Make the model of the camera, as if it had been adapted to it."""
    base = detector.checkpoint
    # A network that has never seen the camera adds nothing to its motion, and takes three quarters
    # of the time (docs/results.md).
    score_config = detector.score_config.with_place(trained_here=False).of_place_alone()
    total = sum(len(run[SPEED.name]) for run in judged)
    every = -(-total // NORMAL_FRAMES)  # of very many recordings, every n-th run
    runs = judged[::every]
    rates = sorted(stamp["fps"] for stamp in stamps if stamp["fps"])
    made_of = [base.sha256, *stamps, seen.apart]
    return replace(
        base,
        fps=float(np.median(rates)) if rates else None,
        score_config=score_config.to_dict(),
        normal={
            part: [run[part].astype(np.float16).astype(np.float32) for run in runs]
            for part in score_config.weights
            if part in runs[0]
        },
        places={name: seen.place},
        sha256=hashlib.sha256(json.dumps(made_of).encode()).hexdigest(),
        path=None,
        camera={
            "base": {"path": str(base.path or ""), "sha256": base.sha256},
            "tensors": [],
            "adapted_on": {
                "source": name,
                "by_itself": True,
                "recordings": len(stamps),
                "frames": seen.place.frames,
                "footage": {
                    footage_key(stamp["source"], stamp["modified"]): stamp["shown"][:2]
                    for stamp in stamps[:MAX_KEYS]
                },
            },
        },
    )


def notes_of_footage(checkpoint: Checkpoint, path: Path, shown: range) -> list[str]:
    """Say where a recording is scored by what was learned from itself, as far as that is certain.

    Args:
        checkpoint: that scores it.
        path: of the recording.
        shown: its frames that are scored.

    Returns:
        A note, or none where it is another recording, or was moved or changed since.
    """
    adapted_on = (checkpoint.camera or {}).get("adapted_on") or {}
    footage = adapted_on.get("footage")
    ranges = footage if isinstance(footage, dict) else {}
    match ranges.get(footage_key(str(path.resolve()), stamp_of(path))):
        case [int(first), int(end)] if first <= shown.start and shown.stop <= end:
            return [
                "the camera file was learned from this very recording, so its strangest moments "
                "are normal to it; without --checkpoint they are listed"
            ]
    return []


def _level(camera_detector: Detector, moments: int, seconds: float) -> Threshold:
    """Choose the level that about so many moments of the camera's recordings are above."""
    scores = np.concatenate(list(camera_detector.normal_scores().values()))
    share = min(MAX_SHARE, ROOM * moments * MOMENT_SECONDS / seconds)
    value = float(np.quantile(scores, 1 - share))
    return Threshold(value, False, (value, value), seconds / 3600, float("nan"), "moments")


def _notes(survey: Survey, whole: Seen, rate: float) -> tuple[str, ...]:
    """Say what speaks against judging a recording by itself."""
    notes, camera = [], whole.place
    if whole.seconds < SHORT_SECONDS:
        notes.append(
            f"there are {whole.seconds:.0f} s of this camera to judge by: little can be said of "
            "what is usual there"
        )
    blocks = [(i, place) for i, place in enumerate(survey.timeline.blocks) if place.pictures]
    moved = [i for i, place in blocks if max(map(abs, camera.shift(place.picture))) > MOVED]
    unlike = [i for i, place in blocks if camera.likeness(place.picture) < SAME_CAMERA]
    if shows_nothing(camera.picture):
        notes.append("its picture shows nothing: it has one brightness from edge to edge")
    elif len(unlike) > len(blocks) / 2:
        notes.append(
            "its picture changes all the time, nothing repeats: of a camera that is carried or "
            "turns, or a film of many scenes, nothing can be said of what is usual at a place"
        )
    elif moved:
        times = ", ".join(clock(i * survey.timeline.block / rate) for i in moved[:3])
        notes.append(
            f"the camera stands elsewhere in {len(moved)} of {len(blocks)} stretches, the first at "
            f"{times}: what is usual at a place is mixed up there"
        )
    return tuple(notes)

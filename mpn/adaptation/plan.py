"""What of a camera's footage a model is adapted on, and what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpn.adaptation import outliers
from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.place import folds_of
from mpn.datasets.shots import Shots, shots_of, spread
from mpn.datasets.windows import Clip
from mpn.errors import AdaptationError, DataError
from mpn.io.text import plural
from mpn.scoring.clips import readable_runs
from mpn.scoring.detector import Detector
from mpn.scoring.scores import combine

# Held-out frames with a score; fewer say nothing of what is normal.
MIN_HELD_OUT = 50
# Of a camera's whole footage a network learns from so many windows at the most.
MOST_WINDOWS = 400


class Plan(NamedTuple):
    """What is adapted on, and what is held out.

    Attributes:
        windows: as `Report` has them.
        left_out: likewise.
        excluded: likewise.
        shots: the windows that a network is adapted on; None where there are none.
        learned: where a network learns from the whole footage, what it does learn from: all folds
            but one, which is held out. `windows` are none then, and `shots` are of these stretches.
        held_out_ranges: stretches that show no frame of a window; the first T frames of each have
            no score.
        normal_ranges: all that is normal and shows no frame of `windows`, for the place model.
    """

    windows: list[tuple[int, int]]
    left_out: list[outliers.Replaced]
    excluded: list[outliers.Stretch]
    shots: Shots | None
    learned: list[outliers.Stretch]
    held_out_ranges: list[outliers.Stretch]
    normal_ranges: list[outliers.Stretch]


def deviations_of(
    detector: Detector, parts: Sequence[Mapping[str, np.ndarray]]
) -> list[np.ndarray]:
    """Measure by how much each frame stands out (`mpn.adaptation.outliers.deviations`).

    Parts are in units of their deviation within clips of the model's normal footage: between the
    scenes that it was trained on they differ by more than any anomaly does. Without such footage,
    of their deviation in this one.

    Args:
        detector: with the model.
        parts: of each clip, the numbers of the network's parts among them.

    Returns:
        Of each clip, float64 (frames,).
    """
    weights, normal = detector.weights, detector.checkpoint.normal
    clips = zip(*(normal.get(name, []) for name in weights))
    known = [dict(zip(weights, clip)) for clip in clips if len(clip[0]) > 1]
    units = {}
    for name in weights:
        variances = [
            np.nanvar(clip[name]) for clip in known or parts if np.isfinite(clip[name]).any()
        ]
        units[name] = (0.0, float(np.sqrt(np.mean(variances))) or 1.0)
    scores, ordinary = (
        [combine(clip, weights, units) for clip in footage] for footage in (parts, known)
    )
    return outliers.deviations(scores, ordinary or None)


def plan_of(
    source: str | Path,
    clips: Sequence[Clip],
    parts: Sequence[Mapping[str, np.ndarray]],
    windows: list[tuple[int, int]],
    detector: Detector,
    options: CameraOptions,
    room: int,
    excluded: Sequence[outliers.Stretch] = (),
) -> Plan:
    """Decide what is adapted on, and what is held out.

    Args:
        source: of the footage, for errors.
        clips: of the camera.
        parts: their numbers; without those of the network there is no guard.
        windows: those that were chosen to adapt on; none for all footage.
        detector: with the model.
        options: how it is adapted.
        room: normal frames that a camera file has room for.
        excluded: stretches that are not normal, beside what the guard finds.

    Raises:
        AdaptationError: all windows look anomalous.
        DataError: too little is left to calibrate on.
    """
    window, excluded = detector.config.window, list(excluded)
    left_out: list[outliers.Replaced] = []
    if options.guard and set(detector.weights) <= parts[0].keys():
        far = deviations_of(detector, parts)
        windows, left_out = outliers.choose(windows, far, window)
        excluded += outliers.standing_out(far)
    if not windows and options.shots:
        raise AdaptationError(
            f"{source}: all of its {len(left_out)} support windows look anomalous beside the rest "
            "of the footage: give other footage, or take it as it is (without --guard)"
        )
    seen = [outliers.Stretch(clip, target - window, target + 1) for clip, target in windows]
    held_out_ranges = [
        outliers.Stretch(number, start, stop)
        for number, clip in enumerate(clips)
        for start, stop in readable_runs(
            clip, [(s.start, s.stop) for s in [*seen, *excluded] if s.clip == number]
        )
        if stop - start > window
    ]
    normal_ranges, learned = held_out_ranges, []
    if not windows and options.adaptation.method == "adam":
        learned, held_out_ranges = _but_a_fold(normal_ranges, window)
    count = sum(stretch.stop - stretch.start - window for stretch in held_out_ranges)
    if count < MIN_HELD_OUT:
        frames = sum(len(clip.frames) for clip in clips)
        less = ", or leave out less (--without)" * bool(options.without)
        told = _too_little(frames, count, len(windows), bool(excluded), quarter=bool(learned))
        raise DataError(f"{source}: {told}{less}")
    if count > room:
        held_out_ranges = _first_parts(held_out_ranges, window, Fraction(room, count))
    shots = _shots_of(clips, windows, learned, window)
    return Plan(windows, left_out, excluded, shots, learned, held_out_ranges, normal_ranges)


def _but_a_fold(
    normal: Sequence[outliers.Stretch], window: int
) -> tuple[list[outliers.Stretch], list[outliers.Stretch]]:
    """Divide normal footage into what a network learns from and a fold that is held out."""
    *others, held_out = folds_of(normal)
    learned = sorted(piece for fold in others for piece in fold)
    return (
        [piece for piece in learned if piece.stop - piece.start > window],
        [piece for piece in held_out if piece.stop - piece.start > window],
    )


def _shots_of(
    clips: Sequence[Clip],
    windows: Sequence[tuple[int, int]],
    learned: Sequence[outliers.Stretch],
    window: int,
) -> Shots | None:
    """Cut the windows; or those that reach beyond no stretch, of many evenly spread ones."""
    if windows:
        return shots_of(clips, windows, window)
    if not learned:
        return None
    pieces = [replace(clips[clip].cut(start, stop), bad=[]) for clip, start, stop in learned]
    most = sum(len(piece.frames) - window for piece in pieces)
    return shots_of(pieces, spread(pieces, min(most, MOST_WINDOWS), window), window)


def _too_little(frames: int, left: int, shots: int, guarded: bool, *, quarter: bool) -> str:
    """Say that too little footage is left to calibrate on, and what to do."""
    takers = [plural(shots, "shot")] * bool(shots) + ["the guard"] * guarded
    leave = f"{' and '.join(takers)} leave" if takers else "there are"
    if quarter:
        leave = "the quarter that is kept apart has"
    advice = "give a longer clip" + ", or fewer shots (--shots)" * bool(shots)
    advice += ", or leave --method adam out, which takes the most" * quarter
    what = f"of its {plural(frames, 'frame', 'd')} {leave} {left} to calibrate on"
    return f"{what}, and it takes {MIN_HELD_OUT}: {advice}"


def _first_parts(
    stretches: Sequence[outliers.Stretch], window: int, share: Fraction
) -> list[outliers.Stretch]:
    """Cut stretches to the first share of their frames with a score; those without any go."""
    cut = [
        one._replace(stop=one.start + window + int((one.stop - one.start - window) * share))
        for one in stretches
    ]
    return [one for one in cut if one.stop - one.start > window]

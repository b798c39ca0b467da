"""What of a camera's footage a model is adapted on, and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from mpn.adaptation.camera_report import CameraOptions
from mpn.adaptation.place import Stretch, folds_of, windows_as_stretches
from mpn.datasets.shots import Shots, shots_of, spread
from mpn.datasets.windows import Clip
from mpn.errors import DataError
from mpn.io.text import plural
from mpn.scoring.clips import readable_runs

# Held-out frames with a score; fewer say nothing of what is normal.
MIN_HELD_OUT = 50
# Of a camera's whole footage a network learns from so many windows at the most.
MAX_WINDOWS = 400


class Plan(NamedTuple):
    """What is adapted on, and what is held out.

    Attributes:
        windows: as `Report` has them.
        excluded: likewise.
        shots: the windows that a network is adapted on; None where there are none.
        learned: where a network learns from the whole footage, what it does learn from: all folds
            but one, which is held out. `windows` are none then, and `shots` are of these stretches.
        held_out_ranges: stretches that show no frame of a window; the first T frames of each have
            no score.
        normal_ranges: all that is normal and shows no frame of `windows`, for the place model.
    """

    windows: list[tuple[int, int]]
    excluded: list[Stretch]
    shots: Shots | None
    learned: list[Stretch]
    held_out_ranges: list[Stretch]
    normal_ranges: list[Stretch]


def plan_of(
    source: str | Path,
    clips: Sequence[Clip],
    windows: Sequence[tuple[int, int]],
    window: int,
    options: CameraOptions,
    room: int,
    excluded: Sequence[Stretch] = (),
) -> Plan:
    """Decide what is adapted on, and what is held out.

    Args:
        source: of the footage, for errors.
        clips: of the camera.
        windows: those that were chosen to adapt on; none for all footage.
        window: T.
        options: how it is adapted.
        room: normal frames that a camera file has room for.
        excluded: stretches that are not normal.

    Raises:
        DataError: too little is left to calibrate on.
    """
    taken = [*windows_as_stretches(windows, window), *excluded]
    held_out_ranges = [
        Stretch(number, start, stop)
        for number, clip in enumerate(clips)
        for start, stop in readable_runs(
            clip, [(stretch.start, stretch.stop) for stretch in taken if stretch.clip == number]
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
        message = _too_little(frames, count, len(windows), bool(excluded), quarter=bool(learned))
        raise DataError(f"{source}: {message}{less}")
    if count > room:
        held_out_ranges = _first_parts(held_out_ranges, window, Fraction(room, count))
    shots = _shots_of(clips, windows, learned, window)
    return Plan(list(windows), list(excluded), shots, learned, held_out_ranges, normal_ranges)


def _but_a_fold(normal: Sequence[Stretch], window: int) -> tuple[list[Stretch], list[Stretch]]:
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
    learned: Sequence[Stretch],
    window: int,
) -> Shots | None:
    """Cut the windows; or those that reach beyond no stretch, of many evenly spread ones."""
    if windows:
        return shots_of(clips, windows, window)
    if not learned:
        return None
    pieces = [replace(clips[clip].cut(start, stop), bad=[]) for clip, start, stop in learned]
    most = sum(len(piece.frames) - window for piece in pieces)
    return shots_of(pieces, spread(pieces, min(most, MAX_WINDOWS), window), window)


def _too_little(frames: int, left: int, shots: int, excluded: bool, *, quarter: bool) -> str:
    """Say that too little footage is left to calibrate on, and what to do."""
    takers = [plural(shots, "shot")] * bool(shots) + ["moments that do not count"] * excluded
    leave = f"{' and '.join(takers)} leave" if takers else "there are"
    if quarter:
        leave = "the quarter that is kept apart has"
    advice = "give a longer clip" + ", or fewer shots (--shots)" * bool(shots)
    advice += ", or leave --method adam out, which takes the most" * quarter
    shortage = f"of its {plural(frames, 'frame', 'd')} {leave} {left} to calibrate on"
    return f"{shortage}, and it takes {MIN_HELD_OUT}: {advice}"


def _first_parts(stretches: Sequence[Stretch], window: int, share: Fraction) -> list[Stretch]:
    """Cut stretches to the first share of their frames with a score; those without any go."""
    cut = [
        stretch._replace(
            stop=stretch.start + window + int((stretch.stop - stretch.start - window) * share)
        )
        for stretch in stretches
    ]
    return [stretch for stretch in cut if stretch.stop - stretch.start > window]

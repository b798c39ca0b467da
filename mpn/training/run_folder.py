"""Run folders: the files of a training, and whether they may be overwritten or resumed."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpn.datasets.windows import Clip
from mpn.errors import CheckpointError, TrainingError

# Options that came later than the first states, and what stood in their place.
LATER_OPTIONS = {"pseudo_kind": "ellipses", "movers_from": None, "teacher": None, "start": None}
LATER_PRESET = {
    "interpolation": "area",
    "unit": "prototype",
    "keys": "window",
    "up_kernel": 3,
    "prototypes_after": 0.0,
}
STATE, LOG, CONFIG, MODEL = "state.pt", "log.jsonl", "config.json", "model.safetensors"


def check_folder(folder: str | Path, resume: bool) -> None:
    """Check that a new run overwrites none, and that a resumed one is there.

    Args:
        folder: the run folder.
        resume: whether the run is to go on.

    Raises:
        TrainingError: the folder holds a run already.
        CheckpointError: there is none to resume.
    """
    folder = Path(folder)
    if resume and not (folder / STATE).exists():
        raise CheckpointError(
            f"nothing to resume: there is no {folder / STATE}; start without --resume"
        )
    if not resume and ((folder / STATE).exists() or (folder / MODEL).exists()):
        raise TrainingError(
            f"{folder} holds a run already: give --resume to go on, or another --out"
        )


def footprint(clips: Sequence[Clip]) -> list[list[Any]]:
    """Give what clips are known again by.

    Args:
        clips: of a training.

    Returns:
        Of each clip its name, length, and checksums of what the first frame, the last one, and all
        of them show.
    """
    return [
        [
            clip.name,
            len(clip.frames),
            *(zlib.crc32(clip.frames[i].tobytes()) for i in (0, -1)),
            functools.reduce(lambda crc, frame: zlib.crc32(frame, crc), clip.frames, 0),
        ]
        for clip in clips
    ]


def _same_clips(before: Sequence[Sequence[Any]], now: Sequence[Sequence[Any]]) -> bool:
    """Compare two footprints; earlier ones have no checksum of all frames."""
    return len(before) == len(now) and all(
        list(old_clip) == list(clip)[: len(old_clip)] and len(old_clip) >= 4
        for old_clip, clip in zip(before, now)
    )


def check_fingerprint(path: Path, stored: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that a state is of the run that is to go on.

    Args:
        path: of the state.
        stored: the state's fingerprint, part -> options by name or, for "clips", what `footprint`
            gives.
        current: that of this run.

    Raises:
        CheckpointError: naming what differs.
    """
    for part, now in json.loads(json.dumps(current)).items():
        before = stored[part]
        if part == "options":
            # Options that a state does not name were as they are by default when it was written.
            before = {name: LATER_OPTIONS[name] for name in LATER_OPTIONS if name in now} | before
        if part == "preset":
            before = LATER_PRESET | before
            if "loss_weights" in before:  # a term that came later weighed nothing
                later = dict.fromkeys(now["loss_weights"], 0.0)
                before["loss_weights"] = later | before["loss_weights"]
        if part == "clips" and _same_clips(before, now):
            continue
        if before != now:
            raise CheckpointError(_difference(path, part, before, now))


def _difference(path: Path, part: str, before: Any, now: Any) -> str:
    if part == "base":
        return f"{path} began from another model: give the same --checkpoint"
    if part == "clips":
        return (
            f"{path} was trained on other footage ({len(before)} clips, here {len(now)}); resume "
            "on the same data"
        )
    if set(before) != set(now):
        return (
            f"{path} was written by another version of mpn, which has other {part}: start anew "
            "with another --out"
        )
    changes = ", ".join(
        f"{name} {before[name]!r}, here {now[name]!r}" for name in now if before[name] != now[name]
    )
    return (
        f"{path} is of a run with other {part}: {changes}; give the same, or start anew with "
        "another --out"
    )


def remove_parts(folder: Path) -> None:
    """Remove files that a killed writer left half-written: it could not tidy up."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a log; one cut short by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines

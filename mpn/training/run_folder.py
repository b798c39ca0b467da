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


def _same_clips(there: Sequence[Sequence[Any]], here: Sequence[Sequence[Any]]) -> bool:
    """Compare two footprints; earlier ones have no checksum of all frames."""
    return len(there) == len(here) and all(
        list(one) == list(other)[: len(one)] and len(one) >= 4 for one, other in zip(there, here)
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
    for part, here in json.loads(json.dumps(current)).items():
        there = stored[part]
        if part == "options":
            # Options that a state does not name were as they are by default when it was written.
            there = {name: LATER_OPTIONS[name] for name in LATER_OPTIONS if name in here} | there
        if part == "preset":
            there = LATER_PRESET | there
            if "loss_weights" in there:  # a term that came later weighed nothing
                later = dict.fromkeys(here["loss_weights"], 0.0)
                there["loss_weights"] = later | there["loss_weights"]
        if part == "clips" and _same_clips(there, here):
            continue
        if there != here:
            raise CheckpointError(_difference(path, part, there, here))


def _difference(path: Path, part: str, there: Any, here: Any) -> str:
    if part == "base":
        return f"{path} began from another model: give the same --checkpoint"
    if part == "clips":
        return (
            f"{path} was trained on other footage ({len(there)} clips, here {len(here)}); resume "
            "on the same data"
        )
    if set(there) != set(here):
        return (
            f"{path} was written by another version of mpn, which has other {part}: start anew "
            "with another --out"
        )
    changes = ", ".join(
        f"{name} {there[name]!r}, here {here[name]!r}" for name in here if there[name] != here[name]
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

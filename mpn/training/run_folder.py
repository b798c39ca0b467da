"""Run folders: the files of a training, and whether what lies there may be overwritten or
resumed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpn.datasets.windows import Clip
from mpn.errors import CheckpointError, TrainingError

STATE, LOG, CONFIG, MODEL = "state.pt", "log.jsonl", "config.json", "model.safetensors"


def check_folder(folder: str | Path, resume: bool) -> None:
    """Raises TrainingError where a new run would overwrite one, CheckpointError where there is none
    to resume."""
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
    """By what clips are known again: name, length, and checksums of what the first and the last
    frame show."""
    return [
        [
            clip.name,
            len(clip.frames),
            *(zlib.crc32(np.ascontiguousarray(clip.frames[i])) for i in (0, -1)),
        ]
        for clip in clips
    ]


def difference(path: Path, part: str, theirs: Any, ours: Any) -> str:
    """Why the state at `path` is not of this run, in a line: `part` of its fingerprint is `theirs`,
    here `ours`."""
    if part == "clips":
        return (
            f"{path} was trained on other footage ({len(theirs)} clips, here {len(ours)}); resume "
            "on the same data"
        )
    names = [name for name in ours if theirs.get(name) != ours[name]]
    changes = ", ".join(f"{name} {theirs.get(name)!r}, here {ours[name]!r}" for name in names)
    return (
        f"{path} is of a run with other {part}: {changes}; give the same, or start anew with "
        "another --out"
    )


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a log; one cut short by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines

"""What the doctor says: findings, and the words that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mpn.datasets.layouts import DatasetTree
from mpn.doctor.fingerprints import Clip

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something that will go wrong, or may.

    Attributes:
        kind: what, as a word for programs.
        severity: "error" (mpn stops there, or figures would be wrong), "warning" (results suffer)
            or "note" (good to know).
        where: the video or folder.
        what: what was found, in words.
        remedy: what to do about it.
    """

    kind: str
    severity: str
    where: str
    what: str
    remedy: str


# What to do about what a source says of itself, by how its note begins; these are no faults.
REMEDIES = {
    "its pixels are not square": "nothing in mpn, which shows them as a player does; other tools "
    "may not, and masks made with these have another shape",
    "its pictures have more than 8 bits": "nothing in mpn: a model keeps the range of its normal "
    "footage, and stretches all that it scores by that",
    "it begins inside a group of pictures": "nothing in mpn; labels must count from the first "
    "whole picture",
    "it holds": "to have another track, take it out: ffmpeg -i IN -map 0:v:NUMBER -c copy OUT.mp4, "
    "NUMBER from 0",
    "its frame rate varies": "nothing in mpn, which goes by the times; a window is 4 frames, "
    "whatever time they span (ffmpeg -i IN -vf fps=10 OUT.mp4 makes them even)",
    "its times have a gap": "nothing in mpn, which goes by the times; if frames are missing there, "
    "labels that count seconds at a constant rate are off",
}


def remedy_of(note: str) -> str | None:
    """Return what to do about what a source says of itself, None where it says something wrong.

    Args:
        note: of `FrameSource.notes`.
    """
    return next((remedy for begin, remedy in REMEDIES.items() if note.startswith(begin)), None)


def skipping(what: str) -> str:
    """Say which commands go on without what cannot be read, as an aside of a remedy.

    Args:
        what: "it" or "them".
    """
    return f"mpn score goes on without {what}; train, adapt and evaluate do with --skip-bad"


def some(names: Sequence[object], shown: int = 3) -> str:
    """Name the first few: "a, b, c and 5 more".

    Args:
        names: of all.
        shown: how many are named.
    """
    if len(names) <= shown + 1:
        return ", ".join(map(str, names))
    return f"{', '.join(map(str, names[:shown]))} and {len(names) - shown} more"


def at(clip: Clip, frame: int) -> str:
    """Write a frame of a clip: its number from 0, and its time where the frame rate is known.

    Args:
        clip: of the frame.
        frame: its number.
    """
    return f"frame {frame}" + (f" ({frame / clip.fps:.1f} s)" if clip.fps else "")


def by_scene(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Group the clips by camera, in the order of their first clips."""
    scenes: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        scenes[clip.video.scene].append(clip)
    return scenes


def scene_of(tree: DatasetTree, scene: str) -> str:
    """Say where a finding of one camera is: which of several, or the data set.

    Args:
        tree: the data set.
        scene: name of the camera.
    """
    return f"scene {scene}" if len(tree.scenes) > 1 else str(tree.root)

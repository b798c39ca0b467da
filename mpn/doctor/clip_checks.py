"""Checks of each clip by itself: frames that cannot be used, and what its source says of itself.

Each check is a function of the data set's tree and of its clips that could be read, and yields
findings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mpn.datasets.layouts import DatasetTree
from mpn.doctor.findings import Finding, at, remedy_of, skipping, some
from mpn.doctor.fingerprints import Clip
from mpn.errors import FrameError
from mpn.io.text import plural
from mpn.model.config import CONFIGS
from mpn.video.frame_source import BadFrame
from mpn.video.images import read_image

MIN_FRAMES = 5  # frames: a window of 4 and its target
COUNT_SLACK = 2  # frames by which containers are often off

TROUBLES = {
    "missing-frames": (
        "missing in the numbering",
        f"copy them again, or make two clips of it ({skipping('them')}: the frame before "
        "stands in)",
    ),
    "sizes-in-clip": (
        "of another size than the first",
        "put every recording in a folder of its own, or resize them",
    ),
    "bad-frames": (
        "that cannot be read",
        f"copy or export them again ({skipping('them')}: the frame before stands in)",
    ),
}


def unusable(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find frames that are missing, cannot be read or have another size than their clip's first."""
    for clip in clips:
        groups: dict[str, list[BadFrame]] = defaultdict(list)
        for bad in clip.bad:
            if bad.index < clip.frames:  # beyond: the header's count, see `streams`
                groups[_trouble(clip, bad.name)].append(bad)
        for kind, (words, remedy) in TROUBLES.items():
            if group := groups.get(kind):
                first = group[0]
                message = (
                    f"{plural(len(group), 'frame')} {words}, the first: {at(clip, first.index)}, "
                    f"{first.name}, {first.reason}"
                )
                yield Finding(kind, "error", clip.name, message, remedy)


def _trouble(clip: Clip, name: str) -> str:
    """Say which of `TROUBLES` a bad frame is."""
    if clip.is_file:
        return "bad-frames"
    file = clip.video.path / name
    if not file.exists():
        return "missing-frames"
    try:
        read_image(file)
    except FrameError:
        return "bad-frames"
    return "sizes-in-clip"


def short(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find clips without a window."""
    too_short = [
        f"{clip.name} ({clip.frames})"
        for clip in clips
        if clip.complete and clip.frames < MIN_FRAMES
    ]
    if too_short:
        message = f"fewer than {MIN_FRAMES} frames: no window of 4 and the next frame fits in"
        remedy = "take them out, or put the recording together again"
        yield Finding("short", "warning", some(too_short), message, remedy)


def small(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find clips whose frames no network takes."""
    least = min(config.stride for config in CONFIGS.values())
    for clip in clips:
        if clip.size and min(clip.size) < least:
            message = f"frames of {clip.size[1]}x{clip.size[0]}: no network takes less than {least}"
            remedy = "export it in a larger size, or take it out of the folder, if it is a preview"
            yield Finding("too-small", "error", clip.name, message, remedy)


def streams(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find what sources say wrongly of themselves, and recordings that end too early."""
    for clip in clips:
        early = [bad for bad in clip.bad if bad.index >= clip.frames]
        for bad in early:
            remedy = (
                "copy or export it again; after damage in the middle, frame numbers and times may "
                "be too low"
            )
            yield Finding(
                "cut-short", "error", clip.name, f"{at(clip, bad.index)} {bad.reason}", remedy
            )
        for note in clip.notes:
            if early and note.endswith(f"{clip.frames:,} came"):  # the same once more
                continue
            if remedy := remedy_of(note):
                yield Finding("stream", "note", clip.name, note, remedy)
                continue
            kind, remedy = _kind_of_note(note, clip.is_file)
            yield Finding(kind, "warning", clip.name, note, remedy)
        if not clip.is_file or not clip.complete:
            continue
        remedy = (
            "nothing in mpn, which counts itself; labels and tools that trust the header are off "
            "by that"
        )
        if clip.header is not None and 0 < abs(clip.header - clip.frames) <= COUNT_SLACK:
            message = (
                f"its header says {plural(clip.header, 'frame')}, {clip.frames:,} can be decoded"
            )
            yield Finding("container-count", "note", clip.name, message, remedy)


# What notes of folders of pictures say, by words in them: kind, and what to do.
FOLDER_NOTES = {
    "left out": (
        "stray-pictures",
        "take them out of the folder; if they are frames, name them as the others are",
    ),
    "named in": ("mixed-names", "put each recording into a folder of its own"),
    "say no order": ("no-order", "number them in the order in which they were recorded"),
    "named by the clock": (
        "clock-names",
        "nothing, if the camera paused; else say how fast it is, as in --fps 10",
    ),
}


def _kind_of_note(note: str, is_file: bool) -> tuple[str, str]:
    """Return the kind of finding that a source's note is, and what to do about it."""
    if is_file:
        return "stream", "write it anew (ffmpeg -i IN -vf fps=RATE OUT.mp4), or say the rate: --fps"
    matches = (entry for words, entry in FOLDER_NOTES.items() if words in note)
    return next(matches, ("stream", "look at the names of its pictures"))


CHECKS = (unusable, short, small, streams)

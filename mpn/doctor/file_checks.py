"""Checks of files and folders: names, counts, sizes, frame rates.

Each check is a function of the data set's tree and of its clips that could be read, and yields
findings. Checks of each clip by itself are in `mpn.doctor.clip_checks`, of what the frames show in
`mpn.doctor.frame_checks`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mpn.datasets.layouts import DatasetTree
from mpn.doctor.findings import Finding, by_scene, scene_of, some
from mpn.doctor.fingerprints import Clip
from mpn.video.paths import IMAGE_SUFFIXES, images_in, natural_key, visible
from mpn.video.timing import USUAL_RATE

ODD_RATES = (2.0, 100.0)  # frames/s; cameras are seldom slower or faster
RATE_SLACK, SHAPE_SLACK = 0.02, 0.03  # relative differences that don't matter
ENOUGH_SECONDS = 600.0  # of normal footage, to set a threshold


def splits(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find a split without videos, and one that is the other."""
    where = str(tree.root)
    if not tree.has_splits:
        if tree.testing:
            message = (
                f"labels.csv makes test videos of all {len(tree.testing)}, and all of them are "
                "training videos too"
            )
            remedy = (
                "train on another folder, of normal footage alone: else the figures are of what "
                "was trained on"
            )
            yield Finding("same-videos", "warning", where, message, remedy)
        return
    if not tree.training:
        remedy = (
            "nothing, to evaluate or score; to train, add normal footage (data/README.md draws the "
            "tree)"
        )
        yield Finding("no-training", "note", where, "there are no training videos", remedy)
    if not tree.testing:
        remedy = (
            "nothing, to train; to evaluate, add labelled test footage (data/README.md draws the "
            "tree)"
        )
        yield Finding("no-testing", "note", where, "there are no test videos", remedy)


def order(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find names whose order as text is not that of their numbers."""
    remedy = (
        "nothing in mpn, which sorts by number; for other tools give all numbers the same digits "
        "(002, 010)"
    )
    for folder in _parents(tree):
        names = [
            item.name
            for item in visible(folder)
            if item.is_dir() or item.suffix.lower() not in IMAGE_SUFFIXES
        ]
        if swapped := _swapped(names):
            yield Finding(
                "order", "note", str(folder), f"the order of the videos: {swapped}", remedy
            )
    swapped_in = {}
    for clip in clips:
        if not clip.is_file and (
            swapped := _swapped([file.name for file in images_in(clip.video.path)])
        ):
            swapped_in[clip.name] = swapped
    if swapped_in:
        message = f"the order of the frames: {next(iter(swapped_in.values()))}"
        yield Finding("order", "note", some(list(swapped_in)), message, remedy)


def _swapped(names: list[str]) -> str | None:
    names = [name.lower() for name in names]
    for first, second in zip(sorted(names), sorted(names, key=natural_key)):
        if first != second:
            return f"{first} comes before {second} where names are sorted as text"
    return None


def _parents(tree: DatasetTree) -> list[Path]:
    """List the folders in which the videos lie."""
    if not tree.root.is_dir():
        return []
    return list(
        dict.fromkeys(v.path.parent for v in tree.training + tree.testing if v.path != tree.root)
    )


def masks_as_videos(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find folders NAME_gt that are taken for videos, since there is no video NAME."""
    for clip in clips:
        if clip.video.name.lower().endswith("_gt"):
            remedy = (
                f"take it out of the folder, or put its video, {clip.video.name[:-3]}, beside it"
            )
            yield Finding(
                "masks",
                "warning",
                clip.name,
                "is taken for a video, but is named like masks",
                remedy,
            )


# Of what is left out, by its kind: severity, and what to do.
LEFT_OUT = {
    "unused": (
        "warning",
        "convert recordings to H.264 .mp4, for instance (ffmpeg -i IN -c:v libx264 -crf 18 "
        "OUT.mp4); take the rest out of the folder",
    ),
    "empty": ("warning", "copy the frames again, or remove the folder"),
    "masks": (
        "note",
        "nothing in mpn, which leaves them out; other tools would take them for videos",
    ),
    "pictures": (
        "note",
        "nothing, if it is a preview; frames need a folder of their own",
    ),
    "below-frames": ("warning", "put it beside that folder, not below it"),
    "mixed": ("error", "put the pictures into a folder of their own"),
    "unlisted": ("error", "give yourself the right to read it (chmod, or ask its owner)"),
    "special": ("warning", "take it out of the folder"),
    "results": ("note", "nothing; results are better kept outside of the recordings (--out)"),
    "other-layout": (
        "warning",
        "put it where the layout has its videos (data/README.md draws the trees), name another "
        "one (--layout), or give it by itself",
    ),
}


def left_out(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find what lies beside the videos and is not taken for one."""
    groups: dict[tuple[str, str, Path], list[str]] = defaultdict(list)
    for entry in tree.left_out:
        if entry.kind in LEFT_OUT:
            inside = entry.path != tree.root and entry.path.is_relative_to(tree.root)
            folder = entry.path.parent if inside else entry.path
            groups[entry.kind, entry.reason, folder].append(entry.path.name)
    for (kind, reason, folder), names in groups.items():
        severity, remedy = LEFT_OUT[kind]
        yield Finding(kind, severity, str(folder), f"left out, {reason}: {some(names)}", remedy)


def rates(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find frame rates that are absent, absurd or not the same."""
    files = [clip.name for clip in clips if clip.is_file and not clip.fps]
    folders = [clip.name for clip in clips if not clip.is_file and not clip.fps]
    for kind, severity, without in (
        ("video file", "warning", files),
        ("folder of frames", "note", folders),
    ):
        if without:
            message = (
                f"no frame rate ({kind}): times and alarms an hour would be those of "
                f"{USUAL_RATE:g} frames/s"
            )
            where = (
                f"all {len(without)} videos" if len(without) == len(clips) > 1 else some(without)
            )
            yield Finding("no-rate", severity, where, message, "say it, as in --fps 10")
    for clip in clips:
        if clip.fps and not ODD_RATES[0] <= clip.fps <= ODD_RATES[1]:
            message = f"{clip.fps:g} frames/s, which hardly any camera records"
            yield Finding(
                "odd-rate", "warning", clip.name, message, "say the true rate, as in --fps 25"
            )
    remedy = (
        "bring them to one (ffmpeg -i IN -vf fps=10 OUT.mp4): a window is 4 frames, whatever time "
        "they span"
    )
    scenes = by_scene([clip for clip in clips if clip.fps])
    for scene, scene_clips in scenes.items():
        if ends := _ends(_with_rates(scene_clips), RATE_SLACK):
            message = "clips of several frame rates: " + _to(ends, _rate)
            yield Finding("mixed-rates", "warning", scene_of(tree, scene), message, remedy)
    if ends := _ends(_with_rates(_first_clips(scenes)), RATE_SLACK):
        message = "cameras of several frame rates: " + _to(ends, _rate)
        yield Finding(
            "mixed-rates", "note", str(tree.root), message, f"to train one model of all, {remedy}"
        )


def _with_rates(clips: Sequence[Clip]) -> list[tuple[Clip, float]]:
    return [(clip, clip.fps) for clip in clips if clip.fps]


def _first_clips(scenes: dict[str, list[Clip]]) -> list[Clip]:
    return [clips[0] for clips in scenes.values()]


def sizes(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find clips of a camera in several sizes, cameras of several shapes."""
    scenes = by_scene(clips)
    for scene, scene_clips in scenes.items():
        by_size: dict[tuple[int, int], list[str]] = defaultdict(list)
        for clip in scene_clips:
            if clip.size:
                by_size[clip.size].append(clip.name)
        if len(by_size) > 1:
            ranked = sorted(by_size.items(), key=lambda group: -len(group[1]))
            groups = [f"{w}x{h} ({some(names, 2)})" for (h, w), names in ranked]
            remedy = (
                "export all clips of a camera in one size and cut: else places don't agree from "
                "clip to clip"
            )
            message = f"clips of {len(by_size)} sizes: {some(groups)}"
            yield Finding("mixed-sizes", "warning", scene_of(tree, scene), message, remedy)
    shapes = [(clip, clip.size[1] / clip.size[0]) for clip in _first_clips(scenes) if clip.size]
    if ends := _ends(shapes, SHAPE_SLACK):
        message = "cameras of several shapes: " + _to(ends, _size)
        remedy = (
            "to train one model of all, crop them to one shape: else people are squeezed in some"
        )
        yield Finding("mixed-shapes", "note", str(tree.root), message, remedy)


def _ends(values: Sequence[tuple[Clip, float]], slack: float) -> tuple[Clip, Clip] | None:
    """Find the clips with the lowest and the highest value; None where they agree within slack."""
    if not values:
        return None
    lowest, highest = (end(values, key=lambda entry: entry[1]) for end in (min, max))
    return (lowest[0], highest[0]) if highest[1] > lowest[1] * (1 + slack) else None


def _to(ends: tuple[Clip, Clip], words: Callable[[Clip], str]) -> str:
    return " to ".join(f"{words(clip)} ({clip.name})" for clip in ends)


def _size(clip: Clip) -> str:
    return f"{clip.size[1]}x{clip.size[0]}" if clip.size else "?"


def _rate(clip: Clip) -> str:
    return f"{clip.fps:.4g} frames/s"


def amount(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find cameras with too little normal footage to set a threshold from.

    Where training and test videos don't lie apart, nobody has said that it is normal.
    """
    lengths = {}
    footage = "normal footage" if tree.has_splits else "footage"
    normal = by_scene([clip for clip in clips if clip.split != "testing"])
    for scene, scene_clips in normal.items():
        if all(clip.complete for clip in scene_clips):
            lengths[scene] = sum(clip.frames / (clip.fps or USUAL_RATE) for clip in scene_clips)
    little = {scene: seconds for scene, seconds in lengths.items() if seconds < ENOUGH_SECONDS}
    if little:
        shortest = min(little, key=little.__getitem__)
        minutes, enough = f"{little[shortest] / 60:.1f} minutes", f"{ENOUGH_SECONDS / 60:g} minutes"
        message = f"{minutes} of {footage}"
        if len(lengths) > 1:
            message = (
                f"{len(little)} of {len(lengths)} cameras have less than {enough} of {footage}, "
                f"{shortest} the least: {minutes}"
            )
        guess = (
            ""
            if all(clip.fps for clip in clips)
            else f" (at {USUAL_RATE:g} frames/s where none are known)"
        )
        remedy = (
            "record more before you trust a threshold: one false alarm an hour takes hours to be "
            "seen"
        )
        yield Finding("little-footage", "note", str(tree.root), message + guess, remedy)


CHECKS = (splits, left_out, masks_as_videos, order, rates, sizes, amount)

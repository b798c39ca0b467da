"""Checks of the frames: nothing to see, nothing new, a camera that moves, frames seen elsewhere.

Each check is a function of the data set's tree and of its clips that could be read, and yields
findings.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from mpn.datasets.layouts import DatasetTree
from mpn.doctor.findings import Finding, at, by_scene, scene_of, some
from mpn.doctor.fingerprints import LOOK_EVERY, Clip
from mpn.io.runs import intervals
from mpn.io.text import plural
from mpn.motion.cameras import tell_apart

FROZEN_FRAMES, FROZEN_SECONDS = 10, 1.0  # the longer of the two
# of frames that repeat the one before, from which the frame rate is not the true one
REPEATED_SHARE = 0.2
REPEATED_LEAST = 20  # frames that a clip needs for that to be said
CUT_BELOW, CUT_BETWEEN = 0.1, 0.5  # share of the picture that stays: at a cut, before and after it
FEW_MOVES = 3  # so often somebody touched the camera; more often it moves by itself
LOOP_SHARE, LOOP_LEAST = 0.1, 10  # of a clip, frames: equal to earlier ones of it
DARK, BRIGHT = 24, 231  # grey levels: below it is black, above it white


def black(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find frames of a single colour."""
    for clip in clips:
        flat = clip.flat & clip.good
        if flat.any():
            first, level = int(flat.argmax()), clip.level[flat]
            colour = (
                "black"
                if level.max() < DARK
                else "white"
                if level.min() > BRIGHT
                else "of a single colour"
            )
            message = (
                f"{plural(int(flat.sum()), 'frame')} of {clip.frames:,} "
                f"{'is' if flat.sum() == 1 else 'are'} "
            )
            message += f"{colour}, the first: {at(clip, first)}"
            remedy = (
                "cut them out (ffmpeg -ss FROM -to TO): to a model a black frame is an event, or, "
                "trained on, normal"
            )
            yield Finding("black", "warning", clip.name, message, remedy)


def _repeats(clip: Clip) -> np.ndarray:
    """Find frames equal to the one before, bool (T,).

    Not those of a single colour, nor stand-ins.
    """
    repeats = np.zeros(clip.frames, bool)
    usable = clip.good & ~clip.flat
    repeats[1:] = (clip.prints[1:] == clip.prints[:-1]) & usable[1:] & usable[:-1]
    return repeats


def frozen(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find the same picture for long, or again and again for a frame or two."""
    for clip in clips:
        repeats = _repeats(clip)
        shortest = max(FROZEN_FRAMES, math.ceil(FROZEN_SECONDS * clip.fps) if clip.fps else 0)
        runs = [
            (start - 1, end) for start, end in intervals(repeats) if end - start + 1 >= shortest
        ]
        if runs:
            start, end = max(runs, key=lambda run: run[1] - run[0])
            message = (
                f"the picture stands still from {at(clip, start)} to {at(clip, end - 1)}, every "
                "pixel"
            )
            if len(runs) > 1:
                message += (
                    f"; {len(runs)} such stretches, {sum(b - a for a, b in runs):,} frames together"
                )
            remedy = (
                "look whether the recorder hung there; if so cut it out: nothing can be found in it"
            )
            yield Finding("frozen", "warning", clip.name, message, remedy)
        short = repeats.copy()
        for start, end in runs:
            short[start:end] = False
        rest = clip.frames - sum(end - start for start, end in runs)
        if rest >= REPEATED_LEAST and short.sum() >= REPEATED_SHARE * rest:
            message = (
                f"{int(short.sum()):,} of {clip.frames:,} frames repeat the one before: the true "
                "frame rate is lower"
            )
            true = (rest - int(short.sum())) / rest
            if clip.fps:
                message += f", about {true * clip.fps:.3g} frames/s"
            remedy = (
                "write it anew with the true rate (ffmpeg -i IN -vf fps=RATE OUT.mp4): repeated "
                "frames are too easy"
            )
            yield Finding("repeated-frames", "warning", clip.name, message, remedy)


def camera(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find a camera that does not stand still, and other sudden changes of the whole picture."""
    for clip in clips:
        if clip.moves:
            yield _moves(clip)
        cuts = [
            cut
            for cut in _cuts(clip)
            if not any(0 <= move.frame - cut < LOOK_EVERY for move in clip.moves)
        ]
        if cuts:
            message = (
                "the whole picture changes at once, at "
                f"{', '.join(at(clip, cut) for cut in cuts[:3])}"
            )
            if len(cuts) > 3:
                message += f" and {len(cuts) - 3} times more"
            remedy = (
                "where another camera or another time begins, begin another clip: a window across "
                "it shows no motion"
            )
            yield Finding("cut", "warning", clip.name, message, remedy)


def _moves(clip: Clip) -> Finding:
    moves = clip.moves
    far = max(moves, key=lambda move: math.hypot(move.right, move.down))
    furthest = f"{math.hypot(far.right, far.down):.0f} pixels"
    if len(moves) <= FEW_MOVES:
        places = ", ".join(at(clip, move.frame) for move in moves)
        message = f"the camera moved: the picture shifts, by up to {furthest}, at about {places}"
        remedy = "make clips of their own of what lies before and after; train on what it sees now"
        return Finding("camera-moves", "warning", clip.name, message, remedy)
    message = (
        f"the camera moves: seen at {len(moves)} of {clip.looks} looks, {LOOK_EVERY} frames apart, "
        f"by up to {furthest}, from {at(clip, moves[0].frame)} to {at(clip, moves[-1].frame)}"
    )
    remedy = (
        "mount it firmly or stabilise the footage: mpn is for fixed cameras, to it all that moves "
        "is motion"
    )
    return Finding("camera-moves", "warning", clip.name, message, remedy)


def _cuts(clip: Clip) -> list[int]:
    """Find frames at which nearly nothing of the picture stays, while before and after it does."""
    stays = clip.likeness
    cuts = []
    for cut in np.flatnonzero(stays < CUT_BELOW).tolist():
        around = np.concatenate([stays[max(0, cut - 3) : cut], stays[cut + 1 : cut + 4]])
        around = around[np.isfinite(around)]
        flat = clip.flat[cut] or clip.flat[cut - 1]
        if (
            clip.good[cut]
            and clip.good[cut - 1]
            and not flat
            and around.size
            and around.min() > CUT_BETWEEN
        ):
            cuts.append(cut)
    return cuts


def views(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find clips that are taken for one camera's and show different views."""
    for scene, scene_clips in by_scene(clips).items():
        by_view = tell_apart([clip.picture for clip in scene_clips])
        if len(by_view) > 1:
            groups = "; ".join(
                some([scene_clips[number].name for number in numbers], 2) for numbers in by_view[:3]
            )
            rest = f"; and {len(by_view) - 3} more" * (len(by_view) > 3)
            message = f"{len(by_view)} different views, taken for one camera's: {groups}{rest}"
            remedy = (
                "a folder for each camera (CAMERA/*.mp4), or one command for each: what is normal "
                "is learned by place"
            )
            yield Finding("several-cameras", "warning", scene_of(tree, scene), message, remedy)


def duplicates(tree: DatasetTree, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Find frames that are in two clips, or twice in one, pixel for pixel."""
    # Frames of a single colour are alike everywhere, and a picture that stands still is one.
    compared = [clip.good & ~clip.flat & ~_repeats(clip) for clip in clips]
    prints = [clip.prints[mask] for clip, mask in zip(clips, compared)]
    index = [np.flatnonzero(mask) for mask in compared]
    owner = np.repeat(np.arange(len(clips)), [len(numbers) for numbers in index])
    if not len(owner):
        return
    frames, all_prints = np.concatenate(index), np.concatenate(prints)
    # so clips and frames stay in order within equal prints
    ranked = np.argsort(all_prints, kind="stable")
    shared: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    again: dict[int, int] = defaultdict(int)
    for start, end in intervals(np.concatenate([[False], np.diff(all_prints[ranked]) == 0])):
        group = ranked[start - 1 : end]
        first_frame: dict[int, int] = {}  # by number of the clip
        for clip, frame in zip(owner[group].tolist(), frames[group].tolist()):
            again[clip] += clip in first_frame
            first_frame.setdefault(clip, frame)
        for first, second in combinations(first_frame, 2):
            shared[first, second].append((first_frame[first], first_frame[second]))
    for (first, second), pairs in sorted(shared.items(), key=lambda item: -len(item[1])):
        yield _shared(clips[first], clips[second], sorted(pairs, key=lambda pair: pair[::-1]))
    for number, count in sorted(again.items()):
        if count >= max(LOOP_LEAST, LOOP_SHARE * clips[number].frames):
            message = (
                f"{count:,} of {clips[number].frames:,} frames are equal to earlier ones: a loop, "
                "or a made video"
            )
            remedy = "keep one round of it: else it counts for more than it shows"
            yield Finding("loop", "warning", clips[number].name, message, remedy)


def _shared(first: Clip, second: Clip, pairs: list[tuple[int, int]]) -> Finding:
    """Make the finding of equal frames, pairs of (frame of the first clip, frame of the second)."""
    in_first, in_second = pairs[0]
    message = (
        f"{plural(len(pairs), 'frame')} of {second.frames:,} {'is' if len(pairs) == 1 else 'are'} "
        f"in {first.name} too, pixel for pixel; the first: frame {in_second}, there frame "
        f"{in_first}"
    )
    if {first.split, second.split} == {"training", "testing"}:
        remedy = (
            "take them out of the training footage: figures on frames that were trained on are too "
            "good"
        )
        return Finding("duplicates-train-test", "error", second.name, message, remedy)
    remedy = "keep one of them: the other adds nothing, and counts twice in figures and calibration"
    return Finding("duplicates", "warning", second.name, message, remedy)


CHECKS = (black, frozen, camera, views, duplicates)

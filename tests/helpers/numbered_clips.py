"""Clips whose frames say which they are, for the tests of episodes."""

from __future__ import annotations

import numpy as np

from mpn.datasets.windows import Clip
from mpn.video.frame_source import BadFrame

T = 4


def clip(count, *, name="clip", scene="yard", bad=()):
    """A clip whose frame k holds k (low byte, high byte, 0) all over: uint8 (N, 2, 2, 3)."""
    frames = np.zeros((count, 2, 2, 3), np.uint8)
    frames[..., 0] = (np.arange(count) % 256)[:, None, None]
    frames[..., 1] = (np.arange(count) // 256)[:, None, None]
    return Clip(name, scene, frames, 25.0, [BadFrame(i, f"{i}.png", "unreadable") for i in bad])


def numbered(*lengths, scene="yard", bad=()):
    """Clips of one scene whose frames' third channel says which clip it is."""
    clips = [
        clip(count, name=f"{scene}{i}", scene=scene, bad=bad) for i, count in enumerate(lengths)
    ]
    for number, numbered_clip in enumerate(clips):
        numbered_clip.frames[..., 2] = number
    return clips


def shown(shots):
    """(clip, frame) of every frame of every stack, a list a window."""
    return [
        [(int(f[0, 0, 2]), int(f[0, 0, 0]) + 256 * int(f[0, 0, 1])) for f in stack]
        for stack in shots.stacks
    ]

"""How long judging recordings by themselves will take, before it begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

import numpy as np

from mpn.jobs.first_pass import Recording
from mpn.jobs.survey import plan_survey
from mpn.motion.flow import MotionReader
from mpn.video.ahead import compute_ahead
from mpn.video.frame_source import FrameSource
from mpn.video.timing import USUAL_RATE

TRIED = 32  # frames whose time is taken
# What the second pass does to a frame beside reading it and its motion, as a share of that.
FURTHER = 0.5


def expected_seconds(recordings: Sequence[Recording]) -> tuple[float, float, int]:
    """Estimate how long judging recordings of one camera by themselves takes on this machine.

    Args:
        recordings: of the camera, none of them judged yet.

    Returns:
        Seconds that it takes, seconds of footage, and frames to be scored.
    """
    sources = [recording.open() for recording in recordings]
    lasts = sum(source.length / float(source.fps or USUAL_RATE) for source in sources)
    counted = sum(
        int(
            plan_survey(source.length, float(source.fps or USUAL_RATE), len(sources))
            .counts(np.arange(source.length))
            .sum()
        )
        for source in sources
    )
    frames = sum(source.length for source in sources)
    return _seconds_a_frame(sources[0]) * (counted + (1 + FURTHER) * frames), lasts, frames


def _seconds_a_frame(source: FrameSource) -> float:
    """Take the time of reading a frame and its motion."""
    reader, images = MotionReader(source.size), source.frames()
    reader.read(next(images))  # what opening takes is not of a frame
    begun = time.perf_counter()
    tasks = ((None, reader.begin(image)) for image in islice(images, TRIED))
    count = sum(1 for _ in compute_ahead(tasks))
    return (time.perf_counter() - begun) / max(1, count)

"""What is wanted of a source that is scored."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source

OVERLAYS = ("off", "events", "all")
JUST_ABOVE = 0.01  # a limit of 15 takes 30.1 frames a second for 30


@dataclass(frozen=True)
class JobOptions:
    """What is wanted of a source.

    Attributes:
        false_alarms_per_hour: sets the threshold, from normal footage.
        threshold: the threshold itself, instead.
        overlay: "off", "events" (a clip of each) or "all".
        fps: frames/s instead of what the source says.
        start: seconds, where the stretch to score begins.
        end: seconds, where it ends.
        every: only every n-th frame of it.
        fps_limit: and of these every n-th, so that no more than so many frames a second are left.
        strict: stop at the first frame that cannot be read, instead of going on with the one before
            it.
        report: keep the small heat maps that a report is made of.
    """

    false_alarms_per_hour: float = 1.0
    threshold: float | None = None
    overlay: str = "off"
    fps: float | None = None
    start: float | None = None
    end: float | None = None
    every: int = 1
    fps_limit: float | None = None
    strict: bool = False
    report: bool = False

    def settled(self, path: Path) -> JobOptions:
        """Say which frames of a source are scored where their rate is limited: `every` is that.

        Args:
            path: of a video file or a folder of frames.

        Raises:
            DataError: it cannot be read.
        """
        if self.fps_limit is None:
            return self
        rate = replace(self, fps_limit=None).open(path).fps
        step = math.ceil(float(rate) / self.fps_limit - JUST_ABOVE) if rate else 1
        return replace(self, every=self.every * max(1, step), fps_limit=None)

    def open(self, path: Path) -> FrameSource:
        """Open a source as it is asked for, `settled`.

        Args:
            path: of a video file or a folder of frames.

        Raises:
            DataError: it cannot be read.
        """
        lenient = not self.strict
        return open_source(
            path,
            skip_bad=lenient,
            repeat_broken=lenient,
            fps=self.fps,
            start=self.start,
            end=self.end,
            every=self.every,
        )

"""What is wanted of a source that is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source

OVERLAYS = ("off", "events", "all")


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
    strict: bool = False
    report: bool = False

    def open(self, path: Path) -> FrameSource:
        """Open a source as it is asked for.

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

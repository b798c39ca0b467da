"""Overlay videos of a scoring job: one of everything, or a clip of every event.

overlay.webm        every frame; overlay-2.webm, ... from where a stopped job went on
event-001.webm      event 1 with the two seconds before it; event-001-2.webm after a stop in the
midst of it
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from mpn.scoring.detector import Detector
from mpn.scoring.events import JUST, Event
from mpn.scoring.maps import map_on_frame
from mpn.scoring.reasons import short
from mpn.scoring.regions import Tracked
from mpn.scoring.result import Result
from mpn.video.film_writer import unfinished_films
from mpn.video.frame_source import FrameSource
from mpn.video.overlay import OverlayWriter, drawn

SECONDS_BEFORE = 2.0
SUFFIX = ".webm"


class _Drawer:
    """Draws results into overlay videos.

    Heat is in units of the threshold, boxes have the numbers of their tracks.

    Args:
        folder: of the results.
        source: gives frame rate and size.
        threshold: of the score; None without one: heat is then in units of the highest score so
            far.
        detector: gives the patch and the network's frame size.
        again: an earlier run has written overlays that are kept.
    """

    def __init__(
        self,
        folder: Path,
        source: FrameSource,
        threshold: float | None,
        detector: Detector,
        *,
        again: bool = False,
    ) -> None:
        self.folder, self.source, self.threshold, self.again = folder, source, threshold, again
        self.patch, self.network_size = detector.score_config.patch, detector.config.size
        self.writer: OverlayWriter | None = None
        self.highest = 1e-6

    def __enter__(self) -> _Drawer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.writer is not None:
            self.writer.__exit__(kind, error, trace)
            self.writer = None

    def _open(self, name: str) -> OverlayWriter:
        path = _free(self.folder, name) if self.again else self.folder / f"{name}{SUFFIX}"
        return OverlayWriter(path, fps=self.source.fps, size=self.source.size)

    def _draw(
        self,
        writer: OverlayWriter,
        result: Result,
        regions: Sequence[Tracked],
        open_event: Event | None = None,
    ) -> None:
        level = self.threshold if self.threshold is not None else self.highest
        heat = None
        if result.map is not None:
            self.highest = max(self.highest, result.score)
            size = self.network_size
            heat = np.clip(
                map_on_frame(result.map, self.patch, size, size) / max(level, 1e-6), 0, 1
            )
        writer.write(
            _image(result),
            result.score,
            self.threshold,
            heat,
            [region.box for region in regions],
            result.time,
            names=[str(region.track) for region in regions],
            # That of the event's peak so far: a frame's own would change too often to be read.
            words=_words(open_event) if open_event else "",
        )


def _words(event: Event) -> str:
    """Say in a few words why an event stands out, and what it is like."""
    reasons = [short(event.reason)] if event.reason else []
    text = ", ".join(reasons + ([event.like.words] if event.like else []))
    return text.encode("ascii", "replace").decode()


class OverlayVideo(_Drawer):
    """Writes overlay.webm: every frame."""

    def write(
        self, result: Result, regions: Sequence[Tracked], open_event: Event | None, number: int
    ) -> None:
        """Add a frame.

        Args:
            result: with its image.
            regions: in it.
            open_event: the event that may still become longer, if there is one.
            number: ignored.
        """
        if self.writer is None:
            self.writer = self._open("overlay")
        self._draw(self.writer, result, regions, open_event)

    def finish(self, number: int) -> None:
        """Do nothing: nothing is left to do at the end of a source."""


class EventClips(_Drawer):
    """Writes event-NNN.webm: every event with what came before it.

    Memory holds two seconds of small frames.
    """

    def __init__(
        self,
        folder: Path,
        source: FrameSource,
        threshold: float | None,
        detector: Detector,
        *,
        again: bool = False,
    ) -> None:
        super().__init__(folder, source, threshold, detector, again=again)
        self.before: deque[tuple[Result, Sequence[Tracked]]] = deque()
        self.number = 0

    def write(
        self, result: Result, regions: Sequence[Tracked], open_event: Event | None, number: int
    ) -> None:
        """Take a frame.

        Args:
            result: with its image.
            regions: in it.
            open_event: the event that may still become longer, if there is one.
            number: events that are over.
        """
        result.image = drawn(_image(result), self.source.size)
        if self.writer is not None and (open_event is None or number >= self.number):
            self._close(self.writer, number)
        if open_event is None:
            self.before.append((result, regions))
            begin = result.time - SECONDS_BEFORE  # by time: at night a camera may be slower
            while len(self.before) > 1 and not self.before[0][0].time > begin + JUST:
                self.before.popleft()
            return
        if self.writer is None:
            self.number = number + 1
            self.writer = self._open(f"event-{self.number:03}")
            for earlier in self.before:
                self._draw(self.writer, *earlier)
            self.before.clear()
        self._draw(self.writer, result, regions, open_event)

    def finish(self, number: int) -> None:
        """Close the last clip, at the end of a source.

        Args:
            number: events that are over.
        """
        if self.writer is not None:
            self._close(self.writer, number)

    def _close(self, writer: OverlayWriter, number: int) -> None:
        """Keep the clip if its event was long enough to be one."""
        self.writer = None
        writer.close()
        if number < self.number:
            writer.path.unlink()


def _image(result: Result) -> np.ndarray:
    if result.image is None:
        raise ValueError("results without images cannot be drawn")
    return result.image


def _free(folder: Path, name: str) -> Path:
    """Return NAME.webm, or the first of NAME-2.webm, NAME-3.webm, ... that does not exist."""
    names = [name, *(f"{name}-{again}" for again in range(2, 10_000))]
    return next(
        path for path in (folder / f"{stem}{SUFFIX}" for stem in names) if not path.exists()
    )


def keep_parts(folder: Path) -> None:
    """Give their names to overlay videos that a killed job left unfinished.

    Those that nothing can be read from are dropped.

    Args:
        folder: of the results.
    """
    for part, name in unfinished_films(folder, SUFFIX):
        part.rename(_free(folder, name))

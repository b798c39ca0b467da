"""The page's video: the picture above, its heat map on black below, in one file. No torch.

Every tenth frame is coded by itself, so that a jump along the curve shows its frame at once; what
stands still in between costs next to nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from tqdm import tqdm

from mpn.errors import DataError
from mpn.report.model import EventRow, Film, Runs
from mpn.video.film_writer import USUAL_RATE, VP8, FilmWriter
from mpn.video.frame_source import FrameSource
from mpn.video.sources import open_source

SUFFIX = ".webm"
SMALLEST_WIDTH, LARGEST_SIDE = 320, 480  # pixels of one picture
MIN_SIDE = 16  # of a sliver of a picture
# Of 0 (best) to 63: noise goes, people and edges stay.
QUALITY = {"crf": "30", "qmin": "20", "qmax": "40"}
MAX_THREADS, MAX_WAITING = 4, 8  # that make pictures of frames, and frames that wait for them
BUDGET = 3000  # frames of a film, about 5 MB
SECONDS_AROUND = 2.0  # shown before and after an event
# Heat is 128 of 255 at the threshold: there its colours have their full strength, and below the
# first they are black.
COLD, HOT = 38, 128


def film_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) that a frame of `size` (height, width) has in a film.

    At least 320 wide and at most 480 on its longer side, which counts more; sides are even.
    """
    height, width = size
    scale = max(1.0, SMALLEST_WIDTH / width)
    scale = min(scale, LARGEST_SIDE / max(height, width))
    shown = [max(MIN_SIDE, round(side * scale / 2) * 2) for side in size]
    return shown[0], shown[1]


def heat_colours() -> np.ndarray:
    """Return the colours of heat 0 to 255, uint8 (256, 1, 3) BGR.

    OpenCV's inferno, faded to black where it is cold. Added to a picture as light is (blend mode
    "screen"), black leaves it as it is.
    """
    steps = np.arange(256)
    colours = cv2.applyColorMap(steps.astype(np.uint8), cv2.COLORMAP_INFERNO)
    strength = np.clip((steps - COLD) / (HOT - COLD), 0, 1)[:, None, None]
    return np.rint(colours * strength).astype(np.uint8)


class PageFilmWriter(FilmWriter):
    """Writer of a film (.webm), one `write` a frame; see `FilmWriter`.

    Attributes:
        size: (height, width) of the picture, and of the heat below it.
        fps: frames/s that it is played at.
    """

    CODECS: ClassVar[dict[str, tuple[str, str, dict[str, str]]]] = {
        SUFFIX: ("libvpx", "yuv420p", VP8 | QUALITY)
    }
    KEY_FRAMES: ClassVar[int] = 10

    def __init__(
        self, path: str | Path, *, fps: Fraction | float | None, size: tuple[int, int]
    ) -> None:
        """Open the file.

        Args:
            path: where to.
            fps: frames/s; None plays at 25.
            size: (height, width) of the frames to come.

        Raises:
            DataError: the file cannot be written or has another suffix.
        """
        self.size = film_size(size)
        self._colours = heat_colours()
        height, width = self.size
        super().__init__(path, fps=fps, source_size=size, size=(2 * height, width))
        self.fps = float(self._rate)
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS))
        self._waiting: deque[Future[np.ndarray]] = deque()  # pictures that are being made

    def write(self, frame: np.ndarray, heat: np.ndarray | None = None) -> None:
        """Add a frame.

        Args:
            frame: uint8 (H, W, 3) BGR or (H, W, 1), of the size said at the start.
            heat: uint8 (h, w) of any size, 128 = as much as the threshold; None = no heat.
        """
        self._require_size(frame)
        self._waiting.append(self._pool.submit(self._picture, frame, heat))
        self.count += 1
        if len(self._waiting) > MAX_WAITING:
            self._encode(self._waiting.popleft().result())

    def _picture(self, frame: np.ndarray, heat: np.ndarray | None) -> np.ndarray:
        """Put a frame above its heat."""
        height, width = self.size
        canvas = np.zeros((2 * height, width, 3), np.uint8)
        shrinks = frame.shape[0] > height
        picture = cv2.resize(
            frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        canvas[:height] = picture if picture.ndim == 3 else picture[:, :, None]
        if heat is not None:
            levels = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
            canvas[height:] = self._colours[np.asarray(levels, np.uint8), 0]
        return canvas

    def close(self) -> None:
        """Finish the file and give it its name, see `FilmWriter.close`."""
        try:
            while self._waiting:
                self._encode(self._waiting.popleft().result())
        except BaseException:
            self._discard()
            raise
        super().close()

    def _release(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        super()._release()


def write_film(
    path: str | Path,
    frames: Iterable[np.ndarray],
    heat: Iterable[np.ndarray | None] | None,
    fps: Fraction | float | None,
    size: tuple[int, int],
    rows: Runs | None = None,
) -> Film:
    """Write a film of frames and their heat maps.

    Args:
        path: where to, .webm.
        frames: uint8 (H, W, C), all of `size` (height, width).
        heat: one uint8 (h, w) or None a frame; None: none.
        fps: frames/s, None plays at 25.
        size: (height, width) of the frames.
        rows: which rows of the scores the frames are, as runs (start, step, count); default: 0, 1,
            2, ...

    Raises:
        DataError: a frame of another size, no frame at all, heat or rows of another number, a file
            that cannot be written. What was begun is removed.
    """
    with PageFilmWriter(path, fps=fps, size=size) as writer:
        maps: Iterator[np.ndarray | None] = iter(repeat(None) if heat is None else heat)
        for frame in frames:
            try:
                own_heat = next(maps)
            except StopIteration:
                raise DataError(
                    f"{path}: {writer.count} heat maps for more frames; expected one a frame"
                ) from None
            writer.write(frame, own_heat)
        if rows is not None and len(rows_of(rows)) != writer.count:
            raise DataError(
                f"{path}: {writer.count:,} frames came for {len(rows_of(rows)):,} "
                "rows; expected the source as it was when it was scored, opened with "
                "the same options"
            )
    return Film(
        writer.path, writer.fps, writer.size, [(0, 1, writer.count)] if rows is None else list(rows)
    )


def film_of(
    source: str | Path | FrameSource,
    path: str | Path,
    rows: Runs,
    heat: np.ndarray | None = None,
    **options: Any,
) -> Film:
    """Write a film of some rows of a source; progress goes to stderr.

    Args:
        source: what was scored: a path, which is opened with `options` (of
            `mpn.video.sources.open_source`: the same as for scoring, so that its frames are the
            rows of the scores), or a source opened so.
        path: where to, .webm.
        rows: from `rows_to_show`.
        heat: uint8 (T, h, w), a map for every row of the scores, 128 = the threshold; None for
            none.
        **options: of `mpn.video.sources.open_source`.

    Raises:
        DataError: as `write_film` and the source do; fewer frames than rows, or than heat maps.
        FrameError: likewise.
    """
    if not isinstance(source, FrameSource):
        source = open_source(source, **options)
    film_rows = rows_of(rows)
    if heat is not None and len(film_rows) and film_rows[-1] >= len(heat):
        raise DataError(
            f"{source.path}: row {film_rows[-1]} is to be shown and there are "
            f"{len(heat):,} heat maps; expected one for every row"
        )
    maps = None if heat is None else (heat[row] for row in film_rows)
    return write_film(path, _frames(source, film_rows), maps, source.fps, source.size, rows)


def _frames(source: FrameSource, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frames of those rows; ends early where the source does."""
    wanted = np.zeros(source.length, bool)
    wanted[rows[rows < source.length]] = True
    with tqdm(
        source.pick(wanted),
        total=int(wanted.sum()),
        desc=f"film of {source.name}",
        unit="frame",
        disable=None,
    ) as bar:
        for _, frame in bar:
            yield frame


def rows_to_show(
    count: int,
    events: Sequence[EventRow],
    budget: int = BUDGET,
    fps: Fraction | float | None = None,
) -> Runs:
    """Choose the rows of the scores that a film shows, at most `budget`.

    All, or events whole and the rest thinned: the events with two seconds before and after them,
    the strongest first, as far as half of the budget goes (of one that is longer, what is round its
    peak); the rest evenly thinned.

    Args:
        count: rows that there are.
        events: whose rows are shown first.
        budget: rows at most.
        fps: of the rows, None: 25.

    Returns:
        Runs (start, step, count) that rise and do not overlap.
    """
    if count <= budget:
        return [(0, 1, count)] if count else []
    whole = np.zeros(count, bool)
    margin = round(SECONDS_AROUND * float(fps or USUAL_RATE))
    left = (budget - 1) // 2  # so that a row is left for each of the gaps
    for event in sorted(events, key=lambda event: -event.score):
        start, end = max(0, event.start - margin), min(count, event.end + margin)
        if end - start > left:
            start = min(max(event.peak - left // 2, start), end - left)
            end = start + left
        left -= int((~whole[start:end]).sum())
        whole[start:end] = True
    edges = np.flatnonzero(np.diff(whole)) + 1
    parts = list(zip([0, *edges.tolist()], [*edges.tolist(), count]))
    gaps = [end - start for start, end in parts if not whole[start]]
    rest = budget - int(whole.sum())
    step = next(
        step for step in range(1, count + 1) if sum(-(-gap // step) for gap in gaps) <= rest
    )
    return [
        (start, 1, end - start) if whole[start] else (start, step, -(-(end - start) // step))
        for start, end in parts
    ]


def rows_of(runs: Runs) -> np.ndarray:
    """Return the rows that runs (start, step, count) name, int64 (frames of the film,)."""
    return np.concatenate(
        [np.zeros(0, np.int64), *(start + step * np.arange(count) for start, step, count in runs)]
    )

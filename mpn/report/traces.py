"""What a page shows of a video, made of scores, regions and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from mpn.report.film import BUDGET, film_of, rows_to_show
from mpn.report.model import EventRow, Inside, Trace
from mpn.report.pictures import choose_rows, pictures_of
from mpn.scoring.calibration import Calibration
from mpn.scoring.detector import Detector
from mpn.scoring.events import Event, events
from mpn.scoring.inspection import frames_around_each, inspect_frame
from mpn.scoring.parts import asks_network
from mpn.scoring.regions import Box
from mpn.video.frame_source import FrameSource

MAX_ACTIVATIONS = 4  # frames whose insides a page shows
FILM_FRAMES = 2 * BUDGET  # of all films of a page together
MIN_FRAMES = 60  # of each film


def event_rows(
    scores: np.ndarray,
    threshold: float | None,
    fps: Fraction | float | None,
    calibration: Calibration | None = None,
    boxes: Mapping[int, Box] | None = None,
) -> list[EventRow]:
    """Find the events of a video; none where threshold or frame rate is unknown.

    Args:
        scores: (T,).
        threshold: an event is above it; None = unknown.
        fps: rows a second, None = unknown.
        calibration: says how rare an event is.
        boxes: row -> the strongest region there.
    """
    if threshold is None or fps is None:
        return []
    places = None if boxes is None else [boxes.get(row) for row in range(len(scores))]
    return [
        event_row(event, calibration) for event in events(scores, threshold, fps, regions=places)
    ]


def event_row(event: Event, calibration: Calibration | None) -> EventRow:
    """Return an event whose frames are rows, with how rare it is where that is known."""
    rarity = None if calibration is None else calibration.rarity(event.peak_score)
    return EventRow(
        event.start,
        event.end,
        event.peak_frame,
        event.peak_score,
        None if rarity is None else rarity.one_in,
        rarity is not None and rarity.beyond,
        box_of(event.region),
        event.start_seconds,
        event.end_seconds,
    )


def box_of(region: Sequence[int] | None) -> Box | None:
    """Return an event's region as a box, None where it has none."""
    if region is None:
        return None
    top, left, height, width = region
    return top, left, height, width


def strongest(regions: Sequence[tuple[int, int, float, Box]]) -> dict[int, Box]:
    """Return row -> box of its highest region, of (row, track, score, box)."""
    best: dict[int, tuple[float, Box]] = {}
    for row, _, score, box in regions:
        if row not in best or score > best[row][0]:
            best[row] = (score, box)
    return {row: box for row, (_, box) in best.items()}


def add_films(
    traces: Sequence[Trace],
    sources: Mapping[str, FrameSource],
    heat: Mapping[str, np.ndarray | None],
    folder: Path,
    frames: int = FILM_FRAMES,
) -> None:
    """Make every trace's film, `frames` of all together.

    More rows than that are thinned away from events.

    Args:
        traces: get their films.
        sources: by name, opened as they were for scoring.
        heat: uint8 (T, h, w) each, or None.
        folder: for the files.
        frames: of all films together, about.
    """
    total = sum(len(trace.scores) for trace in traces)
    for number, trace in enumerate(traces):
        share = max(MIN_FRAMES, int(frames * len(trace.scores) / max(total, 1)))
        rows = rows_to_show(len(trace.scores), trace.events, share, trace.fps)
        path = folder / f"film-{number + 1:03}.webm"
        trace.film = film_of(sources[trace.name], path, rows, heat.get(trace.name))


def look_into(
    detector: Detector,
    traces: Sequence[Trace],
    sources: Mapping[str, FrameSource],
    asked: Mapping[str, Sequence[int]] | None = None,
    max_frames: int = MAX_ACTIVATIONS,
) -> list[Inside]:
    """Compute the unit's insides where they are worth a look.

    That is at the highest events, and at the quietest frame; nowhere where the network has no say
    in the score.

    Args:
        detector: whose unit it is.
        traces: the videos.
        sources: by name, opened as they were for scoring.
        asked: video -> rows that a user wants beside these, each with a window before it
            (`detector.config.window`).
        max_frames: how many frames are chosen here at most, of all videos.
    """
    window = detector.config.window
    rows_by_video = {
        name: [(row, "as asked for") for row in rows] for name, rows in (asked or {}).items()
    }
    scored = [trace for trace in traces if np.isfinite(trace.scores).any()]
    scored = scored if asks_network(detector.parts) else []
    scored.sort(key=lambda trace: -float(np.nanmax(trace.scores)))
    left = max_frames
    for number, trace in enumerate(scored[: max_frames - 1]):
        # The first video shows its quietest frame too, the others their highest.
        share = left if number == len(scored) - 1 else 2 if number == 0 else 1
        chosen = [
            (row, why)
            for row, why in choose_rows(trace.scores, trace.events, share)
            if row >= window
        ]
        rows_by_video.setdefault(trace.name, []).extend(chosen[:share])
        left -= len(chosen[:share])
    activations: list[Inside] = []
    for name, rows in rows_by_video.items():
        windows = frames_around_each(sources[name], {row for row, _ in rows}, window)
        activations += [
            Inside(name, row, why, pictures_of(inspect_frame(detector, windows[row])))
            for row, why in rows
        ]
    return activations

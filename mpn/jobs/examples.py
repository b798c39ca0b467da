"""An event of an earlier scoring, found again in its recording: its examples, to teach a camera.

events.json says when and where, state.json beside it of which recording and how it was read. The
recording is read again around the event, by the model of the camera that is taught.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpn.errors import DataError
from mpn.io.text import plural
from mpn.jobs.options import JobOptions
from mpn.jobs.state import EVENTS, SCORES, STATE
from mpn.jobs.summary import UNREADABLE, read_summary
from mpn.model.taught import MAX_EXAMPLES, Taught
from mpn.scoring.detector import Detector
from mpn.scoring.embedding import embedding_of
from mpn.scoring.events import Event
from mpn.scoring.reasons import SeenMotion
from mpn.scoring.recognition import Sight
from mpn.scoring.regions import SHARE_OF_PEAK, Box, fit_costs
from mpn.scoring.result import Result
from mpn.video.paths import stamp_of

REACH_FRAMES = 250  # scored frames before and after an event's peak that are looked at


@dataclass(frozen=True)
class ListedEvent:
    """An event of an events.json.

    Attributes:
        event: the event.
        path: of its recording, which is as it was.
        options: how it was read.
        rate: frames per second that were scored.
        first_frame: the first that was scored.
    """

    event: Event
    path: Path
    options: JobOptions
    rate: float
    first_frame: int


def listed_event(path: Path, number: int) -> ListedEvent:
    """Find an event by its number.

    Args:
        path: of an events.json as `mpn score` leaves it, or of its folder.
        number: of the event, from 1 on, in the order of the file, which is that of time; the
            terminal and the report number events likewise.

    Raises:
        DataError: there is no such file or event, or its recording is gone or has changed.
    """
    folder = path.parent if path.name == EVENTS else path
    path = folder / EVENTS
    summary = read_summary(folder)
    events = summary["events"]
    try:
        rate = float(summary["fps"])
        size = tuple(int(side) for side in summary["frame_size"])
        identity = json.loads((folder / STATE).read_text(encoding="utf-8"))["identity"]
        source, options = Path(identity["source"]), JobOptions(**identity["options"])
        was = {name: identity[name] for name in ("bytes_or_frames", "modified")}
        with (folder / SCORES).open(newline="", encoding="utf-8") as table:
            first_frame = int(next(csv.DictReader(table))["frame"])
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename} is not there: give the {EVENTS} in the folder that mpn score wrote, "
            f"with its {STATE} and {SCORES}"
        ) from error
    except UNREADABLE as error:
        raise DataError(
            f"{path} is no {EVENTS} as mpn score writes it ({type(error).__name__}: {error}): give "
            "the one in the folder of its results"
        ) from error
    if not 1 <= number <= len(events):
        have = f"has {plural(len(events), 'event')}" + f", #1 to #{len(events)}" * bool(events)
        raise DataError(f"{path}: there is no event #{number}, it {have}")
    _check_same(path, source, was)
    try:
        event = _checked(Event.from_dict(events[number - 1]), size)
    except ValueError as error:
        raise DataError(f"{path}: its event #{number} cannot be read ({error})") from error
    return ListedEvent(event, source, options, rate, first_frame)


def _checked(event: Event, size: tuple[int, ...]) -> Event:
    """Return an event, raise ValueError where it cannot be one of frames of (height, width)."""
    whole = (event.start, event.peak_frame, event.end, *(event.region or ()))
    if not all(type(value) is int for value in whole):
        raise ValueError("frames and regions are whole numbers")
    if not 0 <= event.start <= event.peak_frame < event.end:
        raise ValueError(f"its peak at frame {event.peak_frame} is none of its frames")
    if event.region is not None:
        top, left, height, width = event.region
        inside = 0 <= top < top + height <= size[0] and 0 <= left < left + width <= size[1]
        if not inside:
            raise ValueError(f"its region {event.region} is not in the picture")
    return event


def _check_same(path: Path, source: Path, was: dict[str, Any]) -> None:
    """Raise DataError unless a recording is there still and as it was when it was scored."""
    if not source.exists():
        raise DataError(
            f"{path}: its recording {source} is gone; put it back, or teach by an event of another"
        )
    now = {"modified": stamp_of(source)}
    if source.is_file():
        now["bytes_or_frames"] = source.stat().st_size
    if any(was[name] != json.loads(json.dumps(value)) for name, value in now.items()):
        raise DataError(
            f"{path}: its recording {source} has changed since it was scored; score it again, and "
            "teach by an event of that"
        )


def examples_of(detector: Detector, listed: ListedEvent, name: str | None) -> Taught:
    """Read an event again, and keep how its region looks and moves in some frames of it.

    Args:
        detector: of the camera that is taught.
        listed: the event.
        name: what it shows; None for something normal.

    Returns:
        At most `MAX_EXAMPLES` examples, spread over the frames of the event in which the thing of
        its peak can be followed.

    Raises:
        DataError: the recording cannot be read, does not show the event's frames, or the model
            does not judge motion by place.
    """
    event = listed.event
    # What was taught before would hide what is taught now.
    plain = detector.sibling(
        replace(detector.checkpoint, taught=()), detector.score_config.to_dict()
    )
    near = REACH_FRAMES * listed.options.every
    first, end = max(event.start, event.peak_frame - near), min(event.end, event.peak_frame + near)
    frames: list[list[Sight]] = []  # the regions of each frame
    peak = -1
    for result in _results(plain, listed, first, end):
        if result.map is None or result.image is None:
            continue
        motion = result.evidence.motion if result.evidence else None
        if motion is None:
            raise DataError(
                "what is taught is told by its motion, and this model does not judge motion by "
                "place: adapt it to the camera (mpn adapt)"
            )
        sights = plain.recogniser.sights(result.map, result.image, motion)
        if result.frame == event.peak_frame:
            peak = len(frames)
            sights = [sight_of(event, sights, result.image, motion)]
        frames.append(sights)
    if peak < 0:
        raise DataError(f"{listed.path}: frame {event.peak_frame} of the event could not be read")
    return Taught(name, listed.path.name, event.peak_frame, examples_in(frames, peak))


def _results(detector: Detector, listed: ListedEvent, first: int, end: int) -> Iterator[Result]:
    """Score a recording from a frame on up to another; before it, the network is not asked."""
    source = listed.options.open(listed.path)
    source.fps = source.fps or Fraction(listed.rate)
    before = max(0, (first - listed.first_frame) // listed.options.every)
    with closing(detector.score(source, images=True, first=before)) as results:
        for result in results:
            if result.frame >= end:
                return
            if result.frame >= first:
                yield result


def sight_of(event: Event, sights: Sequence[Sight], image: np.ndarray, motion: SeenMotion) -> Sight:
    """Choose the region round an event's peak, or take it as the event has it.

    Args:
        event: the event.
        sights: the regions of its peak's frame.
        image: that frame, uint8 (H, W, C).
        motion: of it.

    Raises:
        DataError: the event has no region.
    """
    if event.region is None:
        raise DataError(f"the event at frame {event.peak_frame} has no region: score it again")
    top, left, height, width = event.region
    box = (top, left, height, width)
    # An event has the patch of its peak, which may be a small piece of a large thing.
    row, column = top + height / 2, left + width / 2
    for sight in sights:
        upper, before, high, wide = sight.box
        if upper <= row <= upper + high and before <= column <= before + wide:
            return sight
    costs = _costs(box, sights)
    if np.isfinite(costs).any():
        return sights[int(costs.argmin())]
    return Sight(0.0, box, embedding_of(image, box, motion))


def _costs(box: Box, sights: Sequence[Sight]) -> np.ndarray:
    """Compute how badly the regions of a frame fit a box, float64 (regions,)."""
    boxes = np.array([sight.box for sight in sights], np.int64).reshape(-1, 4)
    return fit_costs(np.array([box]), boxes)[0] if len(boxes) else np.empty(0)


def examples_in(frames: Sequence[Sequence[Sight]], peak: int) -> np.ndarray:
    """Follow the region of a peak through the frames before and after it, while it stands out.

    Args:
        frames: the regions of each frame of an event, in order.
        peak: which of them is its peak; only the event's own region stands there.

    Returns:
        float32 (examples, numbers), at most `MAX_EXAMPLES`, spread over the frames in which it is
        at least half as high as at the peak.
    """
    (peak_sight,) = frames[peak]
    sides = []
    for others in (frames[:peak][::-1], frames[peak + 1 :]):
        last, side = peak_sight, []
        for sights in others:
            costs = _costs(last.box, sights)
            if not np.isfinite(costs).any():
                break
            last = sights[int(costs.argmin())]
            if last.score >= SHARE_OF_PEAK * peak_sight.score:
                side.append(last)
        sides.append(side)
    followed = [*sides[0][::-1], peak_sight, *sides[1]]
    spread = np.unique(np.linspace(0, len(followed) - 1, MAX_EXAMPLES).round().astype(int))
    return np.stack([followed[number].embedding for number in spread])

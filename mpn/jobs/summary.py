"""What a job says of its results: the entries of events.json, and warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpn.errors import DataError
from mpn.io.text import ordinal, plain, plural
from mpn.jobs.state import EVENTS, FoundEvent, JobState
from mpn.scoring.calibration import Calibration, Threshold
from mpn.scoring.events import Event

# More of a video than this above a threshold that normal footage passes once an hour: the threshold
# is not its own.
STRANGE_SHARE = 0.3
# Fewer frames than these say nothing of a threshold.
MIN_FRAMES = 50
# What reading a file may raise that is not as it was written.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    StopIteration,
    RecursionError,
    OverflowError,
)
LONG_SECONDS = 2.0  # what lasts longer is no stranger for it


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the events.json of a folder.

    Args:
        folder: of the results.

    Returns:
        What it holds, at least `source`, `events` and `judged_by`.

    Raises:
        DataError: it is not there, or cannot be read.
    """
    path = folder / EVENTS
    expected = "the folder that mpn score wrote for a recording was expected (runs/score/lobby)"
    try:
        summary = {"judged_by": "model", **json.loads(path.read_text(encoding="utf-8"))}
        summary["source"] = str(summary["source"])
        if not isinstance(summary["events"], list):
            raise TypeError("its events are no list")
        for event in summary["events"]:
            _check_event(event)
    except (FileNotFoundError, NotADirectoryError) as error:
        below = sorted(str(other.parent) for other in folder.glob(f"*/{EVENTS}"))
        hint = f"; there is {', '.join(below[:3])}{', ...' * (len(below) > 3)}" if below else ""
        raise DataError(f"{folder}: has no {EVENTS}; {expected}{hint}") from error
    except UNREADABLE as error:
        raise DataError(
            f"{path} is no {EVENTS} as mpn score writes it ({type(error).__name__}: {error}); "
            f"{expected}"
        ) from error
    return summary


def _check_event(entry: Mapping[str, Any]) -> None:
    """Check that an entry of events.json is one; KeyError, TypeError or ValueError where not."""
    event = Event.from_dict(dict(entry))
    rarity = entry.get("rarer_than_one_in", 0), entry.get("beyond_normal_footage", False)
    top, left, height, width = event.region or (0, 0, 0, 0)
    times = (event.start_seconds, event.end_seconds, event.peak_score, event.peak_raw or 0.0)
    numbers = (event.peak_frame, *times, *rarity, top, left, height, width)
    if not all(isinstance(value, (int, float)) for value in numbers):
        raise TypeError("an event's numbers are none")
    if not all(map(math.isfinite, times)):
        raise ValueError("an event's times and score are finite")


def describe_event(found: FoundEvent, calibration: Calibration | None) -> dict[str, Any]:
    """Make an event's entry in events.json, with its rarity where normal footage is known.

    Args:
        found: the event and its tracks.
        calibration: of normal footage, None without.
    """
    if calibration is None:
        return found.to_dict()
    rarity = calibration.rarity(found.event.peak_score)
    return found.to_dict() | {
        "rarer_than_one_in": round(rarity.one_in, 1),
        "beyond_normal_footage": rarity.beyond,
    }


def describe_threshold(threshold: Threshold | None) -> dict[str, Any] | None:
    """Make the threshold's entry in events.json, as JSON gives it back; JSON has no NaN."""
    return None if threshold is None else plain(threshold._asdict())


def describe_span(shown: range) -> dict[str, int]:
    """Make the entry in events.json of which frames of the source are scored.

    Args:
        shown: their numbers.
    """
    return {"first": shown.start, "end": shown.stop, "every": shown.step}


def frames_text(summary: Mapping[str, Any]) -> str:
    """Say how many frames were scored: "390 frames", "390 of 1,169 frames (every 3rd)".

    Args:
        summary: what events.json holds.
    """
    count, span = summary["frames"], _span_of(summary)
    if span.step == 1:
        return plural(count, "frame")
    passed = min(len(range(span.start, span.stop)), count * span.step)
    return f"{count:,} of {plural(passed, 'frame')} (every {ordinal(span.step)})"


def behind_the_end(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the bad frames at which a source ends before it should.

    Args:
        summary: what events.json holds.
    """
    span = _span_of(summary)
    end = span.start + (summary["frames"] - 1) * span.step
    return [bad for bad in summary["bad_frames"] if bad["index"] > end]


def _span_of(summary: Mapping[str, Any]) -> range:
    """Read which frames are scored; earlier versions did not say it."""
    span = summary.get("span") or {"first": 0, "end": summary["frames"], "every": 1}
    return range(span["first"], span["end"], span["every"])


def strangeness(event: Mapping[str, Any], level: float) -> float:
    """Measure how strange an event is: how far above the level, for how long, up to two seconds.

    The peak alone would put a flicker of a frame or two first, and all of the time somebody who
    walks a little too fast through the whole picture (docs/results.md, "Judged by itself").

    Args:
        event: its entry in events.json.
        level: what its scores are above.

    Returns:
        Units of the score times seconds.
    """
    lasts = min(event["end_seconds"] - event["start_seconds"], LONG_SECONDS)
    return (event["peak_score"] - level) * lasts


def warnings_of(
    state: JobState, window: int, *, threshold_given: bool, camera_file: bool
) -> list[str]:
    """Say what speaks against the scores as a whole.

    Args:
        state: at the end of the source.
        window: T, frames before the first score.
        threshold_given: whether the threshold was given, and not made of normal footage.
        camera_file: whether the model was adapted to a camera.
    """
    if state.count <= window:
        return [f"{state.count} frames are too few, a score takes {window} before it"]
    share = state.above / state.count
    if share <= STRANGE_SHARE or threshold_given or state.count < MIN_FRAMES:
        return []
    start = f"{share:.0%} of the frames are above the threshold: either something is wrong most of "
    start += "the time, or "
    if camera_file:
        return [
            f"{start}the footage that the camera file was made of does not show what is usual; mpn "
            "adapt with more of it makes a better one"
        ]
    return [
        f"{start}this is not a camera that the model knows; mpn adapt NORMAL_FOOTAGE --out "
        "CAMERA.camera.safetensors makes one that does"
    ]

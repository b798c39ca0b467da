"""What a scoring job remembers to go on with, as plain data for its state.json."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mpn.errors import MpnError
from mpn.scoring.events import Event
from mpn.scoring.regions import Box, Tracked
from mpn.scoring.scores import ScoreConfig
from mpn.video.frame_source import BadFrame

log = logging.getLogger(__name__)

SCORES, EVENTS, STATE, HEAT = "scores.csv", "events.json", "state.json", "heat.bin"
FILMS = ("overlay*.webm", "event-*.webm")
# What of a job's identity says that the recording is the same.
RECORDING = ("bytes_or_frames", "modified")
MAX_TRACKS = 50  # of an event: one that lasts for days would fill events.json with them


class SeenTrack(NamedTuple):
    """A track in an event.

    Attributes:
        track: its number.
        first: the first frame above the threshold that it was seen in.
        last: the last one (included).
        peak_score: its highest score.
        box: where it was then.
    """

    track: int
    first: int
    last: int
    peak_score: float
    box: Box

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SeenTrack:
        """Read what `_asdict` gave and JSON brought back.

        Args:
            values: name -> value.
        """
        return cls(**{**values, "box": tuple(values["box"])})


class FoundEvent(NamedTuple):
    """An event that is over, and the tracks that were seen in it."""

    event: Event
    tracks: tuple[SeenTrack, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers and lists, ready for JSON."""
        return self.event.to_dict() | {
            "tracks": [track._asdict() | {"box": list(track.box)} for track in self.tracks]
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FoundEvent:
        """Read what `to_dict` gave, further entries left out.

        Args:
            values: name -> value.
        """
        return cls(
            Event.from_dict(values), tuple(SeenTrack.from_dict(track) for track in values["tracks"])
        )


@dataclass
class JobState:
    """Where a job stands after a whole batch of the network.

    Attributes:
        count: results.
        above: those above the threshold.
        sizes: name -> bytes of each file that grows with the results; in state.json, of a job that
            has finished, of all its files.
        smoothed: the last score.
        events: those that are over.
        open: one that may go on.
        seen: the tracks in it.
        tracker: see `mpn.scoring.regions.Tracker.to_dict`; None before the first result.
        highest: the highest score and its time in seconds.
        complete: whether the source is at its end.
        bad: frames that could not be read so far.
    """

    count: int = 0
    above: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    smoothed: float | None = None
    events: tuple[FoundEvent, ...] = ()
    open: Event | None = None
    seen: tuple[SeenTrack, ...] = ()
    tracker: dict[str, Any] | None = None
    highest: tuple[float, float] | None = None
    complete: bool = False
    bad: tuple[BadFrame, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers, lists and names, ready for JSON."""
        return {
            **vars(self),
            "events": [event.to_dict() for event in self.events],
            "open": self.open.to_dict() if self.open else None,
            "seen": [track._asdict() for track in self.seen],
            "bad": [asdict(bad) for bad in self.bad],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> JobState:
        """Read what `to_dict` gave.

        Args:
            values: name -> value.

        Raises:
            KeyError: something is missing.
            TypeError: it is none of what `to_dict` gives.
        """
        values = {"bad": [], **values}  # earlier versions read all of a source again
        entries = {name: values[name] for name in vars(cls())}
        entries["events"] = tuple(FoundEvent.from_dict(event) for event in entries["events"])
        entries["open"] = Event.from_dict(entries["open"]) if entries["open"] else None
        entries["seen"] = tuple(SeenTrack.from_dict(track) for track in entries["seen"])
        entries["bad"] = tuple(BadFrame(**bad) for bad in entries["bad"])
        entries["highest"] = tuple(entries["highest"]) if entries["highest"] else None
        return cls(**entries)


def with_seen(
    seen: Sequence[SeenTrack], frame: int, regions: Sequence[Tracked]
) -> tuple[SeenTrack, ...]:
    """Return the tracks of an event after one more of its frames.

    Args:
        seen: the tracks so far.
        frame: the frame's number.
        regions: in it.

    Returns:
        The highest `MAX_TRACKS` of them, by number.
    """
    tracks = {track.track: track for track in seen}
    for region in regions:
        track = tracks.get(
            region.track, SeenTrack(region.track, frame, frame, region.score, region.box)
        )
        if region.score > track.peak_score:
            track = track._replace(peak_score=region.score, box=region.box)
        tracks[region.track] = track._replace(last=frame)
    highest = sorted(tracks.values(), key=lambda track: -track.peak_score)[:MAX_TRACKS]
    return tuple(sorted(highest))


def earlier_state(folder: Path, identity: Mapping[str, Any]) -> JobState:
    """Find where an earlier run of the same job stopped.

    Args:
        folder: of its results.
        identity: what makes it the same job, as JSON gives it back.

    Returns:
        The beginning where there was no such run, or its files are gone.
    """
    try:
        content = json.loads((folder / STATE).read_text())
        state = JobState.from_dict(content["state"])
        earlier = content["identity"]
        # Weights had other names in earlier versions, and the network was asked about every frame.
        recipe = ScoreConfig.from_dict(earlier["recipe"]).to_dict()
        earlier = {"network_every": 1, **earlier, "recipe": recipe}
        whole = _whole(folder, state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MpnError):
        return JobState()
    same = earlier == identity
    if same and state.complete and not whole:
        log.info("%s: a file of it was changed or taken away: scored again", folder)
    if whole and not same and state.sizes:
        why = "its results were made otherwise (model, options)"
        if any(earlier.get(name) != identity.get(name) for name in RECORDING):
            why = "the recording has changed since"
        log.info("%s: %s: begun anew", folder, why)
    return state if same and whole else JobState()


def _whole(folder: Path, state: JobState) -> bool:
    """Say whether a job's files are there: as long as they were, or longer where it goes on."""
    if state.complete and not _is_summary(folder / EVENTS):  # earlier versions noted no size
        return False
    for name, size in state.sizes.items():
        path = folder / name
        size_now = path.stat().st_size if path.is_file() else -1
        if size_now != size if state.complete else size_now < size:
            return False
    return True


def _is_summary(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text()), dict)
    except (OSError, ValueError):
        return False


def finished_sizes(folder: Path) -> dict[str, int]:
    """Measure the files of a job that are written at once, for `JobState.sizes`.

    Args:
        folder: of its results.
    """
    paths = [path for pattern in (EVENTS, *FILMS) for path in folder.glob(pattern)]
    return {path.name: path.stat().st_size for path in paths}


def belongs_to(folder: Path, path: Path) -> bool:
    """Say whether a folder may hold this source's results: it has nothing of another source.

    Args:
        folder: for the results.
        path: of the source.
    """
    source = source_of(folder)
    return source == path.resolve() if source else not (folder / SCORES).is_file()


def source_of(folder: Path) -> Path | None:
    """Name the source whose results are in a folder, None where that is not known.

    Args:
        folder: of the results.
    """
    try:
        return Path(json.loads((folder / STATE).read_text())["identity"]["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

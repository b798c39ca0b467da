"""What the watching of cameras says to the world: where each camera stands, and its alarms.

The loop that watches makes both; what carries them out (files, webhooks, MQTT, metrics, the page)
reads them and knows nothing else of the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol


class State(str, Enum):
    """Where a camera stands."""

    STARTING = "starting"
    LEARNING = "learning"  # collects its first normal minutes; alarms do not count yet
    WATCHING = "watching"
    DISCONNECTED = "disconnected"  # no frames; it is tried again
    FROZEN = "frozen"  # frames come, all the same
    BLACK = "black"
    COVERED = "covered"  # the picture has lost its detail
    MOVED = "moved"  # the picture stands off what was learned
    ENDED = "ended"  # a file that is over
    FAILED = "failed"  # given up; `detail` says why


@dataclass(frozen=True)
class CameraStatus:
    """Where a camera stands, as of a moment.

    Attributes:
        camera: its name in the config.
        source: its address, without credentials.
        state: where it stands.
        detail: a line on the state, "" where nothing is to be said.
        since: Unix seconds from when on it stands there.
        fps: frames scored a second, lately.
        frames: frames scored so far.
        received: frames that came, scored or not.
        dropped: frames left out because there was no time for them.
        reconnects: how often the stream was opened again.
        lag: seconds between a frame's arrival and its score, of the latest.
        score: latest, None where there is none.
        threshold: for events, None where there is none yet.
        events: so far, with one that goes on.
        alarms_from: Unix seconds from when on its alarms count, None while that is not known.
        recent: (Unix seconds, score) of the last minutes, oldest first, at most some hundreds.
    """

    camera: str
    source: str
    state: State
    detail: str = ""
    since: float = 0.0
    fps: float = 0.0
    frames: int = 0
    received: int = 0
    dropped: int = 0
    reconnects: int = 0
    lag: float = 0.0
    score: float | None = None
    threshold: float | None = None
    events: int = 0
    alarms_from: float | None = None
    recent: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Alarm:
    """An event of a camera, told when it begins and again when it is over.

    Attributes:
        id: unique and usable as a file name: camera, UTC time of its start, a number.
        camera: its name in the config.
        phase: "begin", or "end".
        fields: what events.json says of an event (start, end, peak, peak_score, region, reason,
            like ... as `mpn.jobs.summary.describe_event` gives them), with "started" and "ended" as
            UTC times in ISO 8601, "counts" (False while the camera still learns); JSON values only.
        snapshot: JPEG of the peak so far with its region, None where there is none.
        clip: WebM of the event, at its end only.
    """

    id: str
    camera: str
    phase: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    snapshot: Path | None = None
    clip: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; files by their name."""
        return {
            "id": self.id,
            "camera": self.camera,
            "phase": self.phase,
            **self.fields,
            "snapshot": self.snapshot.name if self.snapshot else None,
            "clip": self.clip.name if self.clip else None,
        }


class Output(Protocol):
    """What carries alarms and states out of the loop.

    No method waits for a network or a disk that may be slow: what has to wait does so in a thread
    of the output's own. No method raises: what fails is logged, kept and tried again.
    """

    def alarm(self, alarm: Alarm) -> None:
        """Carry an alarm out."""

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Take where all cameras stand; called about once a second."""

    def close(self, seconds: float) -> None:
        """Finish what can be finished within so many seconds; keep the rest for the next start."""

"""How a model is adapted to a camera, and the report of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mpn.adaptation.before_after import HeldOutMetrics
from mpn.adaptation.footage import Without
from mpn.adaptation.inner_loop import Adaptation
from mpn.adaptation.made_motion import Made
from mpn.adaptation.moments import Moment
from mpn.adaptation.place import Stretch


@dataclass(frozen=True)
class CameraOptions:
    """How a model is adapted to a camera.

    Attributes:
        shots: K, support windows; None for all footage, but 10 windows with "meta".
        adaptation: method, steps and so on.
        false_alarms_per_hour: the rate that the report's thresholds are for.
        network: let the network have a say in the score. None: where it is trained, or there are
            `shots`. What motion is normal by all footage needs no network that has not seen the
            camera (docs/results-adaptation.md, "How many minutes").
        force: give the adapted model even where its loss on held-out frames has risen.
        standalone: it will be written as a whole model, of any size.
        without: footage that is not to count as normal, as if it could not be read.
    """

    shots: int | None = None
    # What motion is normal where finds more than any gradient (docs/results-adaptation.md).
    adaptation: Adaptation = field(default_factory=lambda: Adaptation("place"))
    false_alarms_per_hour: float = 1.0
    network: bool | None = None
    force: bool = False
    standalone: bool = False
    without: Sequence[Without] = ()

    @property
    def asks_network(self) -> bool:
        """Say whether the network has a say in the score."""
        if self.adaptation.method != "place":
            return True
        return bool(self.shots) if self.network is None else self.network


@dataclass(frozen=True)
class Report:
    """What was done and what came of it. Frames count from 0 in each clip, clips from 0.

    Attributes:
        source: as it was given.
        clips: names.
        frames: of each clip.
        without: frames that were left out as `CameraOptions` says.
        fps: the frame rate.
        fps_from: the footage's ("footage"), that of the model's training ("model"), or "assumed".
        windows: (clip, target frame) of the windows adapted on.
        excluded: (clip, first, end) of stretches that do not count as normal: of a camera's first
            minutes (`mpn.live.learning`) what was told at once.
        held_out: number of held-out frames with a score.
        before: the base on these.
        after: the adapted model on these. Its false alarms are counted on one half of them with
            the threshold from the other, both ways.
        made: what became of anomalies made of held-out motion, where a place model has not seen it.
        moments: the strangest of the held-out footage, with "place".
        options: shots, method, steps and so on, as they were used.
    """

    source: str
    clips: list[str]
    frames: list[int]
    without: list[Without]
    fps: float
    fps_from: str
    windows: list[tuple[int, int]]
    excluded: list[Stretch]
    held_out: int
    before: HeldOutMetrics
    after: HeldOutMetrics
    made: list[Made]
    moments: list[Moment]
    options: dict[str, Any]

    @property
    def worse(self) -> bool:
        """Say whether the loss on held-out frames has risen, or is no number any more."""
        if self.before.loss is None or self.after.loss is None:  # no gradient was taken
            return False
        return not self.after.loss <= self.before.loss

    @property
    def learnable(self) -> int:
        """Return how many frames there are beside those that were left out as asked."""
        out = {
            (left_out.clip, frame)
            for left_out in self.without
            for frame in range(left_out.first, left_out.last + 1)
        }
        return sum(self.frames) - len(out)

    @property
    def hours(self) -> float:
        """Return the length of the held-out footage."""
        return self.held_out / self.fps / 3600

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {"before": self.before._asdict(), "after": self.after._asdict()}
        values |= {"made": [anomaly.to_dict() for anomaly in self.made]}
        values |= {"moments": [moment.to_dict() for moment in self.moments]}
        return values | {"without": [str(left_out) for left_out in self.without]}

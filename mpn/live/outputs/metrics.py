"""Figures for Prometheus, of the cameras and of what carries alarms out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mpn.live.outputs.keeping import Keeper
from mpn.live.status import Alarm, CameraStatus, State
from mpn.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Name, what it is, the attribute of CameraStatus.
COUNTERS = (
    ("frames", "Frames scored.", "frames"),
    ("received_frames", "Frames that came, scored or not.", "received"),
    ("dropped_frames", "Frames left out because there was no time for them.", "dropped"),
    ("reconnects", "How often the stream was opened again.", "reconnects"),
    ("events", "Events found.", "events"),
)
GAUGES = (
    ("frame_rate", "Frames scored a second, lately.", "fps"),
    ("lag_seconds", "From a frame's arrival to its score, of the latest.", "lag"),
    ("score", "The latest score; higher is stranger.", "score"),
    ("score_threshold", "What the scores of an event are above.", "threshold"),
    ("alarms_from_timestamp_seconds", "From when on its alarms count.", "alarms_from"),
    ("state_since_timestamp_seconds", "From when on it is in its state.", "since"),
)


class Counted(Protocol):
    """What waits for a destination: an `mpn.live.outputs.outbox.Outbox`."""

    name: str
    delivered: int
    dropped: int

    def __len__(self) -> int:
        """Return how many messages wait."""
        ...


@dataclass(eq=False)
class _Figures(Collector):
    """Reads the figures when they are asked for."""

    outboxes: Sequence[Counted]
    keeper: Keeper | None
    cameras: Mapping[str, CameraStatus]

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("mpn_build_info", "The version of mpn.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from self._camera_metrics(self.cameras)
        yield from self._outbox_metrics()
        if self.keeper is not None:
            yield GaugeMetricFamily(
                "mpn_kept_bytes", "Of clips and snapshots.", value=self.keeper.kept_bytes
            )
            yield CounterMetricFamily(
                "mpn_kept_files_removed", "Clips and snapshots removed.", value=self.keeper.removed
            )

    def _camera_metrics(self, cameras: Mapping[str, CameraStatus]) -> Iterator[Metric]:
        for name, text, attribute in COUNTERS:
            counter = CounterMetricFamily(f"mpn_camera_{name}", text, labels=["camera"])
            for camera, status in cameras.items():
                counter.add_metric([camera], getattr(status, attribute))
            yield counter
        for name, text, attribute in GAUGES:
            gauge = GaugeMetricFamily(f"mpn_camera_{name}", text, labels=["camera"])
            for camera, status in cameras.items():
                value = getattr(status, attribute)
                if value is not None:
                    gauge.add_metric([camera], value)
            yield gauge
        states = GaugeMetricFamily(
            "mpn_camera_state", "1 for the state that it is in.", labels=["camera", "state"]
        )
        for camera, status in cameras.items():
            for state in State:
                states.add_metric([camera, state.value], float(status.state is state))
        yield states

    def _outbox_metrics(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "mpn_outbox_messages", "Messages that wait for it.", labels=["destination"]
        )
        delivered = CounterMetricFamily(
            "mpn_outbox_delivered_messages", "Messages it acknowledged.", labels=["destination"]
        )
        dropped = CounterMetricFamily(
            "mpn_outbox_dropped_messages",
            "Messages given up: too many, too old, refused.",
            labels=["destination"],
        )
        for outbox in self.outboxes:
            waiting.add_metric([outbox.name], len(outbox))
            delivered.add_metric([outbox.name], outbox.delivered)
            dropped.add_metric([outbox.name], outbox.dropped)
        yield from (waiting, delivered, dropped)


class Metrics:
    """Keeps the figures that the page answers at /metrics; an `Output`.

    Args:
        outboxes: whose messages are counted, of names that differ.
        keeper: of clips and snapshots.

    Attributes:
        registry: of this watcher alone, with those of the process.
    """

    def __init__(self, outboxes: Sequence[Counted] = (), keeper: Keeper | None = None) -> None:
        self._figures = _Figures(outboxes, keeper, {})
        self.registry = CollectorRegistry()
        self.registry.register(self._figures)
        ProcessCollector(registry=self.registry)

    def alarm(self, alarm: Alarm) -> None:
        """Do nothing: a camera's status counts its events."""

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Take the figures of now."""
        self._figures.cameras = dict(cameras)

    def close(self, seconds: float) -> None:
        """Do nothing: there is nothing to finish."""

    def text(self) -> bytes:
        """Write the figures in Prometheus' text format."""
        return generate_latest(self.registry)

"""Figures for Prometheus, read by its own parser and checked by its own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mpn.live.outputs.keeping import Keeper
from mpn.live.outputs.metrics import Metrics
from mpn.live.outputs.outbox import Outbox
from mpn.live.outputs.settings import KeepConfig, QueueConfig
from mpn.live.status import CameraStatus, State
from tests.helpers.fake_cameras import alarm, status

PROMTOOL = shutil.which("promtool")
ODD = 'a "b"\\ c\nd {x="1"}'


def figures(metrics: Metrics) -> dict[tuple, float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    outbox = Outbox(tmp_path / "box", QueueConfig(messages=2), "webhook http://there")
    for n in range(5):
        outbox.put({"n": n})
    message = outbox.first()
    assert message is not None
    outbox.done(message)
    keeper = Keeper(KeepConfig(), tmp_path)
    keeper.close(5)
    keeper.kept_bytes, keeper.removed = 12_345, 7
    own = Metrics([outbox], keeper)
    own.status({"lobby": status(), ODD: CameraStatus(ODD, "file", State.DISCONNECTED)})
    own.alarm(alarm())
    return own


def test_what_the_parser_reads_is_what_the_cameras_say(metrics: Metrics) -> None:
    found = figures(metrics)
    lobby = ("camera", "lobby")
    assert found["mpn_camera_frames_total", lobby] == 2982
    assert found["mpn_camera_received_frames_total", lobby] == 3000
    assert found["mpn_camera_dropped_frames_total", lobby] == 18
    assert found["mpn_camera_reconnects_total", lobby] == 2
    assert found["mpn_camera_events_total", lobby] == 3
    assert found["mpn_camera_lag_seconds", lobby] == 0.12
    assert found["mpn_camera_score", lobby] == 1.25
    assert found["mpn_camera_score_threshold", lobby] == 2.0
    assert found["mpn_camera_frame_rate", lobby] == 9.94
    assert found["mpn_camera_state", lobby, ("state", "watching")] == 1
    assert found["mpn_camera_state", lobby, ("state", "frozen")] == 0
    assert found["mpn_camera_state", ("camera", ODD), ("state", "disconnected")] == 1
    assert sum(value for key, value in found.items() if key[0] == "mpn_camera_state") == 2
    assert ("mpn_camera_score", ("camera", ODD)) not in found  # there is none yet
    there = ("destination", "webhook http://there")
    assert found["mpn_outbox_messages", there] == 1
    assert found["mpn_outbox_dropped_messages_total", there] == 3
    assert found["mpn_outbox_delivered_messages_total", there] == 1
    assert found["mpn_kept_bytes",] == 12_345 and found["mpn_kept_files_removed_total",] == 7
    assert found["process_resident_memory_bytes",] > 1e7


def test_two_watchers_in_a_process_do_not_mix(metrics: Metrics) -> None:
    other = Metrics()
    other.status({"yard": status("yard", frames=1)})
    names = {dict(key[1:]).get("camera") for key in figures(other)}
    assert names == {None, "yard"} and len(figures(Metrics())) > 3


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_tool_has_nothing_to_say(metrics: Metrics) -> None:
    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=metrics.text(), capture_output=True, timeout=60
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")

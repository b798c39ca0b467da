"""`mpn watch` as a process: killed in an event, started again, asked to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mpn
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_film, write_model


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config of one film that is played again and again, and races in its middle."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    base = write_model(tmp_path / "base.safetensors", normal=False, pseudo_head=False, **size)
    films = recording(200, fast=(150, 185))
    noise = np.random.default_rng(0).integers(-2, 3, (len(films), *SIZE, 1))
    films = np.clip(films.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    normal = write_film(tmp_path / "normal.avi", films[:90], 20.0)
    write_film(tmp_path / "race.avi", films[120:190], 20.0)
    detector = mpn.load(base, precision="float32")
    detector.adapt(normal).save(tmp_path / "hall.camera.safetensors")
    path = tmp_path / "watch.yaml"
    path.write_text(
        "model: base.safetensors\nout: out\nfalse_alarms_per_hour: 60\ncameras:\n"
        "  hall: {url: race.avi, loop: true, camera_file: hall.camera.safetensors}\n"
    )
    return path


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mpn", "watch", str(config), "--json", "--threads", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.mark.slow
def test_nothing_is_lost_that_was_told(config: Path) -> None:
    first = start(config)
    try:
        begin = line_of(first)
        assert begin["phase"] == "begin" and begin["camera"] == "hall"
    finally:
        first.kill()
        first.communicate()
    second = start(config)
    try:
        end = line_of(second)
        assert (end["id"], end["phase"], end["interrupted"]) == (begin["id"], "end", True)
        another = line_of(second)
        assert another["phase"] == "begin" and another["id"] != begin["id"]
        second.send_signal(signal.SIGTERM)
        out, err = second.communicate(timeout=60)
    finally:
        second.kill()
        second.communicate()
    assert second.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert (lines[-1]["id"], lines[-1]["phase"]) == (another["id"], "end")
    assert lines[-1]["clip"] and not (config.parent / "out/hall/open.json").exists()
    assert "stopping" in err and "Traceback" not in err

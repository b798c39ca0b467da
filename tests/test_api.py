"""What a Python user calls: `mpn.load`, and a detector that adapts and is saved."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mpn
from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.errors import CheckpointError, MpnError
from mpn.model.checkpoint import MetaInfo, load_checkpoint, save_checkpoint
from mpn.model.parameters import target_names
from tests.helpers.small_model import FPS, footage, write_footage, write_model

pytestmark = pytest.mark.usefixtures("coarse_flow")

SHOTS = 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_footage(tmp_path_factory.mktemp("clip") / "lobby", footage(120, seed=5))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The still model with step sizes for its pseudo-anomaly head."""
    path = tmp_path / "base.safetensors"
    plain = load_checkpoint(write_model(path))
    names = target_names(plain.network, ("pseudo_head.",))
    sizes = {name: torch.tensor(0.05) for name in names}
    save_checkpoint(path, replace(plain, meta=MetaInfo(("pseudo_head.",), sizes, steps=2, batch=4)))
    return path


def test_a_detector_adapts_saves_and_is_loaded_again(base: Path, clip: Path, tmp_path: Path):
    detector = mpn.load(base, precision="float32")
    adapted = detector.adapt(clip, shots=SHOTS, method="meta")
    _, report = adapt_camera(detector, clip, CameraOptions(SHOTS, Adaptation("meta")))
    assert adapted is not detector and isinstance(adapted, mpn.Detector)
    adapted_on = adapted.checkpoint.camera["adapted_on"]
    assert list(adapted_on.pop("footage").values()) == [[0, report.frames[0]]]
    assert adapted_on == report.to_dict()
    path = tmp_path / "lobby.camera.safetensors"
    assert adapted.save(path) is None
    assert path.stat().st_size < 1_000_000
    again = mpn.load(path, precision="float32")
    assert again.calibration(FPS).threshold(1) == adapted.calibration(FPS).threshold(1)
    first, second = (list(camera_detector.score(clip)) for camera_detector in (adapted, again))
    assert [a.score for a in first[4:]] == [b.score for b in second[4:]]
    assert adapted.save(path) == tmp_path / "lobby.v1.camera.safetensors"  # the earlier one


def test_a_detector_without_step_sizes_uses_adam(clip: Path, tmp_path: Path):
    model = write_model(tmp_path / "plain.safetensors")
    adapted = mpn.load(model, precision="float32").adapt(clip, shots=SHOTS, steps=1, method="adam")
    assert adapted.checkpoint.camera["adapted_on"]["options"]["method"] == "adam"


def test_options_of_an_adaptation_arrive(base: Path, clip: Path, tmp_path: Path):
    adapted = mpn.load(base).adapt(
        clip,
        SHOTS,
        1,
        method="meta",
        fps=5,
        false_alarms_per_hour=2.0,
        force=True,
        standalone=True,
    )
    report = adapted.checkpoint.camera["adapted_on"]
    used = report["options"]
    assert (used["shots"], used["steps"], used["false_alarms_per_hour"]) == (SHOTS, 1, 2.0)
    assert report["fps"] == 5
    adapted.save(tmp_path / "whole.safetensors", standalone=True)
    assert mpn.load(tmp_path / "whole.safetensors").checkpoint.camera is None


def test_what_is_no_model_and_what_was_not_adapted(base: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        mpn.load(tmp_path / "nothing.safetensors")
    with pytest.raises(MpnError, match="was not adapted"):
        mpn.load(base).save(tmp_path / "lobby.camera.safetensors")


# --- What is imported


def python(code: str) -> str:
    root = Path(__file__).resolve().parents[1]
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def test_metrics_load_no_torch():
    code = """
import sys
import mpn.metrics
assert mpn.metrics.frame_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
print("torch" in sys.modules)
"""
    assert python(code) == "False"


def test_names_are_imported_when_they_are_used():
    code = """
import sys
import mpn
print("torch" in sys.modules, mpn.load.__module__, "torch" in sys.modules)
mpn.load("demo")  # without torch's compiler, which takes a second to import
print("torch._dynamo" in sys.modules)
"""
    assert python(code).split() == ["False", "mpn.api", "True", "False"]


def test_every_public_name_is_there():
    assert set(mpn.__all__) <= set(dir(mpn))
    assert all(getattr(mpn, name) is not None for name in mpn.__all__)
    with pytest.raises(AttributeError, match="module 'mpn' has no attribute 'lode'"):
        mpn.lode  # noqa: B018


def test_what_the_package_shows_is_what_it_has():
    shown = dir(mpn)
    assert {"load", "errors", "metrics", "__version__"} <= set(shown)
    assert all(getattr(mpn, name) is not None for name in shown)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(mpn, "nothing")  # noqa: B009 (the lazy look-up is what is tested)

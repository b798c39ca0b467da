"""What an adaptation learns of changes that stay, and when there is too little footage for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import mpn
from mpn.adaptation.camera import CameraOptions, adapt_camera
from mpn.adaptation.camera_file import write_camera
from mpn.adaptation.inner_loop import Adaptation
from mpn.scoring.detector import Detector
from tests.helpers.small_model import footage, write_footage, write_model

pytestmark = pytest.mark.usefixtures("coarse_flow")

RATE = 5.0  # frames/s


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = tmp_path_factory.mktemp("base")
    return mpn.load(write_model(folder / "base.safetensors"), precision="float32")


@pytest.fixture(scope="module")
def lobby(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_footage(tmp_path_factory.mktemp("long") / "lobby", footage(300, seed=5))


def options(shots: int | None) -> CameraOptions:
    return CameraOptions(shots=shots, adaptation=Adaptation("place"))


def test_a_minute_of_footage_is_enough(detector: Detector, lobby: Path, tmp_path: Path) -> None:
    adapted, _ = adapt_camera(detector, lobby, options(None), fps=RATE)
    assert adapted.score_config["stays_score_weight"] > 0
    assert len(adapted.normal["stays"]) == len(adapted.normal["speed"])
    (place,) = adapted.places.values()
    assert place.background.seconds == pytest.approx(60, abs=2)
    path = tmp_path / "lobby.camera.safetensors"
    write_camera(path, adapted)
    again = mpn.load(path)
    assert "stays" in again.weights and again.normal["stays"] == pytest.approx(
        mpn.Detector(adapted).normal["stays"]
    )


@pytest.mark.parametrize(("shots", "rate"), [(10, RATE), (None, 2 * RATE)])
def test_a_few_windows_or_half_a_minute_are_not(
    detector: Detector, lobby: Path, shots: int | None, rate: float
) -> None:
    adapted, _ = adapt_camera(detector, lobby, options(shots), fps=rate)
    assert adapted.score_config["stays_score_weight"] == 0
    assert "stays" not in adapted.normal
    assert "stays" not in mpn.Detector(adapted).columns

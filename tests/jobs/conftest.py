"""What the tests of jobs share: a model, a detector without smoothing, a clip with an intruder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpn.api import load
from mpn.scoring.detector import Detector
from mpn.scoring.scores import ScoreConfig
from tests.helpers.small_model import footage, write_footage, write_model


@pytest.fixture(scope="module", autouse=True)
def quick(coarse_flow, small_pictures) -> None:
    """What a job does with motion and pictures is asked here, not what they show."""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("model") / "still.safetensors", normal=True, pseudo_head=False
    )


@pytest.fixture
def detector(model) -> Detector:
    return load(model, precision="float32")


@pytest.fixture
def sharp(model) -> Detector:
    """Without smoothing: an intruder's frames, and the one in which it is gone, are above the
    threshold, no others."""
    return load(model, precision="float32", score_config=ScoreConfig(smoothing=1.0))


@pytest.fixture
def clip(tmp_path) -> Path:
    """90 frames, an intruder in 20-31 and 50-61."""
    frames = footage(90, intruder=(20, 32))
    frames[50:62] = footage(62, intruder=(50, 62))[50:62]
    return write_footage(tmp_path / "clip", frames)

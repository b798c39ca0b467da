"""What the tests of adapting to a camera share: a model and footage of a camera."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.adapted_cameras import LENGTH, POISON, POISONED, write_base
from tests.helpers.small_model import footage, write_footage


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The still model with step sizes for its pseudo-anomaly head: a few steps lower the loss."""
    return write_base(tmp_path_factory.mktemp("base") / "base.safetensors", 0.05)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_footage(tmp_path_factory.mktemp("clip") / "lobby", footage(LENGTH, seed=5))


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_footage(
        tmp_path_factory.mktemp("poisoned") / "lobby", footage(POISONED, intruder=POISON, seed=5)
    )

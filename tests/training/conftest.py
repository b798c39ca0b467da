"""What the tests of training share."""

from __future__ import annotations

import pytest

from mpn.training.pretraining import Training


@pytest.fixture
def every_step_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a line of log.jsonl for each step."""
    monkeypatch.setattr(Training, "log_every", 1)

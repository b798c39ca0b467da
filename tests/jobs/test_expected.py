"""How long it will take."""

from __future__ import annotations

from functools import partial

import pytest

from mpn.jobs import JobOptions, expected
from mpn.jobs.first_pass import Recording
from mpn.jobs.survey import COUNTED
from tests.helpers.small_model import footage, write_footage


def test_it_grows_with_both_passes(tmp_path, monkeypatch) -> None:
    """A clock that every frame takes 10 ms on: of each frame the motion is read twice and more."""
    path = write_footage(tmp_path / "clip", footage(60))
    options = JobOptions(fps=10.0)
    recording = Recording(path, tmp_path / "out", partial(options.open, path))
    monkeypatch.setattr(expected, "_seconds_a_frame", lambda source: 0.01)
    takes, lasts, frames = expected.expected_seconds([recording, recording])
    assert (lasts, frames) == (12.0, 120)
    assert takes == pytest.approx(0.01 * (120 + (1 + expected.FURTHER) * 120))

    class Day:  # 24 hours at 10 frames a second
        fps, length = 10.0, 864_000

    day = Recording(path, tmp_path / "out", Day)
    takes, lasts, frames = expected.expected_seconds([day])
    assert lasts == 86_400.0
    first_pass = takes / 0.01 - (1 + expected.FURTHER) * 864_000
    assert 0 < first_pass < 1.1 * COUNTED


def test_a_frame_takes_time(tmp_path) -> None:
    source = JobOptions(fps=10.0).open(write_footage(tmp_path / "clip", footage(20)))
    assert 0 < expected._seconds_a_frame(source) < 5

"""Which frames of a source are scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpn.jobs.options import JobOptions
from tests.helpers.small_model import footage, write_footage


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "clip", footage(30))


@pytest.mark.parametrize(
    "fps, every, limit, expected",
    [
        (25.0, 1, 10.0, 3),  # 8.3 a second
        (30.0, 1, 10.0, 3),
        (30.05, 1, 10.0, 3),  # as cameras say it
        (10.0, 1, 10.0, 1),
        (10.05, 1, 10.0, 1),
        (10.2, 1, 10.0, 2),
        (5.0, 1, 10.0, 1),
        (60.0, 2, 10.0, 6),
        (25.0, 2, None, 2),
        (None, 1, 10.0, 1),  # nothing says how many a second these are
    ],
)
def test_no_more_than_so_many_frames_a_second(clip, fps, every, limit, expected) -> None:
    options = JobOptions(fps=fps, every=every, fps_limit=limit)
    settled = options.settled(clip)
    assert settled.every == expected and settled.fps_limit is None
    source = settled.open(clip)
    assert source.length == -(-30 // expected)
    assert source.fps is None if fps is None else float(source.fps) == pytest.approx(fps / expected)
    assert settled.settled(clip) == settled

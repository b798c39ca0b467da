"""Frames and motion of a video are the same in memory and on disk, and as read one by one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mpn.datasets.decoded import decode, memory_limit, too_large
from mpn.motion.flow import MotionReader
from mpn.video.images import fit_frame
from mpn.video.sources import open_source
from tests.helpers.small_model import footage, write_footage

FIT = partial(fit_frame, size=(32, 48), grey=True)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "clip", footage(12, intruder=(3, 9)))


@pytest.mark.parametrize("on_disk", [False, True])
def test_frames_and_motion_are_those_read_one_by_one(clip: Path, tmp_path: Path, on_disk: bool):
    source = open_source(clip)
    images = list(source.frames())
    reader = MotionReader(source.size)
    frames, motion = decode(source, FIT, tmp_path, on_disk=on_disk, motion=True)
    assert motion is not None and isinstance(frames, np.memmap) == on_disk
    np.testing.assert_array_equal(frames, np.stack([FIT(image) for image in images]))
    np.testing.assert_array_equal(motion, np.stack([reader.read(image) for image in images]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip"]  # nothing is left there


def test_no_motion_where_none_is_wanted(clip: Path):
    frames, motion = decode(open_source(clip), FIT, None, on_disk=False, motion=False)
    assert frames.shape == (12, 32, 48, 1) and motion is None


def test_what_is_too_large_by_hand():
    assert too_large(101, 100) and not too_large(100, 100)
    assert not too_large(1, None) and too_large(1 << 60, None)
    assert memory_limit(4) == pytest.approx(memory_limit() / 4, abs=1)

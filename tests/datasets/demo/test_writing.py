"""Clips are written side by side, and left where they are when nobody waits for them any more."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mpn.datasets.demo.dataset import scene_clips
from mpn.datasets.demo.writing import clip_writer

LENGTH = 2000  # frames; takes minutes


def test_an_interrupt_does_not_wait_for_clips_that_are_on_their_way(tmp_path: Path) -> None:
    scene = scene_clips(0, 0, training=4, validation=0, testing=0, length=LENGTH, size=(48, 72))
    with pytest.raises(KeyboardInterrupt), clip_writer(lambda: None, 2) as write:
        written = write(list(scene.training), tmp_path, False)
        with pytest.MonkeyPatch.context() as patch:
            # The first frame that is there interrupts what waits for the first clip.
            patch.setattr("concurrent.futures._base.Future.result", lambda *_: wait_for(tmp_path))
            next(written)
    frames = [len(list(folder.iterdir())) for folder in (tmp_path / "frames").iterdir()]
    assert frames and max(frames) < LENGTH


def wait_for(folder: Path) -> None:
    until = time.monotonic() + 60
    while not list(folder.rglob("*.jpg")):
        assert time.monotonic() < until
        time.sleep(0.02)
    raise KeyboardInterrupt


def test_in_one_process_every_frame_is_a_step(tmp_path: Path) -> None:
    scene = scene_clips(0, 0, training=0, validation=0, testing=2, test_length=9, size=(48, 72))
    steps: list[None] = []
    with clip_writer(lambda: steps.append(None), 1) as write:
        found = list(write(list(scene.testing), tmp_path, True))
    assert len(steps) == 18
    for clip, (labels, rows) in zip(scene.testing, found, strict=True):
        assert labels.shape == (9,) and labels.dtype == bool
        np.testing.assert_array_equal(np.flatnonzero(labels), sorted({row[1] for row in rows}))
        assert len(list((tmp_path / "masks" / clip.name).iterdir())) == 9

"""What stops a training, or is refused before it, and what is kept then."""

from __future__ import annotations

import errno
import math
import os
from dataclasses import replace

import pytest
import torch

from mpn.errors import DataError, MpnError, TrainingError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.state import load_state
from mpn.training import pretraining
from mpn.training.diagnosis import GAIN
from mpn.training.pretraining import Training, TrainingOptions, train
from tests.helpers.training_runs import (
    OPTIONS,
    PRESET,
    lines,
    one_line,
    same_tensors,
    tensors,
    untimed,
    walkers,
)

pytestmark = pytest.mark.usefixtures("every_step_is_logged")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_state_before(
    finished, tmp_path, monkeypatch
):
    total_loss = pretraining.total_loss
    calls = []

    def broken(terms, chosen):
        calls.append(1)
        return total_loss(terms, chosen) * (math.nan if len(calls) == 6 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "total_loss", broken)
        with pytest.raises(
            TrainingError, match="loss is not finite at step 6: .*rate than 0.002"
        ) as caught:
            train(walkers(), PRESET, OPTIONS, tmp_path)
    one_line(caught)
    assert load_state(tmp_path / "state.pt")["step"] == 5
    assert len(lines(tmp_path)) == 5 and not (tmp_path / "model.safetensors").exists()
    train(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    assert same_tensors(tensors(tmp_path), tensors(finished))


def test_a_gradient_that_is_not_finite_stops_too(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: torch.tensor(math.inf))
    with pytest.raises(TrainingError, match="gradient is not finite at step 1"):
        train(walkers(), PRESET, OPTIONS, tmp_path)
    state = load_state(tmp_path / "state.pt")
    assert state["step"] == 0 and all(t.isfinite().all() for t in state["network"].values())


def test_a_full_disk_stops_the_run_and_keeps_the_state(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "save_seconds", -1)
    fsync, calls = os.fsync, []

    def full(handle):
        calls.append(1)
        if len(calls) > 6:  # config, step 0, steps 1 to 4
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            MpnError,
            match=r"cannot write .*state.pt .*the disk is full; the "
            r"earlier file",
        ) as caught:
            train(walkers(), PRESET, OPTIONS, tmp_path)
    one_line(caught)
    assert load_state(tmp_path / "state.pt")["step"] == 4
    assert sorted(os.listdir(tmp_path)) == ["config.json", "log.jsonl", "state.pt"]
    train(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    assert same_tensors(tensors(tmp_path), tensors(finished))
    assert untimed(tmp_path) == untimed(finished)


def test_the_log_of_a_run_that_saved_nothing_is_not_continued(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n')
    train(walkers(), PRESET, replace(OPTIONS, epochs=1), tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 8))


def test_footage_without_a_window(tmp_path):
    with pytest.raises(DataError, match="no window to train on"):
        Training(walkers(4, frames=4), PRESET, OPTIONS, tmp_path)


def test_held_out_footage_shorter_than_a_window_is_no_obstacle(tmp_path):
    # two frames are held out
    train(walkers(1, frames=20), PRESET, replace(OPTIONS, epochs=1), tmp_path)
    model = load_checkpoint(tmp_path / "model.safetensors")
    assert [len(clip) for clip in model.normal["error"]] == [0]
    assert model.training["collapse"] == {} and GAIN not in model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either minutes or epochs"),
        ({"minutes": 1, "epochs": 1}, "either minutes or epochs"),
        ({"minutes": -1}, "a training of -1: a number above 0"),
        ({"epochs": 0}, "a number above 0"),
        ({"epochs": 1, "precision": "float16"}, "precision 'float16': float32 or bfloat16"),
        ({"epochs": 1, "batch_size": 0}, "out of range"),
        ({"epochs": 1, "calibration_share": 1.0}, "out of range"),
        ({"epochs": 1, "calibration_share": 0.0}, "out of range"),
        ({"epochs": 1, "learning_rate": 0}, "out of range"),
        ({"epochs": 1, "pseudo_kind": "squares"}, "'squares': ellipses, movers, both"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(TrainingError, match=message):
        TrainingOptions(**options)

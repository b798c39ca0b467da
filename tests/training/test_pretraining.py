from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mpn.errors import DataError, MpnError, TrainingError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.state import load_state, save_state
from mpn.training import pretraining, run
from mpn.training.diagnosis import GAIN
from mpn.training.pretraining import Training, TrainingOptions, train
from tests.helpers.training_runs import (
    OPTIONS,
    PRESET,
    STEPS,
    lines,
    one_line,
    same_tensors,
    tensors,
    untimed,
    walkers,
)


@pytest.fixture(autouse=True)
def every_step_is_logged(monkeypatch):
    monkeypatch.setattr(Training, "log_every", 1)


# --- A whole run


def test_training_learns_an_easy_clip(tmp_path):
    chosen = replace(PRESET, residual=False, pseudo_head=False)
    train(walkers(), chosen, replace(OPTIONS, epochs=12, learning_rate=5e-3), tmp_path)
    losses = [line["losses"]["untampered"] for line in lines(tmp_path)]
    assert len(losses) == 84
    assert np.mean(losses[-7:]) < 0.6 * np.mean(losses[:3])
    assert "pseudo" not in lines(tmp_path)[0]["losses"]


def test_terms_of_the_prototypes_change_nothing_until_it_is_their_turn(tmp_path):
    """Of 21 steps 5 are the warm-up's, and half of what is left are 8: step 14 is the first."""
    ends = {}
    for name, weight in (("little", 1.0), ("much", 30.0)):
        training = PRESET.training.with_weights({"compactness": weight})
        chosen = replace(PRESET, training=replace(training, prototypes_after=0.5))
        train(walkers(), chosen, OPTIONS, tmp_path / name)
        ends[name] = [line["losses"] for line in lines(tmp_path / name)]
    assert len(ends["much"]) == STEPS == 21
    # Logged all the same. The loss of a step is that of the weights before it.
    assert {"compactness", "diversity", "usage"} <= set(ends["much"][0])
    assert ends["little"][:15] == ends["much"][:15]
    assert ends["little"][15]["compactness"] != ends["much"][15]["compactness"]


class Terminal(io.StringIO):
    """What bars are shown on."""

    def isatty(self):
        return True


def test_its_bar_shows_one_loss_and_leaves_room_for_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    train(walkers(), PRESET, OPTIONS, tmp_path)
    shown = [text for text in re.split("[\r\n]", sys.stderr.getvalue()) if " 21/21 " in text][-1]
    found = re.fullmatch(r"training: 100%\|#{10}\| 21/21 \[.+, loss=(\d\.\d{4})\]", shown)
    assert found and len(shown) <= 80, shown
    last = lines(tmp_path)[-1]["losses"]
    weights = PRESET.training.weights_at(1.0)
    total = sum(weights[name] * value for name, value in last.items())
    assert float(found[1]) == pytest.approx(total, abs=1e-3)


def test_the_run_folder_tells_everything(finished):
    assert sorted(os.listdir(finished)) == [
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "state.pt",
    ]
    config = json.loads((finished / "config.json").read_text())
    assert config["preset"] == PRESET.to_dict()
    assert config["options"]["seed"] == 3 and config["options"]["epochs"] == 3
    assert [clip[:2] for clip in config["clips"]] == [[f"walk{i}", 14] for i in range(3)]
    log = lines(finished)
    assert [line["step"] for line in log] == list(range(1, STEPS + 1))
    assert [line["epoch"] for line in log] == pytest.approx(
        [step / 7 for step in range(1, STEPS + 1)]
    )
    assert all(
        set(line["losses"]) == {"untampered", "compactness", "diversity", "usage", "pseudo"}
        for line in log
    )
    assert all(math.isfinite(value) for line in log for value in line["losses"].values())
    assert ["collapse" in line for line in log] == [False] * (STEPS - 1) + [True]
    assert set(log[-1]["collapse"]) == {
        "prototype_cosine",
        "query_to_mean",
        "assignment_entropy",
        "usage_entropy",
    }


def test_the_model_holds_its_summary_and_normal_scores(finished):
    model = load_checkpoint(finished / "model.safetensors")
    assert model.config == PRESET and model.fps == 12.5
    assert model.training["steps"] == STEPS and model.training["windows"] == 30
    assert model.training[GAIN] == lines(finished)[-1][GAIN]
    assert model.training["held_out"] == ["walk3"] and model.training["options"]["seed"] == 3
    # The held-out clip's fourteen frames less the first four.
    assert {name: [len(clip) for clip in clips] for name, clips in model.normal.items()} == {
        "error": [10],
        "pseudo": [10],
    }
    state = load_state(finished / "state.pt")
    assert state["step"] == state["total"] == STEPS
    assert same_tensors(dict(model.network.state_dict()), state["network"])


def test_the_seed_decides_the_weights(finished, tmp_path):
    train(walkers(), PRESET, OPTIONS, tmp_path / "again")
    train(walkers(), PRESET, replace(OPTIONS, seed=4), tmp_path / "other")
    assert same_tensors(tensors(tmp_path / "again"), tensors(finished))
    assert untimed(tmp_path / "again") == untimed(finished)
    assert not same_tensors(tensors(tmp_path / "other"), tensors(finished))


def test_workers_need_no_shared_memory(finished, tmp_path, monkeypatch):
    # What /dev/shm of a megabyte does; workers are forked, and inherit this.
    def refuse(*_, **__):
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", refuse)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", refuse)
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", refuse)
    train(walkers(), PRESET, replace(OPTIONS, workers=2), tmp_path)
    assert same_tensors(tensors(tmp_path), tensors(finished))


def test_workers_do_not_change_the_weights(finished, tmp_path):
    train(walkers(), PRESET, replace(OPTIONS, workers=1), tmp_path)
    assert same_tensors(tensors(tmp_path), tensors(finished))


def test_bfloat16_trains_too(tmp_path):
    train(walkers(), PRESET, replace(OPTIONS, epochs=1, precision="bfloat16"), tmp_path)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors(tmp_path).values())
    assert len(lines(tmp_path)) == 7


def test_the_learning_rate_rises_and_falls_as_described(finished):
    found = [line["learning_rate"] for line in lines(finished)]
    expected = []
    for step in range(STEPS):
        if step < 5:
            expected.append(2e-3 * (step + 1) / 5)
        else:
            share = (step - 5) / (STEPS - 5)
            expected.append(2e-3 * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2))
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[5] == pytest.approx(2e-3)


def test_the_gradient_is_clipped(tmp_path, monkeypatch):
    norms = []
    step = torch.optim.Adam.step

    def watched(self, *args, **kwargs):
        norms.append(
            math.sqrt(sum(float(p.grad.square().sum()) for p in self.param_groups[0]["params"]))
        )
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    train(walkers(), PRESET, replace(OPTIONS, epochs=1, clip_norm=0.01), tmp_path)
    assert len(norms) == 7 and max(norms) <= 0.01 * 1.001
    assert all(line["gradient_norm"] > 0.01 for line in lines(tmp_path))


def test_observers_see_every_line(tmp_path):
    seen = []
    train(walkers(), PRESET, replace(OPTIONS, epochs=1), tmp_path, on_log=seen.append)
    assert seen == lines(tmp_path)


# --- Minutes


class Clock:
    """A clock that only training steps move."""

    def __init__(self, monkeypatch, durations):
        self.now = 100.0
        self.steps = 0
        clock = self

        def step(self, sample):
            clock.now += durations(clock.steps)
            clock.steps += 1
            self.step += 1
            self.norm = 1.0
            return {"frame": 0.0}

        monkeypatch.setattr(Training, "train_step", step)
        monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: clock.now))


def test_minutes_fix_the_number_of_steps(tmp_path, monkeypatch):
    # The first steps are slow and don't count for the rate: 5 x 2 s, then 0.5 s each.
    Clock(monkeypatch, lambda step: 2.0 if step < 5 else 0.5)
    train(walkers(), PRESET, replace(OPTIONS, epochs=None, minutes=1.0), tmp_path)
    # After 25 steps 20 s are gone; the other 40 s are 80 steps.
    assert len(lines(tmp_path)) == 25 + 80
    assert lines(tmp_path)[-1]["seconds"] == 60


def test_minutes_that_are_over_end_the_run_at_once(tmp_path, monkeypatch):
    Clock(monkeypatch, lambda step: 10.0)
    train(walkers(), PRESET, replace(OPTIONS, epochs=None, minutes=0.5), tmp_path)
    assert len(lines(tmp_path)) == 3 and lines(tmp_path)[-1]["seconds"] == 30


# Seconds of each step; what they are at first, and what becomes of the machine.
BUSY = {
    "busy at first": lambda step: 3.0 if step < 60 else 0.1,
    "busy later": lambda step: 0.1 if step < 1000 else 2.0,
    "busy at the very end": lambda step: 0.1 if step < 2800 else 4.0,
    "busy now and then": lambda step: 1.0 if step // 150 % 2 else 0.1,
    "a pause": lambda step: 40.0 if step == 700 else 0.1,
}


@pytest.mark.parametrize("name", BUSY)
def test_minutes_are_minutes_whatever_else_the_machine_does(tmp_path, monkeypatch, name):
    Clock(monkeypatch, BUSY[name])
    rates = []

    class Watched(Training):
        log_every = 1

        def _log_line(self, losses):
            rates.append(self._learning_rate())
            return {}

    # No step looks at its sample: small ones will do.
    options = replace(OPTIONS, epochs=None, minutes=5.0, warmup=5, batch_size=1)
    Watched(walkers(), replace(PRESET, pseudo_head=False), options, tmp_path).run()
    assert 0.9 * 300 <= lines(tmp_path)[-1]["seconds"] <= 1.1 * 300
    # The rate falls along the cosine, without a jump, to its end.
    falling = rates[5:]
    assert all(after <= before for before, after in zip(falling, falling[1:]))
    assert max(a - b for a, b in zip(falling, falling[1:])) < 0.1 * OPTIONS.learning_rate
    assert falling[-1] < 0.1 * OPTIONS.learning_rate


def test_a_resumed_run_keeps_its_minutes_and_its_learning_rate(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, lambda step: 1.0 if step < 100 else 0.2)
    options = replace(OPTIONS, epochs=None, minutes=4.0, warmup=5)

    def interrupt(line):
        if line["step"] == 300 and clock.steps == 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(walkers(), PRESET, options, tmp_path, on_log=interrupt)
    before = Training(walkers(), PRESET, options, tmp_path, resume=True)
    assert 0 < before.progress < 1 and before.step == 300
    stored = load_state(tmp_path / "state.pt")
    assert before.total == stored["total"] and list(before._planned_at) == stored["planned_at"]
    train(walkers(), PRESET, options, tmp_path, resume=True)
    assert 0.9 * 240 <= lines(tmp_path)[-1]["seconds"] <= 1.1 * 240


def test_a_state_from_before_plans_changed_can_be_resumed(finished, tmp_path):
    state = load_state(finished / "state.pt")
    del state["planned_at"]
    fingerprint = json.loads(state["fingerprint"])
    fingerprint["clips"] = [clip[:4] for clip in fingerprint["clips"]]
    save_state(tmp_path / "state.pt", state | {"fingerprint": json.dumps(fingerprint)})
    resumed = Training(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    assert resumed.step == STEPS and resumed.progress == 1.0


@pytest.mark.parametrize("stop", [10, 23, 25])
def test_a_run_by_minutes_resumes_before_and_after_its_plan(tmp_path, monkeypatch, stop):
    clock = Clock(monkeypatch, lambda step: 0.5)
    options = replace(OPTIONS, epochs=None, minutes=1.0)

    def interrupt(line):
        if line["step"] == stop and clock.steps == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(walkers(), PRESET, options, tmp_path, on_log=interrupt)
    train(walkers(), PRESET, options, tmp_path, resume=True)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 121))


# --- Failures


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

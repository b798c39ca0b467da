"""Training for so many minutes, whatever else the machine does."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mpn.model.state import load_state, save_state
from mpn.training import run
from mpn.training.pretraining import Training, train
from tests.helpers.training_runs import (
    OPTIONS,
    PRESET,
    STEPS,
    lines,
    walkers,
)

pytestmark = pytest.mark.usefixtures("every_step_is_logged")


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

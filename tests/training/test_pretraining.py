"""A whole run: what it learns, and what its folder tells."""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpn.model.checkpoint import load_checkpoint
from mpn.model.state import load_state
from mpn.training.diagnosis import GAIN
from mpn.training.pretraining import train
from tests.helpers.training_runs import (
    OPTIONS,
    PRESET,
    STEPS,
    lines,
    same_tensors,
    tensors,
    untimed,
    walkers,
)

pytestmark = pytest.mark.usefixtures("every_step_is_logged")


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
    match = re.fullmatch(r"training: 100%\|#{10}\| 21/21 \[.+, loss=(\d\.\d{4})\]", shown)
    assert match and len(shown) <= 80, shown
    last = lines(tmp_path)[-1]["losses"]
    weights = PRESET.training.weights_at(1.0)
    total = sum(weights[name] * value for name, value in last.items())
    assert float(match[1]) == pytest.approx(total, abs=1e-3)


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
    rates = [line["learning_rate"] for line in lines(finished)]
    expected = []
    for step in range(STEPS):
        if step < 5:
            expected.append(2e-3 * (step + 1) / 5)
        else:
            share = (step - 5) / (STEPS - 5)
            expected.append(2e-3 * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2))
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[5] == pytest.approx(2e-3)


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
    observed = []
    train(walkers(), PRESET, replace(OPTIONS, epochs=1), tmp_path, on_log=observed.append)
    assert observed == lines(tmp_path)

"""A run that was interrupted or killed ends as one left alone; another run is not resumed by
mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mpn.errors import CheckpointError, TrainingError
from mpn.model.state import load_state, save_state
from mpn.training.pretraining import Training, train
from mpn.training.run_folder import check_fingerprint
from tests.helpers.training_runs import (
    OPTIONS,
    PRESET,
    STEPS,
    one_line,
    same_tensors,
    tensors,
    untimed,
    walkers,
)

pytestmark = pytest.mark.usefixtures("every_step_is_logged")


# --- Interruptions


@pytest.mark.parametrize("stop", [3, 7, 21])
def test_an_interrupt_keeps_the_last_step_and_the_run_can_go_on(finished, tmp_path, stop):
    def interrupt(line):
        if line["step"] == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(walkers(), PRESET, OPTIONS, tmp_path, on_log=interrupt)
    assert load_state(tmp_path / "state.pt")["step"] == stop
    assert not (tmp_path / "model.safetensors").exists()
    train(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    assert same_tensors(tensors(tmp_path), tensors(finished))
    assert untimed(tmp_path) == untimed(finished)


def test_a_finished_run_resumed_gives_the_same_model(finished, tmp_path):
    for name in ("state.pt", "log.jsonl"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    train(walkers(), PRESET, OPTIONS, tmp_path, resume=True)
    assert same_tensors(tensors(tmp_path), tensors(finished))
    assert untimed(tmp_path) == untimed(finished)


# Forks one process for each life of a run, so that torch is imported once, and its compiler, which
# an optimizer imports with its first step.
LIVES = """
import os, signal, sys
import torch, torch._dynamo
torch.set_num_threads(1)
from mpn.training import pretraining
from tests.helpers.training_runs import OPTIONS, PRESET, walkers

folder = sys.argv[1]
pretraining.Training.save_seconds = -1
pretraining.Training.log_every = 1

def after(count, function=None, of=lambda *args: True):
    calls = []
    def wrapped(*args, **kwargs):
        calls.append(of(*args))
        if sum(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function and function(*args, **kwargs)
    return wrapped

def live(run, resume, prepare=lambda: None):
    process = os.fork()
    if not process:
        observe = prepare()
        run_folder = os.path.join(folder, run)
        pretraining.train(walkers(), PRESET, OPTIONS, run_folder, resume=resume, on_log=observe)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)

def while_saving():  # config, state of step 0, then one a step: killed before the rename of step 5
    os.fsync = after(7, os.fsync)

def within_a_step():  # gradients are there, weights are not changed; past the end of an epoch
    torch.nn.utils.clip_grad_norm_ = after(6, torch.nn.utils.clip_grad_norm_)

def after_a_log_line():
    return after(1, of=lambda line: line["step"] == 16)

live("alone", False)
live("killed", False, while_saving)
live("killed", True, within_a_step)
live("killed", True, after_a_log_line)
with open(os.path.join(folder, "killed", "log.jsonl"), "a") as log:
    log.write('{"step": 17, "epo')
live("killed", True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_run_killed_three_times_ends_as_one_left_alone(tmp_path):
    root = Path(__file__).resolve().parents[2]
    process = subprocess.run(
        [sys.executable, "-c", LIVES, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.split() == ["0", "9", "9", "9", "0"], process.stderr[-2000:]
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert same_tensors(tensors(killed), tensors(alone))
    assert untimed(killed) == untimed(alone) and len(untimed(alone)) == STEPS
    assert same_tensors(
        load_state(killed / "state.pt")["network"], load_state(alone / "state.pt")["network"]
    )
    # What the killed writer left is gone.
    assert sorted(os.listdir(killed)) == [
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "state.pt",
    ]


# --- Refusals


@pytest.fixture
def stopped(finished, tmp_path):
    """A folder with a state to resume."""
    (tmp_path / "state.pt").write_bytes((finished / "state.pt").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("clips", "chosen", "options", "message"),
    [
        (4, replace(PRESET, channels=8), OPTIONS, "other preset: channels 4, here 8"),
        (
            4,
            replace(PRESET, pseudo_head=False),
            OPTIONS,
            "other preset: pseudo_head True, here False",
        ),
        (4, PRESET, replace(OPTIONS, seed=1), "other options: seed 3, here 1"),
        (
            4,
            PRESET,
            replace(OPTIONS, pseudo_kind="movers"),
            "other options: pseudo_kind 'ellipses', here 'movers'",
        ),
        (
            4,
            PRESET,
            replace(OPTIONS, epochs=None, minutes=2),
            "options: minutes None, here 2, epochs 3, here None",
        ),
        (3, PRESET, OPTIONS, r"trained on other footage \(3 clips, here 3\)"),
        (6, PRESET, OPTIONS, r"trained on other footage \(3 clips, here 5\)"),
    ],
)
def test_another_run_cannot_be_resumed(stopped, clips, chosen, options, message):
    before = (stopped / "state.pt").read_bytes()
    with pytest.raises(CheckpointError, match=message) as caught:
        Training(walkers(clips), chosen, options, stopped, resume=True)
    one_line(caught)
    assert (stopped / "state.pt").read_bytes() == before


def test_a_state_of_another_version_is_refused_in_a_line(stopped):
    state = load_state(stopped / "state.pt")
    fingerprint = json.loads(state["fingerprint"])
    fingerprint["preset"]["usage_weight"] = fingerprint["preset"].pop("loss_weights")["usage"]
    save_state(stopped / "state.pt", state | {"fingerprint": json.dumps(fingerprint)})
    with pytest.raises(
        CheckpointError, match="state.pt was written by another version of mpn, .*start anew"
    ) as caught:
        Training(walkers(), PRESET, OPTIONS, stopped, resume=True)
    one_line(caught)


def test_a_state_from_before_a_loss_term_and_an_option_were_there(tmp_path):
    options = PRESET.training.with_weights({"untampered": 0})
    chosen = replace(PRESET, training=replace(options, prototypes_after=0.0))
    now = {"preset": chosen.to_dict()}
    before = json.loads(json.dumps(now))
    del before["preset"]["loss_weights"]["untampered"], before["preset"]["prototypes_after"]
    check_fingerprint(tmp_path / "state.pt", before, now)
    with pytest.raises(CheckpointError, match="loss_weights .*; give the same, or start anew"):
        changed = replace(chosen, training=options.with_weights({"untampered": 1}))
        check_fingerprint(tmp_path / "state.pt", before, {"preset": changed.to_dict()})


def test_a_state_from_before_there_were_movers_can_be_resumed(stopped):
    state = load_state(stopped / "state.pt")
    fingerprint = json.loads(state["fingerprint"])
    for name in ("pseudo_kind", "movers_from"):
        del fingerprint["options"][name]
    save_state(stopped / "state.pt", state | {"fingerprint": json.dumps(fingerprint)})
    assert Training(walkers(), PRESET, OPTIONS, stopped, resume=True).step == STEPS
    with pytest.raises(CheckpointError, match="pseudo_kind 'ellipses', here 'both'"):
        Training(walkers(), PRESET, replace(OPTIONS, pseudo_kind="both"), stopped, resume=True)


def test_other_footage_to_cut_movers_from_is_another_run(tmp_path):
    options = replace(OPTIONS, pseudo_kind="movers")
    Training(walkers(), PRESET, options, tmp_path, movers_from=walkers(2)).save()
    Training(walkers(), PRESET, options, tmp_path, movers_from=walkers(2), resume=True)
    for movers in ([], walkers(3)):
        with pytest.raises(CheckpointError, match="other options: movers_from"):
            Training(walkers(), PRESET, options, tmp_path, movers_from=movers, resume=True)


def test_other_footage_of_the_same_name_and_length_cannot_be_resumed(stopped):
    clips = walkers()
    clips[1].frames[0] = 255 - clips[1].frames[0]
    with pytest.raises(CheckpointError, match="trained on other footage"):
        Training(clips, PRESET, OPTIONS, stopped, resume=True)


def test_one_pixel_changed_in_the_middle_of_a_clip_is_other_footage(stopped):
    clips = walkers()
    clips[1].frames[7, 3, 4] ^= 1
    with pytest.raises(CheckpointError, match="trained on other footage"):
        Training(clips, PRESET, OPTIONS, stopped, resume=True)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(
        CheckpointError, match="nothing to resume: there is no .*state.pt; start without --resume"
    ):
        Training(walkers(), PRESET, OPTIONS, tmp_path, resume=True)


def test_a_state_cut_in_half_is_named(stopped):
    data = (stopped / "state.pt").read_bytes()
    (stopped / "state.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="state.pt is not a whole training state"):
        Training(walkers(), PRESET, OPTIONS, stopped, resume=True)


def test_a_folder_with_a_run_is_not_written_over(stopped):
    with pytest.raises(
        TrainingError, match="holds a run already: give --resume to go on, or another --out"
    ):
        Training(walkers(), PRESET, OPTIONS, stopped)
    (stopped / "state.pt").rename(stopped / "model.safetensors")
    with pytest.raises(TrainingError, match="holds a run already"):
        Training(walkers(), PRESET, OPTIONS, stopped)


def test_a_state_from_before_a_preset_had_its_later_options_can_be_resumed(stopped):
    state = load_state(stopped / "state.pt")
    fingerprint = json.loads(state["fingerprint"])
    for later in ("interpolation", "unit", "keys"):
        del fingerprint["preset"][later]
    save_state(stopped / "state.pt", state | {"fingerprint": json.dumps(fingerprint)})
    assert Training(walkers(), PRESET, OPTIONS, stopped, resume=True).step == STEPS
    linear = replace(PRESET, interpolation="linear")
    with pytest.raises(CheckpointError, match="interpolation 'area', here 'linear'"):
        Training(walkers(), linear, OPTIONS, stopped, resume=True)

"""One training in several processes: that of one process, whoever is killed, told once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.datasets.batches import EpochBatches, share_of
from mpn.errors import MpnError
from mpn.model.losses import LOSS_TERMS, LossInputs, loss_terms
from mpn.model.network import build_model
from mpn.model.state import load_state
from mpn.training.distributed import ALONE, Processes, current, joined
from tests.helpers.shared_files import made_once
from tests.helpers.training_runs import PRESET, lines

ROOT = Path(__file__).resolve().parents[2]
STEPS = 6
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def make(folder):
    command = [sys.executable, "-m", "tests.helpers.several_processes", str(folder)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What `tests.helpers.several_processes` made: its folder."""
    return made_once(tmp_path_factory, "several_processes", make)


@pytest.fixture(scope="module")
def outcomes(runs):
    return json.loads((runs / "outcomes.json").read_text())


def numbers(line):
    """The numbers of a line of a log, but for the times, by their place in it."""
    flat = {}
    for name, value in line.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": number for inner, number in numbers(value).items()}
        elif name not in ("seconds", "samples_per_second"):
            flat[name] = value
    return flat


def assert_same_log(first, second):
    assert len(first) == len(second) > 0
    for a, b in zip(map(numbers, first), map(numbers, second), strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-9)


def assert_same_state(alone, joint):
    states = [load_state(folder / "state.pt") for folder in (alone, joint)]
    assert states[0]["step"] == states[1]["step"]
    for part in ("network", "log_sizes"):
        first, second = (state.get(part, {}) for state in states)
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert tensor.dtype == torch.float64
            torch.testing.assert_close(second[name], tensor, **CLOSE)
    moments = [state["optimizer"]["state"] for state in states]
    assert moments[0].keys() == moments[1].keys()
    for number, moment in moments[0].items():
        for name, tensor in moment.items():
            torch.testing.assert_close(moments[1][number][name], tensor, **CLOSE)


# --- The same as in one process


@pytest.mark.parametrize("kind", ["pretrained", "meta-sgd", "reptile"])
def test_two_processes_train_as_one_does(runs, outcomes, kind):
    # Five windows, or three tasks, a step: the two have unequal shares.
    one, two = (runs / name / kind for name in ("one", "two"))
    assert_same_log(lines(one), lines(two))
    assert_same_state(one, two)
    returned = [process[kind] for process in outcomes["two"]["returned"]]
    assert returned[0] == returned[1]  # the weights of both to the bit
    assert sorted(path.name for path in two.iterdir()) == [
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "state.pt",
    ]


def test_what_is_compared_has_learned_and_has_every_kind_of_term(runs):
    log = lines(runs / "two" / "pretrained")
    assert [line["step"] for line in log] == list(range(1, STEPS + 1))
    assert set(log[0]["losses"]) == set(LOSS_TERMS) and log[0]["losses"]["ranking"] > 0
    assert any(LOSS_TERMS[name].whole_batch for name in log[0]["losses"])
    assert abs(log[-1]["losses"]["untampered"] / log[0]["losses"]["untampered"] - 1) > 1e-3
    meta = lines(runs / "two" / "meta-sgd")
    assert [line["step"] for line in meta] == [0, 1, 2, 2]
    assert ["validation" in line for line in meta] == [True, False, False, True]


def test_the_state_does_not_say_how_many_processes_there_were(runs):
    one, two = (
        json.loads(load_state(runs / name / "pretrained" / "state.pt")["fingerprint"])
        for name in ("one", "two")
    )
    assert one == two
    configs = [
        json.loads((runs / name / "pretrained" / "config.json").read_text())
        for name in ("one", "two")
    ]
    assert configs[1].pop("processes") == 2 and configs[0] == configs[1]


def test_by_minutes_all_take_the_steps_that_the_first_one_plans(runs, outcomes):
    first, second = (process["minute"] for process in outcomes["agreed"]["returned"])
    assert first == second
    # By the first one's clock: seven steps of 4 s, then of 8 s: 28 + 4 * 8 s are a minute.
    assert first["step"] == 11 and lines(runs / "agreed" / "minute")[-1]["seconds"] == 60


# --- Ended, and gone on with


def test_a_run_whose_process_was_killed_goes_on_in_another_number_of_them(runs, outcomes):
    assert outcomes["killed"]["returned"] is None
    assert len({process["digest"] for process in outcomes["killed_gone_on"]["returned"]}) == 1
    assert_same_log(lines(runs / "one" / "pretrained"), lines(runs / "killed"))
    assert_same_state(runs / "one" / "pretrained", runs / "killed")
    # The first one has kept the last whole step; its log goes on behind it.
    assert [line["step"] for line in lines(runs / "killed")] == list(range(1, STEPS + 1))


def test_a_signal_to_one_process_stops_all_behind_the_same_step(runs, outcomes):
    assert outcomes["stopped"]["returned"] == [3, 3]
    assert (runs / "stopped.err").read_text() == ""
    assert_same_log(lines(runs / "one" / "pretrained"), lines(runs / "stopped"))
    assert_same_state(runs / "one" / "pretrained", runs / "stopped")  # gone on with alone


def test_what_torchrun_starts_anew_goes_on_by_itself(runs, outcomes):
    assert outcomes["cli_killed"] == {"returned": [0, 0], "codes": {}}
    log = (runs / "cli_killed.err").read_text()
    assert log.count("torchrun has started the training anew: it goes on") == 1
    # The other one says so unless torchrun's SIGTERM comes before.
    assert log.count("another process of this training has ended") <= 1
    assert load_state(runs / "cli_killed" / "state.pt")["step"] == 7
    assert [line["step"] for line in lines(runs / "cli_killed")] == list(range(1, 8))
    assert (runs / "cli_killed" / "model.safetensors").exists()


# --- Mistakes


def test_a_mistake_is_told_once_with_the_usual_exit_code(runs, outcomes):
    assert list(outcomes["cli_no_data"]["codes"].values()) == [1]  # of the one that ended first
    assert (runs / "cli_no_data.err").read_text().count("mpn train: nowhere: does not exist") == 1
    assert not (runs / "cli_no_data").exists()


def test_what_one_process_alone_finds_is_told_by_it(runs, outcomes):
    assert list(outcomes["cli_one_fails"]["codes"].values()) == [1]
    messages = [
        line for line in (runs / "cli_one_fails.err").read_text().splitlines() if "mpn" in line
    ]
    train_messages = [line for line in messages if line.startswith("mpn train")]
    assert train_messages == ["mpn train: process 1 of 2: the GPU has not enough memory"]
    assert load_state(runs / "cli_one_fails" / "state.pt")["step"] == 2


def test_processes_with_other_footage_are_noticed(outcomes):
    first, second = (process["other"] for process in outcomes["agreed"]["returned"])
    assert first.startswith("ElsewhereError: process 1")
    assert "not what the first process trains" in second and "3 clips, here 4" in second


def test_more_processes_than_windows_are_refused():
    with pytest.raises(MpnError, match="3 processes for 2 windows a step.*start 2 at most"):
        Processes(0, 3).check_shares(2, "window", "raise --batch-size")
    Processes(0, 2).check_shares(2, "window", "raise --batch-size")


# --- Parts


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_all_of_a_batch_in_its_order_and_differ_by_one_at_most(count):
    shares = [share_of(list(range(7)), rank, count) for rank in range(count)]
    assert [item for share in shares for item in share] == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    whole, *parts = (EpochBatches(14, 7, 1, share) for share in [(0, 1), (0, 2), (1, 2)])
    assert list(whole) == [first + second for first, second in zip(*parts, strict=True)]


def test_a_term_is_a_mean_over_windows_or_says_what_it_looks_at():
    """What `Processes.of_share` relies on, for every term that there is."""
    torch.manual_seed(0)
    network = build_model(PRESET)
    generator = np.random.default_rng(0)
    window = torch.from_numpy(generator.uniform(-1, 1, (5, 4, 32, 48)).astype(np.float32))
    target = torch.from_numpy(generator.uniform(-1, 1, (5, 1, 32, 48)).astype(np.float32))
    tampered = torch.from_numpy(generator.random((5, 32, 48)) < 0.01)
    weights = dict.fromkeys(LOSS_TERMS, 1.0)

    def terms(start, stop):
        part = slice(start, stop)
        with torch.no_grad():
            output = network(window[part])
            # An untrained head ranks nothing: its logits are all alike.
            output = replace(output, pseudo_logits=100 * output.pseudo_logits)
            return loss_terms(output, target[part], tampered[part], weights)

    whole, first, second = terms(0, 5), terms(0, 2), terms(2, 5)
    assert set(whole) == set(LOSS_TERMS)
    for name, value in whole.items():
        mean = (2 * first[name] + 3 * second[name]) / 5
        assert torch.isclose(mean, value, rtol=1e-4, atol=1e-6) != bool(
            LOSS_TERMS[name].whole_batch
        ), name
    # Parameters alone have to agree: there is nothing else that a step changes.
    assert not list(network.buffers())


def test_without_torchrun_nothing_is_joined_and_nothing_changed(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "1")  # of something else
    with joined("cpu") as processes:
        assert processes is current() is ALONE and not torch.distributed.is_initialized()
        assert processes.device("cuda") == "cuda"
        values = torch.ones(2)
        assert processes.summed(values) is processes.gathered(values) is values
        terms = {"frame": torch.tensor(1.0)}
        assert processes.of_share(terms, LossInputs(None, None, None), 1)["frame"] is terms["frame"]
        assert processes.from_first(b"text") == b"text" and processes.takes_the_word()

"""Adapting a network on windows of one camera."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mpn.adaptation.inner_loop import (
    TARGETS,
    Adaptation,
    SceneLoss,
    adapt_network,
    adapted_checkpoint,
    default_targets,
)
from mpn.datasets.shots import shots_of
from mpn.datasets.windows import Sample
from mpn.errors import MpnError
from mpn.model.checkpoint import Checkpoint, MetaInfo
from mpn.model.losses import LOSS_TERMS, loss_terms, ranking_loss, total_loss
from mpn.model.network import build_model
from mpn.model.parameters import target_names
from tests.helpers.training_runs import walkers


@pytest.fixture
def shots():
    return shots_of(walkers(2, frames=30), [(0, 20), (1, 25)], 4)


@pytest.fixture
def sample(shots):
    return shots.sample(3, np.random.default_rng(2))


def plain(network, sample):
    """The loss as training has it, without anything functional."""
    frames = sample.frames.float() / 127.5 - 1
    output = network(frames[:, :-1].flatten(1, 2))
    weights = network.config.training.loss_weights
    return total_loss(loss_terms(output, frames[:, -1], sample.tampered, weights), weights)


def meta_info(network, names, size=1e-2):
    parameters = dict(network.named_parameters())
    chosen = target_names(network, names)
    return MetaInfo(
        tuple(names), {name: torch.full_like(parameters[name], size) for name in chosen}, 2, 3
    )


def own_params(network, names):
    return {name: p.detach().clone() for name, p in network.named_parameters() if name in names}


@pytest.mark.parametrize("kind", TARGETS)
def test_the_loss_of_the_own_parameters_is_that_of_training(tiny, sample, kind):
    names = target_names(tiny, TARGETS[kind])
    loss = SceneLoss(tiny.requires_grad_(False), names)
    value = loss(own_params(tiny, names), loss.prepare(sample))
    assert torch.allclose(value, plain(tiny, sample), rtol=1e-5)


def test_encoder_and_decoder_run_once_where_neither_is_adapted_and_give_the_same(
    tiny, sample, monkeypatch
):
    tiny.requires_grad_(False)
    names = target_names(tiny, TARGETS["last"])
    loss = SceneLoss(tiny, names)
    calls = []
    decode = tiny.decode
    monkeypatch.setattr(tiny, "decode", lambda window: calls.append(1) or decode(window))
    params = {name: p.requires_grad_() for name, p in own_params(tiny, names).items()}
    batch = loss.prepare(sample)
    once = torch.autograd.grad(loss(params, batch), list(params.values()))
    loss(params, batch)
    assert len(calls) == 1
    again = torch.autograd.grad(loss(params, batch._replace(decoded=None)), list(params.values()))
    assert len(calls) == 2
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-8) for a, b in zip(once, again))


def test_an_encoder_that_an_outer_loop_learns_is_not_run_beforehand(tiny, sample):
    loss = SceneLoss(tiny, target_names(tiny, TARGETS["last"]))
    assert loss.prepare(sample).decoded is None
    value = loss(own_params(tiny, target_names(tiny, TARGETS["last"])), loss.prepare(sample))
    value.backward()
    assert float(tiny.encoder.block1[0].weight.grad.abs().max()) > 0


def test_terms_can_be_left_out(tiny, sample):
    names = target_names(tiny, TARGETS["early"])
    params = own_params(tiny, names)
    loss = SceneLoss(tiny, names, without=("pseudo", "usage", "diversity", "compactness"))
    batch = loss.prepare(sample)
    error = (tiny(batch.window).prediction - batch.target).square()
    assert sample.tampered.any()
    expected = torch.where(sample.tampered.unsqueeze(1), 0.0, error).mean()
    assert torch.allclose(loss(params, batch), expected)
    with pytest.raises(MpnError, match="no loss term 'psuedo'; there are frame, .*pseudo"):
        SceneLoss(tiny, names, without=("psuedo",))
    with pytest.raises(MpnError, match="no loss term is left"):
        SceneLoss(tiny, names, without=tuple(LOSS_TERMS))


def test_a_batch_may_have_further_terms(tiny, sample):
    names = target_names(tiny, TARGETS["early"])
    loss, params = SceneLoss(tiny, names), own_params(tiny, names)
    batch = loss.prepare(sample)
    ranking = ranking_loss(tiny(batch.window).pseudo_logits, batch.tampered)
    assert ranking > 0
    extended = loss(params, batch._replace(extra_weights={"ranking": 3.0}))
    assert torch.allclose(extended, loss(params, batch) + 3 * ranking)


def test_steps_of_a_meta_trained_checkpoint_are_gradient_steps_with_its_step_sizes(tiny, shots):
    names = ("pseudo_head.4.",)
    checkpoint = Checkpoint(tiny, meta=meta_info(tiny, names))
    before = {name: p.detach().clone() for name, p in tiny.named_parameters()}
    adapted = adapt_network(checkpoint, shots, Adaptation(seed=4))
    # By hand: the same draws, autograd on the network itself, p <- p - 0.01 g, twice.
    generator = np.random.default_rng(4)
    for _ in range(2):
        tiny.zero_grad()
        plain(tiny, shots.sample(3, generator, pseudo=True)).backward()
        with torch.no_grad():
            for name, p in tiny.named_parameters():
                if name in adapted:
                    p -= 1e-2 * p.grad
    parameters = dict(tiny.named_parameters())
    assert set(adapted) == {"pseudo_head.4.weight", "pseudo_head.4.bias"}
    for name, tensor in adapted.items():
        assert torch.allclose(tensor, parameters[name], rtol=1e-4, atol=1e-7), name
        assert not torch.equal(tensor, before[name])


def test_adam_is_torchs_adam(tiny, shots):
    options = Adaptation("adam", steps=3, learning_rate=1e-3, batch=2, seed=1, targets=("head.",))
    adapted = adapt_network(Checkpoint(tiny), shots, options)
    optimizer = torch.optim.Adam(tiny.head.parameters(), lr=1e-3)
    generator = np.random.default_rng(1)
    for _ in range(3):
        optimizer.zero_grad()
        plain(tiny, shots.sample(2, generator, pseudo=True)).backward()
        optimizer.step()
    for name, p in tiny.head.named_parameters():
        assert torch.allclose(adapted[f"head.{name}"], p, rtol=1e-3, atol=1e-5), name


def test_adaptation_lowers_the_loss_on_its_own_windows_and_leaves_the_base_alone(tiny, shots):
    checkpoint = Checkpoint(tiny)
    before = {name: p.detach().clone() for name, p in tiny.named_parameters()}
    adapted = adapt_network(
        checkpoint, shots, Adaptation("adam", steps=30, learning_rate=3e-3, batch=4)
    )
    assert all(torch.equal(p, before[name]) for name, p in tiny.named_parameters())
    assert all(p.grad is None for p in tiny.parameters())
    new = adapted_checkpoint(checkpoint, adapted)
    sample = shots.sample(16, np.random.default_rng(99))
    with torch.no_grad():
        assert plain(new.network, sample) < plain(tiny, sample)
    changed = {
        name for name, p in new.network.named_parameters() if not torch.equal(p, before[name])
    }
    assert changed == set(target_names(tiny, TARGETS["early"]))


def test_the_seed_decides(tiny, shots):
    def run(seed):
        return adapt_network(
            Checkpoint(tiny), shots, Adaptation("adam", steps=2, batch=2, seed=seed)
        )  # noqa: E731

    first, again, other = run(0), run(0), run(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_checkpoint_without_step_sizes_is_named_with_the_way_out(tiny, shots):
    with pytest.raises(MpnError, match="not meta-trained.*adam"):
        adapt_network(Checkpoint(tiny), shots)


def test_learned_step_sizes_are_for_their_own_targets(tiny, shots):
    checkpoint = Checkpoint(tiny, meta=meta_info(tiny, ("head.",)))
    with pytest.raises(MpnError, match=r"learned for head\."):
        adapt_network(checkpoint, shots, Adaptation(targets=("pseudo_head.",)))
    adapt_network(
        checkpoint, shots, Adaptation("adam", steps=1, batch=2, targets=("pseudo_head.",))
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "sgd"}, "place, adam, meta are the methods"),
        ({"steps": -1}, "steps"),
        ({"learning_rate": 0.0}, "learning rate"),
    ],
)
def test_impossible_options_are_named(options, words):
    with pytest.raises(MpnError, match=words):
        Adaptation(**options)


def test_without_a_pseudo_anomaly_head_there_are_targets_and_adaptation_too(shots):
    torch.manual_seed(1)
    network = build_model("small", channels=4, height=32, width=48, pseudo_head=False)
    assert default_targets(network) == ("encoder.block1.", "encoder.block2.")
    adapted = adapt_network(Checkpoint(network), shots, Adaptation("adam", steps=1, batch=2))
    assert all(name.startswith("encoder.block") for name in adapted)


@pytest.mark.parametrize("unit", ["attention", "none"])
def test_networks_with_another_unit_are_adapted(shots, sample, unit):
    torch.manual_seed(1)
    network = build_model("small", channels=4, height=32, width=48, unit=unit)
    options = Adaptation("adam", targets=TARGETS["last"], steps=20, learning_rate=3e-3, batch=4)
    adapted = adapt_network(Checkpoint(network), shots, options)
    assert ("prototype.heads.weight" in adapted) == (unit == "attention")
    new = adapted_checkpoint(Checkpoint(network), adapted)
    with torch.no_grad():
        assert plain(new.network, sample) < plain(network, sample)


def test_samples_are_the_windows_dataset_s_samples(sample):
    assert isinstance(sample, Sample)
    assert sample.frames.shape == (3, 5, 1, 32, 48) and sample.tampered.shape == (3, 32, 48)

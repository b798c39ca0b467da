"""Units that can stand in the place of the prototype unit; that one is in test_network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mpn.errors import CheckpointError, MpnError
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.collapse import collapse
from mpn.model.config import ModelConfig, get_config
from mpn.model.losses import LOSS_TERMS, loss_terms
from mpn.model.network import build_model
from mpn.model.units import AttentionUnit

OTHERS = [("attention", "window"), ("attention", "learned"), ("none", "window")]
OTHER = pytest.mark.parametrize(("unit", "keys"), OTHERS)
KEYS = pytest.mark.parametrize("window_keys", [True, False])


def features(dtype=torch.float64, shape=(2, 8, 4, 5)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=dtype)


def attention_unit(window_keys, projection=False, learned_scales=False):
    torch.manual_seed(2)
    options = {"projection": projection, "learned_scales": learned_scales}
    return AttentionUnit(8, 5, window_keys=window_keys, **options).double()


def multi_head(unit):
    """torch's own module with the unit's weights."""
    module = nn.MultiheadAttention(8, unit.subspaces, batch_first=True, dtype=torch.float64)
    maps = (unit.query_map, unit.key_map, unit.value_map)
    with torch.no_grad():
        module.in_proj_weight.copy_(torch.cat([linear.weight for linear in maps]))
        biases = (unit.query_map.bias, torch.zeros(8), unit.value_map.bias)
        module.in_proj_bias.copy_(torch.cat(biases))
    module.out_proj = unit.output_map
    return module


def plain_keys(unit, x, window_keys):
    """The keys by loops over heads and subspaces, and their weights over the positions."""
    heads, width = unit.heads.weight, 8 // unit.subspaces
    if not window_keys:
        return heads.expand(len(x), -1, -1), None
    keys, weights = heads.repeat(len(x), 1, 1), []
    for part in range(unit.subspaces):
        of = slice(part * width, (part + 1) * width)
        weight = torch.softmax(x[..., of] @ heads[:, of].T / math.sqrt(width), dim=1)
        keys[..., of] += torch.einsum("bnm,bnd->bmd", weight, x[..., of])
        weights.append(weight)
    return keys, torch.stack(weights).mean(0)


@KEYS
def test_attention_is_that_of_torchs_module(window_keys):
    unit, inputs = attention_unit(window_keys), features()
    with torch.no_grad():
        changed, inverse, keys, assignment, aggregation, distance = unit(inputs)
        query = F.normalize(inputs, dim=1).flatten(2).transpose(1, 2)
        x = query * math.sqrt(8)
        expected_keys, positions = plain_keys(unit, x, window_keys)
        attended, weights = multi_head(unit)(x, expected_keys, expected_keys)
        shown = unit.attention(inputs.flatten(2).transpose(1, 2), inverse)
    assert unit.subspaces == 4 and torch.equal(changed, inputs)
    assert torch.allclose(keys, expected_keys, atol=1e-12)
    assert torch.allclose(assignment, weights, atol=1e-12)
    normalcy = F.normalize(attended, dim=2)
    assert torch.allclose(aggregation.flatten(2).transpose(1, 2), query + normalcy, atol=1e-12)
    squared = (query - normalcy).square().sum(dim=2)
    assert torch.allclose(distance.flatten(1), squared, atol=1e-12)
    if window_keys:
        assert torch.allclose(shown, positions, atol=1e-12)
    else:
        assert shown is None


@KEYS
def test_with_learned_scales_weights_are_softmaxes_of_scaled_cosines(window_keys):
    unit, inputs = attention_unit(window_keys, learned_scales=True), features()
    assert torch.isclose(unit.log_scale.exp(), torch.tensor(10.0, dtype=torch.float64))
    with torch.no_grad():
        unit.log_scale.fill_(math.log(3))
        if window_keys:
            unit.log_key_scale.fill_(math.log(7))
        _, inverse, keys, assignment, _, _ = unit(inputs)
        x = F.normalize(inputs, dim=1).flatten(2).transpose(1, 2) * math.sqrt(8)
        shown = unit.attention(inputs.flatten(2).transpose(1, 2), inverse)
        queries, key_vectors = unit.query_map(x), unit.key_map(keys)
        expected, positions = torch.zeros_like(assignment), torch.zeros(2, 20, 5).double()
        for part in (slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)):
            query_part, key_part = queries[:, :, None, part], key_vectors[:, None, :, part]
            expected += (
                torch.softmax(3 * F.cosine_similarity(query_part, key_part, dim=3), dim=2) / 4
            )
            heads = unit.heads.weight[None, None, :, part]
            cosine = F.cosine_similarity(x[:, :, None, part], heads, dim=3)
            positions += torch.softmax(7 * cosine, dim=1) / 4
    assert torch.allclose(assignment, expected, atol=1e-12)
    if window_keys:
        assert torch.allclose(shown, positions, atol=1e-12)


@KEYS
def test_keys_of_the_window_are_its_own_and_learned_ones_are_not(window_keys):
    unit, inputs = attention_unit(window_keys), features()
    first = unit(inputs)[2]
    assert torch.equal(first[0], first[1]) == (not window_keys)
    assert torch.allclose(unit(inputs.flip(3))[2], first)  # wherever things are in the picture


@KEYS
@pytest.mark.parametrize("learned_scales", [False, True])
def test_attention_can_be_differentiated_twice(window_keys, learned_scales):
    unit = attention_unit(window_keys, projection=True, learned_scales=learned_scales)
    inputs = features(shape=(1, 8, 2, 2))

    def total(value):
        _, _, keys, assignment, aggregation, distance = unit(value)
        return aggregation.sin().sum() + assignment.square().sum() + distance.sum() + keys.sum()

    assert torch.autograd.gradcheck(total, (inputs.requires_grad_(),))
    assert torch.autograd.gradgradcheck(total, (inputs,))
    gradients = torch.autograd.grad(total(inputs), list(unit.parameters()))
    assert all(gradient.abs().max() > 1e-9 for gradient in gradients)


@KEYS
def test_either_kernel_gives_the_same(window_keys):
    unit, inputs = attention_unit(window_keys), features()
    with torch.no_grad():
        quick = unit(inputs)
    for slow, fast in zip(unit(inputs), quick, strict=True):
        assert torch.allclose(slow, fast, atol=1e-12)


def network_of(unit, keys, **options):
    torch.manual_seed(4)
    options = {"channels": 4, "height": 32, "width": 48} | options
    return build_model("small", unit=unit, keys=keys, **options).eval()


def window_of(network):
    shape = (2, 4 * network.config.colours, *network.config.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@OTHER
def test_the_network_gives_the_same_things_whatever_the_unit(unit, keys):
    network, usual = network_of(unit, keys), network_of("prototype", keys)
    output, expected = network(window_of(network)), usual(window_of(usual))
    for name in ("prediction", "features", "inverse_norm", "aggregation", "distance"):
        assert getattr(output, name).shape == getattr(expected, name).shape, name
    count = 0 if unit == "none" else 10
    assert output.prototypes.shape == (2, count, 8) and output.assignment.shape[2] == count
    assert ((output.distance >= 0) & (output.distance <= 4)).all()
    if unit == "none":
        assert torch.equal(output.aggregation, output.query)
    else:
        assert torch.allclose(output.assignment.sum(2), torch.ones(2, 384))


@OTHER
def test_operations_are_counted_as_mpn_bench_does(unit, keys):
    network = network_of(unit, keys)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(window_of(network))
    assert counter.get_total_flops() > 1e6


@OTHER
@pytest.mark.parametrize("learned_scales", [False, True])
def test_bfloat16_is_near_float32(unit, keys, learned_scales):
    network = network_of(unit, keys, learned_scales=learned_scales)
    wide = network(window_of(network))
    with torch.autocast("cpu", torch.bfloat16):
        narrow = network(window_of(network))
        narrow.prediction.square().mean().backward()
    assert narrow.features.dtype == narrow.prototypes.dtype == torch.bfloat16
    assert narrow.assignment.dtype == narrow.distance.dtype == torch.float32
    for part in ("prediction", "aggregation", "assignment", "distance"):
        value, exact = getattr(narrow, part).float(), getattr(wide, part)
        if not exact.numel():
            continue
        apart = (value - exact).abs()
        assert apart.mean() <= 0.03 * exact.abs().mean(), part
        # With a scale directions count, and that of two numbers near 0 may be any.
        if part == "prediction" or unit == "none" or not learned_scales:
            assert apart.max() <= 0.05 * exact.abs().max(), part


@OTHER
def test_a_checkpoint_keeps_the_unit(unit, keys, tmp_path):
    network = network_of(unit, keys)
    save_checkpoint(tmp_path / "model.safetensors", Checkpoint(network))
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert (loaded.config.unit, loaded.config.keys) == (unit, keys)
    with torch.no_grad():
        prediction = loaded.network(window_of(network)).prediction
        assert torch.equal(prediction, network(window_of(network)).prediction)


def test_a_preset_from_before_there_were_units_is_of_prototypes():
    options = get_config("small").to_dict()
    del options["unit"], options["keys"]
    assert ModelConfig.from_dict(options) == get_config("small")


@pytest.mark.parametrize(("name", "value"), [("unit", "attentive"), ("keys", "frame")])
def test_other_units_and_keys_are_named(name, value):
    with pytest.raises(MpnError, match=f"{name} '{value}': .* was expected"):
        get_config("small", **{name: value})
    with pytest.raises((MpnError, CheckpointError)):
        ModelConfig.from_dict(get_config("small").to_dict() | {name: value})


def test_without_prototypes_there_are_no_losses_and_figures_of_them():
    network = network_of("none", "window")
    output = network(window_of(network))
    target, tampered = torch.zeros(2, 1, 32, 48), torch.zeros(2, 32, 48, dtype=torch.bool)
    weights = dict.fromkeys(LOSS_TERMS, 1.0)
    assert set(loss_terms(output, target, tampered, weights)) == {
        "frame",
        "untampered",
        "pseudo",
        "ranking",
    }
    assert set(collapse(output)) == {"query_to_mean"}
    attention = network_of("attention", "learned")
    terms = loss_terms(attention(window_of(attention)), target, tampered, weights)
    assert set(terms) == set(LOSS_TERMS)

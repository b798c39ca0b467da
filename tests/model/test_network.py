from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mpn.errors import MpnError, SizeError
from mpn.model import losses
from mpn.model.config import get_config
from mpn.model.network import build_model
from mpn.model.units import InverseNorm, PrototypeUnit
from tests.helpers.published import Written, prototype_unit


def window_for(network, batch=2, size=None, dtype=torch.float32, seed=0):
    chosen = network.config
    shape = (batch, chosen.window * chosen.colours, *(size or chosen.size))
    return (
        torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
        - 1
    ).to(dtype)


# --- The prototype unit against its plain form


def make_unit(projection, learned_scales, dtype=torch.float64):
    torch.manual_seed(2)
    unit = PrototypeUnit(6, 5, projection=projection, learned_scales=learned_scales).to(dtype)
    # away from their common start, so that they cannot be mistaken for one another
    if learned_scales:
        unit.log_attention_scale.data.fill_(1.1)
        unit.log_assignment_scale.data.fill_(1.9)
    return unit


def written_out(unit, features) -> Written:
    options = {}
    if unit.projection is not None:
        options["projection"] = (unit.projection.weight, unit.projection.bias)
    if unit.learned_scales:
        options["log_attention_scale"] = unit.log_attention_scale
        options["log_assignment_scale"] = unit.log_assignment_scale
    return prototype_unit(features, unit.heads.weight, **options)


def unit_parts(unit, features):
    changed, inverse_norm, prototypes, assignment, aggregation, distance = unit(features)
    b, _, h, w = changed.shape
    return changed * inverse_norm.reshape(b, 1, h, w), prototypes, assignment, aggregation, distance


def written_parts(unit, features):
    written = written_out(unit, features)
    return (
        written.query,
        written.prototypes,
        written.assignment,
        written.aggregation,
        written.distance,
    )


def random_features(seed=3, shape=(2, 6, 4, 7), dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


UNITS = (
    pytest.mark.parametrize("projection", [False, True]),
    pytest.mark.parametrize("scales", [False, True]),
)


@UNITS[0]
@UNITS[1]
def test_the_unit_equals_its_plain_form(projection, scales):
    unit, features = make_unit(projection, scales), random_features()
    for part, plain in zip(unit_parts(unit, features), written_parts(unit, features), strict=True):
        assert torch.allclose(part, plain, rtol=1e-11, atol=1e-12)


@UNITS[0]
@UNITS[1]
def test_gradients_of_the_unit_equal_those_of_its_plain_form(projection, scales):
    unit = make_unit(projection, scales)
    gradients = []
    for form in (unit_parts, written_parts):
        features = random_features().requires_grad_()
        generator = torch.Generator().manual_seed(9)
        total = sum(
            (part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum()
            for part in form(unit, features)
        )
        gradients.append(torch.autograd.grad(total, [features, *unit.parameters()]))
    assert len(gradients[0]) == 2 + 2 * projection + 2 * scales
    for gradient, plain in zip(*gradients, strict=True):
        assert plain.abs().max() > 1e-6  # each takes part
        assert torch.allclose(gradient, plain, rtol=1e-9, atol=1e-11)


def test_features_of_zero_give_finite_values_and_gradients():
    unit = make_unit(False, False)
    gradients = []
    for form in (unit_parts, written_parts):
        features = random_features()
        features[0, :, 1, 2] = 0
        features.requires_grad_()
        parts = form(unit, features)
        assert all(part.isfinite().all() for part in parts[:4])
        gradients.append(torch.autograd.grad(parts[1].sum() + parts[2].square().sum(), features)[0])
    # At the position itself the direction of a zero vector has no derivative; elsewhere both agree.
    elsewhere = torch.ones(2, 1, 4, 7, dtype=torch.bool)
    elsewhere[0, :, 1, 2] = False
    assert gradients[0].isfinite().all()
    assert torch.allclose(gradients[0] * elsewhere, gradients[1] * elsewhere, rtol=1e-9, atol=1e-11)


def test_the_inverse_norm_and_its_first_and_second_derivatives():
    y = random_features(shape=(3, 5, 4)).requires_grad_()
    assert torch.allclose(InverseNorm.apply(y), 1 / y.norm(dim=-1, keepdim=True), rtol=1e-13)
    assert torch.autograd.gradcheck(InverseNorm.apply, (y,))
    assert torch.autograd.gradgradcheck(InverseNorm.apply, (y,))
    assert InverseNorm.apply(y.detach().bfloat16()).dtype == torch.float32
    assert InverseNorm.apply(torch.zeros(1, 4)).isfinite().all()


def test_vmap_over_the_inverse_norm_and_the_unit():
    y = random_features(shape=(3, 2, 5, 4))
    mapped = torch.func.vmap(InverseNorm.apply)(y)
    assert torch.allclose(mapped, 1 / y.norm(dim=-1, keepdim=True), rtol=1e-13)

    unit, stacked = make_unit(True, True), random_features(shape=(3, 2, 6, 4, 5))
    for ours, *singles in zip(
        torch.func.vmap(unit)(stacked), *(unit(one) for one in stacked), strict=True
    ):
        assert torch.allclose(ours, torch.stack(singles), rtol=1e-11, atol=1e-12)

    def loss(features):
        return unit(features)[4].square().sum()

    gradients = torch.func.vmap(torch.func.grad(loss))(stacked)
    for ours, one in zip(gradients, stacked, strict=True):
        one = one.clone().requires_grad_()
        assert torch.allclose(ours, torch.autograd.grad(loss(one), one)[0], rtol=1e-9, atol=1e-11)


def test_the_distance_never_falls_below_zero_where_query_and_prototype_coincide():
    unit = make_unit(False, False, torch.float32)
    # one query everywhere is its own prototype
    features = torch.randn(1, 6, 1, 1).expand(1, 6, 8, 8)
    distance = unit(features)[5]
    assert (distance >= 0).all() and distance.max() < 1e-5


# --- Sizes


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (24, 8), (64, 48)])
def test_base_takes_any_size_that_eight_divides(size):
    torch.manual_seed(0)
    network = build_model("base", channels=4, height=size[0], width=size[1])
    output = network(window_for(network))
    h, w = size
    shapes = {
        "prediction": (2, 3, h, w),
        "encoding": (2, 32, h // 8, w // 8),
        "features": (2, 8, h, w),
        "query": (2, 8, h, w),
        "inverse_norm": (2, h * w, 1),
        "prototypes": (2, 10, 8),
        "assignment": (2, h * w, 10),
        "aggregation": (2, 8, h, w),
        "distance": (2, h, w),
        "compactness": (2, h, w),
    }
    assert {name: tuple(getattr(output, name).shape) for name in shapes} == shapes
    assert output.pseudo_logits is None
    assert output.prediction.abs().max() <= 1
    assert torch.allclose(output.assignment.sum(dim=2), torch.ones(2, h * w))
    assert torch.allclose(output.query.norm(dim=1), torch.ones(2, h, w))


@pytest.mark.parametrize("size", [(16, 16), (48, 32), (32, 80)])
def test_small_predicts_at_full_size_and_works_at_half(size, tiny):
    output = tiny(window_for(tiny, size=size))
    h, w = size[0] // 2, size[1] // 2
    assert output.prediction.shape == (2, 1, *size)
    assert output.pseudo_logits.shape == output.distance.shape == (2, h, w)
    assert output.features.shape == (2, 8, h, w) and output.encoding.shape == (
        2,
        32,
        h // 8,
        w // 8,
    )


@pytest.mark.parametrize(
    ("name", "size", "nearest"),
    [
        ("base", (240, 358), "240x352 and 240x360"),
        ("base", (100, 64), "96x64 and 104x64"),
        ("small", (120, 160), "112x160 and 128x160"),
        ("small", (130, 190), "128x176 and 144x192"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_that_fit(name, size, nearest):
    message = f"{size[0]}x{size[1]}.* multiples of {16 if name == 'small' else 8}.*{nearest}"
    with pytest.raises(SizeError, match=message) as caught:
        build_model(name, height=size[0], width=size[1])
    assert "\n" not in str(caught.value)
    network = build_model(name, channels=2)
    with pytest.raises(SizeError, match=nearest):
        network(window_for(network, size=size))


@pytest.mark.parametrize(
    ("name", "size", "least"), [("base", (4, 64), "8x8"), ("small", (8, 8), "16x16")]
)
def test_frames_smaller_than_the_least_are_refused(name, size, least):
    network = build_model(name, channels=2)
    with pytest.raises(
        SizeError,
        match=f"{size[0]}x{size[1]} are smaller than the network needs.*{least} the least",
    ):
        network(window_for(network, size=size))


@pytest.mark.parametrize("shape", [(2, 3, 32, 48), (4, 32, 48), (1, 12, 32, 48)])
def test_windows_of_another_shape_are_refused(shape, tiny):
    with pytest.raises(SizeError, match=r"takes \(B, 4, H, W\), 4 frames of 1 channel"):
        tiny(torch.zeros(shape))


# --- What the presets' options do


@pytest.mark.parametrize("options", [{}, {"unshuffle": 1}, {"grey": False}])
def test_a_zeroed_head_predicts_the_last_frame(options):
    network = build_model("small", channels=4, height=32, width=48, **options)
    for parameter in network.head[-1].parameters():
        parameter.data.zero_()
    window = window_for(network)
    assert torch.equal(network(window).prediction, window[:, -network.config.colours :])


def test_the_pseudo_head_is_an_option_and_sees_the_decoder_only(tiny):
    without = build_model(replace(tiny.config, pseudo_head=False))
    rest = {name: t for name, t in tiny.state_dict().items() if not name.startswith("pseudo_head")}
    assert len(rest) == len(tiny.state_dict()) - 6
    without.load_state_dict(rest)
    window = window_for(tiny)
    first, second = tiny(window), without(window)
    assert second.pseudo_logits is None
    assert torch.equal(first.prediction, second.prediction)
    gradients = torch.autograd.grad(
        first.pseudo_logits.sum(), list(tiny.prototype.parameters()), allow_unused=True
    )
    assert gradients == (None,) * len(gradients)


def test_learned_scales_start_at_ten_with_orthogonal_heads():
    unit = build_model("small", channels=8).prototype
    assert torch.isclose(unit.log_attention_scale.exp(), torch.tensor(10.0))
    assert torch.isclose(unit.log_assignment_scale.exp(), torch.tensor(10.0))
    gram = unit.heads.weight @ unit.heads.weight.T
    assert torch.allclose(gram, torch.eye(10), atol=1e-5)


def test_the_forward_is_the_same_in_training_and_evaluation(tiny):
    window = window_for(tiny)
    evaluated = tiny.eval()(window).prediction
    assert torch.equal(tiny.train()(window).prediction, evaluated)


def test_samples_of_a_batch_do_not_see_each_other(tiny):
    window = window_for(tiny, batch=3)
    together = tiny(window)
    for i in range(3):
        alone = tiny(window[i : i + 1])
        assert torch.allclose(together.prediction[i], alone.prediction[0], atol=1e-5)
        assert torch.allclose(together.prototypes[i], alone.prototypes[0], atol=1e-5)


def test_weights_follow_the_seed():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_model("small", channels=4).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(
        states[0]["encoder.block1.0.weight"], states[2]["encoder.block1.0.weight"]
    )


def test_unknown_presets_and_options_are_refused():
    with pytest.raises(MpnError, match="no preset 'huge'.*base, small"):
        build_model("huge")
    with pytest.raises(MpnError, match="unknown option.*colour.*grey"):
        build_model("small", colour=True)
    chosen = get_config("small", channels=4)
    assert build_model(chosen).config == chosen


# --- Precision, and use by name


@pytest.mark.parametrize("name", ["base", "small"])
def test_bfloat16_autocast_is_finite_and_near_float32(name):
    torch.manual_seed(4)
    network = build_model(name, channels=8, height=32, width=48)
    window = window_for(network)
    wide = network(window)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = network(window)
    assert narrow.features.dtype == torch.bfloat16
    assert (
        narrow.inverse_norm.dtype
        == narrow.assignment.dtype
        == narrow.distance.dtype
        == torch.float32
    )
    for part in ("prediction", "query", "prototypes", "assignment", "aggregation"):
        value, exact = getattr(narrow, part).float(), getattr(wide, part)
        assert value.isfinite().all()
        assert (value - exact).abs().max() < 0.05 * exact.abs().max(), part
    parameters = list(network.parameters())
    (narrow.prediction.square().mean() + narrow.distance.mean()).backward()
    assert all(p.grad.isfinite().all() for p in parameters if p.grad is not None)


def test_functional_call_takes_parameters_by_name(tiny):
    parameters = {name: p.detach() for name, p in tiny.named_parameters()}
    changed = parameters | {"head.4.bias": parameters["head.4.bias"] + 0.25}
    window = window_for(tiny)
    output = torch.func.functional_call(tiny, changed, (window,), strict=True)
    assert torch.allclose(output.prediction, tiny(window).prediction + 0.25, atol=1e-6)
    with pytest.raises(RuntimeError, match="(?i)unexpected"):
        torch.func.functional_call(
            tiny, parameters | {"head.4.bais": window}, (window,), strict=True
        )


@pytest.mark.parametrize("name", ["base", "small"])
def test_second_order_gradients_flow_through_the_forward(name):
    """The gradient of a loss after one step, by the parameters before it, against finite
    differences."""
    torch.manual_seed(6)
    network = build_model(name, channels=3, height=16, width=16).double()
    support, query = (window_for(network, dtype=torch.float64, seed=seed) for seed in (1, 2))
    fixed = {key: p.detach() for key, p in network.named_parameters()}
    targets = [key for key in fixed if key.startswith(("prototype.", "head."))]
    start = {key: fixed[key] for key in targets}

    def loss(values, window):
        output = torch.func.functional_call(network, fixed | values, (window,), strict=True)
        goal = window[:, : output.prediction.shape[1]]
        return (
            F.mse_loss(output.prediction, goal)
            + losses.compactness_loss(output)
            + output.prototypes.square().mean()
        )

    def after_step(values):
        gradients = torch.autograd.grad(
            loss(values, support), list(values.values()), create_graph=True
        )
        moved = {key: p - 0.3 * g for (key, p), g in zip(values.items(), gradients, strict=True)}
        return loss(moved, query)

    leaves = {key: p.clone().requires_grad_() for key, p in start.items()}
    meta_gradients = torch.autograd.grad(after_step(leaves), list(leaves.values()))
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in meta_gradients)
    generator = torch.Generator().manual_seed(8)
    directions = {
        key: torch.randn(p.shape, generator=generator, dtype=p.dtype) for key, p in start.items()
    }
    slope = sum((g * d).sum() for g, d in zip(meta_gradients, directions.values(), strict=True))
    step = 1e-5
    ends = [
        after_step(
            {key: (p + sign * step * directions[key]).requires_grad_() for key, p in start.items()}
        ).detach()
        for sign in (1, -1)
    ]
    assert torch.isclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-4)


@pytest.mark.parametrize(("kernel", "even"), [(3, False), (4, True)])
def test_a_kernel_of_four_reaches_all_positions_alike(kernel, even):
    """Of a flat input, with all weights 1, what comes out is flat inside, or it is a grid."""
    up = build_model("small", channels=4, up_kernel=kernel).decoder.up4[0]
    with torch.no_grad():
        up.weight.fill_(1.0)
        up.bias.zero_()
        out = up(torch.ones(1, up.in_channels, 8, 8))
    assert out.shape[2:] == (16, 16)
    inside = out[0, 0, 2:-2, 2:-2]
    assert bool((inside == inside[0, 0]).all()) is even

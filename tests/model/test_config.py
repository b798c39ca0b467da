from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from mpn.errors import CheckpointError, MpnError
from mpn.model.checkpoint import load_checkpoint
from mpn.model.config import CONFIGS, ModelConfig, get_config
from mpn.model.losses import TrainingConfig


def test_base_is_the_papers_network():
    base = get_config("base")
    assert (base.size, base.grey, base.window, base.channels, base.prototypes) == (
        (256, 256),
        False,
        4,
        64,
        10,
    )
    weights = base.training.loss_weights
    assert (weights["frame"], weights["compactness"], weights["diversity"]) == (1.0, 1.0, 1e-4)
    assert weights["usage"] == 0.0
    assert (
        not (base.residual or base.projection or base.learned_scales or base.pseudo_head)
        and base.unshuffle == 1
    )


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_each_preset_is_called_by_its_name_and_fits_its_own_strides(name):
    chosen = get_config(name)
    assert chosen.name == name
    assert chosen.height % chosen.stride == chosen.width % chosen.stride == 0


@pytest.mark.parametrize(
    ("grey", "unshuffle", "colours", "stride"), [(True, 1, 1, 8), (False, 2, 3, 16)]
)
def test_colours_and_stride_follow_from_options(grey, unshuffle, colours, stride):
    chosen = get_config("small", grey=grey, unshuffle=unshuffle)
    assert (chosen.colours, chosen.stride) == (colours, stride)


def test_a_preset_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        get_config("small").channels = 1
    changed = get_config("small", channels=7)
    assert changed.channels == 7 and get_config("small").channels != 7 and changed.name == "small"


def test_a_preset_survives_json():
    training = TrainingConfig({"diversity": 0.5})
    chosen = get_config("small", channels=7, training=training, grey=False)
    assert ModelConfig.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_unknown_names_and_options_say_what_there_is():
    with pytest.raises(MpnError, match="no preset 'large'; there are base, small"):
        get_config("large")
    with pytest.raises(MpnError, match="unknown option.*'depth'.*channels"):
        get_config("small", depth=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "unknown preset options.*depth"),
        ({"channels": "48"}, "channels is '48', a int was expected"),
        ({"channels": 48.0}, "channels is 48.0"),
        ({"channels": True}, "channels is True"),
        ({"grey": 1}, "grey is 1, a bool was expected"),
        ({"loss_weights": {"diversity": None}}, "loss weight diversity is None"),
        ({"loss_weights": {"psuedo": 1.0}}, "no loss term 'psuedo'; there are frame, .*pseudo"),
        ({"loss_weights": [1.0]}, r"loss_weights are \[1.0\]: weights by name"),
        ({"usage_weight": 0.5}, "none beside them"),
    ],
)
def test_options_of_a_checkpoint_are_checked(change, message):
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_dict(get_config("small").to_dict() | change)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("channels", 0, "1"),
        ("unshuffle", -1, "1"),
        ("prototypes", 1, "2"),
    ],
)
def test_options_out_of_range_are_refused(option, value, expected):
    with pytest.raises(MpnError, match=f"preset option {option} is {value}: .*{expected}"):
        get_config("small", **{option: value})


def test_whole_numbers_may_stand_for_weights():
    options = get_config("small").to_dict() | {"loss_weights": {"diversity": 1}}
    assert ModelConfig.from_dict(options).training.loss_weights["diversity"] == 1


def test_terms_that_a_checkpoint_does_not_name_weigh_nothing():
    options = get_config("small").to_dict() | {"loss_weights": {"frame": 1.0, "usage": 0.5}}
    weights = ModelConfig.from_dict(options).training.loss_weights
    assert {name for name, weight in weights.items() if weight} == {"frame", "usage"}


# As checkpoints were written before there was a list of loss weights.
FORMER = """{"name": "small", "height": 128, "width": 192, "grey": true, "channels": 32,
"unshuffle": 2, "residual": true, "projection": true, "learned_scales": true, "pseudo_head": true,
"compactness_weight": 0.5, "diversity_weight": 0.25, "usage_weight": 0, "pseudo_weight": 0.125}"""


def test_weights_of_an_earlier_version_are_read():
    chosen = ModelConfig.from_dict(json.loads(FORMER))
    assert chosen.training == TrainingConfig(
        {"frame": 1, "compactness": 0.5, "diversity": 0.25, "usage": 0, "pseudo": 0.125}
    )
    # Transposed convolutions were of side 3 then.
    assert replace(chosen, training=TrainingConfig()) == get_config(
        "small", training=TrainingConfig(), up_kernel=3
    )
    assert chosen.training.prototypes_after == 0  # and all terms counted from the first step on
    # Those that it left out were the paper's.
    partly = {name: value for name, value in json.loads(FORMER).items() if "div" not in name}
    assert ModelConfig.from_dict(partly).training.loss_weights["diversity"] == 1e-4


@pytest.mark.parametrize("value", [-0.1, None, "1", True])
def test_weights_of_an_earlier_version_are_checked(value):
    options = json.loads(FORMER) | {"usage_weight": value}
    with pytest.raises(CheckpointError, match=f"loss weight usage is {value!r}: a number from 0"):
        ModelConfig.from_dict(options)


@pytest.mark.parametrize(("name", "pseudo"), [("demo", 0.01), ("ped2", 0.01), ("meta", 0.1)])
def test_the_released_models_keep_their_weights(name, pseudo):
    training = load_checkpoint(name).config.training
    assert {name: weight for name, weight in training.loss_weights.items() if weight} == {
        "untampered": 1.0,
        "compactness": 1.0,
        "diversity": 0.01,
        "usage": 0.01,
        "pseudo": pseudo,
    }
    assert training.prototypes_after == 0.5


@pytest.mark.parametrize("kernel", [2, 5])
def test_sides_that_do_not_double_the_size_are_refused(kernel):
    with pytest.raises(MpnError, match=f"up_kernel {kernel}: 3 or 4 was expected"):
        get_config("small", up_kernel=kernel)


def test_missing_options_are_named():
    options = get_config("small").to_dict()
    del options["height"]
    with pytest.raises(CheckpointError, match="incomplete.*height"):
        ModelConfig.from_dict(options)

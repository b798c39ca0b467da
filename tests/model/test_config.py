from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from mpn.errors import CheckpointError, MpnError
from mpn.model.config import CONFIGS, ModelConfig, get_config


def test_base_is_the_papers_network():
    base = get_config("base")
    assert (base.size, base.grey, base.window, base.channels, base.prototypes) == (
        (256, 256),
        False,
        4,
        64,
        10,
    )
    assert (base.compactness_weight, base.diversity_weight, base.usage_weight) == (1.0, 1e-4, 0.0)
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
    chosen = get_config("small", channels=7, diversity_weight=0.5, grey=False)
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
        ({"diversity_weight": None}, "diversity_weight is None"),
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
        ("usage_weight", -0.1, "weight from 0"),
        ("pseudo_weight", float("nan"), "weight from 0"),
        ("diversity_weight", float("inf"), "weight from 0"),
    ],
)
def test_options_out_of_range_are_refused(option, value, expected):
    with pytest.raises(MpnError, match=f"preset option {option} is {value}: .*{expected}"):
        get_config("small", **{option: value})


def test_whole_numbers_may_stand_for_weights():
    assert (
        ModelConfig.from_dict(
            get_config("small").to_dict() | {"diversity_weight": 1}
        ).diversity_weight
        == 1
    )


def test_missing_options_are_named():
    options = get_config("small").to_dict()
    del options["height"]
    with pytest.raises(CheckpointError, match="incomplete.*height"):
        ModelConfig.from_dict(options)

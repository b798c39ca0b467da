from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mpn.errors import CheckpointError, MpnError
from mpn.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mpn.model.config import get_config
from mpn.model.network import build_model
from mpn.model.state import load_state, save_state

WINDOW = torch.rand(2, 4, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def saved(tiny, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Checkpoint(tiny))
    return path


def rewrite(path, *, change=None, tensors=None, document=None):
    """Writes the file again with options of its preset changed, other tensors, or another
    description."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["mpn"])
    weights = load_file(path)
    description["preset"] |= change or {}
    description |= document or {}
    save_file(
        weights if tensors is None else tensors(weights),
        path,
        metadata={"mpn": json.dumps(description)},
    )


def refused(path, message):
    """The file is refused in one line that names it."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text


# --- Round trip


def test_a_round_trip_gives_the_same_outputs_bit_by_bit(tiny, saved):
    again = load_checkpoint(saved)
    assert again.network is not tiny and not again.network.training
    assert again.config == tiny.config
    first, second = tiny(WINDOW), again.network(WINDOW)
    for part in ("prediction", "prototypes", "assignment", "distance", "pseudo_logits"):
        assert torch.equal(getattr(first, part), getattr(second, part))


def test_half_precision_halves_the_file_and_keeps_eleven_bits(tiny, saved, tmp_path):
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, Checkpoint(tiny), half=True)
    assert path.stat().st_size < 0.6 * saved.stat().st_size
    again = load_checkpoint(path).network
    for name, values in again.state_dict().items():
        exact = tiny.state_dict()[name]
        assert values.dtype == torch.float32
        assert ((values - exact).abs() <= exact.abs() * 2**-11 + 2**-24).all()
    first, second = tiny(WINDOW).prediction, again(WINDOW).prediction
    assert not torch.equal(first, second)
    assert (first - second).abs().max() < 5e-3


def test_everything_known_of_a_model_comes_back(tiny, tmp_path):
    normal = {
        "error": [
            np.arange(3, dtype=np.float32) / 7,
            np.zeros(0, np.float32),
            np.full(2, 9, np.float32),
        ],
        "pseudo": [
            np.arange(3, dtype=np.float32),
            np.zeros(0, np.float32),
            np.full(2, -1, np.float32),
        ],
    }
    fields = {
        "fps": 24.5,
        "score_config": {"patch": 8},
        "training": {"steps": 12, "seed": 3, "data": ["a", "ü"]},
    }
    path = tmp_path / "new" / "model.safetensors"
    save_checkpoint(path, Checkpoint(tiny, normal=normal, **fields), half=True)
    again = load_checkpoint(path)
    assert (again.fps, again.score_config, again.training) == tuple(fields.values())
    assert list(again.normal) == ["error", "pseudo"]
    for name, clips in normal.items():
        assert [clip.tolist() for clip in again.normal[name]] == [clip.tolist() for clip in clips]
    assert (
        again.versions["torch"] == torch.__version__ and again.versions["numpy"] == np.__version__
    )
    assert again.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_description_is_one_json_document_any_reader_can_read(tiny, saved):
    with safe_open(saved, framework="np") as file:
        document = json.loads(file.metadata()["mpn"])
        names = set(file.keys())
    assert document["format"] == 1
    assert document["preset"] == tiny.config.to_dict()
    assert names == set(tiny.state_dict())


# --- Bad files


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "none.safetensors", "there is no checkpoint")
    refused(tmp_path, "is a folder; a checkpoint is a .safetensors file in it")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_a_file_cut_short(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    refused(saved, "not a whole safetensors file")


def test_a_text_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("weights: none\n" * 20)
    refused(path, "not a whole safetensors file.*give a .safetensors checkpoint")


def test_a_safetensors_file_of_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "not one of mpn")
    save_file({"weight": torch.zeros(3)}, path, metadata={"mpn": "{half"})
    refused(path, "description is not JSON")
    save_file({"weight": torch.zeros(3)}, path, metadata={"mpn": "[1]"})
    refused(path, "not a JSON object")


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_format_version(saved, version):
    rewrite(saved, document={"format": version})
    refused(saved, f"has format {version!r}, this mpn reads 1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "unknown preset options.*depth"),
        ({"channels": "4"}, "channels is '4', a int was expected"),
        ({"width": 50}, "multiples of 16.*32x48 and 32x64"),
        ({"height": 8}, "smaller than the network needs"),
        ({"channels": 0}, "channels is 0"),
        ({"unshuffle": 0}, "unshuffle is 0"),
        ({"prototypes": -1}, "prototypes is -1"),
        ({"channels": 10**9}, "channels is 1000000000: a number from 1 up to 65536"),
        ({"window": 10**40}, "window is 10{40}: a number"),
        ({"height": 10**9, "width": 10**9}, "height is 1000000000"),
        ({"height": 4096, "width": 4096}, "frames of 4096x4096 are too large"),
    ],
)
def test_wrong_preset_options(saved, change, message):
    rewrite(saved, change=change)
    refused(saved, f"does not describe its network: .*{message}")


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 65536},
        {"prototypes": 65536},
        {"unit": "attention", "prototypes": 65536},
        {"channels": 65536, "unshuffle": 256, "window": 65536, "height": 2048, "width": 2048},
    ],
)
def test_a_header_that_names_more_than_the_tensors_hold_takes_no_memory(saved, change):
    """The network it describes has up to 10 PB of weights."""
    rewrite(saved, change=change)
    refused(saved, "does not fit preset 'small'")


@pytest.mark.parametrize("value", [3, "text", [1], True])
@pytest.mark.parametrize("name", ["training", "recipe", "adapted_on", "versions"])
def test_entries_that_are_no_values_by_name(saved, name, value):
    rewrite(saved, document={name: value})
    refused(saved, f"its entry '{name}' is {re.escape(repr(value))}, values by name were expected")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), True, "16", [16], None, pytest.param(10**400, id="huge")]
)
def test_a_recipe_of_what_are_no_numbers(saved, value):
    rewrite(saved, document={"recipe": {"patch": value}})
    refused(saved, "'patch' of its recipe is .{1,70}, a number was expected")


@pytest.mark.parametrize("value", [0, float("nan"), "25", pytest.param(10**400, id="huge")])
def test_a_frame_rate_that_cannot_be(saved, value):
    rewrite(saved, document={"fps": value})
    refused(saved, "its frame rate is .{1,70}, frames per second above 0 were expected")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(saved, value):
    whole = load_file(saved)
    whole["head.0.bias"][1] = value
    rewrite(saved, tensors=lambda _: whole)
    refused(saved, "1 of its tensors have values that are not finite, the first is head.0.bias")
    # Of 64 bits, and more than 32 bits can hold.
    whole["head.0.bias"] = torch.full(whole["head.0.bias"].shape, 1e300, dtype=torch.float64)
    rewrite(saved, tensors=lambda _: whole)
    refused(saved, "not finite, the first is head.0.bias")


def with_normal(path, values, lengths):
    save_file(load_file(path) | {"normal.error": values}, path, metadata=_metadata(path))
    rewrite(path, document={"normal_lengths": lengths})


def _metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_normal_scores_that_are_endless(saved, value):
    with_normal(saved, torch.tensor([1.0, value, 2.0]), [3])
    refused(saved, "normal.error has values that are not finite: there is no threshold by them")
    # Of 64 bits, and more than 32 bits can hold.
    with_normal(saved, torch.tensor([1.0, 1e300], dtype=torch.float64), [2])
    refused(saved, "normal.error has values that are not finite")


def test_normal_scores_of_which_none_is_known(saved):
    with_normal(saved, torch.tensor([float("nan"), 1.0, 2.0]), [3])
    (clip,) = load_checkpoint(saved).normal["error"]  # its first frame has no score
    assert np.isnan(clip[0]) and clip[1:].tolist() == [1, 2]
    with_normal(saved, torch.full((3,), float("nan")), [1, 2])
    refused(saved, "normal.error has values that are not finite")


@pytest.mark.parametrize(
    "lengths", [[True, 2], [1.0, 2], [-1, 4], "3", pytest.param(["x" * 10**5], id="long")]
)
def test_lengths_that_are_no_counts(saved, lengths):
    with_normal(saved, torch.ones(3), lengths)
    refused(saved, "its normal_lengths are .{1,70}, a list of counts was expected")


@pytest.mark.parametrize("described", [None, 3, [], ["height"]])
def test_a_preset_that_is_none(saved, described):
    rewrite(saved, document={"preset": described})
    refused(saved, "does not describe its network")


@pytest.mark.parametrize(
    ("change", "count", "first"),
    [
        # Two more for every layer that the option touches.
        ({"prototypes": 7}, 1, "prototype.heads.weight"),
        ({"pseudo_head": False}, 6, "pseudo_head.0.bias"),
        ({"grey": False}, 3, "encoder.block1.0.weight"),
    ],
)
def test_weights_of_another_preset(saved, change, count, first):
    rewrite(saved, change=change)
    refused(saved, f"does not fit preset 'small': {count} tensors.*the first is {first}")


def test_missing_unknown_and_misshapen_tensors(saved):
    whole = load_file(saved)
    for change in (
        {"head.0.bias": None},
        {"head.9.bias": torch.zeros(2)},
        {"head.0.bias": whole["head.0.bias"].reshape(1, -1)},
    ):
        name = next(iter(change))
        remaining = {key: t for key, t in (whole | change).items() if t is not None}
        rewrite(saved, tensors=lambda _, remaining=remaining: remaining)
        refused(saved, f"1 tensors are missing, unknown or of another shape, the first is {name}")


@pytest.mark.parametrize("lengths", [[2, 2], [], [-1, 4], ["3"], 3])
def test_normal_scores_that_do_not_fit_their_lengths(tiny, tmp_path, lengths):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Checkpoint(tiny, normal={"error": [np.zeros(3, np.float32)]}))
    rewrite(path, document={"normal_lengths": lengths})
    refused(path, r"normal")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def bombs(mark):
    """A pickle, and torch's own file with a pickle in it."""
    buffer = io.BytesIO()
    torch.save({"network": Bomb(mark)}, buffer)
    return {"pickle": pickle.dumps(Bomb(mark)), "torch": buffer.getvalue()}


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_pickle_bombs_do_not_go_off(tmp_path, kind):
    mark = tmp_path / "executed"
    bomb = bombs(mark)[kind]
    # It is a real one: what reads pickles makes the file.
    pickle.loads(bomb) if kind == "pickle" else torch.load(io.BytesIO(bomb), weights_only=False)
    assert mark.exists()
    mark.unlink()

    path = tmp_path / "model.safetensors"
    path.write_bytes(bomb)
    refused(path, "pickled files are never opened")
    state = tmp_path / "state.pt"
    state.write_bytes(bomb)
    with pytest.raises(
        CheckpointError, match="state.pt is not a whole training state of mpn"
    ) as caught:
        load_state(state)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


# --- Failing writes


@pytest.mark.parametrize("kind", ["model", "state"])
def test_a_full_disk_while_saving_keeps_the_earlier_file(tiny, tmp_path, monkeypatch, kind):
    path = tmp_path / ("model.safetensors" if kind == "model" else "state.pt")

    def save(network):
        if kind == "model":
            save_checkpoint(path, Checkpoint(network))
        else:
            save_state(path, {"network": network.state_dict()})

    save(tiny)
    before = path.read_bytes()
    newer = build_model(tiny.config)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            MpnError, match=f"cannot write .*{path.name}.*: the disk is full; the earlier file"
        ):
            save(newer)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    save(newer)
    assert path.read_bytes() != before


def test_a_model_of_the_base_preset_too(tmp_path):
    network = build_model(get_config("base", channels=2, height=16, width=24)).eval()
    save_checkpoint(tmp_path / "m.safetensors", Checkpoint(network))
    window = torch.rand(1, 12, 16, 24)
    again = load_checkpoint(tmp_path / "m.safetensors").network
    assert torch.equal(again(window).prediction, network(window).prediction)

"""Camera files and what meta-training leaves, as `mpn.model.checkpoint` writes and reads them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mpn.errors import CheckpointError, MpnError
from mpn.model import camera_checkpoint as module
from mpn.model.camera_checkpoint import save_camera
from mpn.model.checkpoint import Checkpoint, MetaInfo, load_checkpoint, save_checkpoint
from mpn.model.network import Network
from mpn.model.parameters import target_names

TARGETS = ("encoder.block1.", "pseudo_head.")
NORMAL = {"error": [np.arange(3, dtype=np.float32) / 7, np.full(2, 9, np.float32)]}
TOLD = {"fps": 12.5, "recipe": {"patch": 8}, "adapted_on": {"source": "a", "windows": [[0, 4]]}}


def meta_info(network: Network) -> MetaInfo:
    """A scalar step size for every second parameter, one number an element for the others."""
    parameters = dict(network.named_parameters())
    sizes = {}
    for number, name in enumerate(target_names(network, TARGETS)):
        sizes[name] = (
            torch.tensor(0.1 / 3) if number % 2 else torch.rand(parameters[name].shape) / 3
        )
    return MetaInfo(TARGETS, sizes, steps=3, batch=8)


@pytest.fixture
def base(tiny: Network, tmp_path: Path) -> Checkpoint:
    path = tmp_path / "base.safetensors"
    save_checkpoint(path, Checkpoint(tiny, meta=meta_info(tiny), training={"seed": 3}), half=True)
    return load_checkpoint(path)


@pytest.fixture
def camera(base: Checkpoint, tmp_path: Path) -> Path:
    """A camera file in a folder of its own: every target parameter is one more than the base's."""
    return write_camera(base, tmp_path / "cameras" / "lobby.camera.safetensors")


def write_camera(base: Checkpoint, path: Path) -> Path:
    parameters = dict(base.network.named_parameters())
    tensors = {name: parameters[name] + 1 for name in base.meta.step_sizes}
    save_camera(
        path,
        base.path,
        base.sha256,
        tensors,
        NORMAL,
        TOLD["fps"],
        TOLD["recipe"],
        TOLD["adapted_on"],
    )
    return path


def rewrite(path, *, document=None, tensors=None):
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["mpn"])
    weights = load_file(path)
    change = document(description) if document else description
    save_file(tensors(weights) if tensors else weights, path, metadata={"mpn": json.dumps(change)})


def refused(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


# --- Step sizes


def test_step_sizes_come_back_exactly_from_a_half_precision_file(tiny, base):
    assert base.meta.targets == TARGETS and (base.meta.steps, base.meta.batch) == (3, 8)
    with safe_open(base.path, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    assert list(base.meta.step_sizes) and set(base.meta.step_sizes) == set(
        target_names(tiny, TARGETS)
    )
    for name, size in base.meta.step_sizes.items():
        assert size.dtype == torch.float32 and torch.equal(size, stored[f"step_sizes.{name}"])
    assert any(
        size.ndim == 0 and float(size) == np.float32(0.1 / 3)
        for size in base.meta.step_sizes.values()
    )
    assert stored["head.0.bias"].dtype == torch.float16 and base.camera is None


def test_a_model_without_step_sizes_has_none(tiny, tmp_path):
    save_checkpoint(tmp_path / "plain.safetensors", Checkpoint(tiny))
    again = load_checkpoint(tmp_path / "plain.safetensors")
    assert (
        again.meta is None and again.camera is None and again.path == tmp_path / "plain.safetensors"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "counts from 1 up"),
        ({"steps": True}, "counts from 1 up"),
        ({"batch": "8"}, "counts from 1 up"),
        (
            {"targets": ["encoder.block9."]},
            "targets of its meta-training do not fit: no parameter is called",
        ),
        ({"targets": [3]}, "targets of its meta-training do not fit"),
        ({"targets": []}, "do not fit: no parameters to adapt"),
        (
            {"targets": ["pseudo_head."]},
            "step sizes and targets differ in 4 names, the first is encoder.block1",
        ),
        ({"targets": None}, "does not describe its meta-training"),
    ],
)
def test_descriptions_of_meta_training_that_do_not_fit(base, change, message):
    rewrite(
        base.path, document=lambda description: description | {"meta": description["meta"] | change}
    )
    refused(base.path, message)


def test_step_sizes_that_do_not_fit(base):
    name = "step_sizes.pseudo_head.4.bias"
    whole = load_file(base.path)
    for value, message in (
        (
            torch.zeros(2),
            "pseudo_head.4.bias of shape .2,. is not finite, or not of its parameter's",
        ),
        (torch.full((), torch.nan), "is not finite"),
        (None, "differ in 1 names, the first is pseudo_head.4.bias"),
    ):
        remaining = {
            key: tensor for key, tensor in (whole | {name: value}).items() if tensor is not None
        }
        rewrite(base.path, tensors=lambda _, remaining=remaining: remaining)
        refused(base.path, message)
    rewrite(
        base.path,
        document=lambda description: {k: v for k, v in description.items() if k != "meta"},
    )
    refused(base.path, "does not describe its meta-training: None")


def test_step_sizes_that_do_not_fit_are_not_written(tiny, tmp_path):
    wrong = MetaInfo(("head.",), meta_info(tiny).step_sizes, 1, 1)
    with pytest.raises(CheckpointError, match="step sizes and targets differ"):
        save_checkpoint(tmp_path / "m.safetensors", Checkpoint(tiny, meta=wrong))
    assert not list(tmp_path.iterdir())


# --- Camera files


def test_a_camera_file_is_its_base_with_other_tensors(base, camera):
    again = load_checkpoint(camera)
    changed = set(target_names(base.network, TARGETS))
    for (name, adapted), original in zip(
        again.network.state_dict().items(), base.network.state_dict().values()
    ):
        assert torch.equal(adapted, original + 1 if name in changed else original)
    assert not again.network.training and again.config == base.config
    assert (again.fps, again.score_config) == (12.5, {"patch": 8}) and again.training == {"seed": 3}
    assert again.camera["base"]["sha256"] == base.sha256 != again.sha256
    assert (
        again.camera["tensors"] == sorted(changed)
        and again.camera["adapted_on"] == TOLD["adapted_on"]
    )
    for clip, exact in zip(again.normal["error"], NORMAL["error"]):
        assert clip.dtype == np.float32 and np.allclose(clip, exact, rtol=2**-11, atol=0)


@pytest.mark.parametrize("value", [3, "text", [1], True])
def test_a_camera_file_adapted_on_what_cannot_be(camera, value):
    rewrite(camera, document=lambda description: description | {"adapted_on": value})
    refused(camera, "its entry 'adapted_on' is .*values by name were expected")


def test_it_holds_the_adapted_tensors_in_float32_and_nothing_of_the_base(base, camera):
    stored = load_file(camera)
    assert set(stored) == {"normal.error", *target_names(base.network, TARGETS)}
    assert all(
        tensor.dtype == torch.float32 for name, tensor in stored.items() if name != "normal.error"
    )
    with safe_open(camera, framework="np") as file:
        document = json.loads(file.metadata()["mpn"])
    assert document["kind"] == "camera" and document["base"] == {
        "path": "../base.safetensors",
        "sha256": base.sha256,
    }


def test_both_can_be_moved_together_or_into_one_folder(base, camera, tmp_path):
    before = load_checkpoint(camera).network.state_dict()
    shutil.copytree(tmp_path, tmp_path.parent / "elsewhere")
    base.path.unlink()
    moved = tmp_path.parent / "elsewhere" / "cameras" / camera.name
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.values(), load_checkpoint(moved).network.state_dict().values())
    )
    refused(
        camera,
        "its base is gone, there is no .*base.safetensors and no "
        ".*cameras/base.safetensors; put the model",
    )
    shutil.copy(
        tmp_path.parent / "elsewhere" / "base.safetensors", camera.parent / "base.safetensors"
    )
    assert (
        Path(load_checkpoint(camera).camera["base"]["path"]) == camera.parent / "base.safetensors"
    )


def test_another_model_in_the_base_s_place(tiny, base, camera):
    right = base.path.read_bytes()
    save_checkpoint(base.path, Checkpoint(tiny))
    refused(
        camera,
        f"its base .*base.safetensors is another model.*where {base.sha256[:16]}... was adapted",
    )
    (camera.parent / "base.safetensors").write_bytes(right)  # the right one beside it is enough
    assert load_checkpoint(camera).camera["base"]["sha256"] == base.sha256


def test_a_base_cut_short(base, camera):
    base.path.write_bytes(base.path.read_bytes()[:-1])
    refused(camera, "is another model")


def test_a_camera_file_is_no_base(base, camera, tmp_path):
    parameters = dict(base.network.named_parameters())
    first = load_checkpoint(camera)
    second = tmp_path / "second.camera.safetensors"
    save_camera(
        second, camera, first.sha256, {"head.0.bias": parameters["head.0.bias"]}, {}, None, {}, {}
    )
    refused(second, "its base .*lobby.camera.safetensors is a camera file itself")


def test_every_length_of_a_camera_file_cut_short(camera):
    whole = camera.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    lengths = {
        0,
        1,
        7,
        8,
        9,
        header // 2,
        header - 1,
        header,
        header + 1,
        len(whole) // 2,
        len(whole) - 1,
    }
    for length in sorted(lengths):
        camera.write_bytes(whole[:length])
        refused(camera, "not a whole safetensors file")
    camera.write_bytes(whole)
    load_checkpoint(camera)


@pytest.mark.parametrize(
    "described",
    [None, 3, "base.safetensors", [], {}, {"path": "base.safetensors"}, {"path": 3, "sha256": "a"}],
)
def test_a_camera_file_that_does_not_name_its_base(camera, described):
    rewrite(camera, document=lambda description: description | {"base": described})
    refused(camera, "does not say which model it belongs to")


def test_a_base_s_path_that_is_none(camera):
    rewrite(
        camera,
        document=lambda description: (
            description | {"base": {"path": "a\0b", "sha256": description["base"]["sha256"]}}
        ),
    )
    refused(camera, "does not say which model|its base is gone")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head.9.bias", torch.zeros(3)),
        ("pseudo_head.4.bias", torch.zeros(2)),
        ("pseudo_head.4.bias", torch.tensor([torch.inf])),
    ],
)
def test_adapted_tensors_that_do_not_fit(camera, name, value):
    rewrite(camera, tensors=lambda weights: weights | {name: value})
    refused(camera, f"does not fit its base .*: {name} is unknown, of another shape, or not finite")


@pytest.mark.parametrize("change", [{"kind": "lens"}, {"kind": None}, {"format": 2}])
def test_kinds_and_formats_that_are_not_known(camera, change):
    rewrite(camera, document=lambda description: description | change)
    refused(camera, "this mpn reads 1: update mpn")


@pytest.mark.parametrize("fps", ["12", 0, -1, True, float("nan"), float("inf"), [25]])
def test_frame_rates_that_are_none(base, camera, fps):
    for path in (camera, base.path):
        rewrite(path, document=lambda description: description | {"fps": fps})
        refused(path, "its frame rate is .*frames per second above 0")


def test_a_camera_file_below_a_megabyte_or_none(base, tmp_path, monkeypatch):
    path = write_camera(base, tmp_path / "a.camera.safetensors")
    size, before = path.stat().st_size, path.read_bytes()
    assert size < module.CAMERA_BYTES == 1_000_000
    monkeypatch.setattr(module, "CAMERA_BYTES", size)
    with pytest.raises(
        MpnError,
        match=r"would have 0.0\d MB and .* less than .*adapted "
        r"numbers.*--standalone",
    ):
        write_camera(base, path)
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == [
        "a.camera.safetensors",
        "base.safetensors",
    ]
    monkeypatch.setattr(module, "CAMERA_BYTES", size + 1)
    write_camera(base, path)


def test_a_camera_file_does_not_take_its_base_s_place(base):
    before = base.path.read_bytes()
    with pytest.raises(MpnError, match="is the base itself"):
        write_camera(base, base.path.parent / "x" / ".." / base.path.name)
    assert base.path.read_bytes() == before

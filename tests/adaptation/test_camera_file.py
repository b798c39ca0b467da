"""Camera files in their places: names, versions, rollback, and nothing lost by a failure."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mpn.adaptation import camera_file
from mpn.adaptation.camera_file import rollback, with_earlier_lessons, write_camera
from mpn.errors import CheckpointError, MpnError
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.network import Network
from mpn.model.taught import Taught

NAME = "head.4.bias"


@pytest.fixture
def base(tiny: Network, tmp_path: Path) -> Checkpoint:
    save_checkpoint(tmp_path / "base.safetensors", Checkpoint(tiny, training={"seed": 3}))
    return load_checkpoint(tmp_path / "base.safetensors")


@pytest.fixture
def adapted(base: Checkpoint):
    """adapted(x): the base with x added to one parameter, as `adapt_camera` would give it."""

    def make(value: float) -> Checkpoint:
        checkpoint = load_checkpoint(base.path)
        with torch.no_grad():
            dict(checkpoint.network.named_parameters())[NAME].add_(value)
        camera = {
            "base": {"path": str(base.path), "sha256": base.sha256},
            "tensors": [NAME],
            "adapted_on": {"x": value},
        }
        return replace(checkpoint, camera=camera, sha256="", path=None)

    return make


def content(path: Path) -> float:
    return load_checkpoint(path).camera["adapted_on"]["x"]


def names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != "base.safetensors")


def test_what_is_written_is_read_again(base, adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    assert write_camera(path, adapted(0.5)) is None
    again = load_checkpoint(path)
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(tensor, base.network.state_dict()[name] + (0.5 if name == NAME else 0))
    # What was read can be written to another place; it still finds its base.
    write_camera(tmp_path / "far" / "b.camera.safetensors", again)
    assert content(tmp_path / "far" / "b.camera.safetensors") == 0.5


def test_earlier_files_are_kept_as_versions(adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    versions = [write_camera(path, adapted(value)) for value in (1.0, 2.0, 3.0)]
    assert versions == [
        None,
        tmp_path / "a.v1.camera.safetensors",
        tmp_path / "a.v2.camera.safetensors",
    ]
    assert content(path) == 3.0 and [content(version) for version in versions[1:]] == [1.0, 2.0]


def test_what_the_file_in_its_place_was_taught_is_taken_over(adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    assert with_earlier_lessons(path, adapted(1.0)).taught == ()  # there is none

    def event(name: str | None, frame: int) -> Taught:
        return Taught(name, "hall.mp4", frame, np.zeros((1, 4), np.float32))

    write_camera(path, replace(adapted(1.0), taught=(event(None, 3), event("cart", 9))))
    fresh = replace(adapted(2.0), taught=(event("cyclist", 9),))
    write_camera(path, with_earlier_lessons(path, fresh))
    taught = load_checkpoint(path).taught
    assert [(example.name, example.frame) for example in taught] == [(None, 3), ("cyclist", 9)]
    assert content(path) == 2.0
    path.write_bytes(b"broken")
    assert with_earlier_lessons(path, fresh) is fresh


def test_numbers_go_on_from_the_highest_and_other_files_don_t_count(adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    write_camera(path, adapted(1.0))
    (tmp_path / "a.v40.safetensors").touch()
    for name in ("a.v9", "ab.v30", "a.v050", "a.vx", "a.v12.v60"):
        (tmp_path / f"{name}.camera.safetensors").touch()
    assert write_camera(path, adapted(2.0)) == tmp_path / "a.v10.camera.safetensors"
    assert (tmp_path / "a.v9.camera.safetensors").read_bytes() == b""


def test_rollback_takes_back_one_after_the_other_and_loses_nothing(adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    for value in (1.0, 2.0, 3.0):
        write_camera(path, adapted(value))
    assert rollback(path) == (
        tmp_path / "a.v2.camera.safetensors",
        tmp_path / "a.replaced1.camera.safetensors",
    )
    assert content(path) == 2.0 and content(tmp_path / "a.replaced1.camera.safetensors") == 3.0
    assert rollback(path)[1] == tmp_path / "a.replaced2.camera.safetensors"
    assert content(path) == 1.0
    with pytest.raises(
        MpnError, match="no earlier version to go back to .it would be a.v1.camera.safetensors"
    ):
        rollback(path)
    assert content(path) == 1.0
    assert names(tmp_path) == [
        f"a{part}.camera.safetensors" for part in ("", ".replaced1", ".replaced2")
    ]
    # And on from there.
    assert write_camera(path, adapted(4.0)) == tmp_path / "a.v1.camera.safetensors"


def test_rollback_of_a_file_that_is_gone(adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    write_camera(path, adapted(1.0))
    write_camera(path, adapted(2.0))
    path.unlink()
    assert rollback(path) == (tmp_path / "a.v1.camera.safetensors", None)
    assert content(path) == 1.0 and names(tmp_path) == ["a.camera.safetensors"]


def test_a_broken_version_is_not_put_back(adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    write_camera(path, adapted(1.0))
    write_camera(path, adapted(2.0))
    version = tmp_path / "a.v1.camera.safetensors"
    version.write_bytes(version.read_bytes()[:100])
    with pytest.raises(
        CheckpointError,
        match="a.camera.safetensors is left as it is, its version a.v1.*not a whole",
    ):
        rollback(path)
    assert content(path) == 2.0 and names(tmp_path) == [
        "a.camera.safetensors",
        "a.v1.camera.safetensors",
    ]


def test_a_whole_model_needs_no_base(base, adapted, tmp_path):
    path = tmp_path / "alone" / "a.safetensors"
    write_camera(path, adapted(1.0), standalone=True)
    first = path.read_bytes()
    assert (
        write_camera(path, adapted(2.0), standalone=True) == tmp_path / "alone" / "a.v1.safetensors"
    )
    base.path.unlink()
    assert rollback(path) == (
        tmp_path / "alone" / "a.v1.safetensors",
        tmp_path / "alone" / "a.replaced1.safetensors",
    )
    assert path.read_bytes() == first
    again = load_checkpoint(path)
    assert torch.equal(again.network.state_dict()[NAME], base.network.state_dict()[NAME] + 1)
    assert again.camera is None and again.training["seed"] == 3
    assert again.training["base"]["sha256"] == base.sha256 and again.training["adapted_on"] == {
        "x": 1.0
    }


@pytest.mark.parametrize(
    "name", ["a.safetensors", "a.camera", ".camera.safetensors", "a.camera.safetensors.bak"]
)
def test_names_that_are_none_of_a_camera_file(adapted, tmp_path, name):
    with pytest.raises(MpnError, match=r"the name of a camera file ends in \.camera\.safetensors"):
        write_camera(tmp_path / name, adapted(1.0))
    assert names(tmp_path) == []


def test_the_base_stays_where_it_is(base, adapted, tmp_path):
    before = base.path.read_bytes()
    with pytest.raises(
        MpnError, match="is the model that was adapted: give the result another name"
    ):
        write_camera(base.path, adapted(1.0), standalone=True)
    assert base.path.read_bytes() == before and names(tmp_path) == []


def test_models_that_are_no_camera_s(base, adapted, tmp_path):
    path = tmp_path / "a.camera.safetensors"
    with pytest.raises(MpnError, match="was not adapted to a camera"):
        write_camera(path, base)
    nowhere = adapted(1.0)
    nowhere.camera["base"]["path"] = ""
    with pytest.raises(MpnError, match="not read from a file, which a camera file refers to"):
        write_camera(path, nowhere)
    assert names(tmp_path) == []
    write_camera(tmp_path / "whole.safetensors", nowhere, standalone=True)


@pytest.mark.parametrize("error", [MpnError("the disk is full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_what_was_there(adapted, tmp_path, monkeypatch, error):
    path = tmp_path / "a.camera.safetensors"
    write_camera(path, adapted(1.0))
    before = path.read_bytes()

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(camera_file, "save_camera", fails)
    with pytest.raises(type(error)):
        write_camera(path, adapted(2.0))
    assert path.read_bytes() == before and names(tmp_path) == ["a.camera.safetensors"]

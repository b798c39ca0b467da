"""Released models are found by name: in the package, beside it, and below the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mpn
from mpn.errors import CheckpointError
from mpn.model import released
from mpn.model.camera_checkpoint import save_camera
from mpn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mpn.model.network import Network


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three places where models are looked for, empty, below the test's folder."""
    monkeypatch.setattr(released, "PACKAGED_FOLDER", tmp_path / "package")
    monkeypatch.setattr(released, "REPOSITORY_FOLDER", tmp_path / "repository")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def put(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a model")
    return path


def test_the_packaged_model_loads_by_name_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    detector = mpn.load("demo")
    assert detector.checkpoint.path == Path(mpn.__file__).parent / "models" / "demo.safetensors"
    assert detector.config.size == (128, 192) and detector.config.grey


def test_every_place_is_looked_into_in_order(folders: Path) -> None:
    assert released.released_path("ped2") is None and released.released_files() == []
    put(folders / "here" / "checkpoints" / "ped2.safetensors")
    assert released.find_model("ped2") == Path("checkpoints/ped2.safetensors")
    beside = put(folders / "repository" / "ped2.safetensors")
    assert released.find_model("ped2") == beside
    packaged = put(folders / "package" / "ped2.safetensors")
    assert released.find_model("ped2") == packaged == released.find_model(Path("ped2"))
    assert released.released_files() == [packaged]


def test_a_file_goes_before_a_name_and_a_folder_does_not(folders: Path) -> None:
    packaged = put(folders / "package" / "demo.safetensors")
    Path("demo").mkdir()
    assert released.find_model("demo") == packaged
    Path("demo").rmdir()
    Path("demo").write_bytes(b"mine")
    assert released.find_model("demo") == Path("demo")


def test_a_model_that_is_not_here_says_where_it_belongs_and_is_found_there(folders: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        released.find_model("meta")
    text = str(raised.value)
    assert "'meta'" in text and "\n" not in text
    here = Path("checkpoints").absolute()
    assert f"copy meta.safetensors from there to {here}, give its path, or take demo" in text
    assert "in the checkpoints folder of a clone of the repository" in text
    put(here / "meta.safetensors")
    assert released.find_model("meta") == Path("checkpoints/meta.safetensors")


def test_unknown_names_and_misplaced_paths_are_one_clear_line(folders: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a file nor a released model .*demo, ped2"):
        released.find_model("dmeo")
    put(folders / "package" / "demo.safetensors")
    with pytest.raises(CheckpointError, match="by its name alone: demo"):
        released.find_model("checkpoints/demo.safetensors")
    with pytest.raises(CheckpointError, match="there is no checkpoint runs/x.safetensors"):
        load_checkpoint("runs/x.safetensors")


def test_a_camera_finds_its_base_among_the_released_models(folders: Path, tiny: Network) -> None:
    base, camera = folders / "base.safetensors", folders / "lobby.camera.safetensors"
    save_checkpoint(base, Checkpoint(tiny))
    name, weight = next(iter(tiny.named_parameters()))
    save_camera(camera, base, load_checkpoint(base).sha256, {name: weight + 1}, {}, 10.0, {}, {})
    packaged = folders / "package" / "demo.safetensors"
    packaged.parent.mkdir()
    base.replace(packaged)
    loaded = load_checkpoint(camera)
    assert loaded.camera["base"]["path"] == str(packaged)
    assert torch.equal(dict(loaded.network.named_parameters())[name], weight + 1)
    put(base)  # another model has its base's name: the right one is found all the same
    assert load_checkpoint(camera).camera["base"]["path"] == str(packaged)
    put(packaged)
    with pytest.raises(CheckpointError, match="is another model"):
        load_checkpoint(camera)

"""mpn import: a file of the authors' code in, a model out; hostile and broken files make one
line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from mpn.model.checkpoint import load_checkpoint
from tests.cli.conftest import Cli
from tests.helpers.authors_classes import convAE, meta_trained, save, trained
from tests.helpers.hostile_files import (
    call,
    named,
    number,
    pickled,
    state_dict,
    storage,
    tensor,
    text,
    write_new,
    write_old,
)

NUMBERS = struct.pack("<4f", 1, 2, 3, 4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What Train.py and Train_meta.py leave; not to be changed."""
    torch.manual_seed(8)
    module, folder = convAE(), tmp_path_factory.mktemp("authors")
    return {
        "model": save(folder / "model_60.pth", trained(module), old=True),
        "meta": save(folder / "meta_900.pth", meta_trained(module), old=False),
    }


def test_a_whole_model(cli: Cli, saved: dict[str, Path], tmp_path: Path) -> None:
    result = cli("import", saved["model"], "--out", "ped2.safetensors")
    assert (result.code, result.err) == (0, "")
    sha256 = hashlib.sha256(saved["model"].read_bytes()).hexdigest()
    size = (tmp_path / "ped2.safetensors").stat().st_size
    lines = [
        f"{saved['model']}: module model.base_model.convAE, saved in epoch 60, in the format of "
        "torch.save before torch 1.6",
        "41 tensors with 13,285,251 numbers",
        f"SHA-256 {sha256}",
        "preset 'base': windows of 4 BGR frames of 256x256, 10 prototypes",
        f"written: ped2.safetensors ({size / 1e6:.1f} MB); it has no normal scores, so no "
        "threshold is known yet",
        "next: mpn adapt NORMAL_FOOTAGE --checkpoint ped2.safetensors --out "
        "CAMERA.camera.safetensors",
    ]
    assert result.out.split() == " ".join(lines).split()  # broken where a terminal is
    assert (
        load_checkpoint(tmp_path / "ped2.safetensors")
        .training["imported"]
        .endswith("not trained here")
    )

    # It is there already: only --force replaces it.
    (tmp_path / "ped2.safetensors").write_bytes(b"mine")
    line = cli("import", saved["model"], "--out", "ped2.safetensors").error()
    assert (
        line == "mpn import: ped2.safetensors is there already: give another --out, or --force to "
        "replace it"
    )
    assert (tmp_path / "ped2.safetensors").read_bytes() == b"mine"
    assert cli("import", saved["model"], "--out", "ped2.safetensors", "--force").code == 0
    assert (tmp_path / "ped2.safetensors").stat().st_size == size


def test_a_meta_training_with_its_base(cli: Cli, saved: dict[str, Path], tmp_path: Path) -> None:
    assert (
        "give the model that it began with as its base (--base FILE)"
        in cli("import", saved["meta"]).error()
    )
    assert list(tmp_path.iterdir()) == []
    result = cli("import", saved["meta"], "--base", saved["model"], "--json")
    assert result.code == 0, result.err
    (line,) = result.out.splitlines()
    told = json.loads(line)
    assert (
        told["file"] == "meta_900.safetensors"
        and told["bytes"] == (tmp_path / told["file"]).stat().st_size
    )
    assert (told["kind"], told["tensors"], told["numbers"], told["epoch"]) == (
        "meta-training",
        7,
        113731,
        900,
    )
    assert told["base"] == str(saved["model"]) and told["preset"]["name"] == "base"
    assert told["format"] == "since torch 1.6" and len(told["sha256"]) == 64
    assert load_checkpoint(tmp_path / told["file"]).meta.targets == ("prototype.heads.", "head.")

    # From our own model of the same base, too.
    assert cli("import", saved["model"], "--out", "base.safetensors").code == 0
    result = cli(
        "import", saved["meta"], "--base", "base.safetensors", "--out", "other.safetensors"
    )
    assert result.code == 0, result.err
    assert (
        "with a step size for each of them; the other tensors are those of base.safetensors"
        in " ".join(result.out.split())
    )
    first, second = (
        load_checkpoint(tmp_path / name).network for name in (told["file"], "other.safetensors")
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_what_is_imported_is_never_replaced(
    cli: Cli, saved: dict[str, Path], tmp_path: Path
) -> None:
    """Their file may have any name, also ours; --force is for an earlier result."""
    files = {"ped2.safetensors": saved["model"], "meta.safetensors": saved["meta"]}
    for name, file in files.items():
        (tmp_path / name).write_bytes(file.read_bytes())
    (tmp_path / "link.safetensors").symlink_to("ped2.safetensors")
    for arguments in (
        ("ped2.safetensors",),
        ("ped2.safetensors", "--out", "./ped2.safetensors"),
        ("ped2.safetensors", "--out", "link.safetensors"),
        ("meta.safetensors", "--base", "ped2.safetensors", "--out", "ped2.safetensors"),
    ):
        line = cli("import", *arguments, "--force").error()
        assert "is what is imported, and would be lost: give another --out" in line, arguments
    for name, file in files.items():
        assert (tmp_path / name).read_bytes() == file.read_bytes()


def test_a_place_that_is_none_is_told_before_anything_is_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    line = cli("import", "none.pth", "--out", "folder.safetensors", "--force").error()
    assert line.endswith("cannot write folder.safetensors: is a folder; give another --out")


def test_the_name_of_a_model(cli: Cli, saved: dict[str, Path], tmp_path: Path) -> None:
    result = cli("import", saved["model"], "--out", "model.pth")
    assert (
        result.code == 2
        and "--out model.pth: the name of a model ends in .safetensors" in result.err
    )
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example(cli: Cli) -> None:
    result = cli("import", "--help")
    assert result.code == 0 and "mpn import model_ped2.pth --out" in result.out


class Bomb:
    """Unpickled, it makes a folder called `boom`."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("boom",)


SYSTEM = call(named("os", "system"), text("mkdir boom"))
EVAL = call(named("builtins", "eval"), text("__import__('os').mkdir('boom')"))
NESTED = call(
    call(
        named("builtins", "getattr"),
        call(named("builtins", "__import__"), text("os")),
        text("mkdir"),
    ),
    text("boom"),
)
WHOLE = pickled(state_dict(tensor(storage())))
HOSTILE = {
    "os.system": (
        lambda path: write_new(path, pickled(SYSTEM)),
        "refused: the file asks for os.system",
    ),
    "os.system, older": (
        lambda path: write_old(path, pickled(SYSTEM)),
        "refused: the file asks for os.system",
    ),
    "eval": (
        lambda path: write_new(path, pickled(EVAL)),
        "refused: the file asks for builtins.eval",
    ),
    "nested": (
        lambda path: write_old(path, pickled(NESTED)),
        "refused: the file asks for builtins.getattr",
    ),
    "a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps(Bomb(), 4)),
        "the file asks for posix.mkdir",
    ),
    "torch's own file": (
        lambda path: torch.save({"state_dict": Bomb()}, path),
        "the file asks for posix.mkdir",
    ),
    "an absurd storage": (
        lambda path: write_new(
            path, pickled(state_dict(tensor(storage(count=2**50)))), {"0": NUMBERS}
        ),
        "storage 0 of 4,503,599,627,370,496 bytes is 16 bytes long",
    ),
    "an absurd tensor": (
        lambda path: write_new(
            path, pickled(state_dict(tensor(storage(), 0, (2**40,), (0,)))), {"0": NUMBERS}
        ),
        "it describes a tensor that reaches beyond its storage 0",
    ),
    "a path upwards": (
        lambda path: write_new(path, WHOLE, {"0": NUMBERS, "../../../boom": NUMBERS}),
        "a path that leads out of it",
    ),
    "cut short": (
        lambda path: path.write_bytes(write_new(path, WHOLE, {"0": NUMBERS}).read_bytes()[:-30]),
        "cut short or damaged",
    ),
    "cut short, older": (
        lambda path: write_old(path, WHOLE[:-40]),
        "its pickle is cut short or broken",
    ),
    "wrong classes": (
        lambda path: write_new(
            path, pickled(named("torchvision.models.resnet", "ResNet") + b")\x81}b")
        ),
        "refused: the file asks for torchvision.models.resnet.ResNet; it is not a weights file of "
        "the authors",
    ),
    "missing tensors": (
        lambda path: torch.save({"state_dict": nn.Sequential(nn.Linear(2, 2))}, path),
        "41 missing (encoder.moduleConv1.0.weight, encoder.moduleConv1.0.bias, "
        "encoder.moduleConv1.2.weight, ...)",
    ),
    "a huge number": (lambda path: write_new(path, pickled(number(2**9999))), "holds no weights"),
    "an empty file": (lambda path: path.write_bytes(b""), "it is not a file that torch.save wrote"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_broken_files_make_one_line(cli: Cli, tmp_path: Path, name: str) -> None:
    write, message = HOSTILE[name]
    write(tmp_path / "file.pth")
    before = (tmp_path / "file.pth").read_bytes()
    line = cli("import", "file.pth", "--out", "model.safetensors").error()
    assert line.startswith("mpn import: file.pth") and message in line
    assert (
        list(tmp_path.iterdir()) == [tmp_path / "file.pth"]
        and not (tmp_path.parent / "boom").exists()
    )
    assert (tmp_path / "file.pth").read_bytes() == before


def test_a_missing_file(cli: Cli) -> None:
    assert cli("import", "none.pth").error() == (
        "mpn import: none.pth is not there: give the .pth file that the authors' code saved"
    )

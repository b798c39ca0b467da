"""Pickles of all kinds: nothing in them is ever run."""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from mpn.errors import CheckpointError
from mpn.published_weights.pickle_reader import StandIn, StoredTensor
from mpn.published_weights.torch_file import read_torch_file
from tests.helpers.authors_classes import Meta_Prototype, adam_state, save
from tests.helpers.hostile_files import (
    FOUR,
    MAGIC_NUMBER,
    NEW,
    OLD,
    SYSTEM,
    call,
    named,
    number,
    pickled,
    refused,
    state_dict,
    storage,
    tensor,
    text,
    write,
    write_new,
    write_old,
)


def tensors_of(value):
    """Every tensor that can be reached, whatever the file has made of it."""
    waiting, ids = [value], set()
    while waiting:
        item = waiting.pop()
        if id(item) in ids:
            continue
        ids.add(id(item))
        if type(item) is StoredTensor:
            yield item
        elif type(item) is StandIn:
            waiting.append(item.state)
        elif type(item) is dict:
            waiting += item.values()
        elif type(item) in (list, tuple):
            waiting += item


# --- What would run something

MARK = "executed"
SYSTEM_CALL = call(named("os", "system"), text(f"touch {MARK}"))
MAKE = f"open({MARK!r}, 'w').close()"
NESTED = call(
    call(
        named("builtins", "getattr"),
        call(named("builtins", "__import__"), text("os")),
        text("mkdir"),
    ),
    text(MARK),
)
BOMBS = {
    "os.system": (pickled(SYSTEM_CALL), r"os\.system"),
    "posix.system": (
        pickled(call(named("posix", "system"), text(f"touch {MARK}"))),
        r"posix\.system",
    ),
    "eval": (pickled(call(named("builtins", "eval"), text(MAKE))), r"builtins\.eval"),
    "eval of Python 2": (
        pickled(call(named("__builtin__", "eval"), text(MAKE))),
        r"builtins\.eval",
    ),
    "exec": (pickled(call(named("builtins", "exec"), text(MAKE))), r"builtins\.exec"),
    "a nested reduce": (pickled(NESTED), r"builtins\.getattr"),
    "a name from the stack": (
        pickled(text("os") + text("system") + b"\x93(" + text(f"touch {MARK}") + b"tR", 4),
        r"os\.system",
    ),
    "a name through an allowed module": (
        pickled(
            text("torch.nn.modules.module")
            + text("torch.os.mkdir")
            + b"\x93("
            + text(MARK)
            + b"tR",
            4,
        ),
        r"torch\.nn\.modules\.module\.torch\.os\.mkdir",
    ),
    "INST": (pickled(b"(" + text(MARK) + b"ios\nmkdir\n"), "INST"),
    "OBJ": (pickled(b"(" + named("os", "mkdir") + text(MARK) + b"o"), r"os\.mkdir"),
    "an object of a class": (
        pickled(named("pathlib", "Path") + b"(" + text(MARK) + b"t\x81"),
        r"pathlib\.Path",
    ),
    "behind a good dict": (
        pickled(state_dict(tensor(storage())) + SYSTEM_CALL + b"0"),
        r"os\.system",
    ),
    "as a key": (pickled(b"}" + SYSTEM_CALL + b"Ns"), r"os\.system"),
    "as a state": (
        pickled(call(named("collections", "OrderedDict")) + SYSTEM_CALL + b"b"),
        r"os\.system",
    ),
    "a class with its source": (
        pickled(
            b"(" + text("module") + named("os", "system") + b"NNtQ(" + text(f"touch {MARK}") + b"tR"
        ),
        r"os\.system",
    ),
}
# these make nothing, or need torch's own unpickler
DEAD = {"an object of a class", "a class with its source"}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("kind", ["pickle", OLD, NEW])
def test_a_bomb_does_not_go_off(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    bomb, message = BOMBS[name]
    mark, path = tmp_path / MARK, tmp_path / "file.pth"
    if kind == "pickle":
        path.write_bytes(bomb)
    else:
        write(kind, path, bomb, {"0": FOUR} if b"storage" in bomb else {})
    if name not in DEAD and not (kind == "pickle" and b"storage" in bomb):
        # It is a real one: what reads pickles sets it off.
        with contextlib.suppress(pickle.UnpicklingError):
            pickle.loads(bomb) if kind == "pickle" else torch.load(path, weights_only=False)
        assert mark.exists()
        mark.rmdir() if mark.is_dir() else mark.unlink()
    assert refused(path, message).startswith(f"{path}: refused: ")
    assert not mark.exists()


@pytest.mark.parametrize("place", range(5))
def test_a_bomb_in_any_part_of_the_older_format(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    parts = [pickle.dumps(value, protocol=2) for value in (MAGIC_NUMBER, 1001, SYSTEM, {}, [])]
    parts[place] = pickled(SYSTEM_CALL)
    path = write_old(tmp_path / "file.pth", parts[3], head=tuple(parts[:3]), keys=parts[4])
    assert "refused: the file asks for os.system" in refused(path, r"os\.system")
    assert not (tmp_path / MARK).exists()


def test_a_registered_extension_is_not_looked_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = pickled(b"\x82\xf0(" + text(MARK) + b"tR")
    path = write_new(tmp_path / "file.pth", bomb)
    copyreg.add_extension("os", "mkdir", 0xF0)
    try:
        pickle.loads(bomb)
        os.rmdir(MARK)
        refused(path, "refused: it uses EXT1, which torch.save never writes")
    finally:
        copyreg.remove_extension("os", "mkdir", 0xF0)
    assert not (tmp_path / MARK).exists()


def test_attributes_of_functions_and_classes_are_not_set(tmp_path):
    target = torch._utils._rebuild_tensor_v2
    body = pickled(
        named("torch._utils", "_rebuild_tensor_v2") + b"}" + text("marked") + number(1) + b"sb"
    )
    pickle.loads(body)
    assert target.marked == 1  # so would be done with any function that is let in
    del target.marked
    refused(write_new(tmp_path / "file.pth", body), "refused: it sets the attributes of something")
    assert not hasattr(target, "marked")
    for target in (
        ("torch.nn.modules.linear", "Linear"),
        ("collections", "OrderedDict"),
        ("torch", "FloatStorage"),
    ):
        slots = b"N}" + text("forward") + number(1) + b"s\x86"
        path = write_new(tmp_path / "file.pth", pickled(named(*target) + slots + b"b"))
        refused(path, "refused: it sets the attributes of something")
    assert callable(nn.Linear.forward)


def test_a_module_of_an_allowed_name_is_not_imported_or_made(tmp_path, monkeypatch):
    """Their classes need not exist; one that does is neither imported nor told its state."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").write_text(
        f"open({str(tmp_path / MARK)!r}, 'w').close()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code = named("model", "convAE") + b")\x81}" + text("a") + number(5) + b"sb"
    path = write_new(tmp_path / "file.pth", pickled(b"}" + text("state_dict") + code + b"s"))
    stand_in = read_torch_file(path).root["state_dict"]
    assert (stand_in.kind, stand_in.state) == ("model.convAE", {"a": 5}) and not (
        tmp_path / MARK
    ).exists()
    with pytest.raises(AttributeError):
        pickle.loads(pickled(code))
    assert (tmp_path / MARK).exists()
    del sys.modules["model"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("numpy", "load"),
        ("runpy", "run_path"),
        ("functools", "partial"),
        ("operator", "attrgetter"),
        ("types", "CodeType"),
        ("importlib", "import_module"),
        ("torch.serialization", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_import_dotted_name"),
        ("torch.jit._script", "load"),
        ("_codecs", "encode"),
        ("__main__", "convAE"),
        ("models.resnet", "ResNet"),
        ("torchvision.models.resnet", "ResNet"),
        ("modelx", "convAE"),
        ("model.base_model", "convAE.__class__"),
        ("torch.nn.modules", "module.torch.load"),
        ("torch", "FloatTensor"),
        ("torch.nn", "functional"),
        ("", ""),
        ("os\x1b[2J", "system\x07"),
        ("s" * 10_000, "x"),
        ("mödel", "convAE"),
    ],
)
@pytest.mark.parametrize("stack", [False, True])
def test_every_other_name_is_refused(tmp_path, module, name, stack):
    opcodes = text(module) + text(name) + b"\x93" if stack else named(module, name)
    path = write_new(tmp_path / "file.pth", pickled(opcodes, 4))
    if not stack and not module.isascii():
        # such a name can only come from the stack
        refused(path, "its pickle is cut short or broken")
        return
    line = refused(
        path,
        "refused: the file asks for .* it is not a weights file of the authors, "
        "and nothing of it was",
    )
    if module.isascii() and module.isprintable() and len(module) < 100:
        assert f"asks for {module}.{name};" in line


# --- Whatever else


@pytest.mark.parametrize("kind", [OLD, NEW])
def test_whatever_is_changed_in_a_file_only_our_errors_come(tmp_path, kind):
    """Bytes of the pickle changed, put in, left out and swapped: it is read, or refused in one
    line."""
    path = tmp_path / "file.pth"
    unit = Meta_Prototype(3, 4)
    value = {"epoch": 3, "state_dict": unit, "optimizer_D": adam_state([unit.Mheads.weight], 0.1)}
    data = save(path, value, old=kind == OLD).read_bytes()
    if kind == NEW:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            storages = {
                name.split("/")[-1]: archive.read(name)
                for name in archive.namelist()
                if "/data/" in name
            }
            data = archive.read("file/data.pkl")
    generator = np.random.default_rng(8)
    end = data.rindex(b"param_groups")  # behind it are the storages
    outcomes = {"read": 0, "refused": 0}
    for _ in range(250):
        changed = bytearray(data)
        for _ in range(generator.integers(1, 4)):
            place, length = int(generator.integers(0, end)), int(generator.integers(1, 6))
            new = {
                0: generator.bytes(length),
                1: b"",
                2: bytes([generator.choice(list(b"cRb\x81\x93Q0sutae.(q2h}])"))]),
                3: changed[(start := int(generator.integers(0, end))) : start + length],
            }[int(generator.integers(0, 4))]
            changed[place : place + (length if generator.random() < 0.7 else 0)] = new
        if kind == NEW:
            write_new(path, bytes(changed), storages)
        else:
            path.write_bytes(changed)
        try:
            file = read_torch_file(path)
            for stored in tensors_of(file.root):
                file.tensor(stored)
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
        refused(path, ".")  # read or not, it is not the whole network
    assert min(outcomes.values()) > 20, outcomes

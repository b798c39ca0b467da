"""Files of torch.save: what is read as torch reads it, and what is refused of files that are
broken."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from mpn.errors import CheckpointError
from mpn.published_weights.torch_file import BEFORE, SINCE, read_torch_file
from tests.helpers.authors_classes import convAE, save, trained
from tests.helpers.hostile_files import (
    FOUR,
    MAGIC_NUMBER,
    NEW,
    OLD,
    SYSTEM,
    peak,
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


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The authors' network at a 32nd of its width, in both formats, as their Train.py saves it."""
    torch.manual_seed(2)
    module = convAE(width=2)
    folder = tmp_path_factory.mktemp("small")
    return {
        kind: save(folder / f"{kind}.pth", trained(module), old=kind == OLD) for kind in (OLD, NEW)
    }, module


# --- What is read


@pytest.mark.parametrize("kind", [OLD, NEW])
def test_a_module_is_read_as_torch_reads_it(small, kind):
    paths, module = small
    file = read_torch_file(paths[kind])
    assert file.layout == {OLD: BEFORE, NEW: SINCE}[kind]
    assert file.root["epoch"] == 60 and file.root["state_dict"].kind == "model.base_model.convAE"
    unit = file.root["state_dict"].state["_modules"]["prototype"]
    assert unit.kind == "model.meta_prototype.Meta_Prototype" and unit.state["proto_size"] == 10
    assert unit.state["temp_update"] == 0.1
    heads = module.prototype.Mheads.weight
    assert torch.equal(
        file.tensor(unit.state["_modules"]["Mheads"].state["_parameters"]["weight"]), heads
    )
    optimizer = file.root["optimizer_D"]
    assert optimizer["param_groups"][0]["lr"] == 1e-4
    first = optimizer["state"][optimizer["param_groups"][0]["params"][0]]
    assert first["step"] == 7 and torch.equal(
        file.tensor(first["exp_avg"]), torch.full((2, 4, 3, 3), 0.5)
    )


def test_the_older_format_holds_the_classes_sources_which_are_passed_over(small):
    data = small[0][OLD].read_bytes()
    assert b"class convAE(nn.Module)" in data and b"_get_thnn_function_backend" in data
    assert b"class convAE(nn.Module)" not in small[0][NEW].read_bytes()


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64]
)
def test_every_type_of_number(tmp_path, dtype, old):
    values = (torch.arange(-6, 6).reshape(3, 4) * 7).to(dtype) / (1 if dtype is torch.int64 else 3)
    path = save(tmp_path / "file.pth", {"a": values.to(dtype)}, old=old)
    file = read_torch_file(path)
    loaded = file.tensor(file.root["a"])
    assert loaded.dtype is dtype and torch.equal(loaded, values.to(dtype))


@pytest.mark.parametrize("old", [True, False])
def test_views_of_one_storage(tmp_path, old):
    whole = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    views = {
        "whole": whole,
        "turned": whole.permute(2, 0, 1),
        "part": whole[1:, ::2, 3],
        "one": whole[2, 3, 4],
        "again": whole,
        "row": whole[1:2],
        "parameter": nn.Parameter(whole[0]),
    }
    file = read_torch_file(save(tmp_path / "file.pth", views, old=old))
    assert {stored.storage.key for stored in file.root.values()} == {file.root["whole"].storage.key}
    for name, view in views.items():
        loaded = file.tensor(file.root[name])
        assert torch.equal(loaded, view.detach()) and loaded.is_contiguous(), name
        loaded.zero_()  # each is its own
    assert torch.equal(file.tensor(file.root["whole"]), whole)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_that_torch_can_write(tmp_path, protocol):
    path = tmp_path / "file.pth"
    module = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    torch.save({"name": "ü" * 300, "n": 2**70, "net": module}, path, pickle_protocol=protocol)
    file = read_torch_file(path)
    assert file.root["name"] == "ü" * 300 and file.root["n"] == 2**70
    weight = file.root["net"].state["_modules"]["0"].state["_parameters"]["weight"]
    assert torch.equal(file.tensor(weight), module[0].weight)


def test_a_module_on_a_gpu_says_where_it_was(tmp_path):
    body = state_dict(tensor(storage().replace(text("cpu"), text("cuda:3"))))
    file = read_torch_file(write(NEW, tmp_path / "file.pth", pickled(body), {"0": FOUR}))
    assert file.tensor(file.root["state_dict"]["ohead.4.bias"]).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", [OLD, NEW])
def test_the_files_written_by_hand_are_what_torch_writes(tmp_path, kind):
    path = write(kind, tmp_path / "file.pth", pickled(state_dict(tensor(storage()))), {"0": FOUR})
    loaded = torch.load(path, weights_only=True)["state_dict"]["ohead.4.bias"]
    file = read_torch_file(path)
    assert (
        loaded.tolist()
        == [1, 2, 3, 4]
        == file.tensor(file.root["state_dict"]["ohead.4.bias"]).tolist()
    )


# --- Broken files


@pytest.mark.parametrize("kind", [OLD, NEW])
def test_a_file_cut_short_anywhere(small, tmp_path, kind):
    data = small[0][kind].read_bytes()
    head = [1, 2, 3, 10, 15, 20, 100, 150, 500, 5000]
    places = sorted(
        {
            *head,
            *np.linspace(0, len(data) - 1, 45, dtype=int).tolist(),
            len(data) - 1,
            len(data) - 100,
        }
    )
    assert len(places) >= 50
    path = tmp_path / "file.pth"
    for place in places:
        path.write_bytes(data[:place])
        refused(path, "cut short|not a file that torch.save wrote|is damaged")


def test_bytes_of_an_archive_changed_anywhere(small, tmp_path):
    data, path = small[0][NEW].read_bytes(), tmp_path / "file.pth"
    generator = np.random.default_rng(9)
    directory = data.rindex(b"PK\x06\x06") - 4000  # the central directory and the records behind it
    for number_ in range(60):
        changed = bytearray(data)
        low = 0 if number_ % 3 == 0 else directory
        for place in generator.integers(low, len(data), 3):
            changed[place] = generator.integers(0, 256)
        path.write_bytes(changed)
        refused(path, ".")


def test_a_damaged_storage_is_noticed(small, tmp_path):
    path = tmp_path / "file.pth"
    write_new(path, pickled(state_dict(tensor(storage()))), {"0": FOUR})
    data = path.read_bytes()
    path.write_bytes(data.replace(FOUR, FOUR[:-1] + b"\x41"))
    file = read_torch_file(path)
    with pytest.raises(CheckpointError, match="is cut short or damaged.*CRC.*download it again"):
        file.tensor(file.root["state_dict"]["ohead.4.bias"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../archive/data/1", "a path that leads out of it"),
        ("archive/../../x", "a path that leads out of it"),
        ("/etc/cron.d/x", "a path that leads out of it"),
        ("archive\\..\\x", "a path that leads out of it"),
        ("C:/x", "a path that leads out of it"),
        ("other/data.pkl", "2 files NAME/data.pkl, torch.save writes one"),
        ("archive/data/0", "the same name twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_member_too_many(tmp_path, name, message):
    path = write_new(tmp_path / "file.pth", pickled(state_dict(tensor(storage()))), {"0": FOUR})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    refused(path, message)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_compressed_archive_is_not_unpacked(tmp_path):
    path = tmp_path / "file.pth"
    body = pickled(state_dict(tensor(storage(count=2**24))))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/data/0", bytes(2**26))
    assert path.stat().st_size < 100_000
    assert peak(lambda: refused(path, "promises more than the file holds")) < 5e6
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", os.urandom(5000))
    refused(path, "archive/data.pkl in it is compressed or encrypted")


def test_an_archive_that_lists_more_files_than_it_could_need(tmp_path):
    path = write_new(tmp_path / "file.pth", pickled(state_dict(tensor(storage()))), {"0": FOUR})
    data = path.read_bytes()
    begin, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[begin : data.index(b"PK\x01\x02", begin + 4)]
    listed = data[begin:end] + entry * 50_000
    record = bytearray(data[end:])
    record[12:16] = struct.pack("<I", len(listed))
    path.write_bytes(data[:begin] + listed + record)
    with zipfile.ZipFile(path) as archive:  # it is one, and each is an object of some 500 bytes
        assert len(archive.infolist()) > 50_000
    # The file is read once as a whole, and that is all.
    size = path.stat().st_size
    assert peak(lambda: refused(path, "archive of more than 10,000 files")) < 3 * size


def test_archives_of_other_things(tmp_path):
    path = tmp_path / "file.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path, "0 files NAME/data.pkl")
    refused(
        write_new(path, pickled(state_dict(tensor(storage())))), "storage 0 of 16 bytes is missing"
    )
    refused(
        write_new(path, pickled(state_dict(tensor(storage()))), {"0": FOUR[:-4]}),
        "is 12 bytes long",
    )
    refused(
        write_new(path, pickled(state_dict(tensor(storage()))), {"0": FOUR}, order="big"),
        "other byte order",
    )


def test_older_files_of_other_things(tmp_path):
    path = tmp_path / "file.pth"
    good = tuple(pickle.dumps(value, protocol=2) for value in (MAGIC_NUMBER, 1001, SYSTEM))
    body = pickled(state_dict(tensor(storage(view=b"N"))))
    for place, value, message in (
        (0, 5, "a pickle, but not a file that torch.save"),
        (1, 999, "a pickle, but not a file that torch.save"),
        (2, SYSTEM | {"little_endian": False}, "other byte order"),
        (2, [], "other byte order"),
    ):
        head = [*good]
        head[place] = pickle.dumps(value, protocol=2)
        refused(write_old(path, body, {"0": FOUR}, head=tuple(head)), message)
    for keys in ([], ["1"], ["0", "1"], [["0"]], "0", None):
        written = write_old(path, body, {"0": FOUR}, keys=pickle.dumps(keys, protocol=2))
        refused(written, "its list of storages is not that of its tensors")
    path.write_bytes(pickle.dumps({"state_dict": {"a": 1}}))
    refused(path, "it uses MEMOIZE|a pickle, but not a file that torch.save wrote")


@pytest.mark.parametrize(
    "content", [b"", b"weights: none\n" * 20, b"\x89HDF\r\n", b"PK", b"PK\x03\x04" * 50, b"\x80"]
)
def test_files_of_other_kinds(tmp_path, content):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    refused(path, "not a file that torch.save wrote|cut short")


def test_no_file_at_all(tmp_path):
    refused(tmp_path / "none.pth", "is not there: give the .pth file")
    refused(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "pipe.pth")  # whoever reads it waits without end
    refused(tmp_path / "pipe.pth", "is not a file: give the .pth file")


def test_a_file_too_large_to_be_one_is_not_read(tmp_path):
    path = tmp_path / "file.pth"
    with path.open("wb") as file:
        file.truncate(2**31)
    assert (
        peak(lambda: refused(path, "has 2,147 MB, which no file of the authors' network has")) < 1e6
    )

"""Pickles that lie about sizes, or ask for all memory or all time: nothing in them is believed."""

from __future__ import annotations

import struct

import pytest

from mpn.published_weights.torch_file import read_torch_file
from tests.helpers.hostile_files import (
    FOUR,
    NEW,
    OLD,
    call,
    named,
    number,
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

LYING = {
    "a memo of two thousand million places": b"N" + b"r" + struct.pack("<I", 2**31 - 1) + b"0",
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 2**40) + b"abc",
    "a byte array that is not there": b"\x96" + struct.pack("<Q", 2**40) + b"abc",
    "a string that is not there": b"X" + struct.pack("<I", 2**32 - 1) + b"abc",
    "a longer one": b"\x8d" + struct.pack("<Q", 2**62) + b"abc",
    "a number that is not there": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"abc",
    "a number of negative length": b"\x8b" + struct.pack("<i", -5) + b"abc",
    "a frame that is not there": b"\x95" + struct.pack("<Q", 2**40) + b"N",
    "lists within lists": b"]" * 20_000 + b"a" * 19_999,
    "tuples within tuples": b")" + b"\x85" * 20_000,
    "a key of tuples within tuples": b"})" + b"\x85" * 20_000 + b"Ns",
    "a key that doubles": b"})" + b"q\x00h\x00\x86" * 100 + b"Ns",
    "a dict that holds itself": b"}q\x00" + text("state_dict") + b"h\x00s",
    "modules that hold themselves": b"}"
    + text("state_dict")
    + named("model", "convAE")
    + b")\x81q\x00}"
    + text("_modules")
    + b"}"
    + text("a")
    + b"h\x00s"
    + text("b")
    + b"h\x00ssbs",
    "modules of long names that hold themselves": b"}"
    + text("state_dict")
    + named("model", "convAE")
    + b")\x81q\x00}"
    + text("_modules")
    + b"}"
    + text("a" * 10**6)
    + b"h\x00s"
    + text("b" * 10**6)
    + b"h\x00ssbs",
    "a module with a number for a name": b"}"
    + text("state_dict")
    + named("model", "convAE")
    + b")\x81}"
    + text("_modules")
    + b"}"
    + number(7**9999)
    + b"Nssbs",
    "absurd numbers": state_dict(tensor(storage(count=1), 0, tuple([256**100_000] * 8), (0,) * 8)),
}


@pytest.mark.parametrize("name", LYING)
def test_nothing_is_believed_of_sizes_in_a_pickle(tmp_path, name):
    body = LYING[name]
    path = write_new(tmp_path / "file.pth", pickled(body, 5))
    assert peak(lambda: refused(path, ".")) < 20e6 + 300 * len(body)


def test_more_operations_than_weights_need(tmp_path):
    refused(
        write_new(tmp_path / "file.pth", pickled(b"]" * 200_001)),
        "have more than 200,000 operations",
    )


ENTRIES = b"(" + b"".join(number(index) + b"N" for index in range(4_000)) + b"u"
PAIRS = b"(" + b"".join(number(index) + b"N\x86" for index in range(4_000)) + b"e"
LONG_NAME = "a" * 100_000
COPYING = {
    "a state given to many": b"}q\x00"
    + ENTRIES
    + named("model", "convAE")
    + b"q\x01"
    + b"h\x01)\x81h\x00b" * 500,
    "many dicts of one list": b"]q\x00"
    + PAIRS
    + named("collections", "OrderedDict")
    + b"q\x01"
    + b"h\x01h\x00\x85R" * 500,
    "many of one long class": named("model", LONG_NAME) + b"q\x00" + b"h\x00)\x81" * 500,
    "many of one long function": named("model", LONG_NAME) + b"q\x00" + b"h\x00)R" * 500,
}


@pytest.mark.parametrize("name", COPYING)
def test_a_small_file_does_not_have_one_thing_copied_without_end(tmp_path, name):
    path = write_new(tmp_path / "file.pth", pickled(COPYING[name] + b"}"))
    assert path.stat().st_size < 150_000
    message = "refused: the file asks for" if LONG_NAME in str(COPYING[name]) else "200,000 operat"
    assert peak(lambda: refused(path, message)) < 30e6  # 40 MB and more, if it is all made


def test_a_number_of_any_length_is_no_key(tmp_path):
    body = b"}" + number(256**50_000) + b"Ns"
    refused(write_new(tmp_path / "file.pth", pickled(body)), "a key that is neither")


@pytest.mark.parametrize("kind", [OLD, NEW])
@pytest.mark.parametrize("count", [5, 2**33, 2**50, 2**62, 2**63, 2**200, -1])
def test_a_storage_of_absurd_size_is_not_allocated(tmp_path, kind, count):
    body = pickled(state_dict(tensor(storage(count=count))))
    path = write(kind, tmp_path / "file.pth", body, {"0": FOUR})
    assert peak(lambda: refused(path, "storage")) < 5e6


def test_an_older_file_whose_storage_lies_about_its_length(tmp_path):
    body = pickled(state_dict(tensor(storage(count=2**40, view=b"N"))))
    path = write_old(tmp_path / "file.pth", body, {"0": FOUR})
    data = path.read_bytes()
    path.write_bytes(data[:-24] + struct.pack("<q", 2**40) + data[-16:])
    refused(path, r"storage 0 of 4,398,046,511,104 bytes is not where it should be")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (0, (2, 2), (3, 1)),
        (0, (2,), (4,)),
        (0, (2,), (2**62,)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (8,), (0,)),
        (0, (2**40,), (0,)),
        (4, (), ()),
        (0, (1,) * 9, (1,) * 9),
        (2**63, (1,), (1,)),
    ],
)
@pytest.mark.parametrize("kind", [OLD, NEW])
def test_a_tensor_beyond_its_storage(tmp_path, kind, offset, shape, strides):
    body = pickled(state_dict(tensor(storage(), offset, shape, strides)))
    refused(write(kind, tmp_path / "file.pth", body, {"0": FOUR}), "it describes a tensor")


def test_a_tensor_at_the_edge_of_its_storage_and_one_with_idle_strides(tmp_path):
    for offset, shape, strides, values in (
        (3, (), (), 4),
        (2, (2,), (1,), [3, 4]),
        (0, (2, 2), (1, 2), [[1, 3], [2, 4]]),
        (1, (2,), (2,), [2, 4]),
        (3, (1, 1), (2**62, 7), [[4]]),
    ):
        body = pickled(state_dict(tensor(storage(), offset, shape, strides)))
        file = read_torch_file(write_new(tmp_path / "file.pth", body, {"0": FOUR}))
        assert file.tensor(file.root["state_dict"]["ohead.4.bias"]).tolist() == values


@pytest.mark.parametrize(
    "arguments",
    [
        b"",
        number(1),
        storage(),
        storage() + number(0),
        storage() + number(0) + text("4") + text("1"),
        storage() + number(0) + b"(" + text("4") + b"t" + b"(" + number(1) + b"t",
        b"N" * 6,
        b"(" + b"N" * 9 + b"t",
        named("torch", "FloatStorage") + number(0) + b"))",
        storage() + b"\x88))",
        storage() + number(0) + b"]]",
    ],
)
@pytest.mark.parametrize(
    "function", ["_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"]
)
def test_rebuilding_of_other_things(tmp_path, function, arguments):
    body = pickled(state_dict(call(named("torch._utils", function), arguments)))
    refused(
        write_new(tmp_path / "file.pth", body, {"0": FOUR}), "it describes a (tensor|parameter)"
    )

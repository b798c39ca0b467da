"""Files of torch.save by hand, around any pickle: what torch writes, and what it never would."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mpn.errors import CheckpointError
from mpn.published_weights.convert import import_weights

OLD, NEW = "old", "new"
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
FOUR = struct.pack("<4f", 1, 2, 3, 4)  # a storage
SYSTEM = {
    "protocol_version": 1001,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


def text(value: str) -> bytes:
    """Put a string on the stack."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    """Put a whole number of any size on the stack."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = pickle.encode_long(value)
    return b"\x8b" + struct.pack("<i", len(data)) + data


def named(module: str, name: str) -> bytes:
    """Put a global on the stack."""
    return f"c{module}\n{name}\n".encode()


def pickled(body: bytes, protocol: int = 2) -> bytes:
    """Make a whole pickle of these operations."""
    return b"\x80" + bytes([protocol]) + body + b"."


def call(function: bytes, *arguments: bytes) -> bytes:
    """Put a call's result on the stack."""
    return function + b"(" + b"".join(arguments) + b"tR"


def storage(
    key: str = "0", count: int = 4, kind: str = "FloatStorage", *, view: bytes = b""
) -> bytes:
    """Put a storage on the stack; `view` is b"N" for the older format."""
    return (
        b"("
        + text("storage")
        + named("torch", kind)
        + text(key)
        + text("cpu")
        + number(count)
        + view
        + b"tQ"
    )


def numbers(values: tuple[int, ...]) -> bytes:
    """Put a tuple of whole numbers on the stack."""
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    of: bytes, offset: int = 0, shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,)
) -> bytes:
    """Put a tensor on the stack."""
    hooks = call(named("collections", "OrderedDict"))
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, of, number(offset), numbers(shape), numbers(strides), b"\x89", hooks)


def state_dict(value: bytes, name: str = "ohead.4.bias") -> bytes:
    """Put {"state_dict": {name: value}} on the stack."""
    return b"}" + text("state_dict") + b"}" + text(name) + value + b"ss"


def write_new(
    path: Path, body: bytes, storages: Mapping[str, bytes] = {}, order: str = "little"
) -> Path:  # noqa: B006
    """Write a file in the format since torch 1.6, with this pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/byteorder", order)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return path


def write_old(
    path: Path,
    body: bytes,
    storages: Mapping[str, bytes] = {},  # noqa: B006
    *,
    item: int = 4,
    head: tuple[bytes, bytes, bytes] | None = None,
    keys: bytes | None = None,
) -> Path:
    """Write a file in the format from before torch 1.6.

    Args:
        path: of the file.
        body: the pickle.
        storages: bytes by key.
        item: bytes of a number of the storages.
        head: instead of the usual three pickles before the body.
        keys: instead of the usual pickle of the storages' keys.
    """
    data = io.BytesIO()
    first = head or tuple(pickle.dumps(value, protocol=2) for value in (MAGIC_NUMBER, 1001, SYSTEM))
    for part in (*first, body, pickle.dumps(list(storages), protocol=2) if keys is None else keys):
        data.write(part)
    for values in storages.values():
        data.write(struct.pack("<q", len(values) // item) + values)
    path.write_bytes(data.getvalue())
    return path


def refused(path: Path, message: str) -> str:
    """Check that the file is refused in one plain line that names it; returns the line."""
    with pytest.raises(CheckpointError, match=message) as caught:
        import_weights(path)
    line = str(caught.value)
    assert (
        line.isprintable()
        and line.isascii()
        and str(path) in line
        and len(line) < 700 + len(str(path))
    ), line
    return line


def write(kind: str, path: Path, body: bytes, storages: Mapping[str, bytes] | None = None) -> Path:
    """Write the pickle in a file of this format, its storages of float32."""
    if kind == NEW:
        return write_new(path, body, storages or {})
    return write_old(path, body.replace(b"tQ", b"NtQ"), storages or {})


def peak(action: Callable[[], object]) -> int:
    """Measure the largest memory in bytes that Python's allocator had handed out while it ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

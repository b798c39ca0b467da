"""Files of torch.save, in both its formats, read without running anything in them.

Before torch 1.6 a file is a sequence of pickles (a magic number, a version, the machine it was
written on, the object, the keys of its storages) with the bytes of the storages behind them; since
then it is a zip archive without compression, with the object's pickle in `NAME/data.pkl` and each
storage in `NAME/data/KEY`.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mpn.errors import CheckpointError
from mpn.published_weights.pickle_reader import Machine, Storage, StoredTensor, shown

BEFORE, SINCE = "before torch 1.6", "since torch 1.6"
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
# The published network with its optimizer's state has 160 MB, its pickle under 1 MB.
MAX_BYTES, MAX_PICKLE_BYTES = 2**30, 2**24
MAX_MEMBERS = 10_000
MEMBER_MARK = b"PK\x01\x02"  # where a zip archive lists a member
# What zipfile raises for archives that are broken in one way or another.
BROKEN = (
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
    EOFError,
    OSError,
)


@dataclass(frozen=True)
class TorchFile:
    """What a file of torch.save holds.

    Attributes:
        path: the file.
        layout: `BEFORE` or `SINCE`.
        sha256: of its bytes.
        root: the object that was saved, as `mpn.published_weights.pickle_reader.Machine.follow`
            gives it.
    """

    path: Path
    layout: str
    sha256: str
    root: Any
    _read: Callable[[Storage], bytes]

    def tensor(self, stored: StoredTensor) -> Tensor:
        """Read the numbers of a tensor of `root`, contiguous, in the type they were saved in.

        Args:
            stored: the tensor's description.

        Raises:
            CheckpointError: its bytes are damaged, or it has no numbers.
        """
        if 0 in stored.shape:
            raise CheckpointError(
                f"{self.path}: it has a tensor of shape {stored.shape}, without a number in it"
            )
        try:
            data = self._read(stored.storage)
        except BROKEN as error:
            raise _broken(self.path, error) from None
        # A stride of a dimension of length 1 makes no difference and may be any number.
        strides = [
            stride if length > 1 else 1 for length, stride in zip(stored.shape, stored.strides)
        ]
        count = 1 + sum((length - 1) * stride for length, stride in zip(stored.shape, strides))
        dtype = stored.storage.dtype
        span = bytearray(
            data[stored.offset * dtype.itemsize : (stored.offset + count) * dtype.itemsize]
        )
        values = torch.frombuffer(span, dtype=dtype).as_strided(stored.shape, strides)
        return values.clone(memory_format=torch.contiguous_format)


def read_torch_file(path: str | Path) -> TorchFile:
    """Read a file that torch.save wrote; nothing in it is executed.

    Args:
        path: of the file.

    Raises:
        CheckpointError: missing, of another kind, cut short or damaged, or asking for anything that
            weights have no use for.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is not there" if not os.path.lexists(path) else "is not a file"
        kind = "is a folder, not a file that torch.save wrote" if path.is_dir() else kind
        raise CheckpointError(f"{path} {kind}: give the .pth file that the authors' code saved")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise CheckpointError(
            f"{path} has {size / 1e6:,.0f} MB, which no file of the authors' network has"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        if data[:2] == b"PK":
            layout, (root, read) = SINCE, _zip(data)
        elif data[:1] == b"\x80":
            layout, (root, read) = BEFORE, _sequence(data)
        else:
            raise CheckpointError(
                "it is not a file that torch.save wrote (neither a pickle nor a zip archive)"
            )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except BROKEN as error:
        raise _broken(path, error) from None
    # The storage read last is kept: all tensors of a file may be views of one.
    return TorchFile(
        path, layout, hashlib.sha256(data).hexdigest(), root, lru_cache(maxsize=1)(read)
    )


def _broken(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is cut short or damaged ({shown(str(error))}): copy or download it again"
    )


def _sequence(data: bytes) -> tuple[Any, Callable[[Storage], bytes]]:
    """Read the object of a file from before torch 1.6, and give what reads its storages."""
    stream, machine = io.BytesIO(data[:MAX_PICKLE_BYTES]), Machine()
    if machine.follow(stream) != MAGIC_NUMBER or machine.follow(stream) != PROTOCOL_VERSION:
        raise CheckpointError("it is a pickle, but not a file that torch.save wrote")
    system = machine.follow(stream)
    little = system.get("little_endian") if type(system) is dict else None
    if little is not (sys.byteorder == "little"):
        raise CheckpointError(
            "it was written on a machine of the other byte order: save it again on one like this"
        )
    root, keys = machine.follow(stream), machine.follow(stream)
    if (
        type(keys) is not list
        or not all(type(key) is str for key in keys)
        or set(keys) != set(machine.storages)
    ):
        raise CheckpointError("its list of storages is not that of its tensors")
    offsets, offset = {}, stream.tell()
    for key in keys:
        storage, offset = machine.storages[key], offset + 8
        (count,) = struct.unpack(
            "<q" if little else ">q", data[offset - 8 : offset].ljust(8, b"\xff")
        )
        if count != storage.count or storage.size > len(data) - offset:
            raise CheckpointError(
                f"cut short or damaged: storage {shown(key)} of {storage.size:,} bytes is not "
                "where it should be"
            )
        offsets[key] = offset
        offset += storage.size
    return root, lambda storage: data[offsets[storage.key] : offsets[storage.key] + storage.size]


def _zip(data: bytes) -> tuple[Any, Callable[[Storage], bytes]]:
    """Read the object of a file since torch 1.6, and give what reads its storages, in memory."""
    # An object is made of each before they can be counted.
    if data.count(MEMBER_MARK) > MAX_MEMBERS:
        raise CheckpointError(f"refused: it is a zip archive of more than {MAX_MEMBERS:,} files")
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = _members(archive, len(data))
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(
            f"it is a zip archive with {len(pickles)} files NAME/data.pkl, torch.save writes one"
        )
    folder = pickles[0].removesuffix("data.pkl")
    if members[pickles[0]].file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"its pickle has {members[pickles[0]].file_size:,} bytes, which no weights need"
        )
    order = members.get(f"{folder}byteorder")
    if order is not None and archive.read(order) != sys.byteorder.encode():
        raise CheckpointError(
            "it was written on a machine of the other byte order: save it again on one like this"
        )
    machine = Machine()
    root = machine.follow(io.BytesIO(archive.read(members[pickles[0]])))
    for key, storage in machine.storages.items():
        member = members.get(f"{folder}data/{key}")
        state = "missing" if member is None else f"{member.file_size:,} bytes long"
        if member is None or member.file_size != storage.size:
            raise CheckpointError(
                f"its storage {shown(key)} of {storage.size:,} bytes is {state}: it is damaged"
            )
    return root, lambda storage: archive.read(members[f"{folder}data/{storage.key}"])


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """List the members by name, once all are of a kind that torch.save writes."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > size:
        raise CheckpointError("refused: it is a zip archive that promises more than the file holds")
    for member in members:
        name = member.orig_filename
        if name.startswith("/") or ".." in name.split("/") or set(name) & set("\\:\0"):
            raise CheckpointError(
                f"refused: it is a zip archive with a path that leads out of it, {shown(name)}"
            )
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise CheckpointError(
                f"refused: {shown(name)} in it is compressed or encrypted; torch.save does neither"
            )
    by_name = {member.filename: member for member in members}
    if len(by_name) != len(members):
        raise CheckpointError("refused: it is a zip archive with the same name twice")
    return by_name

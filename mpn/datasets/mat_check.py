"""The check that a MATLAB file is what it says it is, to be made before SciPy reads it.

MAT-File Format, MathWorks 2024, "Level 5 MAT-File Format": a header of 128 bytes, then elements,
each a tag (type, bytes) and its data; an array is an element of elements. `scipy.io.loadmat` (1.17)
believes them, and damaged files can crash it: a cell array whose elements are missing or of another
kind ends the process with a segmentation fault. So the one variable that is wanted is walked
through first, and has to be numbers, text or a cell array of such, each of the size that it states.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple

HEADER = 128
COMPRESSED, ARRAY, FLAGS, INT32, INT8 = 15, 14, 6, 5, 1
# Bytes of a number of each element type; 16 to 18 are text in UTF-8, 16 and 32.
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
CELL, TEXT, NUMBERS = 1, 4, range(6, 16)
DEEPEST = 8
LARGEST = 1 << 32  # bytes of a variable once decompressed


Order = Literal["little", "big"]  # of the bytes of a number


class Element(NamedTuple):
    """One element: its type and its data."""

    kind: int
    data: memoryview


def check_variable(path: Path, variable: str) -> None:
    """Check that a file is of level 5 and that a variable in it, if it is there, is sound.

    Args:
        path: of the file.
        variable: its name.

    Raises:
        ValueError: what is wrong, in words.
    """
    content = memoryview(path.read_bytes())
    if len(content) < HEADER or bytes(content[126:128]) not in (b"IM", b"MI"):
        raise ValueError("it has no header of a MATLAB v5-v7 file")
    order: Order = "little" if bytes(content[126:128]) == b"IM" else "big"
    for element in _elements(content[HEADER:], order):
        if element.kind == COMPRESSED:
            element = next(_elements(_inflated(element.data), order), Element(0, memoryview(b"")))
        if element.kind != ARRAY:
            raise ValueError(
                f"an element of type {element.kind} stands where a variable was expected"
            )
        parts = list(_elements(element.data, order))
        if len(parts) >= 3 and bytes(parts[2].data).decode("latin-1") == variable:
            _check_array(parts, order, 0)


def _inflated(data: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(f"a compressed variable is damaged ({error})") from error
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("a compressed variable is cut short, or larger than 4 GiB")
    return memoryview(content)


def _elements(data: memoryview, order: Order) -> Iterator[Element]:
    """Yield the elements that lie in `data` one after the other and fill it."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError(f"{len(data) - at} bytes stand where an element was expected")
        first = int.from_bytes(data[at : at + 4], order)
        kind, size, start = first, int.from_bytes(data[at + 4 : at + 8], order), at + 8
        if first >> 16:  # a small element: type and size in four bytes, up to four bytes of data
            kind, size, start = first & 0xFFFF, first >> 16, at + 4
            if size > 4:
                raise ValueError(f"a small element says it has {size} bytes")
        if size > len(data) - start:
            raise ValueError(
                f"an element says it has {size:,} bytes, there are {len(data) - start:,}"
            )
        yield Element(kind, data[start : start + size])
        padded = (
            at + 8 if start == at + 4 else start + size + (-size % 8 if kind != COMPRESSED else 0)
        )
        at = min(padded, len(data))  # files cut the last padding off


def _check_array(parts: list[Element], order: Order, depth: int) -> None:
    """Check that flags, size and name are followed by what they say: so many numbers or arrays."""
    if depth > DEEPEST:
        raise ValueError(f"cells lie in cells, more than {DEEPEST} deep")
    if len(parts) < 3 or [parts[0].kind, parts[1].kind, parts[2].kind] != [FLAGS, INT32, INT8]:
        raise ValueError("an array lacks its flags, size or name")
    if len(parts[0].data) != 8 or len(parts[1].data) < 8 or len(parts[1].data) % 4:
        raise ValueError("an array's flags or size have a wrong length")
    flags = int.from_bytes(parts[0].data[:4], order)
    size = [
        int.from_bytes(parts[1].data[k : k + 4], order, signed=True)
        for k in range(0, len(parts[1].data), 4)
    ]
    if min(size) < 0:
        raise ValueError(f"an array has the size {size}")
    kind, count, content = flags & 0xFF, prod(size), parts[3:]
    if kind == CELL:
        if len(content) != count or any(part.kind != ARRAY for part in content):
            raise ValueError(
                f"a cell array of {size} holds {len(content)} elements, {count} arrays were "
                "expected"
            )
        for part in content:
            _check_array(list(_elements(part.data, order)), order, depth + 1)
        return
    if kind not in (TEXT, *NUMBERS):
        raise ValueError(
            f"an array is of MATLAB's class {kind}; expected numbers, text or a cell array of them"
        )
    expected = 2 if flags & 0x0800 else 1  # complex numbers come in two
    if len(content) != expected and not (count == 0 and not content):
        raise ValueError(
            f"an array of {size} has {len(content)} parts of data, {expected} expected"
        )
    for part in content:
        each = ITEM_BYTES.get(part.kind)
        if each is None or (len(part.data) != count * each and part.kind < 16):
            raise ValueError(
                f"an array of {size} has {len(part.data):,} bytes of numbers of type {part.kind}"
            )

"""Pickles of torch.save, read without running anything.

A pickle is a program: it names functions of any module and calls them. Here it is only parsed (by
`pickletools`, which looks nothing up) and followed on a stack of its own. No name is ever imported,
no function of the file's choice called, no attribute set; what comes out is plain values,
descriptions of tensors, and stand-ins for objects. Names that a file of weights has no use for are
refused.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch

from mpn.errors import CheckpointError

# Far above what weights need, under 20,000 with the optimizer's state; followed in a second or two.
MAX_OPERATIONS = 200_000
MAX_DIMENSIONS = 8
LIMIT = 2**63  # counts and places are below; numbers of any length would take forever to multiply
MAX_SHOWN = 80  # characters of a file's own text that a message repeats
MAX_NAME = 200  # characters of a class or function's name; longer ones would be kept many times
STORAGE_MODULES = ("torch", "torch.cuda")
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Objects of these are kept as stand-ins: the authors' own classes, torch's layers and what wraps
# them, and the "backend" that every layer kept up to torch 1.2, which the authors used.
STAND_IN_MODULES = ("model.", "torch.nn.modules.", "torch.nn.parallel.", "torch.nn.backends.")
STAND_INS = {"builtins.set", "torch.Size", "torch.device"} | {
    str(dtype) for dtype in STORAGES.values()
}


@dataclass(frozen=True)
class Named:
    """A class or function of the file, by its name alone."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class StandIn:
    """An object of the file: the name of its class, and a module's attributes."""

    kind: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers of one type, which lies elsewhere in the file under `key`."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def size(self) -> int:
        """Return the bytes that it takes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor of the file, not read yet; it lies within its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Machine:
    """Follows the pickles of one file.

    Attributes:
        storages: what the pickles followed so far speak of, by key.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._operations = 0

    def follow(self, stream: BinaryIO) -> Any:
        """Read what one pickle describes.

        Args:
            stream: stands at the pickle's beginning, and afterwards right behind it.

        Returns:
            None, numbers and strings as they are; lists, tuples and dicts (keys are numbers and
            strings only); `Named`, `StandIn`, `Storage` and `StoredTensor`. Lists, dicts and
            stand-ins may contain themselves.

        Raises:
            CheckpointError: it asks for a name that weights have no use for, uses an operation that
                torch.save never writes, describes an impossible tensor, or is cut short, broken or
                absurdly large. The message doesn't name the file.
        """
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        offset = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the parser's own, of odd names
                for operation, argument, position in pickletools.genops(stream):
                    offset = position or 0
                    self._step(operation.name, argument)
            return self._pop()
        except CheckpointError as error:
            raise CheckpointError(f"{error} (byte {offset:,})") from None
        except (ValueError, OverflowError) as error:
            # of the parser: cut short, or not of this language
            raise CheckpointError(
                f"its pickle is cut short or broken ({shown(str(error))})"
            ) from None

    def _count(self, operations: int = 1) -> None:
        self._operations += operations
        if self._operations > MAX_OPERATIONS:
            raise CheckpointError(f"its pickles have more than {MAX_OPERATIONS:,} operations")

    def _step(self, name: str, argument: Any) -> None:
        self._count()
        if name not in _OPERATIONS:
            raise CheckpointError(f"refused: it uses {name}, which torch.save never writes")
        _OPERATIONS[name](self, argument)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise CheckpointError("its pickle is broken: something is missing on its stack")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise CheckpointError("its pickle is broken: a mark is missing")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def _nothing(self, _: Any) -> None:
        """Do nothing for PROTO, FRAME and STOP: the parser has used them."""

    def _last(self, kind: type, doing: str) -> Any:
        """Give the object on top of the stack, which stays there."""
        value = self._pop()
        self._push(value)
        if type(value) is not kind:
            raise CheckpointError(
                f"its pickle is broken: {doing} where a {kind.__name__} was expected"
            )
        return value

    def _add_items(self, _: None) -> None:
        """Drop the items of a set, which weights do not need."""
        if self._pop_to_mark():
            self._last(StandIn, "items are added")

    def _append(self, values: list[Any]) -> None:
        self._last(list, "items are added").extend(values)

    def _set_items(self, values: list[Any]) -> None:
        self._last(dict, "entries are set").update(_pairs(values))

    def _remember(self, index: int | None) -> None:
        value = self._pop()
        self._push(value)
        self._memo[len(self._memo) if index is None else index] = value

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise CheckpointError("its pickle is broken: it recalls what it has not remembered")
        self._push(self._memo[index])

    def _global(self, text: str) -> None:
        self._push(_allowed(*text.split(" ", 1)))

    def _stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise CheckpointError(
                "refused: it asks for a class or function by something that is no name"
            )
        self._push(_allowed(module, name))

    def _reduce(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        if type(function) is not Named or type(arguments) is not tuple:
            raise CheckpointError(
                "refused: it calls something that is not a known class or function"
            )
        # What is copied counts, or a small file could have one list copied without end.
        self._count(len(arguments) + sum(len(item) for item in arguments[:1] if type(item) is list))
        make = _MADE.get(str(function))
        self._push(StandIn(str(function)) if make is None else make(arguments))

    def _new_object(self, _: None) -> None:
        arguments, kind = self._pop(), self._pop()
        if type(kind) is not Named or type(arguments) is not tuple or str(kind) in _MADE:
            raise CheckpointError(
                "refused: it makes an object of something that is not a known class"
            )
        self._push(StandIn(str(kind)))

    def _build(self, _: None) -> None:
        state, target = self._pop(), self._pop()
        self._push(target)
        if type(target) is StandIn and type(state) is dict:
            self._count(len(state))
            target.state.update(state)
        # of dicts and tensors, attributes say nothing of weights
        elif type(target) not in (StandIn, dict, StoredTensor):
            raise CheckpointError(
                "refused: it sets the attributes of something that is not an object of its own"
            )

    def _persistent(self, _: None) -> None:
        described = self._pop()
        is_class = type(described) is tuple and len(described) == 4 and described[0] == "module"
        if is_class and type(described[1]) is Named:
            self._push(described[1])  # a class with its source text, which is not looked at
        else:
            self._push(self._storage(described))

    def _storage(self, described: Any) -> Storage:
        if (
            type(described) is not tuple
            or len(described) not in (5, 6)
            or described[0] != "storage"
        ):
            raise CheckpointError(
                "its pickle is broken: it speaks of something outside it that is not a storage"
            )
        kind, key, _, count, *view = described[1:]
        dtype = (
            STORAGES.get(kind.name)
            if type(kind) is Named and kind.module in STORAGE_MODULES
            else None
        )
        if dtype is None or type(key) is not str or not _natural(count) or view not in ([], [None]):
            raise CheckpointError(
                "it describes a storage (a run of numbers) in a way that torch.save does not"
            )
        storage = Storage(key, dtype, count)
        if self.storages.setdefault(key, storage) != storage:
            raise CheckpointError(f"it describes storage {shown(key)} twice, and differently")
        return storage


def shown(text: str) -> str:
    """Make text of a file fit for a message: a short line that no terminal would obey."""
    plain = text[: 2 * MAX_SHOWN].encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= MAX_SHOWN else plain[: MAX_SHOWN - 3] + "..."


def _allowed(module: str, name: str = "") -> Named:
    """Name a class or function; CheckpointError for one that weights have no use for."""
    named = Named("builtins" if module == "__builtin__" else module, name)
    is_storage = name in STORAGES and module in STORAGE_MODULES
    is_stand_in = f"{module}.".startswith(STAND_IN_MODULES) and name.isidentifier()
    is_known = is_storage or is_stand_in or str(named) in _MADE or str(named) in STAND_INS
    if not is_known or len(str(named)) > MAX_NAME:
        raise CheckpointError(
            f"refused: the file asks for {shown(str(named))}; it is not a weights file of the "
            "authors, and nothing of it was run"
        )
    return named


def _natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < LIMIT


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise CheckpointError("its pickle is broken: an entry without a value")
    for key in values[::2]:
        # a nested tuple could take forever to hash, and so could a number of any length
        plain = type(key) in (str, float, bool) or (type(key) is int and -LIMIT < key < 2 * LIMIT)
        if not plain:
            raise CheckpointError("its pickle has a key that is neither a number nor a string")
    return dict(zip(values[::2], values[1::2]))


def _ordered_dict(arguments: tuple) -> dict[Any, Any]:
    if not arguments:
        return {}
    (items, *extra) = arguments
    if (
        extra
        or type(items) is not list
        or not all(type(item) in (list, tuple) and len(item) == 2 for item in items)
    ):
        raise CheckpointError(
            "its pickle is broken: an OrderedDict is made of something that is not pairs"
        )
    return _pairs([value for item in items for value in item])


def _tensor(arguments: tuple) -> StoredTensor:
    """Describe a tensor of (storage, offset, shape, strides, ...), of which nothing is believed."""
    storage, offset, shape, strides = [*arguments[:4], *[None] * (4 - len(arguments[:4]))]
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise CheckpointError("it describes a tensor in a way that torch.save does not")
    if (
        len(shape) != len(strides)
        or len(shape) > MAX_DIMENSIONS
        or not all(map(_natural, (offset, *shape, *strides)))
    ):
        raise CheckpointError("it describes a tensor of an impossible shape or place")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
    numbers = math.prod(shape)
    if numbers > storage.count or (numbers and last >= storage.count):
        raise CheckpointError(
            f"it describes a tensor that reaches beyond its storage {shown(storage.key)}"
        )
    return StoredTensor(storage, offset, shape, strides)


def _parameter(arguments: tuple) -> StoredTensor:
    if not arguments or type(arguments[0]) is not StoredTensor:
        raise CheckpointError("it describes a parameter in a way that torch.save does not")
    return arguments[0]


# What a call of these makes; a call of any other name that is allowed makes a stand-in.
_MADE: dict[str, Callable[[tuple], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
}

# By their names in `pickletools`; all that torch.save writes in protocols 2 to 5, and nothing
# beside it.
_OPERATIONS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), Machine._nothing),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), Machine._push),
    **dict.fromkeys(
        ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
        Machine._push,
    ),
    "NONE": lambda machine, _: machine._push(None),
    "NEWTRUE": lambda machine, _: machine._push(True),
    "NEWFALSE": lambda machine, _: machine._push(False),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    "EMPTY_SET": lambda machine, _: machine._push(StandIn("builtins.set")),
    "EMPTY_TUPLE": lambda machine, _: machine._push(()),
    "TUPLE1": lambda machine, _: machine._push((machine._pop(),)),
    "TUPLE2": lambda machine, _: machine._push(tuple([machine._pop(), machine._pop()][::-1])),
    "TUPLE3": lambda machine, _: machine._push(
        tuple([machine._pop(), machine._pop(), machine._pop()][::-1])
    ),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._pop_to_mark())),
    "MARK": Machine._mark,
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._pop_to_mark()),
    "ADDITEMS": Machine._add_items,
    "SETITEM": lambda machine, _: machine._set_items([machine._pop(), machine._pop()][::-1]),
    "SETITEMS": lambda machine, _: machine._set_items(machine._pop_to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine._remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), Machine._recall),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._new_object,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
}

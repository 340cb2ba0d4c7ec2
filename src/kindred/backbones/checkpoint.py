"""Read a checkpoint that PyTorch saved before version 1.6, without PyTorch and without running its pickle.

Such a file is five pickles, one behind the other, and the numbers of the tensors behind them. A pickle is a program for
a stack machine that can call any function. The machine here knows only the instructions that state dicts of tensors
are made of: it calls nothing and imports nothing, and the four names that such a file mentions are constants to it.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.errors import ModelError

__all__ = ["read_checkpoint"]

State: TypeAlias = dict[str, NDArray[np.generic]]

MAX_BYTES = 2**28  # of a file; the largest that is read here has 25 MB
MAX_STEPS = 1_000_000  # of the machine, for each of the pickles
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {"torch FloatStorage": "<f4", "torch HalfStorage": "<f2", "torch LongStorage": "<i8"}
DICT, REBUILD = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
STORED, RECALLED = {"BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
COUNTED = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Mark:
    """Where the items of a tuple, list or table begin on the stack."""


@dataclass(frozen=True)
class _Name:
    """What a pickle names to be imported; here it stays a name."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Numbers behind the pickles: `size` of them, of one type."""

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage, as NumPy has it; offset and strides in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_checkpoint(file: Path) -> State:
    """Return the tensors of a state dict by name, as arrays of their own.

    Raises ModelError where the file cannot be read, is larger than 256 MB, is no such checkpoint or not a whole one, or
    holds anything but a flat table of tensors.
    """
    try:
        content = read_bounded(file, MAX_BYTES)
    except OSError as error:
        raise ModelError(f"{file}: {explain_os_error(error)}") from None
    stream = io.BytesIO(content)
    try:
        header = [_run(stream) for _ in range(3)]
        if header[:2] != [MAGIC, PROTOCOL] or not isinstance(header[2], dict) or not header[2].get("little_endian"):
            raise _Unexpected("its header is that of another kind of file")
        table, keys = _run(stream), _run(stream)
        if not isinstance(table, dict) or not all(isinstance(value, _Tensor) for value in table.values()):
            raise _Unexpected("it is no flat table of tensors")
        storages = {value.storage.key: value.storage for value in table.values()}
        numbers = _numbers(stream, storages, keys)
        return {name: _array(value, numbers[value.storage.key]) for name, value in table.items()}
    except _Unexpected as error:
        raise ModelError(f"{file}: refused: {error}; expected a state dict as PyTorch before 1.6 saved it") from None
    # What a damaged file makes of the machine: too few values on its stack, one of another type, half an instruction.
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        raise ModelError(f"{file}: not a whole checkpoint of PyTorch; get the file again") from None


class _Unexpected(Exception):
    """A file holds what a state dict of tensors does not."""


def _run(stream: io.BytesIO) -> object:
    """Run one pickle of the stream, and return the value that it leaves."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if step > MAX_STEPS:
            raise _Unexpected(f"it has more than {MAX_STEPS:,} instructions")
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in STORED:
            memo[_whole(argument)] = stack[-1]
        elif name in RECALLED:
            stack.append(memo[_whole(argument)])
        elif name == "GLOBAL":
            stack.append(_name(argument))
        elif name != "PROTO":
            _change(stack, name)
    raise _Unexpected("a pickle in it has no end")


def _change(stack: list[object], name: str) -> None:
    """Take an instruction that makes a value from those on top of the stack, or changes one."""
    if name in ("EMPTY_DICT", "EMPTY_LIST"):
        stack.append({} if name == "EMPTY_DICT" else [])
    elif name == "MARK":
        stack.append(_Mark())
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif name in COUNTED:
        count = COUNTED[name]
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("SETITEM", "SETITEMS"):
        items = _since_mark(stack) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
        _table(stack[-1]).update({_text(key): value for key, value in zip(items[::2], items[1::2], strict=True)})
    elif name in ("APPEND", "APPENDS"):
        items = _since_mark(stack) if name == "APPENDS" else [stack.pop()]
        target = stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target.extend(items)
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_rebuilt(function, arguments))
    elif name == "BUILD":  # the versions of a module's layers, which nobody needs
        stack.pop()
        _table(stack[-1])
    else:
        raise _Unexpected(f"its pickle has the instruction {name}")


def _since_mark(stack: list[object]) -> list[object]:
    """Take what is above the last mark from the stack, and the mark."""
    at = next(at for at in range(len(stack) - 1, -2, -1) if isinstance(stack[at], _Mark))
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _name(argument: object) -> _Name:
    if argument not in (*DTYPES, DICT, REBUILD):
        raise _Unexpected(f"reading it would run {str(argument)[:80].replace(' ', '.')}")
    return _Name(str(argument))


def _rebuilt(function: object, arguments: object) -> object:
    """Return what the two functions of a state dict would: an empty table, or a view of a storage."""
    if function == _Name(DICT) and arguments == ():
        return {}
    if function != _Name(REBUILD) or not isinstance(arguments, tuple):
        raise _Unexpected("its pickle calls a function that makes no tensor")
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, _Storage):
        raise TypeError
    return _Tensor(storage, _whole(offset), tuple(map(_whole, shape)), tuple(map(_whole, strides)))


def _storage(identity: object) -> _Storage:
    if not isinstance(identity, tuple) or len(identity) != 6 or identity[0] != "storage":
        raise TypeError
    _, kind, key, _, size, view = identity
    if not isinstance(kind, _Name) or view is not None:
        raise _Unexpected("it holds a storage of an unknown kind")
    return _Storage(_text(key), DTYPES[kind.name], _whole(size))


def _numbers(stream: io.BytesIO, storages: Mapping[str, _Storage], keys: object) -> dict[str, NDArray[np.generic]]:
    """Read the numbers of all storages, each behind their count, in the order of `keys`."""
    found: dict[str, NDArray[np.generic]] = {}
    if not isinstance(keys, list) or sorted(map(_text, keys)) != sorted(storages):
        raise ValueError
    for key in keys:
        storage = storages[key]
        count, size = int.from_bytes(stream.read(8), "little"), np.dtype(storage.dtype).itemsize
        content = stream.read(count * size) if count == storage.size else b""
        if len(content) != count * size:
            raise ValueError
        found[key] = np.frombuffer(content, storage.dtype)
    return found


def _array(tensor: _Tensor, numbers: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a tensor's numbers; ones that it shares with itself, or that are outside its storage, are an error."""
    shape, strides = tensor.shape, tensor.strides
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    count = _product(shape)
    if count > len(numbers) or (count and last >= len(numbers)):
        raise ValueError
    behind = numbers[tensor.offset :]
    view = np.lib.stride_tricks.as_strided(behind, shape, [stride * behind.itemsize for stride in strides])
    return np.array(view, order="C")


def _product(sides: tuple[int, ...]) -> int:
    count = 1  # not math.prod, whose stub takes no plain tuple of int
    for side in sides:
        count *= side
    return count


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value

"""Write an ONNX graph without the package `onnx`: the few protobuf messages that a convolutional network needs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["GraphNode", "graph_bytes"]

Attribute: TypeAlias = int | str | tuple[int, ...]

IR_VERSION, OPSET = 8, 17
TYPES = {"float32": 1, "int64": 7, "float16": 10}


@dataclass(frozen=True)
class GraphNode:
    """One operation: its kind, the names of its inputs and of its one output, its attributes."""

    kind: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def graph_bytes(
    nodes: Sequence[GraphNode],
    constants: Mapping[str, NDArray[np.generic]],
    *,
    outputs: Mapping[str, Sequence[int | str]],
    name: str,
) -> bytes:
    """Return a model with one input, `image` (N, 3, H, W) float32, as the bytes of an `.onnx` file.

    nodes: each after those that its inputs come from. constants: by name; float32, float16 or int64. outputs: the sizes
    of each by name, a text for one that is free.
    """
    graph = b"".join(_part(1, _node(node)) for node in nodes) + _part(2, name.encode())
    graph += b"".join(_part(5, _tensor(key, values)) for key, values in constants.items())
    graph += _part(11, _value("image", ("N", 3, "H", "W")))
    graph += b"".join(_part(12, _value(key, sizes)) for key, sizes in outputs.items())
    return _number(1, IR_VERSION) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, OPSET))


def _node(node: GraphNode) -> bytes:
    content = b"".join(_part(1, name.encode()) for name in node.inputs) + _part(2, node.output.encode())
    content += _part(3, node.output.encode()) + _part(4, node.kind.encode())
    return content + b"".join(_part(5, _attribute(name, value)) for name, value in node.attributes.items())


def _attribute(name: str, value: Attribute) -> bytes:
    content = _part(1, name.encode())
    if isinstance(value, int):
        return content + _number(3, value) + _number(20, 2)
    if isinstance(value, str):
        return content + _part(4, value.encode()) + _number(20, 3)
    return content + b"".join(_number(8, entry) for entry in value) + _number(20, 7)


def _tensor(name: str, values: NDArray[np.generic]) -> bytes:
    sizes = b"".join(_number(1, size) for size in values.shape)
    stored = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return sizes + _number(2, TYPES[values.dtype.name]) + _part(8, name.encode()) + _part(9, stored.tobytes())


def _value(name: str, sizes: Sequence[int | str]) -> bytes:
    shape = b"".join(_part(1, _number(1, size) if isinstance(size, int) else _part(2, size.encode())) for size in sizes)
    return _part(1, name.encode()) + _part(2, _part(1, _number(1, TYPES["float32"]) + _part(2, shape)))


def _part(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    """Return a whole number, not negative, as a field."""
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return struct.pack(f"{len(coded) + 1}B", *coded, value)

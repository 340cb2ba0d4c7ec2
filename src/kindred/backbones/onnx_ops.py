"""ONNX operators as PyTorch functions, as far as exported image networks use them.

Each takes the node, for its attributes, and its inputs (None for an omitted one), and returns its output. Semantics
are those of the ONNX operator reference, opsets 7 to 22. Operators on the shape of a tensor work on int64 tensors that
stay on the CPU. While PyTorch traces a network for export, the sides of a tensor are tensors themselves: arithmetic
keeps them dynamic in the exported graph; reading or comparing them would make them constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from kindred.errors import ModelError

__all__ = ["OPERATORS", "TYPES", "Node"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator of the graph, with its opset version."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, object]
    opset: int

    def integer(self, key: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(key, default)
        return value if isinstance(value, int) else default

    def number(self, key: str, default: float) -> float:
        """Return a float attribute."""
        value = self.attributes.get(key, default)
        return float(value) if isinstance(value, int | float) else default

    def integers(self, key: str, default: Sequence[int] | None = None) -> list[int] | None:
        """Return a list of integers, or the default."""
        value = self.attributes.get(key, default)
        return [int(entry) for entry in value] if isinstance(value, Sequence) else None

    def text(self, key: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(key, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def unsupported(self, what: str) -> ModelError:
        """Return the error for an unsupported use of the operator."""
        return ModelError(f"node {self.name!r}: {self.operator} with {what} is not supported in PyTorch")


Operator: TypeAlias = Callable[..., Tensor]


def _window(node: Node, x: Tensor, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Return strides, dilations and padding (left, right, top, bottom, as functional.pad takes it)."""
    if x.ndim != 4 or len(kernel) != 2:
        raise node.unsupported(f"{x.ndim - 2}-D windows")
    strides = node.integers("strides", [1, 1]) or [1, 1]
    dilations = node.integers("dilations", [1, 1]) or [1, 1]
    mode = node.text("auto_pad", "NOTSET")
    top, left, bottom, right = node.integers("pads", [0, 0, 0, 0]) or [0, 0, 0, 0]
    if mode == "VALID":
        return strides, dilations, [0, 0, 0, 0]
    if mode.startswith("SAME"):
        pads = []
        for side, size, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
            total = _same_padding(side, (size - 1) * dilation, stride)
            less, more = total // 2, total - total // 2
            pads.append((less, more) if mode == "SAME_UPPER" else (more, less))
        (top, bottom), (left, right) = pads
    return strides, dilations, [left, right, top, bottom]


def _same_padding(side: int, reach: int, stride: int) -> int:
    """Return the total SAME padding of a side for windows that extend `reach` cells beyond their first.

    It is max((⌈side / stride⌉ − 1) · stride + reach + 1 − side, 0), avoiding the comparison if possible, as it would
    make a traced side constant.
    """
    if stride == 1 or reach == 0:
        return reach
    total = reach - (side - 1) % stride
    return total if reach >= stride - 1 else max(total, 0)


def _is_dynamic(pads: Sequence[int]) -> bool:
    """Return whether the padding depends on a side that must stay dynamic."""
    return not all(type(pad) is int for pad in pads)


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    strides, dilations, pads = _window(node, x, weight.shape[2:])
    left, right, top, bottom = pads
    padding = [top, left]
    if _is_dynamic(pads) or (left, top) != (right, bottom):
        x, padding = functional.pad(x, pads), [0, 0]
    return functional.conv2d(x, weight, bias, strides, padding, dilations, node.integer("group", 1))


def _max_pool(node: Node, x: Tensor) -> Tensor:
    kernel = node.integers("kernel_shape") or []
    strides, dilations, pads = _window(node, x, kernel)
    if _is_dynamic(pads) or any(pads):
        x = functional.pad(x, pads, value=-math.inf)
    ceiling = bool(node.integer("ceil_mode", 0))
    return functional.max_pool2d(x, kernel, strides, 0, dilations, ceil_mode=ceiling)


def _average_pool(node: Node, x: Tensor) -> Tensor:
    kernel = node.integers("kernel_shape") or []
    strides, dilations, pads = _window(node, x, kernel)
    if dilations != [1, 1]:
        raise node.unsupported("dilations")
    ceiling = bool(node.integer("ceil_mode", 0))
    pooled = functional.avg_pool2d(functional.pad(x, pads), kernel, strides, 0, ceiling)
    if (not _is_dynamic(pads) and not any(pads)) or node.integer("count_include_pad", 0):
        return pooled
    # Padding is excluded from the average: divide by the share of each window inside the image.
    inside = functional.pad(torch.ones_like(x[:1, :1]), pads)
    return pooled / functional.avg_pool2d(inside, kernel, strides, 0, ceiling)


def _batch_normalisation(node: Node, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    if node.integer("training_mode", 0):
        raise node.unsupported("training_mode")
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=node.number("epsilon", 1e-5))


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    if node.opset < 11:
        return x.clamp(node.number("min", -math.inf), node.number("max", math.inf))
    bounds = [None if bound is None else bound.item() for bound in (low, high)]
    return x.clamp(*bounds) if any(bound is not None for bound in bounds) else x


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.mT if node.integer("transA", 0) else a
    b = b.mT if node.integer("transB", 0) else b
    product = node.number("alpha", 1.0) * (a @ b)
    return product if c is None else product + node.number("beta", 1.0) * c


def _divide(node: Node, a: Tensor, b: Tensor) -> Tensor:  # noqa: ARG001
    return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.integer("axis", 1)
    return x.reshape(math.prod(x.shape[: axis if axis >= 0 else x.ndim + axis]), -1)


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sides = shape.tolist()
    copied = [] if node.integer("allowzero", 0) else [at for at, side in enumerate(sides) if side == 0]
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        sides = list(shape)
    return x.reshape([x.shape[at] if at in copied else side for at, side in enumerate(sides)])


def _axes(node: Node, axes: Tensor | None) -> list[int] | None:
    """Return the axes: an attribute in old opsets, an input in new ones."""
    return node.integers("axes") if axes is None else [int(axis) for axis in axes.tolist()]


def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes)
    return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))


def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes) or []
    rank = x.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def _reduce_mean(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes)
    if not chosen and node.integer("noop_with_empty_axes", 0):
        return x
    return x.mean(chosen or list(range(x.ndim)), keepdim=bool(node.integer("keepdims", 1)))


def _softmax(node: Node, x: Tensor) -> Tensor:
    if node.opset >= 13:
        return x.softmax(node.integer("axis", -1))
    axis = node.integer("axis", 1)  # up to opset 12, softmax is over this axis and all later ones
    return x.flatten(axis % x.ndim).softmax(-1).reshape(x.shape)


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    side, mode = node.integer("blocksize", 1), node.text("mode", "DCR")
    if side < 1 or x.ndim != 4 or x.shape[1] % side**2:
        raise node.unsupported(f"blocks of {side} × {side} from {x.shape[1]} channels")
    if mode == "DCR":  # PyTorch has the channels of a block next to one another, as CRD has
        x = x.reshape(len(x), side * side, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
    return functional.pixel_shuffle(x, side)


def _resize(
    node: Node, x: Tensor, _region: Tensor | None, scales: Tensor | None, sizes: Tensor | None = None
) -> Tensor:
    """Enlarge by whole factors without interpolation, as decoders do; nothing else is supported."""
    place, mode = node.text("coordinate_transformation_mode", "half_pixel"), node.text("mode", "nearest")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    if mode != "nearest" or (place, rounding) != ("asymmetric", "floor") or scales is None or sizes is not None:
        raise node.unsupported(f"mode {mode}, {place}, {rounding}")
    factors = scales.tolist()
    if (
        x.ndim != 4
        or len(factors) != 4
        or factors[:2] != [1, 1]
        or any(each != int(each) or each < 1 for each in factors)
    ):
        raise node.unsupported(f"scales {factors}")
    return x.repeat_interleave(int(factors[2]), 2).repeat_interleave(int(factors[3]), 3)


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.integers("perm") or list(range(x.ndim))[::-1])


def _shape(node: Node, x: Tensor) -> Tensor:
    sides = x.shape[slice(node.integer("start", 0), node.integer("end", x.ndim))]
    return torch.stack([torch.as_tensor(side) for side in sides]) if sides else torch.empty(0, dtype=torch.int64)


def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.integer("axis", 0) % x.ndim
    wrapped = torch.where(indices < 0, indices + x.shape[axis], indices).to(x.device)
    taken = x.index_select(axis, wrapped.flatten())
    return taken.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def _slice(node: Node, x: Tensor, *bounds: Tensor | None) -> Tensor:
    if node.opset < 10:
        lists = [node.integers("starts"), node.integers("ends"), node.integers("axes"), None]
    else:
        lists = [None if bound is None else bound.tolist() for bound in (*bounds, None, None)[:4]]
    starts, ends = lists[0] or [], lists[1] or []
    axes = lists[2] or list(range(len(starts)))
    steps = lists[3] or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = range(*slice(start, end, step).indices(x.shape[axis]))
        x = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64, device=x.device))
    return x


def _pad(
    node: Node, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    amounts = node.integers("pads", []) if pads is None else [int(amount) for amount in pads.tolist()]
    count = len(amounts or []) // 2
    chosen = list(range(count)) if axes is None else [int(axis) % x.ndim for axis in axes.tolist()]
    before, after = [0] * x.ndim, [0] * x.ndim
    for at, axis in enumerate(chosen):
        before[axis], after[axis] = (amounts or [])[at], (amounts or [])[count + at]
    mode = node.text("mode", "constant")
    fill = node.number("value", 0.0) if value is None else float(value.item())
    last_first = [side for axis in reversed(range(x.ndim)) for side in (before[axis], after[axis])]
    if mode == "constant":
        return functional.pad(x, last_first, value=fill)
    if any(last_first[4:]):
        raise node.unsupported(f"mode {mode} on the batch or the channels")
    return functional.pad(x, last_first[:4], mode={"edge": "replicate"}.get(mode, mode))


def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return functional.leaky_relu(x, node.number("alpha", 0.01))


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return (node.number("alpha", 0.2) * x + node.number("beta", 0.5)).clamp(0, 1)


def _concat(node: Node, *parts: Tensor) -> Tensor:
    return torch.cat(parts, node.integer("axis", 0))


# The numbers are those of onnx.TensorProto.DataType.
TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


def _cast(node: Node, x: Tensor) -> Tensor:
    if node.integer("to", 0) not in TYPES:
        raise node.unsupported(f"data type {node.integer('to', 0)}")
    return x.to(TYPES[node.integer("to", 0)])


def _plain(function: Callable[..., Tensor]) -> Operator:
    """Wrap a function that needs no attributes as an operator."""
    return lambda node, *inputs: function(*inputs)  # noqa: ARG005


OPERATORS: dict[str, Operator] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalisation,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": _divide,
    "Dropout": _plain(lambda x, *_: x),  # inference only
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(lambda x: x.mean((2, 3), keepdim=True)),
    "GlobalMaxPool": _plain(lambda x: x.amax((2, 3), keepdim=True)),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(functional.hardswish),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": _leaky_relu,
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _plain(lambda x, slope: torch.where(x < 0, x * slope, x)),
    "Pad": _pad,
    "Pow": _plain(torch.pow),
    "ReduceMean": _reduce_mean,
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

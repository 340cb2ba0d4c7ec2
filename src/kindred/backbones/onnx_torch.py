"""An ONNX graph as a PyTorch module; needs the extra `train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from kindred.backbones.onnx_ops import OPERATORS, TYPES, Node
from kindred.errors import ModelError

__all__ = ["OnnxModule", "load_onnx"]


class OnnxModule(nn.Module):
    """The part of an ONNX graph between its input and the tensors asked for.

    What depends on weights alone is computed once, when the module is made. Float weights are buffers, so
    the module moves between devices as any other; it has no parameters: it describes and is not trained.
    """

    def __init__(
        self,
        *,
        nodes: Sequence[Node],
        constants: dict[str, Tensor],
        image: str,
        dtype: torch.dtype,
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self._dtype = dtype
        self._image = image
        self._outputs = tuple(outputs)
        self._nodes: list[Node] = []
        self._buffer_of: dict[str, str] = {}
        self._small: dict[str, Tensor] = {}
        values = dict(constants)
        for node in nodes:
            if all(name in values for name in node.inputs if name):
                values[node.outputs[0]] = _apply(node, values)
            else:
                self._nodes.append(node)
        used = {name for node in self._nodes for name in node.inputs} | set(outputs)
        for at, name in enumerate(sorted(used.intersection(values))):
            if values[name].is_floating_point() and values[name].ndim:
                self._buffer_of[name] = f"constant{at}"
                self.register_buffer(f"constant{at}", values[name])
            else:
                # Shapes, axes and scalars stay on the CPU: reading one from a GPU would be waiting for it.
                self._small[name] = values[name]
        self._spent = _last_uses(self._nodes, keep={*outputs, *self._small, *self._buffer_of})

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors asked for, in order; `image` is preprocessed, in the graph's own layout."""
        values = {name: self.get_buffer(buffer) for name, buffer in self._buffer_of.items()}
        values.update(self._small)
        values[self._image] = image.to(self._dtype)
        for node, spent in zip(self._nodes, self._spent, strict=True):
            values[node.outputs[0]] = _apply(node, values)
            for name in spent:
                del values[name]  # memory is what limits the batch
        return tuple(values[name] for name in self._outputs)


def load_onnx(path: Path, outputs: Sequence[str]) -> OnnxModule:
    """Read an `.onnx` file and return the module that computes those of its tensors.

    Raise ModelError for a damaged file, for a tensor that the graph does not have, and for an operator that
    is not supported, naming it and its node.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's DecodeError among others; onnx documents none
        raise ModelError(f"{path}: not a whole ONNX model: {' '.join(str(error).split())}") from None
    graph = model.graph
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    constants = {entry.name: _tensor(entry) for entry in graph.initializer}
    images = [entry for entry in graph.input if entry.name not in constants]
    if len(images) != 1:
        raise ModelError(f"{path}: the graph has {len(images)} inputs; expected one, the image")
    nodes = [_node(proto, at, opset) for at, proto in enumerate(graph.node)]
    return OnnxModule(
        nodes=_needed(nodes, outputs, path),
        constants=constants,
        image=images[0].name,
        dtype=TYPES.get(images[0].type.tensor_type.elem_type, torch.float32),
        outputs=outputs,
    )


def _node(proto: onnx.NodeProto, at: int, opset: int) -> Node:
    return Node(
        operator=proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}",
        name=proto.name or f"#{at}",
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes={entry.name: onnx.helper.get_attribute_value(entry) for entry in proto.attribute},
        opset=opset,
    )


def _needed(nodes: Sequence[Node], outputs: Sequence[str], path: Path) -> list[Node]:
    """Return, in order, the nodes that the outputs depend on."""
    made = {name for node in nodes for name in node.outputs}
    for name in outputs:
        if name not in made:
            raise ModelError(f"{path}: the graph has no tensor {name!r}")
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        if node.operator not in OPERATORS and node.operator != "Constant":
            raise ModelError(
                f"{path}: node {node.name!r} uses {node.operator}, which is not supported in PyTorch; "
                "use the engine openvino"
            )
        if not wanted.isdisjoint(node.outputs[1:]):
            raise ModelError(f"{path}: node {node.name!r}: only one output of {node.operator} is supported")
        wanted.update(name for name in node.inputs if name)
        kept.append(node)
    return kept[::-1]


def _apply(node: Node, values: dict[str, Tensor]) -> Tensor:
    if node.operator == "Constant":
        return _constant(node)
    return OPERATORS[node.operator](node, *(values[name] if name else None for name in node.inputs))


def _constant(node: Node) -> Tensor:
    value = node.attributes.get("value")
    if isinstance(value, onnx.TensorProto):
        return _tensor(value)
    for key in ("value_int", "value_ints", "value_float", "value_floats"):
        if key in node.attributes:
            return torch.tensor(node.attributes[key], dtype=torch.int64 if "int" in key else torch.float32)
    raise node.unsupported(f"the value {', '.join(node.attributes)}")


def _tensor(value: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(value).copy())  # a copy, because it may be read-only


def _last_uses(nodes: Sequence[Node], keep: set[str]) -> list[list[str]]:
    """Return, for every node, the tensors that no later node reads."""
    seen, spent = set(keep), []
    for node in reversed(nodes):
        here = {name for name in (*node.inputs, node.outputs[0]) if name and name not in seen}
        spent.append(sorted(here))
        seen |= here
    return spent[::-1]

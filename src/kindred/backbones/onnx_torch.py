"""An ONNX graph as a PyTorch module; needs the extra `train`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from kindred.backbones.onnx_ops import OPERATORS, TYPES, Node
from kindred.errors import ModelError

__all__ = ["OnnxModule", "load_onnx"]

# The positions of an operator's learned inputs: weight, bias, gamma, beta or slope. Other constants are part of the
# computation (the scalars of a normalisation, the bounds of a clip, a target shape), and the running statistics of a
# batch norm are measured, not learned.
_LEARNED: Mapping[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "PRelu": (1,),
}


class OnnxModule(nn.Module):
    """The part of an ONNX graph from its input to the requested tensors.

    Constant expressions are evaluated once, on construction: a weight stored at half precision and cast becomes a
    float32 weight. Float weights are buffers, so that the module moves between devices like any other. If `trainable`,
    the constants that the graph uses as weights are parameters instead, named after their tensors.
    """

    def __init__(
        self,
        *,
        nodes: Sequence[Node],
        constants: dict[str, Tensor],
        image: str,
        dtype: torch.dtype,
        outputs: Sequence[str],
        trainable: bool = False,
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
        self._parameter_of: dict[str, str] = {}
        used = {name for node in self._nodes for name in node.inputs} | set(outputs)
        learned = _learned(self._nodes, values) - set(outputs) if trainable else set()
        for at, name in enumerate(sorted(used.intersection(values))):
            if name in learned:
                self._parameter_of[name] = _attribute(name, taken=self._parameter_of.values())
                self.register_parameter(self._parameter_of[name], nn.Parameter(values[name]))
            elif values[name].is_floating_point() and values[name].ndim:
                self._buffer_of[name] = f"constant{at}"
                self.register_buffer(f"constant{at}", values[name])
            else:
                # Shapes, axes and scalars stay on the CPU, as reading one from a GPU would synchronise.
                self._small[name] = values[name]
        self._spent = self._last_uses()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the requested tensors, in order; `image` is preprocessed, in the layout of the graph."""
        values = {name: self.get_buffer(buffer) for name, buffer in self._buffer_of.items()}
        values.update((name, self.get_parameter(parameter)) for name, parameter in self._parameter_of.items())
        values.update(self._small)
        values[self._image] = image.to(self._dtype)
        for node, spent in zip(self._nodes, self._spent, strict=True):
            values[node.outputs[0]] = _apply(node, values)
            for name in spent:
                del values[name]  # memory limits the batch size
        return tuple(values[name] for name in self._outputs)

    def in_order(self, outputs: Sequence[str]) -> list[str]:
        """Return the names among `outputs` that the module computes, in topological order."""
        return [name for node in self._nodes for name in node.outputs[:1] if name in outputs]

    def restrict(self, outputs: Sequence[str]) -> None:
        """Restrict the module to some of its outputs; drop the nodes and weights that these do not need."""
        self._outputs = tuple(outputs)
        self._nodes = _upstream(self._nodes, outputs)
        used = {name for node in self._nodes for name in node.inputs} | set(outputs)
        for place in (self._buffer_of, self._parameter_of):
            for name in [name for name in place if name not in used]:
                delattr(self, place.pop(name))
        self._small = {name: value for name, value in self._small.items() if name in used}
        self._spent = self._last_uses()

    def _last_uses(self) -> list[list[str]]:
        return _last_uses(self._nodes, keep={*self._outputs, *self._small, *self._buffer_of, *self._parameter_of})


def load_onnx(path: Path, outputs: Sequence[str], *, trainable: bool = False) -> OnnxModule:
    """Read an `.onnx` file and return the module that computes the tensors `outputs`.

    With `trainable` its weights are parameters. Raise ModelError for a damaged file, an unknown tensor, an unsupported
    operator (naming it and its node), and a half-precision network with `trainable`.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's DecodeError among others; onnx documents none
        raise ModelError(f"{path}: not a valid ONNX model: {' '.join(str(error).split())}") from None
    graph = model.graph
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    constants = {entry.name: _tensor(entry) for entry in graph.initializer}
    images = [entry for entry in graph.input if entry.name not in constants]
    if len(images) != 1:
        raise ModelError(f"{path}: the graph has {len(images)} inputs; expected one, the image")
    nodes = [_node(proto, at, opset) for at, proto in enumerate(graph.node)]
    dtype = TYPES.get(images[0].type.tensor_type.elem_type, torch.float32)
    if trainable and dtype != torch.float32:
        raise ModelError(
            f"{path}: the graph computes in {str(dtype).removeprefix('torch.')}; to train it, export it in float32"
        )
    return OnnxModule(
        nodes=_needed(nodes, outputs, path),
        constants=constants,
        image=images[0].name,
        dtype=dtype,
        outputs=outputs,
        trainable=trainable,
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
    kept = _upstream(nodes, outputs)
    wanted = {name for node in kept for name in node.inputs if name} | set(outputs)
    for node in reversed(kept):
        if node.operator not in OPERATORS and node.operator != "Constant":
            raise ModelError(
                f"{path}: node {node.name!r} uses {node.operator}, which is not supported in PyTorch; "
                "use the engine openvino"
            )
        if not wanted.isdisjoint(node.outputs[1:]):
            raise ModelError(f"{path}: node {node.name!r}: only one output of {node.operator} is supported")
    return kept


def _upstream(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Return, in order, the nodes that these tensors are computed from."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    return kept[::-1]


def _learned(nodes: Sequence[Node], constants: Mapping[str, Tensor]) -> set[str]:
    """Return the float constants that the nodes use as weights, including biases added by a separate Add."""
    linear = {node.outputs[0] for node in nodes if node.operator in ("Conv", "Gemm", "MatMul")}
    found = {
        node.inputs[at]
        for node in nodes
        for at in _LEARNED.get(node.operator, ())
        if at < len(node.inputs) and node.inputs[at] in constants
    }
    for node in nodes:
        if node.operator == "Add" and not linear.isdisjoint(node.inputs):
            # A single number is not a bias, but for example the 3 of a hard swish.
            found.update(name for name in node.inputs if name in constants and constants[name].numel() > 1)
    return {name for name in found if constants[name].is_floating_point() and constants[name].ndim}


def _attribute(tensor: str, *, taken: Collection[str]) -> str:
    """Return a unique parameter name for a tensor; PyTorch forbids dots, and other symbols are replaced too."""
    name = f"weight_{re.sub(r'[^A-Za-z0-9_]', '_', tensor)}"
    return next(text for text in (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))) if text not in taken)


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
    """Return, for every node, the tensors that no later node uses."""
    seen, spent = set(keep), []
    for node in reversed(nodes):
        here = {name for name in (*node.inputs, node.outputs[0]) if name and name not in seen}
        spent.append(sorted(here))
        seen |= here
    return spent[::-1]

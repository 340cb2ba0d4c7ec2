"""Warm start: a student takes the weights of an earlier one from the graph that it was exported to.

The graph has its batch norms folded into the convolutions. They are unfolded with newly measured statistics,
such that the student computes what the graph does and its norms are active: it can be trained further.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from kindred.errors import TrainingError
from kindred.training.architectures.student import Student

__all__ = ["warm_start"]

FILTER_SIZE = 0.25  # root mean square of the weights of a filter after blockwise training, about
MAX_BYTES = 2**31  # of a graph: protobuf itself reads no more
MAX_MESSAGE = 200
JOINED = "features"  # the output of an exported student that its heads are joined in


def warm_start(student: Student, file: Path, images: Tensor) -> int:
    """Give a student the weights of the `.onnx` that one of the same layout was exported to; return its chains.

    The earlier student may have had fewer teachers, the first of this one's: the chains of the others are left as they
    are. images: (B, 3, H, W), some dozens, on which the statistics of the batch norms are measured. Raises
    TrainingError if the file cannot be read, or its convolutions are not those of the student.
    """
    pairs = _convolutions(student, images[:1])
    stored = list(_stored(file, most=len(pairs) + 1))
    ends = _chain_ends(student)
    if len(stored) not in ends:
        count = len(stored) if len(stored) < len(pairs) else f"more than {len(pairs)}"
        raise TrainingError(
            f"{file}: has {count} convolutions; this student has {' or '.join(map(str, ends))}: "
            "it was made for other teachers"
        )
    pairs = pairs[: len(stored)]
    for index, ((conv, norm), (weight, bias)) in enumerate(zip(pairs, stored, strict=True)):
        expected = tuple(conv.weight.shape)
        if weight.shape != expected or bias.shape != expected[:1]:
            raise TrainingError(
                f"{file}: convolution {index} is {weight.shape} with a bias {bias.shape}; expected {expected} and "
                f"{expected[:1]}: it was made for other teachers"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise TrainingError(f"{file}: convolution {index} has weights that are not finite; do not use the file")
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weight))
            shift = norm.bias if norm is not None else conv.bias
            assert shift is not None
            shift.copy_(torch.from_numpy(bias))
            if norm is not None:  # for now one that only adds the bias
                norm.reset_running_stats()
                norm.running_var.sub_(norm.eps)  # type: ignore[union-attr]
                norm.weight.fill_(1.0)
    _unfold(student, [pair for pair in pairs if pair[1] is not None], images)  # type: ignore[misc]
    return ends.index(len(stored)) + 1


def _chain_ends(student: Student) -> list[int]:
    """Return how many convolutions run up to the end of each chain; ones that chains share count once."""
    seen: set[nn.Module] = set()
    ends = [0] * len(student.chains)
    for segment in student.segments:
        layers = (layer for module in segment.modules for layer in module.modules())
        seen.update(layer for layer in layers if isinstance(layer, nn.Conv2d))
        ends[segment.chain] = len(seen)
    return ends


def _convolutions(student: Student, image: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Return the convolutions in the order in which they first run, each with its batch norm, if it has one."""
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]] = []
    seen: set[nn.Module] = set()

    def ran(module: nn.Module, _given: object, _out: object) -> None:
        if module in seen:  # chains that share layers run them anew, but a graph has them once
            return
        seen.add(module)
        if isinstance(module, nn.Conv2d):
            found.append((module, None))
        elif isinstance(module, nn.BatchNorm2d):
            found[-1] = (found[-1][0], module)

    hooks = [module.register_forward_hook(ran) for module in student.modules()]
    student.eval()
    with torch.no_grad():
        student(image)
    for hook in hooks:
        hook.remove()
    return found


def _stored(file: Path, *, most: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield weight and bias of the graph's convolutions in order, `most` of them at most.

    The file is not trusted: weights in other files are not followed, and no array is larger than the file.
    """
    if not file.is_file():
        raise TrainingError(f"{file}: no such file; expected the .onnx of an earlier student")
    if file.stat().st_size > MAX_BYTES:
        raise TrainingError(f"{file}: {file.stat().st_size:,} bytes; expected a student of at most {MAX_BYTES:,}")
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
        arrays = {entry.name: entry for entry in graph.initializer}
        for node in graph.node:  # weights at half precision, and one bias that stands for several
            if node.op_type in ("Cast", "Identity") and node.input[0] in arrays:
                arrays[node.output[0]] = arrays[node.input[0]]
        convolutions = [node for node in _upstream(graph) if node.op_type == "Conv"][:most]
        found = [[_values(arrays[name]) for name in (node.input[1], node.input[2])] for node in convolutions]
    except Exception as error:  # protobuf's DecodeError among others; onnx documents none
        reason = " ".join(str(error).split())[:MAX_MESSAGE]
        raise TrainingError(f"{file}: cannot be read as a student ({reason})") from None
    yield from ((weight, bias) for weight, bias in found)


def _upstream(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the joined heads are computed from, in order; a local head that was added has others."""
    wanted, found = {JOINED}, []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _values(stored: onnx.TensorProto) -> NDArray[np.float32]:
    if stored.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError("its weights are in another file")
    values: NDArray[np.float32] = numpy_helper.to_array(stored).astype(np.float32)
    return values


def _unfold(student: Student, pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]], images: Tensor) -> None:
    """Give the batch norms the statistics of their inputs, and weights that compensate for them.

    Folded filters are up to seventeen times smaller than those that were trained. A batch norm is invariant to that,
    but a step of the optimiser, which is as large for small weights, would destroy them; so they are scaled back up.
    """
    statistics: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def measure(conv: nn.Module, _given: object, out: Tensor) -> None:
        rows = out.float().transpose(0, 1).flatten(1)
        statistics[conv] = rows.mean(1), rows.var(1, unbiased=False)

    hooks = [conv.register_forward_hook(measure) for conv, _ in pairs]
    with torch.no_grad():
        student(images)
        for hook in hooks:
            hook.remove()
        for conv, norm in pairs:
            mean, variance = statistics[conv]
            size = conv.weight.square().mean((1, 2, 3)).sqrt()
            scale = torch.where(size > 0, FILTER_SIZE / size, 1.0)
            conv.weight.mul_(scale[:, None, None, None])
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean * scale)
            norm.running_var.copy_(variance * scale.square())
            norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale)
            norm.bias.add_(mean)

"""Starting from an earlier student: its weights read back from the graph that was exported.

The graph has its batch norms folded into the convolutions. They are unfolded with statistics that are measured anew,
such that the student answers as the graph does and its norms are at work: it can be trained on, longer or on more.
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

SIZE = 0.25  # root mean square of a filter's weights when pieces have learned alone, about


def warm_start(student: Student, file: Path, images: Tensor) -> None:
    """Give a student the weights of the `.onnx` that one of the same layout was exported to.

    images: (B, 3, H, W), on which the statistics of the batch norms are measured, some dozens. Raises TrainingError
    where the file cannot be read, or its convolutions are not those of the student.
    """
    pairs = _convolutions(student, images[:1])
    stored = list(_stored(file))
    if len(stored) != len(pairs):
        raise TrainingError(
            f"{file}: has {len(stored)} convolutions; this student has {len(pairs)}: it was made for other teachers"
        )
    for number, ((conv, norm), (weight, bias)) in enumerate(zip(pairs, stored, strict=True)):
        if weight.shape != tuple(conv.weight.shape):
            raise TrainingError(
                f"{file}: convolution {number} is {weight.shape}; expected {tuple(conv.weight.shape)}: "
                "it was made for other teachers"
            )
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


def _convolutions(student: Student, image: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Return the convolutions in the order in which they run, each with the batch norm behind it, if there is one."""
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]] = []

    def ran(module: nn.Module, _given: object, _out: object) -> None:
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


def _stored(file: Path) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield weight and bias of the graph's convolutions in order."""
    try:
        graph = onnx.load(str(file)).graph
    except Exception as error:  # protobuf's DecodeError among others; onnx documents none
        raise TrainingError(f"{file}: cannot be read as a student ({' '.join(str(error).split())})") from None
    arrays = {entry.name: entry for entry in graph.initializer}
    for node in graph.node:  # weights at half precision, and one bias that stands for several
        if node.op_type in ("Cast", "Identity") and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
    for node in graph.node:
        if node.op_type == "Conv":
            weight, bias = (numpy_helper.to_array(arrays[name]).astype(np.float32) for name in node.input[1:3])
            yield weight, bias


def _unfold(student: Student, pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]], images: Tensor) -> None:
    """Give the batch norms the statistics of what they see, and weights that undo them.

    Folded filters are up to seventeen times smaller than those that were trained. A norm takes no notice of that, but a
    step of the optimiser, which is as large for small weights, would undo what was learned; so they get a size back.
    """
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def measure(conv: nn.Module, _given: object, out: Tensor) -> None:
        rows = out.float().transpose(0, 1).flatten(1)
        seen[conv] = rows.mean(1), rows.var(1, unbiased=False)

    hooks = [conv.register_forward_hook(measure) for conv, _ in pairs]
    with torch.no_grad():
        student(images)
        for hook in hooks:
            hook.remove()
        for conv, norm in pairs:
            mean, variance = seen[conv]
            size = conv.weight.square().mean((1, 2, 3)).sqrt()
            scale = torch.where(size > 0, SIZE / size, 1.0)
            conv.weight.mul_(scale[:, None, None, None])
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean * scale)
            norm.running_var.copy_(variance * scale.square())
            norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale)
            norm.bias.add_(mean)

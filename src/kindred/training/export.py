"""Export: a finished student becomes an `.onnx` file with its card, a backbone like any other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kindred.backbones.card import Card, Scalar, Tap, digest_of
from kindred.pooling import gem
from kindred.training.distill import INPUT_MEAN, INPUT_STD, Distillation
from kindred.training.student import Student

__all__ = ["export_student"]

INNER_STRIDES = (8, 16)
HALF_FROM = 1024  # arrays of at least so many numbers are stored at half precision


class _Exported(nn.Module):
    """The student as others see it: its last inner map of each stride, and all heads as one, equally strong."""

    def __init__(self, student: Student, scales: Mapping[str, float]) -> None:
        super().__init__()
        self.student = student
        self.scales = [scales[chain.teacher] for chain in student.chains]
        stages = student.chains[0].stages
        self.inner = {
            stride: [stage for stage in stages if stage.target and stage.stride == stride][-1]
            for stride in INNER_STRIDES
            if any(stage.target and stage.stride == stride for stage in stages)
        }

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The taps of the exported graph, in the order of `forward`'s maps."""
        chains = self.student.chains
        inner = [
            Tap(name=f"stride{stride}", tensor=f"stride{stride}", channels=stage.channels, stride=stride)
            for stride, stage in self.inner.items()
        ]
        last = max(stage.stride for chain in chains for stage in chain.stages)
        features = Tap(name="features", tensor="features", channels=sum(chain.head for chain in chains), stride=last)
        return (*inner, features)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W), normalised, to the maps of `taps`."""
        maps = self.student(image)
        heads = [maps[chain.teacher] * scale for chain, scale in zip(self.student.chains, self.scales, strict=True)]
        return (*(maps[stage.target] for stage in self.inner.values()), torch.cat(heads, dim=1))


def export_student(
    distillation: Distillation,
    file: Path,
    *,
    name: str,
    licence: str,
    source: str,
    description: str,
    training: Mapping[str, Scalar],
) -> Card:
    """Write `file` (`.onnx`, weights at half precision) and its card beside it (`.toml`); return the card.

    Batch norms are folded into the convolutions. Each teacher's head is scaled so that its GeM description has a mean
    norm of 1: in the joined map no teacher drowns the others.
    """
    module = _Exported(distillation.student, _balance(distillation)).eval()
    taps = module.taps
    example = torch.zeros(1, 3, 128, 160)
    axes = {0: "N", 2: "H", 3: "W"}
    with warnings.catch_warnings():
        # PyTorch's newer exporter needs onnxscript, which the training extra would otherwise do without.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(file),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=[tap.tensor for tap in taps],
            dynamic_axes={"image": axes} | {tap.tensor: axes for tap in taps},
        )
    _halve(file)
    card = Card(
        name=name,
        file=file.name,
        digest=digest_of(file),
        channel_order="RGB",
        mean=(INPUT_MEAN,) * 3,
        std=(INPUT_STD,) * 3,
        layout="NCHW",
        input_name="image",
        input_size=None,
        taps=taps,
        default_tap="features",
        licence=licence,
        source=source,
        description=description,
        training=dict(training),
    )
    card.save(file.with_suffix(".toml"))
    return card


def _balance(distillation: Distillation) -> dict[str, float]:
    """For each head, one over the mean norm of its GeM description on the held-out crops."""
    with torch.no_grad():
        maps = distillation.student(distillation.held)
        return {
            chain.teacher: 1.0 / max(float(gem(maps[chain.teacher]).norm(dim=1).mean()), 1e-6)
            for chain in distillation.student.chains
        }


def _halve(file: Path) -> None:
    """Store the large weights as float16, each with a cast in front of its use, which half the size costs nothing."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(file))
    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < HALF_FROM:
            continue
        stored = f"{weight.name}.half"
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [weight.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))

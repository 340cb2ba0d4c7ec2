"""Export: a trained student becomes an `.onnx` file with its card, a backbone like any other."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain as joined
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kindred.backbones.card import Card, Scalar, Tap
from kindred.pooling import gem
from kindred.training.architectures.student import Student
from kindred.training.distillation.task import INPUT_MEAN, INPUT_STD, images_to_input
from kindred.training.onnx_file import write_model

__all__ = ["export_student"]

INNER_STRIDES = (8, 16)


class _Exported(nn.Module):
    """The student as it is exported: its last inner map of each stride, and the maps of all heads joined."""

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
    student: Student,
    file: Path,
    *,
    crops: NDArray[np.uint8],
    strengths: Sequence[float] = (),
    name: str,
    licence: str,
    source: str,
    description: str,
    training: Mapping[str, Scalar],
) -> Card:
    """Write `file` (`.onnx`, weights at half precision) and its card beside it (`.toml`); return the card.

    crops: (B, H, W, 3) uint8 RGB, on which the heads are balanced: the map of each is scaled so that its GeM pooling
    has the mean norm that `strengths` gives, 1 for those not given; in the joint map none then drowns the others.
    name, licence, source, description, training: for the card. Batch norms are folded into the convolutions. Raises
    UsageError if a file cannot be written.
    """
    student = copy.deepcopy(student).cpu().eval()
    module = _Exported(student, _balance(student, images_to_input(crops), strengths)).eval()
    return write_model(
        module,
        file,
        name=name,
        taps=module.taps,
        default_tap="features",
        mean=(INPUT_MEAN,) * 3,
        std=(INPUT_STD,) * 3,
        half=True,
        description=description,
        licence=licence,
        source=source,
        training=training,
    )


def _balance(student: Student, images: Tensor, strengths: Sequence[float]) -> dict[str, float]:
    """Return for each head the factor that gives its GeM pooling the wanted mean norm."""
    with torch.no_grad():
        maps = student(images)
    return {
        chain.teacher: strength / max(float(gem(maps[chain.teacher]).norm(dim=1).mean()), 1e-6)
        for chain, strength in zip(student.chains, joined(strengths, repeat(1.0)), strict=False)
    }

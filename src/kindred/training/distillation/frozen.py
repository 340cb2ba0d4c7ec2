"""The frozen layers of a student, run by OpenVINO: on a CPU it takes a fraction of the time that PyTorch takes."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kindred.backbones.card import Tap
from kindred.backbones.openvino import OpenVINOEngine
from kindred.training.architectures.student import Maps, Student
from kindred.training.onnx_file import write_model

__all__ = ["FrozenLayers"]


class _Frontier(nn.Module):
    """The student up to the maps that its trainable layers begin with."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W), normalised, to the maps of `Student.frontier`."""
        maps = self.student(image, names=self.student.frontier)
        return tuple(maps[name] for name in self.student.frontier)


class FrozenLayers:
    """The maps of `Student.frontier`, as the exported student will compute them."""

    def __init__(self, student: Student, *, mean: float, std: float) -> None:
        """Compile the frozen layers of a student that is on the CPU; mean, std: of its input, in pixel units."""
        self._names = student.frontier
        segments = {segment.name: segment for segment in student.segments}
        taps = tuple(
            Tap(
                name=f"map{at}",
                tensor=f"map{at}",
                channels=_channels(segments[name].modules),
                stride=segments[name].stride,
            )
            for at, name in enumerate(self._names)
        )
        with TemporaryDirectory() as folder:
            file = Path(folder) / "frozen.onnx"
            card = write_model(
                _Frontier(copy.deepcopy(student)),
                file,
                name="frozen",
                taps=taps,
                default_tap=taps[-1].name,
                mean=(mean,) * 3,
                std=(std,) * 3,
                half=True,
                description="",
                licence="",
                source="",
                training={},
            )
            self._engine = OpenVINOEngine(card, file, taps=[tap.name for tap in taps], cache_dir=Path(folder) / "cache")

    def __call__(self, batch: NDArray[np.uint8]) -> Maps:
        """Images (B, H, W, 3) uint8 RGB to the maps of the frontier, by name, channels last."""
        maps = (torch.from_numpy(found) for found in self._engine.run(batch))
        return {
            name: found.contiguous(memory_format=torch.channels_last)
            for name, found in zip(self._names, maps, strict=True)
        }


def _channels(modules: tuple[nn.Module, ...]) -> int:
    """Return the channels of the map behind these layers."""
    layers = (layer for module in modules for layer in module.modules())
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)][-1].out_channels

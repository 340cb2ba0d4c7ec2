"""A trainable backbone of two convolutions with batch norms, and pictures for it: made in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kindred.training.architectures.backbone import ChainBackbone, TapSpec

__all__ = ["TinyBackbone", "pictures"]

TAPS = (TapSpec("shallow", 6, 4), TapSpec("deep", 10, 8))


class TinyBackbone(ChainBackbone):
    """Images to maps "shallow" (6 channels, stride 4) and "deep" (10, 8); batch norms with statistics of some run."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(TAPS, [["first"], ["second.conv", "second.norm", "second.relu"]])
        parts = {"conv": nn.Conv2d(6, 10, 3, 2, 1, bias=False), "norm": nn.BatchNorm2d(10), "relu": nn.ReLU()}
        self.first = nn.Sequential(nn.Conv2d(3, 6, 4, 4, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.ModuleDict(parts)
        generator = torch.Generator().manual_seed(seed)
        for tensor in self.state_dict().values():
            if tensor.ndim == 4:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
            elif tensor.ndim == 1:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)


def pictures(count: int, height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth random pictures (count, height, width, 3), sides multiples of 8."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)

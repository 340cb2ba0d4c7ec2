"""Backbones: networks from images to feature maps, as chains of named steps.

Every architecture here is a chain: its submodules run one after the other, with the feature maps that can be used
("taps") between them. An architecture is its submodules, named as in the published checkpoints, and a list of the order
in which they run and of the taps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from kindred.errors import TrainingError
from kindred.hints import check_known

__all__ = ["Architecture", "Backbone", "ChainBackbone", "TapSpec", "initialise"]

Triple: TypeAlias = tuple[float, float, float]

# Of ImageNet's training images, in pixel units (0 to 255), red first: the usual 0.485 × 255 and so on.
IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
IMAGENET_STD: Triple = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class TapSpec:
    """A feature map: for an image of H × W pixels (channels, about H / stride, about W / stride)."""

    name: str
    channels: int
    stride: int


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised by `mean` and `std`, to one map (B, C, h, w) for each tap, in order of depth.

    taps: in order of depth; the last one is the default. mean, std: in pixel units (0 to 255), red first: the input of
    the network is (pixel − mean) / std.
    """

    def __init__(self, taps: Sequence[TapSpec], *, mean: Triple = IMAGENET_MEAN, std: Triple = IMAGENET_STD) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.mean = mean
        self.std = std

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W), normalised, to maps (B, C, h, w) by the names of the taps, in order of depth."""
        raise NotImplementedError

    def cut(self, tap: str) -> None:
        """Make this tap the last one, and remove the layers after it, with their parameters.

        A layer that no loss reaches takes time and memory in every step. Raises TrainingError for an unknown tap.
        """
        names = [entry.name for entry in self.taps]
        check_known("tap", tap, names, error=TrainingError, where="the backbone")
        self.taps = self.taps[: names.index(tap) + 1]
        self._remove_rest()

    def _remove_rest(self) -> None:
        """Remove the layers after the last tap."""
        raise NotImplementedError


class ChainBackbone(Backbone):
    """A backbone whose submodules run one after the other.

    steps: for each tap, the names of the submodules between the previous tap and this one.
    """

    def __init__(
        self,
        taps: Sequence[TapSpec],
        steps: Sequence[Sequence[str]],
        *,
        mean: Triple = IMAGENET_MEAN,
        std: Triple = IMAGENET_STD,
    ) -> None:
        super().__init__(taps, mean=mean, std=std)
        self._steps = tuple(tuple(names) for names in steps)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W), normalised, to maps (B, C, h, w) by the names of the taps, in order of depth."""
        maps: dict[str, Tensor] = {}
        x = image
        for tap, names in zip(self.taps, self._steps, strict=True):
            for name in names:
                x = self.get_submodule(name)(x)
            maps[tap.name] = x
        return maps

    def _remove_rest(self) -> None:
        kept, rest = self._steps[: len(self.taps)], self._steps[len(self.taps) :]
        for name in (name for names in rest for name in names):
            parent, _, child = name.rpartition(".")
            # Not `del` on an nn.Sequential, which renames the remaining layers.
            delattr(self.get_submodule(parent), child)
        self._steps = kept


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One entry of ARCHITECTURES.

    build: makes the backbone, whose weights are undefined until `initialise` or `load_weights`.
    summary: what it is, in a few words. source: who described it, for the documentation.
    published: names of public weights → file names at torchvision's address. The eight hexadecimal digits at the end
    of a file name are the first of its sha256. Where there are any, one is named "published".
    packaged: finds the file of public weights in an installed package, or raises ModelError; it is then "published".
    dropped: prefixes of the names of parameters that the published network has and its feature part has not.
    """

    name: str
    build: Callable[[], Backbone]
    summary: str
    source: str
    published: Mapping[str, str] = field(default_factory=dict, hash=False)
    packaged: Callable[[], Path] | None = None
    dropped: tuple[str, ...] = ()


def initialise(backbone: nn.Module, *, seed: int = 0) -> None:
    """Fill a network of convolutions and batch norms, on the CPU, with random weights, in place.

    Convolutions: normal, with the variance 2 / fan-out that keeps gradients level through ReLUs (He et al. 2015);
    biases: 0; batch norms: 1 and 0. That is torchvision's way for ResNet, VGG and MobileNetV2. Its truncated normal
    of deviation 0.01 for GoogLeNet, and PyTorch's uniform default for AlexNet, are not used: they are slower, or train
    worse. Raises TypeError for a layer with weights of another type.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif any(True for _ in module.parameters(recurse=False)):
            raise TypeError(f"no rule to initialise {type(module).__name__}")

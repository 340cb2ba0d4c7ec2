"""VGG with 16 and 19 layers (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from kindred.training.architectures.backbone import Architecture, ChainBackbone, TapSpec

__all__ = ["VGG", "VGG16", "VGG19"]

_CHANNELS = (64, 128, 256, 512, 512)


class VGG(ChainBackbone):
    """VGG without its last pooling and its classifier, as torchvision's (Simonyan and Zisserman 2015).

    There is no batch norm. `depths` are the numbers of 3×3 convolutions in each of the five groups, which poolings
    separate. Images (B, 3, H, W) of at least 16 × 16 pixels to the last map of each group, behind its ReLU: 64 to 512
    channels at strides 1 to 16, named as in the paper, `conv5_3` for the third of the fifth group.
    """

    def __init__(self, depths: Sequence[int]) -> None:
        taps, steps = [], []
        layers: list[nn.Module] = []
        inputs = 3
        for group, (depth, channels) in enumerate(zip(depths, _CHANNELS, strict=True)):
            start = len(layers)
            if group:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
            taps.append(TapSpec(f"conv{group + 1}_{depth}", channels, 2**group))
            steps.append([f"features.{at}" for at in range(start, len(layers))])
        super().__init__(taps, steps)
        self.features = nn.Sequential(*layers)


VGG16 = Architecture(
    name="vgg16",
    build=lambda: VGG((2, 2, 3, 3, 3)),
    summary="13 convolutions of 3×3, 14.7 M parameters",
    source="Simonyan and Zisserman 2015",
    published={"published": "vgg16-397923af.pth"},
    dropped=("classifier.",),
)
VGG19 = Architecture(
    name="vgg19",
    build=lambda: VGG((2, 2, 4, 4, 4)),
    summary="16 convolutions of 3×3, 20 M parameters",
    source="Simonyan and Zisserman 2015",
    published={"published": "vgg19-dcbb9e9d.pth"},
    dropped=("classifier.",),
)

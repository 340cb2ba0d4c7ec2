"""AlexNet, in the form for one GPU (Krizhevsky 2014)."""

from __future__ import annotations

from torch import nn

from kindred.training.architectures.backbone import Architecture, ChainBackbone, TapSpec

__all__ = ["ALEXNET", "AlexNet"]

# Behind the ReLU of each convolution, before any pooling.
_TAPS = (
    TapSpec("conv1", 64, 4),
    TapSpec("conv2", 192, 8),
    TapSpec("conv3", 384, 16),
    TapSpec("conv4", 256, 16),
    TapSpec("conv5", 256, 16),
)

_STEPS = (
    ("features.0", "features.1"),
    ("features.2", "features.3", "features.4"),
    ("features.5", "features.6", "features.7"),
    ("features.8", "features.9"),
    ("features.10", "features.11"),
)


class AlexNet(ChainBackbone):
    """AlexNet without its last pooling and its classifier, as torchvision's (Krizhevsky 2014).

    Images (B, 3, H, W) of at least 31 × 31 pixels to five maps of 64 to 384 channels at strides 4 to 16, all behind
    ReLU. Unlike the network of Krizhevsky et al. 2012 it has no local response normalisation, no groups, and 64, 192,
    384, 256 and 256 channels.
    """

    def __init__(self) -> None:
        super().__init__(_TAPS, _STEPS)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
        )


ALEXNET = Architecture(
    name="alexnet",
    build=AlexNet,
    summary="five convolutions, 2.5 M parameters",
    source="Krizhevsky et al. 2012, Krizhevsky 2014",
    published={"published": "alexnet-owt-7be5be79.pth"},
    dropped=("classifier.",),
)

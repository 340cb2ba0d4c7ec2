"""The local head: from the image and three maps of a frozen network to keypoints and descriptors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["CELL", "HALF", "KeypointHead", "keypoint_scores", "sampled"]

CELL = 8
"""Side of the cells in pixels; each has at most one keypoint in training."""
HALF = CELL // 2


class KeypointHead(nn.Module):
    """A head that processes the grey image itself, for keypoints, together with the maps of strides 4, 8 and 16.

    Descriptors are a linear map of the columns of strides 8 and 16, which is trained quickly, plus the output of
    further layers. channels: of these maps. A cell of a map of stride s is at pixel s · i, as defined by the padding of
    convolutions; a cell of scores covers the 4 pixels before that and the 4 from there on.
    """

    def __init__(self, channels: Sequence[int], *, dimension: int, width: int) -> None:
        super().__init__()
        fine, middle, coarse = channels
        half, quarter = width // 2, width // 4
        self.norms = nn.ModuleList(nn.BatchNorm2d(each) for each in channels)
        self.fine = nn.Sequential(*_conv(1, 16, stride=2), *_conv(16, 24), *_conv(24, quarter, stride=2))
        self.joined = nn.Sequential(*_conv(quarter + fine, half), *_conv(half, half, stride=2))
        self.mixed = nn.Sequential(*_conv(half + middle + coarse, width))
        self.detect = nn.Sequential(*_conv(width, half), nn.Conv2d(half, CELL * CELL + 1, 1))
        self.describe = nn.Sequential(*_conv(width, width), nn.Conv2d(width, dimension, 1))
        self.direct = nn.Conv2d(middle + coarse, dimension, 1, bias=False)

    def forward(self, images: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) and maps (B, C, H / s, W / s) to logits (B, 65, h, w) and descriptors (B, D, h, w).

        h, w are those of the map of stride 8. The last of the logits stands for no keypoint.
        """
        grey = images.mean(1, keepdim=True)
        fine, middle, coarse = (norm(each) for norm, each in zip(self.norms, (fine, middle, coarse), strict=True))
        found = self.joined(torch.cat((self.fine(grey), fine), 1))
        height, width = middle.shape[2:]
        wide = nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest")[:, :, :height, :width]
        columns = torch.cat((middle, wide), 1)
        found = self.mixed(torch.cat((found, columns), 1))
        return self.detect(found), self.describe(found) + self.direct(columns)


def keypoint_scores(logits: Tensor) -> Tensor:
    """Logits (B, 65, h, w) to the scores of pixels (B, 1, 8h − 4, 8w − 4), starting at the first pixel of the image.

    A score is the square root of the probability, so that the scores around a keypoint give its position to a fraction
    of a pixel.
    """
    shares = torch.softmax(logits, 1)[:, :-1].sqrt()
    return nn.functional.pixel_shuffle(shares, CELL)[:, :, HALF:, HALF:]


def sampled(maps: Tensor, points: Tensor) -> Tensor:
    """Maps (B, C, h, w) of stride 8 at points (B, N, 2), x y from 0 at the first pixel's centre: (B, N, C)."""
    height, width = maps.shape[2:]
    most = torch.tensor((max(width - 1, 1), max(height - 1, 1)), device=maps.device)
    grid = (points / CELL / most * 2 - 1)[:, None]
    found = nn.functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return found[:, :, 0].transpose(1, 2)


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

"""A teacher small enough to learn from in a second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


class TinyTeacher:
    """A random two-layer network with an inner map at stride 4 and a last one at stride 8."""

    def __init__(self, name: str = "tiny", seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.name, self.digest = name, f"seed {seed}"
        self.taps: Sequence[tuple[str, int, int]] = [("inner", 6, 4), ("last", 10, 8)]
        self._first = torch.randn(6, 3, 4, 4, generator=generator) / 7
        self._second = torch.randn(10, 6, 2, 2, generator=generator) / 5

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        images = (torch.from_numpy(batch).float().permute(0, 3, 1, 2) - 127.5) / 64
        inner = torch.conv2d(images, self._first, stride=4)
        last = torch.relu(torch.conv2d(torch.relu(inner), self._second, stride=2))
        return inner.numpy(), last.numpy()

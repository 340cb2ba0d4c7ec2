"""A tiny teacher and a tiny pool, so that a distillation takes a second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'kindred[train]'")

from kindred.training.crops import CropPool  # noqa: E402

# Networks as small as these lose more to waking threads than they win.
torch.set_num_threads(1)


class TinyTeacher:
    """A random two-layer network with an inner map at stride 4 and a last one at stride 8."""

    def __init__(self, name: str = "tiny", seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.name = name
        self.taps: Sequence[tuple[str, int, int]] = [("inner", 6, 4), ("last", 10, 8)]
        self._first = torch.randn(6, 3, 4, 4, generator=generator) / 7
        self._second = torch.randn(10, 6, 2, 2, generator=generator) / 5

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        images = (torch.from_numpy(batch).float().permute(0, 3, 1, 2) - 127.5) / 64
        inner = torch.conv2d(images, self._first, stride=4)
        last = torch.relu(torch.conv2d(torch.relu(inner), self._second, stride=2))
        return inner.numpy(), last.numpy()


@pytest.fixture
def teacher() -> TinyTeacher:
    return TinyTeacher()


@pytest.fixture
def pool() -> CropPool:
    rng = np.random.default_rng(7)
    smooth = rng.integers(0, 256, (20, 6, 8, 3), dtype=np.uint8)
    return CropPool([np.kron(image, np.ones((8, 8, 1), np.uint8)) for image in smooth])

"""A tiny teacher and a few pictures, so that a distillation takes a second."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

from kindred.training.image_cache import ImageCache  # noqa: E402
from tiny_teacher import TinyTeacher  # noqa: E402

# Networks as small as these lose more to waking threads than they win.
torch.set_num_threads(1)


@pytest.fixture
def teacher() -> TinyTeacher:
    return TinyTeacher()


@pytest.fixture
def pictures() -> ImageCache:
    rng = np.random.default_rng(7)
    smooth = rng.integers(0, 256, (20, 6, 8, 3), dtype=np.uint8)
    return ImageCache.from_arrays([np.kron(image, np.ones((8, 8, 1), np.uint8)) for image in smooth])

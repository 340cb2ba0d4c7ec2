"""Small synthetic pictures."""

from __future__ import annotations

import io
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


class Encode(Protocol):
    """Encode pixels or a Pillow image as a file of the named Pillow format."""

    def __call__(self, picture: Pixels | Image.Image, format: str, **options: object) -> bytes: ...  # noqa: A002


@pytest.fixture(scope="session")
def picture() -> Pixels:
    """48 high, 64 wide: smooth colours, no two corners alike, so that turns and swapped colours show."""
    across, down = np.linspace(0, 1, 64), np.linspace(0, 1, 48)[:, None]
    red, green, blue = (
        255 * across * np.ones_like(down),
        255 * down * np.ones_like(across),
        90 + 60 * across * down,
    )
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


@pytest.fixture(scope="session")
def encode() -> Encode:
    def run(picture: Pixels | Image.Image, format: str, **options: object) -> bytes:  # noqa: A002
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    return run

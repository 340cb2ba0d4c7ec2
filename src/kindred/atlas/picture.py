"""The map as a picture: thumbnails drawn in their cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import write_whole
from kindred.atlas.layout import FILLED, Layout
from kindred.errors import UsageError
from kindred.images import resize

__all__ = ["PICTURES", "cell_size", "draw", "middle", "write_picture"]

Pixels = NDArray[np.uint8]

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Formats of a map, by the extension of the file."""

GROUND = (250, 248, 244)
LARGEST = 400
"""Largest side of a thumbnail in pixels."""


def cell_size(count: int, size: int) -> int:
    """Return the approximate side in pixels of a thumbnail in a map of `count` images and `size` pixels."""
    return max(8, min(LARGEST, math.ceil(size * math.sqrt(FILLED / max(1, count)))))


def middle(pixels: Pixels) -> Pixels:
    """Return the largest central square (s, s, 3) of an image (h, w, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def draw(layout: Layout, thumbnails: Sequence[Pixels], *, size: int) -> Pixels:
    """Draw thumbnails (h, w, 3), the middle square of each in its cell: (H, W, 3).

    The longer side has at most `size` pixels. Raises UsageError if `size` is too small for the number of thumbnails.
    """
    border = max(2, size // 100)
    cell = min(LARGEST, (size - 2 * border) // max(layout.columns, layout.rows))
    gap = max(1, cell // 24)
    if cell - gap < 4:
        raise UsageError(
            f"size is {size}; expected at least {6 * max(layout.columns, layout.rows)} pixels "
            f"for {len(thumbnails):,} images, or fewer images"
        )
    width, height = (cell * cells + 2 * border for cells in (layout.columns, layout.rows))
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    for thumbnail, (column, row) in zip(thumbnails, layout.cells.tolist(), strict=True):
        top, left = border + row * cell + gap // 2, border + column * cell + gap // 2
        canvas[top : top + cell - gap, left : left + cell - gap] = resize(
            middle(thumbnail), longest=cell - gap, enlarge=True
        )
    return canvas


def write_picture(file: Path, pixels: Pixels) -> None:
    """Write pixels (H, W, 3) atomically, in the format of the file's extension.

    Raises UsageError for an unknown extension and if the file cannot be written.
    """
    from PIL import Image

    kind = PICTURES.get(file.suffix.lower())
    if kind is None:
        raise UsageError(f"{file}: expected a name that ends in {', '.join(PICTURES)}")
    options = {} if kind == "PNG" else {"quality": 90}
    write_whole(file, "map", lambda part: Image.fromarray(pixels).save(part, kind, **options))

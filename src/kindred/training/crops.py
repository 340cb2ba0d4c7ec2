"""Random crops of a folder of unlabelled images: what a student and its teachers look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.errors import ImageError, TrainingError
from kindred.images import decode, find_images, resize

__all__ = ["CropPool", "load_pool"]

FEWEST_IMAGES = 16


class CropPool:
    """Images kept small in memory, from which random crops are cut.

    `crops` draws from nothing but its seed, so that a resumed run sees the very crops it would have seen.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Keep `images`, each (H, W, 3) uint8 RGB."""
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def crops(self, count: int, size: int, *, seed: Sequence[int]) -> NDArray[np.uint8]:
        """Cut `count` random crops: (count, size, size, 3) uint8 RGB."""
        rng = np.random.default_rng(seed)
        return np.stack([self._crop(size, rng) for _ in range(count)])

    def _crop(self, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        from PIL import Image

        image = self._images[int(rng.integers(len(self._images)))]
        height, width = image.shape[:2]
        # Area 20 to 100 % and aspect 3:4 to 4:3 as in the training of ImageNet networks (Szegedy et al. 2015).
        area, aspect = height * width * rng.uniform(0.2, 1.0), np.exp(rng.uniform(-0.29, 0.29))
        w = int(np.clip(np.sqrt(area * aspect), min(16, width), width))
        h = int(np.clip(np.sqrt(area / aspect), min(16, height), height))
        x, y = rng.integers(width - w + 1), rng.integers(height - h + 1)
        patch = Image.fromarray(image[y : y + h, x : x + w])
        pixels = np.asarray(patch.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0))
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        gain, shift = rng.uniform(0.7, 1.3, 3) * rng.uniform(0.8, 1.2), rng.uniform(-25, 25)
        curve = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
        return np.stack([curve[pixels[..., channel], channel] for channel in range(3)], axis=-1)


def load_pool(
    folders: Sequence[Path],
    *,
    exclude: Sequence[str] = (),
    longest: int = 256,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> CropPool:
    """Read every usable image below `folders`, shrunk to at most `longest` pixels on the longer side.

    Unreadable images are left out. `exclude` holds glob patterns matched against the path below its folder.
    An image takes about 150 kB; raises `TrainingError` where fewer than 16 images can be read.
    """
    paths = [
        found.path
        for folder in folders
        for found in find_images(folder)
        if found.reason is None and not any(found.path.relative_to(folder).match(pattern) for pattern in exclude)
    ]

    def read(path: Path) -> NDArray[np.uint8] | None:
        try:
            return resize(decode(path, longest=longest).pixels, longest=longest)
        except ImageError:
            return None

    images: list[NDArray[np.uint8]] = []
    with ThreadPoolExecutor(workers) as pool:
        for done, image in enumerate(pool.map(read, paths), 1):
            if image is not None:
                images.append(image)
            if progress is not None:
                progress(done)
    if len(images) < FEWEST_IMAGES:
        places = ", ".join(map(str, folders))
        raise TrainingError(f"{places}: {len(images)} usable images; training needs at least {FEWEST_IMAGES}")
    return CropPool(images)

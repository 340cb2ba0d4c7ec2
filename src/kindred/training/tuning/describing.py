"""Describing images with a network that is being trained: for mining and for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kindred._support.prefetch import prefetched
from kindred.arrays import Vectors
from kindred.errors import ImageError
from kindred.images import resize
from kindred.training.image_cache import ImageCache
from kindred.training.process_group import ProcessGroup
from kindred.training.tuning.embedder import Embedder

__all__ = ["MULTIPLE", "describe", "whole_images"]

MULTIPLE = 16  # both sides are multiples of it, as in a recipe

Indices = Sequence[int] | NDArray[np.int64]


def whole_images(
    images: ImageCache, indices: Indices, *, size: int, batch: int = 32
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield whole images, resized to at most `size` pixels on the longer side, in batches of one shape.

    Each batch is the positions in `indices` and the pixels (b, H, W, 3) uint8. An image that can no longer be read is
    left out.
    """
    buckets: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}

    def read(position: int) -> tuple[int, NDArray[np.uint8] | None]:
        try:
            return position, resize(images[int(indices[position])], longest=size, multiple=MULTIPLE)
        except ImageError:
            return position, None

    def stacked(bucket: list[tuple[int, NDArray[np.uint8]]]) -> tuple[list[int], Tensor]:
        return [position for position, _ in bucket], torch.from_numpy(np.stack([pixels for _, pixels in bucket]))

    with closing(prefetched(read, range(len(indices)), ahead=2 * batch)) as resized:
        for position, pixels in resized:
            if pixels is None:
                continue
            bucket = buckets.setdefault(pixels.shape, [])
            bucket.append((position, pixels))
            if len(bucket) == batch:
                yield stacked(buckets.pop(pixels.shape))
    yield from map(stacked, buckets.values())


def describe(
    embedder: Embedder, images: ImageCache, indices: Indices, *, size: int, processes: ProcessGroup
) -> Vectors:
    """Return the unit vectors (N, D) of these images, as a recipe of that `size` (pixels) describes them.

    The embedder is set to evaluation mode. Several processes share the work, and each gets all vectors. An image that
    can no longer be read has a vector of zeros.
    """
    own = np.asarray(indices, np.int64)[processes.rank :: processes.world_size]
    vectors = torch.zeros(len(indices), embedder.dimension, device=processes.device)
    embedder.eval()
    for positions, pixels in whole_images(images, own, size=size):
        with torch.inference_mode(), torch.autocast(processes.device.type, torch.bfloat16):
            found = embedder(pixels.to(processes.device))
        vectors[[processes.rank + each * processes.world_size for each in positions]] = found.float()
    shared: Vectors = processes.sum(vectors).cpu().numpy()
    return shared

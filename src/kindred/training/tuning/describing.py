"""Describing images with a network that is being trained: for mining and for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kindred._support.prefetch import prefetched
from kindred.arrays import Vectors
from kindred.errors import ImageError
from kindred.images import resize

if TYPE_CHECKING:
    from kindred.training.image_cache import ImageCache
    from kindred.training.process_group import ProcessGroup
    from kindred.training.tuning.embedder import Embedder

__all__ = ["MULTIPLE", "describe", "whole_images"]

MULTIPLE = 16  # of which both sides are multiples, as in a recipe

Numbers = Sequence[int] | NDArray[np.int64]


def whole_images(
    pictures: ImageCache, numbers: Numbers, *, size: int, batch: int = 32
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield whole images in their own shape, at most `size` pixels on the longer side, in batches of one shape.

    Each batch is the places in `numbers` and pixels (b, H, W, 3) uint8. One that can no longer be read is left out.
    """
    buckets: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}

    def shown(place: int) -> tuple[int, NDArray[np.uint8] | None]:
        try:
            return place, resize(pictures[int(numbers[place])], longest=size, multiple=MULTIPLE)
        except ImageError:
            return place, None

    def full(bucket: list[tuple[int, NDArray[np.uint8]]]) -> tuple[list[int], Tensor]:
        return [place for place, _ in bucket], torch.from_numpy(np.stack([image for _, image in bucket]))

    with closing(prefetched(shown, range(len(numbers)), ahead=2 * batch)) as images:
        for place, image in images:
            if image is None:
                continue
            bucket = buckets.setdefault(image.shape, [])
            bucket.append((place, image))
            if len(bucket) == batch:
                yield full(buckets.pop(image.shape))
    yield from map(full, buckets.values())


def describe(
    embedder: Embedder, pictures: ImageCache, numbers: Numbers, *, size: int, processes: ProcessGroup
) -> Vectors:
    """Return the unit vectors (N, D) of these images, as a recipe of that `size` gives them.

    The embedder is put into eval mode. Several processes share the work, and all get all vectors. An image that can no
    longer be read has a vector of zeros.
    """
    mine = np.asarray(numbers, np.int64)[processes.rank :: processes.world_size]
    vectors = torch.zeros(len(numbers), embedder.dimension, device=processes.device)
    embedder.eval()
    for places, pixels in whole_images(pictures, mine, size=size):
        with torch.inference_mode(), torch.autocast(processes.device.type, torch.bfloat16):
            found = embedder(pixels.to(processes.device))
        vectors[[processes.rank + each * processes.world_size for each in places]] = found.float()
    shared: Vectors = processes.sum(vectors).cpu().numpy()
    return shared

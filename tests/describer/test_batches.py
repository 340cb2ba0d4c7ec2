"""How views of many shapes are put together in batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kindred.describer.description import ImageInfo
from kindred.describer.network import BATCH, MOST_WAITING, WAITING, WAITING_BYTES, _batches, _Prepared
from kindred.describer.views import View

WHOLE = (float("nan"),) * 4


class Images:
    """Images of random shapes, and how many views and bytes of them are taken and not yet in a batch."""

    def __init__(self, count: int, shapes: list[tuple[int, int]]) -> None:
        self._count, self._shapes = count, shapes
        self.waiting = self.held = self.most_waiting = self.most_held = 0

    def __iter__(self) -> Iterator[tuple[int, _Prepared]]:
        for key, at in enumerate(np.random.default_rng(5).integers(0, len(self._shapes), self._count)):
            pixels = np.full((*self._shapes[at], 3), key % 251, np.uint8)
            self.waiting, self.held = self.waiting + 1, self.held + pixels.nbytes
            self.most_waiting, self.most_held = max(self.most_waiting, self.waiting), max(self.most_held, self.held)
            yield key, _Prepared(ImageInfo(str(key), 1, 1), [View(pixels, WHOLE, 0)], None)

    def batches(self) -> list[int]:
        """Return the sizes of the batches, after a look at what is in them."""
        sizes, seen = [], list[int]()
        for members, pixels in _batches(self, []):
            self.waiting, self.held = self.waiting - len(members), self.held - pixels.nbytes
            assert [int(each[0, 0, 0]) for each in pixels] == [pending.key % 251 for pending, _ in members]
            sizes.append(len(members))
            seen += [pending.key for pending, _ in members]
        assert sorted(seen) == list(range(self._count))
        assert max(sizes) <= BATCH
        return sizes


def test_images_of_many_shapes_fill_their_batches() -> None:
    """With `WAITING` views at most, two batches in three were not full."""
    images = Images(2000, [(16 * height, 64) for height in range(1, 28)])
    sizes = images.batches()
    assert sum(size for size in sizes if size == BATCH) > 0.9 * 2000
    assert images.most_waiting <= MOST_WAITING + 1


@pytest.mark.parametrize("side", [320, 1024])
def test_what_waits_is_bounded_by_its_bytes(side: int) -> None:
    images = Images(
        260, [(side, side - 16 * step) for step in range(200 // 16)] + [(side, 32 + at) for at in range(90)]
    )
    images.batches()
    image = 3 * side * side
    assert images.most_held <= max(WAITING_BYTES, WAITING * image) + 2 * image

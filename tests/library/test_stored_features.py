"""The local features that a search reads are held within a bound, as decoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import pytest

from kindred.features import LocalFeatures
from kindred.features.storage import to_bytes
from kindred.library import searching
from kindred.library.searching import StoredFeatures
from kindred.library.stored import RankedImages
from kindred.store import Store

POINTS, DIMENSION = 50, 128
DECODED = POINTS * 4 * (DIMENSION + 3)
"""Bytes of the points, descriptors and scales of an image."""


class FewBits:
    """A store of images whose descriptors have one bit a component; `read` are the ids asked for."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        points = random.uniform(0, 100, (POINTS, 2)).astype(np.float32)
        descriptors = random.normal(size=(POINTS, DIMENSION)).astype(np.float32)
        self.data = to_bytes(LocalFeatures(points, descriptors, np.full(POINTS, 5, np.float32)), bits=1)
        self.read: list[int] = []

    def features_of(self, ids: Iterable[int]) -> dict[int, bytes]:
        self.read += ids
        return dict.fromkeys(ids, self.data)


def test_features_are_read_once_within_a_bound_that_counts_them_as_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FewBits()
    assert 10 * len(store.data) < DECODED
    monkeypatch.setattr(searching, "MOST_BYTES", 2 * DECODED)
    features = StoredFeatures(RankedImages(cast("Store", store), by_number=False))
    for ids in ([1, 2], [2, 1], [3], [3, 1]):
        assert [len(each.points) for each in features(ids)] == [POINTS] * len(ids)
    assert store.read == [1, 2, 3, 1]

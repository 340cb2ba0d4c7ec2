from __future__ import annotations

import numpy as np
import pytest

from kindred.arrays import Vectors, l2_normalise
from kindred.rerank import ArrayGallery, Context


def clustered(count: int, dimension: int, clusters: int, *, spread: float, seed: int) -> Vectors:
    """Unit vectors in clusters: centres of length about 1, noise of length `spread`."""
    generator = np.random.default_rng(seed)
    centres = l2_normalise(generator.standard_normal((clusters, dimension)))
    noise = generator.standard_normal((count, dimension)) * spread / np.sqrt(dimension)
    rows: Vectors = l2_normalise(centres[np.arange(count) % clusters] + noise).astype(np.float32)
    return rows


@pytest.fixture(autouse=True, scope="session")
def _one_thread(one_faiss_thread: None) -> None: ...


@pytest.fixture(scope="session")
def rows() -> Vectors:
    return clustered(90, 16, 6, spread=1.0, seed=0)


@pytest.fixture(scope="session")
def queries() -> Vectors:
    return clustered(7, 16, 6, spread=1.0, seed=0)[:, ::-1].copy()


@pytest.fixture
def context(rows: Vectors, queries: Vectors) -> Context:
    return Context(queries, ArrayGallery(rows))

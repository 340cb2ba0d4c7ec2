"""Catalogues to test on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred.store import Entry, SqliteStore

MakeEntry = Callable[..., Entry]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store, open for writing."""
    with SqliteStore.create(tmp_path / "library" / "store.sqlite", {"recipe": "test"}) as created:
        yield created


@pytest.fixture
def entry() -> MakeEntry:
    """Makes an entry whose first vector starts with `mark`."""

    def make(path: str, mark: float = 1.0, *, regions: int = 1, taken: str | None = None) -> Entry:
        vectors = np.tile(np.array([mark, 2.0, 3.0], dtype=np.float32), (regions, 1))
        vectors[:, 1] = np.arange(regions)
        return Entry(Path(path), 10, 1_700_000_000_000_000_000, 640, 480, taken, vectors=vectors)

    return make

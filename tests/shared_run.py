"""One process of a shared run over a stand-in for a describer, and what its library must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np

from kindred._support.retries import LOST
from kindred.describer import Description
from kindred.images import find_images
from kindred.library.index_report import IndexReport
from kindred.library.shared_indexing import index_shared
from kindred.recipe import Recipe
from kindred.store import STORES, Filter, PostgresUrl, SharesWork, Store, WorkQueue

__all__ = ["Content", "T", "check", "share", "vector_of"]

T = TypeVar("T")


class Content:
    """Stands for a describer: the vector of a file follows from its bytes. `sees` is called with each file."""

    recipe = Recipe("content", "kin")

    def __init__(self, sees: Callable[[Path], object] = lambda _: None) -> None:
        self.sees = sees
        self.described: list[Path] = []

    def describe(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        for key, path in items:
            self.sees(path)
            self.described.append(path)
            yield Description(key, vector_of(path), 64, 48)


def vector_of(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    row = np.frombuffer(sha256(path.read_bytes()).digest(), np.uint8).astype(np.float32)[None]
    return row / np.linalg.norm(row)


def share(
    url: PostgresUrl, content: Content, *roots: Path, lease: float = 60.0, stop: Callable[[], bool] | None = None
) -> IndexReport:
    """Take part in a run, as a process of its own would."""
    with closing(STORES["postgres"].open(url)) as store:
        return index_shared(
            store,
            content,  # type: ignore[arg-type]
            find_images(roots),
            queue=queue_of(store),
            roots=roots,
            executor=content,
            lease=lease,
            stop=stop,
        )


def queue_of(store: Store) -> WorkQueue:
    assert isinstance(store, SharesWork)
    return store.work_queue()


def check(store: Store, photos: Path, *, skipped: Iterable[str] = ()) -> None:
    """Check that each image is stored once, with its own vector, and that nothing waits."""
    files = {path for path in photos.rglob("*.jpg") if path.name not in skipped}
    outlines = store.outlines(Filter())
    rows = store.images(outlines.numbers.tolist())
    assert sorted(row.path for row in rows.values()) == sorted(files)
    owners = {number: batch.rows[at] for batch in store.parts() for at, number in enumerate(batch.owners.tolist())}
    assert store.counts().vectors == len(owners) == len(files)
    for number, row in rows.items():
        np.testing.assert_allclose(owners[number], vector_of(row.path)[0], atol=1e-6)
    assert {skip.path.name: skip.reason for skip in store.skipped()} == dict.fromkeys(skipped, LOST)
    assert queue_of(store).count([photos]) == 0

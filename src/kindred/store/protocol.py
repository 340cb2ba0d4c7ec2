"""Store: the interface of every store of a library, whatever the database.

A store is the truth about a library: images, their facts, vectors, regions, words, local features, tags, metadata and
runs. `kindred.store.table.STORES` lists the stores that there are; the contract tests run over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kindred.store.filters import Kind
from kindred.store.records import (
    Counts,
    Entry,
    FileStamp,
    Filter,
    Key,
    Known,
    Root,
    Row,
    RowBatch,
    Run,
    Skip,
    Value,
    WordBatch,
)

__all__ = ["Store", "VectorBatch"]

VectorBatch = tuple[NDArray[np.int64], NDArray[np.float32]]
"""ids (n,) and rows (n, D)."""


class Store(Protocol):
    """The persistent data of a library. Thread-safe; each call returns one consistent view.

    Every change is done as a whole or not at all, and committed when the call returns. Raises LibraryDamaged, naming
    the row or key, where what is stored is not what Kindred stores; LibraryLocked where another process is in the
    midst of a change for longer than some seconds; LibraryFull where there is no room; LibraryNotFound or
    LibraryReplaced if the store was deleted, or deleted and recreated, since it was opened.
    """

    # Facts

    @property
    def meta(self) -> dict[str, str]:
        """All facts about the library as a whole, by name."""
        ...

    @property
    def revision(self) -> int:
        """A number that grows with every committed change."""
        ...

    @property
    def vectors_revision(self) -> int:
        """The `revision` at which vectors, words or local features were last added or removed.

        What is derived from vectors follows this one: tags, metadata and paths leave it as it is.
        """
        ...

    @property
    def dimension(self) -> int | None:
        """D of every vector; None until the first is put."""
        ...

    @property
    def writable(self) -> bool:
        """Whether this process may change the store, as far as can be told without trying."""
        ...

    def counts(self) -> Counts:
        """Count images and vectors."""
        ...

    def lookup(self, paths: Iterable[Path]) -> dict[Path, Known]:
        """Return what is known of each of `paths`; those that are not in the store are left out."""
        ...

    def by_uid(self, uids: Iterable[str]) -> dict[str, Row]:
        """Return images by their public ids, as `images` does; unknown ids are left out."""
        ...

    def by_digest(self, digests: Iterable[bytes]) -> dict[bytes, list[Known]]:
        """Return the images with each of these digests, in order of their number; digests of none are left out."""
        ...

    def count_under(self, folder: Path) -> int:
        """Count the images in `folder`, at any depth."""
        ...

    def paths_under(self, folder: Path) -> Iterator[Path]:
        """Yield the path of every image in `folder`, at any depth, in order; changes meanwhile do no harm."""
        ...

    def known_under(self, folder: Path) -> Iterator[Known]:
        """Yield what is known of every image in `folder`, as `paths_under` does its paths."""
        ...

    def skipped(self) -> list[Skip]:
        """Return every image that could not be used, with the reason, in order of path."""
        ...

    def tags(self) -> dict[str, int]:
        """Return every tag with the number of its images, in order of name."""
        ...

    def metadata_keys(self) -> dict[str, int]:
        """Return every key of metadata with the number of its images, in order of name."""
        ...

    def metadata_kinds(self, key: str) -> frozenset[Kind]:
        """Return the types of the values of a key of metadata; none where no image has it."""
        ...

    def roots(self) -> list[Root]:
        """Return the folders that were indexed, in order of path."""
        ...

    def runs(self, limit: int = 10) -> list[Run]:
        """Return the newest `limit` indexing runs, newest first."""
        ...

    # Images and vectors

    def select(self, where: Filter) -> NDArray[np.int64]:
        """Return the ids of the vectors of all images that `where` lets through, (n,) ascending."""
        ...

    def select_images(self, where: Filter) -> NDArray[np.int64]:
        """Return the numbers of all images that `where` lets through, (n,) ascending."""
        ...

    def rows(self, vector_ids: Iterable[int]) -> dict[int, Row]:
        """Return the image and region of each vector by vector id; ids that are gone are left out."""
        ...

    def images(self, image_ids: Iterable[int]) -> dict[int, Row]:
        """Return images by their numbers, as `rows` does by those of vectors; numbers that are gone are left out."""
        ...

    def vectors(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[VectorBatch]:
        """Yield all vectors with an id above `after_id`, in order of id, as (ids (n,), rows (n, D)).

        Each batch is a view of its own: rows that are put meanwhile are still met, at the end.
        """
        ...

    def fetch(self, vector_ids: Iterable[int]) -> VectorBatch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; ids that are gone are left out."""
        ...

    def parts(self, *, images: NDArray[np.int64] | None = None, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, in order of image: regions with their boxes, or visual words.

        images: the numbers (n,) of those that are wanted, None for all; numbers that are gone are left out. Each batch
        is a view of its own, of whole images; images that are put meanwhile may be met or not.
        """
        ...

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words).

        Vectors of images without visual words are left out. Each batch is a view of its own, as of `vectors`.
        """
        ...

    def features(self, image_id: int) -> bytes | None:
        """Return the local features of an image; None where none are stored."""
        ...

    def removed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the ids of the vectors that went away after `revision`, (n,) ascending."""
        ...

    def changed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the numbers of the images whose vectors, words or features changed after `revision`, (n,) ascending.

        Those that were added, described again, skipped or removed since then.
        """
        ...

    # Changes

    def writing(self) -> AbstractContextManager[None]:
        """Make all changes within one: committed as a whole at the end, or undone by an exception."""
        ...

    def indexing(self) -> AbstractContextManager[None]:
        """Hold what lets one indexing run at a time into a store.

        Raises LibraryLocked, naming the process, where another run is in progress. It locks out no other change.
        """
        ...

    def put(self, entries: Sequence[Entry]) -> None:
        """Add images, or replace those of the same path with all their vectors; id, tags and metadata stay.

        Raises UsageError, and changes nothing, where an entry contradicts itself or its rows are not (R, D).
        """
        ...

    def restamp(self, stamps: Iterable[FileStamp]) -> None:
        """Note new paths and looks of files whose content is the same; images that are gone are passed over.

        Raises UsageError where a new path is that of another image.
        """
        ...

    def forget(self, images: Iterable[Key]) -> int:
        """Remove images with their vectors, tags and metadata; return how many there were."""
        ...

    def move(self, old: Path, new: Path) -> int:
        """Note that a file, or a folder with all that is in it, lies elsewhere now; return the number of images.

        Where an image of the same content is known at its new path, that one goes and the moved one stays. Raises
        UsageError, and changes nothing, where another image is known there.
        """
        ...

    def tag(self, images: Iterable[Key], tag: str) -> int:
        """Add `tag` to images; return how many of them are in the store."""
        ...

    def untag(self, images: Iterable[Key], tag: str) -> int:
        """Remove `tag` from images; return how many had it."""
        ...

    def set_metadata(self, images: Iterable[Key], values: Mapping[str, Value]) -> int:
        """Set metadata of images, key by key; other keys stay. Return how many of the images are in the store.

        Raises UsageError as `kindred.store.filters.checked_metadata` does, and for too many keys of an image.
        """
        ...

    def unset_metadata(self, images: Iterable[Key], keys: Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        ...

    def set_meta(self, key: str, value: str | None) -> None:
        """Set one fact about the library as a whole; None removes it. It leaves `vectors_revision` as it is."""
        ...

    def set_root(self, root: Root) -> None:
        """Note a folder that was indexed."""
        ...

    def begin_run(self) -> int:
        """Note that an indexing run starts; return its number."""
        ...

    def finish_run(self, run: int, done: Run) -> None:
        """Note that run `run` ended, with what it did in numbers of images, as `done` has them."""
        ...

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        ...

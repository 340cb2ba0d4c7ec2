"""Store: the interface of a library's database, independent of the kind of database.

A store holds the primary data of a library: images, their facts, vectors, regions, words, local features, tags,
metadata, pairs that are not the same, saved searches and runs. `kindred.store.table.STORES` lists the available stores;
the contract tests run over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kindred.store.filters import Kind
from kindred.store.listing import Listed, Order, Position
from kindred.store.records import (
    Counts,
    Entry,
    FileStamp,
    Filter,
    Key,
    Known,
    Outlines,
    Root,
    Row,
    RowBatch,
    Run,
    Skip,
    Value,
    VisualWords,
    WordBatch,
)
from kindred.store.saved import SavedSearch

__all__ = ["FileStore", "Store", "VectorBatch"]

VectorBatch = tuple[NDArray[np.int64], NDArray[np.float32]]
"""ids (n,) and rows (n, D)."""


class Store(Protocol):
    """The persistent data of a library. Thread-safe; each call returns one consistent state.

    Every change is atomic, and committed when the call returns. Raises LibraryDamaged, with the row or key, if stored
    data is invalid; LibraryLocked if another process is changing the store for longer than some seconds; LibraryFull if
    the disk is full; LibraryNotFound or LibraryReplaced if the store was deleted, or deleted and created again, since
    it was opened.
    """

    # Facts

    @property
    def meta(self) -> dict[str, str]:
        """All facts about the library as a whole, by name."""
        ...

    @property
    def revision(self) -> int:
        """A number that increases with every committed change."""
        ...

    @property
    def vectors_revision(self) -> int:
        """The `revision` at which vectors, words or local features were last added or removed.

        Data derived from vectors depends on this number; it is not changed by tags, metadata and paths.
        """
        ...

    @property
    def dimension(self) -> int | None:
        """D of every vector; None before the first one is stored."""
        ...

    @property
    def writable(self) -> bool:
        """Whether this process may change the store, as far as can be determined without trying."""
        ...

    @property
    def replaced(self) -> bool:
        """Whether the store was deleted, or deleted and created again; a server says so at the next call instead."""
        ...

    def stored_bytes(self) -> int:
        """Return the size of the store: of its file, or of its tables on a server."""
        ...

    def counts(self) -> Counts:
        """Count images and vectors."""
        ...

    def lookup(self, paths: Iterable[Path]) -> dict[Path, Known]:
        """Return the stored facts of each of `paths`; paths that are not in the store are left out."""
        ...

    def by_uid(self, uids: Iterable[str]) -> dict[str, Row]:
        """Return images by public id, in the form of `images`; unknown ids are left out."""
        ...

    def by_digest(self, digests: Iterable[bytes]) -> dict[bytes, list[Known]]:
        """Return the images with each of these digests, ordered by number; digests without images are left out."""
        ...

    def count_under(self, folder: Path) -> int:
        """Count the images in `folder`, recursively."""
        ...

    def paths_under(self, folder: Path) -> Iterator[Path]:
        """Yield the path of every image in `folder`, recursively, in order; the store may change in the meantime."""
        ...

    def known_under(self, folder: Path) -> Iterator[Known]:
        """Yield the stored facts of every image in `folder`, in the order of `paths_under`."""
        ...

    def skipped(self) -> list[Skip]:
        """Return every image that could not be used, with the reason, ordered by path."""
        ...

    def tags(self) -> dict[str, int]:
        """Return every tag with its number of images, ordered by name."""
        ...

    def metadata_keys(self) -> dict[str, int]:
        """Return every metadata key with its number of images, ordered by name."""
        ...

    def metadata_kinds(self, key: str) -> frozenset[Kind]:
        """Return the types of the values of a key of metadata; none if no image has it."""
        ...

    def roots(self) -> list[Root]:
        """Return the indexed folders, ordered by path."""
        ...

    def runs(self, limit: int = 10) -> list[Run]:
        """Return the newest `limit` indexing runs, newest first."""
        ...

    def not_same(self) -> NDArray[np.int64]:
        """Return the pairs of images, by number, that were marked as not the same, (n, 2): one < other, ascending."""
        ...

    def saved_searches(self) -> list[SavedSearch]:
        """Return the saved searches, ordered by name."""
        ...

    # Images and vectors

    def select(self, where: Filter) -> NDArray[np.int64]:
        """Return the ids of the vectors of all images that match `where`, (n,) ascending."""
        ...

    def select_images(self, where: Filter) -> NDArray[np.int64]:
        """Return the numbers of all images that match `where`, (n,) ascending."""
        ...

    def outlines(self, where: Filter) -> Outlines:
        """Return the ids, paths, sizes and days of all indexed images that match `where`, by ascending number."""
        ...

    def count(self, where: Filter) -> int:
        """Count the indexed images that match `where`."""
        ...

    def days(self, where: Filter) -> dict[date | None, int]:
        """Count the indexed images that match `where` by the day they were taken; None: those without a day."""
        ...

    def listed(self, where: Filter, order: Order, *, after: Position | None = None, limit: int) -> Listed:
        """Return up to `limit` indexed images that match `where`, in an order, from the position `after` on."""
        ...

    def rows(self, vector_ids: Iterable[int]) -> dict[int, Row]:
        """Return the image and region of each vector, by vector id; removed ids are left out."""
        ...

    def images(self, image_ids: Iterable[int]) -> dict[int, Row]:
        """Return images by number, in the form of `rows`; removed numbers are left out."""
        ...

    def vectors(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[VectorBatch]:
        """Yield all vectors with an id above `after_id`, ordered by id, as (ids (n,), rows (n, D)).

        Each batch is read in a transaction of its own: rows that are added in the meantime come at the end.
        """
        ...

    def fetch(self, vector_ids: Iterable[int]) -> VectorBatch:
        """Return (ids (n,), rows (n, D)) of `vector_ids` in their order; removed ids are left out."""
        ...

    def parts(self, *, images: NDArray[np.int64] | None = None, batch: int = 4096) -> Iterator[RowBatch]:
        """Yield all rows of all images, ordered by image: regions with their boxes, or visual words.

        Each batch, of whole images, is read in a transaction of its own; images that are added in the meantime may be
        missing.
        """
        ...

    def visual_words(self, *, after_id: int = 0, batch: int = 4096) -> Iterator[tuple[NDArray[np.int64], WordBatch]]:
        """Yield the visual words of all vectors with an id above `after_id`, in order of id, as (ids (n,), words).

        Vectors of images without visual words are left out. Each batch is a view of its own, as of `vectors`.
        """
        ...

    def visual_words_of_images(self, image_ids: Iterable[int]) -> dict[int, VisualWords]:
        """Return the visual words of the local features of images, by number; those without any are left out."""
        ...

    def features(self, image_id: int) -> bytes | None:
        """Return the local features of an image; None if none are stored.

        Raises LibraryDamaged, as the two that follow, for those that are larger than any that a store accepts.
        """
        ...

    def features_of(self, vector_ids: Iterable[int]) -> dict[int, bytes]:
        """Return the local features of the images of vectors, by vector id; ids without any are left out."""
        ...

    def features_of_images(self, image_ids: Iterable[int]) -> dict[int, bytes]:
        """Return the local features of images, by number; those without any are left out."""
        ...

    def removed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the ids of the vectors that were removed after `revision`, (n,) ascending."""
        ...

    def changed_since(self, revision: int) -> NDArray[np.int64]:
        """Return the numbers of the images whose vectors, words or features changed after `revision`, (n,) ascending.

        Those that were added, described again, skipped or removed since then.
        """
        ...

    # Changes

    def writing(self) -> AbstractContextManager[None]:
        """Group changes into one transaction: committed at the end, or rolled back by an exception."""
        ...

    def indexing(self) -> AbstractContextManager[None]:
        """Hold the lock of an indexing run, if the store allows only one at a time, as one in a folder does.

        Raises LibraryLocked, with the process, if another run is in progress. Other changes are not locked out.
        """
        ...

    def put(self, entries: Sequence[Entry]) -> None:
        """Add images, or replace those with the same path and all their vectors; id, tags and metadata are unchanged.

        Raises UsageError, and changes nothing, if an entry is inconsistent or its rows are not (R, D).
        """
        ...

    def restamp(self, stamps: Iterable[FileStamp]) -> None:
        """Record new paths, sizes and times of files with unchanged content; removed images are ignored.

        Raises UsageError if a new path is that of another image.
        """
        ...

    def forget(self, images: Iterable[Key]) -> int:
        """Remove images with their vectors, tags and metadata; return how many there were."""
        ...

    def give_ids(self, ids: Mapping[Path, str]) -> int:
        """Give images, by path, the ids that they had before they were removed and added again.

        An id that another image has is not given. Returns how many of the images have their id then. Raises UsageError
        for what is no id.
        """
        ...

    def move(self, old: Path, new: Path) -> int:
        """Record that a file, or a folder with everything in it, has been moved; return the number of images.

        If an image with the same content exists at the new path, it is replaced by the moved one, which takes over its
        tags, metadata and pairs that are not the same. Raises UsageError,
        and changes nothing, if a different image exists there.
        """
        ...

    def tag(self, images: Iterable[Key], tag: str) -> int:
        """Add `tag` to images; return how many of them are in the store."""
        ...

    def untag(self, images: Iterable[Key], tag: str) -> int:
        """Remove `tag` from images; return how many had it."""
        ...

    def set_metadata(self, images: Iterable[Key], values: Mapping[str, Value]) -> int:
        """Set metadata of images; other keys are unchanged. Return how many of the images are in the store.

        Raises UsageError as `kindred.store.filters.checked_metadata` does, and for too many keys per image.
        """
        ...

    def unset_metadata(self, images: Iterable[Key], keys: Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        ...

    def set_not_same(self, pairs: Iterable[tuple[Key, Key]]) -> int:
        """Mark pairs of images as not the same; return how many pairs of different images of the store were given.

        A mark is permanent: `put`, `restamp` and `move` keep it, and it is removed with one of its images.
        """
        ...

    def unset_not_same(self, pairs: Iterable[tuple[Key, Key]]) -> int:
        """Remove the marks of pairs of images, in either order; return how many there were."""
        ...

    def save_search(self, name: str, search: Mapping[str, object]) -> SavedSearch:
        """Save a search by name, in place of one of the same name, which then keeps its id.

        Raises UsageError as `kindred.store.saved` does, and for more than `MOST_SAVED` searches.
        """
        ...

    def remove_search(self, uid: str) -> bool:
        """Remove a saved search by id; return whether there was one."""
        ...

    def set_meta(self, key: str, value: str | None) -> None:
        """Set one fact about the library as a whole; None removes it. `vectors_revision` is unchanged."""
        ...

    def set_root(self, root: Root) -> None:
        """Record a folder that was indexed."""
        ...

    def begin_run(self) -> int:
        """Record the start of an indexing run; return its number."""
        ...

    def finish_run(self, run: int, done: Run) -> None:
        """Record the end of run `run`, with its counts in `done`."""
        ...

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        ...


@runtime_checkable
class FileStore(Protocol):
    """A store that also holds the fitted files of the recipe, since the library is not a folder."""

    def file_digests(self) -> dict[str, bytes]:
        """Return the SHA-256 of each file, by name."""
        ...

    def files(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return files by name; unknown names are left out."""
        ...

    def set_files(self, files: Mapping[str, bytes]) -> None:
        """Replace all files."""
        ...

"""Duplicates: the images of a library that are nearly the same picture.

Each vector asks the library's own index for its nearest neighbours, a block at a time; pairs that are alike
enough are links, and images that hang together by links are a group. It takes as long as searching with every
image; memory grows neither with the square of the library nor with the number of links.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole, l2_normalise
from kindred.errors import UsageError
from kindred.library import Library
from kindred.ranking import Ranking
from kindred.store import SqliteStore

__all__ = ["DuplicateGroup", "default_threshold", "find_duplicates"]

THRESHOLD = 0.95
"""Cosine from which two images count as nearly the same.

Measured with MobileNetV2 and GeM on 226 pictures, eight altered copies of each and some 1,500 others. Of pictures of
640 pixels and more it finds every copy at JPEG quality 60, at half and three quarters of the size, cut by 4 % or
darker by a fifth, and 85 % of those cut by 10 %. Film frames apart, 97 % of its groups hold one picture only, and the
others are nearly all of one shelf photographed twice. Networks differ: kin-plain, whose vectors lie closer together,
needs 0.99 for the same.
"""
WHITENED_THRESHOLD = 0.85
"""The same where vectors are whitened, which spreads them out.

Measured with the recipe kin on 71 pictures: JPEG quality 60 leaves a cosine of 0.99 at least, a fifth darker 0.97, cut
by 4 % 0.93, by 10 % 0.84; different pictures reach 0.82, film frames of one place 0.92.
"""

BLOCK = 512
"""Vectors searched at a time."""
SPARE_LINKS = 1 << 20
"""Links collected beyond those that hold the groups together before the others are dropped."""
PEEK = 4096
"""Bytes compared at both ends of two files of one size, before all of them are."""

Links = NDArray[np.void]
LINK = np.dtype([("one", np.int64), ("other", np.int64), ("score", np.float32)])
"""Two vectors by id and their cosine."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are nearly the same picture: `paths` in order of name, two at least.

    score: the cosine of the weakest link that the group needs to hang together; 1.0 for copies byte for byte.
    In a group of three or more, two images may be less alike than that.
    """

    paths: tuple[Path, ...]
    score: float


def default_threshold(library: Library) -> float:
    """Return the cosine from which two images of `library` count as nearly the same."""
    return WHITENED_THRESHOLD if library.recipe.whitening else THRESHOLD


def find_duplicates(
    library: Library,
    *,
    threshold: float | None = None,
    k: int = 20,
    progress: Callable[[int, int], None] | None = None,
) -> list[DuplicateGroup]:
    """Group the images that are nearly the same, the most alike first.

    threshold: the cosine, above 0 and at most 1, from which two images are linked; None is that of
    `default_threshold`. k: neighbours asked for each image; larger groups are found as well, by way of their links.
    Files that are the same byte for byte are in one group whatever the threshold. Two names of one file (symbolic
    links) are no duplicates. `progress` is called with the vectors searched and their number. Raises UsageError for
    another threshold, and where the library holds no vectors.
    """
    library.check_vectors("duplicates")
    if threshold is None:
        threshold = default_threshold(library)
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold}; expected a cosine above 0, at most 1")
    check_whole(k=k)
    store = library.store
    total, done = store.counts().vectors, 0
    forest, sizes = _Forest(), [np.empty((0, 2), np.int64)]
    for ids, rows in store.vectors(batch=BLOCK):
        forest.add(_alike(library, ids, rows, threshold=threshold, k=k))
        sizes.append(_sizes(store, ids))
        done += len(ids)
        if progress is not None:
            progress(done, max(done, total))
    for copies in _identical(store, np.concatenate(sizes)):
        forest.add(_links(copies[:1], copies[1:], 1.0))
    return _groups(store, forest.strongest())


class _Forest:
    """Collects links; of those, the strongest that hold each group together are enough (Kruskal 1956)."""

    def __init__(self) -> None:
        self._links = np.empty(0, LINK)
        self._spare: list[Links] = []

    def add(self, links: Links) -> None:
        self._spare.append(links)
        if sum(map(len, self._spare)) > SPARE_LINKS:
            self.strongest()

    def strongest(self) -> Links:
        """Return the links that join what no stronger link has joined, the strongest first."""
        links = np.concatenate([self._links, *self._spare])
        links = links[np.argsort(-links["score"], kind="stable")]
        joined = _Groups()
        kept = [joined.join(*ends) for ends in zip(links["one"].tolist(), links["other"].tolist(), strict=True)]
        self._links, self._spare = links[np.array(kept, bool)], []
        return self._links


class _Groups:
    """Which ids hang together: a union-find with path halving."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def find(self, one: int) -> int:
        """Return the id that stands for the group of `one`."""
        parent = self._parent
        while (above := parent.setdefault(one, one)) != one:
            parent[one] = one = parent[above]
        return one

    def join(self, one: int, other: int) -> bool:
        """Put two ids into one group; return whether they were in two."""
        one, other = self.find(one), self.find(other)
        self._parent[max(one, other)] = min(one, other)
        return one != other


def _alike(library: Library, ids: NDArray[np.int64], rows: Vectors, *, threshold: float, k: int) -> Links:
    """Return the links of vectors (n, D) with those of their `k` nearest that belong to another image."""
    ranking = library.search_index.search(rows, k + 1)  # each finds itself
    scores = _cosines(library, rows, ranking)
    near, column = np.nonzero((scores >= threshold) & (ranking.ids != ids[:, None]))
    links = _links(ids[near], ranking.ids[near, column], scores[near, column])
    ends = np.stack([links["one"], links["other"]], axis=1)
    images = {
        number: row.image_id
        for number, row in library.store.rows(np.unique(ends).tolist()).items()
        if row.box is None  # a part that two images share makes them no duplicates
    }
    pairs = ((images.get(one), images.get(other)) for one, other in ends.tolist())
    kept: Links = links[np.array([None not in pair and pair[0] != pair[1] for pair in pairs], bool)]
    return kept


def _cosines(library: Library, rows: Vectors, ranking: Ranking) -> NDArray[np.float32]:
    """Return the cosines (n, k) of rows (n, D) with their neighbours; −inf where there is none."""
    if library.recipe.similarity in ("cosine", "dot"):  # of unit vectors, both are the cosine
        return np.minimum(ranking.scores, 1)
    found = ranking.ids
    ids, vectors = library.store.fetch(np.unique(found[found >= 0]).tolist())
    places = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
    neighbours = l2_normalise(vectors)
    scores = np.stack([neighbours[at] @ row for at, row in zip(places, l2_normalise(rows), strict=True)])
    return np.where(ids[places] == found, np.minimum(scores, 1), -np.inf).astype(np.float32)


def _links(one: NDArray[np.int64], other: NDArray[np.int64], score: NDArray[np.float32] | float) -> Links:
    """Return links (n,) from ids (n,) or one id to ids (n,)."""
    links = np.empty(len(other), LINK)
    links["one"], links["other"], links["score"] = one, other, score
    return links


def _sizes(store: SqliteStore, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n, 2) int64: those of `ids` that stand for a whole image, and the bytes of its file."""
    whole = {number: row.path for number, row in store.rows(ids.tolist()).items() if row.box is None}
    known = store.lookup(whole.values())
    pairs = [(number, known[path].size) for number, path in whole.items() if path in known]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _identical(store: SqliteStore, sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the vectors (n,) of files that are the same byte for byte; `sizes` are as from `_sizes`."""
    sizes = sizes[np.argsort(sizes[:, 1], kind="stable")]
    for same_size in np.split(sizes[:, 0], np.flatnonzero(np.diff(sizes[:, 1])) + 1):
        if len(same_size) > 1:
            rows = store.rows(same_size.tolist())
            paths = {number: row.path for number, row in rows.items()}
            for same_ends in _agreeing(paths, _digest_of_ends):
                for same in _agreeing({number: paths[number] for number in same_ends}, _digest):
                    yield np.array(same, np.int64)


def _agreeing(paths: Mapping[int, Path], digest: Callable[[Path], bytes]) -> list[list[int]]:
    """Return the ids of files whose digests agree, two at least; unreadable files are left out."""
    found: dict[bytes, list[int]] = {}
    for number, path in paths.items():
        with suppress(OSError):
            found.setdefault(digest(path), []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def _digest_of_ends(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(PEEK)
        file.seek(max(0, size - PEEK))
        return hashlib.sha256(b"%d " % size + head + file.read(PEEK)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _groups(store: SqliteStore, links: Links) -> list[DuplicateGroup]:
    """Return the groups that `links`, as from `_Forest.strongest`, hold together, the most alike first."""
    joined = _Groups()
    for one, other in links[["one", "other"]].tolist():
        joined.join(one, other)
    members: dict[int, set[int]] = {}
    weakest: dict[int, float] = {}
    for one, other, score in links.tolist():  # the strongest first
        top = joined.find(one)
        members.setdefault(top, set()).update((one, other))
        weakest[top] = score
    groups = []
    for top, ids in members.items():
        paths = _distinct(row.path for row in store.rows(sorted(ids)).values())
        if len(paths) > 1:
            groups.append(DuplicateGroup(paths, weakest[top]))
    return sorted(groups, key=lambda group: (-group.score, group.paths))


def _distinct(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Leave out links to files that are there anyway: who deletes one of the two has not deleted a copy."""
    files: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (path.is_symlink(), path)):
        files.setdefault(os.path.realpath(path), path)
    return tuple(sorted(files.values()))

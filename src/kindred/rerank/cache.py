"""RerankCache: what re-rankers compute once for a gallery, kept in memory and, where wanted, in a folder."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import replacing
from kindred.errors import ModelError
from kindred.rerank.context import Gallery
from kindred.rerank.graph import NeighbourGraph, gallery_digest
from kindred.rerank.manifold import GalleryManifold, ManifoldOptions
from kindred.rerank.neighbours import Progress
from kindred.rerank.offline import OfflineDiffusion, OfflineOptions

__all__ = ["RerankCache"]


class Keepable(Protocol):
    """What can be kept: it says what it was made from, and goes into arrays and comes back."""

    @property
    def key(self) -> str:
        """What it was made from."""
        ...

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that must be kept, for `numpy.savez`."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `to_arrays` returned; raises ModelError for anything else."""
        ...


Kept = TypeVar("Kept", bound=Keepable)


class RerankCache:
    """The graphs and manifolds of a gallery: each is made at its first use and kept as long as the gallery is the same.

    DescribedQuery for another gallery object, it forgets those of the one before. folder: where they are also kept as
    files, by what they were made from; a file that is missing, damaged or of other vectors is made again, and
    one that cannot be written is done without. version: what stands for the content of a gallery, such as a
    store's generation (default: a digest of all vectors, which reads them once). progress: called while
    something is computed, with the images done and their number. Threads may share it: one computes, the others
    wait.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        version: Callable[[Gallery], str] = gallery_digest,
        progress: Progress | None = None,
    ) -> None:
        self._folder, self._version_of, self._progress = folder, version, progress
        self._gallery: Gallery | None = None
        self._version = ""
        self._kept: dict[str, Keepable] = {}
        self._lock = RLock()  # entered again where what is made needs the graph

    def graph(self, gallery: Gallery, *, k: int = 50, gamma: float = 3.0) -> NeighbourGraph:
        """Return the graph that `NeighbourGraph.build` makes of a gallery."""
        with self._lock:
            version = self._version_for(gallery)
            return self._get(
                NeighbourGraph,
                f"graph-k{k}-g{gamma:g}",
                NeighbourGraph.key_of(version, k=k, gamma=gamma),
                lambda: NeighbourGraph.build(gallery, k=k, gamma=gamma, key=version, progress=self._progress),
            )

    def offline(
        self, gallery: Gallery, *, k: int = 50, gamma: float = 3.0, options: OfflineOptions | None = None
    ) -> OfflineDiffusion:
        """Return what `OfflineDiffusion.fit` makes of a gallery and its graph."""
        chosen = options or OfflineOptions()
        number = hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]

        def fit() -> OfflineDiffusion:
            graph = self.graph(gallery, k=k, gamma=gamma)
            return OfflineDiffusion.fit(gallery, graph, options=chosen, progress=self._progress)

        with self._lock:
            graph_key = NeighbourGraph.key_of(self._version_for(gallery), k=k, gamma=gamma)
            key = OfflineDiffusion.key_of(graph_key, chosen)
            return self._get(OfflineDiffusion, f"spread-k{k}-g{gamma:g}-{number}", key, fit)

    def manifold(self, gallery: Gallery, options: ManifoldOptions) -> GalleryManifold:
        """Return what `GalleryManifold.fit` makes of a gallery."""
        with self._lock:
            version = self._version_for(gallery)
            return self._get(
                GalleryManifold,
                f"{options.method}-d{options.dimension}-k{options.neighbours}",
                GalleryManifold.key_of(version, options),
                lambda: GalleryManifold.fit(gallery, options, key=version),
            )

    def _version_for(self, gallery: Gallery) -> str:
        """Return what stands for this gallery, for which everything of another is forgotten."""
        if gallery is not self._gallery:
            self._gallery, self._version = gallery, self._version_of(gallery)
            self._kept.clear()
        return self._version

    def _get(self, kind: type[Kept], name: str, key: str, make: Callable[[], Kept]) -> Kept:
        """Return what is kept under `key`: from memory, from the file `name`, or made now."""
        kept = self._kept.get(key)
        if isinstance(kept, kind):
            return kept
        file = None if self._folder is None else self._folder / f"{name}.npz"
        found = None if file is None else _load(file, kind)
        if found is None or found.key != key:
            found = make()
            if file is not None:
                _store(file, found)
        self._kept[key] = found
        return found


def _load(file: Path, kind: type[Kept]) -> Kept | None:
    """Read what `_store` wrote; None where there is nothing, or nothing sound."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return kind.from_arrays(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ModelError):
        return None


def _store(file: Path, kept: Keepable) -> None:
    # A library that only may be read is searched all the same.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part, part.open("wb") as stream:
            np.savez(stream, **kept.to_arrays())  # type: ignore[arg-type]  # a name never is that of np.savez's own option

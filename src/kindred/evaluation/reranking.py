"""What an evaluation needs to know of re-rankers: their names, and what they prepare once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kindred.rerank import (
    Gallery,
    GalleryManifold,
    ManifoldOptions,
    Method,
    NeighbourGraph,
    OfflineDiffusion,
    OfflineOptions,
    RerankCache,
)

__all__ = ["TimedPrepared", "name_of"]


def name_of(method: Method) -> str:
    """Return what a re-ranker is called: "alpha_qe:n=10,alpha=3", or the name of a function."""
    if isinstance(method, str):
        return method
    if isinstance(method, tuple):
        name, options = method
        return name + ":" * bool(options) + ",".join(f"{key}={_plain(value)}" for key, value in options.items())
    return str(getattr(method, "__name__", type(method).__name__))


def _plain(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


class TimedPrepared(RerankCache):
    """What re-rankers prepare for a gallery, with the seconds that it takes: it is done once, not at each query."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._busy = False

    def graph(self, gallery: Gallery, *, k: int = 50, gamma: float = 3.0) -> NeighbourGraph:
        """Return the graph of a gallery, and count the seconds."""
        with self._timed():
            return super().graph(gallery, k=k, gamma=gamma)

    def offline(
        self, gallery: Gallery, *, k: int = 50, gamma: float = 3.0, options: OfflineOptions | None = None
    ) -> OfflineDiffusion:
        """Return what offline diffusion needs of a gallery, and count the seconds."""
        with self._timed():
            return super().offline(gallery, k=k, gamma=gamma, options=options)

    def manifold(self, gallery: Gallery, options: ManifoldOptions) -> GalleryManifold:
        """Return a manifold of a gallery, and count the seconds."""
        with self._timed():
            return super().manifold(gallery, options)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        if self._busy:  # within the other
            yield
            return
        self._busy, began = True, time.perf_counter()
        try:
            yield
        finally:
            self._busy = False
            self.seconds += time.perf_counter() - began

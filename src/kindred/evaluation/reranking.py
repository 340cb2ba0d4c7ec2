"""What an evaluation needs to know of re-rankers: their names, their needs, what they prepare once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kindred.errors import RecipeError
from kindred.recipe import Recipe
from kindred.rerank import (
    RERANKERS,
    Gallery,
    GalleryManifold,
    ManifoldOptions,
    Method,
    NeighbourGraph,
    OfflineDiffusion,
    OfflineOptions,
    Prepared,
    parse_methods,
)

__all__ = ["TimedPrepared", "check_steps", "name_of", "steps_of"]


def steps_of(rerank: str | Sequence[Method]) -> list[Method]:
    """Return re-rankers one by one, checked by name; raises RecipeError for one that is unknown."""
    steps: list[Method] = []
    for method in parse_methods(rerank) if isinstance(rerank, str) and rerank else rerank:
        steps += parse_methods(method) if isinstance(method, str) else [method]
    return steps


def name_of(method: Method) -> str:
    """Return what a re-ranker is called: "alpha_qe:n=10,alpha=3", or the name of a function."""
    if isinstance(method, str):
        return method
    if isinstance(method, tuple):
        name, options = method
        return name + ":" * bool(options) + ",".join(f"{key}={_plain(value)}" for key, value in options.items())
    return str(getattr(method, "__name__", type(method).__name__))


def check_steps(methods: Sequence[Method], recipe: Recipe) -> None:
    """Raise RecipeError where a re-ranker needs what `recipe` does not give, before anything is described."""
    for name in (method[0] for method in methods if isinstance(method, tuple)):
        needs = RERANKERS[name].needs
        if needs == "features" and not recipe.features:
            raise RecipeError(
                f"re-ranker {name!r} compares local features, and recipe {recipe.name!r} keeps none; "
                "give the recipe the key features"
            )
        if needs == "vectors" and recipe.keeps_rows:
            raise RecipeError(
                f"re-ranker {name!r} compares one vector of each image, and recipe {recipe.name!r} keeps several"
            )


def _plain(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


class TimedPrepared(Prepared):
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

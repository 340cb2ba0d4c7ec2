"""Context: what a re-ranker may ask for beside the ranking that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.features import ConvMap, LocalFeatures
from kindred.ranking import Ranking

if TYPE_CHECKING:
    from kindred.rerank.cache import Cacheable, RerankCache
    from kindred.rerank.neighbours import Progress

__all__ = ["Context", "Gallery", "Reranker"]

Made = TypeVar("Made", bound="Cacheable")


class Gallery(Protocol):
    """The vectors that are searched, under the ids that rankings name."""

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...

    @property
    def version(self) -> str:
        """What stands for the vectors and their ids: another text as soon as one of them has changed."""
        ...

    def search(self, queries: Vectors, k: int) -> Ranking:
        """Return the best `k` for queries (Q, D), or all where there are fewer.

        They are scored by the dot product: for unit vectors the cosine.
        """
        ...

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        """Return the vectors (n, D) of `ids` (n,), in their order."""
        ...

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Yield all vectors, block by block, as (ids (n,), rows (n, D)), ids ascending throughout."""
        ...


@dataclass(frozen=True, eq=False)
class Context:
    """What stands behind a ranking.

    queries: (Q, D) unit vectors, one for each row of the ranking. gallery: what was searched.
    query_features, image_features: the local features of query number q, and of the image under an id; None
    where nobody can give them, and a re-ranker that needs them raises UsageError. cache: what was computed once for
    this gallery, stored between calls; None computes it at each call. query_maps, image_maps: the feature maps, as the
    local features.
    """

    queries: Vectors
    gallery: Gallery
    query_features: Callable[[int], LocalFeatures] | None = None
    image_features: Callable[[int], LocalFeatures] | None = None
    cache: RerankCache | None = None
    query_maps: Callable[[int], ConvMap] | None = None
    image_maps: Callable[[int], ConvMap] | None = None

    @property
    def progress(self) -> Progress | None:
        """What something that is computed once may report to, with the images done and their number."""
        return None if self.cache is None else self.cache.progress

    def computed(self, kind: type[Made], key: str, make: Callable[[], Made]) -> Made:
        """Return what `make` makes of the gallery, from the cache where there is one; `key` names the options."""
        return make() if self.cache is None else self.cache.get(kind, key, make, gallery=self.gallery)


class Reranker(Protocol):
    """A re-ranker: a ranking goes in, a new one comes out; nothing is changed in place."""

    def __call__(self, ranking: Ranking, context: Context, /) -> Ranking:
        """Return the better ranking, of the same number of queries and at most as many answers."""
        ...

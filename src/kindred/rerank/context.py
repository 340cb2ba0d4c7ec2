"""Context: the vectors, features and maps that a re-ranker may use besides the ranking itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.features import ConvMap, LocalFeatures, Matcher
from kindred.ranking import Ranking

if TYPE_CHECKING:
    from kindred.calibration import Calibration
    from kindred.rerank.cache import Cacheable, RerankCache
    from kindred.rerank.neighbours import Progress
    from kindred.rerank.verification import Match

__all__ = ["Context", "Gallery", "Reranker", "Verified"]

Made = TypeVar("Made", bound="Cacheable")


@dataclass(frozen=True, eq=False)
class Verified:
    """What spatial verification found.

    matches: by query and look, and by the id of the candidate; None for a candidate that does not match. further: the
    same of the further candidates, by query and pass. copies: by query, the ids of the candidates that are copies of
    it.
    """

    matches: dict[tuple[int, int], dict[int, Match | None]] = field(default_factory=dict)
    further: dict[tuple[int, int], dict[int, Match | None]] = field(default_factory=dict)
    copies: dict[int, frozenset[int]] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything, for another look at the queries."""
        self.matches.clear()
        self.further.clear()
        self.copies.clear()


class Gallery(Protocol):
    """The vectors that are searched, by the ids of rankings."""

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...

    @property
    def version(self) -> str:
        """A version of the vectors and their ids, which changes whenever one of them changes."""
        ...

    def search(self, queries: Vectors, k: int) -> Ranking:
        """Return the best `k` for queries (Q, D), or all if there are fewer.

        The score is the dot product: for unit vectors, the cosine.
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
    """The queries and the gallery of a ranking, for re-rankers.

    queries: (Q, D) unit vectors, one for each row of the ranking. gallery: the vectors that were searched.
    query_features, image_features: functions that return the local features of query number q, and those of the images
    with some ids, in their order; None if they are not available, in which case a re-ranker that needs them raises
    UsageError. cache: results computed once for this gallery, kept between calls; None computes them at each call.
    query_maps, image_maps: functions that return the feature map of query number q, and of the image with an id; None
    stands for an image that cannot be read. calibration: of the recipe, for `calibrated`.
    at_query_size: vectors (D,) of images described at the size of a small query, by id, with which it is compared
    instead of those of the gallery. verified: if a caller re-ranks the same queries several times, what spatial
    verification found, by query and look (`LocalFeatures.looks`), and by id. further: returns the ids (n,) of more
    candidates of each pass over query number q (`LocalFeatures.by_pass`), best first, for `calibrated`, if nothing is
    found among those of the ranking.
    matcher: pairs local features in place of nearest neighbours, if their model has one. one_of: the number of regions
    of one image of which a query is one, and is_large, whether it is a large one, for `calibrated`.
    """

    queries: Vectors
    gallery: Gallery
    query_features: Callable[[int], LocalFeatures] | None = None
    image_features: Callable[[Sequence[int]], Iterable[LocalFeatures]] | None = None
    cache: RerankCache | None = None
    query_maps: Callable[[int], ConvMap] | None = None
    image_maps: Callable[[int], ConvMap | None] | None = None
    calibration: Calibration | None = None
    at_query_size: Mapping[int, Vectors] = field(default_factory=dict)
    verified: Verified | None = None
    further: Callable[[int], Sequence[NDArray[np.int64]]] | None = None
    matcher: Matcher | None = None
    one_of: int = 1
    is_large: bool = False

    @property
    def progress(self) -> Progress | None:
        """The callback for long computations, called with the images done and their number."""
        return None if self.cache is None else self.cache.progress

    def computed(self, kind: type[Made], key: str, make: Callable[[], Made]) -> Made:
        """Return the result of `make` for the gallery, cached if there is a cache; `key` identifies the options."""
        return make() if self.cache is None else self.cache.get(kind, key, make, gallery=self.gallery)


class Reranker(Protocol):
    """A re-ranker: takes a ranking and returns a new one; nothing is changed in place."""

    def __call__(self, ranking: Ranking, context: Context, /) -> Ranking:
        """Return the re-ranked ranking, with the same number of queries and at most as many results."""
        ...

"""Maps: vectors of many numbers as points that can be drawn, alike near alike.

`MAPS` is the table of them all; `manifold_map` takes a name from it, or any function of your own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, check_whole
from kindred.errors import MissingExtra, UsageError
from kindred.hints import check_known
from kindred.manifold.embedding import check_enough
from kindred.manifold.isomap import Isomap
from kindred.manifold.spectral import Spectral

__all__ = ["MAPS", "Map", "check_map", "isomap", "manifold_map", "mds", "spectral", "tsne"]

Points = NDArray[np.float32]

ENOUGH = 50
"""Principal components that t-SNE gets to see, as its authors advise: the rest is noise to it."""
ONE_THREAD = 2000
"""Rows up to which t-SNE runs on one thread."""
MOST_TSNE = 3
"""Dimensions that the Barnes-Hut tree can divide."""


def isomap(rows: Vectors, *, dimensions: int = 2, neighbours: int = 10, seed: int = 0) -> Points:
    """Draw rows as far apart as the way along their neighbours is long: (N, D) → (N, d).

    The ways to all rows, or to a random thousand of more than 2,000, are scaled classically: memory is N × L, not
    N × N. `neighbours`: links of each row; parts without a link are joined by the shortest bridges. Numbers that the
    ways do not need are 0. Source: Tenenbaum, de Silva and Langford 2000; de Silva and Tenenbaum 2004.
    """
    near = min(neighbours, len(rows) - 1)
    points = Isomap.fit(rows, dimension=dimensions, neighbours=near, seed=seed).coordinates
    return _widened(points, dimensions)


def mds(rows: Vectors, *, dimensions: int = 2, neighbours: int = 0, seed: int = 0) -> Points:  # noqa: ARG001
    """Draw rows so that distances change least, all together: (N, D) → (N, d).

    Classical (metric) scaling of Euclidean distances, which is the projection on the principal components (Gower
    1966): exact for any N, with no matrix of distances. It has neither neighbours nor chance. Source: Torgerson 1952.
    """
    return _principal(rows, dimensions)


def spectral(rows: Vectors, *, dimensions: int = 2, neighbours: int = 20, seed: int = 0) -> Points:
    """Draw rows near those that many short links lead to: (N, D) → (N, d), Laplacian eigenmaps.

    `neighbours`: links of each row; parts without a link are joined by the shortest bridges. Source: Belkin and
    Niyogi 2003.
    """
    near = min(neighbours, len(rows) - 1)
    fitted = Spectral.fit(rows, dimension=dimensions, neighbours=near, alpha=0.0, mutual=False, seed=seed)
    return fitted.coordinates


def tsne(rows: Vectors, *, dimensions: int = 2, neighbours: int = 30, seed: int = 0) -> Points:
    """Draw rows so that each keeps its neighbours, near ones first: (N, D) → (N, d), d at most 3.

    `neighbours` is the perplexity; at most a third of N. It starts from the principal components, so that what is far
    apart in the whole stays so. Source: van der Maaten and Hinton 2008; Barnes-Hut, van der Maaten 2014.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if dimensions > MOST_TSNE:
        raise UsageError(f"dimensions: got {dimensions}; expected at most {MOST_TSNE} for t-SNE")
    components = _principal(rows, ENOUGH)
    start = components[:, :dimensions] + 1e-6 * np.random.default_rng(seed).standard_normal((len(rows), dimensions))
    start = (1e-4 * start / max(float(start[:, 0].std()), 1e-12)).astype(np.float32)
    perplexity = max(1.0, min(float(neighbours), (len(rows) - 1) / 3))
    fitted = TSNE(dimensions, perplexity=perplexity, init=start, random_state=seed, method="barnes_hut")
    # Its threads wait for one another thousands of times: on a machine with other work a thousand rows took 141 s with
    # two threads and 19 s with one.
    with threadpool_limits(1 if len(rows) <= ONE_THREAD else None, user_api="openmp"):
        points: Points = fitted.fit_transform(components)
    return points


@dataclass(frozen=True)
class Map:
    """One entry of MAPS.

    function: rows (N, D), `dimensions`, `neighbours` and `seed` by name → points (N, d). title: what people call it.
    neighbours: its own number of them. summary: what it does, in a few words. source: who described it, for the
    documentation.
    """

    function: Callable[..., Points]
    title: str
    neighbours: int
    summary: str
    source: str


MAPS: dict[str, Map] = {
    "tsne": Map(tsne, "t-SNE", 30, "each image keeps its neighbours", "van der Maaten and Hinton 2008"),
    "isomap": Map(isomap, "Isomap", 10, "distances along the manifold", "Tenenbaum et al. 2000"),
    "mds": Map(mds, "MDS", 0, "distances as they are", "Torgerson 1952"),
    "spectral": Map(
        spectral, "spectral embedding", 20, "what many short links join lies together", "Belkin and Niyogi 2003"
    ),
}


def manifold_map(
    rows: Vectors,
    method: str | Callable[..., Points] = "tsne",
    *,
    dimensions: int = 2,
    neighbours: int | None = None,
    seed: int = 0,
) -> Points:
    """Lay out rows (N, D) as points (N, `dimensions`) by a name of MAPS or a function of your own.

    neighbours: how many are near each, less where there are not so many; None is the method's own number. Distances
    are Euclidean, which for unit vectors go by the cosine. Raises UsageError for an unknown name and for fewer than
    `dimensions` + 2 rows, MissingExtra where a package is not installed.
    """
    vectors = as_rows(rows, "rows")
    check_whole(dimensions=dimensions)
    check_map(method)
    check_enough(len(vectors), dimension=dimensions)
    own = MAPS[method].neighbours if isinstance(method, str) else 10
    if neighbours is not None:
        check_whole(neighbours=neighbours)
        own = neighbours
    function = MAPS[method].function if isinstance(method, str) else method
    return function(vectors, dimensions=dimensions, neighbours=own, seed=seed)


def check_map(method: str | Callable[..., Points]) -> None:
    """Raise UsageError for a name that is not in MAPS, MissingExtra where it needs packages that are not there."""
    if not isinstance(method, str):
        return
    check_known("map", method, MAPS, error=UsageError)
    if method != "mds" and find_spec("sklearn") is None:  # which brings SciPy
        raise MissingExtra(f"the map {method!r}", "maps")


def _principal(rows: Vectors, dimensions: int) -> Points:
    """Return the first principal components of rows, 0 where there are no more: (N, D) → (N, d)."""
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept = directions[:, ::-1][:, :dimensions]
    # A direction's sign is arbitrary; its largest component is made positive, so that all machines agree.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    return _widened((centred @ kept).astype(np.float32), dimensions)


def _widened(points: Points, dimensions: int) -> Points:
    """Fill points (N, d) up to (N, `dimensions`) with 0."""
    missing = max(0, dimensions - points.shape[1])
    return np.pad(points, ((0, 0), (0, missing)))

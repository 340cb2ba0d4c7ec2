"""Maps: high-dimensional vectors as points in the plane, similar vectors near one another.

`MAPS` is the table of them all; `manifold_map` takes a name from it or any function of your own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, check_whole, with_fixed_signs
from kindred.errors import MissingExtra, UsageError
from kindred.hints import check_known
from kindred.manifold.embedding import check_count
from kindred.manifold.isomap import Isomap
from kindred.manifold.spectral import Spectral

__all__ = ["MAPS", "Map", "check_map", "isomap", "manifold_map", "mds", "spectral", "tsne"]

Points = NDArray[np.float32]

TSNE_COMPONENTS = 50
"""Principal components given to t-SNE, as its authors advise; the rest is noise."""
ONE_THREAD = 4000
"""Rows up to which t-SNE runs on one thread."""
MOST_TSNE_DIMENSIONS = 3
"""Largest dimension of the Barnes-Hut approximation."""


def isomap(rows: Vectors, *, dimensions: int = 2, neighbours: int = 10, seed: int = 0) -> Points:
    """Preserve geodesic distances along the neighbourhood graph (Isomap): (N, D) → (N, d).

    Classical scaling of the shortest paths to L landmarks: all rows up to 2,000, otherwise 1,000 random rows, so that
    memory is N × L. `neighbours`: links of each row; separate components are connected by the shortest bridges.
    Surplus components are 0. Source: Tenenbaum, de Silva and Langford 2000; de Silva and Tenenbaum 2004.
    """
    near = min(neighbours, len(rows) - 1)
    points = Isomap.fit(rows, dimension=dimensions, neighbours=near, seed=seed).coordinates
    return _padded(points, dimensions)


def mds(rows: Vectors, *, dimensions: int = 2, neighbours: int = 0, seed: int = 0) -> Points:  # noqa: ARG001
    """Preserve Euclidean distances (classical multidimensional scaling): (N, D) → (N, d).

    For Euclidean distances it is the projection on the principal components (Gower 1966): exact for any N, without a
    matrix of distances. `neighbours` and `seed` are ignored. Source: Torgerson 1952.
    """
    return _principal(rows, dimensions)


def spectral(rows: Vectors, *, dimensions: int = 2, neighbours: int = 20, seed: int = 0) -> Points:
    """Place strongly connected rows near one another (Laplacian eigenmaps): (N, D) → (N, d).

    `neighbours`: links of each row; separate components are connected by the shortest bridges. Source: Belkin and
    Niyogi 2003.
    """
    near = min(neighbours, len(rows) - 1)
    fitted = Spectral.fit(rows, dimension=dimensions, neighbours=near, alpha=0.0, mutual=False, seed=seed)
    return fitted.coordinates


def tsne(rows: Vectors, *, dimensions: int = 2, neighbours: int = 30, seed: int = 0) -> Points:
    """Preserve the neighbours of each row (t-SNE): (N, D) → (N, d), d at most 3.

    `neighbours` is the perplexity, at most a third of N. It is initialised by the principal components, which
    preserves the global arrangement. Source: van der Maaten and Hinton 2008; Barnes-Hut, van der Maaten 2014.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if dimensions > MOST_TSNE_DIMENSIONS:
        raise UsageError(f"dimensions: got {dimensions}; expected at most {MOST_TSNE_DIMENSIONS} for t-SNE")
    components = _principal(rows, TSNE_COMPONENTS)
    start = components[:, :dimensions] + 1e-6 * np.random.default_rng(seed).standard_normal((len(rows), dimensions))
    start = (1e-4 * start / max(float(start[:, 0].std()), 1e-12)).astype(np.float32)
    perplexity = max(1.0, min(float(neighbours), (len(rows) - 1) / 3))
    fitted = TSNE(dimensions, perplexity=perplexity, init=start, random_state=seed, method="barnes_hut")
    # Its threads synchronise thousands of times: on a busy machine, 1,000 rows took 141 s with two threads and 19 s
    # with one.
    with threadpool_limits(1 if len(rows) <= ONE_THREAD else None, user_api="openmp"):
        points: Points = fitted.fit_transform(components)
    return points


@dataclass(frozen=True)
class Map:
    """One entry of MAPS.

    function: rows (N, D), `dimensions`, `neighbours` and `seed` by name → points (N, d). title: its usual name.
    neighbours: the default of that option. summary: what it does, in a few words. source: author and year, for the
    documentation.
    """

    function: Callable[..., Points]
    title: str
    neighbours: int
    summary: str
    source: str


MAPS: dict[str, Map] = {
    "tsne": Map(tsne, "t-SNE", 30, "preserves the neighbours of each image", "van der Maaten and Hinton 2008"),
    "isomap": Map(isomap, "Isomap", 10, "preserves distances along the manifold", "Tenenbaum et al. 2000"),
    "mds": Map(mds, "MDS", 0, "preserves Euclidean distances", "Torgerson 1952"),
    "spectral": Map(
        spectral, "spectral embedding", 20, "places strongly connected images together", "Belkin and Niyogi 2003"
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
    """Map rows (N, D) to points (N, `dimensions`) by a name of MAPS or a custom function.

    neighbours: links of each row, at most N − 1; None is the default of the method. Distances are Euclidean; for unit
    vectors they rank as the cosine does. Raises UsageError for an unknown name and for fewer than `dimensions` + 2
    rows, MissingExtra if a package is not installed.
    """
    vectors = as_rows(rows, "rows")
    check_whole(dimensions=dimensions)
    check_map(method)
    check_count(len(vectors), dimension=dimensions)
    own = MAPS[method].neighbours if isinstance(method, str) else 10
    if neighbours is not None:
        check_whole(neighbours=neighbours)
        own = neighbours
    function = MAPS[method].function if isinstance(method, str) else method
    return function(vectors, dimensions=dimensions, neighbours=own, seed=seed)


def check_map(method: str | Callable[..., Points]) -> None:
    """Raise UsageError for a name that is not in MAPS, MissingExtra if it needs packages that are not installed."""
    if not isinstance(method, str):
        return
    check_known("map", method, MAPS, error=UsageError)
    if method != "mds" and find_spec("sklearn") is None:  # which brings SciPy
        raise MissingExtra(f"the map {method!r}", "maps")


def _principal(rows: Vectors, dimensions: int) -> Points:
    """Return the first principal components of rows, padded with 0: (N, D) → (N, d)."""
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept = directions[:, ::-1][:, :dimensions]
    kept = with_fixed_signs(kept, axis=0)
    return _padded((centred @ kept).astype(np.float32), dimensions)


def _padded(points: Points, dimensions: int) -> Points:
    """Pad points (N, d) with 0 to (N, `dimensions`)."""
    missing = max(0, dimensions - points.shape[1])
    return np.pad(points, ((0, 0), (0, missing)))

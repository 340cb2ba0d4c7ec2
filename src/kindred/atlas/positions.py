"""Positions: a place on the map for every image, for libraries of any size.

A method of `kindred.manifold` maps a random sample of landmarks; every further image is placed by its nearest
landmarks, or by the same projection where the method is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, with_fixed_signs
from kindred.manifold.graph import nearest
from kindred.manifold.maps import check_map, manifold_map

__all__ = ["LANDMARKS", "Landmarks", "Points", "unit_square"]

Points = NDArray[np.float32]
"""Points (n, 2)."""

LANDMARKS = 4000
"""Images mapped by the method itself."""
NEAREST = 8
"""Landmarks that place a further image."""
MEDIAN_STEPS = 6
"""Steps of Weiszfeld's iteration; the median moves by less than a thousandth of the map after them."""
SPREAD = 0.7
"""Radius within which further images lie around their place, as a share of the distance between landmarks there."""
RANK_SHARE = {"tsne": 0.0}
"""Weight of the rank of a coordinate against the coordinate itself; t-SNE fills the plane evenly as it is."""
OTHER_RANK_SHARE = 0.6
FRAME = 4 / 3
"""Width to height of the frame into which a map is turned, if its axes have no meaning."""
TURNS = 36
BLOCK = 8192
APART = 1e-4
"""Distance between images that would lie at the same point, as a share of the side of the map."""
GOLDEN_ANGLE = np.pi * (3 - 5**0.5)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Images by which others are placed: vectors (L, D) and points (L, 2).

    directions: (D, 2) and mean (D,) of the projection if the method is one (MDS); it places other vectors exactly.
    """

    vectors: Vectors
    points: Points
    mean: NDArray[np.float64] | None = None
    directions: NDArray[np.float64] | None = None

    @classmethod
    def fit(cls, rows: Vectors, method: str = "tsne", *, seed: int = 0) -> Landmarks:
        """Map rows (L, D) by `method`, a name of `kindred.manifold.MAPS`.

        Raises UsageError for an unknown method and for fewer than four rows, MissingExtra if a package is missing.
        """
        check_map(method)
        vectors = as_rows(rows, "rows")
        points = manifold_map(vectors, method, seed=seed)
        if method != "mds":
            return cls(vectors, points)
        mean = vectors.mean(axis=0, dtype=np.float64)
        _, directions = np.linalg.eigh((vectors - mean).T @ (vectors - mean))
        kept = with_fixed_signs(directions[:, ::-1][:, :2], axis=0)
        return cls(vectors, points, mean, kept)

    def place(self, rows: Vectors, *, seed: int = 0) -> Points:
        """Place rows (N, D) among the landmarks: (N, 2).

        A projection is applied. Otherwise the place is the median of the points of the eight nearest landmarks,
        weighted by similarity: a median rather than a mean, so that an image between two groups joins one of them
        (out-of-sample placement as in Poličar, Stražar and Zupan 2019). Images are spread around it within the distance
        between landmarks there, so that they do not hide one another.
        """
        if self.mean is not None and self.directions is not None:
            return ((rows - self.mean) @ self.directions).astype(np.float32)
        random = np.random.default_rng(seed)
        placed = np.empty((len(rows), 2), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            placed[start : start + BLOCK] = self._near(block, random)
        return placed

    def _near(self, rows: Vectors, random: np.random.Generator) -> NDArray[np.float64]:
        near = min(NEAREST, len(self.vectors))
        distances, places = nearest(self.vectors, rows, near)
        squares = distances.astype(np.float64) ** 2
        width = np.maximum(squares[:, -1:] - squares[:, :1], 1e-12)
        weights = np.exp(-3 * (squares - squares[:, :1]) / width)
        around = self.points[places].astype(np.float64)
        middle = _weighted_median(around, weights)
        spacing = np.sqrt(np.median(((around - middle[:, None]) ** 2).sum(axis=2), axis=1)) / near**0.5
        angle, radius = random.uniform(0, 2 * np.pi, len(rows)), np.sqrt(random.uniform(0, 1, len(rows)))
        offset: NDArray[np.float64] = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        offset *= (SPREAD * spacing * radius)[:, None]
        return middle + offset


def unit_square(points: Points, method: str) -> Points:
    """Fit the points (n, 2) of a method into the unit square, the second axis pointing down as on a screen.

    Coordinates of all methods but t-SNE are averaged with their ranks, which spreads dense regions and brings outliers
    in; the shape of the map is preserved as far as that allows. Those of t-SNE, whose axes have no meaning, are turned
    so that the map fills a screen. Points at the same place are put beside one another.
    """
    rank_share = RANK_SHARE.get(method, OTHER_RANK_SHARE)
    if not rank_share and len(points):
        points = _turned(points)
    places = np.full(points.shape, 0.5)
    spans = np.ptp(points.astype(np.float64), axis=0) if len(points) else np.zeros(2)
    longest = float(spans.max())
    for axis, values in enumerate(points.astype(np.float64).T):
        if not spans[axis] > 0:
            continue
        share = (values - values.min()) / spans[axis]
        order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        mixed = (1 - rank_share) * share + rank_share * (order + 0.5) / len(values)
        places[:, axis] += (mixed - 0.5) * (rank_share + (1 - rank_share) * spans[axis] / longest)
    places[:, 1] = 1 - places[:, 1]
    return _apart(places).astype(np.float32)


def _turned(points: Points) -> Points:
    """Turn points (n, 2) so that they are largest in a frame of the usual shape."""
    angles = np.arange(TURNS) * np.pi / TURNS
    best, most = points, 0.0
    for cosine, sine in zip(np.cos(angles), np.sin(angles), strict=True):
        turned = points @ np.array([[cosine, sine], [-sine, cosine]])
        width, height = np.maximum(np.ptp(turned, axis=0), 1e-12)
        if (scale := min(FRAME / width, 1 / height)) > most * (1 + 1e-9):
            best, most = turned, scale
    return best.astype(np.float32)


def _weighted_median(points: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the geometric median (N, 2) of points (N, k, 2) with weights (N, k) (Weiszfeld 1937)."""
    middle: NDArray[np.float64] = (points * weights[..., None]).sum(axis=1) / weights.sum(axis=1)[:, None]
    scale = np.ptp(points, axis=(0, 1)).max() or 1.0
    for _ in range(MEDIAN_STEPS):
        apart = np.sqrt(((points - middle[:, None]) ** 2).sum(axis=2))
        pull = weights / np.maximum(apart, 1e-6 * scale)
        middle = (points * pull[..., None]).sum(axis=1) / pull.sum(axis=1)[:, None]
    return middle


def _apart(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points that coincide apart, in a spiral around their common place; all stay in the unit square."""
    cells = np.floor(places / APART).astype(np.int64)
    _, group, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    turn = np.empty(len(places), np.int64)
    turn[order] = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    radius, angle = APART * np.sqrt(turn), GOLDEN_ANGLE * turn
    moved: NDArray[np.float64] = places + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.clip(moved, 0, 1, out=moved)

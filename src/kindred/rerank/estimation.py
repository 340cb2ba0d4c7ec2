"""Robust estimation: the change of view with which most pairs of points agree, though most pairs may be wrong.

Three pairs at a time give affine maps (RANSAC, Fischler and Bolles 1981). The most consistent ones are refined to
homographies, or remain affine, by weighted least squares on the pairs that agree, within a tolerance that shrinks from
round to round (local optimisation, Chum, Matas and Kittler 2003); the best of all is returned (MSAC, Torr and Zisserman
2000). An affine map follows a view in perspective only near its three pairs, so that more distance is allowed at first;
but three pairs are all right far more often than the four that a homography takes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "Matrix", "Model", "Points", "estimate"]

Model = Literal["homography", "affine"]
Points: TypeAlias = NDArray[np.float32]
Matrix: TypeAlias = NDArray[np.float64]

SAMPLES = 1000
"""Triples of pairs that are tried: with 8 right pairs of 36 one triple in 128 is right."""
SLANT = 6.0
"""The largest ratio of the changes of size along and across, of an object that is turned in depth."""
APART = 2.0
"""Tolerances: triples that span less than the square of so many are nearly on a line, and determine nothing."""
WIDE = 3.0
"""Tolerances within which pairs agree with a map that is not refined yet."""
SEEN = 0.75
"""The share of the pairs wanted that has to agree with an affine map by three pairs."""
REFINED = 8
"""Maps that are refined."""
FIRST, ROUNDS = 4.0, (3.0, 2.0, 2.0, 1.5)
"""Tolerances within which pairs count in the rounds of the refinement, the nearest most; the first is always affine."""
UNDETERMINED = 1e-9
"""Added to the diagonal of normal equations, so that points on one line have a solution, too."""


class Estimate(NamedTuple):
    """A change of view: the matrix (3, 3) that maps our points to theirs, and how far from them each ends up, (n,)."""

    matrix: Matrix
    distances: NDArray[np.float64]


def estimate(
    ours: Points,
    theirs: Points,
    *,
    tolerance: float,
    model: Model,
    least: int,
    scales: tuple[float, float],
    seed: int = 0,
) -> Estimate | None:
    """Return the change of view that most of n pairs of points, each (n, 2), agree with; None if there is none.

    tolerance: the largest distance of an agreeing pair, in the units of `theirs`. least: there is none unless an affine
    map brings about so many pairs near each other; images of other objects end there. scales: the least and the largest
    change of size of an affine map. seed: of the choice of triples. Points that are not finite agree with nothing.
    """
    if len(ours) < 3:
        return None
    with np.errstate(all="ignore"):
        a, b = _Frame.of(ours), _Frame.of(theirs)
        x, y, near = a.inside(ours), b.inside(theirs), tolerance / b.size
        sizes = scales[0] * a.size / b.size, scales[1] * a.size / b.size
        maps = _affine_maps(x, y, near=near, scales=sizes, least=SEEN * least, seed=seed)
        refined = None if maps is None else _refined(maps, x, y, near=near, least=least, model=model)
        if refined is None:
            return None
        matrix, distances = refined
        matrix = b.matrix(outwards=True) @ matrix @ a.matrix(outwards=False)
        return Estimate(matrix / (matrix[2, 2] or 1.0), b.size * np.sqrt(distances))


class _Frame(NamedTuple):
    """Coordinates around the mean of some points, of which the farthest component is 1: arithmetic stays exact."""

    centre: Matrix
    size: float

    @classmethod
    def of(cls, points: Points) -> _Frame:
        centre = points.mean(axis=0, dtype=np.float64)
        return cls(centre, max(float(np.abs(points - centre).max()), 1e-9))

    def inside(self, points: Points) -> Matrix:
        """Return points (n, 2) in these coordinates."""
        placed: Matrix = (points - self.centre) / self.size
        return placed

    def matrix(self, *, outwards: bool) -> Matrix:
        """Return the matrix (3, 3) from these coordinates outwards, or into them."""
        (x, y), size = self.centre, self.size
        if outwards:
            return np.array([[size, 0, x], [0, size, y], [0, 0, 1]])
        return np.array([[1 / size, 0, -x / size], [0, 1 / size, -y / size], [0, 0, 1]])


def _affine_maps(
    ours: Matrix, theirs: Matrix, *, near: float, scales: tuple[float, float], least: float, seed: int
) -> Matrix | None:
    """Return the most consistent affine maps (at most REFINED, 3, 3) with `least` pairs that agree; None if none has.

    In complex numbers an affine map is z ↦ α z + β z̄ + c, which three pairs determine. Its largest and smallest change
    of size are |α| + |β| and |α| − |β|, which is negative if it mirrors. Only plausible maps are compared with all
    pairs.
    """
    z, w = (points.astype(np.float32).view(np.complex64)[:, 0] for points in (ours, theirs))
    first, second, third = _threes(len(z), seed)
    p, q, p_, q_ = z[second] - z[first], z[third] - z[first], w[second] - w[first], w[third] - w[first]
    alpha, beta = p_ * q.conj() - q_ * p.conj(), q_ * p - p_ * q
    double = 2j * (p * q.conj()).imag
    alpha /= double
    beta /= double
    turning, shearing = np.abs(alpha), np.abs(beta)
    largest, smallest = turning + shearing, turning - shearing
    usable = (smallest > scales[0]) & (largest < scales[1]) & (largest < SLANT * smallest)
    usable &= np.abs((p_ * q_.conj()).imag) > (APART * near) ** 2
    alpha, beta, at = alpha[usable], beta[usable], first[usable]
    if not len(at):
        return None
    shift = w[at] - alpha * z[at] - beta * z[at].conj()
    sum_, difference, one = alpha + beta, alpha - beta, np.ones(len(at), np.float32)
    # The differences of all points by two products: (linear part, shift, 1) of each map with (x, 1, −y) of each pair.
    points = np.stack((z.real, z.imag, np.ones(len(z), np.float32)))
    across = np.stack((sum_.real, -difference.imag, shift.real, one), axis=1)
    down = np.stack((sum_.imag, difference.real, shift.imag, one), axis=1)
    distances, others = across @ np.vstack((points, -w.real)), down @ np.vstack((points, -w.imag))
    distances *= distances
    others *= others
    distances += others
    wide = np.float32((WIDE * near) ** 2)
    some = np.flatnonzero(np.count_nonzero(distances < wide, axis=1) >= least)
    if not len(some):
        return None
    scores = np.maximum(wide - distances[some], 0).sum(axis=1)
    best = some[np.argsort(-scores, kind="stable")[:REFINED]]
    matrices = np.zeros((len(best), 3, 3))
    matrices[:, 0], matrices[:, 1], matrices[:, 2, 2] = across[best, :3], down[best, :3], 1
    return matrices


@lru_cache(maxsize=256)
def _threes(count: int, seed: int) -> NDArray[np.int64]:
    """Return three of `count` pairs, SAMPLES times: the positions (3, h) of each, the same for a seed."""
    random = np.random.default_rng([seed, count])
    return random.permuted(np.tile(np.arange(count), (SAMPLES, 1)), axis=1)[:, :3].T.copy()


def _refined(
    maps: Matrix, ours: Matrix, theirs: Matrix, *, near: float, least: int, model: Model
) -> tuple[Matrix, NDArray[np.float64]] | None:
    """Refine affine maps (k, 3, 3); return the best of all rounds (3, 3) and the squared distances (n,) of the pairs.

    None if fewer than `least` pairs are near each other with any affine map of the first round.
    """
    equations = _equations(ours, theirs)

    def refined(model: Model, distances: Matrix, width: float) -> tuple[Matrix, Matrix]:
        weights = np.maximum(1 - distances / (width * near) ** 2, 0)
        found = _fitted(model, equations, weights)
        return found, _distances(found, ours, theirs)

    rounds = [refined("affine", _distances(maps, ours, theirs), FIRST)]
    if np.count_nonzero(rounds[0][1] < (WIDE * near) ** 2, axis=1).max() < least:
        return None
    for width in ROUNDS:
        rounds.append(refined(model, rounds[-1][1], width))
    every, distances = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
    best = int(np.maximum(1 - distances / near**2, 0).sum(axis=1).argmax())
    return every[best], distances[best]


def _distances(matrices: Matrix, ours: Matrix, theirs: Matrix) -> NDArray[np.float64]:
    """Return the squared distances (k, n) of our points, mapped, from theirs; infinite behind the camera."""
    x = np.vstack((ours.T, np.ones(len(ours))))
    mapped = (matrices.reshape(-1, 3) @ x).reshape(len(matrices), 3, -1)
    in_front = mapped[:, 2] > 0
    depths = np.where(in_front, mapped[:, 2], 1)
    across, down = mapped[:, 0] / depths - theirs[:, 0], mapped[:, 1] / depths - theirs[:, 1]
    return np.where(in_front, across * across + down * down, np.inf)


def _equations(ours: Matrix, theirs: Matrix) -> Matrix:
    """Return the products (n, 9, 9) of each pair's two equations in the first eight components of a matrix.

    They are those of the direct linear transformation with a last component of 1 (Hartley and Zisserman 2004, 4.1),
    which is the depth of the centre of the points, so not 0. The last row and column hold the right side.
    """
    x, y = ours.T
    u, v = theirs.T
    rows = np.zeros((len(ours), 2, 9))
    rows[:, 0, 0] = rows[:, 1, 3] = x
    rows[:, 0, 1] = rows[:, 1, 4] = y
    rows[:, 0, 2] = rows[:, 1, 5] = 1
    rows[:, 0, 6], rows[:, 0, 7], rows[:, 0, 8] = -u * x, -u * y, u
    rows[:, 1, 6], rows[:, 1, 7], rows[:, 1, 8] = -v * x, -v * y, v
    products: Matrix = np.einsum("nri,nrj->nij", rows, rows)
    return products


def _fitted(model: Model, equations: Matrix, weights: NDArray[np.float64]) -> Matrix:
    """Return the maps (k, 3, 3) that fit pairs with weights (k, n) best."""
    sums = np.tensordot(weights, equations, axes=1)
    free = 8 if model == "homography" else 6
    left, right = sums[:, :free, :free] + UNDETERMINED * np.eye(free), sums[:, :free, 8:]
    found = np.zeros((len(weights), 9))
    found[:, :free] = np.linalg.solve(left, right)[:, :, 0]
    found[:, 8] = 1
    return found.reshape(-1, 3, 3)

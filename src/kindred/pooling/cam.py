"""CAM: sums weighted by the class activation maps of the most probable classes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from numpy.typing import ArrayLike

from kindred.arrays import Array, ArrayT, check_whole, like
from kindred.errors import UsageError
from kindred.pooling.common import open_maps, positions_last, sum_of_units
from kindred.pooling.weighted import crow_channels

__all__ = ["cam", "cam_vectors"]


def cam(
    maps: ArrayT,
    *,
    weights: ArrayLike | Array | None = None,
    class_maps: ArrayT | None = None,
    classes: int = 64,
    whitening: Callable[[ArrayT], ArrayT] | None = None,
) -> ArrayT:
    """Sum the unit vectors of the most probable classes and normalise: (B, C, H, W) → (B, D).

    The vectors are those of `cam_vectors`. `whitening` maps them from (B·n, C) to (B·n, D) before the sum, as
    `PCAWhitening.transform` does; it is fitted on such vectors of other images. Source: Jimenez, Alvarez and
    Giró-i-Nieto 2017.
    """
    vectors = cam_vectors(maps, weights=weights, class_maps=class_maps, classes=classes)
    return sum_of_units(vectors, whitening)


def cam_vectors(
    maps: ArrayT,
    *,
    weights: ArrayLike | Array | None = None,
    class_maps: ArrayT | None = None,
    classes: int = 64,
) -> ArrayT:
    """Sum every channel for each of the most probable classes, weighted by its map: (B, C, H, W) → (B, n, C).

    The activation map of class k is Σ_c weights[k, c] X_c, with the `weights` (K, C) of the classifier that follows
    the average pooling of these maps; alternatively, `class_maps` (B, K, H, W) are given. The n = min(`classes`, K)
    classes with the highest mean activation (the classifier's score without its bias) are used, best first. The
    weight of a position is the class map's value there, negative values counting as 0 (the map's scale cancels in
    the unit vector); channels are weighted as in CroW. The vectors are not normalised. Raises UsageError unless
    exactly one of `weights` and `class_maps` is given.
    """
    check_whole(classes=classes)
    xp, x = open_maps(maps)
    activations = _class_maps(xp, x, weights, class_maps)
    x = positions_last(xp, x)
    scores = xp.mean(activations, axis=-1)
    best = xp.argsort(-scores, axis=1, stable=True)[:, :classes]
    chosen = xp.take_along_axis(activations, best[:, :, None], axis=1)
    vectors = xp.matmul(xp.where(chosen > 0, chosen, 0.0), xp.permute_dims(x, (0, 2, 1)))
    weighted: ArrayT = vectors * crow_channels(xp, x)[:, None, :]
    return weighted


def _class_maps(xp: ModuleType, x: Any, weights: Any, class_maps: Any) -> Any:
    """Return the class activation maps (B, K, H·W) of maps (B, C, H, W), computed or given."""
    if (weights is None) == (class_maps is None):
        raise UsageError("cam: expected the weights of the network's classifier (K, C), or class_maps: one of the two")
    if class_maps is None:
        made = like(weights, x)
        if made.ndim != 2 or made.shape[1] != x.shape[1] or not made.shape[0]:
            raise UsageError(f"weights: got shape {tuple(made.shape)}; expected (K, {x.shape[1]}), K classes")
        return xp.matmul(made, positions_last(xp, x))
    given = like(class_maps, x)
    if given.ndim != 4 or not given.shape[1] or (given.shape[0], *given.shape[2:]) != (x.shape[0], *x.shape[2:]):
        batch, _, height, width = x.shape
        raise UsageError(f"class_maps: got shape {tuple(given.shape)}; expected ({batch}, K, {height}, {width})")
    return positions_last(xp, given)

"""Preparation: what happens to a local descriptor before words are learned and before it is assigned to one.

It is made a unit vector; where a local PCA was learned, it is then rotated, reduced, whitened and made a unit
vector again. Fitting and describing must do the same, so what was learned carries it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred._support.npz import ArrayMap
from kindred.arrays import ArrayT, Vectors, l2_normalise
from kindred.errors import UsageError
from kindred.whitening import PCAWhitening

__all__ = ["fit_projection", "pack_projection", "prepare", "sample", "unpack_projection"]

BLOCK = 2**16


def prepare(rows: ArrayT, projection: PCAWhitening | None) -> ArrayT:
    """Return local descriptors (M, D) ready for assignment: unit vectors (M, D')."""
    unit: ArrayT = l2_normalise(rows)
    return unit if projection is None else projection.transform(unit)


def fit_projection(rows: Vectors, dimension: int | None, power: float) -> PCAWhitening:
    """Learn the local PCA on unit vectors of `rows`, block by block."""
    blocks = (l2_normalise(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK))
    return PCAWhitening.fit(blocks, dimension=dimension, power=power)


def sample(rows: Vectors, *, words: int, least: int, most: int, seed: int) -> Vectors:
    """Return at most `most` rows for each word, drawn without repetition and kept in order.

    Raises UsageError where there are fewer than `least` for each.
    """
    if len(rows) < least * words:
        raise UsageError(
            f"got {len(rows)} local descriptors to learn {words} words; expected at least {least * words}, "
            f"{least} for each: add images or ask for fewer words"
        )
    if len(rows) <= most * words:
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), most * words, replace=False)
    return rows[np.sort(chosen)]


def pack_projection(projection: PCAWhitening | None) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the arrays of a local PCA under names of their own; none where there is none."""
    arrays = {} if projection is None else projection.to_arrays()
    return {f"local_{name}": values for name, values in arrays.items()}


def unpack_projection(arrays: ArrayMap) -> PCAWhitening | None:
    """Take back what `pack_projection` returned; raises ModelError for a part of it."""
    prefix = "local_"
    found = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    return PCAWhitening.from_arrays(found) if found else None

"""Preparation of local descriptors before words are fitted and before they are assigned to words.

They are L2-normalised; with a local PCA they are then rotated, reduced, whitened and L2-normalised again. Fitting and
describing must do the same, so the local PCA is stored with the codebook or mixture.
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
    """Prepare local descriptors (M, D) for assignment: unit vectors (M, D')."""
    unit: ArrayT = l2_normalise(rows)
    return unit if projection is None else projection.transform(unit)


def fit_projection(rows: Vectors, dimension: int | None, power: float) -> PCAWhitening:
    """Fit the local PCA to the L2-normalised `rows`, block by block."""
    blocks = (l2_normalise(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK))
    return PCAWhitening.fit(blocks, dimension=dimension, power=power)


def sample(rows: Vectors, *, words: int, least: int, most: int, seed: int) -> Vectors:
    """Return at most `most` rows per word, drawn without replacement, in their order.

    Raises UsageError for fewer than `least` rows per word.
    """
    if len(rows) < least * words:
        raise UsageError(
            f"got {len(rows)} local descriptors to fit {words} words; expected at least {least * words}, "
            f"{least} per word: add images or reduce the number of words"
        )
    if len(rows) <= most * words:
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), most * words, replace=False)
    return rows[np.sort(chosen)]


def pack_projection(projection: PCAWhitening | None) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the arrays of a local PCA, with a prefix to their names; empty without one."""
    arrays = {} if projection is None else projection.to_arrays()
    return {f"local_{name}": values for name, values in arrays.items()}


def unpack_projection(arrays: ArrayMap) -> PCAWhitening | None:
    """Restore a local PCA from the arrays of `pack_projection`, None without any; raises ModelError if damaged."""
    prefix = "local_"
    found = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    return PCAWhitening.from_arrays(found) if found else None

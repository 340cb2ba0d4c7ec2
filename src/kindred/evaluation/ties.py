"""Ties: equal scores are ordered by a fixed random order, not by the order in which a database is listed.

Databases are listed class by class, so that ordering ties by position favours images of one class: with coarse codes,
which give many equal scores, results would be too good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TIE_SEED", "tie_order"]

TIE_SEED = 20070
"""It never changes, so that results are comparable between runs."""


def tie_order(count: int) -> NDArray[np.int64]:
    """Return the positions 0 … count − 1 in the order in which ties are broken, the same for every query and run.

    If a database is searched in this order, with equal scores by position, ties are broken at random in all later
    steps as well: re-ranking, fusion, codes.
    """
    order: NDArray[np.int64] = np.random.default_rng(TIE_SEED).permutation(count).astype(np.int64)
    return order

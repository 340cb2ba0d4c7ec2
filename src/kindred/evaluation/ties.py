"""Ties: equal scores are ordered by a fixed random order, not by the order in which a database is listed.

Databases are listed class by class, so that by position the images of one class would come together: where codes are
coarse and many scores are equal, that gives figures that no search deserves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TIE_SEED", "tie_order"]

TIE_SEED = 20070
"""It never changes, so that figures can be compared from one run to the next."""


def tie_order(count: int) -> NDArray[np.int64]:
    """Return the positions 0 … count − 1 in the order that equal scores take, the same for every query and run.

    A database that is searched in this order, with equal scores by position, has its ties broken at random in all
    that follows the search too: re-ranking, fusion, codes.
    """
    order: NDArray[np.int64] = np.random.default_rng(TIE_SEED).permutation(count).astype(np.int64)
    return order

"""Filters for Milvus: expressions that select the rows with given ids.

Tags, folders and dates are not copied to the server: the store knows which ids pass a filter, so that a new tag counts
from the next search on and costs the server nothing.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_IDS", "Runs"]

MOST_IDS = 16_384
"""Ids per expression: text of about 150 kB, which the server parses in some milliseconds."""
MOST_RANGES = 128
"""Ranges per expression."""
LEAST_RANGE = 8
"""Fewer ids than this are listed, even if they follow one another."""


class Runs(NamedTuple):
    """Ids, ascending, as runs of ids that follow one another, as those of a folder do, and single ones.

    lows, highs: the first and the last id of each long run, (r,). single: the others (m,).
    """

    lows: NDArray[np.int64]
    highs: NDArray[np.int64]
    single: NDArray[np.int64]

    @classmethod
    def of(cls, ids: NDArray[np.int64]) -> Self:
        """Find the runs of `ids` (n,), ascending."""
        starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 2) != 1)
        lengths = np.diff(starts, append=len(ids))
        long = lengths >= LEAST_RANGE
        lows = ids[starts[long]]
        return cls(lows, lows + lengths[long] - 1, ids[~np.repeat(long, lengths)])

    def expressions(self) -> list[str]:
        """Return expressions that select the ids; each id is selected by one of them.

        >>> Runs.of(np.array([3, 5, *range(10, 90)])).expressions()
        ['((id >= 10 and id <= 89) or id in [3, 5])']
        """
        pairs = zip(self.lows.tolist(), self.highs.tolist(), strict=True)
        ranges = [f"(id >= {low} and id <= {high})" for low, high in pairs]
        found = [ranges[at : at + MOST_RANGES] for at in range(0, len(ranges), MOST_RANGES)]
        lists = [f"id in {self.single[at : at + MOST_IDS].tolist()}" for at in range(0, len(self.single), MOST_IDS)]
        if found and lists:
            found[-1].append(lists.pop(0))
        return [*map(_any_of, found), *lists]

    def characters(self) -> int:
        """Return how long the expressions are together, nearly, without writing them.

        >>> Runs.of(np.array([3, 5, *range(10, 90)])).characters(), len("(id >= 10 and id <= 89) or id in [3, 5]")
        (33, 39)
        """
        digits = _digits(self.lows) + _digits(self.highs) + _digits(self.single)
        return digits + len("(id >=  and id <= ) or ") * len(self.lows) + len(", ") * len(self.single)


def _digits(numbers: NDArray[np.int64]) -> int:
    """Return how many digits numbers above 0 (n,), ascending, have together."""
    smaller = np.searchsorted(numbers, [10**power for power in range(1, 19)])
    return int(len(numbers) + (len(numbers) - smaller).sum())


def _any_of(parts: list[str]) -> str:
    """Return an expression that selects what any of `parts` does, joined two by two.

    One after the other, each would be nested one deeper, and Milvus 2.3.5 refuses 49 ranges.
    """
    while len(parts) > 1:
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        parts = [f"({' or '.join(pair)})" if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]

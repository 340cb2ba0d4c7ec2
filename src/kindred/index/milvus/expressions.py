"""Filters for Milvus: expressions that select the rows with given ids.

Tags, folders and dates are not copied to the server: the store knows which ids pass a filter, so that a new tag counts
from the next search on and costs the server nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_IDS", "expressions"]

MOST_IDS = 16_384
"""Ids per expression: text of about 150 kB, which the server parses in some milliseconds."""
MOST_RANGES = 128
"""Ranges per expression."""
LEAST_RANGE = 8
"""Fewer ids than this are listed, even if they follow one another."""


def expressions(ids: NDArray[np.int64]) -> list[str]:
    """Return expressions that select `ids` (n,), ascending; each id is selected by one of them.

    Ids that follow one another, as those of a folder do, are a range.

    >>> expressions(np.array([3, 5, *range(10, 90)]))
    ['((id >= 10 and id <= 89) or id in [3, 5])']
    """
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 2) != 1)
    lengths = np.diff(starts, append=len(ids))
    long = lengths >= LEAST_RANGE
    lows, counts = ids[starts[long]].tolist(), lengths[long].tolist()
    ranges = [f"(id >= {low} and id <= {low + count - 1})" for low, count in zip(lows, counts, strict=True)]
    single = ids[~np.repeat(long, lengths)]
    found = [ranges[at : at + MOST_RANGES] for at in range(0, len(ranges), MOST_RANGES)]
    lists = [f"id in {single[at : at + MOST_IDS].tolist()}" for at in range(0, len(single), MOST_IDS)]
    if found and lists:
        found[-1].append(lists.pop(0))
    return [*map(_any_of, found), *lists]


def _any_of(parts: list[str]) -> str:
    """Return an expression that selects what any of `parts` does, joined two by two.

    One after the other, each would be nested one deeper, and Milvus 2.3.5 refuses more than some fifty levels.
    """
    while len(parts) > 1:
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        parts = [f"({' or '.join(pair)})" if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]

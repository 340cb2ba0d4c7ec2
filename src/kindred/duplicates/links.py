"""Links between images, and the connected groups that they form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["LINK", "DisjointSets", "Forest", "Links", "grouped_by", "make_links"]

SPARE_LINKS = 1 << 20
"""Redundant links collected before they are dropped."""

Links = NDArray[np.void]
LINK = np.dtype([("one", np.int64), ("other", np.int64), ("score", np.float32)])
"""Two images by id, and their similarity."""

Link = TypeVar("Link")


def make_links(one: NDArray[np.int64], other: NDArray[np.int64], score: NDArray[np.float32] | float) -> Links:
    """Return links (n,) between ids (n,), or one id, and ids (n,)."""
    links = np.empty(len(other), LINK)
    links["one"], links["other"], links["score"] = one, other, score
    return links


class DisjointSets:
    """Disjoint sets of ids: union-find with path halving (Tarjan and van Leeuwen 1984)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def find(self, one: int) -> int:
        """Return the representative id of the set of `one`."""
        parent = self._parent
        while (above := parent.setdefault(one, one)) != one:
            parent[one] = one = parent[above]
        return one

    def join(self, one: int, other: int) -> bool:
        """Merge the sets of two ids; return whether they were different."""
        one, other = self.find(one), self.find(other)
        self._parent[max(one, other)] = min(one, other)
        return one != other


class Forest:
    """Collects links and keeps a maximum spanning forest of them (Kruskal 1956)."""

    def __init__(self) -> None:
        self._links = np.empty(0, LINK)
        self._spare: list[Links] = []

    def add(self, links: Links) -> None:
        """Add links, in any order."""
        self._spare.append(links)
        if sum(map(len, self._spare)) > SPARE_LINKS:
            self.strongest()

    def strongest(self) -> Links:
        """Return the links of the maximum spanning forest, the strongest first."""
        links = np.concatenate([self._links, *self._spare])
        links = links[np.argsort(-links["score"], kind="stable")]
        joined = DisjointSets()
        kept = [joined.join(*ends) for ends in zip(links["one"].tolist(), links["other"].tolist(), strict=True)]
        self._links, self._spare = links[np.array(kept, bool)], []
        return self._links


def grouped_by(links: Iterable[Link], ends: Callable[[Link], tuple[int, int]]) -> list[list[Link]]:
    """Return the links of each connected group, in their order."""
    links, joined = list(links), DisjointSets()
    for link in links:
        joined.join(*ends(link))
    groups: dict[int, list[Link]] = {}
    for link in links:
        groups.setdefault(joined.find(ends(link)[0]), []).append(link)
    return list(groups.values())

"""Links between images, and the connected groups that they form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LINK",
    "DisjointSets",
    "Forest",
    "Links",
    "Pairs",
    "among",
    "grouped_by",
    "make_links",
    "permitted",
    "replaced",
]

SPARE_LINKS = 1 << 20
"""Redundant links collected before they are dropped."""

Links = NDArray[np.void]
LINK = np.dtype([("one", np.int64), ("other", np.int64), ("score", np.float32)])
"""Two images by id, and their similarity."""

Pairs = Collection[tuple[int, int]]
"""Pairs of images by id that are not the same."""

Link = TypeVar("Link")


def make_links(one: NDArray[np.int64], other: NDArray[np.int64], score: NDArray[np.float32] | float) -> Links:
    """Return links (n,) between ids (n,), or one id, and ids (n,)."""
    links = np.empty(len(other), LINK)
    links["one"], links["other"], links["score"] = one, other, score
    return links


def replaced(links: Links, by: Mapping[int, int]) -> Links:
    """Return links with each id of `by` replaced by another, without those that then link an id with itself."""
    found = links.copy()
    for end in ("one", "other"):
        found[end] = [by.get(each, each) for each in links[end].tolist()]
    kept: Links = found[found["one"] != found["other"]]
    return kept


def among(links: Links, ids: Collection[int]) -> Links:
    """Return the links of which both ends are among `ids`."""
    known = list(ids)
    kept: Links = links[np.isin(links["one"], known) & np.isin(links["other"], known)]
    return kept


class DisjointSets:
    """Disjoint sets of ids: union-find with path halving (Tarjan and van Leeuwen 1984).

    apart: pairs of ids of which `may_join` never lets two come into one set.
    """

    def __init__(self, apart: Pairs = ()) -> None:
        self._parent: dict[int, int] = {}
        self._apart: dict[int, set[int]] = {}  # by representative, the representatives that it may not join
        for one, other in apart:
            self._apart.setdefault(one, set()).add(other)
            self._apart.setdefault(other, set()).add(one)

    def find(self, one: int) -> int:
        """Return the representative id of the set of `one`."""
        parent = self._parent
        while (above := parent.setdefault(one, one)) != one:
            parent[one] = one = parent[above]
        return one

    def join(self, one: int, other: int) -> bool:
        """Merge the sets of two ids; return whether they were different."""
        kept, gone = sorted((self.find(one), self.find(other)))
        self._parent[gone] = kept
        if kept != gone and gone in self._apart:
            for mate in self._apart.pop(gone):
                self._apart[mate].discard(gone)
                self._apart[mate].add(kept)
                self._apart.setdefault(kept, set()).add(mate)
        return kept != gone

    def may_join(self, one: int, other: int) -> bool:
        """Return whether the sets of two ids are the same, or may become one."""
        return self.find(other) not in self._apart.get(self.find(one), ())


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


def permitted(links: Sequence[Link], ends: Callable[[Link], tuple[int, int]], apart: Pairs) -> list[Link]:
    """Return the links that connect no pair of `apart`, not even over others; of two that would, the first remains."""
    if not apart:
        return list(links)
    joined, kept = DisjointSets(apart), list[Link]()
    for link in links:
        if joined.may_join(*ends(link)):
            joined.join(*ends(link))
            kept.append(link)
    return kept

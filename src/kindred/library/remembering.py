"""What a library remembers for its users: images that are not the same, and saved searches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import combinations, product

import numpy as np

from kindred.errors import UsageError
from kindred.library.editing import Images
from kindred.library.paths import keys_of
from kindred.store import Key, SavedSearch, Store

__all__ = ["MOST_PAIRS", "Remembering"]

MOST_PAIRS = 50_000
"""Maximum number of pairs that one call marks: those of 316 images with each other."""


class Remembering(ABC):
    """The methods of a library that remember decisions. Images are given by path or id."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store: images, vectors, tags, metadata and runs."""

    def not_same(self) -> list[tuple[str, str]]:
        """Return the pairs of images, by id, that were marked as not the same."""
        pairs = self.store.not_same()
        rows = self.store.images(np.unique(pairs).tolist())
        return [(rows[one].uid, rows[other].uid) for one, other in pairs.tolist() if one in rows and other in rows]

    def mark_not_same(self, images: Images, others: Images | None = None) -> int:
        """Mark images as not the same: each with each of `others`, or else all with each other; return how many pairs.

        `find_duplicates` never puts two of them into one group. The marks stay when images are moved or described
        again, and are removed with the images. Raises `UsageError` for more than `MOST_PAIRS` pairs.
        """
        return self.store.set_not_same(_pairs(images, others))

    def unmark_not_same(self, images: Images, others: Images | None = None) -> int:
        """Remove the marks of `mark_not_same`; return how many pairs had one."""
        return self.store.unset_not_same(_pairs(images, others))

    def saved_searches(self) -> list[SavedSearch]:
        """Return the saved searches, ordered by name."""
        return self.store.saved_searches()

    def save_search(self, name: str, search: Mapping[str, object]) -> SavedSearch:
        """Save a search, a JSON object, by name, in place of one of the same name.

        Raises `UsageError` for an invalid name, an object of more than 64 kB, and for more than 1,000 searches.
        """
        return self.store.save_search(name, search)

    def remove_search(self, uid: str) -> bool:
        """Remove a saved search by id; return whether there was one."""
        return self.store.remove_search(uid)


def _pairs(images: Images, others: Images | None) -> list[tuple[Key, Key]]:
    """Return the pairs of images with each other, or with `others`."""
    first = keys_of(images)
    second = first if others is None else keys_of(others)
    count = len(first) * (len(first) - 1) // 2 if others is None else len(first) * len(second)
    if count > MOST_PAIRS:
        raise UsageError(f"got {count:,} pairs of images; expected at most {MOST_PAIRS:,} at a time")
    return list(combinations(first, 2) if others is None else product(first, second))

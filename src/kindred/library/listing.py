"""Listing the images of a library, all or some, in an order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_whole
from kindred.library.editing import record_of
from kindred.library.paths import located_filter
from kindred.library.results import ImageRecord
from kindred.store import Filter, Order, Sort, Store, position_from, position_text

__all__ = ["ImagePage", "Layout", "Listing"]

PAGE = 500
EVERYTHING = Filter()


@dataclass(frozen=True)
class ImagePage:
    """A part of a listing: records of images, how many the whole listing has, and the text by which it goes on.

    next: to be given as `after`; None at the end.
    """

    images: tuple[ImageRecord, ...]
    total: int
    next: str | None


class Layout(NamedTuple):
    """What laying out many images needs: ids, and sizes (n, 2) int32 in pixels of the upright originals, 0 if unknown.

    total and next are as in `ImagePage`.
    """

    ids: tuple[str, ...]
    sizes: NDArray[np.int32]
    total: int
    next: str | None


class Listing(ABC):
    """The methods of a library that list its images. `where` is a filter; None lists all images."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store: images, vectors, tags, metadata and runs."""

    def images(
        self, where: Filter | None = None, *, sort: Sort = "added", descending: bool = False
    ) -> Iterator[ImageRecord]:
        """Yield the records of the images that match, as they were added, by day taken, or by path.

        Images without a date of their own are ordered by the time of their file. The library may change meanwhile.
        """
        after: str | None = None
        while True:
            page = self.image_page(where, sort=sort, descending=descending, after=after, limit=PAGE)
            yield from page.images
            after = page.next
            if after is None:
                return

    def image_page(
        self,
        where: Filter | None = None,
        *,
        sort: Sort = "added",
        descending: bool = False,
        after: str | None = None,
        limit: int = 100,
    ) -> ImagePage:
        """Return up to `limit` of the images that `images` yields, from the position `after` on.

        Raises `UsageError` for an `after` that is not the `next` of a page in the same order.
        """
        layout = self.layout(where, sort=sort, descending=descending, after=after, limit=limit)
        rows = self.store.by_uid(layout.ids)
        records = tuple(record_of(rows[uid]) for uid in layout.ids if uid in rows)
        return ImagePage(records, layout.total, layout.next)

    def layout(
        self,
        where: Filter | None = None,
        *,
        sort: Sort = "added",
        descending: bool = False,
        after: str | None = None,
        limit: int = 10_000,
    ) -> Layout:
        """Return ids and sizes of up to `limit` images, in the order of `images`, from the position `after` on."""
        check_whole(limit=limit)
        order, wanted = Order(sort, descending), located_filter(where or EVERYTHING)
        position = None if after is None else position_from(after, order)
        found = self.store.listed(wanted, order, after=position, limit=limit)
        following = None if found.next is None else position_text(found.next)
        return Layout(found.uids, found.sizes, self.store.count(wanted), following)

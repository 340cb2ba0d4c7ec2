"""Client: a library on a server, with the verbs of `kindred.Library`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from kindred.client.changing import Changing
from kindred.client.connection import Connection, Parameters
from kindred.client.receiving import record_of
from kindred.client.searching import Searching
from kindred.client.sending import filter_parameters
from kindred.library import ImagePage, ImageRecord, Layout
from kindred.service import ImageForm, ImagePageForm, LayoutForm, SkipsForm
from kindred.service.reading import read_form
from kindred.store import Filter, Sort

__all__ = ["Client"]

Thumbnail = Literal[64, 128, 256, 512, 1600]


class Client(Changing, Searching):
    """A library on a server, used like a `Library`; it is a context manager, and may be used by several threads.

    Paths of images of the library are those of the server; query images are files here, and are sent. Images can be
    named by id everywhere. Raises the errors of `Library`, and `ServerError` if the server cannot be reached.
    """

    def __init__(
        self, address: str = "http://127.0.0.1:7700", *, token: str | None = None, timeout: float = 60.0
    ) -> None:
        """Prepare a client of the server at `address`; nothing is sent yet.

        token: that of the server, if it has one. timeout: seconds without an answer.
        """
        self.connection = Connection(address, token=token, timeout=timeout)

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.connection.address!r}>"

    def __len__(self) -> int:
        return self.info().images

    def skipped(self) -> list[tuple[Path, str]]:
        """List the files that could not be used, with the reason."""
        found: list[tuple[Path, str]] = []
        after: int | None = 0
        while after is not None:
            page = read_form(SkipsForm, self.connection.get("/library/skipped", {"limit": 1000, "after": after}))
            found += [(skip.path, skip.reason) for skip in page.skipped]
            after = page.next
        return found

    def get(self, image: Path | str) -> ImageRecord:
        """Return the record of an image. Raises `UsageError` if the library does not contain it."""
        return record_of(read_form(ImageForm, self.connection.get(f"/images/{self._id(image)}")))

    def images(
        self, where: Filter | None = None, *, sort: Sort = "added", descending: bool = False
    ) -> Iterator[ImageRecord]:
        """Yield the records of the images that match, as they were added, by day taken, or by path."""
        after: str | None = None
        while True:
            page = self.image_page(where, sort=sort, descending=descending, after=after, limit=500)
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
        """Return up to `limit` (500 at most) of the images that `images` yields, from the position `after` on."""
        asked = _listing(where, sort, descending=descending, after=after, limit=limit)
        page = read_form(ImagePageForm, self.connection.get("/images", asked))
        return ImagePage(tuple(map(record_of, page.images)), page.total, page.next)

    def layout(
        self,
        where: Filter | None = None,
        *,
        sort: Sort = "added",
        descending: bool = False,
        after: str | None = None,
        limit: int = 10_000,
    ) -> Layout:
        """Return ids of up to `limit` images, in the order of `images`, from the position `after` on.

        Their sizes have the ratios of the originals, with a height of 1,000.
        """
        asked = _listing(where, sort, descending=descending, after=after, limit=limit)
        found = read_form(LayoutForm, self.connection.get("/images/layout", asked))
        sizes = np.array([[round(1000 * aspect), 1000] for aspect in found.aspect], np.int32).reshape(-1, 2)
        return Layout(found.ids, sizes, found.total, found.next)

    def thumbnail(self, image: Path | str, size: Thumbnail = 256) -> bytes:
        """Return a thumbnail of an image as WebP, whose longer side has at most `size` pixels."""
        return self.connection.content(f"/images/{self._id(image)}/thumbnail", {"size": size})

    def file(self, image: Path | str) -> bytes:
        """Return the content of the file of an image."""
        return self.connection.content(f"/images/{self._id(image)}/file")


def _listing(where: Filter | None, sort: Sort, *, descending: bool, after: str | None, limit: int) -> Parameters:
    """Return a part of a listing as parameters of an address."""
    order = "desc" if descending else "asc"
    return {**filter_parameters(where), "sort": sort, "order": order, "after": after, "limit": limit}

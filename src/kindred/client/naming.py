"""Naming images to a server: by id, or by their paths there."""

from __future__ import annotations

from pathlib import Path

from kindred.client.connection import Connection
from kindred.errors import UsageError
from kindred.library.editing import Images
from kindred.library.paths import listed_paths
from kindred.service import LookupForm
from kindred.service.reading import read_form
from kindred.store import is_uid

__all__ = ["MOST_IDS", "Naming"]

MOST_IDS = 10_000
"""Images that one request names."""


class Naming:
    """What the verbs of a client have in common: a connection, and the ids of images."""

    connection: Connection

    def _id(self, image: Path | str) -> str:
        (uid,) = self._ids([image])
        if uid is None:
            raise UsageError(f"{image} is not an image of this library; index it first, or give another path or id")
        return uid

    def _ids(self, images: Images) -> list[str | None]:
        """Return the ids of images given by id or by their path on the server; None for what it does not have."""
        given = listed_paths(images)
        paths = [str(each) for each in given if not (isinstance(each, str) and is_uid(each))]
        known: dict[str, str | None] = {}
        for start in range(0, len(paths), MOST_IDS):
            chunk = paths[start : start + MOST_IDS]
            found = read_form(LookupForm, self.connection.post("/images/lookup", {"paths": chunk}))
            known |= dict(zip(chunk, found.ids, strict=True))
        return [each if isinstance(each, str) and is_uid(each) else known[str(each)] for each in given]

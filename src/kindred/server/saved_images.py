"""The query images of saved searches: copies in a folder of the library, for as long as a saved search names them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kindred._support.files import is_link, replacing
from kindred.server.problems import Problem
from kindred.store import SavedSearch

if TYPE_CHECKING:
    from kindred.server.state import State

__all__ = ["FOLDER", "SavedImages", "uploads_in"]

LOG = logging.getLogger("kindred.server")

FOLDER = "saved"
NAMED = re.compile(r'(?:\bu\.|"upload":\s?")([0-9a-f]{32})(?![0-9a-f])')
"""How a saved search names an upload: as part of an address of the page, or of a search of the API."""


def uploads_in(search: str) -> set[str]:
    """Return the ids of the uploads that a search, as JSON text, names.

    >>> sorted(uploads_in('{"address": "q=u.00112233445566778899aabbccddeeff&tag=sea"}'))
    ['00112233445566778899aabbccddeeff']
    """
    return set(NAMED.findall(search))


class SavedImages:
    """The query images of the saved searches of one library; of bounded total size (`ServerSettings.saved_bytes`)."""

    def __init__(self, here: State) -> None:
        self._folder, self._most = here.library.path / FOLDER, here.settings.saved_bytes
        self._lock = threading.Lock()

    def find(self, upload: str) -> Path | None:
        """Return the file of an upload that a saved search names; None if there is none."""
        file = self._folder / upload
        if not re.fullmatch("[0-9a-f]{32}", upload) or is_link(self._folder) or is_link(file) or not file.is_file():
            return None
        return file

    def store(self, uploads: Iterable[tuple[str, Path]]) -> None:
        """Store copies of uploads, given by id and file; raises a problem if there is no room for them."""
        with self._lock:
            new = [(upload, file) for upload, file in uploads if self.find(upload) is None]
            if not new:
                return
            total = sum(file.stat().st_size for _, file in new) + sum(file.stat().st_size for file in self._files())
            if total > self._most or is_link(self._folder):
                detail = f"the images of saved searches would take more than {self._most >> 20} MB"
                raise Problem(507, detail, title="No room for saved images", hint="remove a saved search first")
            self._folder.mkdir(exist_ok=True)
            for upload, file in new:
                with replacing(self._folder / upload) as part:
                    part.write_bytes(file.read_bytes())

    def release(self, searches: Sequence[SavedSearch]) -> None:
        """Delete the images that none of these searches, all that are saved, names."""
        named = {upload for each in searches for upload in uploads_in(each.search)}
        with self._lock:
            for file in self._files():
                if file.name not in named:
                    with suppress(OSError):
                        file.unlink()

    def _files(self) -> list[Path]:
        if is_link(self._folder):
            return []
        return [file for file in self._folder.glob("*") if re.fullmatch("[0-9a-f]{32}", file.name)]

"""Exports that were prepared and wait to be downloaded, so that a browser can save them without holding them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kindred.server.files import open_original
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service.export import as_csv, as_json, as_zip

__all__ = ["MOST_ZIPPED", "Export", "ExportFormat", "Exports"]

ExportFormat = Literal["csv", "json", "zip"]

MOST_ZIPPED = 20_000  # files of one archive, whose table of contents is held in memory
MOST_WAITING = 50
SECONDS = 600.0

TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "zip": "application/zip"}


@dataclass(frozen=True)
class Export:
    """The images of an export, by id, and its format."""

    ids: tuple[str, ...]
    format: ExportFormat

    def __post_init__(self) -> None:
        """Raise a problem for too many files."""
        if self.format == "zip" and len(self.ids) > MOST_ZIPPED:
            raise Problem(
                413, f"a zip has at most {MOST_ZIPPED:,} files", hint="select fewer images, or export a table"
            )

    @property
    def media_type(self) -> str:
        """The type of the file."""
        return TYPES[self.format]

    @property
    def file_name(self) -> str:
        """The name under which it is saved."""
        return f"kindred-images.{self.format}"

    def pieces(self, here: State) -> Iterator[bytes]:
        """Yield the content of the file."""
        if self.format == "zip":
            return as_zip(here.library, self.ids, lambda path: open_original(here, path))
        text = as_csv(here.library, self.ids) if self.format == "csv" else as_json(here.library, self.ids)
        return (piece.encode() for piece in text)


class Exports:
    """The exports that wait, each for ten minutes; a part of the state of a server."""

    def __init__(self, _: State | None = None) -> None:
        self._waiting: dict[str, tuple[float, Export]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Forget all."""
        self._waiting.clear()

    def keep(self, export: Export) -> str:
        """Keep an export and return its id."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._forget_old()
            self._waiting[key] = (time.monotonic(), export)
        return key

    def get(self, key: str) -> Export:
        """Return an export by id; raises a problem if there is none any more."""
        with self._lock:
            self._forget_old()
            found = self._waiting.get(key)
        if found is None:
            raise Problem(404, "there is no such export any more", hint="export the images again")
        return found[1]

    def _forget_old(self) -> None:
        since = time.monotonic() - SECONDS
        kept = {key: each for key, each in self._waiting.items() if each[0] >= since}
        self._waiting = dict(list(kept.items())[-MOST_WAITING:])

"""The files of removals: what a library knew about images that were removed from it, in a folder of the library.

The first line of a file is about the removal, each further one about an image, all JSON. A file is written before its
images are removed, so that none is lost if the server ends in between; adding an image again twice changes nothing.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from kindred._support.files import is_link, read_bounded, replacing
from kindred.service.form import json_text, plain
from kindred.store import Row, Value, is_uid
from kindred.store.filters import checked_metadata, from_stored

__all__ = ["MOST_IMAGES", "MOST_REMOVALS", "Removal", "RemovalFiles", "Removed"]

LOG = logging.getLogger("kindred.server")

FOLDER, VERSION = "removals", 1
MOST_REMOVALS, MOST_IMAGES = 20, 200_000
"""How many removals are stored, and how many images they have together; the oldest are forgotten first."""
MOST_BYTES = 1 << 28
NAMED = 3


@dataclass(frozen=True)
class Removed:
    """What the library knew about an image beside its descriptors."""

    path: Path
    uid: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Value]

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return what is known of an image."""
        return cls(row.path, row.uid, row.tags, row.metadata)

    def to_line(self) -> str:
        """Return the line of a file."""
        metadata = checked_metadata(self.metadata)
        return json_text([str(self.path), self.uid, list(self.tags), plain(metadata)])

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return what `to_line` wrote; raises ValueError for anything else."""
        path, uid, tags, metadata = json.loads(line)
        texts = all(isinstance(each, str) for each in (path, *tags))
        if not texts or not is_uid(uid) or not Path(path).is_absolute():
            raise ValueError("not an image")
        values = {str(key): from_stored(kind, value) for key, (kind, value) in metadata.items()}
        return cls(Path(path), uid, tuple(tags), values)


@dataclass(frozen=True)
class Removal:
    """A removal: its id, when it was (UTC, ISO), how many images it has, and the names of the first ones."""

    id: str
    at: str
    images: int
    names: tuple[str, ...]


class RemovalFiles:
    """The removals of a library that can be undone. `library` is its identifier; files of another one are ignored."""

    def __init__(self, library_folder: Path, library: str) -> None:
        self._folder, self._library = library_folder / FOLDER, library

    def write(self, images: Sequence[Removed]) -> str | None:
        """Store a removal and return its id; None if there are too many images, or they cannot be stored."""
        if not images or len(images) > MOST_IMAGES or is_link(self._folder):
            return None
        key = secrets.token_hex(8)
        try:
            self._folder.mkdir(exist_ok=True)
            self._write(key, datetime.now(UTC).isoformat(), images)
        except OSError as error:  # a full disk
            LOG.warning("a removal cannot be undone later, as it cannot be stored: %s", error)
            return None
        self._forget_old()
        return key

    def all(self) -> list[Removal]:
        """Return all removals, newest first."""
        found = (self._removal(file) for file in self._files())
        return sorted((each for each in found if each is not None), key=lambda each: each.at, reverse=True)

    def images(self, key: str) -> list[Removed] | None:
        """Return the images of a removal; None if there is none with this id."""
        if not re.fullmatch("[0-9a-f]{16}", key):
            return None
        lines = self._lines(self._file(key))
        if next(lines, None) is None or self._removal(self._file(key)) is None:
            return None
        found = []
        for line in lines:
            with suppress(ValueError, TypeError, AttributeError):
                found.append(Removed.from_line(line))
        return found

    def reduce(self, key: str, images: Sequence[Removed]) -> None:
        """Leave only these images to a removal; without any it is forgotten."""
        removal = self._removal(self._file(key))
        if removal is None:
            return
        with suppress(OSError):
            if images:
                self._write(key, removal.at, images)
            else:
                self._file(key).unlink()

    def forget(self, key: str) -> None:
        """Forget a removal."""
        with suppress(OSError):
            self._file(key).unlink()

    def _write(self, key: str, at: str, images: Sequence[Removed]) -> None:
        names = [each.path.name for each in images[:NAMED]]
        about = {"version": VERSION, "library": self._library, "at": at, "images": len(images), "names": names}
        with replacing(self._file(key)) as part, part.open("xb") as stream:
            stream.write(json_text(about).encode() + b"\n")
            stream.writelines(each.to_line().encode() + b"\n" for each in images)

    def _forget_old(self) -> None:
        removals, images = self.all(), 0
        for place, each in enumerate(removals):
            images += each.images
            if place >= MOST_REMOVALS or images > MOST_IMAGES:
                self.forget(each.id)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.jsonl"

    def _files(self) -> list[Path]:
        if is_link(self._folder):
            return []
        return [file for file in self._folder.glob("*.jsonl") if re.fullmatch("[0-9a-f]{16}", file.stem)]

    def _lines(self, file: Path) -> Iterator[bytes]:
        if is_link(self._folder) or is_link(file):
            return
        with suppress(OSError):
            yield from read_bounded(file, MOST_BYTES).splitlines()

    def _removal(self, file: Path) -> Removal | None:
        """Return what the first line of a file says; None if it is no removal of this library."""
        try:
            if is_link(file):
                return None
            with file.open("rb") as stream:
                about = json.loads(stream.readline(1 << 16))
            if (about["version"], about["library"]) != (VERSION, self._library):
                return None
            names = tuple(str(name) for name in about["names"][:NAMED])
            datetime.fromisoformat(about["at"])
            return Removal(file.stem, about["at"], int(about["images"]), names)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

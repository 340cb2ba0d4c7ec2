"""Editing of the entries of a library: tags, metadata and paths of its images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kindred.errors import UsageError
from kindred.library.paths import is_missing, keys_of, located
from kindred.library.results import ImageRecord
from kindred.store import Key, Row, Store, Value

__all__ = ["Editing", "Images", "listed"]

Images = Path | str | Iterable[Path | str]
"""Images of a library: by path, or by id (a `str` of 16 hexadecimal digits), one or several."""


class Editing(ABC):
    """The methods of a library that edit its entries. Images are given by path or id."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store: images, vectors, tags, metadata and runs."""

    def get(self, image: Path | str) -> ImageRecord:
        """Return the record of an image. Raises `UsageError` where it holds no such image."""
        (key,) = keys_of(image)
        row = self._rows([key]).get(key)
        if row is None:
            raise UsageError(f"holds no image {image}; kindred index adds images, and search results give their ids")
        return _record(row)

    def remove(self, images: Images) -> int:
        """Remove images with their tags and metadata; the files stay. Return how many were in the library."""
        return self.store.forget(keys_of(images))

    def tag(self, images: Images, tag: str | Iterable[str]) -> int:
        """Add one or several tags to images; return how many of them are in the library."""
        keys, store = keys_of(images), self.store
        with store.writing():
            return max((store.tag(keys, each) for each in listed(tag)), default=0)

    def untag(self, images: Images, tag: str | Iterable[str]) -> int:
        """Remove one or several tags from images; return how many images had the commonest of them."""
        keys, store = keys_of(images), self.store
        with store.writing():
            return max((store.untag(keys, each) for each in listed(tag)), default=0)

    def set_metadata(self, images: Images, values: Mapping[str, Value]) -> int:
        """Set metadata of images, such as {"price": 20, "maker": "Leica"}; other keys stay.

        Values are text, finite numbers or dates. Return how many of the images are in the library. Raises `UsageError`
        for another value, a key that is not a word, and for too many or too long ones.
        """
        return self.store.set_metadata(keys_of(images), values)

    def unset_metadata(self, images: Images, keys: str | Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        return self.store.unset_metadata(keys_of(images), listed(keys))

    def import_metadata(self, file: Path | str) -> tuple[int, list[str]]:
        """Set metadata from a CSV or JSON file, as `kindred.library.metadata.read_metadata` reads it, all or nothing.

        Return how many images are in the library, and the names in the file that are those of none. Raises
        `UsageError` where the file cannot be read or a value cannot be stored.
        """
        from kindred.library.metadata import read_metadata  # not at once: no search reads a table

        entries = read_metadata(Path(file))
        unknown: list[str] = []
        with self.store.writing():
            for key, values in entries:
                if not self.store.set_metadata([key], values):
                    unknown.append(str(key))
        return len(entries) - len(unknown), unknown

    def move(self, old: Path | str, new: Path | str) -> int:
        """Note that an image, or a folder with all images in it, lies elsewhere now; return the number of images.

        Nothing is described, and no file is looked at. Where an image of the same content was indexed at its new
        path meanwhile, the older one stays, with the tags and metadata of both. Raises `UsageError`, and changes
        nothing, where another image is known at a new path, or where the library holds none at `old`.
        """
        source, target = located(old), located(new)
        count = self.store.move(source, target)
        if not count:
            raise UsageError(f"move: no image of this library lies at {source}; kindred info lists its folders")
        return count

    def _rows(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return what is known of images, by what they were called."""
        paths = self.store.lookup(key for key in keys if isinstance(key, Path))
        by_uid = self.store.by_uid([key for key in keys if isinstance(key, str)])
        by_number = self.store.images(known.id for known in paths.values())
        found: dict[Key, Row] = {path: by_number[known.id] for path, known in paths.items() if known.id in by_number}
        return found | by_uid


def listed(words: str | Iterable[str]) -> list[str]:
    """Return one word as a list of one, not of its letters."""
    return [words] if isinstance(words, str) else list(words)


def _record(row: Row) -> ImageRecord:
    return ImageRecord(
        id=row.uid,
        path=row.path,
        width=row.width,
        height=row.height,
        taken=row.taken,
        tags=row.tags,
        metadata=row.metadata,
        frames=row.frames,
        frame=row.frame,
        missing=is_missing(row.path),
    )

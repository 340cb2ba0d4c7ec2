"""Editing of the entries of a library: tags, metadata and paths of its images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kindred.errors import UsageError
from kindred.library.paths import absolute, is_missing, keys_of, located
from kindred.library.results import ImageRecord
from kindred.store import Filter, Key, Row, Store, Value

__all__ = ["Editing", "Images", "listed", "record_of"]

Images = Path | str | Iterable[Path | str]
"""Images of a library: by path, or by id (a `str` of 16 hexadecimal digits), one or several."""


class Editing(ABC):
    """The methods of a library that edit its entries. Images are given by path or id."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store: images, vectors, tags, metadata and runs."""

    def get(self, image: Path | str) -> ImageRecord:
        """Return the record of an image. Raises `UsageError` if the library does not contain it."""
        (key,) = keys_of(image)
        row = self._rows([key]).get(key)
        if row is None:
            raise UsageError(f"{image} is not an image of this library; index it first, or give another path or id")
        return record_of(row)

    def remove(self, images: Images) -> int:
        """Remove images, with tags and metadata, from the library, not from the disk; return their number."""
        return self.store.forget(keys_of(images))

    def tag(self, images: Images, tag: str | Iterable[str]) -> int:
        """Add one or several tags to images; return how many of them are in the library."""
        keys, store = keys_of(images), self.store
        with store.writing():
            return max((store.tag(keys, each) for each in listed(tag)), default=0)

    def untag(self, images: Images, tag: str | Iterable[str]) -> int:
        """Remove one or several tags from images; return how many images had the most frequent of them."""
        keys, store = keys_of(images), self.store
        with store.writing():
            return max((store.untag(keys, each) for each in listed(tag)), default=0)

    def rename_tag(self, tag: str, to: str | None) -> int:
        """Give another name to a tag, everywhere, or remove it (None); return how many images had it.

        If the other name is in use, its images are joined with these.
        """
        store = self.store
        with store.writing():
            had = [row.uid for row in store.images(store.select_images(Filter(tags=(tag,))).tolist()).values()]
            if to is not None and had and to != tag:
                store.tag(had, to)
            if to != tag:
                store.untag(had, tag)
        return len(had)

    def set_metadata(self, images: Images, values: Mapping[str, Value]) -> int:
        """Set metadata of images, such as {"price": 20, "maker": "Leica"}; other keys are unchanged.

        Values are text, finite numbers or dates. Returns how many of the images are in the library. Raises `UsageError`
        for other types of value, for invalid keys, and for too many or too long ones.
        """
        return self.store.set_metadata(keys_of(images), values)

    def unset_metadata(self, images: Images, keys: str | Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        return self.store.unset_metadata(keys_of(images), listed(keys))

    def import_metadata(self, file: Path | str) -> tuple[int, list[str]]:
        """Set metadata from a CSV or JSON file, in one transaction; see `kindred.library.metadata.read_metadata`.

        Returns how many of its images are in the library, and the names of the others. Raises `UsageError` if the file
        cannot be read or a value cannot be stored; then nothing is changed.
        """
        from kindred.library.metadata import read_metadata  # loaded late: no search needs it

        entries = read_metadata(absolute(file))
        unknown: list[str] = []
        with self.store.writing():
            for key, values in entries:
                if not self.store.set_metadata([key], values):
                    unknown.append(str(key))
        return len(entries) - len(unknown), unknown

    def move(self, old: Path | str, new: Path | str) -> int:
        """Record that an image, or a folder with all its images, has been moved; return the number of images.

        No image is described again, and no file is read. If a file with the same content has been indexed at the new
        path in the meantime, the older image remains, with the tags and metadata of both. Raises `UsageError`, and
        changes nothing, if another image is already at a new path, or if the library has none at `old`.
        """
        source, target = located(old), located(new)
        count = self.store.move(source, target)
        if not count:
            raise UsageError(f"move: the library has no image at {source}; kindred info lists its folders")
        return count

    def _rows(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the records of images by the given key, path or id."""
        paths = self.store.lookup(key for key in keys if isinstance(key, Path))
        by_uid = self.store.by_uid([key for key in keys if isinstance(key, str)])
        by_number = self.store.images(known.id for known in paths.values())
        found: dict[Key, Row] = {path: by_number[known.id] for path, known in paths.items() if known.id in by_number}
        return found | by_uid


def listed(words: str | Iterable[str]) -> list[str]:
    """Return a list of words; a single `str` is one word, not a sequence of letters."""
    given = words if isinstance(words, Iterable) and not isinstance(words, str) else [words]
    if wrong := [word for word in given if not isinstance(word, str)]:
        raise UsageError(f"got {wrong[0]!r:.100}; expected text")
    return list(given)


def record_of(row: Row) -> ImageRecord:
    """Return the record of an image of the store."""
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

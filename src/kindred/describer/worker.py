"""DescriberWorker: describes batches of files in a process of its own, without a pause between batches."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

from kindred._support.files import read_bounded
from kindred._support.remote_path import RemotePath
from kindred.describer.describer import Describer, DescriberOptions
from kindred.describer.description import Description
from kindred.describer.fitted import FITTED_BYTES
from kindred.images.remote import allow_remote
from kindred.recipe import Recipe

__all__ = ["DescriberParcel", "DescriberWorker", "MakesDescriber", "Streams"]

T = TypeVar("T")

IDLE_SECONDS = 0.3
"""Without new images for so long, those that wait for others of their shape are described."""
WAIT_SECONDS = 1.0
"""How long a call waits for the first description."""
GATHER_SECONDS = 0.2
MOST_AT_ONCE = 64
"""Descriptions that one call returns, so that an answer takes some megabytes at most."""


class Streams(Protocol):
    """What describes images: a `Describer`."""

    @property
    def fingerprint(self) -> str:
        """A digest of all that the descriptions depend on."""
        ...

    def stream(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        """Describe any number of (key, path), in any order."""
        ...


class MakesDescriber(Protocol):
    """Makes the describer of a worker; it is sent to the worker's process."""

    def __call__(self, cores: int) -> Streams:
        """Return a describer that uses so many cores."""
        ...


@dataclass(frozen=True)
class DescriberParcel:
    """A recipe with the content of its fitted files, to make its describer on another machine.

    Networks are not in it: they are found there by name or path, and the fingerprint says whether they are the same.
    remote: the addresses that may be read there.
    """

    recipe: Recipe
    files: dict[str, bytes]
    options: DescriberOptions
    remote: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, options: DescriberOptions, *, roots: Sequence[Path] = ()) -> Self:
        """Return the parcel of a recipe whose fitted files have absolute paths, or are bundled with Kindred."""
        paths = {name for name in recipe.fitted_files() if Path(name).is_absolute()}
        files = {name: read_bounded(name, FITTED_BYTES) for name in sorted(paths)}
        return cls(recipe, files, options, tuple(str(root) for root in roots if isinstance(root, RemotePath)))

    def __call__(self, cores: int) -> Describer:
        """Return the describer, with so many threads."""
        allow_remote(*self.remote)
        with tempfile.TemporaryDirectory(prefix="kindred-") as folder:
            own = {name: Path(folder) / f"{at}{Path(name).suffix}" for at, name in enumerate(self.files)}
            for name, data in self.files.items():
                own[name].write_bytes(data)
            recipe = self.recipe.with_files(lambda name: str(own.get(name, name)))
            return replace(self.options, workers=cores, threads=cores).describer(recipe)


class DescriberWorker:
    """Describes images as they come, and returns what is ready.

    Images come in batches, but are described as one stream: a network needs many images of one shape at a time.
    """

    def __init__(self, make: MakesDescriber, cores: int) -> None:
        self._make, self._cores = make, cores
        self._inbox: queue.SimpleQueue[tuple[int, Path]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Description[int] | BaseException] = queue.SimpleQueue()
        self._describer: Streams | None = None

    def open(self) -> str:
        """Load everything that is needed; return the fingerprint of the describer."""
        self._describer = self._make(self._cores)
        threading.Thread(target=self._run, args=(self._describer,), name="kindred-worker", daemon=True).start()
        return self._describer.fingerprint

    def exchange(self, batch: Sequence[tuple[int, Path]]) -> list[Description[int]]:
        """Take images to describe; return what has been described, perhaps nothing, after a second at most.

        Raises what the describer raised.
        """
        for item in batch:
            self._inbox.put(item)
        found: list[Description[int]] = []
        with suppress(queue.Empty):
            self._add(found, self._outbox.get(timeout=WAIT_SECONDS))
            end = time.monotonic() + GATHER_SECONDS
            while len(found) < MOST_AT_ONCE:
                self._add(found, self._outbox.get(timeout=max(0.0, end - time.monotonic())))
        return found

    def _add(self, found: list[Description[int]], came: Description[int] | BaseException) -> None:
        if isinstance(came, BaseException):
            raise came
        found.append(came)

    def _run(self, describer: Streams) -> None:
        try:
            while True:
                first = self._inbox.get()
                with closing(describer.stream(self._items(first))) as descriptions:
                    for described in descriptions:
                        self._outbox.put(described)
        except BaseException as error:
            self._outbox.put(error)

    def _items(self, first: tuple[int, Path]) -> Iterator[tuple[int, Path]]:
        """Yield images until none has come for a while; then the stream describes all that it has."""
        yield first
        with suppress(queue.Empty):
            while True:
                yield self._inbox.get(timeout=IDLE_SECONDS)

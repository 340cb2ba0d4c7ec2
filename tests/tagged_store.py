"""An object store in memory that lists ETags, as a file system of fsspec: `tagged://BUCKET/KEY`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from kindred.images import remote
from pictures import encoded

SCHEME = "tagged"
ROOT = f"{SCHEME}://bucket/photos"


class TaggedStore(MemoryFileSystem):  # type: ignore[misc]
    """fsspec's file system in memory, with ETags. `failures`: raised by the next calls. `reads`: files read."""

    protocol = SCHEME
    store: dict[str, Any] = {}  # noqa: RUF012 - as in the base class
    pseudo_dirs = [""]  # noqa: RUF012
    failures: list[Exception] = []  # noqa: RUF012
    reads: list[str] = []  # noqa: RUF012
    tagged = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{SCHEME}://").strip("/")

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: ARG002
        self._may_fail()
        return [self._with_tag(each) for each in super().ls(path, detail=True)]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        self._may_fail()
        return self._with_tag(super().info(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        self._may_fail()
        self.reads.append(path)
        content: bytes = super().cat_file(path, start, end)
        return content

    def _may_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _with_tag(self, entry: dict[str, Any]) -> dict[str, Any]:
        if not self.tagged or entry["type"] != "file":
            return entry
        tag = hashlib.md5(self.store[entry["name"]].getvalue()).hexdigest()
        return {**entry, "etag": tag, "md5Hash": tag}


@contextmanager
def tagged_store(monkeypatch: pytest.MonkeyPatch, *, images: int = 0) -> Iterator[type[TaggedStore]]:
    """A store of that many images at `ROOT`, no address of which is allowed; repeated attempts do not wait."""
    disallow(monkeypatch)
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.0)
    fsspec.register_implementation(SCHEME, TaggedStore, clobber=True)
    TaggedStore.store.clear()
    TaggedStore.pseudo_dirs[:] = [""]
    TaggedStore.failures.clear()
    TaggedStore.reads.clear()
    TaggedStore.tagged = True
    for number in range(images):
        put(f"bucket/photos/{number}.jpg", encoded(number))
    try:
        yield TaggedStore
    finally:
        TaggedStore.store.clear()


def disallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which remote addresses may be read."""
    monkeypatch.setattr(remote, "_allowed", set())


def put(key: str, content: bytes) -> None:
    """Write an object, such as "bucket/photos/1.jpg"."""
    with TaggedStore().open(f"/{key}", "wb") as file:
        file.write(content)


def delete(key: str) -> None:
    """Delete an object."""
    TaggedStore.store.pop(f"/{key}")

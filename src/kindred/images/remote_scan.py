"""Listings of object stores: streamed page by page, and never mistaken for an empty folder when they fail."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from kindred._support.remote_path import RemotePath, remote_path
from kindred.errors import RemoteError, UsageError
from kindred.images.file_rules import DEVELOPED, HIDDEN_FILE, HIDDEN_FOLDER, FileRules, split_name
from kindred.images.found import Found, LeftOut
from kindred.images.remote import connect, found_in, remote_file, retried
from kindred.images.remote_errors import explained

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["RemoteScan"]

Listed = tuple[str, Mapping[str, object]]
"""The name of an object below the root, with slashes, and what the listing says of it."""

PAGE = 1000
MOST_BESIDE = 1000
"""Objects of one name with different extensions that are looked at together."""
UNNAMED = "keys that are no path"


class RemoteScan:
    """The images below a remote address, in the order of the listing; of an address of one object, that object.

    Raises RemoteError at once if nothing can be listed there, and during iteration if the listing fails or is empty.
    `listed` says which files were there, whether or not they were chosen.
    """

    def __init__(self, root: RemotePath, rules: FileRules) -> None:
        self.root, self._rules = root, rules
        self._system = connect(root)
        self._is_s3 = hasattr(self._system, "call_s3")
        self._hashes = array("Q")
        self._sorted: np.ndarray[tuple[int], np.dtype[np.uint64]] | None = None
        self._object: Found | None = None
        self._complete = False
        if next(self._names(1), None) is None:
            self._object = self._single()

    def run(self, left_out: LeftOut) -> Iterator[Found]:
        """Yield the images; count in `left_out` what is left out."""
        self._hashes, self._sorted, self._complete = array("Q"), None, False
        if self._object is not None:
            yield self._object
            return
        # The names of a raw file and of its developed image are the same up to their first dot, so they are neighbours.
        for _, beside in groupby(self._names(PAGE), key=_neighbours):
            while part := list(islice(beside, MOST_BESIDE)):
                yield from self._chosen(part, left_out)
        if not self._hashes:
            raise self._empty()
        self._complete = True

    def listed(self, path: Path) -> bool:
        """Return whether a file was at `path` when it was listed; everything was if the listing is not complete."""
        if not self._complete:
            return True
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(self._hashes, np.uint64)) if self._hashes else np.zeros(0, np.uint64)
        at = int(np.searchsorted(self._sorted, np.uint64(_hash(str(path)))))
        return at < len(self._sorted) and int(self._sorted[at]) == _hash(str(path))

    def _chosen(self, beside: Sequence[Listed], left_out: LeftOut) -> Iterator[Found]:
        developed = {_stem(name) for name, _ in beside if split_name(name)[1] in DEVELOPED}
        for name, info in beside:
            found = self._found(name, info, developed, left_out)
            if found is not None:
                yield found

    def _found(self, name: str, info: Mapping[str, object], developed: set[str], left_out: LeftOut) -> Found | None:
        try:
            path = remote_path(f"{self.root}/{name}")
        except UsageError:
            path = None
        if path is None or str(path) != f"{self.root}/{name}":
            left_out.files[UNNAMED] += 1
            return None
        self._hashes.append(_hash(str(path)))
        below = PurePosixPath(name)
        folders = list(below.parents)[-2::-1]
        for folder in folders:
            kind = self._rules.folder_kind(folder.name, str(folder))
            if kind is not None:
                left_out.files[f"in folders ({kind})"] += 1
                return None
        kind = self._rules.file_kind(below.name, name, raw_beside=_stem(name) in developed)
        if kind is not None:
            left_out.files[kind] += 1
            return None
        found = found_in(path, info)
        if any(folder.name.startswith(".") for folder in folders):
            return Found(path, reason=HIDDEN_FOLDER)
        return Found(path, reason=HIDDEN_FILE) if below.name.startswith(".") else found

    def _names(self, page: int) -> Iterator[Listed]:
        """Yield the objects below the root."""
        listing = _listed_s3 if self._is_s3 else _listed_by_folder
        try:
            yield from listing(self._system, self.root, page)
        except RemoteError:
            raise
        except Exception as error:  # each package has its own
            raise explained(self.root, error) from error

    def _single(self) -> Found:
        try:
            if len(self.root.parts) > 2:
                return remote_file(self.root)
        except RemoteError as error:
            if not error.missing:
                raise
        raise self._empty()

    def _empty(self) -> RemoteError:
        reason = "check the address and the credentials"
        if self._is_s3:
            below = "/".join(self.root.parts[2:])
            reason = f"the bucket exists, but has nothing below {below!a}; check the address, including capitals"
            reason = reason if below else "the bucket is empty"
        return RemoteError(self.root, f"no object is listed there; {reason}", missing=True)


def _listed_s3(system: AbstractFileSystem, root: RemotePath, page: int) -> Iterator[Listed]:
    """Yield all objects below an address in S3, in the order of their keys, of which one page is in memory."""
    bucket, key, _ = system.split_path(str(root))
    prefix = f"{key}/" if key else ""
    more: dict[str, str] = {}
    while True:
        wanted = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": page, **more}
        found = retried(root, partial(system.call_s3, "list_objects_v2", **wanted))
        for each in found.get("Contents", ()):
            name = str(each["Key"])[len(prefix) :]
            if name and not name.endswith("/"):  # folders may have empty objects of their own
                yield name, {**each, "size": each["Size"]}
        token = found.get("NextContinuationToken")
        if not found.get("IsTruncated"):
            return
        if not token or token == more.get("ContinuationToken"):
            raise RemoteError(root, "the listing does not end; the object store repeats a page")
        more = {"ContinuationToken": token}


def _listed_by_folder(system: AbstractFileSystem, root: RemotePath, page: int) -> Iterator[Listed]:
    """Yield all objects below an address, of which the listing of one folder and those above it are in memory."""
    del page
    top = str(system._strip_protocol(str(root))).rstrip("/")

    def entries(folder: str) -> Iterator[Mapping[str, object]]:
        try:
            found = retried(root, lambda: system.ls(folder, detail=True))
        except FileNotFoundError:
            if folder == top:
                return iter(())
            raise
        kept = (each for each in found if str(each["name"]).rstrip("/") != folder)
        return iter(sorted(kept, key=lambda each: str(each["name"])))

    stack = [entries(top)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        name = str(entry["name"]).rstrip("/")
        if not name.startswith(f"{top}/"):
            raise RemoteError(root, f"the listing leaves the folder: {name[:100]!a}")
        if entry.get("type") == "directory":
            stack.append(entries(name))
        else:
            yield name[len(top) + 1 :], entry


def _neighbours(listed: Listed) -> tuple[str, str]:
    folder, _, last = listed[0].rpartition("/")
    return folder, last.partition(".")[0]


def _stem(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{split_name(last)[0]}"


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")

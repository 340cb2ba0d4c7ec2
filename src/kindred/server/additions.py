"""Additions: images that are added to the library by upload.

A file is received into LIBRARY/uploads/incoming, then renamed to LIBRARY/uploads/XX/DIGEST/NAME, where DIGEST is that
of its whole content, and then described. The answer is sent after the commit, so that what was acknowledged survives a
crash; what was not can be sent again with the same result, since the same content has the same place.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kindred._support.digests import digest_of
from kindred._support.file_names import safe_name
from kindred._support.files import open_bounded, sync_folder
from kindred.errors import ImageError, LibraryFull
from kindred.images.find import EXTENSIONS, RAW_EXTENSIONS
from kindred.images.probe import FORMAT_EXTENSIONS, probe
from kindred.server.state import State
from kindred.service.additions import AddedForm, Addition, AdditionsForm
from kindred.service.facts import UPLOADED

__all__ = ["Additions", "Received"]

INCOMING = "incoming"
CHUNK = 1 << 20
_FULL = "the disk of the library has no room left; free some and send the files again"


@dataclass
class Received:
    """A file being received: its name, its place, its size in bytes and the digest of its content."""

    name: str
    part: Path
    stream: IO[bytes]
    size: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises LibraryFull."""
        self.digest.update(chunk)
        self.size += len(chunk)
        try:
            self.stream.write(chunk)
        except OSError as error:
            raise LibraryFull(_FULL) from error

    def finish(self) -> None:
        """Let the content reach the disk. Raises LibraryFull."""
        try:
            self.stream.flush()
            os.fsync(self.stream.fileno())
        except OSError as error:
            raise LibraryFull(_FULL) from error
        finally:
            self.stream.close()

    def discard(self) -> None:
        """Delete what was received, unless it has been stored."""
        with suppress(OSError):
            self.stream.close()
        with suppress(OSError):
            self.part.unlink()


class Additions:
    """The uploads of a library; a part of the state of its server."""

    def __init__(self, here: State) -> None:
        self._library, self._pixels = here.library, here.settings.upload_pixels
        self._folder = here.library.path / UPLOADED
        self._incoming = self._folder / INCOMING
        self._lock = threading.Lock()
        # What a killed server has received in part; nothing of it was acknowledged.
        with suppress(OSError):
            for left in self._incoming.iterdir():
                left.unlink()

    def receive(self, name: str) -> Received:
        """Begin to receive a file; the caller writes its content, and discards it in any case at the end."""
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            part = self._incoming / f"{secrets.token_hex(12)}.part"
            stream = part.open("xb")
        except OSError as error:
            raise LibraryFull(_FULL) from error
        return Received(name, part, stream)

    def add(self, files: Sequence[Received], *, tags: Iterable[str] = ()) -> AdditionsForm:
        """Store the files that were received, describe those that are new, and return what became of each."""
        found: dict[int, AddedForm] = {}
        stored: dict[int, Path] = {}
        for number, file in enumerate(files):
            try:
                kind = probe(file.part, max_pixels=self._pixels)
            except ImageError as error:
                found[number] = AddedForm(safe_name(file.name), "refused", reason=error.reason)
                continue
            known = self._known(file)
            if known is not None:
                found[number] = AddedForm(safe_name(file.name), "present", id=known)
            else:
                stored[number] = self._store(file, kind)
        found |= self._described(stored)
        ids = [form.id for form in found.values() if form.id is not None]
        if ids:
            self._library.tag(ids, tags)
        return AdditionsForm.of([found[number] for number in range(len(files))])

    def _known(self, file: Received) -> str | None:
        """Return the id of an image of the library with the same content, whose file is there."""
        digest = digest_of(file.part)
        known = [] if digest is None else self._library.store.by_digest([digest]).get(digest, [])
        for image in known:
            if image.state == "indexed" and _same(image.path, file):
                return image.uid
        return None

    def _store(self, file: Received, kind: str) -> Path:
        """Move a file to the place of its content; return that of the same content stored before, if there is one."""
        digest = file.digest.hexdigest()
        folder = self._folder / digest[:2] / digest[:32]
        with self._lock:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                before = next((each for each in folder.iterdir() if _same(each, file)), None)
                if before is not None:
                    return before
                place = folder / _name(file.name, kind)
                file.part.replace(place)
                sync_folder(folder)
                return place
            except OSError as error:
                raise LibraryFull(_FULL) from error

    def _described(self, stored: dict[int, Path]) -> dict[int, AddedForm]:
        """Add stored files to the library; those that turn out to be unusable are deleted."""
        if not stored:
            return {}
        places = list(dict.fromkeys(stored.values()))
        known = self._library.store.lookup(places)
        reasons = dict(self._library.add(places).skipped)
        found = {}
        for number, place in stored.items():
            if place in reasons:
                found[number] = AddedForm(place.name, "refused", reason=reasons[place])
            else:
                status: Addition = "present" if place in known and known[place].state == "indexed" else "added"
                found[number] = AddedForm(place.name, status, id=self._library.get(place).id)
        for place in reasons:
            self._library.remove([place])
            with suppress(OSError):
                place.unlink()
        return found


def _name(given: str, kind: str) -> str:
    """Return a safe name with an extension by which a scan of the folder would find the file."""
    name = safe_name(given)
    suffix = Path(name).suffix.lower()
    return name if suffix in EXTENSIONS or suffix in RAW_EXTENSIONS else name + FORMAT_EXTENSIONS[kind]


def _same(path: Path, file: Received) -> bool:
    """Return whether a file has the content that was received."""
    try:
        with open_bounded(path, file.size) as stream:
            if os.fstat(stream.fileno()).st_size != file.size:
                return False
            digest = hashlib.sha256()
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return False
    return digest.digest() == file.digest.digest()

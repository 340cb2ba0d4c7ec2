"""Places of libraries: a folder, or a database on a server, for which each machine has a folder of its own.

A library in a folder is complete in itself. One on a server has its images, vectors and fitted files there; the folder
of a machine holds copies of the fitted files and what is derived or added on that machine: search indexes in files,
data of re-rankers, thumbnails, maps, uploads.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kindred._support.files import is_there, read_bounded, replacing
from kindred._support.os_errors import explain_os_error
from kindred.backbones.folders import models_folder
from kindred.describer.fitted import FITTED_BYTES
from kindred.errors import LibraryDamaged, LibraryError, LibraryLocked, ModelError
from kindred.library.paths import absolute
from kindred.library.recipes import is_copy, keep_files
from kindred.recipe import Recipe
from kindred.store import FileStore, Place, PostgresUrl, Store, place_of, store_of
from kindred.store.sqlite.lock import NAME as LOCK

__all__ = ["check_free", "create_at", "folder_of", "located_place", "open_store", "replace_files"]

MARK = "kindred.json"
STORE = "store.sqlite"
OWN = (MARK, LOCK, f"{LOCK}.pid")
FOLDERS = "libraries"

_UUID = re.compile(r"[0-9a-f]{32}")


def located_place(given: Path | str | PostgresUrl) -> Place:
    """Return the place that a user names; folders are absolute."""
    found = place_of(given) if isinstance(given, str | Path | PostgresUrl) else given
    return found if isinstance(found, PostgresUrl) else absolute(found)


def create_at(place: Place, recipe: Recipe, meta_of: Callable[[Recipe], dict[str, str]]) -> tuple[Store, Recipe]:
    """Create an empty library; return its store, and the recipe with the names of the files copied into the library.

    Raises LibraryError if there is a library already, or the place cannot be written to.
    """
    if isinstance(place, Path):
        with _as_found_on_error(place):
            _create_folder(place)
            kept = _kept(recipe, place)
            return store_of(place).create(place, meta_of(kept)), kept
    with tempfile.TemporaryDirectory() as folder:
        kept = _kept(recipe, Path(folder))
        files = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
    return store_of(place).create(place, meta_of(kept), files), kept


def check_free(place: Place) -> None:
    """Raise LibraryError if a folder contains a library; a server says so itself."""
    if isinstance(place, Path) and (place / STORE).exists():
        raise LibraryError(f"{place}: already contains a library; open it, or choose another folder")


def open_store(place: Place) -> Store:
    """Open the store of the library at a place."""
    return store_of(place).open(place)


def folder_of(place: Place, store: Store) -> Path:
    """Return the folder of a library on this machine, with the fitted files of its recipe."""
    if isinstance(place, Path):
        return place
    name = store.meta.get("uuid", "")
    if not _UUID.fullmatch(name):
        raise LibraryDamaged(f"{place}: its id {name[:40]!a} is not valid; restore the database from a backup")
    try:
        folder = models_folder().parent / FOLDERS / name
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_files(folder, place, store)
    except ModelError:
        raise LibraryError(f"{place}: no home folder for its files on this machine; set KINDRED_HOME") from None
    except OSError as error:
        raise LibraryError(
            f"{place}: its folder {folder} on this machine cannot be written to "
            f"({explain_os_error(error, folder)}); set KINDRED_HOME to another one"
        ) from error
    return folder


def replace_files(folder: Path, store: Store, recipe: Recipe) -> Recipe:
    """Replace the fitted files of an empty library by those of a recipe; return the recipe that names the copies."""
    kept = _kept(recipe, folder)
    if isinstance(store, FileStore):
        store.set_files({name: (folder / name).read_bytes() for name in set(kept.fitted_files()) if is_copy(name)})
    return kept


@contextmanager
def _as_found_on_error(folder: Path) -> Iterator[None]:
    """Remove what the block has created in a folder, and the folder if it is new, if it fails to create a library."""
    missing = [each for each in (folder, *folder.parents) if not is_there(each)]
    before = _names(folder)
    try:
        yield
    except LibraryLocked:  # another process is creating one
        raise
    except BaseException:
        if not is_there(folder / STORE):  # otherwise another process has created one
            with suppress(OSError):
                for name in _names(folder) - before:
                    if name in OWN or is_copy(name):
                        (folder / name).unlink()
                for each in missing:
                    each.rmdir()
        raise


def _names(folder: Path) -> set[str]:
    try:
        return {each.name for each in folder.iterdir()}
    except OSError:
        return set()


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / MARK) as part:
            part.write_text(json.dumps({"what": "a Kindred library", "store": STORE}) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _kept(recipe: Recipe, folder: Path) -> Recipe:
    try:
        return keep_files(recipe, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> LibraryError:
    why = explain_os_error(error, folder)
    return LibraryError(f"{folder}: cannot be written to ({why}); choose another folder")


def _fetch_files(folder: Path, place: Place, store: Store) -> None:
    """Copy the fitted files that are new or have changed from the store into a folder."""
    if not isinstance(store, FileStore):
        return
    for name, digest in store.file_digests().items():
        if not is_copy(name):
            raise LibraryDamaged(f"{place}: holds the file {name[:80]!a}, which is not a fitted file; index anew")
        if _digest(folder / name) == digest:
            continue
        data = store.files([name]).get(name, b"")
        if len(data) > FITTED_BYTES or hashlib.sha256(data).digest() != digest:
            raise LibraryDamaged(f"{place}: its file {name} has changed while it was read, or is too large; try again")
        with replacing(folder / name) as part:
            part.write_bytes(data)


def _digest(file: Path) -> bytes | None:
    try:
        return hashlib.sha256(read_bounded(file, FITTED_BYTES)).digest()
    except FileNotFoundError:
        return None

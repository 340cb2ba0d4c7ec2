"""The table of stores, by name, and the place of a library: a folder, or an address in a database."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from kindred.errors import MissingExtra, UsageError
from kindred.store.postgres import PostgresUrl, is_postgres_url
from kindred.store.postgres.url import EXAMPLE
from kindred.store.protocol import Store
from kindred.store.sqlite import SqliteStore

__all__ = ["STORES", "Place", "StoreEntry", "place_of", "store_of"]

Place: TypeAlias = Path | PostgresUrl
"""Where a library is."""

_ADDRESS = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]+)://")
NO_FILES: Mapping[str, bytes] = {}


class Create(Protocol):
    """Creates an empty store and opens it."""

    def __call__(self, place: Place, meta: Mapping[str, str], files: Mapping[str, bytes] = NO_FILES, /) -> Store:
        """Create a store in a place, with facts about the library and, if it is not a folder, its fitted files."""
        ...


@dataclass(frozen=True)
class StoreEntry:
    """One entry of STORES.

    summary: the kind of database, in a few words. create: creates an empty store in a place and opens it. open: opens
    the store in a place. holds: whether a place is one of this kind.
    """

    summary: str
    create: Create
    open: Callable[[Place], Store]
    holds: Callable[[Place], bool]


FILE = "store.sqlite"


def _file(place: Place) -> Path:
    if not isinstance(place, Path):
        raise UsageError(f"{place}: expected a folder")
    return place / FILE


def _url(place: Place) -> PostgresUrl:
    if not isinstance(place, PostgresUrl):
        raise UsageError(f"{place}: expected an address such as postgresql://HOST/DATABASE?library=NAME")
    return place


def _create_file(place: Place, meta: Mapping[str, str], _files: Mapping[str, bytes] = NO_FILES, /) -> Store:
    return SqliteStore.create(_file(place), meta)


def _create_in_postgres(place: Place, meta: Mapping[str, str], files: Mapping[str, bytes] = NO_FILES, /) -> Store:
    _check_psycopg()
    from kindred.store.postgres.store import PostgresStore

    return PostgresStore.create(_url(place), meta, files)


def _open_in_postgres(place: Place) -> Store:
    _check_psycopg()
    from kindred.store.postgres.store import PostgresStore

    return PostgresStore.open(_url(place))


def _check_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtra("a library in PostgreSQL", "postgres") from None


STORES: dict[str, StoreEntry] = {
    "sqlite": StoreEntry(
        "one SQLite file",
        _create_file,
        lambda place: SqliteStore.open(_file(place)),
        lambda place: isinstance(place, Path),
    ),
    "postgres": StoreEntry(
        "a PostgreSQL database with pgvector",
        _create_in_postgres,
        _open_in_postgres,
        lambda place: isinstance(place, PostgresUrl),
    ),
}


def store_of(place: Place) -> StoreEntry:
    """Return the entry of the stores that a place can hold."""
    return next(entry for entry in STORES.values() if entry.holds(place))


def place_of(given: Path | str | PostgresUrl) -> Place:
    """Return the place that a user names: the address of a library in a database, or a folder.

    Raises UsageError for an invalid address, and for the address of something else, such as milvus://HOST/NAME: as the
    path of a folder it would be created, or quoted in messages with a password that is in it.
    """
    if isinstance(given, Path) and is_postgres_url(str(given)):
        raise UsageError(
            "library: got an address of PostgreSQL as a path; expected text: a path drops a slash of an address"
        )
    if isinstance(given, str) and is_postgres_url(given):
        return PostgresUrl.parse(given)
    if isinstance(given, str) and (scheme := _ADDRESS.match(given)):
        raise UsageError(
            f"library: got an address that begins with {scheme[1][:20]}://; expected a folder, or {EXAMPLE}"
        )
    return given if isinstance(given, PostgresUrl) else Path(given)

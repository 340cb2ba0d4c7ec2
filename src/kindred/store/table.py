"""The table of stores, by name, and the place of a library: a folder, or an address in a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from kindred.errors import MissingExtra, UsageError
from kindred.store.postgres import PostgresUrl, is_postgres_url
from kindred.store.protocol import Store
from kindred.store.sqlite import SqliteStore

__all__ = ["STORES", "Place", "StoreEntry", "place_of", "store_of"]

Place: TypeAlias = Path | PostgresUrl
"""Where a library is."""


@dataclass(frozen=True)
class StoreEntry:
    """One entry of STORES.

    summary: the kind of database, in a few words. create: creates an empty store in a place, with facts about the
    library as a whole, and opens it. open: opens the store in a place. holds: whether a place is one of this kind.
    """

    summary: str
    create: Callable[[Place, Mapping[str, str]], Store]
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


def _create_in_postgres(place: Place, meta: Mapping[str, str]) -> Store:
    _check_psycopg()
    from kindred.store.postgres.store import PostgresStore

    return PostgresStore.create(_url(place), meta)


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
        lambda place, meta: SqliteStore.create(_file(place), meta),
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

    Raises UsageError for an invalid address.
    """
    if isinstance(given, str) and is_postgres_url(given):
        return PostgresUrl.parse(given)
    return given if isinstance(given, PostgresUrl) else Path(given)

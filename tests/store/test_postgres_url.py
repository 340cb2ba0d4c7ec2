"""Addresses of libraries in PostgreSQL: what is understood, what is refused, and that no password is ever shown."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from kindred.cli.options import place_named
from kindred.errors import UsageError
from kindred.store import PostgresUrl, place_of

SECRET = "s3cr3t-word"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://host/db?library=photos", {"host": "host", "dbname": "db"}),
        ("postgres://host:5433/db", {"host": "host", "port": 5433, "dbname": "db"}),
        ("postgresql:///db?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "db"}),
        ("postgresql://u%40x:p%2F%3A@host/d%20b", {"host": "host", "user": "u@x", "password": "p/:", "dbname": "d b"}),
        ("postgresql://[::1]:7/db?sslmode=require", {"host": "::1", "port": 7, "dbname": "db", "sslmode": "require"}),
    ],
)
def test_parameters_of_a_connection(text: str, expected: dict[str, object]) -> None:
    assert PostgresUrl.parse(text).parameters() == expected


def test_the_name_of_a_library_is_its_schema() -> None:
    assert PostgresUrl.parse("postgresql://h/d?library=my_photos2").schema == "kindred_my_photos2"
    assert PostgresUrl.parse("postgresql://h/d").schema == "kindred_default"
    assert PostgresUrl.parse("postgresql://h/d?timeout=120").timeout == 120


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://host",
        "postgresql://host/",
        "postgresql://host/a/b",
        "postgresql:/host/db",
        "postgresql://host:99999/db",
        "postgresql://host:port/db",
        "postgresql://ho st/db",
        "postgresql://host;drop/db",
        "postgresql://one,two/db",
        "postgresql://host/db#x",
        "postgresql://%ff@host/db",
        "postgresql://host/db?library=",
        "postgresql://host/db?library=A",
        'postgresql://host/db?library=a"; DROP SCHEMA public; --',
        "postgresql://host/db?library=a%00",
        "postgresql://host/db?library=" + "a" * 41,
        "postgresql://host/db?library=a&library=b",
        "postgresql://host/db?options=-c%20search_path%3Devil",
        "postgresql://host/db?passfile=/etc/shadow",
        "postgresql://host/db?service=x",
        f"postgresql://host/db?password={SECRET}",
        "postgresql://host/db?host=relative",
        "postgresql://host/db?timeout=0",
        "postgresql://host/db?timeout=1e3",
        "postgresql://host/db?timeout=99999",
        "postgresql://host/d%0ab",
        "postgresql://u%00:x@host/db",
        "postgresql://host/db\n?library=x",
        "postgresql://host/db?" + "&".join(["library=a"] * 500),
        "postgresql://host/" + "d" * 3000,
        "postgresql://[::1/db",
        f"postgresql://u:{SECRET}@ho st/db",
        f"postgresql://u:{SECRET}@host/db?nonsense=1",
        f"postgresql:/u:{SECRET}@host/db",
        f"postgresql:///u:{SECRET}@host/db",
        f"postgresql://u:1?{SECRET}@host/db",
        f"postgresql://u:1?{SECRET}=@host/db",
    ],
)
def test_hostile_addresses_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"postgresql://HOST/DATABASE\?library=NAME") as caught:
        place_of(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert SECRET not in message


def test_a_password_is_used_and_never_shown() -> None:
    url = PostgresUrl.parse(f"postgresql://me:{SECRET}@host/db?library=x&timeout=60")
    assert url.parameters()["password"] == SECRET
    assert SECRET not in f"{url} {url!r}"
    assert str(url) == "postgresql://me@host/db?library=x&timeout=60"
    assert pickle.loads(pickle.dumps(url)).password == SECRET


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@host:5433/d%20b?library=x&sslmode=require",
        "postgresql:///db?library=x&host=/run/postgresql",
        "postgresql://[::1]:5/db?library=default",
    ],
)
def test_the_text_of_an_address_is_an_address(text: str) -> None:
    assert str(PostgresUrl.parse(text)) == text


@pytest.mark.parametrize("scheme", ["milvus", "postgresql+psycopg", "s3", "MySQL", "https"])
def test_addresses_of_other_things_are_no_folders(scheme: str) -> None:
    text = f"{scheme}://u:{SECRET}@host/db"
    for place in (place_of, place_named):
        with pytest.raises(UsageError, match=f"begins with {re.escape(scheme)}://; expected a folder, or") as caught:
            place(text)
        assert SECRET not in str(caught.value)


def test_an_address_as_a_path_is_refused() -> None:
    with pytest.raises(UsageError, match="got an address of PostgreSQL as a path; expected text") as caught:
        place_of(Path(f"postgresql://u:{SECRET}@host/db"))
    assert SECRET not in str(caught.value)


def test_other_places_are_folders() -> None:
    assert place_of("C:/photos") == Path("C:/photos")
    assert place_of("a:b/c") == Path("a:b/c")
    assert place_of("/data/x://y") == Path("/data/x://y")
    assert place_of("photos/.kindred") == Path("photos/.kindred")
    assert place_of(Path("x")) == Path("x")
    assert place_of("postgres-library") == Path("postgres-library")

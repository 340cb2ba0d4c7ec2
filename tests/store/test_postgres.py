"""What a store in PostgreSQL does beyond the contract: many writers, lost connections, other users of the server."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from forked import in_fork
from kindred.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryLocked,
    LibraryNotFound,
    LibraryReplaced,
    LibraryTooNew,
    LibraryUnreachable,
    UsageError,
)
from kindred.store import Entry, Filter, PostgresUrl, Store, VisualWords
from postgres_server import Server, end_sessions, execute, sessions

psycopg = pytest.importorskip("psycopg")
from kindred.store.postgres import database, failures, migrations, tables  # noqa: E402
from kindred.store.postgres.connections import TimedConnection  # noqa: E402
from kindred.store.postgres.search import build_memory_mb  # noqa: E402
from kindred.store.postgres.store import PostgresStore  # noqa: E402

MakeEntry = Callable[..., Entry]
A, B = Path("/photos/a.jpg"), Path("/photos/b.jpg")


@pytest.fixture
def store(url: PostgresUrl) -> Iterator[PostgresStore]:
    with PostgresStore.create(url, {}) as made:
        yield made


@pytest.mark.usefixtures("store")
def test_creating_twice_and_opening_nothing(url: PostgresUrl) -> None:
    with pytest.raises(LibraryError, match="exists already"):
        PostgresStore.create(url, {})
    with pytest.raises(LibraryNotFound, match="no library found"):
        PostgresStore.open(replace(url, library="none"))
    with pytest.raises(LibraryNotFound, match="no such database"):
        PostgresStore.open(replace(url, database="none"))
    with pytest.raises(LibraryUnreachable, match="does not answer"):
        PostgresStore.create(replace(url, port=1), {})
    with pytest.raises(UsageError, match="reserved"):
        PostgresStore.create(replace(url, library="other"), {"revision": "1"})


def test_libraries_of_one_database_are_separate(url: PostgresUrl, store: Store, entry: MakeEntry) -> None:
    with PostgresStore.create(replace(url, library=f"{url.library}_b"), {}) as other:
        store.put([entry(str(A))])
        assert (store.counts().images, other.counts().images) == (1, 0)
        other.delete()
    assert store.counts().images == 1


@pytest.mark.usefixtures("store")
def test_a_store_of_a_newer_version_is_refused(url: PostgresUrl) -> None:
    execute(url, f"INSERT INTO migrations (number) VALUES ({len(tables.MIGRATIONS) + 1})")
    with pytest.raises(LibraryTooNew, match="upgrade it"):
        PostgresStore.open(url)


@pytest.mark.usefixtures("store")
def test_an_older_store_is_migrated_once_by_several_that_open_it(
    url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = (*tables.MIGRATIONS, "CREATE TABLE later (id int); INSERT INTO later VALUES (1)")
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(PostgresStore.open(url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    with closing(psycopg.connect(**url.parameters())) as connection:
        assert list(connection.execute(f"SELECT count(*) FROM {url.schema}.later")) == [(1,)]
    for each in opened:
        each.close()


def test_the_tables_that_are_needed_are_those_that_are_made(url: PostgresUrl, store: PostgresStore) -> None:
    made = store._database.read(lambda connection: tables.tables_of(connection, url))
    assert {name: made[name] for name in made if name != "migrations"} == tables.made_by(*tables.MIGRATIONS)
    assert "volume" in made["images"]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DROP TABLE features", "its table features is missing"),
        ("DROP TABLE features, words", "its tables features and words are missing"),
        ("DROP TABLE state", "its table state is missing"),
        ("DROP TABLE migrations", "its table migrations is missing"),
        ("ALTER TABLE images DROP COLUMN size", "the column size is missing in its table images"),
        ("ALTER TABLE runs DROP COLUMN found, DROP COLUMN moved", "the columns found and moved are missing in its"),
        ("DELETE FROM state", "its table state is empty"),
    ],
)
def test_what_is_missing_in_a_damaged_library_is_named(
    url: PostgresUrl, store: PostgresStore, entry: MakeEntry, statement: str, what: str
) -> None:
    store.put([entry(str(A))])
    execute(url, statement)
    calls: list[Callable[[], object]] = [lambda: PostgresStore.open(url)]
    if "TABLE migrations" not in statement:  # only needed to open the library
        calls.append(lambda: (store.begin_run(), store.lookup([A]), store.features(1)) and store.runs())
    for call in calls:
        with pytest.raises(LibraryDamaged, match=rf"is damaged \({what}") as caught:
            call()
        assert str(caught.value).endswith(f"; {failures.REMEDY}")


def test_the_tables_of_others_in_the_path_are_not_taken_for_a_library(url: PostgresUrl) -> None:
    execute(url, "CREATE TABLE public.migrations (id int)")
    try:
        with pytest.raises(LibraryNotFound, match="no library found"):
            PostgresStore.open(url)
    finally:
        execute(url, "DROP TABLE public.migrations")


def test_a_library_that_is_gone_or_made_again_is_noticed(url: PostgresUrl, store: PostgresStore) -> None:
    with PostgresStore.open(url) as other:
        other.delete()
    with pytest.raises(LibraryNotFound):
        store.counts()
    with pytest.raises(LibraryNotFound):
        store.tag([A], "x")
    with PostgresStore.create(url, {}):
        with pytest.raises(LibraryReplaced, match="open the library again"):
            _ = store.revision
        with pytest.raises(LibraryReplaced, match="open the library again"):
            store.tag([A], "x")


def test_the_same_description_again_changes_no_vector(store: Store, entry: MakeEntry) -> None:
    words = VisualWords(np.arange(3, dtype=np.uint16), np.arange(3, dtype=np.uint64))
    first = replace(entry(str(A)), visual_words=words, features=b"abc", digest=b"d" * 32)
    store.put([first])
    ids, revision = store.select(Filter()).tolist(), store.vectors_revision
    store.put([replace(first, mtime_ns=5)])
    assert (store.select(Filter()).tolist(), store.vectors_revision) == (ids, revision)
    assert store.lookup([A])[A].mtime_ns == 5
    for other in (
        replace(first, features=b"abd"),
        replace(first, visual_words=None),
        replace(first, boxes=np.ones((1, 4), np.float32)),
        entry(str(A), 2.0),
    ):
        store.put([other])
        assert store.vectors_revision > revision
        revision = store.vectors_revision


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vectors SET data = '[9, 9, 9]' WHERE region = 1",
        "UPDATE vectors SET x0 = 5 WHERE region = 0",
        "UPDATE features SET data = 'x'",
        "UPDATE features SET data = convert_to(repeat('x', 5000000), 'UTF8')",
        "DELETE FROM features",
        "DELETE FROM vectors WHERE region = 0",
        "DELETE FROM vectors",
    ],
)
def test_what_sql_has_changed_is_written_again(
    url: PostgresUrl, store: Store, entry: MakeEntry, statement: str
) -> None:
    made = replace(entry(str(A), regions=2), boxes=np.ones((2, 4), np.float32), features=b"abc")
    store.put([made, entry(str(B))])
    kept = store.lookup([A, B])
    execute(url, statement)
    store.put([made, entry(str(B))])
    assert store.lookup([A, B]) == kept
    assert store.features(1) == b"abc"
    rows: dict[int, list[list[float]]] = {1: [], 2: []}
    for batch in store.parts():
        for owner, row in zip(batch.owners.tolist(), batch.rows.tolist(), strict=True):
            rows[owner].append(row)
        assert batch.boxes is not None
        assert batch.boxes[batch.owners == 1].tolist() == [[1.0] * 4] * 2
    assert rows == {1: [[1.0, 0.0, 3.0], [1.0, 1.0, 3.0]], 2: [[1.0, 0.0, 3.0]]}
    assert store.counts().vectors == len(store.select(Filter())) == 3


@pytest.mark.parametrize("width", [3, 20_000])
def test_visual_words_and_wide_vectors_that_sql_has_changed_are_written_again(
    url: PostgresUrl, store: Store, width: int
) -> None:
    words = VisualWords(np.arange(3, dtype=np.uint16), np.arange(3, dtype=np.uint64))
    made = Entry(A, 1, 1, vectors=np.ones((1, width), np.float32), visual_words=words)
    store.put([made])
    revision = store.vectors_revision
    store.put([made])
    assert store.vectors_revision == revision
    changes = ["UPDATE visual_words SET words = '\\x000000000000'", "DELETE FROM visual_words"]
    changes += ["UPDATE vectors SET wide = set_byte(wide, 0, 1)"] if width > 16_000 else []
    for change in changes:
        execute(url, change)
        store.put([made])
        ((_, found),) = store.visual_words()
        assert found.words.tolist() == [0, 1, 2]
        ((_, rows),) = store.vectors()
        assert rows.min() == rows.max() == 1.0


def test_codes_of_words_that_sql_has_changed_are_written_again(url: PostgresUrl, store: Store) -> None:
    made = Entry(A, 1, 1, vectors=np.ones((2, 3), np.float32), words=np.array([4, 7]))
    store.put([made])
    revision = store.vectors_revision
    store.put([made])
    assert store.vectors_revision == revision
    execute(url, "DELETE FROM words")
    store.put([made])
    (batch,) = store.parts()
    assert batch.words is not None
    assert batch.words.tolist() == [4, 7]
    assert store.counts().vectors == 0


def test_of_two_entries_with_one_path_the_last_counts(store: Store, entry: MakeEntry) -> None:
    store.put([entry(str(A), 1.0), entry(str(B), 2.0), entry(str(A), 3.0)])
    assert store.counts().images == 2
    ((_, rows),) = store.vectors()
    assert sorted(rows[:, 0].tolist()) == [2.0, 3.0]


@pytest.mark.parametrize("width", [2001, 4001, 16_000, 16_001, 20_000])
def test_wide_vectors_come_back_as_they_were(store: Store, width: int) -> None:
    rows = np.random.default_rng(width).standard_normal((2, width)).astype(np.float32)
    store.put([Entry(path, 1, 1, vectors=row[None]) for path, row in zip((A, B), rows, strict=True)])
    ((_, found),) = store.vectors()
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_array_equal(store.fetch([2, 1])[1], rows[::-1])


def test_odd_texts(store: Store, entry: MakeEntry) -> None:
    store.put([replace(entry(str(A)), vectors=None, reason="broken\0 at 3"), entry(str(B))])
    assert store.skipped()[0].reason == "broken\N{REPLACEMENT CHARACTER} at 3"
    for call in (
        lambda: store.tag([B], "a\0b"),
        lambda: store.set_metadata([B], {"note": "a\0b"}),
        lambda: store.set_meta("note", "a\0b"),
        lambda: store.save_search("a\0b", {}),
    ):
        with pytest.raises(UsageError, match="NUL"):
            call()
    assert store.select(Filter(tags=("a\0b",))).tolist() == []
    assert store.untag([B], "a\0b") == store.unset_metadata([B], ["a\0b"]) == 0
    assert not store.remove_search("\0")
    odd = "'; DROP TABLE images; -- %s $1 \\ \N{PILE OF POO}"
    store.tag([B], odd)
    store.set_metadata([B], {"note": odd, "day": date(1, 1, 1), "large": 1.7e308, "small": 5e-324, "negative": -0.0})
    assert store.tags() == {odd: 1}
    row = store.rows([1])[1]
    assert (row.tags, row.metadata["note"]) == ((odd,), odd)
    assert [row.metadata[key] for key in ("large", "small", "negative")] == [1.7e308, 5e-324, -0.0]
    assert store.select(Filter(where=("small>0", "large>1e300"))).tolist() == [1]  # type: ignore[arg-type]


def test_writers_at_once_lose_and_double_nothing(url: PostgresUrl, store: Store) -> None:
    """Eight writers put overlapping images while a reader follows: it never misses a vector with a lower id."""
    faults: list[BaseException] = []
    done = threading.Event()
    seen: list[int] = []

    def write(number: int) -> None:
        try:
            with PostgresStore.open(url) as own:
                for step in range(10):
                    paths = [Path(f"/p/{(number * 7 + step * 3 + at) % 60}.jpg") for at in range(6)]
                    marks = [float(path.stem) for path in paths]
                    own.put(
                        [
                            Entry(p, 1, 1, vectors=np.full((1, 4), m, np.float32))
                            for p, m in zip(paths, marks, strict=True)
                        ]
                    )
                    own.tag(paths[:2], f"writer {number}")
        except BaseException as fault:
            faults.append(fault)

    def follow() -> None:
        while not done.is_set():
            for ids, _ in store.vectors(after_id=max(seen, default=0)):
                seen.extend(ids.tolist())

    reader = threading.Thread(target=follow)
    reader.start()
    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert faults == []
    ((ids, rows),) = store.vectors()
    known = store.rows(ids.tolist())
    assert sorted(int(row.path.stem) for row in known.values()) == sorted(set(rows[:, 0].astype(int).tolist()))
    assert {known[number].path.stem for number in ids.tolist()} == {str(int(mark)) for mark in rows[:, 0]}
    assert set(ids.tolist()) <= set(seen) | set(range(max(seen) + 1, int(ids[-1]) + 1))
    assert store.counts().images == len(ids)


def test_calls_go_on_after_a_lost_connection(url: PostgresUrl, store: Store, entry: MakeEntry) -> None:
    store.put([entry(str(A))])
    for _ in range(3):
        end_sessions(url)
        assert store.counts().images == 1
        end_sessions(url)
        assert store.tag([A], "x") == 1
    assert store.tags() == {"x": 1}


def test_a_change_whose_commit_is_lost_happens_once(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost right after the commit: the change is not made again."""
    begun: list[object] = []
    leave = database._leave_token

    def lose(connection: TimedConnection, token: object) -> None:
        leave(connection, token)  # type: ignore[arg-type]
        if not begun:
            begun.append(connection)
            connection.execute("COMMIT")
            connection.close()

    monkeypatch.setattr(database, "_leave_token", lose)
    assert store.begin_run() == 1
    assert [run.id for run in store.runs()] == [1]
    assert store.begin_run() == 2
    begun.clear()
    with store.writing():
        number = store.begin_run()
    assert [run.id for run in store.runs()] == [number, 2, 1] == [3, 2, 1]


def test_a_change_that_was_lost_before_its_commit_is_made_again(
    url: PostgresUrl, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    leave = database._leave_token

    def lose(connection: TimedConnection, token: object) -> None:
        leave(connection, token)  # type: ignore[arg-type]
        if not begun:
            begun.append(connection)
            end_sessions(url)

    monkeypatch.setattr(database, "_leave_token", lose)
    assert store.begin_run() == 1
    assert [run.id for run in store.runs()] == [1]
    begun.clear()
    with pytest.raises(LibraryUnreachable, match="nothing was stored"), store.writing():
        store.begin_run()
    assert [run.id for run in store.runs()] == [1]
    assert store.begin_run() == 2


def test_a_lost_group_says_so_and_stores_nothing(url: PostgresUrl, store: Store, entry: MakeEntry) -> None:
    def change() -> None:
        with store.writing():
            store.put([entry(str(A))])
            end_sessions(url)
            store.put([entry(str(B))])

    with pytest.raises(LibraryUnreachable):
        change()
    assert store.counts().images == 0
    store.put([entry(str(A))])
    assert store.counts().images == 1


def test_a_transaction_of_others_is_waited_for_and_then_named(url: PostgresUrl, store: Store, entry: MakeEntry) -> None:
    quick = PostgresStore.open(replace(url, timeout=1))
    with store.writing():
        store.put([entry(str(A))])
        began = time.monotonic()
        faults: list[BaseException] = []

        def change() -> None:
            try:
                quick.tag([A], "x")
            except BaseException as fault:
                faults.append(fault)

        thread = threading.Thread(target=change)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), time.monotonic() - began
        assert isinstance(faults[0], LibraryUnreachable | LibraryLocked)
    assert quick.tag([A], "x") == 1
    quick.close()


def test_a_frozen_server_is_given_up_in_time(
    postgres: Server, url: PostgresUrl, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP of the process that serves the connection: the kernel still answers, PostgreSQL does not."""
    monkeypatch.setattr(database, "READ_PATIENCE", 1.0)
    with PostgresStore.open(replace(url, timeout=1)) as quick:
        pids = sessions(url)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        assert postgres.process is not None
        os.kill(postgres.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(LibraryUnreachable, match="does not answer"):
                quick.counts()
        finally:
            for pid in (*pids, postgres.process.pid):
                os.kill(pid, signal.SIGCONT)
        assert quick.counts().images == 0
        assert store.counts().images == 0


def test_a_forked_child_uses_connections_of_its_own(store: Store, entry: MakeEntry) -> None:
    store.put([entry(str(A))])
    with store.writing():
        store.put([entry(str(B))])
        # The child does not see what its parent has not committed, and cannot commit it.
        assert in_fork(lambda: store.counts().images == 1)
    assert in_fork(lambda: store.tag([A, B], "child") == 2)
    assert store.tags() == {"child": 2}
    assert store.counts().images == 2


def test_a_user_who_may_only_read_can_search_and_not_change(url: PostgresUrl, store: Store, entry: MakeEntry) -> None:
    store.put([entry(str(A))])
    execute(
        url,
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {url.schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {url.schema} TO reader",
    )
    try:
        with PostgresStore.open(replace(url, user="reader")) as other:
            assert (other.counts().images, other.writable, store.writable) == (1, False, True)
            with pytest.raises(LibraryError, match="refused this"):
                other.tag([A], "x")
        with pytest.raises(LibraryError, match="refused this"):
            PostgresStore.create(replace(url, user="reader", library="mine"), {})
    finally:
        execute(url, "DROP OWNED BY reader", "DROP ROLE reader")


@pytest.mark.usefixtures("store")
def test_missing_rights_to_a_library_are_named(url: PostgresUrl) -> None:
    execute(url, "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(
            LibraryError, match=f"may not use the schema {url.schema}; .*GRANT USAGE ON SCHEMA"
        ) as caught:
            PostgresStore.open(replace(url, user="stranger"))
        assert not isinstance(caught.value, LibraryNotFound)
    finally:
        execute(url, "DROP ROLE stranger")


@pytest.mark.parametrize(
    ("mode", "why"), [("require", "server does not support SSL"), ("nonsense", "invalid sslmode value")]
)
def test_connections_that_are_never_accepted_are_not_repeated(url: PostgresUrl, mode: str, why: str) -> None:
    other = replace(url, passed=(("sslmode", mode),))
    with pytest.raises(LibraryError, match=rf"no connection by TLS is possible \(.*{why}.*; check the") as caught:
        PostgresStore.open(other)
    assert not isinstance(caught.value, LibraryUnreachable)


def test_connections_that_are_refused_say_why(url: PostgresUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "READ_PATIENCE", 0.0)
    execute(url, "CREATE ROLE few LOGIN CONNECTION LIMIT 0", "CREATE ROLE silent NOLOGIN")
    execute(url, "CREATE DATABASE shut ALLOW_CONNECTIONS false", "CREATE DATABASE own", "CREATE ROLE other LOGIN")
    execute(url, "REVOKE CONNECT ON DATABASE own FROM PUBLIC")
    faults = [
        (replace(url, user="few"), LibraryUnreachable, 'more connections (too many connections for role "few"); tr'),
        (replace(url, user="silent"), LibraryError, 'refused the user (role "silent" is not permitted to log in); '),
        (replace(url, user="none"), LibraryError, 'the user (role "none" does not exist); check the user and the pass'),
        (replace(url, database="none"), LibraryNotFound, 'no such database (database "none" does not exist); creat'),
        (replace(url, database="shut"), LibraryError, 'not open this database (database "shut" is not currently ac'),
        (
            replace(url, database="own", user="other"),
            LibraryError,
            "not open this database (permission denied for ",
        ),
        (replace(url, host="none.invalid"), LibraryUnreachable, "its host is not known (failed to resolve host"),
        (replace(url, port=1), LibraryUnreachable, "does not answer (Connection refused); check that it runs"),
    ]
    held = ExitStack()
    try:
        for address, kind, text in faults:
            with pytest.raises(kind, match=re.escape(text)) as caught:
                PostgresStore.open(address)
            assert type(caught.value) is kind
            assert "\n" not in str(caught.value)
        with suppress(psycopg.OperationalError):
            for _ in range(200):
                held.enter_context(closing(psycopg.connect(**replace(url, user="other").parameters())))
        with pytest.raises(LibraryUnreachable, match=r"takes no more connections \(remaining connection slots"):
            PostgresStore.open(replace(url, user="other"))
    finally:
        held.close()
        execute(url, "DROP DATABASE shut", "DROP DATABASE own", "DROP ROLE few, silent, other")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"-ERR unknown command\r\n"])
def test_another_server_is_recognised(url: PostgresUrl, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with suppress(OSError):  # closed at the end of the test
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(greeting)
                        connection.recv(1000)  # until the client has read it

        threading.Thread(target=greet, daemon=True).start()
        other = replace(url, port=listening.getsockname()[1])
        with pytest.raises(LibraryError, match=r"another server than PostgreSQL answers there \(.*; check") as caught:
            PostgresStore.open(other)
    assert type(caught.value) is LibraryError


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sorry, too many clients already", "its server takes no more connections"),
        ("the database system is starting up", "its server is starting or stopping"),
        ("the database system is shutting down", "its server is starting or stopping"),
        ('password authentication failed for user "certificate"', "its server refused the user"),
        ('no pg_hba.conf entry for host "1.2.3.4", user "x", no encryption', "its server takes no such connections"),
        ("could not fork new process", "its server refused the connection"),
    ],
)
def test_what_a_server_says_that_refuses_is_told_apart(url: PostgresUrl, text: str, what: str) -> None:
    other = 'connection failed: connection to server at "::1", port 5432 failed: Connection refused\n\tIs it running?\n'
    error = psycopg.OperationalError(f'{other}connection to server at "127.0.0.1", port 5432 failed: FATAL:  {text}')
    found = str(failures.translated(error, url))
    assert found.startswith(f"{url}: {what} ({text}); ")


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ('FATAL: pg_hba.conf rejects connection for host "127.0.0.1", user "x", database "y", no encryption', False),
        ('FATAL: role "x" is not permitted to log in', False),
        ('FATAL: permission denied for database "y"', False),
        ("SSL error: certificate verify failed", False),
        ("SSL connection has been closed unexpectedly", True),
        ("SSL SYSCALL error: EOF detected", True),
        ("FATAL: the database system is starting up", True),
    ],
)
def test_which_failures_of_a_connection_pass(text: str, passing: bool) -> None:
    assert failures.is_passing(psycopg.OperationalError(text)) is passing


def test_tables_of_others_end_with_one_line(url: PostgresUrl) -> None:
    foreign = replace(url, library="foreign")
    execute(url, "CREATE SCHEMA kindred_foreign", "CREATE TABLE kindred_foreign.images (id text)")
    try:
        with pytest.raises(LibraryDamaged, match=r'not those of a library \(relation "images" already exists\)'):
            PostgresStore.create(foreign, {})
        execute(url, "CREATE TABLE kindred_foreign.migrations (version text)")
        with pytest.raises(LibraryDamaged, match=r"not those of a library \(changed_images, .* and 14 more are"):
            PostgresStore.open(foreign)
        execute(url, "ALTER TABLE kindred_foreign.migrations ADD number text DEFAULT '1'")
        execute(url, "INSERT INTO kindred_foreign.migrations VALUES ('x')")
        with pytest.raises(LibraryDamaged, match="not those of a library"):
            PostgresStore.open(foreign)
    finally:
        execute(url, "DROP SCHEMA kindred_foreign CASCADE")


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(UsageError, match="closed"):
        store.counts()
    with pytest.raises(UsageError, match="closed"):
        store.tag([A], "x")


def test_more_threads_than_connections(store: Store, entry: MakeEntry) -> None:
    store.put([entry(f"/p/{number}.jpg") for number in range(10)])
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(store.counts().images)) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [10] * 60


def test_a_graph_is_built_in_the_memory_that_it_needs_or_that_the_server_allows() -> None:
    assert build_memory_mb(1000, 512, allowed=1) == 64
    assert build_memory_mb(10**6, 512, allowed=64) == 10**6 * 1824 >> 20
    assert build_memory_mb(10**9, 512, allowed=64) == 2048
    assert build_memory_mb(1000, 512, allowed=8192) == 8192

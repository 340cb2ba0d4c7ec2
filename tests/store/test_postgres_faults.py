"""Faults of the server and of the network: nothing acknowledged is lost, nothing doubled, nothing removed comes back.

The short ones run everywhere. The long ones are marked: pytest -m faults tests/store/test_postgres_faults.py -s
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from kindred.errors import LibraryUnreachable, UsageError
from kindred.index import INDEXES, Index, IndexSettings, SnapshotPolicy, choose_index
from kindred.index.milvus import MilvusUrl, building, candidates
from kindred.index.milvus.index import MilvusIndex
from kindred.index.milvus.record import IndexRecord
from kindred.index.milvus.server import MilvusServer
from kindred.recipe import Recipe
from kindred.store import STORES, Entry, Filter, Place, PostgresUrl, Store
from milvus_server import MilvusProcess
from postgres_server import Server, end_sessions
from tcp_proxy import FAULTS, Proxy
from work_while import work_while

pytest.importorskip("psycopg")
from kindred.store.postgres import database
from kindred.store.postgres.store import PostgresStore

SECONDS = float(os.environ.get("KINDRED_FAULT_SECONDS", "120"))
EVERY = 5.0
RECIPE = Recipe("plain", "kin")
POLICY = SnapshotPolicy(exact_below=200)
D = 8
LOOSE: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of its own, to be killed."""
    made = Server()
    yield made
    made.remove()


def vector(mark: int) -> NDArray[np.float32]:
    found = np.random.default_rng(mark).standard_normal((1, D)).astype(np.float32)
    unit: NDArray[np.float32] = found / np.linalg.norm(found)
    return unit


def entry(path: Path, mark: int) -> Entry:
    return Entry(path, 10, mark, vectors=vector(mark), features=bytes([mark % 256]) * 40)


def content(store: Store) -> dict[Path, tuple[int, tuple[str, ...]]]:
    """The mark and the tags of each image; fails if an image has not exactly one vector and its own features."""
    rows = store.images(store.select_images(Filter()).tolist()).values()
    known = store.lookup(row.path for row in rows)
    owners = np.concatenate([batch.owners for batch in store.parts()] or [np.empty(0, np.int64)])
    vectors = {number: batch.rows[at] for batch in store.parts() for at, number in enumerate(batch.owners.tolist())}
    assert sorted(owners.tolist()) == sorted(row.image_id for row in rows)
    for row in rows:
        mark = known[row.path].mtime_ns
        np.testing.assert_allclose(vectors[row.image_id], vector(mark)[0], atol=1e-6)
        assert store.features(row.image_id) == bytes([mark % 256]) * 40
    return {row.path: (known[row.path].mtime_ns, row.tags) for row in rows}


@dataclass
class Load:
    """A writer and a searcher that work on one library while its server suffers; what they were told, and how long.

    expected: what was acknowledged. doubtful: paths of changes that ended with an error, which may have happened.
    """

    url: PostgresUrl
    expected: dict[Path, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    doubtful: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)
    faults: list[BaseException] = field(default_factory=list)
    errors: int = 0
    changes: int = 0
    searches: int = 0
    longest_call: float = 0.0
    longest_gap: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def run(self, suffer: Callable[[], None]) -> None:
        """Work until `suffer` returns and one more search and change have succeeded."""
        work_while(suffer, (self._write, self._search), self.done, self.faults)
        assert self.faults == []

    def _write(self) -> None:
        with PostgresStore.open(self.url) as store:
            step = 0
            while not self.done.is_set():
                step += 1
                paths = [Path(f"/p/{(step * 3 + at) % 400}.jpg") for at in range(4)]
                if step % 5 == 4:
                    self._try(paths, partial(store.forget, paths), self._forgotten)
                elif step % 5 == 2:
                    self._try(paths, partial(store.tag, paths, "x"), self._tagged)
                else:
                    # Before the change, not after it: a search may find them once it is committed.
                    self.removed.difference_update(paths)
                    entries = [entry(path, step) for path in paths]
                    note = partial(self._put, mark=step)
                    self._try(paths, partial(store.put, entries), note)

    def _try(self, paths: list[Path], change: Callable[[], object], note: Callable[[Path], None]) -> None:
        began = time.monotonic()
        try:
            change()
        except LibraryUnreachable:
            self.errors += 1
            self.doubtful |= set(paths)
        else:
            self.changes += 1
            for path in paths:
                note(path)
        self.longest_call = max(self.longest_call, time.monotonic() - began)

    def _put(self, path: Path, mark: int) -> None:
        self.expected[path] = mark, self.expected.get(path, (0, ()))[1]

    def _tagged(self, path: Path) -> None:
        if path in self.expected:
            self.expected[path] = self.expected[path][0], ("x",)

    def _forgotten(self, path: Path) -> None:
        self.expected.pop(path, None)
        self.removed.add(path)

    def _search(self) -> None:
        with PostgresStore.open(self.url) as store:
            index = INDEXES["pgvector"].open(RECIPE, store, IndexSettings(None, POLICY))
            last, number = time.monotonic(), 0
            while not self.done.is_set():
                number += 1
                gone, began = set(self.removed), time.monotonic()
                try:
                    ranking = index.search(vector(number), 10, where=Filter(tags=("x",)) if number % 3 == 0 else None)
                    paths = {row.path for row in store.rows(ranking.ids[0].tolist()).values()}
                except LibraryUnreachable:
                    self.errors += 1
                else:
                    self.searches += 1
                    # Only if it was not added again meanwhile.
                    assert not (paths & gone & self.removed) - self.doubtful
                    self.longest_gap = max(self.longest_gap, time.monotonic() - last)
                    last = time.monotonic()
                self.longest_call = max(self.longest_call, time.monotonic() - began)

    def check(self) -> None:
        """Everything acknowledged is there, once; the ranking is that of an undisturbed library of these images."""
        with PostgresStore.open(self.url) as store:
            there = content(store)
            for path in {*there, *self.expected} - self.doubtful:
                assert there.get(path) == self.expected.get(path), path
            assert store.counts().vectors == len(there)
            index = INDEXES["pgvector"].open(RECIPE, store, IndexSettings(None, SnapshotPolicy()))
            marks = np.array([mark for mark, _ in there.values()])
            rows = np.concatenate([vector(mark) for mark in marks])
            for number in range(5):
                scores = np.sort(rows @ vector(number)[0])[::-1][:10]
                np.testing.assert_allclose(index.search(vector(number), 10).scores[0], scores, atol=1e-5)
        print(
            f"\n{self.changes} changes, {self.searches} searches, {self.errors} errors, {len(self.doubtful)} images in "
            f"doubt; longest call {self.longest_call:.1f} s, longest time without an answer {self.longest_gap:.1f} s"
        )


def new_load(server: Server, name: str = "load", *, port: int | None = None, timeout: int = 10) -> Load:
    PostgresStore.create(server.url(name), {}).close()
    return Load(server.url(name, port=port, timeout=timeout))


def test_the_server_is_killed_while_it_is_written_to_and_searched(server: Server) -> None:
    load = new_load(server)

    def suffer() -> None:
        for kill in (server.kill, server.immediate_stop):
            time.sleep(1.0)
            kill()
            time.sleep(0.3)
            server.restart()
        time.sleep(1.0)

    load.run(suffer)
    load.check()
    assert load.changes > 0
    assert load.searches > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_the_network_fails_for_a_moment(postgres: Server, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "READ_PATIENCE", 3.0)
    proxy = Proxy(postgres.port)
    load = new_load(postgres, f"network_{fault}", port=proxy.port, timeout=2)

    def suffer() -> None:
        time.sleep(0.7)
        proxy.fail(fault, 3.0)
        time.sleep(1.0)

    try:
        load.run(suffer)
        load.check()
    finally:
        proxy.close()
    assert load.changes > 0


@pytest.mark.faults
@pytest.mark.parametrize("how", ["kill", "immediate_stop"])
def test_the_server_is_killed_every_five_seconds(server: Server, how: str) -> None:
    load = new_load(server)

    def suffer() -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(EVERY)
            getattr(server, how)()
            server.restart()
        time.sleep(10)

    load.run(suffer)
    load.check()


@pytest.mark.faults
def test_the_server_is_frozen_for_20_seconds(server: Server) -> None:
    load = new_load(server)

    def suffer() -> None:
        time.sleep(3)
        frozen = [server.main, *server.children()]
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(20)
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(10)

    load.run(suffer)
    load.check()


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_the_network_fails_for_30_seconds(server: Server, fault: str) -> None:
    proxy = Proxy(server.port)
    load = new_load(server, port=proxy.port)

    def suffer() -> None:
        time.sleep(2)
        proxy.fail(fault, 30.0)
        time.sleep(15)

    try:
        load.run(suffer)
        load.check()
    finally:
        proxy.close()


@pytest.mark.faults
def test_two_writers_of_overlapping_images_a_hundred_times(server: Server) -> None:
    for trial in range(100):
        url = server.url(f"trial_{trial}")
        PostgresStore.create(url, {}).close()
        faults: list[BaseException] = []

        def write(first: int, url: PostgresUrl = url, faults: list[BaseException] = faults) -> None:
            try:
                with PostgresStore.open(url) as store:
                    for start in range(first, first + 30, 5):
                        store.put([entry(Path(f"/p/{number}.jpg"), number) for number in range(start, start + 5)])
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        with PostgresStore.open(url) as store:
            assert content(store) == {Path(f"/p/{number}.jpg"): (number, ()) for number in range(40)}
            store.delete()


NAMES = [Path(f"/{folder}/{name}.jpg") for folder in "ab" for name in "123"]


class Machine(RuleBasedStateMachine):
    """A store, and its index, beside a dictionary: whatever is done to them, they hold the same.

    server: a Milvus server that has the index, if it is not that of the store.
    """

    def __init__(
        self, kind: str, place: Callable[[], Place], kill: Callable[[Place], None], server: MilvusUrl | None = None
    ) -> None:
        super().__init__()
        self.kind, self.place, self.kill, self.server = kind, place(), kill, server
        self.images: dict[Path, tuple[int, frozenset[str]]] = {}
        self.store = STORES[kind].create(self.place, {"uuid": str(self.place)})
        self._index: Index | None = None
        self.searches = 0

    @property
    def index(self) -> Index:
        """The index of the store, which has rows and so a dimension when it is opened."""
        if self._index is None:
            self._index = self.opened()
        return self._index

    def opened(self) -> Index:
        name = choose_index(RECIPE, source=self.store, remote=self.server is not None)
        return INDEXES[name].open(RECIPE, self.store, IndexSettings(None, POLICY, server=self.server))

    @initialize(marks=st.lists(st.integers(1, 50), min_size=3, max_size=3))
    def start(self, marks: list[int]) -> None:
        """Begin with a few images, in the index of a server if there is one: else few examples would search it."""
        self.images.clear()
        for path, mark in zip(NAMES, marks, strict=False):
            self.put(path, mark)
        if self.server is not None:
            self.build(rebuild=False)

    @rule(path=st.sampled_from(NAMES), mark=st.integers(1, 50))
    def put(self, path: Path, mark: int) -> None:
        self.store.put([entry(path, mark)])
        self.images[path] = mark, self.images.get(path, (0, frozenset()))[1]

    @rule(paths=st.lists(st.sampled_from(NAMES), max_size=3))
    def forget(self, paths: list[Path]) -> None:
        there = {path for path in paths if path in self.images}
        assert self.store.forget(paths) == len(there)
        for path in there:
            del self.images[path]

    @rule(path=st.sampled_from(NAMES), tag=st.sampled_from("xy"), add=st.booleans())
    def tag(self, path: Path, tag: str, add: bool) -> None:
        mark, tags = self.images.get(path, (0, frozenset()))
        count = (self.store.tag if add else self.store.untag)([path], tag)
        assert count == (path in self.images if add else tag in tags)
        if path in self.images:
            self.images[path] = mark, tags | {tag} if add else tags - {tag}

    @rule(old=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def move(self, old: Path, new: Path) -> None:
        if old == new or (old in self.images and new in self.images):
            with pytest.raises(UsageError):
                self.store.move(old, new)
            return
        assert self.store.move(old, new) == (old in self.images)
        if old in self.images:
            self.images[new] = self.images.pop(old)

    @rule(number=st.integers(100, 200), tag=st.sampled_from(["", "x"]))
    def search(self, number: int, tag: str) -> None:
        if not self.images:
            return
        where = Filter(tags=(tag,)) if tag else None
        found = self.index.search(vector(number), 4, where=where)
        kept = {path: vector(mark) for path, (mark, tags) in self.images.items() if not tag or tag in tags}
        best = sorted((float(row[0] @ vector(number)[0]) for row in kept.values()), reverse=True)[:4]
        np.testing.assert_allclose(found.scores[0][found.ids[0] >= 0], best, atol=1e-5)
        rows = self.store.rows(found.ids[0][found.ids[0] >= 0].tolist())
        assert {row.path for row in rows.values()} <= set(kept)

    @precondition(lambda self: self.server is not None and self.images)
    @rule(rebuild=st.booleans())
    def build(self, rebuild: bool) -> None:
        assert isinstance(self.index, MilvusIndex)
        assert self.index.build(rebuild=rebuild).vectors == len(self.images)
        assert self.index.approximate

    @rule()
    def lose_connections(self) -> None:
        self.kill(self.place)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = STORES[self.kind].open(self.place)
        self._index = None

    @invariant()
    def same(self) -> None:
        found = {path: (mark, frozenset(tags)) for path, (mark, tags) in content(self.store).items()}
        assert found == self.images
        assert self.store.counts().vectors == len(self.images)

    @invariant()
    def found(self) -> None:
        """The first search after each change has all of it; every third one is filtered."""
        self.searches += 1
        self.search(self.searches % 50 + 50, "x" if self.searches % 3 == 0 else "")

    def teardown(self) -> None:
        self.store.close()


def lose(place: Place) -> None:
    """What a server that ends its sessions does; a file has none."""
    if isinstance(place, PostgresUrl):
        end_sessions(place)


def run_machine(machine: Callable[[], Machine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        cast(Any, machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


@pytest.mark.parametrize("kind", STORES)
def test_a_store_holds_what_a_dictionary_does(kind: str, place_for: Callable[..., Place]) -> None:
    names = count()
    run_machine(lambda: Machine(kind, lambda: place_for(kind, f"machine{next(names)}"), lose), 4, 15)


def counted_searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the collection of each search that a Milvus server answers."""
    answered, search = list[str](), MilvusServer.search

    def noted(server: MilvusServer, record: IndexRecord, *given: Any) -> NDArray[np.int64]:
        found = search(server, record, *given)
        answered.append(record.collection)
        return found

    monkeypatch.setattr(MilvusServer, "search", noted)
    return answered


@pytest.mark.parametrize("kind", STORES)
def test_an_index_in_milvus_finds_what_a_dictionary_holds(
    kind: str, place_for: Callable[..., Place], milvus: MilvusProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "FEW_ROWS", 0)  # filtered searches go to the server, too
    monkeypatch.setattr(building, "SETTLING_SECONDS", milvus.settling)
    names, server, searches = count(), milvus.url(f"machine_{kind}"), counted_searches(monkeypatch)
    run_machine(lambda: Machine(kind, lambda: place_for(kind, f"beside{next(names)}"), lose, server), 4, 15)
    assert searches


@pytest.mark.faults
def test_a_store_holds_what_a_dictionary_does_while_its_server_is_killed(server: Server) -> None:
    names = count()

    def kill(_: Place) -> None:
        server.kill()
        server.restart()

    run_machine(
        lambda: Machine("postgres", lambda: replace(server.url("m"), library=f"machine{next(names)}"), kill), 30, 30
    )


@pytest.mark.faults
@pytest.mark.parametrize("kind", STORES)
def test_an_index_in_milvus_finds_what_a_dictionary_holds_while_its_server_is_killed(
    kind: str, place_for: Callable[..., Place], milvus_to_kill: MilvusProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole server needs more than half a minute after each kill, so that it is killed in fewer examples."""
    monkeypatch.setattr(candidates, "FEW_ROWS", 0)
    own, names, kills = milvus_to_kill, count(), count()
    monkeypatch.setattr(building, "SETTLING_SECONDS", own.settling)

    def kill(_: Place) -> None:
        own.kill()
        own.start()
        next(kills)

    server, searches = own.url("machine", timeout=120 if own.real else 10), counted_searches(monkeypatch)
    examples, steps = (2, 15) if own.real else (10, 20)
    run_machine(lambda: Machine(kind, lambda: place_for(kind, f"killed{next(names)}"), kill, server), examples, steps)
    assert searches
    print(f"\n{kind}: killed {next(kills)} times, {len(searches)} searches answered by the server")
